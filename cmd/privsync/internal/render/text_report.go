package render

import (
	"fmt"
	"strings"
	"time"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// report writes a report.
func (t *textWriter) report(r *executor.Report) {
	t.line(bold, "Report of %s %s: %s", Clean(r.Run.Command), withWhat("with policy ", r.Policy, itself), runOutcome(r))
	if !t.o.AfterPlan {
		t.field("server", server(r.Environment))
		t.field("actor", actor(r.Actor))
	}
	t.field("run", Clean(r.Run.ID))
	t.field("started", stamp(r.Run.StartedAt)+", took "+runTook(r))
	if !t.o.AfterPlan {
		t.field("scope", scope(r.Scope))
	}
	if r.Plan != nil && !t.o.AfterPlan {
		t.field("plan", Clean(r.Plan.Digest))
		t.field("maker", Clean(r.Plan.Maker))
		t.field("made from", provenanceWords(r.Plan.Source))
		for _, a := range r.Plan.Approvals {
			t.field("approved", Clean(a.By)+", key "+Clean(a.Key))
		}
	}
	t.field("source", provenanceWords(r.Run.Source))
	t.field("comment", clip(Clean(r.Run.Comment), clipMessage))
	t.field("digest", Clean(r.Digest))
	if r.Run.Recovered {
		t.blank()
		t.para(yellow, 2, "RECOVERED: "+recoveredWords)
	}
	if r.Error != nil {
		t.blank()
		t.para(alarm, 2, "ENDED EARLY: "+failure(r.Error))
	}
	t.guards(r.Guards)
	t.errorFindings(r.Findings)

	known := reportNames(r)
	findings := byPrincipal(r.Findings)
	shown := make(map[mstrapi.ObjectID]bool)
	groups := byOutcome(r)
	var named map[mstrapi.PrivilegeID]string
	if isAudit(r) {
		named = privilegeNames(r)
	}
	for _, o := range occurring(groups) {
		if o == executor.InSync && !isAudit(r) {
			continue
		}
		view := viewOf(r, o)
		t.part(view.style, "%s: %s%s", Clean(string(o)), clean.Count(len(groups[o]), "principal"), when(view.said != "", ", %s", view.said))
		show, more := groups[o], 0
		if o == executor.InSync {
			show, more = few(t, show, shownInSync)
		}
		for _, i := range show {
			res := &r.Principals[i]
			shown[res.Principal.ID] = true
			t.result(res, known)
			t.ownFindings(findings[res.Principal.ID])
			if isAudit(r) && res.After != nil {
				t.holdings(res.After, named)
			}
		}
		if more > 0 {
			t.line(dim, "  … and %d more; \"privsync show --verbose\", --format json and --html show all", more)
		}
	}
	delete(shown, "")
	t.otherFindings(r.Findings, shown)
	t.exceptions(r.Exceptions)
	t.list("Commands", 6, len(r.Commands), func(i int) (style, string) {
		return commandStyle(&r.Commands[i]), "  > " + commandText(r.Commands[i])
	})
	t.licences(r.Licences)
	t.blank()
	if !t.o.AfterPlan {
		t.coverage(r.Coverage, r.Rules)
	}
	t.line(runStyle(r.Run.Outcome), "%s", ReportSummary(r))
}

// shownInSync is how many principals that are in sync the text of an audit shows
// without Options.Verbose: those that are not come first, and are always shown.
const shownInSync = 200

// holdings writes what a principal holds, a line for each source.
func (t *textWriter) holdings(sets *executor.Sets, named map[mstrapi.PrivilegeID]string) {
	t.line(dim, "    %s", holdingTotals(sets))
	for _, h := range heldBySource(sets) {
		t.para(plain, 8, "      "+h.String()+": "+h.list(named, itself))
	}
}

// result writes the block of one principal.
func (t *textWriter) result(res *executor.Result, known names) {
	sign := "!"
	switch res.Outcome {
	case executor.Applied, executor.InSync:
		sign = "="
	case executor.Drifted:
		sign = "~"
	}
	head := fmt.Sprintf("%s %s: %s%s", sign, known.told(res.Principal), Clean(string(res.Outcome)), when(res.Attempts > 0, "  (%s, %s)", clean.Count(res.Attempts, "write"), spent(res)))
	if t.o.AfterPlan && res.Outcome == executor.Applied {
		t.line(plain, "%s: %s", head, joined(", ", when(len(res.Grant) > 0, "%s", clean.Count(len(res.Grant), "grant")), when(len(res.Revoke) > 0, "%s", clean.Count(len(res.Revoke), "revoke"))))
		return
	}
	t.line(bold, "%s", head)
	t.changes(res.Grant, res.Revoke, wordsOf(res.Outcome == executor.Drifted), known, becameOf(res))
	if res.Error != nil {
		t.para(alarm, 6, "  ! error "+failure(res.Error))
	}
}

// spent is how long the writes of a principal took.
func spent(res *executor.Result) string {
	return took(time.Duration(res.DurationMs) * time.Millisecond)
}

func commandStyle(c *executor.CommandResult) style {
	if c.Outcome == executor.CommandSucceeded {
		return green
	}
	return alarm
}

func commandText(c executor.CommandResult) string {
	failed := ""
	if c.Error != nil {
		failed = ": " + failure(c.Error)
	}
	return Clean(c.Name) + ": " + Clean(string(c.Outcome)) + when(c.QueueID != "", " (queue entry %s, status %d, %d%%)", Clean(c.QueueID), c.Status, c.Progress) +
		when(c.IServerErrorCode != 0, ", iServerErrorCode %d", c.IServerErrorCode) + failed
}

// recoveredWords say what a recovered report is.
const recoveredWords = "the run died; this report was written later, from its journal and from what the server says now."

func runTook(r *executor.Report) string {
	if r.Run.StartedAt.IsZero() || r.Run.FinishedAt.IsZero() {
		return "an unknown time"
	}
	return took(r.Run.FinishedAt.Sub(r.Run.StartedAt))
}

// ReportSummary returns the one line that ends the text of a report: the
// outcome of the run, principals by outcome (the zeros left out, but for those
// in sync), grants and revokes, findings, requests and duration.
func ReportSummary(r *executor.Report) string {
	s := r.Summary
	parts := []string{fmt.Sprintf("%d in sync", s.InSync)}
	for _, c := range outcomeCounts(s) {
		if c.n > 0 && c.Outcome != executor.InSync {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word()))
		}
	}
	return fmt.Sprintf("%s %s: %s: %s; %s; findings %s; %s, %s; %s.",
		capital(Clean(r.Run.Command)), runOutcome(r), clean.Count(s.Principals, "principal"), strings.Join(parts, ", "),
		changeTotals(r), severities(planner.CountFindings(r.Findings)),
		clean.Count(s.Requests, "request"), clean.Count(s.Retries, "retry"), runTook(r))
}

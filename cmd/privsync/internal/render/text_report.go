package render

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// outcomesByUrgency is the order in which a report's principals are shown: what
// needs a person first. [executor.InSync] comes after them.
func outcomesByUrgency() []executor.Outcome {
	return []executor.Outcome{
		executor.Failed, executor.Unverified, executor.UnknownState, executor.Stale,
		executor.HeldBack, executor.NotAttempted, executor.Drifted, executor.Applied,
	}
}

// outcomeSaid explains an outcome in a sentence's worth of words.
func outcomeSaid(o executor.Outcome) string {
	switch o {
	case executor.Failed:
		return "the server refused or an error ended it"
	case executor.Unverified:
		return "written, but reading it back does not show what was planned"
	case executor.UnknownState:
		return "could not be read completely"
	case executor.Stale:
		return "changed since the plan was made; not touched"
	case executor.HeldBack:
		return "what a change relies on is not verified, or the run ended between its waves"
	case executor.NotAttempted:
		return "the run ended before its turn"
	case executor.Drifted:
		return "differs from the policy"
	case executor.Applied:
		return "done and verified"
	case executor.InSync:
		return "as the policy says"
	}
	return ""
}

// outcomeSaidIn is outcomeSaid for a report, which may be of an audit without a policy.
func outcomeSaidIn(r *executor.Report, o executor.Outcome) string {
	if o == executor.InSync && withoutPolicy(r.Policy) {
		return "no policy wants anything of them"
	}
	return outcomeSaid(o)
}

func outcomeStyle(o executor.Outcome) style {
	switch o {
	case executor.Failed, executor.Unverified, executor.UnknownState:
		return alarm
	case executor.Stale, executor.HeldBack, executor.NotAttempted, executor.Drifted:
		return yellow
	}
	return green
}

func runStyle(o executor.RunOutcome) style {
	switch o {
	case executor.RunInSync, executor.RunSucceeded:
		return green
	case executor.RunPartial, executor.RunDrifted:
		return yellow
	}
	return alarm
}

// report writes a report.
func (t *textWriter) report(r *executor.Report) {
	by := "with policy " + policyName(r.Policy)
	if withoutPolicy(r.Policy) {
		by = "without a policy"
	}
	t.line(bold, "Report of %s %s: %s", Clean(r.Run.Command), by, runOutcome(r))
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
		t.para(yellow, 2, "RECOVERED: the run died; this report was written later, from its journal and from what the server says now.")
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
	for _, o := range orderedOutcomes(groups) {
		if o == executor.InSync && !isAudit(r) {
			continue
		}
		t.blank()
		head := fmt.Sprintf("%s: %s", Clean(string(o)), count(len(groups[o]), "principal"))
		if said := outcomeSaidIn(r, o); said != "" {
			head += ", " + said
		}
		t.line(outcomeStyle(o), "%s", head)
		show := groups[o]
		if o == executor.InSync && !t.o.Verbose && len(show) > shownInSync {
			show = show[:shownInSync]
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
		if more := len(groups[o]) - len(show); more > 0 {
			t.line(dim, "  … and %d more; \"privsync show --verbose\", --format json and --html show all", more)
		}
	}
	delete(shown, "")
	t.otherFindings(r.Findings, shown)
	t.exceptions(r.Exceptions)
	t.commands(r.Commands)
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
		all := make([]string, 0, len(h.privileges))
		for _, id := range h.privileges {
			all = append(all, heldPrivilege(id, named))
		}
		t.para(plain, 8, "      "+h.String()+": "+strings.Join(all, ", "))
	}
}

// byOutcome gives the indexes of the principals of each outcome, in order.
func byOutcome(r *executor.Report) map[executor.Outcome][]int {
	m := make(map[executor.Outcome][]int)
	for i := range r.Principals {
		o := r.Principals[i].Outcome
		m[o] = append(m[o], i)
	}
	return m
}

// orderedOutcomes gives the outcomes that occur, the urgent first. One that
// this version does not know comes before all others rather than being lost.
func orderedOutcomes(groups map[executor.Outcome][]int) []executor.Outcome {
	order := append(outcomesByUrgency(), executor.InSync)
	var out, strange []executor.Outcome
	for o := range groups {
		if !slices.Contains(order, o) {
			strange = append(strange, o)
		}
	}
	slices.Sort(strange)
	out = append(out, strange...)
	for _, o := range order {
		if len(groups[o]) > 0 {
			out = append(out, o)
		}
	}
	return out
}

// result writes the block of one principal.
func (t *textWriter) result(res *executor.Result, known names) {
	head := fmt.Sprintf("%s %s: %s", outcomeSign(res.Outcome), known.told(res.Principal), Clean(string(res.Outcome)))
	if res.Attempts > 0 {
		head += fmt.Sprintf("  (%s, %s)", count(res.Attempts, "write"), took(time.Duration(res.DurationMs)*time.Millisecond))
	}
	if t.o.AfterPlan && res.Outcome == executor.Applied {
		t.line(plain, "%s: %s", head, countPlanned(res))
		return
	}
	t.line(bold, "%s", head)
	for _, g := range res.Grant {
		t.change(green, grantVerb(res.Outcome), g, known, grantNote(res, g.ID))
	}
	for _, g := range res.Revoke {
		t.change(red, revokeVerb(res.Outcome), g, known, revokeNote(res, g.ID))
	}
	if res.Error != nil {
		t.para(alarm, 6, "  ! error "+failure(res.Error))
	}
}

// countPlanned says how many grants and revokes a principal has, but for none.
func countPlanned(res *executor.Result) string {
	var parts []string
	if n := len(res.Grant); n > 0 {
		parts = append(parts, count(n, "grant"))
	}
	if n := len(res.Revoke); n > 0 {
		parts = append(parts, count(n, "revoke"))
	}
	return strings.Join(parts, ", ")
}

func outcomeSign(o executor.Outcome) string {
	switch o {
	case executor.Applied, executor.InSync:
		return "="
	case executor.Drifted:
		return "~"
	}
	return "!"
}

// grantVerb and revokeVerb: an audit changes nothing, so what it would change
// is missing or surplus.
func grantVerb(o executor.Outcome) string {
	if o == executor.Drifted {
		return "+ missing"
	}
	return "+ grant "
}

func revokeVerb(o executor.Outcome) string {
	if o == executor.Drifted {
		return "- surplus"
	}
	return "- revoke"
}

// partly reports whether the ending of each single change is of interest: the
// outcome alone does not tell it.
func partly(o executor.Outcome) bool {
	return o == executor.Failed || o == executor.HeldBack || o == executor.Unverified
}

// grantNote says what became of one grant, from what was there at the end.
func grantNote(res *executor.Result, id mstrapi.PrivilegeID) string {
	switch {
	case !partly(res.Outcome):
		return ""
	case slices.Contains(res.Granted, id):
		return "done and verified"
	case res.After != nil && res.After.Direct.Has(id):
		return "is there"
	}
	return undone(res)
}

// revokeNote says what became of one revoke, from what was there at the end.
func revokeNote(res *executor.Result, id mstrapi.PrivilegeID) string {
	held := slices.ContainsFunc(res.HeldBack, func(p planner.PrivilegeRef) bool { return p.ID == id })
	switch {
	case held:
		return "held back"
	case !partly(res.Outcome):
		return ""
	case slices.Contains(res.Revoked, id):
		return "done and verified"
	case res.After != nil && !res.After.Direct.Has(id):
		return "is gone"
	}
	return undone(res)
}

// undone is the word for what was not seen done.
func undone(res *executor.Result) string {
	switch {
	case res.Outcome == executor.Unverified:
		return "unknown whether done"
	case res.After == nil && res.Outcome != executor.Failed:
		return "not read again"
	}
	return "not done" // refused, or never sent
}

func (t *textWriter) commands(cs []executor.CommandResult) {
	if len(cs) == 0 {
		return
	}
	t.blank()
	t.line(bold, "Commands")
	for _, c := range cs {
		s := alarm
		if c.Outcome == executor.CommandSucceeded {
			s = green
		}
		t.para(s, 6, "  > "+commandText(c))
	}
}

func commandText(c executor.CommandResult) string {
	s := fmt.Sprintf("%s: %s", Clean(c.Name), Clean(string(c.Outcome)))
	if c.QueueID != "" {
		s += fmt.Sprintf(" (queue entry %s, status %d, %d%%)", Clean(c.QueueID), c.Status, c.Progress)
	}
	if c.IServerErrorCode != 0 {
		s += fmt.Sprintf(", iServerErrorCode %d", c.IServerErrorCode)
	}
	if c.Error != nil {
		s += ": " + failure(c.Error)
	}
	return s
}

// isAudit reports whether r only looked: then it says what everybody holds.
func isAudit(r *executor.Report) bool { return r.Run.Command == "audit" }

// runOutcome is the verdict on all, in the report's own word.
func runOutcome(r *executor.Report) string {
	o := Clean(string(r.Run.Outcome))
	if r.Run.Recovered {
		o += " (recovered)"
	}
	return o
}

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
		if c.n > 0 && c.outcome != executor.InSync {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.word))
		}
	}
	return fmt.Sprintf("%s %s: %s: %s; %s; findings %s; %s, %s; %s.",
		capital(Clean(r.Run.Command)), runOutcome(r), count(s.Principals, "principal"), strings.Join(parts, ", "),
		changeTotals(r), severities(planner.CountFindings(r.Findings)),
		count(s.Requests, "request"), count(s.Retries, "retry"), runTook(r))
}

// changeTotals says what an apply did, or what an audit found.
func changeTotals(r *executor.Report) string {
	if !isAudit(r) {
		return count(r.Summary.Grants, "grant") + " and " + count(r.Summary.Revokes, "revoke") + " verified"
	}
	missing, surplus := drift(r)
	return fmt.Sprintf("%d missing, %d surplus", missing, surplus)
}

// drift counts what the drifted principals lack and what they have too much.
func drift(r *executor.Report) (missing, surplus int) {
	if s := r.Summary; s.Missing != nil && s.Surplus != nil {
		return *s.Missing, *s.Surplus
	}
	for i := range r.Principals {
		if p := &r.Principals[i]; p.Outcome == executor.Drifted {
			missing += len(p.Grant)
			surplus += len(p.Revoke)
		}
	}
	return missing, surplus
}

// capital returns s with its first letter in upper case; "Run" for none.
func capital(s string) string {
	if s == "" {
		return "Run"
	}
	if c := s[0]; 'a' <= c && c <= 'z' {
		return string(c-'a'+'A') + s[1:]
	}
	return s
}

// outcomeCount is one number of a report's summary.
type outcomeCount struct {
	outcome executor.Outcome
	word    string
	n       int
}

// outcomeCounts gives the numbers of a summary in the order in which they are
// shown.
func outcomeCounts(s executor.Summary) []outcomeCount {
	return []outcomeCount{
		{executor.InSync, "in sync", s.InSync},
		{executor.Applied, "applied", s.Applied},
		{executor.Drifted, "drifted", s.Drifted},
		{executor.Failed, "failed", s.Failed},
		{executor.Unverified, "unverified", s.Unverified},
		{executor.Stale, "stale", s.Stale},
		{executor.HeldBack, "held back", s.HeldBack},
		{executor.NotAttempted, "not attempted", s.NotAttempted},
		{executor.UnknownState, "unknown", s.Unknown},
	}
}

package main

import (
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// Bounds of what the log says of principals that need somebody.
const (
	maxAttention      = 20  // principals; the rest is counted
	maxAttentionNamed = 10  // privileges of one
	maxAttentionError = 500 // bytes of an error's text
)

// logAttention writes an ERROR line to the log for each principal that a run left
// otherwise than it was to be: the worst first. place is where the report is. What is
// wrong on a server that a run only looked at is no error, and what a refused run did
// not do neither: the run's own error says that.
func (a *app) logAttention(report *executor.Report, place string) {
	order := []executor.Outcome{
		executor.Failed, executor.Unverified, executor.UnknownState, executor.Drifted,
		executor.Stale, executor.HeldBack, executor.NotAttempted,
	}
	if report.Run.Command == "audit" {
		order = order[2:3]
	} else if !report.Wrote() && (report.Run.Outcome == executor.RunRefused || report.Error != nil) {
		order = order[:len(order)-1]
	}
	var list []*executor.Result
	for _, outcome := range order {
		for i := range report.Principals {
			if report.Principals[i].Outcome == outcome {
				list = append(list, &report.Principals[i])
			}
		}
	}
	for _, r := range list[:min(len(list), maxAttention)] {
		attrs := []any{"principal", render.Who(r.Principal), "id", string(r.Principal.ID), "outcome", string(r.Outcome)}
		if text := undone(r); text != "" {
			attrs = append(attrs, "privileges", text)
		}
		if r.Error != nil {
			attrs = append(attrs, errorAttrs(r.Error)...)
		}
		a.log.Error("principal not as planned", append(attrs, "do", whatToDo(report, r), "report", place)...)
	}
	if more := len(list) - maxAttention; more > 0 {
		a.log.Error("more principals not as planned", "count", more, "do", "the report names them all", "report", place)
	}
}

// logCommands writes an ERROR line for each metadata command that did not succeed.
func (a *app) logCommands(report *executor.Report, place string) {
	if report.Run.Outcome == executor.RunRefused {
		return
	}
	for _, c := range report.Commands {
		if c.Outcome == executor.CommandSucceeded {
			continue
		}
		attrs := []any{"command", c.Name, "outcome", string(c.Outcome)}
		if c.QueueID != "" {
			attrs = append(attrs, "queueId", c.QueueID, "iServerErrorCode", c.IServerErrorCode)
		}
		if c.Error != nil {
			attrs = append(attrs, errorAttrs(c.Error)...)
		}
		a.log.Error("command not as planned", append(attrs, "do", "run it alone (privsync command), or apply again", "report", place)...)
	}
}

// logEnd writes the line that says in the log when and how a run ended that did not do
// its work. On a terminal the error itself is enough.
func (a *app) logEnd(command string, outcome executor.RunOutcome, err error) {
	code := exitCode(err)
	if succeeded(code) || !a.jsonLogs() && terminal(a.stderr) != nil {
		return
	}
	attrs := []any{"command", command, "exit", code}
	if outcome != "" {
		attrs = append(attrs, "outcome", string(outcome))
	}
	if a.place != "" {
		attrs = append(attrs, "report", a.place)
	}
	if !a.jsonLogs() {
		attrs = append(attrs, "run", a.runID)
	}
	a.log.Error("run ended", attrs...)
}

// errorAttrs are the parts of an error that whoever asks the vendor's support needs.
func errorAttrs(e *executor.Error) []any {
	var attrs []any
	if e.Status != 0 {
		attrs = append(attrs, "status", e.Status)
	}
	if e.Code != "" {
		attrs = append(attrs, "code", e.Code)
	}
	if e.IServerCode != 0 {
		attrs = append(attrs, "iServerCode", e.IServerCode)
	}
	if e.TicketID != "" {
		attrs = append(attrs, "ticketId", e.TicketID)
	}
	return append(attrs, "error", clean.Clip(e.Message, maxAttentionError))
}

// undone says which of the planned changes of a principal were not done, or not seen to
// be; for one that drifted, what came and went besides.
func undone(r *executor.Result) string {
	var parts []string
	add := func(verb string, id mstrapi.PrivilegeID, name string) {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %d %s", verb, id, clean.Clip(name, 100))))
	}
	for _, p := range r.Grant {
		if !slices.Contains(r.Granted, p.ID) {
			add("grant", p.ID, p.Name)
		}
	}
	for _, p := range r.Revoke {
		if !slices.Contains(r.Revoked, p.ID) {
			add("revoke", p.ID, p.Name)
		}
	}
	if r.Outcome == executor.Drifted {
		for _, id := range r.Came {
			add("came", id, "")
		}
		for _, id := range r.Went {
			add("went", id, "")
		}
	}
	if more := len(parts) - maxAttentionNamed; more > 0 {
		parts = append(parts[:maxAttentionNamed], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// whatToDo says what somebody can do about a principal that is not as planned.
func whatToDo(report *executor.Report, r *executor.Result) string {
	const again = "apply again: it reads what is there and does the rest"
	switch r.Outcome {
	case executor.Failed:
		switch {
		case r.Error != nil && r.Error.Status == 404:
			return "the server does not have it any more: plan again, and correct the policy if it names it"
		case r.Error != nil && saysNo(r.Error.Status):
			return "the server will refuse it again: have the account get the right that it lacks (privsync doctor), or correct the policy"
		case r.Error != nil && r.Error.TicketID != "":
			return again + "; if it stays, give the ticket to the vendor's support"
		}
		return again
	case executor.Unverified:
		return "unknown whether it was done: look with privsync explain, then " + again
	case executor.Stale:
		if r.Error != nil && r.Error.Code == executor.CodeMisnamed {
			return "the server names it otherwise than the plan: plan again, and look at the new plan before it is applied"
		}
		return "somebody changed it since the plan was made: plan again, and look at the new plan before it is applied"
	case executor.HeldBack:
		return "what it relies on was not done: mend that, then " + again
	case executor.UnknownState:
		if r.Error != nil && r.Error.Status == 200 {
			return "what the server answered cannot be used, and the error says why: mend that; where it was only cut off, run this again"
		}
		if report.Run.Command == "audit" {
			return "audit again; if it stays, see that the account may read it (privsync doctor)"
		}
		return "it could not be read, so nothing was changed: " + again
	case executor.Drifted:
		if slices.ContainsFunc(report.Findings, func(f planner.Finding) bool {
			return f.Code == planner.CodeInheritedForbidden && slices.Contains(f.Concerned(), r.Principal.ID)
		}) {
			return "a group hands down what is forbidden: take the member out of the group, or correct the policy"
		}
		return "somebody, or the server itself, changed it meanwhile: look with privsync explain, then apply again"
	}
	return again
}

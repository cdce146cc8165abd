package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/executor"
	"privsync/planner"
)

// planEnding returns how a plan ends a run that stops there, in words: what
// [executor.Refusal] says of it, and with detailed drift.
func planEnding(plan *planner.Plan, guards []planner.Guard, allowIncomplete, detailed bool) error {
	why := executor.Refusal(plan, guards, allowIncomplete)
	if why == nil {
		if detailed && plan.Drift() {
			return exits(executor.ExitDrift)
		}
		return nil
	}
	end := &ending{code: why.ExitCode(), err: errors.New(why.Message), hint: newPlanHint}
	switch why.Code {
	case executor.CodeBlocking:
		end.err = fmt.Errorf("%s of the policy cannot be resolved on the server", clean.Count(len(plan.Blocking()), "part"))
		end.hint = "the findings marked error say which: correct the policy, or the server, and plan again; until then nothing is applied"
	case executor.CodeIncomplete:
		what := clean.Count(plan.Summary.Unknown, "principal")
		if plan.Summary.Unknown == 0 {
			what = "a list, or what a selector chooses,"
		}
		end.err = fmt.Errorf("the plan is incomplete: %s could not be read", what)
		end.hint = "the findings marked error say why; plan again; or look at the plan first, and only if the rest is meant without them apply it with --allow-incomplete"
	case executor.CodeGuard:
		var names, messages []string
		for _, g := range guards {
			if !g.Allowed {
				names, messages = append(names, g.Name), append(messages, g.Message)
			}
		}
		end.err = fmt.Errorf("refused by %s: %s", clean.Count(len(names), "guard"), strings.Join(names, ", "))
		end.hint = strings.Join(messages, "; ")
	case executor.CodeRule:
		end.err = fmt.Errorf("refused: %s of severity error", clean.Count(len(plan.BrokenRules()), "rule violation"))
		end.hint = "the findings marked rule-violation say who, and by which path: correct the policy or the server"
	}
	return end
}

// reportEnding returns how a run ends whose report says everything.
func reportEnding(report *executor.Report) error {
	code := executor.ExitCode(report)
	switch {
	case code == executor.ExitOK, code == executor.ExitDrift:
		return exits(code)
	case code == executor.ExitInterrupted:
		return errInterrupted
	case report.Run.Command == "audit":
		return &ending{code: code, err: errors.New("the audit is incomplete: not everything could be found or read"), hint: "the findings marked error say what and why"}
	}
	why := fmt.Sprintf("run %s", report.Run.Outcome)
	if report.Error != nil {
		why += ": " + reportedError(report.Error).Error()
	}
	if parts := leftUndone(report); len(parts) > 0 {
		why += ": " + strings.Join(parts, ", ")
	}
	return &ending{code: code, err: errors.New(why), hint: reportHint(report)}
}

// leftUndone says what a run did not do, and what is wrong whatever it does.
func leftUndone(report *executor.Report) []string {
	s := report.Summary
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{
		{s.Failed, "failed"}, {s.Unverified, "unverified"}, {s.Stale, "stale"}, {s.HeldBack, "held back"},
		{s.NotAttempted, "not attempted"}, {s.Unknown, "unreadable"}, {s.Drifted, "drifted"},
	} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	for _, c := range report.Commands {
		if c.Outcome != executor.CommandSucceeded {
			parts = append(parts, fmt.Sprintf("command %s %s", c.Name, c.Outcome))
		}
	}
	found := make(map[planner.Code]int)
	misnamed, absent := 0, false
	for _, f := range report.Findings {
		found[f.Code]++
		absent = absent || f.Absent()
		if f.Code == planner.CodeNameMismatch && f.Position == nil {
			misnamed++
		}
	}
	for _, part := range []struct {
		is   bool
		what string
	}{
		{found[planner.CodeOscillation] > 0, "the plan undid what the last run of the policy did"},
		{found[planner.CodeGroupCycle] > 0, "groups contain themselves"},
		{misnamed > 0, clean.Count(misnamed, "principal is", "principals are") + " named otherwise by the server"},
		{found[planner.CodeInheritedForbidden] > 0, "a forbidden privilege still arrives through a group"},
		{absent, "the server does not have everybody whom the policy names"},
		{s.Unknown == 0 && found[planner.CodeReadFailed] > 0, "not everything could be read"},
	} {
		if part.is {
			parts = append(parts, part.what)
		}
	}
	return parts
}

// reportHint says what to do about a run that its report says did not do everything.
// It names another apply only where that can do more than this one did.
func reportHint(report *executor.Report) string {
	const (
		says  = "the report says what and why for each; "
		again = "apply again to try what is left"
	)
	var left, refused, stale bool
	for _, p := range report.Principals {
		switch p.Outcome {
		case executor.Failed:
			if p.Error != nil && saysNo(p.Error.Status) {
				refused = true
			} else {
				left = true
			}
		case executor.Stale:
			stale = true
		case executor.Unverified, executor.HeldBack, executor.NotAttempted, executor.UnknownState:
			left = true
		}
	}
	left = left || slices.ContainsFunc(report.Commands, func(c executor.CommandResult) bool { return c.Outcome != executor.CommandSucceeded })
	switch {
	case report.Error != nil && report.Error.Code == executor.CodeServerLock:
		return says + "see who has the server's lock (privsync unlock); when it is free, " + again
	case left && report.Error != nil && report.Error.Code == executor.CodeUnreachable:
		return says + "see that the server answers (privsync doctor), then " + again
	case left && refused:
		return says + "what the server refused it will refuse again until the account may do it or the policy asks for something else; " + again
	case left:
		return says + again
	case stale:
		return says + "somebody changed the stale ones meanwhile: plan again, and look at the new plan before it is applied"
	case refused:
		return says + "the server refused it and will again: have the account get the right that it lacks (privsync doctor), or correct the policy"
	}
	return says + "another apply changes nothing about it: correct the policy or the server"
}

// saysNo reports whether an answer of that status says no, and will say so again.
func saysNo(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusConflict && status != http.StatusTooManyRequests
}

package executor

import (
	"slices"

	"privsync/planner"
)

// Values of [Error].Code in [Report].Error: why a run wrote nothing, or ended
// early.
const (
	CodeGuard       = "guard-exceeded"   // refused: a guard that no flag allows
	CodeRule        = "rule-violation"   // refused: a rule of severity error is broken
	CodeMisnamed    = "name-mismatch"    // of a principal: the server names it otherwise than the saved plan
	CodePlanRefused = "plan-refused"     // refused: an edited, foreign, expired or malformed plan
	CodeBlocking    = "blocking-finding" // refused: a principal or privilege that the policy names cannot be resolved
	CodeIncomplete  = "incomplete-plan"  // refused: a principal could not be read completely
	CodeJournal     = "journal-failed"   // the journal could not be written, so no further write was started
	CodeDeadline    = "deadline"         // the run's time was over
	CodeUnreachable = "unreachable"      // the server stopped answering, so no further write was started
	CodeServerLock  = "server-lock"      // the server's lock is somebody else's, so no further write was started
)

// Exit codes, as design.md section 5 gives them.
const (
	ExitOK          = 0
	ExitError       = 1
	ExitDrift       = 2
	ExitRefused     = 3
	ExitIncomplete  = 4
	ExitInterrupted = 130
)

// ExitCode returns the exit code that says what r says. Where several hold, 1
// comes before 3, 3 before 4 and 4 before 2.
func ExitCode(r *Report) int {
	if r.Run.Command == "audit" {
		return auditExitCode(r)
	}
	switch {
	case r.Run.Outcome == RunInterrupted:
		return ExitInterrupted
	case r.Error != nil:
		switch r.Error.Code {
		case CodeGuard, CodeRule, CodePlanRefused:
			return ExitRefused
		case CodeDeadline, CodeUnreachable:
			return ExitIncomplete
		}
		if r.Wrote() {
			return ExitIncomplete
		}
		return ExitError
	case r.Run.Outcome == RunRefused:
		return ExitRefused
	case r.Run.Outcome == RunPartial, r.Run.Outcome == RunFailed:
		return ExitIncomplete
	}
	return ExitOK
}

// Wrote reports whether the run sent anything that changes a server.
func (r *Report) Wrote() bool {
	return slices.ContainsFunc(r.Principals, func(p Result) bool { return p.Attempts > 0 }) ||
		slices.ContainsFunc(r.Commands, func(c CommandResult) bool { return c.Outcome != CommandNotAttempted })
}

func auditExitCode(r *Report) int {
	switch {
	case r.Run.Outcome == RunInterrupted:
		return ExitInterrupted
	case r.Error != nil, r.Summary.Unknown > 0, unresolved(r.Findings), r.Run.Outcome == RunPartial, r.Run.Outcome == RunFailed:
		return ExitError
	case r.Run.Outcome != RunInSync:
		return ExitDrift
	}
	return ExitOK
}

// unresolved reports whether findings has one that stops everything: what the
// policy names was not found, or not read.
func unresolved(findings []planner.Finding) bool {
	return len((&planner.Plan{Findings: findings}).Blocking()) > 0 ||
		slices.ContainsFunc(findings, readFailed)
}

// joinFindings returns both lists as one; never nil. There may be very many of
// the plan's, so they are not copied without need.
func joinFindings(plan, more []planner.Finding) []planner.Finding {
	if len(more) == 0 {
		return orEmpty(slices.Clip(plan))
	}
	return slices.Concat(plan, more)
}

func readFailed(f planner.Finding) bool { return f.Code == planner.CodeReadFailed }

func brokenRule(f planner.Finding) bool {
	return f.Code == planner.CodeRuleViolation && f.Severity == planner.SeverityError
}

// drift is [planner.Finding.Drift].
func drift(f planner.Finding) bool { return f.Drift() }

// misnamed reports whether f says that a document names somebody otherwise than the
// server; one with a place in a policy blocks the plan.
func misnamed(f planner.Finding) bool {
	return f.Code == planner.CodeNameMismatch && f.Position == nil
}

func inheritedForbidden(f planner.Finding) bool { return f.Code == planner.CodeInheritedForbidden }

// summarize counts r.Principals. Requests and retries stay as they are.
func (r *Report) summarize() {
	s := Summary{Requests: r.Summary.Requests, Retries: r.Summary.Retries, Principals: len(r.Principals)}
	for i := range r.Principals {
		p := &r.Principals[i]
		switch p.Outcome {
		case InSync:
			s.InSync++
		case Drifted:
			s.Drifted++
		case Applied:
			s.Applied++
		case Failed:
			s.Failed++
		case Stale:
			s.Stale++
		case HeldBack:
			s.HeldBack++
		case Unverified:
			s.Unverified++
		case NotAttempted:
			s.NotAttempted++
		case UnknownState:
			s.Unknown++
		}
		s.Grants += len(p.Granted)
		s.Revokes += len(p.Revoked)
	}
	r.Summary = s
}

// judge sets the outcome of an apply from what its principals and commands came
// to. left is how many of them a stop left undone: a run that was stopped when
// all was done is not interrupted.
func (r *Report) judge(left int) {
	s := r.Summary
	undone := s.Failed + s.Stale + s.HeldBack + s.Unverified + s.NotAttempted + s.Unknown + s.Drifted
	for _, c := range r.Commands {
		if c.Outcome != CommandSucceeded {
			undone++
		}
	}
	planned, achieved := false, s.Grants+s.Revokes+s.Applied > 0
	for i := range r.Principals {
		if p := &r.Principals[i]; len(p.Grant)+len(p.Revoke) > 0 {
			planned = true
			achieved = achieved || p.Outcome == InSync
		}
	}
	ended := r.Error != nil && r.Error.Code != CodeDeadline && r.Error.Code != CodeUnreachable
	switch {
	case left > 0 && r.Error == nil:
		r.Run.Outcome = RunInterrupted
	case (ended || undone > 0 && planned) && !achieved:
		r.Run.Outcome = RunFailed
	case r.Error != nil, undone > 0, slices.ContainsFunc(r.Findings, drift), slices.ContainsFunc(r.Findings, readFailed), slices.ContainsFunc(r.Findings, misnamed):
		// A finding of a failed read counts by itself: who was not found, and whom a
		// saved plan leaves out, stands nowhere among the principals.
		r.Run.Outcome = RunPartial
	case s.Applied > 0:
		r.Run.Outcome = RunSucceeded
	default:
		r.Run.Outcome = RunInSync
	}
}

package executor

import (
	"fmt"

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

// The exit codes are a contract: scripts depend on them. When several hold, 1
// comes before 3 before 4 before 2; an interrupted run always says 130.
const (
	ExitOK          = 0   // nothing left to do, or everything done and verified
	ExitError       = 1   // bad policy, bad arguments, no connection, an incomplete read
	ExitDrift       = 2   // plan --detailed-exitcode, audit: there is drift
	ExitRefused     = 3   // a guard, a rule or a stale plan: nothing was written
	ExitIncomplete  = 4   // applied, but not all of it is verified
	ExitInterrupted = 130 // what was in flight was finished and reported
)

// Refusal returns why plan must not be applied at all, or nil. Where several
// reasons hold it is the one with the smallest exit code.
func Refusal(plan *planner.Plan, guards []planner.Guard, allowIncomplete bool) *Error {
	if err := plan.CheckChanges(); err != nil {
		return &Error{Code: CodePlanRefused, Message: err.Error()}
	}
	if n := len(plan.Blocking()); n > 0 {
		return &Error{Code: CodeBlocking, Message: fmt.Sprintf("%d of the policy's principals or privileges cannot be resolved", n)}
	}
	if !plan.Complete && !allowIncomplete {
		return &Error{Code: CodeIncomplete, Message: "the plan is incomplete: a principal could not be read"}
	}
	for _, g := range guards {
		if !g.Allowed {
			return &Error{Code: CodeGuard, Message: g.Message}
		}
	}
	if n := len(plan.BrokenRules()); n > 0 {
		return &Error{Code: CodeRule, Message: fmt.Sprintf("%d rule violations of severity error", n)}
	}
	return nil
}

// ExitCode returns the exit code of a run that wrote nothing because of e.
func (e *Error) ExitCode() int {
	switch e.Code {
	case CodeGuard, CodeRule, CodePlanRefused:
		return ExitRefused
	case CodeDeadline, CodeUnreachable:
		return ExitIncomplete
	}
	return ExitError
}

// ExitCode returns the exit code that says what r says.
func ExitCode(r *Report) int {
	audit := r.Run.Command == "audit"
	switch {
	case r.Run.Outcome == RunInterrupted:
		return ExitInterrupted
	case audit && r.Run.Outcome == RunDrifted:
		return ExitDrift
	case audit && r.Run.Outcome != RunInSync:
		return ExitError
	case r.Error != nil && r.Error.ExitCode() == ExitError && r.Wrote():
		return ExitIncomplete
	case r.Error != nil:
		return r.Error.ExitCode()
	case r.Run.Outcome == RunRefused:
		return ExitRefused
	case r.Run.Outcome == RunPartial, r.Run.Outcome == RunFailed:
		return ExitIncomplete
	}
	return ExitOK
}

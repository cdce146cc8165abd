package executor

import (
	"slices"

	"privsync/planner"
)

// Wrote reports whether the run sent anything that changes a server.
func (r *Report) Wrote() bool {
	return slices.ContainsFunc(r.Principals, func(p Result) bool { return p.Attempts > 0 }) ||
		slices.ContainsFunc(r.Commands, func(c CommandResult) bool { return c.Outcome != CommandNotAttempted })
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

// count ends r: it counts what is in it and the requests, of which so many were repeated
// by the executor itself.
func (r *Report) count(o Options, repeated int64) {
	r.Run.FinishedAt = o.Now()
	stats := o.Stats()
	r.Summary.Requests, r.Summary.Retries = stats.Requests, stats.Retries+repeated
	r.summarize()
	r.namePrivileges(o.Catalogue)
}

// summarize counts r.Principals. Requests and retries stay as they are.
func (r *Report) summarize() {
	s := Summary{Requests: r.Summary.Requests, Retries: r.Summary.Retries, Principals: len(r.Principals)}
	counts := map[Outcome]*int{
		InSync: &s.InSync, Drifted: &s.Drifted, Applied: &s.Applied, Failed: &s.Failed, Stale: &s.Stale, HeldBack: &s.HeldBack,
		Unverified: &s.Unverified, NotAttempted: &s.NotAttempted, UnknownState: &s.Unknown,
	}
	for i := range r.Principals {
		p := &r.Principals[i]
		if n := counts[p.Outcome]; n != nil {
			*n++
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

package planner

import "slices"

// Drift reports whether the server differs from the policy: something would be
// changed, or a finding says that it differs whatever is changed.
func (p *Plan) Drift() bool {
	return len(p.Changes) > 0 || slices.ContainsFunc(p.Findings, func(f Finding) bool { return f.Drift() })
}

// Drift reports whether f says that the server will not be as the policy wants it
// although everything else is done: something is inherited that is forbidden,
// groups contain themselves, somebody is not there, what is to be revoked from unlisted users is not,
// because not all users are known, or the plan undoes what the
// policy's last run did.
func (f *Finding) Drift() bool {
	if f.Code == CodePartialUserList {
		return f.Severity == SeverityError
	}
	return f.Code == CodeInheritedForbidden || f.Code == CodeGroupCycle || f.Code == CodeOscillation || f.Absent()
}

// Blocking returns the findings that say that the policy does not fit the
// server or itself: nothing may be applied while there are any.
func (p *Plan) Blocking() []Finding {
	return p.findingsWhere(func(f *Finding) bool {
		switch f.Code {
		case CodeUnknownPrincipal:
			return !f.Absent()
		case CodeAmbiguousPrincipal, CodeUnknownPrivilege, CodeConflictingEntries:
			return true
		case CodeNameMismatch:
			return f.Position != nil // one without is of a report's principal, which is left alone
		}
		return false
	})
}

// BrokenRules returns the violations of rules of severity error.
func (p *Plan) BrokenRules() []Finding {
	return p.findingsWhere(func(f *Finding) bool { return f.Code == CodeRuleViolation && f.Severity == SeverityError })
}

func (p *Plan) findingsWhere(keep func(*Finding) bool) []Finding {
	var out []Finding
	for i := range p.Findings {
		if keep(&p.Findings[i]) {
			out = append(out, p.Findings[i])
		}
	}
	return out
}

// Absent reports whether f says that the server does not have somebody whose
// absence the policy only wants reported: the rest is done, and it is drift.
func (f *Finding) Absent() bool {
	return f.Code == CodeUnknownPrincipal && f.Severity == SeverityWarning
}

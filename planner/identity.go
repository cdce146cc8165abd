package planner

import (
	"slices"
	"strings"

	"privsync/mstrapi"
	"privsync/policy"
)

// setApart takes out of what the server has for a name without an id those that
// other entries pin: where one is left, it is the one that is meant.
func (ob *observer) setApart(ref policy.PrincipalRef) {
	l := ob.lookupOf(ref)
	if ref.ID != "" || l.err != nil || len(l.rows) < 2 {
		return
	}
	rest := slices.DeleteFunc(slices.Clone(l.rows), func(row mstrapi.PrincipalRow) bool {
		return slices.ContainsFunc(ob.pol.Principals, func(e policy.Entry) bool {
			return e.Principal != nil && e.Principal.ID != "" && strings.EqualFold(e.Principal.ID, string(row.ID))
		})
	})
	if len(rest) == 1 {
		l.rows = rest
	}
}

// tolerate reports whether problem is that the server does not have somebody
// whose absence is only to be reported, and makes it a warning then. Who it was
// may go by another name now, so while it is open nobody counts as unlisted.
func (ob *observer) tolerate(problem *Finding, missing policy.Missing) bool {
	if problem.Code != CodeUnknownPrincipal || missing != policy.MissingReport {
		return false
	}
	problem.Severity = SeverityWarning
	ob.st.absent = true
	return true
}

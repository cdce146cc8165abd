package planner

import (
	"privsync/policy"
)

// everyoneReader is a reader that lists the members of the group Everyone where
// the server gives no list of users, and tells: [*mstrapi.Reader].
type everyoneReader interface {
	OnlyEveryone() bool
}

// onlyEveryone reports whether a list of users was one of the members of Everyone.
func (ob *observer) onlyEveryone() bool {
	r, ok := ob.r.(everyoneReader)
	return ok && r.OnlyEveryone()
}

// noteEveryone notes what onlyEveryone reports.
func (ob *observer) noteEveryone() {
	ob.st.onlyEveryone = ob.st.onlyEveryone || ob.onlyEveryone()
}

// everyoneFindings tells that nobody knows all users. Where those are to lose what
// they hold whom no entry covers, that is not done, which is drift.
func (d *draft) everyoneFindings() []Finding {
	if !d.st.onlyEveryone {
		return nil
	}
	f := Finding{
		Code: CodePartialUserList, Severity: SeverityWarning,
		Message: "the server gives no list of its users: the members of the group Everyone were taken for it, among which guests and some service accounts are not; rules and coverage do not speak of these",
	}
	if d.c.pol.Unlisted == policy.UnlistedRevoke {
		f.Severity = SeverityError
		f.Message += "; unlisted: revoke revokes nothing while not all users are known"
	}
	if !d.st.everybody {
		return []Finding{f}
	}
	return []Finding{f, {
		Code: CodeReadFailed, Severity: SeverityError,
		Message: "not everybody could be read: the server gives no list of its users, and whoever is not in the group Everyone was not looked at",
	}}
}

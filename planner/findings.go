package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// allFindings joins what the reading, the policy and the decisions found, in
// order: those without a principal first, then by principal in report order,
// code, privilege and position.
func (d *draft) allFindings() []Finding {
	all := slices.Concat(d.st.findings, d.c.findings, d.c.conflictFindings(), d.expiryFindings(), d.exceptionFindings(), d.readFindings(), d.suppressedFindings(), d.unlistedFindings(), d.goneFindings(), d.p.kin.cycleFindings(), d.pastFindings(), d.everyoneFindings(), oddFindings(d.st.odd))
	if d.complete {
		all = append(append(all, d.findings...), d.rules.findings...)
	} else {
		d.changes = nil
		all = append(all, Finding{
			Code: CodeReadFailed, Severity: SeverityError,
			Message: "the state was not observed for this policy: nothing can be decided from it",
		})
	}
	for _, o := range d.st.covered {
		if o.Enabled != mstrapi.No || !d.isExplicit(o) {
			continue
		}
		who := o.Principal
		all = append(all, Finding{
			Code: CodeDisabledUser, Severity: SeverityWarning, Principal: &who,
			Message: fmt.Sprintf("%s is disabled on the server", who.label()), Position: d.c.entryPosition(d.c.wantFor(o)),
		})
	}
	for i := range all {
		if f := &all[i]; f.Code == CodeUnknownPrivilege && f.Principal == nil && f.entry > 0 {
			f.Principal = d.explicitPrincipal(f.entry - 1)
		}
	}
	slices.SortStableFunc(all, compareFindings)
	return all
}

func (d *draft) isExplicit(o *Observed) bool {
	return d.c.pol.Principals[d.c.deciding(o.entries)].Principal != nil
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		compareOptional(a.Principal, b.Principal, func(a, b Principal) int { return a.Compare(&b) }),
		cmp.Compare(a.Code, b.Code),
		compareOptional(a.Privilege, b.Privilege, func(a, b PrivilegeRef) int {
			return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name))
		}),
		compareOptional(a.Position, b.Position, comparePositions),
		cmp.Compare(a.Message, b.Message),
	)
}

func compareOptional[T any](a, b *T, compare func(a, b T) int) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return compare(*a, *b)
}

func comparePositions(a, b policy.Position) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// readFindings tells of everybody who could not be read completely.
func (d *draft) readFindings() []Finding {
	var out []Finding
	for _, o := range d.st.byID {
		if o.Err == nil {
			continue
		}
		who := o.Principal
		f := Finding{
			Code: CodeReadFailed, Severity: SeverityError, Principal: &who,
			Message: fmt.Sprintf("%s could not be read completely, so nothing is planned for it: %v", who.label(), o.Err),
		}
		if o.Covered {
			f.Position = d.c.entryPosition(d.c.wantFor(o))
		}
		out = append(out, f)
	}
	if d.st.usersErr != nil {
		out = append(out, Finding{
			Code: CodeReadFailed, Severity: SeverityError,
			Message: fmt.Sprintf("the list of all users could not be read completely: %v", d.st.usersErr),
		})
	}
	return out
}

// suppressedFindings tells which revokes are not planned because of somebody
// who could not be read.
func (d *draft) suppressedFindings() []Finding {
	var out []Finding
	for _, s := range d.p.suppressed {
		who, ref := s.who.Principal, d.c.cat.ref(s.privilege)
		f := Finding{
			Code: CodeReadFailed, Severity: SeverityError, Principal: &who, Privilege: &ref,
			Message: fmt.Sprintf("the revoke of privilege %s from %s is not planned: %s", d.c.cat.label(s.privilege), who.label(), d.whySuppressed(s)),
		}
		if d.onlyAbsent(s) {
			f.Code, f.Severity = CodeUnknownPrincipal, SeverityWarning
		}
		out = append(out, f)
	}
	return out
}

// onlyAbsent reports whether a revoke is not planned because of somebody who is not
// there, which the policy wants reported.
func (d *draft) onlyAbsent(s suppressed) bool {
	return s.by == nil && d.st.absent && len(d.st.failed) == 0
}

// whySuppressed says because of whom a revoke is not planned.
func (d *draft) whySuppressed(s suppressed) string {
	switch {
	case d.onlyAbsent(s):
		return "an entry for the members of a group that the server does not have lists it"
	case s.by == nil:
		return "an entry that names it could not be resolved completely"
	case s.who.Principal.Kind == mstrapi.User:
		return s.by.Principal.label() + ", which may give it in its place, could not be read"
	}
	return s.by.Principal.label() + ", which may depend on it, could not be read"
}

// unlistedFindings tells of principals with direct grants that no entry covers.
func (d *draft) unlistedFindings() []Finding {
	var out []Finding
	for _, o := range d.st.unlisted {
		if o.Err != nil || o.Direct.IsEmpty() {
			continue
		}
		who, n := o.Principal, plural(o.Direct.Len(), "privilege", "privileges")
		switch {
		case d.c.pol.Unlisted == policy.UnlistedRevoke && d.st.absent:
			out = append(out, Finding{
				Code: CodeUnlistedPrincipal, Severity: SeverityWarning, Principal: &who,
				Message: fmt.Sprintf("%s holds %s directly and no entry of the policy covers it: %s; nothing is revoked from it while the policy names somebody that the server does not have, who may go by this name now",
					who.label(), n, joinIDs(o.Direct.IDs(), maxNamed)),
			})
		case d.c.pol.Unlisted == policy.UnlistedRevoke && d.st.onlyEveryone:
			out = append(out, Finding{
				Code: CodeUnlistedPrincipal, Severity: SeverityWarning, Principal: &who,
				Message: fmt.Sprintf("%s holds %s directly and no entry of the policy covers it: %s; nothing is revoked from it while not all users of the server are known",
					who.label(), n, joinIDs(o.Direct.IDs(), maxNamed)),
			})
		case d.c.pol.Unlisted == policy.UnlistedReport:
			out = append(out, Finding{
				Code: CodeUnlistedPrincipal, Severity: SeverityWarning, Principal: &who,
				Message: fmt.Sprintf("%s holds %s directly and no entry of the policy covers it: %s", who.label(), n, joinIDs(o.Direct.IDs(), maxNamed)),
			})
		case d.c.pol.Unlisted == policy.UnlistedRevoke && d.p.isProtected(o):
			out = append(out, Finding{
				Code: CodeProtectedPrincipal, Severity: SeverityInfo, Principal: &who,
				Message: fmt.Sprintf("%s holds %s directly, no entry of the policy covers it, and it is protected: it is passed over", who.label(), n),
			})
		}
	}
	return out
}

// day is how dates are shown: the last day that counts, in UTC.
const day = "2006-01-02"

// explicitPrincipal returns the principal that the entry names, if it is known.
func (d *draft) explicitPrincipal(entry int32) *Principal {
	if d.c.pol.Principals[entry].Principal == nil || int(entry) >= len(d.st.byEntry) {
		return nil
	}
	o := d.st.byEntry[entry]
	if o == nil {
		return nil
	}
	who := o.Principal
	return &who
}

// pathText shows a path from a principal to the group that holds a privilege.
func pathText(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = clean.Quote(n)
	}
	return strings.Join(quoted, " ← ")
}

// maxNamedUsers bounds how many users a message names.
const maxNamedUsers = 5

// nameSome names some of many in a message.
func nameSome(list []*Observed) string {
	var names []string
	for _, o := range list[:min(len(list), maxNamedUsers)] {
		names = append(names, o.Principal.label())
	}
	if more := len(list) - len(names); more > 0 {
		names = append(names, plural(more, "other", "others"))
	}
	return joinAnd(names)
}

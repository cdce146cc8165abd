package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// allFindings joins what the reading, the policy and the decisions found, in
// order: those without a principal first, then by principal in report order,
// code, privilege and position.
func (d *draft) allFindings() []Finding {
	all := slices.Concat(d.st.findings, d.compiled.findings, d.conflictFindings(), d.expiryFindings(), d.readFindings(), d.suppressedFindings(), d.unlistedFindings(), d.goneFindings(), d.cycleFindings(), d.pastFindings(), d.everyoneFindings(), oddFindings(d.st.odd))
	if d.complete {
		all = append(all, d.findings...)
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
			Message: fmt.Sprintf("%s is disabled on the server", who.label()), Position: d.entryPosition(d.wantFor(o)),
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
	return d.pol.Principals[d.deciding(o.entries)].Principal != nil
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
			f.Position = d.entryPosition(d.wantFor(o))
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
	for _, s := range d.suppressed {
		who, ref := s.who.Principal, d.cat.ref(s.privilege)
		why := "an entry that names it could not be resolved completely"
		switch {
		case s.by == nil:
		case who.Kind == mstrapi.User:
			why = s.by.Principal.label() + ", which may give it in its place, could not be read"
		default:
			why = s.by.Principal.label() + ", which may depend on it, could not be read"
		}
		if s.by == nil && d.st.absent && len(d.st.failed) == 0 {
			out = append(out, Finding{
				Code: CodeUnknownPrincipal, Severity: SeverityWarning, Principal: &who, Privilege: &ref,
				Message: fmt.Sprintf("the revoke of privilege %s from %s is not planned: an entry for the members of a group that the server does not have lists it", d.cat.label(s.privilege), who.label()),
			})
			continue
		}
		out = append(out, Finding{
			Code: CodeReadFailed, Severity: SeverityError, Principal: &who, Privilege: &ref,
			Message: fmt.Sprintf("the revoke of privilege %s from %s is not planned: %s", d.cat.label(s.privilege), who.label(), why),
		})
	}
	return out
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
		case d.pol.Unlisted == policy.UnlistedRevoke && d.st.absent:
			out = append(out, Finding{
				Code: CodeUnlistedPrincipal, Severity: SeverityWarning, Principal: &who,
				Message: fmt.Sprintf("%s holds %s directly and no entry of the policy covers it: %s; nothing is revoked from it while the policy names somebody that the server does not have, who may go by this name now",
					who.label(), n, joinIDs(o.Direct.IDs(), maxNamed)),
			})
		case d.pol.Unlisted == policy.UnlistedRevoke && d.st.onlyEveryone:
			out = append(out, Finding{
				Code: CodeUnlistedPrincipal, Severity: SeverityWarning, Principal: &who,
				Message: fmt.Sprintf("%s holds %s directly and no entry of the policy covers it: %s; nothing is revoked from it while not all users of the server are known",
					who.label(), n, joinIDs(o.Direct.IDs(), maxNamed)),
			})
		case d.pol.Unlisted == policy.UnlistedReport:
			out = append(out, Finding{
				Code: CodeUnlistedPrincipal, Severity: SeverityWarning, Principal: &who,
				Message: fmt.Sprintf("%s holds %s directly and no entry of the policy covers it: %s", who.label(), n, joinIDs(o.Direct.IDs(), maxNamed)),
			})
		case d.pol.Unlisted == policy.UnlistedRevoke && d.isProtected(o):
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

// expiryFindings tells of entries whose last day is over or near, once for each
// place in the policy.
func (d *draft) expiryFindings() []Finding {
	within := d.pol.ExpiringWithinDays
	type place struct {
		pos policy.Position
		ref string
	}
	found := make(map[place]int)
	var out []Finding
	undated := make(map[sharedList]bool)
	for i := range d.pol.Principals {
		e := &d.pol.Principals[i]
		if shared := e.Listed.Shared(); len(shared) > 0 && len(shared) == e.Listed.Len() {
			// Very many entries have the same list, and most lists have no dates.
			key := sharedList{&shared[0], len(shared)}
			without, known := undated[key]
			if !known {
				without = !slices.ContainsFunc(shared, func(l policy.Listed) bool { return !l.Until.IsZero() })
				undated[key] = without
			}
			if without {
				continue
			}
		}
		for l := range e.Listed.All() {
			if l.Until.IsZero() {
				continue
			}
			at := place{l.Pos, l.Ref.String()}
			if l.Pos == (policy.Position{}) {
				at.pos.Line = -1 - i // hand-made policies: each entry is a place
			}
			if n, told := found[at]; told {
				// Several principals share it through a set.
				if n >= 0 {
					out[n].Principal = nil
				}
				continue
			}
			found[at] = -1
			f, ok := d.expiry(&l, within)
			if !ok {
				continue
			}
			if who := d.explicitPrincipal(int32(i)); who != nil && l.Set == "" {
				f.Principal = who
			}
			found[at] = len(out)
			out = append(out, f)
		}
	}
	return out
}

func (d *draft) expiry(l *policy.Listed, within int) (Finding, bool) {
	var ref PrivilegeRef
	for _, p := range d.cat.byName[l.Name] {
		ref = PrivilegeRef{ID: p.ID, Name: p.Name}
	}
	if l.ID != 0 {
		ref = d.cat.ref(mstrapi.PrivilegeID(l.ID))
	}
	label := l.Ref.String()
	if ref.ID != 0 {
		label = d.cat.label(ref.ID)
	}
	f := Finding{Position: position(l.Pos)}
	if ref.ID > 0 && ref.ID <= mstrapi.MaxPrivilegeID {
		f.Privilege = &ref
	}
	why := ""
	if l.Reason != "" {
		why = fmt.Sprintf(" (%s)", l.Reason)
	}
	last := l.Until.UTC().Format(day)
	// Whole days: 0 on the last day itself.
	left := int(l.Until.Sub(d.now.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
	switch {
	case l.Until.IsZero():
		return f, false
	case l.Expired(d.now):
		f.Code, f.Severity = CodeExpiredEntry, SeverityInfo
		f.Message = fmt.Sprintf("the entry for privilege %s%s ended with %s", label, why, last)
		return f, true
	case within > 0 && left <= within:
		f.Code, f.Severity = CodeExpiringSoon, SeverityWarning
		when := "today"
		if left > 0 {
			when = "in " + plural(left, "day", "days")
		}
		f.Message = fmt.Sprintf("the entry for privilege %s%s ends with %s, %s", label, why, last, when)
		return f, true
	}
	return f, false
}

// explicitPrincipal returns the principal that the entry names, if it is known.
func (d *draft) explicitPrincipal(entry int32) *Principal {
	if d.pol.Principals[entry].Principal == nil || int(entry) >= len(d.st.byEntry) {
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

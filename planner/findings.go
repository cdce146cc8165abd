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

// finding returns a finding about nobody in particular, with a message.
func finding(code Code, severity Severity, format string, args ...any) Finding {
	return Finding{Code: code, Severity: severity, Message: fmt.Sprintf(format, args...)}
}

// about, of and at return f with a principal, a privilege and a position.
func (f Finding) about(who Principal) Finding       { f.Principal = &who; return f }
func (f Finding) of(ref PrivilegeRef) Finding       { f.Privilege = &ref; return f }
func (f Finding) at(where *policy.Position) Finding { f.Position = where; return f }

// allFindings joins what the reading, the policy and the decisions found, in
// order: those without a principal first, then by principal in report order,
// code, privilege and position.
func (d *draft) allFindings() []Finding {
	c, st := d.c, d.st
	all := slices.Concat(
		st.findings, c.findings, c.conflictFindings(), c.expiryFindings(st), c.exceptionFindings(), readFindings(c, st), d.p.caution.findings(),
		unlistedFindings(c, st), disabledFindings(c, st), goneFindings(st), d.p.kin.cycleFindings(), everyoneFindings(st, c.pol.Unlisted), oddFindings(st.odd),
	)
	if d.complete {
		all = slices.Concat(all, d.findings, d.rules.findings, d.oscillations(), d.noLongerListed())
	} else {
		d.changes = nil
		all = append(all, finding(CodeReadFailed, SeverityError, "the state was not observed for this policy: nothing can be decided from it"))
	}
	for i := range all {
		if f := &all[i]; f.Code == CodeUnknownPrivilege && f.Principal == nil && f.entry > 0 {
			f.Principal = c.explicitPrincipal(st, f.entry-1)
		}
	}
	slices.SortStableFunc(all, compareFindings)
	return all
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
func readFindings(c *compiled, st *State) []Finding {
	var out []Finding
	for _, o := range st.byID {
		if o.Err == nil {
			continue
		}
		f := finding(CodeReadFailed, SeverityError, "%s could not be read completely, so nothing is planned for it: %v", o.Principal.Label(), o.Err)
		if o.Covered {
			f.Position = c.entryPosition(c.wantFor(o))
		}
		out = append(out, f.about(o.Principal))
	}
	if st.usersErr != nil {
		out = append(out, finding(CodeReadFailed, SeverityError, "the list of all users could not be read completely: %v", st.usersErr))
	}
	return out
}

// disabledFindings tells of users with an entry of their own who cannot log in.
func disabledFindings(c *compiled, st *State) []Finding {
	var out []Finding
	for _, o := range st.covered {
		if o.Enabled == mstrapi.No && isExplicit(c.pol, o.entries) {
			f := finding(CodeDisabledUser, SeverityWarning, "%s is disabled on the server", o.Principal.Label())
			out = append(out, f.about(o.Principal).at(c.entryPosition(c.wantFor(o))))
		}
	}
	return out
}

// goneFindings tells of everybody whom the server named and does not have.
func goneFindings(st *State) []Finding {
	var out []Finding
	for _, who := range st.gone {
		f := finding(CodeGonePrincipal, SeverityInfo, "%s was named by the server and does not exist (asked for by its id %s): nothing is decided about it", who.Label(), who.ID)
		out = append(out, f.about(who))
	}
	return out
}

// everyoneFindings tells that nobody knows all users. Where those are to lose what
// they hold whom no entry covers, that is not done, which is drift.
func everyoneFindings(st *State, unlisted policy.Unlisted) []Finding {
	if !st.onlyEveryone {
		return nil
	}
	f := finding(CodePartialUserList, SeverityWarning,
		"the server gives no list of its users: the members of the group Everyone were taken for it, among which guests and some service accounts are not; rules and coverage do not speak of these")
	if unlisted == policy.UnlistedRevoke {
		f.Severity = SeverityError
		f.Message += "; unlisted: revoke revokes nothing while not all users are known"
	}
	if !st.everybody {
		return []Finding{f}
	}
	return []Finding{f, finding(CodeReadFailed, SeverityError,
		"not everybody could be read: the server gives no list of its users, and whoever is not in the group Everyone was not looked at")}
}

// oddFindings returns one finding that names what is odd in the catalogue, or none.
func oddFindings(odd []mstrapi.OddPrivilege) []Finding {
	if len(odd) == 0 {
		return nil
	}
	var named []string
	kept, lost := false, false
	for _, o := range odd {
		kept, lost = kept || o.Kept, lost || !o.Kept
		named = append(named, o.String())
	}
	text := "the server's catalogue of privileges is odd: " + strings.Join(firstOf(named), ", ")
	if kept {
		text += "; one without a name can be named by its number"
	}
	if lost {
		text += "; one without a number or a level cannot be named, and a second entry of the same counts once"
	}
	return []Finding{finding(CodeOddCatalogue, SeverityWarning, "%s", text)}
}

// day is how dates are shown: the last day that counts, in UTC.
const day = "2006-01-02"

// explicitPrincipal returns the principal that the entry names, if it is known.
func (c *compiled) explicitPrincipal(st *State, entry int32) *Principal {
	if c.pol.Principals[entry].Principal == nil || int(entry) >= len(st.byEntry) {
		return nil
	}
	o := st.byEntry[entry]
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

// maxNamed bounds how many things a message names one by one.
const maxNamed = 20

// firstOf returns no more of what a message names than it may.
func firstOf(named []string) []string {
	if more := len(named) - maxNamed; more > 0 {
		return append(named[:maxNamed:maxNamed], fmt.Sprintf("and %d more", more))
	}
	return named
}

// joinIDs names privileges by their numbers.
func joinIDs(ids []mstrapi.PrivilegeID) string {
	named := make([]string, len(ids))
	for i, id := range ids {
		named[i] = id.String()
	}
	return strings.Join(firstOf(named), ", ")
}

// joinAnd names things in a sentence.
func joinAnd(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// maxNamedUsers bounds how many users a message names.
const maxNamedUsers = 5

// nameSome names some of many in a message.
func nameSome(list []*Observed) string {
	var names []string
	for _, o := range list[:min(len(list), maxNamedUsers)] {
		names = append(names, o.Principal.Label())
	}
	if more := len(list) - len(names); more > 0 {
		names = append(names, clean.Count(more, "other"))
	}
	return joinAnd(names)
}

// Label is how messages name a principal.
func (p Principal) Label() string {
	label := fmt.Sprintf("%s %s", p.Kind, p.ID)
	switch {
	case p.Kind == mstrapi.Group:
		label = "group " + clean.Quote(p.Name)
	case p.Login != "" && p.Login != p.Name:
		label = fmt.Sprintf("user %s (%s)", clean.Quote(p.Name), clean.Text(p.Login))
	case p.Name != "":
		label = "user " + clean.Quote(p.Name)
	}
	if p.Tenant != "" {
		label += " of tenant " + clean.Quote(p.Tenant)
	}
	return label
}

package planner

import (
	"fmt"
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// judgesEverybody reports whether rules are to judge also those whom no entry
// covers. Rules that only require something look for holders by themselves.
func (ob *observer) judgesEverybody() bool {
	return ob.everybody && slices.ContainsFunc(ob.pol.Rules, func(r policy.Rule) bool { return len(r.Deny) > 0 || len(r.Conflict) > 0 })
}

// placeEverybody makes rules judge everybody whom the lists name. A list that
// could not be read leaves its people unjudged, which is a finding.
func (ob *observer) placeEverybody() {
	if !ob.judgesEverybody() {
		return
	}
	st := ob.st
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		if err := ob.listErr[kind]; err != nil {
			st.findings = append(st.findings, Finding{
				Code: CodeReadFailed, Severity: SeverityError,
				Message: fmt.Sprintf("the list of all %ss could not be read completely, so the rules do not judge everybody: %v", kind, err),
			})
		}
		for _, row := range ob.lists[kind] {
			if st.byID[row.ID] == nil {
				o := &Observed{Principal: principalOf(row), Enabled: row.Enabled}
				ob.noteParents(o, row.Memberships)
				st.byID[row.ID] = o
				st.strangers = append(st.strangers, o)
			}
			st.reached[row.ID] = true
		}
	}
}

// noteUndecided remembers about whom it cannot be said whether they are as the
// policy wants, and why.
func (d *draft) noteUndecided(o *Observed, w *want) {
	why := ""
	switch {
	case o.Err != nil:
		return
	case slices.ContainsFunc(o.entries, func(e int32) bool { return d.entries[e].open }):
		why = "an entry that covers it names a privilege that the server's catalogue does not have, or that is outside the scope"
	case !w.contradicted.IsEmpty() || d.disagree(o.entries):
		why = "entries that cover it contradict each other"
	case slices.ContainsFunc(d.doubtful, func(i int32) bool { return mayChoose(d.pol.Principals[i].Selector, o) }):
		why = "a selector that could not be read completely may cover it"
	default:
		return
	}
	if d.undecided == nil {
		d.undecided = make(map[mstrapi.ObjectID]string)
	}
	d.undecided[o.Principal.ID] = why
}

// disagree reports whether no explicit entry settles what selectors set
// differently.
func (c *compiled) disagree(entries []int32) bool {
	lead := c.deciding(entries)
	if len(entries) < 2 || c.pol.Principals[lead].Principal != nil {
		return false
	}
	first := withDefaults(c.pol.Principals[lead].Settings)
	return slices.ContainsFunc(entries, func(e int32) bool {
		return differing(first, withDefaults(c.pol.Principals[e].Settings)) != ""
	})
}

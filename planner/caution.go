package planner

import (
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// caution knows what must not be revoked because somebody could not be read or found, who
// may depend on it.
type caution struct {
	c  *compiled
	st *State

	taint      Set                               // what no group may lose in this plan
	tainted    map[mstrapi.PrivilegeID]*Observed // the same, and who could not be read (nil: an entry)
	promised   map[mstrapi.PrivilegeID]*Observed // what groups that could not be read are meant to have (nil: an entry)
	unseen     []unseen                          // groups that could not be read or found
	suppressed []suppressed
}

// suppressed is a revoke that is not planned because of somebody who could not
// be read: on a group because by may depend on it, on a user because by may be
// what gives the user the privilege in its place.
type suppressed struct {
	who       *Observed
	privilege mstrapi.PrivilegeID
	by        *Observed // nil: an entry that could not be resolved
	taken     bool      // by, or a group of the entry, may lose it, and who inherits it
}

// unseen is what is wanted of a group that could not be read, or of those of an entry
// that could not be resolved.
type unseen struct {
	who *Observed // nil: an entry
	*want
}

// takes reports whether g, should it hold q, is to lose it.
func (g unseen) takes(q mstrapi.PrivilegeID) bool {
	var d decision
	d.own(g.want, SetOf(q).Union(g.needs.need(SetOf(q))))
	return d.revoke().Has(q)
}

// newCaution finds the privileges that no group may lose in this plan: those
// that a principal which could not be read is meant to have (it may hold them
// through any group), and those that a group which could not be read passes on.
// What groups among them are meant to have is promised.
func newCaution(c *compiled, st *State) *caution {
	k := &caution{c: c, st: st, tainted: make(map[mstrapi.PrivilegeID]*Observed), promised: make(map[mstrapi.PrivilegeID]*Observed)}
	for _, o := range st.covered {
		if o.Err != nil {
			k.hide(o, c.wantFor(o), o.Principal.Kind == mstrapi.Group)
		}
	}
	for i := range c.pol.Principals {
		if st.failed[i] != nil {
			var w want
			c.combine([]int32{int32(i)}, &w)
			k.hide(nil, &w, isForGroups(&c.pol.Principals[i]))
		}
	}
	if len(c.doubtful) > 0 {
		for _, o := range st.covered {
			w := c.wantFor(o)
			k.mark(w.undecided.Minus(w.contradicted), nil, false)
		}
	}
	k.markPassedOn()
	return k
}

// hide notes what is wanted of somebody who could not be read or found.
func (k *caution) hide(o *Observed, w *want, group bool) {
	k.mark(w.listed, o, group)
	if group {
		k.unseen = append(k.unseen, unseen{o, w})
	}
}

// mark notes that no group may lose s because of o, nil for an entry, and promised where
// groups are meant to have it.
func (k *caution) mark(s Set, o *Observed, promised bool) {
	for q := range s.All() {
		if !k.taint.Has(q) {
			k.taint.Add(q)
			k.tainted[q] = o
		}
		if _, known := k.promised[q]; promised && !known {
			k.promised[q] = o
		}
	}
}

// markPassedOn marks what the groups that could not be read pass on.
func (k *caution) markPassedOn() {
	passes := make(map[int]*Set)
	var groups []*Observed
	for i, ref := range k.st.refs.list {
		if o := k.st.byID[ref.ID]; o != nil && o.Err != nil {
			passes[i] = new(Set)
			groups = append(groups, o)
		}
	}
	if len(passes) == 0 {
		return
	}
	seen := make(map[*profile]bool)
	for _, o := range k.st.byID {
		if o.held == nil || seen[o.held] {
			continue
		}
		seen[o.held] = true
		for q, code := range o.held.all() {
			for _, i := range code.groups() {
				if s := passes[i]; s != nil {
					s.Add(q)
				}
			}
		}
	}
	slices.SortFunc(groups, compareObserved)
	for _, o := range groups {
		k.mark(*passes[k.st.refs.index[o.Principal.ID]], o, false)
	}
}

// isForGroups reports whether the entry covers groups.
func isForGroups(e *policy.Entry) bool {
	if e.Principal != nil {
		return e.Principal.Kind == policy.Group
	}
	return e.Selector.Kind == policy.Group
}

// suppress takes s out of what o is to lose, and notes what is not planned, and
// because of whom.
func (k *caution) suppress(o *Observed, w *want, d *decision, s Set, causes map[mstrapi.PrivilegeID]*Observed) {
	asked := d.revoke()
	d.spare(s, w, o.Direct)
	for q := range asked.Minus(d.revoke()).All() {
		k.suppressed = append(k.suppressed, suppressed{who: o, privilege: q, by: k.because(causes, q)})
	}
}

// because returns who is the cause that q is not revoked: by its own account, or
// by that of something that needs it.
func (k *caution) because(of map[mstrapi.PrivilegeID]*Observed, q mstrapi.PrivilegeID) *Observed {
	if by, ok := of[q]; ok {
		return by
	}
	for r := range k.c.relation.dependents(SetOf(q)).All() {
		if by, ok := of[r]; ok {
			return by
		}
	}
	return nil
}

// spareVanishing keeps direct grants of o that the next plan may take from what makes them
// redundant.
func (k *caution) spareVanishing(o *Observed, w *want, d *decision) {
	var spared Set
	for q := range d.redundant.All() {
		if s, ok := k.mayVanish(o, q); ok {
			k.suppressed = append(k.suppressed, s)
			spared.Add(q)
		}
	}
	if !spared.IsEmpty() {
		d.redundant = d.redundant.Minus(spared)
		d.keepNeeded(w, o.Direct)
	}
}

// mayVanish reports whether the next plan may take away what o inherits of q, and because
// of whom.
func (k *caution) mayVanish(o *Observed, q mstrapi.PrivilegeID) (suppressed, bool) {
	if k.taint.Has(q) || k.c.pol.Unlisted == policy.UnlistedRevoke && !k.c.knowsUnlisted(k.st) {
		return suppressed{who: o, privilege: q, by: k.tainted[q]}, true
	}
	for _, g := range k.unseen {
		if g.takes(q) {
			return suppressed{who: o, privilege: q, by: g.who, taken: true}, true
		}
	}
	return suppressed{}, false
}

// findings tells which revokes are not planned because of somebody who could not be read.
func (k *caution) findings() []Finding {
	var out []Finding
	for _, s := range k.suppressed {
		code, severity := CodeReadFailed, SeverityError
		if k.onlyAbsent(s) {
			code, severity = CodeUnknownPrincipal, SeverityWarning
		}
		f := finding(code, severity, "the revoke of privilege %s from %s is not planned: %s", k.c.cat.label(s.privilege), s.who.Principal.Label(), k.whySuppressed(s))
		out = append(out, f.about(s.who.Principal).of(k.c.cat.ref(s.privilege)))
	}
	return out
}

// onlyAbsent reports whether a revoke is not planned because of somebody who is not
// there, which the policy wants reported.
func (k *caution) onlyAbsent(s suppressed) bool {
	return s.by == nil && k.st.absent && len(k.st.failed) == 0
}

// whySuppressed says because of whom a revoke is not planned.
func (k *caution) whySuppressed(s suppressed) string {
	switch {
	case k.onlyAbsent(s):
		return "an entry for the members of a group that the server does not have lists it"
	case s.taken && s.by == nil:
		return "an entry for groups, which may take it from one that gives it in its place, could not be resolved completely"
	case s.taken:
		return s.by.Principal.Label() + ", which may lose it and give it no longer, could not be read"
	case s.by == nil:
		return "an entry that names it could not be resolved completely"
	case s.who.Principal.Kind == mstrapi.User:
		return s.by.Principal.Label() + ", which may give it in its place, could not be read"
	}
	return s.by.Principal.Label() + ", which may depend on it, could not be read"
}

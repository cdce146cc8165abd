package planner

import (
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// projection decides what every principal needs, groups before their members,
// from a policy and a state. It asks for facts that the state does not have in
// needs: then its answers do not count, and [Observe] reads them and projects
// again. Both [Observe] and [Make] use it, so that what is read is what is
// decided from.
//
//   - What a principal inherits after the plan (I') is what some group above it
//     then holds directly. A privilege that no group loses stays inherited, so
//     only the privileges that some group loses (lossy) or gains are looked at.
//   - A lossy privilege stays if, following the sources that the server names
//     from group to group, one is found that keeps it. This is right whether a
//     source names the holder or the immediate parent, for both are groups above
//     the principal, and all holders are found in the end.
//   - A group that lists a privilege has it after the plan, whatever happens
//     above it, and so have its members.
//   - A gained privilege is inherited if a gaining group is above the principal;
//     memberships are asked for only where that makes a difference.
type projection struct {
	c     *compiled
	st    *State
	actor *Observed // nil: not read
	work  Set       // what the session's user works with; see work for what is not known

	active    map[*Observed]*want     // groups that are decided about
	groups    []*Observed             // the same in report order
	decisions map[*Observed]*decision // of groups

	caution *caution
	lossy   Set
	cut     map[mstrapi.PrivilegeID][]*Observed // groups that lose it
	spared  Set                                 // privileges that a group loses and that stay inherited there (redundant)
	gaining Set
	gainers map[mstrapi.PrivilegeID][]*Observed // groups that may gain it; once groups are decided: those that do

	kin   *lineage
	needs *needs
}

// project decides the groups and says what is missing.
func project(c *compiled, st *State) *projection {
	n := new(needs)
	p := &projection{
		c:         c,
		st:        st,
		work:      st.work.privileges,
		active:    make(map[*Observed]*want),
		decisions: make(map[*Observed]*decision),
		caution:   newCaution(c, st),
		cut:       make(map[mstrapi.PrivilegeID][]*Observed),
		gainers:   make(map[mstrapi.PrivilegeID][]*Observed),
		kin:       newLineage(st, n),
		needs:     n,
	}
	if st.Actor.ID != "" {
		p.actor = st.byID[st.Actor.ID]
	}
	p.kin.findCycles()
	p.findGroups()
	p.findLosses()
	p.findGainers()
	p.decideGroups()
	return p
}

// findGroups finds the groups that are decided about, and what is wanted of them.
func (p *projection) findGroups() {
	for o := range p.st.all() {
		if o.Principal.Kind != mstrapi.Group || o.Err != nil {
			continue
		}
		if w := p.c.wantOf(o, p.st); w != nil {
			p.active[o] = w
			p.groups = append(p.groups, o)
		}
	}
	slices.SortFunc(p.groups, compareObserved)
}

// findLosses finds what groups lose, and which revokes are not planned because somebody
// may depend on them.
func (p *projection) findLosses() {
	for _, o := range p.groups {
		var d decision
		d.own(p.active[o], o.Direct)
		p.caution.suppress(o, p.active[o], &d, p.caution.taint, p.caution.tainted)
		for q := range d.revoke().All() {
			p.cut[q] = append(p.cut[q], o)
			p.lossy.Add(q)
		}
	}
}

// findGainers finds the groups that may gain a privilege: whoever lists it has it
// afterwards, and so have its members, whether it is granted it or inherits it.
func (p *projection) findGainers() {
	for _, o := range p.groups {
		p.gain(o, p.active[o].listed.Minus(o.Direct).Minus(o.Inherited.Minus(p.lossy)))
	}
}

func (p *projection) gain(o *Observed, s Set) {
	for q := range s.All() {
		p.gainers[q] = append(p.gainers[q], o)
		p.gaining.Add(q)
	}
}

// decideGroups decides all groups, and which of those that may gain a privilege do.
func (p *projection) decideGroups() {
	for _, o := range p.groups {
		w := p.active[o]
		d := decide(w, o.Direct, p.inheritedAfter(o, w, p.st.judges(o)))
		d.spare(p.caution.taint, w, o.Direct)
		p.spareRedundant(o, w, &d)
		p.decisions[o] = &d
	}
	p.gainers, p.gaining = make(map[mstrapi.PrivilegeID][]*Observed), Set{}
	for _, o := range p.groups {
		p.gain(o, p.decisions[o].grant)
		p.spared = p.spared.Union(p.decisions[o].redundant)
	}
}

// spareUser takes out of what a user is to lose that which a group that could
// not be read is meant to have: the user may belong to it, and would get back
// with the next plan what it loses with this one.
func (p *projection) spareUser(o *Observed, w *want, d *decision) {
	p.spareRedundant(o, w, d)
	var spared Set
	for q := range d.revoke().Minus(d.redundant).All() {
		if _, promised := p.caution.promised[q]; promised && !p.revokesAnyway(o, d, q) {
			spared.Add(q)
		}
	}
	if !spared.IsEmpty() {
		p.caution.suppress(o, w, d, spared, p.caution.promised)
	}
}

// spareRedundant keeps a direct grant that may be redundant only because a group
// does not lose the privilege in this plan and will in the next: one that no
// group may lose, one that a group may lose which was not seen, or any while nobody
// knows whom no entry covers.
func (p *projection) spareRedundant(o *Observed, w *want, d *decision) {
	if o.Principal.Kind == mstrapi.Group {
		for q := range d.redundant.All() {
			p.kin.wantRead(p.kin.trace(o, q), q) // it may come from the group itself
		}
	}
	p.spareCyclic(o, w, d)
	p.caution.spareVanishing(o, w, d)
}

// spareCyclic keeps the direct grants of o that may be redundant only because of
// what groups that contain themselves hand down.
func (p *projection) spareCyclic(o *Observed, w *want, d *decision) {
	if len(p.kin.cycles) == 0 || d.redundant.IsEmpty() {
		return
	}
	var spared Set
	for q := range d.redundant.All() {
		sound := false
		for _, g := range p.kin.trace(o, q).groups {
			sound = sound || p.kin.cycles[g.Principal.ID] == 0 && g.Err == nil && p.holdsAfter(g, q)
		}
		if !sound {
			spared.Add(q)
		}
	}
	d.redundant = d.redundant.Minus(spared)
	d.keepNeeded(w, o.Direct)
}

// revokesAnyway reports whether q is revoked from o whatever gives it back, because it is
// forbidden or needs something that is; but not from under the session itself.
func (p *projection) revokesAnyway(o *Observed, d *decision, q mstrapi.PrivilegeID) bool {
	forbidden := d.forbidden.Has(q) || d.dependent.Has(q) && !p.c.relation.need(SetOf(q)).Intersect(d.forbidden).IsEmpty()
	return forbidden && (o != p.actor || !p.work.Has(q))
}

// heldAfter returns what o will hold directly and inherit; ruled as for inheritedAfter.
func (p *projection) heldAfter(o *Observed, ruled bool) (direct, inherited Set) {
	w := p.c.wantOf(o, p.st)
	inherited = p.inheritedAfter(o, w, ruled)
	if w == nil {
		return o.Direct, inherited
	}
	d := decide(w, o.Direct, inherited)
	return d.direct(o.Direct), inherited
}

// relevant returns the privileges about which it matters whether o inherits
// them after the plan, among those whose inheritance the plan may change.
func (p *projection) relevant(o *Observed, w *want, ruled bool) Set {
	touched := p.touched()
	if touched.IsEmpty() {
		return touched
	}
	var r Set
	if w != nil {
		r = w.listed.Minus(o.Direct).Union(w.forbidden)
		if w.settings.Redundant == policy.RedundantRevoke {
			r = r.Union(w.listed.Intersect(o.Direct))
		}
		if w.settings.Inherited == policy.InheritedReport {
			r = r.Union(touched.Minus(w.listed))
		}
		if o.Principal.Kind == mstrapi.User {
			// Whether a revoke relies on a group's grant.
			var d decision
			d.own(w, o.Direct)
			r = r.Union(d.revoke())
		}
	}
	if ruled {
		r = r.Union(p.c.ruled)
	}
	if o == p.actor {
		r = r.Union(p.work)
	}
	return r.Intersect(touched)
}

// touched returns the privileges whose inheritance the plan may change.
func (p *projection) touched() Set { return p.lossy.Union(p.gaining) }

// inheritedAfter returns what o inherits once the plan's group changes are
// done. Lossy privileges that are not relevant to o are left out.
func (p *projection) inheritedAfter(o *Observed, w *want, ruled bool) Set {
	return p.inheritedOf(o, p.relevant(o, w, ruled))
}

// inheritedOf is inheritedAfter, of which these may be asked that the plan may change.
func (p *projection) inheritedOf(o *Observed, relevant Set) Set {
	if p.lossy.IsEmpty() && relevant.IsEmpty() {
		return o.Inherited
	}
	after := o.Inherited.Minus(p.lossy)
	for q := range relevant.All() {
		if after.Has(q) {
			continue
		}
		if o.Inherited.Has(q) && p.keeps(o, q) || p.gains(o, q) {
			after.Add(q)
		}
	}
	return after
}

// gains reports whether a gaining group is above o.
func (p *projection) gains(o *Observed, q mstrapi.PrivilegeID) bool {
	for _, g := range p.gainers[q] {
		if g != o && !p.kin.inCycle(g, o) && p.kin.above(g.Principal.ID, o) {
			return true
		}
	}
	return false
}

// gainersAbove returns the groups above o that are granted q.
func (p *projection) gainersAbove(o *Observed, q mstrapi.PrivilegeID) []*Observed {
	var out []*Observed
	for _, g := range p.gainers[q] {
		if g != o && p.kin.above(g.Principal.ID, o) {
			out = append(out, g)
		}
	}
	return out
}

// keeps reports whether o still inherits q from a group above it, one that it
// inherits it from now.
func (p *projection) keeps(o *Observed, q mstrapi.PrivilegeID) bool {
	t := p.kin.trace(o, q)
	for _, g := range t.groups {
		if p.kin.inCycle(g, o) {
			continue
		}
		if w := p.active[g]; w != nil && w.listed.Has(q) || g.Direct.Has(q) && !slices.Contains(p.cut[q], g) {
			return true
		}
	}
	p.kin.wantRead(t, q)
	return false
}

// stays reports whether o inherits q throughout, whatever becomes of the
// plan's grants.
func (p *projection) stays(o *Observed, q mstrapi.PrivilegeID) bool {
	if !o.Inherited.Has(q) {
		return false
	}
	if !p.lossy.Has(q) && !p.spared.Has(q) {
		return true
	}
	t := p.kin.trace(o, q)
	for _, g := range t.groups {
		if g.Err == nil && !p.kin.inCycle(g, o) && g.Direct.Has(q) && !p.loses(g, q) {
			return true
		}
	}
	p.kin.wantRead(t, q)
	return false
}

// loses reports whether the plan revokes q from the group.
func (p *projection) loses(g *Observed, q mstrapi.PrivilegeID) bool {
	d := p.decisions[g]
	return d != nil && (d.forbidden.Has(q) || d.expired.Has(q) || d.notListed.Has(q) || d.redundant.Has(q) || d.dependent.Has(q))
}

// holdsAfter reports whether the group holds q directly after the plan.
func (p *projection) holdsAfter(g *Observed, q mstrapi.PrivilegeID) bool {
	if d := p.decisions[g]; d != nil && d.grant.Has(q) {
		return true
	}
	return g.Direct.Has(q) && !p.loses(g, q)
}

// holders returns the groups from which o inherits q after the plan, or in an
// audit now: those above it that then hold it directly, in report order; and the sources of it
// that are no groups, which only somebody else can take away.
func (p *projection) holders(o *Observed, q mstrapi.PrivilegeID) (groups []*Observed, others otherSources) {
	if o.held != nil {
		others = o.held.others[q]
	}
	now := p.st.judging != JudgeProjected
	if o.Inherited.Has(q) {
		t := p.kin.trace(o, q)
		for _, g := range t.groups {
			if g.Err != nil || now && g.Direct.Has(q) || !now && p.holdsAfter(g, q) {
				groups = append(groups, g)
			}
		}
		p.kin.wantRead(t, q)
	}
	if now {
		return groups, others
	}
	for _, g := range p.gainersAbove(o, q) {
		if !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, compareObserved)
	return groups, others
}

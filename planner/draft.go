package planner

import (
	"slices"

	"privsync/mstrapi"
)

// draft is a plan in the making. It counts only if nothing is missing.
type draft struct {
	c     *compiled
	st    *State
	needs *needs
	p     *projection
	rules *judgement

	complete bool
	changes  []Change
	awaits   []await
	findings []Finding
	lost     Set                                               // by the session's user
	risks    []Principal                                       // whose revokes may be that, where nobody knows
	waits    map[*Observed]map[mstrapi.PrivilegeID][]*Observed // users whose grant a group's revoke relies on
	licences *Licences
	impact   *Impact // of all changes together
}

// evaluate decides everything that the state allows to decide; what it lacks
// stands in needs.
func evaluate(c *compiled, st *State) *draft {
	clear(c.conflicts)
	c.noteUnresolved(st)
	p := project(c, st)
	d := &draft{
		c: c, st: st, needs: p.needs, p: p, rules: newJudgement(p),
		waits: make(map[*Observed]map[mstrapi.PrivilegeID][]*Observed),
	}
	if st.trimmed || !d.needs.isEmpty() {
		return d
	}
	d.countMembers()
	if !d.needs.isEmpty() {
		return d
	}
	d.decideUsers()
	d.describeGroups()
	d.judgeNow()
	d.lost, d.risks = actorLoses(p, d.changes), actorRisks(p, d.changes)
	d.rules.checkRequired()
	d.rules.ruleFindings()
	licences, doubts := forecastOf(p, d.changes)
	d.licences, d.findings = licences, append(d.findings, doubts...)
	d.impact = measure(p, d.changes)
	if !d.needs.isEmpty() {
		return d
	}
	d.complete = true
	slices.SortFunc(d.changes, func(a, b Change) int { return a.Principal.Compare(&b.Principal) })
	return d
}

// countMembers asks for the members of the groups that change: how many users
// they reach, and for rules who these are.
func (d *draft) countMembers() {
	for _, g := range d.p.groups {
		if d.p.decisions[g].isEmpty() {
			continue
		}
		m := d.st.members[g.Principal.ID]
		switch {
		case m != nil && m.err != nil:
			d.needs.addBroken(g, m.err)
		case len(d.c.pol.Rules) > 0 && d.st.judging == JudgeProjected && !d.st.expanded[g.Principal.ID]:
			d.needs.expand = append(d.needs.expand, g)
		case d.st.wantsRows(g, d.p.decisions[g].grant):
			d.needs.rows = append(d.needs.rows, g)
		case m == nil:
			d.needs.count = append(d.needs.count, g)
		}
	}
}

// decideUsers goes through everybody but the groups that are decided already: those
// that the policy covers, those that no entry covers where these lose what they hold,
// and those whom a changed group reaches. On the way it notes whose entries contradict
// each other.
func (d *draft) decideUsers() {
	var own want
	for _, o := range d.st.covered {
		w := d.c.wantIn(o, &own)
		d.c.noteConflicts(o, w)
		if o.Principal.Kind == mstrapi.User && o.Err == nil {
			d.decideUser(o, w)
		}
	}
	for _, o := range slices.Concat(d.st.unlisted, d.st.strangers) {
		if o.Err == nil && d.p.active[o] == nil {
			d.decideUser(o, d.c.wantOf(o, d.st))
		}
	}
}

// judgeNow judges everybody who was read by what is there, where an audit asks
// for that.
func (d *draft) judgeNow() {
	if d.st.judging == JudgeProjected {
		return
	}
	for o := range d.st.all() {
		if o.Err == nil {
			d.rules.judge(o, o.Direct, o.Inherited)
		}
	}
}

// decideUser decides about one user; w is nil for one of whom nothing is
// wanted.
func (d *draft) decideUser(o *Observed, w *want) {
	judged := d.st.judges(o)
	if w == nil {
		if judged && d.rules.projected() {
			d.rules.judge(o, o.Direct, d.p.inheritedAfter(o, nil, true))
		}
		return
	}
	dec := decide(w, o.Direct, d.p.inheritedAfter(o, w, judged))
	d.p.spareUser(o, w, &dec)
	if !dec.isEmpty() {
		d.changes = append(d.changes, d.change(o, w, &dec, d.userReliesOn(o, &dec)))
		d.waitFor(o, &dec)
	}
	d.await(o, w, &dec)
	if o.Covered {
		d.describe(o, w, &dec)
	}
	if judged && d.rules.projected() {
		d.rules.judge(o, dec.direct(o.Direct), dec.inherited)
	}
}

// userReliesOn returns which grants on groups a revoke on a user relies on:
// those that are all that lets the user keep the privilege.
func (d *draft) userReliesOn(o *Observed, dec *decision) func(mstrapi.PrivilegeID) []mstrapi.ObjectID {
	return func(q mstrapi.PrivilegeID) []mstrapi.ObjectID {
		if d.p.revokesAnyway(o, dec, q) || len(d.p.gainers[q]) == 0 || !dec.inherited.Has(q) || d.p.stays(o, q) {
			return nil
		}
		return idsOf(d.p.gainersAbove(o, q))
	}
}

// waitFor notes the groups whose revoke would take from a user what it is
// granted in its place.
func (d *draft) waitFor(o *Observed, dec *decision) {
	for q := range dec.grant.Intersect(o.Inherited).Intersect(d.p.lossy).All() {
		if dec.inherited.Has(q) {
			continue
		}
		for _, g := range d.p.kin.trace(o, q).groups {
			if !slices.Contains(d.p.cut[q], g) {
				continue
			}
			if d.waits[g] == nil {
				d.waits[g] = make(map[mstrapi.PrivilegeID][]*Observed)
			}
			d.waits[g][q] = append(d.waits[g][q], o)
		}
	}
}

// describeGroups adds the groups' changes and findings, once it is known which
// users' grants they wait for.
func (d *draft) describeGroups() {
	for _, g := range d.p.groups {
		w, dec := d.p.active[g], d.p.decisions[g]
		if !dec.isEmpty() {
			d.changes = append(d.changes, d.change(g, w, dec, func(q mstrapi.PrivilegeID) []mstrapi.ObjectID {
				// Who else is below both groups is not known: every grant counts.
				return idsOf(append(slices.Clone(d.p.gainers[q]), d.waits[g][q]...))
			}))
		}
		d.await(g, w, dec)
		if g.Covered {
			d.describe(g, w, dec)
		}
		if d.rules.projected() && d.st.judges(g) {
			d.rules.judge(g, dec.direct(g.Direct), dec.inherited)
		}
	}
}

// await notes what makes o be in sync, where nothing is to be done for it and
// something for a group above it.
func (d *draft) await(o *Observed, w *want, dec *decision) {
	if !o.Covered || !dec.isEmpty() || d.p.gaining.IsEmpty() {
		return
	}
	for q := range w.listed.Intersect(d.p.gaining).Intersect(dec.inherited).Minus(o.Direct).Minus(o.Inherited).All() {
		d.awaits = append(d.awaits, await{o.Principal.ID, Awaited{Privilege: d.c.cat.ref(q), Grants: idsOf(d.p.gainersAbove(o, q))}})
	}
}

// await says that a covered principal is in sync only once one of the grants is
// verified.
type await struct {
	principal mstrapi.ObjectID
	Awaited
}

func idsOf(list []*Observed) []mstrapi.ObjectID {
	if len(list) == 0 {
		return nil
	}
	ids := make([]mstrapi.ObjectID, len(list))
	for i, o := range list {
		ids[i] = o.Principal.ID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (d *draft) change(o *Observed, w *want, dec *decision, reliesOn func(mstrapi.PrivilegeID) []mstrapi.ObjectID) Change {
	revoke := dec.revoke()
	c := Change{
		Principal:  o.Principal,
		Grant:      make([]PlannedPrivilege, 0, dec.grant.Len()),
		Revoke:     make([]PlannedPrivilege, 0, revoke.Len()),
		Observed:   ObservedSets{Direct: o.Direct, Inherited: o.Inherited},
		ObservedAt: o.At,
		Wanted:     d.wanted(o, w, dec),
	}
	for q := range dec.grant.All() {
		c.Grant = append(c.Grant, PlannedPrivilege{PrivilegeRef: d.c.cat.ref(q), Reason: ReasonListed})
	}
	for q := range revoke.All() {
		c.Revoke = append(c.Revoke, PlannedPrivilege{PrivilegeRef: d.c.cat.ref(q), Reason: dec.reasonOf(q, w), ReliesOn: reliesOn(q)})
	}
	d.c.tell(&c, w)
	if m := d.st.members[o.Principal.ID]; m != nil {
		c.Impact.Members = m.count
	}
	return c
}

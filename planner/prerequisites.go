package planner

import (
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// Prerequisite says what the server grants along with a privilege, directly or in
// turn; it revokes the privilege along with any of Needs. Both lie in scope.
// Needs is sorted by number.
type Prerequisite struct {
	Privilege PrivilegeRef   `json:"privilege"`
	Needs     []PrivilegeRef `json:"needs"`
}

// relation is what privileges need, closed transitively. The zero value: nothing
// needs anything.
type relation struct {
	needs    map[mstrapi.PrivilegeID]Set
	neededBy map[mstrapi.PrivilegeID]Set
}

func union(of map[mstrapi.PrivilegeID]Set, s Set) (out Set) {
	if len(of) == 0 {
		return Set{}
	}
	for q := range s.All() {
		out = out.Union(of[q])
	}
	return out
}

// need returns what any of s needs, and dependents what needs any of s.
func (r *relation) need(s Set) Set       { return union(r.needs, s) }
func (r *relation) dependents(s Set) Set { return union(r.neededBy, s) }

// relate resolves the prerequisites of a policy. Those outside the scope are
// followed but not kept: nothing is done about them.
func (c *compiled) relate() {
	anywhere := *c.cat
	anywhere.level = mstrapi.LevelAll
	find := func(ref policy.Ref) mstrapi.PrivilegeID {
		id, problem := anywhere.find(ref)
		if problem != nil {
			c.findings = append(c.findings, *problem)
		}
		return id
	}
	all := make(map[mstrapi.PrivilegeID]Set)
	for _, pre := range c.pol.Prerequisites {
		p := find(pre.Privilege)
		for _, ref := range pre.Needs {
			if q := find(ref); p != 0 && q != 0 {
				all[p] = all[p].Union(SetOf(q))
			}
		}
	}
	for grown := true; grown; {
		grown = false
		for p, s := range all {
			if more := s.Union(union(all, s)); !more.Equal(s) {
				all[p], grown = more, true
			}
		}
	}
	for p, s := range all {
		if !c.inScope(p) {
			continue
		}
		for q := range s.All() {
			if q != p && c.inScope(q) {
				if c.relation.needs == nil {
					c.relation = relation{make(map[mstrapi.PrivilegeID]Set), make(map[mstrapi.PrivilegeID]Set)}
				}
				c.relation.needs[p] = c.relation.needs[p].Union(SetOf(q))
				c.relation.neededBy[q] = c.relation.neededBy[q].Union(SetOf(p))
			}
		}
	}
}

func (c *compiled) inScope(p mstrapi.PrivilegeID) bool {
	return c.cat.level == mstrapi.LevelAll || c.cat.levels[p] == c.cat.level
}

// prerequisites returns the relation as the plan carries it, by number.
func (c *compiled) prerequisites() []Prerequisite {
	var out []Prerequisite
	for p, s := range c.relation.needs {
		out = append(out, Prerequisite{Privilege: c.cat.ref(p), Needs: c.cat.refs(s)})
	}
	slices.SortFunc(out, func(a, b Prerequisite) int { return int(a.Privilege.ID) - int(b.Privilege.ID) })
	return out
}

// depend makes the revokes whole: the server takes what needs a privilege along
// with it, so that is planned too; but what has to stay keeps what it needs.
func (d *decision) depend(w *want, direct Set) {
	if w.needs == nil || len(w.needs.needs) == 0 {
		return
	}
	d.keep(w, w.needs.need(direct.Intersect(w.listed.Union(w.undecided))))
	gone := d.forbidden.Union(d.expired).Union(d.notListed)
	d.dependent = w.needs.dependents(gone).Intersect(direct).Minus(gone)
}

// keep takes s out of the revokes that the policy itself asks for.
func (d *decision) keep(w *want, s Set) {
	d.forbidden, d.expired, d.notListed = d.forbidden.Minus(s), d.expired.Minus(s), d.notListed.Minus(s)
}

// keepNeeded keeps redundant grants that something needs that stays: revoking
// them would take it along.
func (d *decision) keepNeeded(w *want, direct Set) {
	if w.needs != nil && !d.redundant.IsEmpty() {
		d.redundant = d.redundant.Minus(w.needs.need(d.direct(direct)))
	}
}

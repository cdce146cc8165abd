package planner

import "privsync/mstrapi"

// needs are the facts that a projection lacks.
type needs struct {
	held       map[mstrapi.ObjectID]Set      // groups whose privileges are needed, and which of them
	parents    map[mstrapi.ObjectID]struct{} // groups whose memberships are needed, and those of all groups above
	users      map[*Observed]struct{}        // users whose place in the groups of below is needed
	below      map[mstrapi.ObjectID]struct{}
	memberOf   map[*Observed]struct{} // users whose own memberships are needed
	count      []*Observed            // changed groups whose members are to be counted
	rows       []*Observed            // groups whose members must be known, not what they hold
	complete   []*Observed            // changed groups whose members are to be known beyond the first page
	expand     []*Observed            // changed groups whose members are to be read themselves
	principals []mstrapi.PrincipalRow // users to be read
	enabled    map[*Observed]struct{}
	everyUser  bool
	broken     map[*Observed]error // principals about which something could not be read
}

func (n *needs) isEmpty() bool {
	return len(n.held) == 0 && len(n.parents) == 0 && len(n.users) == 0 && len(n.memberOf) == 0 && len(n.count) == 0 &&
		len(n.expand) == 0 && len(n.rows) == 0 && len(n.complete) == 0 && len(n.principals) == 0 && len(n.enabled) == 0 && !n.everyUser && len(n.broken) == 0
}

func (n *needs) addHeld(id mstrapi.ObjectID, p mstrapi.PrivilegeID) {
	if n.held == nil {
		n.held = make(map[mstrapi.ObjectID]Set)
	}
	s := n.held[id].Union(Set{}) // a copy: Add changes in place
	s.Add(p)
	n.held[id] = s
}

func put[K comparable](m *map[K]struct{}, k K) {
	if *m == nil {
		*m = make(map[K]struct{})
	}
	(*m)[k] = struct{}{}
}

func (n *needs) addBroken(o *Observed, err error) {
	if n.broken == nil {
		n.broken = make(map[*Observed]error)
	}
	n.broken[o] = err
}

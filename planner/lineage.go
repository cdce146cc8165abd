package planner

import (
	"slices"

	"privsync/mstrapi"
)

// lineage knows who belongs where and where privileges come from, by what was read.
// What it was asked and cannot tell stands in needs.
type lineage struct {
	st       *State
	needs    *needs
	cycles   cycles
	closures map[mstrapi.ObjectID]*closure
	traces   map[traceKey]*trace
}

func newLineage(st *State, n *needs) *lineage {
	return &lineage{st: st, needs: n, closures: make(map[mstrapi.ObjectID]*closure), traces: make(map[traceKey]*trace)}
}

// traceKey is what a trace depends on: principals with the same sources share
// their traces.
type traceKey struct {
	from      *profile
	privilege mstrapi.PrivilegeID
}

// trace is every group that a privilege arrives through, as far as they were
// read: the sources that the server names, their sources, and so on.
type trace struct {
	groups []*Observed
	unread []mstrapi.ObjectID
}

func (l *lineage) trace(o *Observed, q mstrapi.PrivilegeID) *trace {
	if o.held == nil {
		return &trace{}
	}
	key := traceKey{o.held, q}
	if t := l.traces[key]; t != nil {
		return t
	}
	t := &trace{}
	l.traces[key] = t
	seen := make(map[int]bool)
	var todo []int
	follow := func(f *profile) {
		for _, i := range f.sources(q).groups() {
			if !seen[i] {
				seen[i] = true
				todo = append(todo, i)
			}
		}
	}
	follow(o.held)
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		id := l.st.refs.list[i].ID
		g := l.st.byID[id]
		if g == nil {
			t.unread = append(t.unread, id)
			continue
		}
		t.groups = append(t.groups, g)
		if g.Err == nil && g.held != nil {
			follow(g.held)
		}
	}
	slices.SortFunc(t.groups, compareObserved)
	return t
}

func (l *lineage) wantRead(t *trace, q mstrapi.PrivilegeID) {
	for _, id := range t.unread {
		l.needs.addHeld(id, q)
	}
}

// above reports whether o belongs to the group at any depth, and asks for what
// it takes to know.
func (l *lineage) above(group mstrapi.ObjectID, o *Observed) bool {
	if o.Principal.Kind == mstrapi.Group {
		c := l.closure(o.Principal.ID)
		if c.err != nil {
			l.needs.addBroken(o, c.err)
			return false
		}
		if !c.ids[group] {
			return false
		}
		// Groups that contain each other cannot be on a sound server. Then the one
		// that comes first counts as the upper, so that one of them is granted.
		if c.ids[o.Principal.ID] && l.closure(group).ids[o.Principal.ID] {
			return group < o.Principal.ID
		}
		return true
	}
	// Guests and some service accounts are outside Everyone, and a server need not
	// list it among somebody's groups.
	if group == mstrapi.EveryoneGroup && l.namesEveryone(o) {
		return true
	}
	if o.parents.known {
		if o.parents.err != nil {
			l.needs.addBroken(o, o.parents.err)
			return false
		}
		found := false
		for _, parent := range o.parents.ids {
			if parent == group {
				return true
			}
			c := l.closure(parent)
			if c.err != nil {
				l.needs.addBroken(o, c.err)
			}
			found = found || c.ids[group]
		}
		return found
	}
	if m := l.st.members[group]; m != nil && m.complete {
		return m.has(o.Principal.ID)
	}
	put(&l.needs.users, o)
	put(&l.needs.below, group)
	return false
}

// namesEveryone reports whether the server names Everyone as what o has something from.
func (l *lineage) namesEveryone(o *Observed) bool {
	if o.held == nil {
		return false
	}
	for _, from := range o.held.all() {
		for _, i := range from.groups() {
			if l.st.refs.list[i].ID == mstrapi.EveryoneGroup {
				return true
			}
		}
	}
	return false
}

// closure is every group above a group.
type closure struct {
	ids map[mstrapi.ObjectID]bool
	err error
}

func (l *lineage) closure(id mstrapi.ObjectID) *closure {
	if c := l.closures[id]; c != nil {
		return c
	}
	c := &closure{ids: make(map[mstrapi.ObjectID]bool)}
	l.closures[id] = c
	todo := []mstrapi.ObjectID{id}
	asked := map[mstrapi.ObjectID]bool{id: true}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		list := l.st.parents[at]
		if !list.known {
			put(&l.needs.parents, at)
			continue
		}
		if list.err != nil {
			c.err = list.err
			return c
		}
		for _, parent := range list.ids {
			c.ids[parent] = true
			if !asked[parent] {
				asked[parent] = true
				todo = append(todo, parent)
			}
		}
	}
	return c
}

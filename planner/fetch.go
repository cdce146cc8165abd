package planner

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"privsync/mstrapi"
)

// fetch reads what a projection lacks. Every need is met or noted as impossible
// to meet, so that the next projection needs something else or nothing.
func (ob *observer) fetch(ctx context.Context, n *needs) error {
	for o, err := range n.broken {
		o.Err = fmt.Errorf("where it belongs: %w", err)
		if o.Principal.Kind == mstrapi.Group {
			o.Err = err
		}
	}
	for _, step := range []func() error{
		func() error { return ob.fetchHeld(ctx, n.held) },
		func() error { return ob.readParents(ctx, slices.Sorted(maps.Keys(n.parents))) },
		func() error { return ob.fetchPlaces(ctx, n) },
		func() error { return ob.fetchMemberOf(ctx, n.memberOf) },
		func() error { return ob.readMembersOf(ctx, n.count, ob.countMembers) },
		func() error { return ob.readMembersOf(ctx, n.complete, ob.restOfMembers) },
		func() error { return ob.fetchMemberRows(ctx, n.rows) },
		func() error { return ob.fetchMembers(ctx, n.expand) },
		func() error { return ob.fetchPrincipals(ctx, n.principals) },
		func() error { return ob.fetchEnabled(ctx, n.enabled) },
		func() error { return ob.fetchUsers(ctx, n.everyUser) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// fetchHeld reads groups that privileges arrive through, and the groups that
// these name in turn, each once, as far as they do not hold the privilege
// themselves.
func (ob *observer) fetchHeld(ctx context.Context, todo map[mstrapi.ObjectID]Set) error {
	st := ob.st
	for len(todo) > 0 {
		var list []*Observed
		for _, id := range slices.Sorted(maps.Keys(todo)) {
			o := &Observed{Principal: Principal{Kind: mstrapi.Group, ID: id, Name: st.groupName(id)}}
			st.byID[id] = o
			list = append(list, o)
		}
		if err := ob.readHeld(ctx, list); err != nil {
			return err
		}
		var next needs
		for _, o := range list {
			if o.Err != nil {
				continue
			}
			for q := range todo[o.Principal.ID].Intersect(o.Inherited).Minus(o.Direct).All() {
				for _, i := range o.held.sources(q).groups() {
					if id := st.refs.list[i].ID; st.byID[id] == nil {
						next.addHeld(id, q)
					}
				}
			}
		}
		todo = next.held
	}
	return nil
}

// memberships reads the direct parents of a principal. The error is fatal; any other
// stands in the list.
func (ob *observer) memberships(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (list parentList, gone bool, fatal error) {
	refs, err := ob.r.Memberships(ctx, kind, id)
	if err == nil {
		return ob.parentList(refs), false, nil
	}
	list.known = true
	if gone, fatal = ob.isGone(ctx, kind, id, err); !gone {
		list.err = err
	}
	return list, gone, fatal
}

// readParents reads the memberships of groups, and of all groups above them,
// each once.
func (ob *observer) readParents(ctx context.Context, todo []mstrapi.ObjectID) error {
	st := ob.st
	for len(todo) > 0 {
		lists := make([]parentList, len(todo))
		err := ob.work(ctx, len(todo), func(ctx context.Context, i int) error {
			list, gone, fatal := ob.memberships(ctx, mstrapi.Group, todo[i])
			if gone {
				ob.noteGone(Principal{Kind: mstrapi.Group, ID: todo[i], Name: st.groupName(todo[i])})
			}
			if list.err != nil {
				list.err = fmt.Errorf("memberships of group %s: %w", todo[i], list.err)
			}
			lists[i] = list
			return fatal
		})
		if err != nil {
			return err
		}
		next := make(map[mstrapi.ObjectID]struct{})
		for i, id := range todo {
			st.parents[id] = lists[i]
			for _, parent := range lists[i].ids {
				next[parent] = struct{}{}
			}
		}
		maps.DeleteFunc(next, func(id mstrapi.ObjectID, _ struct{}) bool { return st.parents[id].known })
		todo = slices.Sorted(maps.Keys(next))
	}
	return nil
}

// fetchPlaces finds out which users are below which groups: from the
// memberships of the users, one request each, or from the pages of the groups'
// members, whichever takes fewer.
func (ob *observer) fetchPlaces(ctx context.Context, n *needs) error {
	if len(n.users) == 0 {
		return nil
	}
	st := ob.st
	groups := slices.Sorted(maps.Keys(n.below))
	pages := 0
	for _, id := range groups {
		m := st.members[id]
		if m == nil && len(n.users) > 1 {
			list := []*Observed{{Principal: Principal{Kind: mstrapi.Group, ID: id}}}
			if err := ob.readMembersOf(ctx, list, ob.countMembers); err != nil {
				return err
			}
			m = st.members[id]
		}
		if m == nil || m.err != nil || m.unsteady {
			return ob.fetchPlacesOf(ctx, n.users)
		}
		pages += m.left
	}
	if pages > len(n.users) {
		return ob.fetchPlacesOf(ctx, n.users)
	}
	var list []*Observed
	for _, id := range groups {
		if !st.members[id].complete {
			list = append(list, &Observed{Principal: Principal{Kind: mstrapi.Group, ID: id}})
		}
	}
	return ob.readMembersOf(ctx, list, ob.restOfMembers)
}

// restOfMembers reads the pages of members that a count left out. Where they cannot
// be read the count stands; who they are is not known.
func (ob *observer) restOfMembers(ctx context.Context, id mstrapi.ObjectID) (*memberList, error) {
	known := ob.st.members[id]
	m, err := ob.completeMembers(ctx, id, known)
	if err != nil && !isFatal(ctx, err) {
		return &memberList{count: known.count, keys: known.keys, left: known.left, unsteady: true}, nil
	}
	return m, err
}

// fetchPlacesOf reads the memberships of users, and of the groups above them.
func (ob *observer) fetchPlacesOf(ctx context.Context, users map[*Observed]struct{}) error {
	list := slices.SortedFunc(maps.Keys(users), compareObserved)
	err := ob.work(ctx, len(list), func(ctx context.Context, i int) error {
		o := list[i]
		parents, gone, fatal := ob.memberships(ctx, o.Principal.Kind, o.Principal.ID)
		if gone {
			ob.lose(o)
		} else {
			o.parents = parents
		}
		return fatal
	})
	if err != nil {
		return err
	}
	above := make(map[mstrapi.ObjectID]struct{})
	for _, o := range list {
		for _, id := range o.parents.ids {
			if !ob.st.parents[id].known {
				above[id] = struct{}{}
			}
		}
	}
	return ob.readParents(ctx, slices.Sorted(maps.Keys(above)))
}

// fetchMemberOf reads the memberships that paths are named by.
func (ob *observer) fetchMemberOf(ctx context.Context, users map[*Observed]struct{}) error {
	maps.DeleteFunc(users, func(o *Observed, _ struct{}) bool { return o.parents.known })
	ob.st.traced += len(users)
	return ob.fetchPlacesOf(ctx, users)
}

// readMembersOf notes who, or how many, the members of groups are. To count them takes
// one request each where the first page tells.
func (ob *observer) readMembersOf(ctx context.Context, groups []*Observed, read func(context.Context, mstrapi.ObjectID) (*memberList, error)) error {
	lists := make([]*memberList, len(groups))
	err := ob.work(ctx, len(groups), func(ctx context.Context, i int) error {
		m, err := read(ctx, groups[i].Principal.ID)
		if err != nil {
			gone, fatal := ob.isGone(ctx, mstrapi.Group, groups[i].Principal.ID, err)
			if fatal != nil {
				return fatal
			}
			m = &memberList{err: fmt.Errorf("members: %w", err)}
			if gone {
				m = &memberList{complete: true}
				ob.lose(groups[i])
			}
		}
		lists[i] = m
		return nil
	})
	if err != nil {
		return err
	}
	for i, g := range groups {
		ob.st.members[g.Principal.ID] = lists[i]
	}
	return nil
}

// fetchMembers reads the users below changed groups, and what each of them
// holds: rules judge them too.
func (ob *observer) fetchMembers(ctx context.Context, groups []*Observed) error {
	st := ob.st
	rows := make([][]mstrapi.PrincipalRow, len(groups))
	index := make(map[mstrapi.ObjectID]int, len(groups))
	for i, g := range groups {
		index[g.Principal.ID] = i
	}
	err := ob.readMembersOf(ctx, groups, func(ctx context.Context, id mstrapi.ObjectID) (*memberList, error) {
		i := index[id]
		return ob.allMembers(ctx, id, func(row mstrapi.PrincipalRow) { rows[i] = append(rows[i], row) })
	})
	if err != nil {
		return err
	}
	var fresh []*Observed
	for i, g := range groups {
		st.expanded[g.Principal.ID] = true
		for _, row := range rows[i] {
			row.Kind = mstrapi.User
			if o := ob.meet(row); o != nil {
				fresh = append(fresh, o)
			}
			if o := st.byID[row.ID]; !st.reached[row.ID] && !o.Covered && !o.scanned {
				st.strangers = append(st.strangers, o)
			}
			st.reached[row.ID] = true
		}
	}
	slices.SortFunc(st.strangers, compareObserved)
	return ob.readHeld(ctx, fresh)
}

// fetchPrincipals reads users that are looked at for the session's sake or to
// find holders of a required privilege.
func (ob *observer) fetchPrincipals(ctx context.Context, rows []mstrapi.PrincipalRow) error {
	var fresh []*Observed
	for _, row := range rows {
		if o := ob.meet(row); o != nil {
			fresh = append(fresh, o)
		}
	}
	return ob.readHeld(ctx, fresh)
}

// fetchEnabled asks whether users are enabled.
func (ob *observer) fetchEnabled(ctx context.Context, users map[*Observed]struct{}) error {
	list := slices.SortedFunc(maps.Keys(users), compareObserved)
	return ob.work(ctx, len(list), func(ctx context.Context, i int) error {
		o := list[i]
		o.asked = true
		row, err := ob.r.Principal(ctx, o.Principal.Kind, o.Principal.ID)
		if err != nil {
			return ob.settle(ctx, o, fmt.Errorf("whether it is enabled: %w", err))
		}
		o.Enabled = row.Enabled
		return nil
	})
}

// fetchUsers reads the list of all users, in which a require rule looks for
// holders.
func (ob *observer) fetchUsers(ctx context.Context, wanted bool) error {
	if !wanted {
		return nil
	}
	st := ob.st
	st.usersRead = true
	rows, err := ob.r.List(mstrapi.User, mstrapi.Query{}).All(ctx)
	if err != nil {
		if isFatal(ctx, err) {
			return err
		}
		st.usersErr = err
		return nil
	}
	ob.noteTotal(mstrapi.User, len(rows))
	st.setUsers(rows)
	return nil
}

func (s *State) setUsers(rows []mstrapi.PrincipalRow) {
	slices.SortFunc(rows, func(a, b mstrapi.PrincipalRow) int { return cmp.Compare(a.ID, b.ID) })
	s.users, s.usersRead = rows, true
}

package mstrtest

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"

	"privsync/mstrapi"
)

// state is the server's truth. It is guarded by Server.mu.
//
// Principals with the same memberships and roles share a class: what they
// inherit is computed once, so that 100,000 users cost little more than their
// direct grants.
type state struct {
	catalogue []mstrapi.Privilege // sorted by id
	index     map[mstrapi.PrivilegeID]int
	words     int
	server    bitset // the server-level privileges
	project   bitset // the project-level privileges
	manager   int    // index of the user manager privilege, or -1
	projects  []Project
	roles     []SecurityRole

	byID         map[mstrapi.ObjectID]*principal
	byLogin      map[string]*principal // by lower-case login
	byToken      map[string]*principal
	groups       []*principal // sorted by folded name, then id
	usersByName  []*principal // sorted by folded name, then id
	usersByLogin []*principal // sorted by folded login
	classes      map[string]*class
}

// acg is the access that every caller has to the object.
func (p *principal) acg() string {
	if p.readOnly {
		return "199" // as the access control "view" gives it
	}
	return "255"
}

// principal is a user or a group.
type principal struct {
	kind     mstrapi.Kind
	id       mstrapi.ObjectID
	name     string
	login    string
	tenant   string
	guest    bool
	password string
	apiToken string
	enabled  bool
	direct   bitset
	readOnly bool   // callers may not change the object
	past     []past // what it held before the latest changes, oldest first
	class    *class
	modified int64 // Unix milliseconds
	rank     int32 // place in groups or usersByName
	below    *below
}

// below is what a group needs to know about those in it; nil for users.
type below struct {
	number  uint32   // identifies the group in class keys
	direct  []*class // classes with the group among their parents
	classes []*class // classes with the group among their ancestors
	members [2]atomic.Pointer[[]*principal]
}

// class is one combination of parent groups and security roles.
type class struct {
	parents   []*principal // sorted by name, then id
	roles     []RoleGrant
	members   []*principal
	ancestors []*principal // sorted by id
	fromRoles bitset       // privileges from the class's and its ancestors' roles
	inherited bitset       // everything but the direct grants
	fragments atomic.Pointer[fragments]
}

func foldedOrder(a, b *principal) int {
	return cmp.Or(cmp.Compare(strings.ToLower(a.name), strings.ToLower(b.name)), cmp.Compare(a.id, b.id))
}

func nameOrder(a, b *principal) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.id, b.id))
}

func idOrder(a, b *principal) int { return cmp.Compare(a.id, b.id) }

func newState(env *Environment, now int64) *state {
	st := &state{
		catalogue: slices.Clone(env.Catalogue),
		index:     make(map[mstrapi.PrivilegeID]int, len(env.Catalogue)),
		manager:   -1,
		projects:  slices.Clone(env.Projects),
		roles:     slices.Clone(env.Roles),
		byID:      make(map[mstrapi.ObjectID]*principal, len(env.Users)+len(env.Groups)),
	}
	slices.SortFunc(st.catalogue, func(a, b mstrapi.Privilege) int { return cmp.Compare(a.ID, b.ID) })
	st.words = (len(st.catalogue) + 63) / 64
	st.server, st.project = newBitset(st.words), newBitset(st.words)
	for i, p := range st.catalogue {
		st.index[p.ID] = i
		if p.ProjectLevel {
			st.project.add(i)
		} else {
			st.server.add(i)
		}
		if p.Name == UserManagerName {
			st.manager = i
		}
	}
	for i := range env.Groups {
		g := &env.Groups[i]
		st.byID[g.ID] = &principal{
			kind: mstrapi.Group, id: g.ID, name: g.Name, tenant: g.Tenant, enabled: true,
			direct: st.set(g.Privileges), modified: now, below: &below{number: uint32(i)},
		}
	}
	for i := range env.Users {
		u := &env.Users[i]
		st.byID[u.ID] = &principal{
			kind: mstrapi.User, id: u.ID, name: u.Name, login: u.Login, password: u.Password, apiToken: u.APIToken,
			tenant: u.Tenant, guest: u.Guest, enabled: !u.Disabled, direct: st.set(u.Privileges), modified: now,
		}
	}
	st.classes = make(map[string]*class)
	for i := range env.Groups {
		g := &env.Groups[i]
		st.join(st.byID[g.ID], g.Groups, g.Roles)
	}
	for i := range env.Users {
		u := &env.Users[i]
		st.join(st.byID[u.ID], u.Groups, u.Roles)
	}
	st.rebuild()
	return st
}

func (st *state) set(ids []mstrapi.PrivilegeID) bitset {
	b := newBitset(st.words)
	for _, id := range ids {
		b.add(st.index[id])
	}
	return b
}

func (st *state) ids(b bitset) []mstrapi.PrivilegeID {
	out := []mstrapi.PrivilegeID{}
	b.each(func(i int) { out = append(out, st.catalogue[i].ID) })
	return out
}

// join puts p into the class of the given memberships. A user who is no guest always
// belongs to Everyone, where there is such a group.
func (st *state) join(p *principal, groups []mstrapi.ObjectID, roles []RoleGrant) {
	parents := make([]*principal, 0, len(groups)+1)
	for _, id := range groups {
		parents = append(parents, st.byID[id])
	}
	if everyone := st.byID[mstrapi.EveryoneGroup]; p.kind == mstrapi.User && !p.guest && everyone != nil && !slices.Contains(parents, everyone) {
		parents = append(parents, everyone)
	}
	slices.SortFunc(parents, nameOrder)
	key := make([]byte, 0, 4*len(parents)+1)
	for _, g := range parents {
		key = binary.BigEndian.AppendUint32(key, g.below.number)
	}
	for _, r := range roles {
		key = append(key, '|')
		key = append(key, r.Role...)
		key = append(key, r.Project...)
	}
	c := st.classes[string(key)]
	if c == nil {
		c = &class{parents: parents, roles: slices.Clone(roles)}
		st.classes[string(key)] = c
	}
	p.class = c
}

// rebuild computes everything that follows from who exists and who belongs
// where. It is linear in the size of the environment, but for sorting.
func (st *state) rebuild() {
	st.groups, st.usersByName = nil, nil
	st.byLogin, st.byToken = make(map[string]*principal), make(map[string]*principal)
	for _, c := range st.classes {
		c.members, c.ancestors = nil, nil
	}
	for _, p := range st.byID {
		if p.kind == mstrapi.Group {
			st.groups = append(st.groups, p)
			p.below = &below{number: p.below.number}
			continue
		}
		st.usersByName = append(st.usersByName, p)
		st.byLogin[strings.ToLower(p.login)] = p
		if p.apiToken != "" {
			st.byToken[p.apiToken] = p
		}
	}
	slices.SortFunc(st.groups, foldedOrder)
	slices.SortFunc(st.usersByName, foldedOrder)
	st.usersByLogin = slices.Clone(st.usersByName)
	slices.SortFunc(st.usersByLogin, func(a, b *principal) int {
		return cmp.Compare(strings.ToLower(a.login), strings.ToLower(b.login))
	})
	for _, list := range [][]*principal{st.groups, st.usersByName} {
		for i, p := range list {
			p.rank = int32(i)
			p.class.members = append(p.class.members, p)
		}
	}
	for key, c := range st.classes {
		if len(c.members) == 0 {
			delete(st.classes, key)
			continue
		}
		st.climb(c)
	}
	for _, c := range st.classes {
		for _, g := range c.parents {
			g.below.direct = append(g.below.direct, c)
		}
		for _, g := range c.ancestors {
			g.below.classes = append(g.below.classes, c)
		}
		c.fromRoles = newBitset(st.words)
		st.eachRole(c, func(r RoleGrant) {
			if role := st.role(r.Role); role != nil {
				held := st.set(role.Privileges)
				held.and(st.project)
				c.fromRoles.or(held)
			}
		})
		st.inherit(c)
		c.fragments.Store(nil)
	}
}

// climb finds the ancestors of a class.
func (st *state) climb(c *class) {
	seen := make(map[*principal]bool)
	todo := slices.Clone(c.parents)
	for len(todo) > 0 {
		g := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[g] {
			continue
		}
		seen[g] = true
		c.ancestors = append(c.ancestors, g)
		todo = append(todo, g.class.parents...)
	}
	slices.SortFunc(c.ancestors, idOrder)
}

// eachRole calls f with the role grants that reach the members of c.
func (st *state) eachRole(c *class, f func(RoleGrant)) {
	for _, r := range c.roles {
		f(r)
	}
	for _, g := range c.ancestors {
		for _, r := range g.class.roles {
			f(r)
		}
	}
}

func (st *state) role(id mstrapi.ObjectID) *SecurityRole {
	i := slices.IndexFunc(st.roles, func(r SecurityRole) bool { return r.ID == id })
	if i < 0 {
		return nil
	}
	return &st.roles[i]
}

// inherit computes what the members of c hold beside their direct grants.
func (st *state) inherit(c *class) {
	inherited := c.fromRoles.clone()
	for _, g := range c.ancestors {
		inherited.or(g.direct)
	}
	c.inherited = inherited
}

// effective returns a fresh set of everything that p holds.
func (p *principal) effective() bitset {
	held := p.direct.clone()
	held.or(p.class.inherited)
	return held
}

func (p *principal) holds(i int) bool { return p.direct.has(i) || p.class.inherited.has(i) }

// members returns who is in group g, sorted: groups, then users. Flat reaches
// down to any depth.
func (st *state) members(g *principal, flat bool) []*principal {
	slot, classes := &g.below.members[0], g.below.direct
	if flat {
		slot, classes = &g.below.members[1], g.below.classes
	}
	if cached := slot.Load(); cached != nil {
		return *cached
	}
	var list []*principal
	for _, c := range classes {
		list = append(list, c.members...)
	}
	slices.SortFunc(list, func(a, b *principal) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.rank, b.rank))
	})
	slot.Store(&list)
	return list
}

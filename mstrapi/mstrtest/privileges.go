package mstrtest

import (
	"slices"
	"time"

	"privsync/mstrapi"
)

// fragments is the JSON of the inherited sources of each privilege, as the
// members of one class have them. Every write to an ancestor drops it.
type fragments [][]byte

// privilegeHeads returns for each privilege of the catalogue the JSON that
// stands before its sources.
func privilegeHeads(catalogue []mstrapi.Privilege) [][]byte {
	heads := make([][]byte, len(catalogue))
	for i, p := range catalogue {
		o := newObject([]byte(`{"privilege":`), nil)
		o.string("id", p.ID.String())
		o.string("name", p.Name)
		if p.Description != "" {
			o.string("description", p.Description)
		}
		o.string("level", string(p.Level()))
		heads[i] = append(o.end(), `,"sources":[`...)
	}
	return heads
}

// appendHeld appends the answer of GET …/privileges: what p effectively holds
// among mask, in the order of the numbers; for each the inherited sources in
// the order of the group ids, then the roles, then the direct grant. With a
// project only the roles of that project count, and at a moment before now what was
// held then. The caller holds mu.
func (s *Server) appendHeld(b []byte, p *principal, mask bitset, project mstrapi.ObjectID, at time.Time) []byte {
	st := s.st
	direct, inherited, sources := p.directAt(at), p.class.inheritedAt(at), fragments(nil)
	if !at.IsZero() {
		sources = s.sources(p.class, inherited, project, at)
	} else if project == "" || p.class.fromRoles.empty() {
		if cached := p.class.fragments.Load(); cached != nil {
			sources = *cached
		} else {
			sources = s.sources(p.class, inherited, "", at)
			p.class.fragments.Store(&sources)
		}
	} else {
		inherited = newBitset(st.words)
		for _, g := range p.class.ancestors {
			inherited.or(g.direct)
		}
		st.eachRole(p.class, func(r RoleGrant) {
			if role := st.role(r.Role); role != nil && r.Project == project {
				held := st.set(role.Privileges)
				held.and(st.project)
				inherited.or(held)
			}
		})
		sources = s.sources(p.class, inherited, project, at)
	}
	held := direct.clone()
	held.or(inherited)
	held.and(mask)
	b = append(b, `{"privileges":[`...)
	first := true
	held.each(func(i int) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, s.heads[i]...)
		b = append(b, sources[i]...)
		if direct.has(i) {
			if len(sources[i]) > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"direct":true}`...)
		}
		b = append(b, ']', '}')
	})
	return append(b, ']', '}')
}

// sources returns the inherited sources of every privilege in the set.
func (s *Server) sources(c *class, inherited bitset, project mstrapi.ObjectID, at time.Time) fragments {
	st := s.st
	out := make(fragments, len(st.catalogue))
	put := func(i int, objects ...named) {
		b := out[i]
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"direct":false`...)
		for _, o := range objects {
			b = append(b, `,"`...)
			b = append(b, o.kind...)
			b = append(b, `":{"name":`...)
			b = appendString(b, o.name)
			b = append(b, `,"id":"`...)
			b = append(b, o.id...)
			b = append(b, `"}`...)
		}
		out[i] = append(b, '}')
	}
	for _, g := range c.ancestors {
		via := g.directAt(at)
		if s.options.SourceStyle == Parent {
			if !isParent(c, g) {
				continue
			}
			via = via.clone()
			via.or(g.class.inheritedAt(at))
		}
		via.each(func(i int) { put(i, named{"group", g.name, g.id}) })
	}
	st.eachRole(c, func(r RoleGrant) {
		role := st.role(r.Role)
		if role == nil || project != "" && r.Project != project {
			return
		}
		held := st.set(role.Privileges)
		held.and(inherited)
		held.and(st.project)
		project := named{"project", "", r.Project}
		if i := slices.IndexFunc(st.projects, func(p Project) bool { return p.ID == r.Project }); i >= 0 {
			project.name = st.projects[i].Name
		}
		held.each(func(i int) { put(i, named{"securityRole", role.Name, role.ID}, project) })
	})
	return out
}

// named is an object in a source.
type named struct {
	kind, name string
	id         mstrapi.ObjectID
}

func isParent(c *class, g *principal) bool {
	for _, parent := range c.parents {
		if parent == g {
			return true
		}
	}
	return false
}

// mask returns the privileges of a level, and whether there is such a level.
func (st *state) mask(level string) (bitset, bool) {
	switch mstrapi.Level(level) {
	case mstrapi.LevelServer:
		return st.server, true
	case mstrapi.LevelProject:
		return st.project, true
	case "":
		all := st.server.clone()
		all.or(st.project)
		return all, true
	}
	return nil, false
}

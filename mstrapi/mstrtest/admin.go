package mstrtest

import (
	"fmt"
	"slices"

	"privsync/mstrapi"
)

// Direct returns the direct grants of a principal in ascending order; nil for
// an id that is not there.
func (s *Server) Direct(id mstrapi.ObjectID) []mstrapi.PrivilegeID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.st.byID[id]
	if p == nil {
		return nil
	}
	return s.st.ids(p.direct)
}

// Effective returns everything that a principal holds, directly, through
// groups at any depth, or by a security role in some project, in ascending
// order; nil for an id that is not there.
func (s *Server) Effective(id mstrapi.ObjectID) []mstrapi.PrivilegeID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.st.byID[id]
	if p == nil {
		return nil
	}
	return s.st.ids(p.effective())
}

// Inherited returns what a principal holds otherwise than by a direct grant,
// in ascending order; nil for an id that is not there. A privilege can be in
// both [Server.Direct] and here.
func (s *Server) Inherited(id mstrapi.ObjectID) []mstrapi.PrivilegeID {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.st.byID[id]
	if p == nil {
		return nil
	}
	return s.st.ids(p.class.inherited)
}

// Grant adds direct grants behind the API's back, as another administrator
// would. Like its kin it may be called at any time, also from a hook. An error
// names what is not there; then nothing is changed.
func (s *Server) Grant(id mstrapi.ObjectID, privileges ...mstrapi.PrivilegeID) error {
	return s.edit(id, true, privileges)
}

// Revoke removes direct grants behind the API's back. See [Server.Grant].
func (s *Server) Revoke(id mstrapi.ObjectID, privileges ...mstrapi.PrivilegeID) error {
	return s.edit(id, false, privileges)
}

func (s *Server) edit(id mstrapi.ObjectID, add bool, privileges []mstrapi.PrivilegeID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.st.byID[id]
	if p == nil {
		return fmt.Errorf("no principal has the id %q", id)
	}
	c := change{add: add}
	for _, privilege := range privileges {
		i, ok := s.st.index[privilege]
		if !ok {
			return fmt.Errorf("privilege %d is not in the catalogue", privilege)
		}
		c.values = append(c.values, i)
	}
	s.write(p, []change{c}, 0)
	return nil
}

// SetReadOnly says whether callers may change the object, whatever privileges
// they hold: its acg tells, and a PATCH is refused.
func (s *Server) SetReadOnly(id mstrapi.ObjectID, readOnly bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.st.byID[id]
	if p == nil {
		return fmt.Errorf("no principal has the id %q", id)
	}
	p.readOnly = readOnly
	return nil
}

// SetGroups replaces the direct memberships of a principal. It takes time
// linear in the size of the environment, like the methods below.
func (s *Server) SetGroups(id mstrapi.ObjectID, groups ...mstrapi.ObjectID) error {
	return s.restructure(func(e *Environment) error {
		for i := range e.Users {
			if e.Users[i].ID == id {
				e.Users[i].Groups = groups
				return nil
			}
		}
		for i := range e.Groups {
			if e.Groups[i].ID == id {
				e.Groups[i].Groups = groups
				return nil
			}
		}
		return fmt.Errorf("no principal has the id %q", id)
	})
}

// AddUser adds a user.
func (s *Server) AddUser(u User) error {
	return s.restructure(func(e *Environment) error {
		e.Users = append(e.Users, u)
		return nil
	})
}

// RemoveUser removes a user; its sessions end.
func (s *Server) RemoveUser(id mstrapi.ObjectID) error {
	return s.restructure(func(e *Environment) error {
		n := len(e.Users)
		e.Users = slices.DeleteFunc(e.Users, func(u User) bool { return u.ID == id })
		if len(e.Users) == n {
			return fmt.Errorf("no user has the id %q", id)
		}
		return nil
	})
}

// SetEnabled enables or disables a user.
func (s *Server) SetEnabled(id mstrapi.ObjectID, enabled bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.st.byID[id]
	if p == nil || p.kind != mstrapi.User {
		return fmt.Errorf("no user has the id %q", id)
	}
	p.enabled = enabled
	return nil
}

// restructure replaces the state by one made from an edited environment. What
// the ledger remembers moves over to the principals that remain.
func (s *Server) restructure(edit func(*Environment) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	env := s.environment()
	if err := edit(env); err != nil {
		return err
	}
	if err := env.Validate(); err != nil {
		return err
	}
	old := s.st
	s.st = newState(env, s.now().UnixMilli())
	for id, p := range s.st.byID {
		if before := old.byID[id]; before != nil {
			p.modified = before.modified
		}
	}
	baseline := make(map[*principal]bitset, len(s.ledger.baseline))
	for before, held := range s.ledger.baseline {
		if p := s.st.byID[before.id]; p != nil {
			baseline[p] = held
		}
	}
	if !s.ledger.off {
		for id, p := range s.st.byID {
			before := old.byID[id]
			if before == nil {
				continue
			}
			had := before.effective()
			s.gained(p, p.effective(), had, 0)
			if _, ok := baseline[p]; !ok {
				baseline[p] = had
			}
		}
	}
	s.ledger.baseline = baseline
	return nil
}

// Environment returns the present state as an environment of its own.
func (s *Server) Environment() *Environment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.environment()
}

func (s *Server) environment() *Environment {
	st := s.st
	env := &Environment{
		IServerVersion: s.iServerVersion, WebVersion: s.webVersion,
		Projects: slices.Clone(st.projects), Catalogue: slices.Clone(st.catalogue), Roles: slices.Clone(st.roles),
		Licences: slices.Clone(s.licences.products),
	}
	parents := func(p *principal) []mstrapi.ObjectID {
		var ids []mstrapi.ObjectID
		for _, g := range p.class.parents {
			ids = append(ids, g.id)
		}
		return ids
	}
	for _, g := range st.groups {
		env.Groups = append(env.Groups, Group{
			ID: g.id, Name: g.name, Groups: parents(g), Privileges: st.ids(g.direct), Roles: slices.Clone(g.class.roles),
		})
	}
	for _, u := range st.usersByName {
		env.Users = append(env.Users, User{
			ID: u.id, Login: u.login, Name: u.name, Disabled: !u.enabled, Password: u.password, APIToken: u.apiToken,
			Groups: parents(u), Privileges: st.ids(u.direct), Roles: slices.Clone(u.class.roles),
		})
	}
	return env
}

package mstrtest

import (
	"fmt"
	"slices"
	"strings"

	"privsync/mstrapi"
)

// Snapshot is who held what at one moment, for comparison. The lists are in
// ascending order and never nil.
type Snapshot struct {
	Direct    map[mstrapi.ObjectID][]mstrapi.PrivilegeID
	Effective map[mstrapi.ObjectID][]mstrapi.PrivilegeID
}

func (s *Snapshot) holds(id mstrapi.ObjectID, privilege mstrapi.PrivilegeID) bool {
	_, ok := slices.BinarySearch(s.Effective[id], privilege)
	return ok
}

// Snapshot returns the present state of every principal.
func (s *Server) Snapshot() *Snapshot {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &Snapshot{
		Direct:    make(map[mstrapi.ObjectID][]mstrapi.PrivilegeID, len(s.st.byID)),
		Effective: make(map[mstrapi.ObjectID][]mstrapi.PrivilegeID, len(s.st.byID)),
	}
	for id, p := range s.st.byID {
		out.Direct[id] = s.st.ids(p.direct)
		out.Effective[id] = s.st.ids(p.effective())
	}
	return out
}

// Dump returns the present state as text, one principal a line, groups before
// users and each sorted by name: for messages of tests and for golden files.
func (s *Server) Dump() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var b strings.Builder
	for _, list := range [][]*principal{s.st.groups, s.st.usersByName} {
		for _, p := range list {
			fmt.Fprintf(&b, "%s %s %q", p.kind, p.id, p.name)
			if p.kind == mstrapi.User {
				fmt.Fprintf(&b, " login %q", p.login)
			}
			fmt.Fprintf(&b, " direct %v inherited %v\n", s.st.ids(p.direct), s.st.ids(p.class.inherited))
		}
	}
	return b.String()
}

package mstrtest

import "privsync/mstrapi"

// SetSideEffects replaces [Quirks.SideEffects].
func (s *Server) SetSideEffects(effects []SideEffect) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.effects = effects
}

// alongWith returns what the server adds or removes with values: everything
// that they need, or that needs them, to any depth.
func (s *Server) alongWith(values []int, add bool) []int {
	effects := s.effects
	if len(effects) == 0 {
		return values
	}
	have := newBitset(s.st.words)
	var todo []int
	put := func(i int) {
		if !have.has(i) {
			have.add(i)
			todo = append(todo, i)
		}
	}
	for _, i := range values {
		put(i)
	}
	number := func(id mstrapi.PrivilegeID) (int, bool) { i, ok := s.st.index[id]; return i, ok }
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		for _, e := range effects {
			needing, ok := number(e.Privilege)
			if !ok {
				continue
			}
			for _, id := range e.Needs {
				needed, ok := number(id)
				switch {
				case !ok:
				case add && needing == at:
					put(needed)
				case !add && needed == at:
					put(needing)
				}
			}
		}
	}
	var all []int
	have.each(func(i int) { all = append(all, i) })
	return all
}

// Names of the privileges that the metadata command is about: it grants
// [WatchlistName] and [InsightName] to every user who holds [LibraryWebName].
// A catalogue without them has nothing to grant.
const (
	LibraryWebName = "Use Library Web"
	WatchlistName  = "Use Library Watchlist"
	InsightName    = "Use Library Insight"
)

// runCommand does what the metadata command does. The caller holds mu for
// writing.
func (s *Server) runCommand(request int) {
	if s.options.Quirks.NoCommandGrants {
		return
	}
	byName := func(name string) int {
		for i, p := range s.st.catalogue {
			if p.Name == name {
				return i
			}
		}
		return -1
	}
	web := byName(LibraryWebName)
	var gifts []int
	for _, name := range []string{WatchlistName, InsightName} {
		if i := byName(name); i >= 0 {
			gifts = append(gifts, i)
		}
	}
	if web < 0 || len(gifts) == 0 {
		return
	}
	for _, u := range s.st.usersByName {
		if u.holds(web) {
			s.write(u, []change{{add: true, values: gifts}}, request)
		}
	}
}

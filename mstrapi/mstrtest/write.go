package mstrtest

import (
	"privsync/mstrapi"
)

// Loss is an effective privilege that a principal held before a write and not
// after it. Request is the number of the request in [Server.Log].
type Loss struct {
	Request   int
	Kind      mstrapi.Kind
	Principal mstrapi.ObjectID
	Privilege mstrapi.PrivilegeID
}

// change is one edit of a principal's direct grants.
type change struct {
	add    bool
	values []int
}

// ledger is what the server remembers of the effects of writes. It is guarded
// by Server.mu.
type ledger struct {
	off      bool
	losses   []Loss
	baseline map[*principal]bitset // effective before the first change, of those that changed
	// restored says up to which loss others than clients have made good: the
	// number of losses there were when it happened.
	restored map[holding]int
}

// holding is one effective privilege of one principal.
type holding struct {
	principal mstrapi.ObjectID
	privilege mstrapi.PrivilegeID
}

func newLedger(off bool) ledger {
	return ledger{off: off, baseline: make(map[*principal]bitset), restored: make(map[holding]int)}
}

// write applies changes in order to p's direct grants and returns what really
// was added and removed. Request is 0 for a change that no client made: its
// effects are no [Loss]. The caller holds mu for writing.
func (s *Server) write(p *principal, changes []change, request int) (granted, revoked []mstrapi.PrivilegeID) {
	next := p.direct.clone()
	for _, c := range changes {
		values := c.values
		if request != 0 {
			values = s.alongWith(values, c.add)
		}
		for _, i := range values {
			if c.add {
				next.add(i)
			} else {
				next.remove(i)
			}
		}
	}
	added, removed := next.clone(), p.direct.clone()
	added.andNot(p.direct)
	removed.andNot(next)
	if added.empty() && removed.empty() {
		return nil, nil
	}
	s.remember(p)
	s.keepPast(p)
	p.direct = next
	s.lost(p, removed, p.class.inherited, request)
	s.gained(p, added, p.class.inherited, request)
	if p.below != nil {
		for _, c := range p.below.classes {
			s.passDown(c, request)
		}
	}
	return s.st.ids(added), s.st.ids(removed)
}

// passDown recomputes what the members of c inherit.
func (s *Server) passDown(c *class, request int) {
	if !s.ledger.off {
		for _, m := range c.members {
			s.remember(m)
		}
	}
	before := c.inherited
	s.st.inherit(c)
	c.fragments.Store(nil)
	gone, come := before.clone(), c.inherited.clone()
	gone.andNot(c.inherited)
	come.andNot(before)
	if gone.empty() && come.empty() {
		return
	}
	for _, m := range c.members {
		s.lost(m, gone, m.direct, request)
		s.gained(m, come, m.direct, request)
	}
}

// remember keeps what m holds before the first change that may touch it.
func (s *Server) remember(m *principal) {
	if s.ledger.off {
		return
	}
	if _, ok := s.ledger.baseline[m]; !ok {
		s.ledger.baseline[m] = m.effective()
	}
}

// lost records what of gone the principal does not keep.
func (s *Server) lost(m *principal, gone, keeps bitset, request int) {
	if s.ledger.off || request == 0 {
		return
	}
	for w := range gone {
		if gone[w]&^keeps[w] == 0 {
			continue
		}
		rest := gone.clone()
		rest.andNot(keeps)
		rest.each(func(i int) {
			s.ledger.losses = append(s.ledger.losses, Loss{
				Request: request, Kind: m.kind, Principal: m.id, Privilege: s.st.catalogue[i].ID,
			})
		})
		return
	}
}

// gained records what of come the principal did not have, unless a client gave
// it: a client is not to blame for a loss that somebody else makes good.
func (s *Server) gained(m *principal, come, had bitset, request int) {
	if s.ledger.off || request != 0 || len(s.ledger.losses) == 0 {
		return
	}
	come.each(func(i int) {
		if !had.has(i) {
			s.ledger.restored[holding{m.id, s.st.catalogue[i].ID}] = len(s.ledger.losses)
		}
	})
}

// Losses returns every effective privilege that a request took from anybody,
// in the order of the writes, since the server started or
// [Server.ResetLedger]. Changes made by [Server.Grant] and its kin are not
// requests.
func (s *Server) Losses() []Loss {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return append([]Loss(nil), s.ledger.losses...)
}

// LossesInPassing returns the losses that nobody can have wanted: the
// principal held the privilege when the server started (or at
// [Server.ResetLedger]) and holds it in the final state, but lost it in
// between. What [Server.Grant] and its kin have given back does not count. A nil
// final stands for the present state.
func (s *Server) LossesInPassing(final *Snapshot) []Loss {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []Loss
	for n, l := range s.ledger.losses {
		p := s.st.byID[l.Principal]
		i := s.st.index[l.Privilege]
		if p == nil || !s.ledger.baseline[p].has(i) || n < s.ledger.restored[holding{l.Principal, l.Privilege}] {
			continue
		}
		if final == nil && p.holds(i) || final != nil && final.holds(l.Principal, l.Privilege) {
			out = append(out, l)
		}
	}
	return out
}

// ResetLedger forgets all losses and takes the present state for the one to
// compare with.
func (s *Server) ResetLedger() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger = newLedger(s.ledger.off)
}

package mstrtest

import (
	"net/http"
	"time"

	"privsync/mstrapi"
)

// later carries a PATCH out when the client has long given up: whoever sent it
// was let in when it arrived.
func (s *Server) later(c *call, delay time.Duration) {
	s.mu.RLock()
	session, user := s.authenticate(c.req)
	s.mu.RUnlock()
	if session == nil {
		return
	}
	kind := mstrapi.User
	if c.endpoint == PatchGroup {
		kind = mstrapi.Group
	}
	own := &call{
		n: c.n, req: c.req, endpoint: c.endpoint, id: c.id, body: append([]byte(nil), c.body...),
		resp: &response{}, entry: c.entry, session: session, user: user,
	}
	own.resp.status = http.StatusOK
	time.AfterFunc(delay, func() {
		select {
		case <-s.closed:
			return
		default:
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.patch(own, kind, false)
	})
}

// past is what a principal held directly until a moment.
type past struct {
	until  time.Time
	direct bitset
}

// maxPast bounds how many earlier states of a principal are kept.
const maxPast = 16

// keepPast remembers what p holds before it changes. The caller holds mu for
// writing.
func (s *Server) keepPast(p *principal) {
	if s.ledger.off {
		return
	}
	if len(p.past) == maxPast {
		p.past = p.past[1:]
	}
	p.past = append(p.past, past{until: s.now(), direct: p.direct})
}

// directAt returns what p held directly at a moment; the zero time is now.
func (p *principal) directAt(at time.Time) bitset {
	if !at.IsZero() {
		for _, was := range p.past {
			if at.Before(was.until) {
				return was.direct
			}
		}
	}
	return p.direct
}

// inheritedAt is what the members of c inherited at a moment; the zero time is
// now. Memberships and roles are those of now.
func (c *class) inheritedAt(at time.Time) bitset {
	if at.IsZero() {
		return c.inherited
	}
	inherited := c.fromRoles.clone()
	for _, g := range c.ancestors {
		inherited.or(g.directAt(at))
	}
	return inherited
}

// asOf returns the moment that an [OldRead] answers for; zero without one.
func (s *Server) asOf(f *Fault) time.Time {
	if f == nil || f.Kind != OldRead {
		return time.Time{}
	}
	return s.now().Add(-f.delay())
}

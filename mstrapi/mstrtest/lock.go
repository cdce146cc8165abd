package mstrtest

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"privsync/mstrapi"
)

// lockTypes are what a lock may be. Never changed.
var lockTypes = []mstrapi.LockType{mstrapi.TemporalIndividual, "temporal_constituent", "permanent_individual", "permanent_constituent"}

// Lock is a lock on the configuration object. Owner is the login of whoever has it.
type Lock struct {
	Type    mstrapi.LockType
	ID      string
	Owner   string
	Machine string
	Since   time.Time
}

// configLock is the lock that is held; guarded by Server.mu.
type configLock struct {
	Lock
	owner   mstrapi.ObjectID
	session string    // its token; "" for a lock that no session has
	ended   time.Time // when the session was first seen to have ended
}

// Lock returns the lock on the configuration object, or nil.
func (s *Server) Lock() *Lock {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held := s.locked(); held != nil {
		l := held.Lock
		return &l
	}
	return nil
}

// SetLock locks the configuration object, as another administrator does who stays
// logged in, or unlocks it if l is nil. An error says that nobody has the login.
func (s *Server) SetLock(l *Lock) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l == nil {
		s.lock = nil
		return nil
	}
	owner := s.st.byLogin[strings.ToLower(l.Owner)]
	if owner == nil {
		return fmt.Errorf("no user has the login %q", l.Owner)
	}
	s.lock = &configLock{Lock: *l, owner: owner.id}
	if s.lock.Since.IsZero() {
		s.lock.Since = s.now()
	}
	s.lock.Type = cmp.Or(l.Type, mstrapi.TemporalIndividual)
	return nil
}

// locked returns the lock, or nil. A temporal one goes with its session, as
// [Quirks.LockLinger] says. The caller holds mu.
func (s *Server) locked() *configLock {
	l := s.lock
	if l == nil || l.session == "" || !strings.HasPrefix(string(l.Type), "temporal_") {
		return l
	}
	if open := s.sessions.get(l.session); open != nil && !s.idle(open) {
		return l
	}
	if l.ended.IsZero() {
		l.ended = s.now()
	}
	if s.now().Sub(l.ended) >= s.options.Quirks.LockLinger {
		s.lock = nil
	}
	return s.lock
}

// isLock reports whether the endpoint is about the lock.
func (e Endpoint) isLock() bool { return e == GetLock || e == PutLock || e == DeleteLock }

func (s *Server) getLock(c *call) {
	o := newObject(c.resp.body, c.fields())
	held := s.locked()
	if held == nil {
		o.string("lockType", string(mstrapi.NotLocked))
		c.resp.body = o.end()
		return
	}
	o.string("lockType", string(held.Type))
	o.string("lockTime", licenceDate(held.Since))
	q := s.options.Quirks
	switch {
	case q.NoLockComment:
	case q.PlainLockComment:
		o.string("comment", held.ID)
	default:
		var id strings.Builder
		_ = xml.EscapeText(&id, []byte(held.ID)) // a strings.Builder takes everything
		o.string("comment", "<LOCKINFO><LOCKID>"+id.String()+"</LOCKID></LOCKINFO>")
	}
	o.string("machineName", held.Machine)
	if o.key("owner") {
		owner := newObject(o.buf, nil)
		owner.string("id", string(held.owner))
		name := ""
		if p := s.st.byID[held.owner]; p != nil {
			name = p.name
		}
		owner.string("name", name)
		o.buf = owner.end()
	}
	c.resp.body = o.end()
}

// putLock locks. With lying it says so and does not.
func (s *Server) putLock(c *call, lying bool) {
	var body struct {
		Type mstrapi.LockType `json:"lockType"`
		ID   string           `json:"lockId"`
	}
	printable := func(r rune) bool { return r >= ' ' && r <= '~' }
	if json.Unmarshal(c.body, &body) != nil || !slices.Contains(lockTypes, body.Type) || body.ID == "" || len(body.ID) > mstrapi.MaxLockID ||
		strings.ContainsFunc(body.ID, func(r rune) bool { return !printable(r) }) {
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR006", 0, "lockType and lockId are needed")
		return
	}
	c.resp.status = http.StatusNoContent
	if held := s.locked(); held != nil {
		if held.session != c.session.token || held.Type != body.Type || held.ID != body.ID {
			s.fail(c.resp, c.n, cmp.Or(s.options.Quirks.LockedStatus, http.StatusBadRequest), "ERR001", 0, "The configuration is locked.")
		}
		return
	}
	if lying {
		return
	}
	s.lock = &configLock{
		Lock:  Lock{Type: body.Type, ID: body.ID, Owner: c.user.login, Machine: "WEB-NODE-1", Since: s.now()},
		owner: c.user.id, session: c.session.token,
	}
}

func (s *Server) deleteLock(c *call, lying bool) {
	held := s.locked()
	force := c.param("force") == "true"
	switch {
	case held == nil:
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR001", 0, "The configuration is not locked.")
		return
	case string(held.Type) != c.param("lockType"),
		!force && held.ID != c.param("lockId"),
		!force && s.options.Quirks.StrictUnlock && held.session != c.session.token,
		!force && held.owner != c.user.id:
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR001", 0, "The lock is another one.")
		return
	}
	c.resp.status = http.StatusNoContent
	if !lying {
		s.lock = nil
	}
}

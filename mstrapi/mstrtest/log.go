package mstrtest

import (
	"slices"
	"strings"
	"sync"
	"time"

	"privsync/mstrapi"
)

// Request is one request as the server saw it.
type Request struct {
	N        int // 1 for the first
	Time     time.Time
	Method   string
	Path     string // below the prefix; the whole path if outside
	Query    string
	Endpoint Endpoint
	// Status is what was answered; 0 while no answer was sent, and for ever
	// where a fault swallowed it.
	Status int
	User   string // login of the session's user, "" before the login
	Body   string // of a PATCH, and of a PUT of the lock
	Fault  FaultKind

	// Applied is true for a PATCH that the server carried out, whether or not
	// the answer arrived. Granted and Revoked are what it really changed.
	Applied bool
	Target  mstrapi.ObjectID
	Granted []mstrapi.PrivilegeID
	Revoked []mstrapi.PrivilegeID
}

// requestLog collects requests in the order of their numbers.
type requestLog struct {
	mu      sync.Mutex
	entries []*Request
}

func (l *requestLog) begin(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, r)
}

// update changes an entry that begin has published.
func (l *requestLog) update(r *Request, f func(*Request)) {
	if r == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f(r)
}

// Log returns every request so far, in the order of their numbers.
func (s *Server) Log() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	out := make([]Request, len(s.log.entries))
	for i, r := range s.log.entries {
		out[i] = *r
	}
	slices.SortStableFunc(out, func(a, b Request) int { return a.N - b.N })
	return out
}

// Writes returns the requests of [Server.Log] that the server carried out and
// that changed a direct grant.
func (s *Server) Writes() []Request {
	return slices.DeleteFunc(s.Log(), func(r Request) bool { return len(r.Granted)+len(r.Revoked) == 0 })
}

// ResetLog forgets the requests so far, and the counts. Numbers go on.
func (s *Server) ResetLog() {
	s.log.mu.Lock()
	s.log.entries = nil
	s.log.mu.Unlock()
	for e := range s.counts {
		s.counts[e].Store(0)
	}
}

// Counts returns how many requests each endpoint has had; endpoints without
// any are left out. Counting goes on with [Options.NoLog].
func (s *Server) Counts() map[Endpoint]int64 {
	out := make(map[Endpoint]int64)
	for e, n := range s.counts {
		if v := n.Load(); v > 0 {
			out[e] = v
		}
	}
	return out
}

// Requests returns how many requests have been counted in all.
func (s *Server) Requests() int64 {
	var sum int64
	for _, n := range s.counts {
		sum += n.Load()
	}
	return sum
}

// JournalEntry is a comment in the change journal.
type JournalEntry struct {
	Request   int
	Time      time.Time
	Principal mstrapi.ObjectID
	User      string // login of who wrote it
	Comment   string
}

// Journal returns the comments that PATCH requests have left, in order.
func (s *Server) Journal() []JournalEntry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.journal)
}

// below cuts the prefix off a path.
func (s *Server) belowPrefix(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, s.prefix)
	if !ok || !strings.HasPrefix(rest, "/") {
		return path, false
	}
	return rest, true
}

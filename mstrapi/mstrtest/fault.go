package mstrtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// FaultKind is one way in which a request can go wrong. The zero value is none.
type FaultKind string

const (
	// TooManyRequests is 429, Unavailable 503, ServerError 500, BadGateway 502,
	// GatewayTimeout 504, RequestTimeout 408; 502 and 504 come as a proxy's HTML.
	TooManyRequests FaultKind = "429"
	Unavailable     FaultKind = "503"
	ServerError     FaultKind = "500"
	BadGateway      FaultKind = "502"
	GatewayTimeout  FaultKind = "504"
	RequestTimeout  FaultKind = "408"
	// IServerTimeout is 500 with the number of a timeout inside the server.
	IServerTimeout FaultKind = "iserver timeout"
	// ResetBefore breaks the connection before the request is carried out,
	// ResetAfter after it, so that only the answer is lost.
	ResetBefore FaultKind = "reset before"
	ResetAfter  FaultKind = "reset after"
	// Hang never answers: it waits until the client gives up.
	Hang FaultKind = "hang"
	// CutBody breaks the connection in the middle of the body; CutJSON is a
	// complete answer over HTTP whose JSON ends in the middle. On an answer
	// without a body they do nothing.
	CutBody FaultKind = "cut body"
	CutJSON FaultKind = "cut json"
	// HTMLPage and EmptyBody answer 200 without JSON.
	HTMLPage  FaultKind = "html"
	EmptyBody FaultKind = "empty body"
	// ExpireSession ends the request's session just before it is looked at.
	ExpireSession FaultKind = "expire session"
	// LyingWrite answers a PATCH, or a change of the lock, with success and does nothing.
	LyingWrite FaultKind = "lying write"
	// LateWrite breaks the connection and carries the PATCH out [Fault.Delay] later.
	LateWrite FaultKind = "late write"
	// OldRead answers a request for privileges as [Fault.Delay] ago, as the node of
	// a cluster does that has not heard of a write yet.
	OldRead FaultKind = "old read"
	// Forbidden is 403 ERR017 with the server's number for a missing privilege.
	Forbidden FaultKind = "403"
	// NotFound is 404 ERR004, as if the user or group that the path names were not
	// there. It fits requests about one only.
	NotFound FaultKind = "404"
	// ShortPage drops the last row of a page, LostRow one in the middle, and
	// DuplicateRow replaces the last row by the first: the total count stays.
	// They fit requests for lists only, and do nothing to a page too small.
	ShortPage    FaultKind = "short page"
	LostRow      FaultKind = "lost row"
	DuplicateRow FaultKind = "duplicate row"
)

// FaultKinds returns every kind, in a fixed order.
func FaultKinds() []FaultKind {
	return []FaultKind{
		TooManyRequests, Unavailable, ServerError, BadGateway, GatewayTimeout, RequestTimeout, IServerTimeout,
		ResetBefore, ResetAfter, Hang, CutBody, CutJSON, HTMLPage, EmptyBody, ExpireSession, LyingWrite, LateWrite, OldRead, Forbidden, NotFound,
		ShortPage, LostRow, DuplicateRow,
	}
}

// Fault says what goes wrong, and when. Of several faults that would strike the
// same request the one injected first does; the others do not count it.
type Fault struct {
	Kind FaultKind

	// Method and Path choose the requests under the prefix: an HTTP method and a
	// regular expression for the path below the prefix (it starts with /api/).
	// Empty ones fit all, except login and logout, which only a Path reaches.
	Method string
	Path   string

	// Of the requests that fit, Skip are passed over first; then each is struck
	// with the probability Rate (0 means always), at most Times times (0 means
	// without end). Seed decides: the same order of requests gives the same faults.
	Skip  int
	Times int
	Rate  float64
	Seed  uint64

	// RetryAfter goes with TooManyRequests and Unavailable: 0 leaves the header
	// out, RetryAfterDate writes it as a date. Both forms have whole seconds.
	RetryAfter     time.Duration
	RetryAfterDate bool
	// Processed carries the request out before it fails: for the kinds that are a
	// status, and for Hang. The others say by themselves.
	Processed bool
	// Delay belongs to LateWrite and OldRead; 0 means 2 s.
	Delay time.Duration
}

// armed is an injected fault with its state, guarded by faults.mu.
type armed struct {
	Fault
	path   *regexp.Regexp
	rng    *rand.Rand
	seen   int
	struck int
}

// faults are the injected faults.
type faults struct {
	any  atomic.Bool
	mu   sync.Mutex
	list []*armed
}

// Inject adds a fault from now on. An error says that the fault makes no sense:
// an unknown kind, a bad expression, a rate outside 0 to 1.
func (s *Server) Inject(f Fault) error {
	known := false
	for _, k := range FaultKinds() {
		known = known || k == f.Kind
	}
	if !known {
		return fmt.Errorf("unknown fault kind %q", f.Kind)
	}
	if !(f.Rate >= 0 && f.Rate <= 1) || f.Skip < 0 || f.Times < 0 {
		return errors.New("a fault's rate must be between 0 and 1, skip and times not negative")
	}
	path, err := regexp.Compile(f.Path)
	if err != nil {
		return fmt.Errorf("path of the fault: %w", err)
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, &armed{
		Fault: f, path: path, rng: rand.New(rand.NewPCG(f.Seed, uint64(len(s.faults.list)))),
	})
	s.faults.any.Store(true)
	return nil
}

// ClearFaults ends all faults.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
	s.faults.any.Store(false)
}

// Struck returns how many requests each kind of fault has hit since it was
// injected.
func (s *Server) Struck() map[FaultKind]int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	out := make(map[FaultKind]int)
	for _, f := range s.faults.list {
		if f.struck > 0 {
			out[f.Kind] += f.struck
		}
	}
	return out
}

// fits reports whether the fault is meant for such a request.
func (f *armed) fits(e Endpoint, method, path string) bool {
	switch f.Kind {
	case LyingWrite:
		if !e.isPatch() && e != PutLock && e != DeleteLock {
			return false
		}
	case LateWrite:
		if !e.isPatch() {
			return false
		}
	case OldRead:
		if e != UserPrivileges && e != GroupPrivileges {
			return false
		}
	case ShortPage, LostRow, DuplicateRow:
		if !e.isList() {
			return false
		}
	case NotFound:
		if !e.isPrincipal() {
			return false
		}
	}
	if f.Path == "" && (e == Login || e == Logout) {
		return false
	}
	return (f.Method == "" || f.Method == method) && f.path.MatchString(path)
}

// pick numbers the request and returns the fault that strikes it, or nil. Both
// happen in one step, so that the order of the numbers is the order of the
// draws.
func (s *Server) pick(e Endpoint, method, path string) (n int, struck *Fault) {
	if !s.faults.any.Load() {
		return int(s.numbers.Add(1)), nil
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	n = int(s.numbers.Add(1))
	if e == Outside {
		return n, nil
	}
	for _, f := range s.faults.list {
		if f.Times > 0 && f.struck >= f.Times || !f.fits(e, method, path) {
			continue
		}
		f.seen++
		if f.seen <= f.Skip || f.Rate > 0 && f.rng.Float64() >= f.Rate {
			continue
		}
		f.struck++
		return n, &f.Fault
	}
	return n, nil
}

// delay returns how long a fault of time takes.
func (f *Fault) delay() time.Duration {
	if f.Delay == 0 {
		return 2 * time.Second
	}
	return f.Delay
}

// status returns the status of a fault that is one, or 0.
func (f *Fault) status() int {
	switch f.Kind {
	case TooManyRequests, Unavailable, ServerError, BadGateway, GatewayTimeout, RequestTimeout, Forbidden, NotFound:
		n, err := strconv.Atoi(string(f.Kind))
		if err == nil {
			return n
		}
	case IServerTimeout:
		return http.StatusInternalServerError
	}
	return 0
}

// before reports whether the request is not carried out at all.
func (f *Fault) before() bool {
	switch f.Kind {
	case ResetBefore, HTMLPage, EmptyBody, LateWrite:
		return true
	case Hang:
		return !f.Processed
	}
	return f.status() != 0 && !f.Processed
}

// spoil turns the response into what the fault makes of it.
func (s *Server) spoil(f *Fault, c *call) delivery {
	r := c.resp
	if status := f.status(); status != 0 {
		r.header = nil
		switch f.Kind {
		case BadGateway, GatewayTimeout:
			r.setPage(status)
		case Forbidden:
			s.refuse(c)
		case NotFound:
			s.missing(c)
		case IServerTimeout:
			s.fail(r, c.n, status, "ERR002", codeTimeout, "The request timed out in the Intelligence Server.")
		default:
			s.fail(r, c.n, status, "ERR001", 0, http.StatusText(status))
		}
		if f.RetryAfter > 0 && (f.Kind == TooManyRequests || f.Kind == Unavailable) {
			if f.RetryAfterDate {
				r.set("Retry-After", s.now().Add(f.RetryAfter).UTC().Format(http.TimeFormat))
			} else {
				r.set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
			}
		}
		return deliver
	}
	switch f.Kind {
	case ResetBefore, ResetAfter, LateWrite:
		return reset
	case Hang:
		return abandoned
	case HTMLPage:
		r.header = nil
		r.setPage(http.StatusOK)
	case EmptyBody:
		r.header = nil
		r.status, r.body = http.StatusOK, r.body[:0]
	case CutBody:
		if len(r.body) > 0 {
			return cutBody
		}
	case CutJSON:
		r.body = r.body[:len(r.body)/2]
	case ShortPage, LostRow, DuplicateRow:
		r.spoilPage(f.Kind)
	}
	return deliver
}

// spoilPage drops or repeats a row.
func (r *response) spoilPage(kind FaultKind) {
	n := len(r.rows)
	if n == 0 || kind != ShortPage && n < 2 {
		return
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	switch kind {
	case ShortPage:
		order = order[:n-1]
	case LostRow:
		order = append(order[:(n-1)/2], order[(n-1)/2+1:]...)
	case DuplicateRow:
		order[n-1] = 0
	}
	body := []byte{'['}
	for i, k := range order {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, r.body[r.rows[k][0]:r.rows[k][1]]...)
	}
	r.body = append(body, ']')
}

package mstrtest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"privsync/mstrapi"
)

// defaults of [Options] and of [Environment].
const (
	defaultPrefix  = "/MicroStrategyLibrary"
	defaultTimeout = 30 * time.Minute
	defaultVersion = "11.4.0000.0100"
)

// maxBody bounds the body of a request, in bytes.
const maxBody = 1 << 20

// Server is a simulated server, an [http.Handler]. All methods may be called
// concurrently, also from hooks. It has no zero value: use [NewServer].
type Server struct {
	options        Options
	prefix         string // "" or /something
	timeout        time.Duration
	iServerVersion string
	webVersion     string
	heads          [][]byte
	counts         map[Endpoint]*atomic.Int64 // fixed keys
	numbers        atomic.Int64               // of requests
	responses      *sync.Pool
	sessions       sessions
	faults         faults
	log            requestLog

	hooksMu    sync.RWMutex
	onRequest  []func(n int, r *http.Request)
	onResponse []func(n int, r *http.Request, status int)

	jitterMu sync.Mutex
	jitter   *rand.Rand
	slept    atomic.Int64 // nanoseconds
	sleeps   atomic.Int64

	connections atomic.Int64
	closed      chan struct{}
	closeOnce   sync.Once

	mu       sync.RWMutex // guards all below
	st       *state
	ledger   ledger
	journal  []JournalEntry
	effects  []SideEffect
	queues   map[string]*queue
	licences licences
	lock     *configLock // see locked
}

// NewServer returns a server that starts from env, which it does not change.
// It panics if [Environment.Validate] has anything to say: environments from
// [LoadEnvironment], [Random] and [Generate] are always valid.
func NewServer(env *Environment, o Options) *Server {
	if err := env.Validate(); err != nil {
		panic(fmt.Sprintf("mstrtest: environment: %v", err))
	}
	s := &Server{
		options: o, timeout: o.SessionTimeout,
		iServerVersion: o.IServerVersion, webVersion: env.WebVersion,
		counts:    make(map[Endpoint]*atomic.Int64),
		responses: newResponsePool(),
		jitter:    rand.New(rand.NewPCG(o.Seed, 1)),
		closed:    make(chan struct{}),
		ledger:    newLedger(o.NoLedger),
		queues:    make(map[string]*queue),
		effects:   o.Quirks.SideEffects,
	}
	s.sessions.open = make(map[string]*session)
	switch o.PathPrefix {
	case "":
		s.prefix = defaultPrefix
	default:
		s.prefix = strings.TrimRight("/"+strings.Trim(o.PathPrefix, "/"), "/")
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	if s.iServerVersion == "" {
		s.iServerVersion = env.IServerVersion
	}
	if s.iServerVersion == "" {
		s.iServerVersion = defaultVersion
	}
	if s.webVersion == "" {
		s.webVersion = s.iServerVersion
	}
	for _, e := range endpoints() {
		s.counts[e] = new(atomic.Int64)
	}
	s.st = newState(env, s.now().UnixMilli())
	s.heads = privilegeHeads(s.named(s.st.catalogue))
	s.licences.products = slices.SortedFunc(slices.Values(env.Licences), func(a, b Licence) int { return a.Product - b.Product })
	if !o.NoLicenceScan {
		s.licences.compliance.result = s.complianceNow(s.now().Add(-o.LicenceScanAge))
	}
	return s
}

// PathPrefix returns what stands before /api in every path: add it to the
// server's address to get the base URL. It is "" if there is none.
func (s *Server) PathPrefix() string { return s.prefix }

// Close frees requests that hang because of a fault. It may be called twice.
func (s *Server) Close() { s.closeOnce.Do(func() { close(s.closed) }) }

func (s *Server) now() time.Time {
	if s.options.Now != nil {
		return s.options.Now()
	}
	return time.Now()
}

// OnRequest adds a hook that is called with the number of each request before
// it is looked at: there another administrator may act. The hook must not read
// the body. Hooks of concurrent requests run concurrently.
func (s *Server) OnRequest(f func(n int, r *http.Request)) {
	s.hooksMu.Lock()
	defer s.hooksMu.Unlock()
	s.onRequest = append(s.onRequest, f)
}

// OnResponse adds a hook that is called after each request was carried out and
// before its answer is sent. Status is 0 when no answer will be sent.
func (s *Server) OnResponse(f func(n int, r *http.Request, status int)) {
	s.hooksMu.Lock()
	defer s.hooksMu.Unlock()
	s.onResponse = append(s.onResponse, f)
}

// MeasuredLatency returns the mean time that requests really slept for
// [Options.Latency]: a sleep takes longer than asked for. It is 0 without one.
func (s *Server) MeasuredLatency() time.Duration {
	n := s.sleeps.Load()
	if n == 0 {
		return 0
	}
	return time.Duration(s.slept.Load() / n)
}

// ConnState counts new connections, if it is set as [http.Server.ConnState].
func (s *Server) ConnState(_ net.Conn, state http.ConnState) {
	if state == http.StateNew {
		s.connections.Add(1)
	}
}

// Connections returns how many connections [Server.ConnState] has counted.
func (s *Server) Connections() int64 { return s.connections.Load() }

// call is one request on its way.
type call struct {
	n        int
	req      *http.Request
	endpoint Endpoint
	id       string
	body     []byte
	resp     *response
	entry    *Request // nil with Options.NoLog
	session  *session
	user     *principal
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	resp := s.responses.Get().(*response)
	resp.clear()
	defer s.responses.Put(resp)
	switch s.handle(r, resp) {
	case deliver:
		resp.write(w, r, s.options.Gzip)
	case cutBody:
		h := w.Header()
		for k, v := range resp.header {
			h[k] = v
		}
		h.Set("Content-Type", resp.contentType())
		h.Set("Content-Length", fmt.Sprint(len(resp.body)))
		w.WriteHeader(resp.status)
		// What follows breaks the connection anyway.
		_, _ = w.Write(resp.body[:len(resp.body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case reset:
		hangUp(w)
	case abandoned:
		panic(http.ErrAbortHandler)
	}
}

// hangUp breaks the connection with a TCP reset where that is possible.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the client sees an orderly end instead
	}
	_ = conn.Close()
}

// handle makes the response to r and says what becomes of it.
func (s *Server) handle(r *http.Request, resp *response) delivery {
	c := &call{req: r, resp: resp}
	path, under := s.belowPrefix(r.URL.Path)
	wrongMethod := false
	if under {
		c.endpoint, c.id, wrongMethod = route(r.Method, path)
	} else {
		c.endpoint = Outside
	}
	s.counts[c.endpoint].Add(1)
	body, err := s.read(r)
	if err != nil {
		return abandoned
	}
	c.body = body
	var f *Fault
	c.n, f = s.pick(c.endpoint, r.Method, path)
	if !s.options.NoLog {
		c.entry = &Request{
			N: c.n, Time: s.now(), Method: r.Method, Path: path, Query: r.URL.RawQuery, Endpoint: c.endpoint,
		}
		if c.endpoint.isPatch() || c.endpoint == PutLock {
			c.entry.Body = string(body)
		}
		if f != nil {
			c.entry.Fault = f.Kind
		}
		s.log.begin(c.entry)
	}
	s.hooksMu.RLock()
	before, after := s.onRequest, s.onResponse
	s.hooksMu.RUnlock()
	for _, hook := range before {
		hook(c.n, r)
	}
	if under && !s.sleep(r.Context()) {
		return abandoned
	}
	fate := deliver
	switch {
	case f != nil && f.Kind == LateWrite:
		s.later(c, f.delay())
	case f == nil || !f.before():
		s.process(c, under, wrongMethod, f)
	}
	if f != nil {
		fate = s.spoil(f, c)
	}
	status := resp.status
	if fate == reset || fate == abandoned {
		status = 0
	}
	s.log.update(c.entry, func(e *Request) {
		e.Status = status
		if c.user != nil {
			e.User = c.user.login
		}
	})
	for _, hook := range after {
		hook(c.n, r, status)
	}
	if fate == abandoned {
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
	}
	return fate
}

// read takes the whole body, so that the server notices when the client goes.
func (s *Server) read(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(r.Body, maxBody))
}

// sleep waits for the latency and reports whether the client is still there.
func (s *Server) sleep(ctx context.Context) bool {
	d := s.options.Latency
	if d <= 0 && s.options.Jitter <= 0 {
		return true
	}
	if j := s.options.Jitter; j > 0 {
		s.jitterMu.Lock()
		d += time.Duration(s.jitter.Int64N(int64(2*j)+1)) - j
		s.jitterMu.Unlock()
	}
	if d <= 0 {
		return true
	}
	start := time.Now()
	if mstrapi.Sleep(ctx, d) != nil {
		return false
	}
	s.slept.Add(int64(time.Since(start)))
	s.sleeps.Add(1)
	return true
}

// process carries the request out.
func (s *Server) process(c *call, under, wrongMethod bool, f *Fault) {
	c.resp.status = http.StatusOK
	switch {
	case !under:
		c.resp.setPage(http.StatusOK)
		return
	case c.endpoint == Unknown && !strings.HasPrefix(c.req.URL.Path[len(s.prefix):], "/api/"):
		c.resp.setPage(http.StatusOK)
		return
	case wrongMethod:
		s.fail(c.resp, c.n, http.StatusMethodNotAllowed, "ERR001", 0, "HTTP 405 Method Not Allowed")
		return
	case c.endpoint == Unknown || slices.Contains(s.options.Quirks.Without, c.endpoint):
		s.fail(c.resp, c.n, http.StatusNotFound, "ERR004", 0, "HTTP 404 Not Found")
		return
	}
	lock, unlock := s.mu.RLock, s.mu.RUnlock
	if c.endpoint.isPatch() || c.endpoint == SubmitCommand || c.endpoint == GetQueue || c.endpoint.isLicenceJob() || c.endpoint.isLock() {
		lock, unlock = s.mu.Lock, s.mu.Unlock
	}
	lock()
	defer unlock()
	switch c.endpoint {
	case Status:
		s.status(c)
		return
	case Login:
		s.login(c)
		return
	}
	if f != nil && f.Kind == ExpireSession {
		s.sessions.end(c.req.Header.Get("X-Mstr-Authtoken"))
	}
	if c.session, c.user = s.authenticate(c.req); c.session == nil {
		s.fail(c.resp, c.n, http.StatusUnauthorized, "ERR009", 0, "The user's session has expired, please reauthenticate")
		return
	}
	switch c.endpoint {
	case Logout:
		s.logout(c)
	case GetSession:
		s.getSession(c)
	case RenewSession:
		c.resp.status = http.StatusNoContent
	case UserInfo:
		s.userInfo(c)
	case SessionPrivilege:
		s.sessionPrivilege(c)
	case Catalogue:
		s.listCatalogue(c)
	case ListProjects:
		s.listProjects(c)
	case ListUsers, ListGroups:
		s.list(c)
	case GetUser:
		s.getPrincipal(c, mstrapi.User)
	case GetGroup:
		s.getPrincipal(c, mstrapi.Group)
	case UserPrivileges:
		s.privileges(c, mstrapi.User, s.asOf(f))
	case GroupPrivileges:
		s.privileges(c, mstrapi.Group, s.asOf(f))
	case GroupMemberships:
		s.memberships(c)
	case GroupMembers:
		s.members(c)
	case PatchUser:
		s.patch(c, mstrapi.User, f != nil && f.Kind == LyingWrite)
	case PatchGroup:
		s.patch(c, mstrapi.Group, f != nil && f.Kind == LyingWrite)
	case SubmitCommand:
		s.submitCommand(c)
	case GetQueue:
		s.getQueue(c)
	case GetLock:
		s.getLock(c)
	case PutLock:
		s.putLock(c, f != nil && f.Kind == LyingWrite)
	case DeleteLock:
		s.deleteLock(c, f != nil && f.Kind == LyingWrite)
	case LicencePrivileges:
		s.licencePrivileges(c)
	default:
		if c.endpoint.isLicenceJob() {
			s.licenceJob(c)
		}
	}
}

func (s *Server) status(c *call) {
	o := newObject(c.resp.body, c.fields())
	o.string("webVersion", s.webVersion)
	o.string("iServerVersion", s.iServerVersion)
	o.bool("clusterEnabled", false)
	c.resp.body = o.end()
}

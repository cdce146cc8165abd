package mstrapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"privsync/panics"
)

// A session is one login: the token and the cookies that go with every request.
type session struct {
	number uint64 // 1 for the first login of a client
	token  Secret
	opened time.Time   // when its login was answered
	worked atomic.Bool // the server has accepted it

	userAgent string
	// headers are those of every request, while none of the cookies expires; nil: ask
	// the cookies.
	headers atomic.Pointer[headers]
	mu      sync.Mutex // guards the cookies and changes of headers
	cookies cookies
}

// newSession returns a session without a token.
func newSession(number uint64, userAgent string) *session {
	return &session{number: number, userAgent: userAgent}
}

// headersNow returns the headers of a request, with the token and the cookies.
func (s *session) headersNow() *headers {
	if known := s.headers.Load(); known != nil {
		return known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	value, fickle := s.cookies.header(time.Now())
	h := newHeaders(s.userAgent, s.token, value)
	if !fickle && s.token != "" {
		s.headers.Store(h)
	}
	return h
}

// store keeps the cookies of an answer.
func (s *session) store(resp *http.Response) {
	if len(resp.Header["Set-Cookie"]) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headers.Store(nil)
	s.cookies.store(resp.Header, time.Now())
}

const (
	// uselessInARow ends a client whose fresh sessions are refused one after
	// another, without any good answer between them: each may still be open on the
	// server, and they are limited.
	uselessInARow = 3
	// settleTime is how long a fresh session that is refused is tried again before
	// it counts as useless: the node that answers may not have heard of it yet.
	settleTime  = 2 * time.Second
	settlePause = 250 * time.Millisecond
	// needlessLogins is how many logins may be spent on answers of 401 that turned
	// out to be about the request and not about the session. From then on every 401
	// is doubted before it costs a login.
	needlessLogins = 3
	// strayTries is how often a request that is told ERR009 is sent again with a
	// session that is alive.
	strayTries = 3
	// renewalsOfOne is how many logins one request may cause.
	renewalsOfOne = 10
	// leftMost is how many sessions that were given up are logged out at the end.
	leftMost = 8
	// renewalMost is how long one caller, for all others, tries to log in again
	// while the server is away.
	renewalMost = 2 * time.Minute
)

var (
	// ErrSessionUseless is matched by the errors of requests after the server
	// refused several sessions in a row right after their logins.
	ErrSessionUseless = errors.New("the server refuses each new session right after its login")
	// ErrLoginRefused is matched by the errors of a login that the server answered
	// with a refusal, the first of a client or one that was to renew a session.
	ErrLoginRefused = errors.New("login refused")
)

// sessions owns the current session and sees to it that one login serves all
// callers. Only login must be set; there is no session until someone asks for
// one.
type sessions struct {
	mu       sync.Mutex // guards everything here
	current  *session   // nil: lost, the next caller logs in
	flight   *loginCall // a login under way, or nil
	refused  error      // a reason never to log in again, or nil
	last     uint64     // number of the newest session
	needless int        // logins spent as said at needlessLogins
	useless  int        // fresh sessions given up since a session last worked
	closed   bool
	left     []*session // the last that were given up: another node may still have them open

	login func(number uint64) (*session, error) // opens a session; not guarded
	alert func()                                // called at the first useless session
}

// A loginCall is a login under way; done is closed when it has ended.
type loginCall struct {
	done chan struct{}
	err  error
}

// acquire returns the current session. Without one it waits for the login that
// is under way, or starts it, in the background: a caller that leaves does not
// take the login away from the others.
func (ss *sessions) acquire(ctx context.Context) (*session, error) {
	for {
		ss.mu.Lock()
		switch {
		case ss.closed:
			ss.mu.Unlock()
			return nil, ErrClosed
		case ss.refused != nil:
			defer ss.mu.Unlock()
			return nil, ss.refused
		case ss.current != nil:
			s := ss.current
			ss.mu.Unlock()
			return s, nil
		}
		call := ss.flight
		if call == nil {
			call = ss.start()
		}
		ss.mu.Unlock()
		select {
		case <-call.done:
			if call.err != nil {
				return nil, call.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// start begins a login; ss.mu is held. The login itself is repeated while that may
// help, so its error is the last word for everybody: servers lock accounts after
// a few wrong passwords, and a server that is away is not asked by each caller.
func (ss *sessions) start() *loginCall {
	call := &loginCall{done: make(chan struct{})}
	ss.flight = call
	ss.last++
	number := ss.last
	go func() {
		var s *session
		err := panics.Catch(func() (err error) {
			s, err = ss.login(number)
			return err
		})
		ss.mu.Lock()
		defer ss.mu.Unlock()
		call.err = err
		ss.current = s // even when closed meanwhile: then Close logs it out
		ss.flight = nil
		if err != nil {
			ss.refused = err
		}
		close(call.done)
	}()
	return call
}

// isCurrent reports whether s is still the session to use.
func (ss *sessions) isCurrent(s *session) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.current == s
}

// An authTrace is what one request has been through with its sessions.
type authTrace struct {
	renewals int // logins that it has caused
	settling int // waits for a fresh session
}

// A remedy is what a request that was answered with a 401 should do.
type remedy int

const (
	useNext    remedy = iota // send it again with the session that acquire then returns
	waitAndTry               // the session is so new that it may yet be accepted: wait and send again
	doubtIt                  // ask whether the session is alive, and then sessions.judged
	giveUp                   // it fails
)

// lost is told that session s was answered with a 401 of that code.
func (ss *sessions) lost(s *session, t *authTrace, code string) remedy {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	switch {
	case ss.current != s:
		return useNext // someone has logged in since, or is about to
	case !s.worked.Load() && time.Since(s.opened) < settleTime:
		return waitAndTry
	case !s.worked.Load() || codeNumber(code) != 9 || t.renewals > 0 || ss.needless >= needlessLogins:
		return doubtIt
	}
	t.renewals++
	ss.leave(s)
	return useNext
}

// leave gives up the current session s; ss.mu is held.
func (ss *sessions) leave(s *session) {
	ss.current = nil
	if ss.left = append(ss.left, s); len(ss.left) > leftMost {
		ss.left = ss.left[1:]
	}
}

// judged is told whether s, whose 401 of that code was doubted, was found alive.
func (ss *sessions) judged(s *session, t *authTrace, code string, alive bool) remedy {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	switch {
	case alive && codeNumber(code) == 9 && t.settling < strayTries:
		return waitAndTry // a node that does not know the session may have answered
	case alive:
		if t.renewals > 0 {
			ss.needless++
		}
		return giveUp
	case ss.current != s:
		return useNext
	case t.renewals >= renewalsOfOne:
		return giveUp
	}
	t.renewals++
	ss.leave(s)
	if s.worked.Load() {
		return useNext
	}
	ss.useless++
	if ss.useless == 1 && ss.alert != nil {
		ss.alert()
	}
	if ss.useless < uselessInARow {
		return useNext
	}
	ss.refused = fmt.Errorf("%w (%d in a row): check that cookies and the load balancer's stickiness survive the way to it", ErrSessionUseless, ss.useless)
	return giveUp
}

// settleWait returns how long the request waits for a fresh session.
func (t *authTrace) settleWait() time.Duration {
	t.settling++
	return settlePause << min(t.settling-1, 2)
}

// works is told that the server accepted session s.
func (ss *sessions) works(s *session) {
	if s.worked.Load() {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	s.worked.Store(true)
	ss.useless = 0
}

// close ends all acquiring, waits for a login under way until ctx ends, and
// returns the session to log out, or nil, and those that were given up. abort makes
// that login end.
func (ss *sessions) close(ctx context.Context, abort func()) (current *session, left []*session) {
	ss.mu.Lock()
	ss.closed = true
	call := ss.flight
	ss.mu.Unlock()
	if call != nil {
		select {
		case <-call.done:
		case <-ctx.Done():
			abort()
			<-call.done
		}
	}
	abort()
	ss.mu.Lock()
	defer ss.mu.Unlock()
	current, left = ss.current, ss.left
	ss.current, ss.left = nil, nil
	return current, left
}

// loginBody is the body of POST /api/auth/login. An API token goes in as the user
// name, without a password.
type loginBody struct {
	LoginMode LoginMode `json:"loginMode"`
	Username  string    `json:"username"`
	Password  *string   `json:"password,omitempty"`
}

// login opens session number. The first login of a client fails fast where a
// mistake is likelier than an accident: an unknown host, a refused connection, a
// page instead of the API. A later one waits for a server that is away.
func (c *client) login(ctx context.Context, number uint64, first bool) (*session, error) {
	body := loginBody{LoginMode: c.cfg.LoginMode, Username: c.cfg.Username}
	if c.cfg.LoginMode == APIToken {
		body.Username = c.cfg.APIToken.Reveal()
	} else {
		password := c.cfg.Password.Reveal()
		body.Password = &password
	}
	s := newSession(number, c.cfg.UserAgent)
	class := renewalRequest
	if first {
		class = loginRequest
	}
	q := &request{
		method: http.MethodPost, path: loginPath, body: encodeJSON(body),
		class: class, first: first, session: s, limit: errorBodyLimit,
		accept: func(_ []byte, h http.Header) error {
			s.token = Secret(h.Get("X-MSTR-AuthToken"))
			if s.token == "" {
				return incompletef("no X-MSTR-AuthToken in the answer")
			}
			return nil
		},
	}
	started := time.Now()
	if err := c.do(ctx, q); err != nil {
		err = c.explainLogin(err, first)
		switch {
		case ctx.Err() != nil || errors.Is(err, ErrUnreachable):
		case loginRefused(err):
			err = fmt.Errorf("%w: %w", ErrLoginRefused, err)
		case !first:
			err = fmt.Errorf("%w: logging in again did not succeed for %s: %w", ErrUnreachable, time.Since(started).Round(time.Second), err)
		}
		return nil, err
	}
	s.opened = time.Now()
	c.keepSecret(s.token)
	c.log.LogAttrs(ctx, slog.LevelDebug, "session opened", slog.Uint64("session", number))
	return s, nil
}

// loginPath is where a login goes.
const loginPath = "/api/auth/login"

// loginRefused reports whether err is a refusal that the server means: it would
// be the same the next time.
func loginRefused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status >= 400 && !judge(renewalRequest, e).again
}

// alive asks the server whether it still knows session s. Only a clear yes counts.
func (c *client) alive(ctx context.Context, s *session) bool {
	q := &request{method: http.MethodGet, path: "/api/sessions", session: s, limit: singleLimit}
	if c.pace.wait(ctx, false) != nil {
		return false
	}
	if c.attempt(ctx, q, s, 1) != nil {
		return false
	}
	c.sessions.works(s)
	return true
}

// renew decides what a request that was answered with e, a 401, should do, and
// does the waiting. It reports whether to send it again; if not e says why.
func (c *client) renew(ctx context.Context, s *session, t *authTrace, e *Error) (again bool) {
	what := c.sessions.lost(s, t, e.Code)
	if what == doubtIt {
		alive := c.alive(ctx, s)
		what = c.sessions.judged(s, t, e.Code, alive)
		if what == giveUp && alive {
			e.Err = errSessionAlive
		}
	}
	switch what {
	case useNext:
		c.logRetry(ctx, e, 0, "session lost")
		return true
	case waitAndTry:
		wait := t.settleWait()
		c.logRetry(ctx, e, wait, "session not known yet")
		if err := Sleep(ctx, wait); err != nil {
			e.Err = err
			return false
		}
		return true
	}
	if e.Err == nil {
		e.Err = c.sessions.why()
	}
	return false
}

// why returns the reason never to log in again, or nil.
func (ss *sessions) why() error {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.refused
}

// explainLogin adds to the error of a login what it means.
func (c *client) explainLogin(err error, first bool) error {
	var e *Error
	if !errors.As(err, &e) || e.Err != nil && e.Status != 404 && e.Status != 405 {
		return err
	}
	switch LoginRefusal(e) {
	case RefusedCredentials:
		e.Err = errors.New("check user name, password and login mode")
		if c.cfg.LoginMode == APIToken {
			e.Err = errors.New("check the API token: it may be wrong, expired or revoked")
		}
	case RefusedDisabled:
		e.Err = errors.New("check that the account is enabled and may use the Library")
	case RefusedLocked:
		e.Err = errors.New("the account is locked")
	case RefusedExpired:
		e.Err = errors.New("the password has to be changed")
	case RefusedLicence:
		e.Err = errors.New("the server has no licence for this login")
	case RefusedLDAP:
		e.Err = errors.New("the server cannot use LDAP for this login")
	case RefusedSessions:
		e.Err = errors.New("too many sessions are open")
	default:
		if first && (e.Status == 404 || e.Status == 405) {
			e.Err = errNotLibrary
		}
	}
	return err
}

// logout closes session s on the server. A session that is gone already counts
// as closed.
func (c *client) logout(ctx context.Context, s *session) error {
	err := c.do(ctx, &request{
		method: http.MethodPost, path: "/api/auth/logout",
		class: logoutRequest, session: s, limit: errorBodyLimit,
	})
	if IsAuth(err) {
		err = nil
	}
	c.log.LogAttrs(ctx, slog.LevelDebug, "session closed", slog.Uint64("session", s.number), slog.Bool("ok", err == nil))
	return err
}

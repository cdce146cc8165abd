package mstrapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// A session is one login: the token and the cookies that go with every request.
type session struct {
	number uint64 // 1 for the first login of a client
	token  Secret
	jar    *cookiejar.Jar
	worked atomic.Bool // the server has accepted it

	userAgent string
	// headers are those of every request below the base URL, while none of the
	// cookies expires or is for some paths only; nil: ask the jar.
	headers atomic.Pointer[headers]
	mu      sync.Mutex // guards changes of the jar, headers and fickle
	fickle  bool       // some cookie expires or is not for every path
}

// newSession returns a session without a token.
func newSession(number uint64, userAgent string) *session {
	jar, _ := cookiejar.New(nil) // never fails without options
	return &session{number: number, userAgent: userAgent, jar: jar}
}

// headersFor returns the headers of a request for u, with the token and the
// cookies.
func (s *session) headersFor(u *url.URL) *headers {
	if known := s.headers.Load(); known != nil {
		return known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, cookie := range s.jar.Cookies(cookieURL(u)) {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(cookie.Name)
		b.WriteByte('=')
		b.WriteString(cookie.Value)
	}
	h := newHeaders(s.userAgent, s.token, b.String())
	if !s.fickle && s.token != "" {
		s.headers.Store(h)
	}
	return h
}

// store keeps the cookies of an answer. basePath is the path of the base URL.
func (s *session) store(resp *http.Response, u *url.URL, basePath string) {
	if len(resp.Header["Set-Cookie"]) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headers.Store(nil)
	cookies := resp.Cookies()
	for _, cookie := range cookies {
		s.fickle = s.fickle || cookie.Path == "" || cookie.MaxAge != 0 || cookie.RawExpires != ""
		// Behind a proxy that maps one path to another the server names a path
		// that is never asked for, and its JSESSIONID would be lost.
		if cookie.Path != "" && !strings.HasPrefix(basePath+"/api/", strings.TrimSuffix(cookie.Path, "/")+"/") {
			cookie.Path = "/"
		}
	}
	s.jar.SetCookies(cookieURL(u), cookies)
}

// cookieURL is u as if it were https, so that a Secure cookie is sent back over
// plain http, which only loopback and AllowHTTP permit: without it there is no
// session at all.
func cookieURL(u *url.URL) *url.URL {
	c := *u
	c.Scheme = "https"
	return &c
}

const (
	// uselessInARow ends a client whose fresh sessions are refused one after
	// another: each of them may still be open on the server, and they are limited.
	// A server in trouble can lose a few sessions before their first use, though.
	uselessInARow = 8
	// doubtfulLogins is how many logins may be spent, at any time, on answers of
	// 401 that do not say ERR009 and that the login did not cure: such a 401 may
	// be about the request, not about the session.
	doubtfulLogins = 3
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
	doubtful int        // logins spent as said at doubtfulLogins
	useless  int        // fresh sessions refused since a session last worked
	judged   uint64     // newest session counted in useless
	closed   bool

	login func(number uint64) (*session, error) // opens a session; not guarded
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

// start begins a login; ss.mu is held.
func (ss *sessions) start() *loginCall {
	call := &loginCall{done: make(chan struct{})}
	ss.flight = call
	ss.last++
	number := ss.last
	go func() {
		s, err := ss.login(number)
		ss.mu.Lock()
		defer ss.mu.Unlock()
		call.err = err
		ss.current = s // even when closed meanwhile: then Close logs it out
		ss.flight = nil
		if err != nil && !worthAnotherLogin(err) {
			ss.refused = err
		}
		close(call.done)
	}()
	return call
}

// worthAnotherLogin reports whether a later login may succeed. A refused one is
// never repeated: servers lock accounts after a few wrong passwords.
func worthAnotherLogin(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true
	}
	return e.Status < 400 || e.Status == 408 || e.Status == 429 || e.Status >= 500
}

// isCurrent reports whether s is still the session to use.
func (ss *sessions) isCurrent(s *session) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.current == s
}

// An authTrace is what one request has been through with its sessions.
type authTrace struct {
	renewed  bool // it has caused a login
	doubtful bool // that login counts in sessions.doubtful
}

// lost is told that session s was answered with a 401, and reports whether the
// request should be tried once more with the session that acquire then returns.
func (ss *sessions) lost(s *session, t *authTrace, code string) (again bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	gone := codeNumber(code) == 9
	if !s.worked.Load() && s.number > ss.judged {
		ss.judged = s.number
		ss.useless++
		if ss.useless >= uselessInARow && ss.refused == nil {
			ss.refused = errors.New("the server refuses the session right after each login: check that cookies and the load balancer's stickiness survive the way to it")
		}
	}
	if t.renewed {
		if ss.current == s && gone {
			ss.current = nil
		}
		t.doubtful = false // stays counted
		return false
	}
	if ss.current != s {
		return true // someone has logged in since
	}
	if !gone {
		if ss.doubtful >= doubtfulLogins {
			return false
		}
		ss.doubtful++
		t.doubtful = true
	}
	t.renewed = true
	ss.current = nil
	return true
}

// settle is told that a request ended other than with a second 401.
func (ss *sessions) settle(t *authTrace) {
	if !t.doubtful {
		return
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.doubtful--
	t.doubtful = false
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
// returns the session to log out, or nil. abort makes that login end.
func (ss *sessions) close(ctx context.Context, abort func()) *session {
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
	s := ss.current
	ss.current = nil
	return s
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
// page instead of the API.
func (c *client) login(ctx context.Context, number uint64, first bool) (*session, error) {
	body := loginBody{LoginMode: c.cfg.LoginMode, Username: c.cfg.Username}
	if c.cfg.LoginMode == APIToken {
		body.Username = c.cfg.APIToken.Reveal()
	} else {
		password := c.cfg.Password.Reveal()
		body.Password = &password
	}
	s := newSession(number, c.cfg.UserAgent)
	q := &request{
		method: http.MethodPost, path: "/api/auth/login", body: encodeJSON(body),
		class: loginRequest, first: first, session: s, limit: errorBodyLimit,
		accept: func(_ []byte, h http.Header) error {
			s.token = Secret(h.Get("X-MSTR-AuthToken"))
			if s.token == "" {
				return incompletef("no X-MSTR-AuthToken in the answer")
			}
			return nil
		},
	}
	if err := c.do(ctx, q); err != nil {
		return nil, c.explainLogin(err, first)
	}
	c.keepSecret(s.token)
	c.log.LogAttrs(ctx, slog.LevelDebug, "session opened", slog.Uint64("session", number))
	return s, nil
}

// explainLogin adds to the error of a login what to do about it.
func (c *client) explainLogin(err error, first bool) error {
	var e *Error
	if !errors.As(err, &e) || e.Err != nil && e.Status != 404 && e.Status != 405 {
		return err
	}
	switch {
	case e.Status == 401 && c.cfg.LoginMode == APIToken:
		e.Err = errors.New("check the API token: it may be wrong, expired or revoked")
	case e.Status == 401:
		e.Err = errors.New("check user name, password and login mode")
	case e.Status == 403:
		e.Err = errors.New("check that the account is enabled and may use the Library")
	case first && (e.Status == 404 || e.Status == 405):
		e.Err = errNotLibrary
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

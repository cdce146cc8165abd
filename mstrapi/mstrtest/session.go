package mstrtest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"privsync/mstrapi"
)

// Names of the cookies that go with a session.
const (
	sessionCookie = "JSESSIONID"
	stickyCookie  = "MSTRLB"
)

// session is one login.
type session struct {
	token  string
	cookie string // value of sessionCookie
	sticky string // value of stickyCookie

	from time.Time // it is known from then on
	user mstrapi.ObjectID
	used atomic.Int64 // Unix nanoseconds of the last request
}

// sessions are the logins that are open.
type sessions struct {
	mu   sync.RWMutex
	open map[string]*session // by token
}

func (s *sessions) get(token string) *session {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.open[token]
}

func (s *sessions) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, token)
}

// KillSessions ends every session, as a restart of the server does.
func (s *Server) KillSessions() {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	clear(s.sessions.open)
}

// OpenSessions returns how many sessions are open: logged in, not logged out,
// not idle for too long.
func (s *Server) OpenSessions() int {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	s.sweep()
	return len(s.sessions.open)
}

// sweep drops the sessions that have been idle for too long.
func (s *Server) sweep() {
	for token, open := range s.sessions.open {
		if s.idle(open) {
			delete(s.sessions.open, token)
		}
	}
}

func (s *Server) idle(open *session) bool {
	return s.now().Sub(time.Unix(0, open.used.Load())) > s.timeout
}

// authenticate returns the user of the session that the request belongs to:
// token and cookies must all be right. The caller holds mu.
func (s *Server) authenticate(r *http.Request) (*session, *principal) {
	token := r.Header.Get("X-Mstr-Authtoken")
	if token == "" {
		return nil, nil
	}
	open := s.sessions.get(token)
	if open == nil {
		return nil, nil
	}
	if s.idle(open) {
		s.sessions.end(token)
		return nil, nil
	}
	if s.now().Before(open.from) && !strings.HasSuffix(r.URL.Path, "/auth/logout") {
		return nil, nil
	}
	if cookieOf(r, sessionCookie) != open.cookie || cookieOf(r, stickyCookie) != open.sticky {
		return nil, nil
	}
	user := s.st.byID[open.user]
	if user == nil || !user.enabled {
		s.sessions.end(token)
		return nil, nil
	}
	open.used.Store(s.now().UnixNano())
	return open, user
}

// cookieOf is [http.Request.Cookie] without its allocations.
func cookieOf(r *http.Request, name string) string {
	for _, line := range r.Header["Cookie"] {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			if key, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && key == name {
				return value
			}
		}
	}
	return ""
}

// Modes of POST /api/auth/login.
const (
	modeStandard  = 1
	modeAnonymous = 8
	modeLDAP      = 16
	modeAPIToken  = 4096
)

// guestLogin is the user that an anonymous login becomes, where there is one.
const guestLogin = "guest"

func (s *Server) login(c *call) {
	var body struct {
		LoginMode *int   `json:"loginMode"`
		Username  string `json:"username"`
		Password  string `json:"password"`
	}
	if err := json.Unmarshal(c.body, &body); err != nil {
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR006", 0, "the body is not valid JSON")
		return
	}
	mode := modeStandard
	if body.LoginMode != nil {
		mode = *body.LoginMode
	}
	var user *principal
	switch mode {
	case modeStandard, modeLDAP:
		if u := s.st.byLogin[strings.ToLower(body.Username)]; u != nil && u.password == body.Password {
			user = u
		}
	case modeAPIToken:
		user = s.st.byToken[body.Username]
	case modeAnonymous:
		user = s.st.byLogin[guestLogin]
	default:
		s.fail(c.resp, c.n, http.StatusBadRequest, "ERR006", 0, "loginMode "+strconv.Itoa(mode)+" is not supported")
		return
	}
	if user == nil || !user.enabled {
		s.fail(c.resp, c.n, http.StatusUnauthorized, "ERR003", -2147216959, "Incorrect login/password. Please try again.")
		return
	}
	c.user = user
	open := &session{
		token: strings.ToLower(rand.Text()), cookie: rand.Text(), sticky: rand.Text(), user: user.id,
	}
	open.used.Store(s.now().UnixNano())
	open.from = s.now().Add(s.options.Quirks.SessionLag)
	path := s.prefix
	if path == "" {
		path = "/"
	}
	path, stickyPath := "; Path="+path, "; Path=/"
	if s.options.Quirks.QuotedCookies {
		open.cookie, open.sticky, stickyPath = `"`+open.cookie+`\x"`, `"`+open.sticky+`\"`, ""
	}
	s.sessions.mu.Lock()
	s.sweep()
	full := s.options.MaxSessions > 0 && len(s.sessions.open) >= s.options.MaxSessions
	if !full {
		s.sessions.open[open.token] = open
	}
	s.sessions.mu.Unlock()
	if full {
		s.fail(c.resp, c.n, http.StatusInternalServerError, "ERR002", codeSessions, "The maximum number of sessions is open.")
		return
	}
	c.resp.status = http.StatusNoContent
	c.resp.set("X-Mstr-Authtoken", open.token)
	secure := ""
	if c.req.TLS != nil {
		secure = "; Secure"
	}
	c.resp.set("Set-Cookie", sessionCookie+"="+open.cookie+path+"; HttpOnly"+secure)
	c.resp.set("Set-Cookie", stickyCookie+"="+open.sticky+stickyPath+secure)
}

func (s *Server) logout(c *call) {
	s.sessions.end(c.session.token)
	c.resp.status = http.StatusNoContent
}

func (s *Server) getSession(c *call) {
	o := newObject(c.resp.body, c.fields())
	o.raw("locale", "1033")
	o.raw("timeout", strconv.Itoa(int(s.timeout/time.Second)))
	o.raw("maxSearch", "3")
	o.raw("workingSet", "10")
	c.resp.body = o.end()
}

func (s *Server) userInfo(c *call) {
	o := newObject(c.resp.body, c.fields())
	o.bool("metadataUser", true)
	o.string("id", string(c.user.id))
	o.string("fullName", c.user.name)
	o.string("initials", initials(c.user.name))
	c.resp.body = o.end()
}

// sessionPrivilege tells the session's user about one of its own privileges.
func (s *Server) sessionPrivilege(c *call) {
	number, err := strconv.Atoi(c.id)
	i, known := s.st.index[mstrapi.PrivilegeID(number)]
	if err != nil || !known {
		s.fail(c.resp, c.n, http.StatusNotFound, "ERR004", 0, "the privilege "+strconv.Quote(c.id)+" does not exist")
		return
	}
	held := c.user.direct.has(i)
	for _, g := range c.user.class.ancestors {
		held = held || g.direct.has(i)
	}
	if !c.user.holds(i) && s.options.Quirks.RefuseOwnPrivilege {
		s.refuse(c)
		return
	}
	p := &s.st.catalogue[i]
	o := newObject(c.resp.body, c.fields())
	o.string("id", p.ID.String())
	o.string("name", p.Name)
	o.string("description", p.Description)
	o.bool("isUserLevelAllowed", held)
	if o.key("projects") {
		o.buf = append(o.buf, '[')
		for k, project := range s.st.projects {
			if k > 0 {
				o.buf = append(o.buf, ',')
			}
			allowed := held
			s.st.eachRole(c.user.class, func(r RoleGrant) {
				role := s.st.role(r.Role)
				if role != nil && r.Project == project.ID && p.ProjectLevel && s.st.set(role.Privileges).has(i) {
					allowed = true
				}
			})
			row := newObject(o.buf, nil)
			row.string("id", string(project.ID))
			row.bool("isAllowed", allowed)
			o.buf = row.end()
		}
		o.buf = append(o.buf, ']')
	}
	c.resp.body = o.end()
}

// refuse answers that the caller may not do this.
func (s *Server) refuse(c *call) {
	s.fail(c.resp, c.n, http.StatusForbidden, "ERR017", codeNotPrivileged,
		"(You do not have the '"+UserManagerName+"' privilege that is required to perform the task.)")
}

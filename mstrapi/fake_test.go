package mstrapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const (
	fakePrefix = "/consume-dev"
	demoUser   = ObjectID("6C9DFE134D0F8764893B469525E38EB0")
	userAdmins = ObjectID("17CD5CDB43085A8A52533B86A05DCB3A")
	sysAdmins  = ObjectID("5F3FAFE111D2D8CC6000CC8E67019608")
)

// fake is a server under a path prefix that keeps sessions as the real one does:
// a request needs the token and the cookie of the same login. Tests add the
// endpoints they need.
type fake struct {
	t   testing.TB
	mux *http.ServeMux

	mu     sync.Mutex
	logins int
	alive  map[string]bool // by token
	log    []string        // METHOD path?query
	bodies []string        // of logins and PATCHes, in the log's order

	// before may answer a request in place of the server; it is called without mu.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func newFake(t testing.TB) *fake {
	f := &fake{t: t, mux: http.NewServeMux(), alive: map[string]bool{}}
	f.mux.HandleFunc("POST /api/auth/login", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-MSTR-AuthToken") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("login sends the token or cookies of another session")
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.logins++
		token := fmt.Sprintf("token-%d", f.logins)
		f.alive[token] = true
		// The path is the server's own, before the proxy's rewriting.
		http.SetCookie(w, &http.Cookie{Name: "JSESSIONID", Value: "id-of-" + token, Path: "/MicroStrategyLibrary", HttpOnly: true, Secure: true})
		http.SetCookie(w, &http.Cookie{Name: "LB", Value: "node-" + token, Path: "/"})
		w.Header().Set("X-MSTR-AuthToken", token)
		w.WriteHeader(http.StatusNoContent)
	})
	f.mux.HandleFunc("POST /api/auth/logout", func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.alive, r.Header.Get("X-MSTR-AuthToken"))
		w.WriteHeader(http.StatusNoContent)
	})
	f.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("no endpoint for %s %s", r.Method, r.URL)
		apiError(w, 404, "ERR004", "HTTP 404 Not Found")
	})
	return f
}

// handle adds an endpoint, for example "GET /api/status".
func (f *fake) handle(pattern string, h http.HandlerFunc) { f.mux.HandleFunc(pattern, h) }

// answer adds an endpoint with a fixed JSON answer.
func (f *fake) answer(pattern, body string) {
	f.handle(pattern, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	})
}

// kill ends all sessions on the server's side.
func (f *fake) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.alive)
}

func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.log...)
}

// count returns how many requests began with prefix, for example "PATCH".
func (f *fake) count(prefix string) int {
	n := 0
	for _, line := range f.requests() {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, fakePrefix)
	if !ok {
		f.t.Errorf("request to %s, outside the base path %s", r.URL.Path, fakePrefix)
	}
	body, _ := io.ReadAll(r.Body)
	line := r.Method + " " + path
	if r.URL.RawQuery != "" {
		line += "?" + r.URL.RawQuery
	}
	f.mu.Lock()
	f.log = append(f.log, line)
	f.bodies = append(f.bodies, string(body))
	token := r.Header.Get("X-MSTR-AuthToken")
	alive := f.alive[token]
	before := f.before
	f.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if path != "/api/auth/login" && path != "/api/status" {
		cookie, _ := r.Cookie("JSESSIONID")
		sticky, _ := r.Cookie("LB")
		if !alive || cookie == nil || cookie.Value != "id-of-"+token || sticky == nil || sticky.Value != "node-"+token {
			apiError(w, 401, "ERR009", "The user's session has expired, please reauthenticate")
			return
		}
	}
	r2 := r.Clone(r.Context())
	r2.URL.Path = path
	f.mux.ServeHTTP(w, r2)
}

func apiError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"code": code, "message": message, "ticketId": "ticket-1", "iServerCode": -2147214568})
}

// RoundTrip lets the fake stand in for a transport, so that time can be made up.
func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	var failure error
	func() {
		defer func() {
			switch v := recover().(type) {
			case nil:
			case error:
				failure = v
			default:
				panic(v)
			}
		}()
		f.ServeHTTP(w, r)
	}()
	if failure != nil {
		return nil, failure
	}
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// config is for a client that uses the fake as its transport.
func (f *fake) config() Config {
	return Config{URL: "http://127.0.0.1:8080" + fakePrefix + "/", Username: "administrator", Password: "pass-word-1", Transport: f}
}

func (f *fake) reader(t testing.TB, change ...func(*Config)) *Reader {
	t.Helper()
	return f.writer(t, change...).Reader
}

func (f *fake) writer(t testing.TB, change ...func(*Config)) *Writer {
	t.Helper()
	cfg := f.config()
	for _, c := range change {
		c(&cfg)
	}
	w, err := OpenWriter(t.Context(), cfg)
	if err != nil {
		t.Fatalf("OpenWriter = %v", err)
	}
	t.Cleanup(func() { w.Close(context.Background()) })
	return w
}

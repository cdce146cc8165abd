package mstrapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
)

// The table of judge, with the failures that it does not name.
func TestJudge(t *testing.T) {
	classes := []requestClass{readRequest, writeRequest, loginRequest, renewalRequest, logoutRequest}
	at := func(status int, code string) *Error { return &Error{Status: status, Code: code, Err: errors.New("x")} }
	for _, test := range []struct {
		name string
		e    *Error
		want string // for each class: a: again, A: and everyone waits; -: final, +: and everyone waits
	}{
		{"429", at(429, ""), "AAAAa"},
		{"503", at(503, ""), "A+AAa"},
		{"never connected", &Error{Unsent: true}, "aaaaa"},
		{"no answer", &Error{}, "a-aaa"},
		{"408", at(408, ""), "a-aaa"},
		{"502", at(502, ""), "a-aaa"},
		{"504", at(504, ""), "a-aaa"},
		{"500 ERR0013", at(500, "ERR0013"), "a-aa-"},
		{"500 ERR016", at(500, "ERR016"), "a-aa-"},
		{"500", at(500, "ERR001"), "a--a-"},
		{"500 that says that the login is wrong", at(500, "ERR003"), "a----"},
		{"time-out in the server", &Error{Status: 400, IServerCode: iServerTimeout}, "a--a-"},
		{"not understood", at(200, ""), "a-aa-"},
		{"400", at(400, "ERR006"), "-----"},
		{"401", at(401, "ERR009"), "-----"},
		{"404", at(404, "ERR004"), "-----"},
		{"501", at(501, ""), "-----"},
		{"certificate", &Error{Err: permanentError{errors.New("x")}}, "-----"},
		{"a page at the door", &Error{Status: 200, Err: errNotLibrary}, "-----"},
	} {
		var got strings.Builder
		for _, class := range classes {
			v := judge(class, test.e)
			got.WriteString(map[verdict]string{{again: true}: "a", {again: true, all: true}: "A", {all: true}: "+", {}: "-"}[verdict{again: v.again, all: v.all}])
		}
		if got.String() != test.want {
			t.Errorf("%s: %s, want %s (read, write, login, renewal, logout)", test.name, got.String(), test.want)
		}
	}
}

// The queue is read like anything else: too many requests, and errors, are no end of it.
func TestQueueIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.answer("GET /api/iserver/queues/{id}", `{"status":3,"progress":100}`)
		r := f.reader(t)
		f.inject("GET", status(429), status(500), status(429))
		if got, err := r.Queue(t.Context(), "Q1"); err != nil || got.Status != 3 || f.count("GET") != 4 {
			t.Errorf("Queue = %+v, %v, after %d requests", got, err, f.count("GET"))
		}
	})
}

// A refusal that says that nothing was done says so in its error.
func TestRefusedIsUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for code, want := range map[int]bool{429: true, 401: true, 400: false, 503: false} {
			f := newFake(t)
			f.answer("GET /api/sessions", `{}`)
			w := f.writer(t, func(c *Config) { c.MaxAttempts = 1 })
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPatch {
					apiError(w, code, "ERR001", "no")
				}
				return r.Method == http.MethodPatch
			}
			var e *Error
			if err := w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}}); !errors.As(err, &e) || e.Unsent != want {
				t.Errorf("%d: %v, unsent %t, want %t", code, err, e != nil && e.Unsent, want)
			}
		}
	})
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A context that ends while an answer arrives: what the server refused it refused,
// and all else is the context's, at once and never held against the server.
func TestContextEndsWithTheAnswer(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault fault
		want  int // status of the error; 0 or 200: it is the context's
	}{
		{"refused", status(403), 403},
		{"not found", status(404), 404},
		{"server error", status(500), 500},
		{"half an answer", body(`{"privileges":`), 200},
		{"reset", broken(errReset), 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w := f.writer(t, func(c *Config) {
				c.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
					resp, err := f.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
					if strings.HasSuffix(r.URL.Path, "/privileges") || r.Method == http.MethodPatch {
						cancel()
					}
					return resp, err
				})
			})
			f.inject("GET", test.fault)
			_, err := w.Held(ctx, User, demoUser, LevelServer)
			var e *Error
			if !errors.As(err, &e) || e.Status != test.want || errors.Is(err, context.Canceled) != (test.want < 300 || test.want == 500) {
				t.Errorf("%s: Held = %v, want status %d", test.name, err, test.want)
			}
			if got := w.c.outage.weight.Load(); test.want < 300 && got != 0 || w.Stats().Retries != 0 {
				t.Errorf("%s: %d are held against the server, %+v", test.name, got, w.Stats())
			}
		})
	}
}

// A renewed session costs no try: with two of them, one is left for an accident.
func TestRenewalsAreNoTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t, func(c *Config) { c.MaxAttempts = 2 })
		if _, err := r.SessionUser(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.kill()
		lost := func(w http.ResponseWriter, r *http.Request) { apiError(w, 401, "ERR009", "gone") }
		f.inject("GET /api/users/", lost, status(500))
		if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil || f.logins != 2 {
			t.Errorf("Held = %v after %d logins", err, f.logins)
		}
	})
}

// One request is told again and again that its session is gone, while others in it
// work: a second 401 is doubted before it costs another login, and where the
// sessions are dead indeed there is an end too.
func TestSecond401(t *testing.T) {
	for alive, want := range map[bool]int{true: 2, false: 1 + renewalsOfOne} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			sampleServer(f)
			r := f.reader(t)
			f.before = func(w http.ResponseWriter, req *http.Request) bool {
				switch {
				case f.count("POST /api/auth/login") > 2*want:
					return false // a client that never ends would hang the test
				case strings.HasSuffix(req.URL.Path, "/userInfo"):
					_, _ = r.Held(req.Context(), User, demoUser, LevelServer) // the session works
				case alive || !strings.HasSuffix(req.URL.Path, "/api/sessions"):
					return false
				}
				apiError(w, 401, "ERR009", "gone")
				return true
			}
			if _, err := r.SessionUser(t.Context()); err == nil || f.logins != want {
				t.Errorf("alive %t: SessionUser = %v after %d logins, want %d", alive, err, f.logins, want)
			}
		})
	}
}

// A write whose connection was asked for and never came was not sent.
func TestWriteWithoutConnection(t *testing.T) {
	for _, test := range []struct {
		name       string
		asked, got bool
		attempts   int
		unknown    bool
	}{
		{"asked for, not got", true, false, 4, false},
		{"got", true, true, 1, true},
		{"a transport that tells nothing", false, false, 1, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			w := f.writer(t, func(c *Config) {
				c.MaxAttempts = 4
				c.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
					if r.Method != http.MethodPatch {
						return f.RoundTrip(r)
					}
					trace := httptrace.ContextClientTrace(r.Context())
					if test.asked {
						trace.GetConn(r.URL.Host)
					}
					if test.got {
						trace.GotConn(httptrace.GotConnInfo{})
					}
					return nil, io.ErrUnexpectedEOF
				})
			})
			err := w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}})
			checkAttempts(t, test.name, err, test.attempts)
			if OutcomeUnknown(err) != test.unknown {
				t.Errorf("%s: OutcomeUnknown(%v) = %t, want %t", test.name, err, !test.unknown, test.unknown)
			}
		})
	}
}

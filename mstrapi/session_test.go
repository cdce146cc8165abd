package mstrapi

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoginBodies(t *testing.T) {
	tests := []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Password = "" }, `{"loginMode":1,"username":"administrator","password":""}`},
		{func(c *Config) { c.Password = `p"<&é` }, `{"loginMode":1,"username":"administrator","password":"p\"<&é"}`},
		{func(c *Config) { c.LoginMode = LDAP }, `{"loginMode":16,"username":"administrator","password":"pass-word-1"}`},
		{func(c *Config) { c.LoginMode, c.APIToken = APIToken, "api-token-1" }, `{"loginMode":4096,"username":"api-token-1"}`},
	}
	for _, test := range tests {
		f := newFake(t)
		f.reader(t, test.change)
		if f.bodies[0] != test.want {
			t.Errorf("the login sent %s, want %s", f.bodies[0], test.want)
		}
	}
}

// What a person sees when logging in goes wrong: what to check, and no secret,
// even if the server echoes it.
func TestLoginErrors(t *testing.T) {
	page := body(`<!DOCTYPE html><html><head><title>Welcome to nginx!</title></head></html>`)
	echo := func(w http.ResponseWriter, r *http.Request) {
		apiError(w, 401, "ERR003", "Login failure for 'api-token-1' with pass-word-1")
	}
	tests := []struct {
		name  string
		mode  LoginMode
		fault fault
		want  string
	}{
		{"password", Standard, echo, "check user name, password and login mode"},
		{"token", APIToken, echo, "check the API token"},
		{"account", Standard, status(403), "account is enabled"},
		{"locked", Standard, func(w http.ResponseWriter, r *http.Request) {
			apiError(w, 401, "ERR003", "This user account is locked.")
		}, "the account is locked"},
		{"LDAP", LDAP, func(w http.ResponseWriter, r *http.Request) {
			apiError(w, 500, "ERR002", "LDAP authentication is not configured on the Intelligence Server.")
		}, "the server cannot use LDAP"},
		{"licence", Standard, func(w http.ResponseWriter, r *http.Request) {
			apiError(w, 500, "ERR001", "No license is available for this user.")
		}, "no licence for this login"},
		{"sessions", Standard, func(w http.ResponseWriter, r *http.Request) {
			apiError(w, 500, "ERR002", "The maximum number of sessions is open.")
		}, "too many sessions are open"},
		{"maintenance", Standard, body("<html><title>Scheduled\x1b[31m maintenance\n&amp; upgrades</title></html>"), "an HTML page: Scheduled [31m maintenance & upgrades: incomplete answer: a maintenance page answers in place"},
		{"page", Standard, page, "not a MicroStrategy Library REST server; check --url (base path)"},
		{"page with 404", Standard, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(404)
			page(w, r)
		}, "not a MicroStrategy Library REST server"},
		{"page with 405", Standard, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(405) }, "not a MicroStrategy Library REST server"},
		{"no token", Standard, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, "no X-MSTR-AuthToken"},
		{"redirect", Standard, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://u:pw@sso.example.com/login?t=x", http.StatusFound)
		}, "redirected to https://sso.example.com/login, which is not followed"},
	}
	for _, test := range tests {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			always := []fault{test.fault, test.fault, test.fault, test.fault, test.fault, test.fault}
			f.inject("POST /api/auth/login", always...)
			cfg := f.config()
			cfg.LoginMode, cfg.APIToken = test.mode, "api-token-1"
			_, err := OpenReader(t.Context(), cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%s: OpenReader = %v, want %q", test.name, err, test.want)
			}
			for _, secret := range []string{"api-token-1", "pass-word-1", "u:pw", "t=x"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: OpenReader = %v: shows %s", test.name, err, secret)
				}
			}
			if test.want[0] == 'c' && !IsAuth(err) {
				t.Errorf("%s: IsAuth(%v) = false", test.name, err)
			}
		})
	}
}

// One login serves all workers, and none of them loses its request.
func TestSessionIsRenewedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		w := f.writer(t)
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			time.Sleep(10 * time.Millisecond)
			return false
		}
		var group sync.WaitGroup
		for i := range 16 {
			group.Go(func() {
				for range 50 {
					if i%2 == 0 {
						if err := w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}}); err != nil {
							t.Error(err)
						}
					} else if held, err := w.Held(t.Context(), User, demoUser, LevelServer); err != nil || len(held) != 2 {
						t.Errorf("Held = %v, %v", held, err)
					}
				}
			})
		}
		const lost = 5
		for range lost {
			time.Sleep(73 * time.Millisecond)
			f.kill()
		}
		group.Wait()
		if f.logins != 1+lost {
			t.Errorf("%d logins for %d lost sessions", f.logins, lost)
		}
		if err := w.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if len(f.alive) != 0 {
			t.Errorf("sessions left open: %v", f.alive)
		}
	})
}

// Those who wait for their turn while the session is lost do not try the old one.
func TestLostSessionIsNotTriedByThoseInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t, func(c *Config) { c.Rate = 2 })
		if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Fatal(err)
		}
		f.kill()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if n := f.count("GET"); n != 10 {
			t.Errorf("%d reads were sent for one, 8 workers and one lost session, want 10", n)
		}
	})
}

// A worker that leaves does not take the login away from the others.
func TestRenewalOutlivesTheWorkerThatBeganIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t)
		f.kill()
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/login") {
				time.Sleep(time.Second)
			}
			return false
		}
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			if _, err := r.Held(ctx, User, demoUser, LevelServer); !errors.Is(err, context.Canceled) {
				t.Errorf("the one that left: %v", err)
			}
		})
		synctest.Wait()
		group.Go(func() {
			if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
				t.Errorf("the one that stayed: %v", err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		cancel()
		group.Wait()
		if f.logins != 2 {
			t.Errorf("%d logins, want 2", f.logins)
		}
	})
}

// A 401 that is about one endpoint does not cost the others their session, nor
// endless logins: each may leave a session open.
func TestEndpointThatRefusesLeavesTheRestAlone(t *testing.T) {
	for _, code := range []string{"ERR009", "ERR003", ""} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			sampleServer(f)
			r := f.reader(t)
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/userInfo") {
					apiError(w, 401, code, "not for you")
					return true
				}
				return false
			}
			for range 20 {
				if _, err := r.SessionUser(t.Context()); IsAuth(err) || !IsForbidden(err) || OutcomeUnknown(err) {
					t.Errorf("SessionUser = %v, want a refusal that is not about the session", err)
				}
				if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
					t.Errorf("Held = %v", err)
				}
			}
			if f.logins > 1+needlessLogins {
				t.Errorf("%s: %d logins, want at most %d", code, f.logins, 1+needlessLogins)
			}
		})
	}
}

// Where no session is ever accepted the client stops after three logins, says at
// the first useless session what to check, and so does its error.
func TestUselessSessionsEndTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		var log bytes.Buffer
		r := f.reader(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/login") {
				return false
			}
			apiError(w, 401, "ERR009", "expired")
			return true
		}
		for _, err := range readMany(t.Context(), r, 8, 100) {
			if !errors.Is(err, ErrSessionUseless) || !IsAuth(err) || !strings.Contains(err.Error(), "cookies") {
				t.Fatalf("Held = %v, want ErrSessionUseless", err)
			}
		}
		if f.logins != uselessInARow {
			t.Errorf("%d logins, want %d", f.logins, uselessInARow)
		}
		if n := strings.Count(log.String(), "check that cookies"); n != 1 {
			t.Errorf("the log names the cookies %d times, want once:\n%s", n, log.String())
		}
	})
}

// A session that a node learns of only a moment after the login is used all the
// same, at the beginning and after a loss.
func TestLaggingSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		var known atomic.Int64 // when the node learns of the session, in nanoseconds since 1970
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/login") {
				known.Store(time.Now().Add(time.Second).UnixNano())
				return false
			}
			if time.Now().UnixNano() < known.Load() {
				apiError(w, 401, "ERR009", "expired")
				return true
			}
			return false
		}
		r := f.reader(t)
		for range 5 {
			for _, err := range readMany(t.Context(), r, 8, 20) {
				if err != nil {
					t.Errorf("Held = %v", err)
				}
			}
			f.kill()
		}
		if f.logins != 5 {
			t.Errorf("%d logins for 4 lost sessions", f.logins)
		}
	})
}

// Sessions that live for very few requests are renewed as often as it takes: each
// of them was worth its login. One request meets many lost sessions.
func TestShortLivedSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		var mu sync.Mutex
		lost, uses := 0, 0
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasSuffix(r.URL.Path, "/login") {
				uses = 0
			} else if uses++; uses == 4 {
				lost++
				f.kill()
				apiError(w, 401, "ERR009", "expired")
				return true
			}
			return false
		}
		r := f.reader(t)
		for _, err := range readMany(t.Context(), r, 8, 400) {
			if err != nil {
				t.Errorf("Held = %v", err)
			}
		}
		if f.logins > lost+3 {
			t.Errorf("%d logins for %d lost sessions", f.logins, lost)
		}
	})
}

// While the Intelligence Server restarts one caller tries to log in, with growing
// pauses, and all others wait: nobody's request fails.
func TestRestartIsWaitedForByOne(t *testing.T) {
	for name, away := range map[string]fault{
		"500 ERR0013": func(w http.ResponseWriter, r *http.Request) {
			apiError(w, 500, "ERR0013", "the Intelligence Server cannot be reached")
		},
		"500": status(500), "502": status(502), "no connection": broken(errDial),
	} {
		for _, lasts := range []time.Duration{3 * time.Second, 80 * time.Second} {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				r := f.reader(t)
				f.kill()
				back := time.Now().Add(lasts)
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					if strings.HasSuffix(r.URL.Path, "/login") && time.Now().Before(back) {
						away(w, r)
						return true
					}
					return false
				}
				for _, err := range readMany(t.Context(), r, 8, 100) {
					if err != nil {
						t.Fatalf("%s for %s: Held = %v", name, lasts, err)
					}
				}
				if n := f.count("POST /api/auth/login"); n > 20 {
					t.Errorf("%s for %s: %d logins were tried", name, lasts, n)
				}
			})
		}
	}
}

// A 500 that says that the Intelligence Server is away is waited for at the first
// login, too.
func TestFirstLoginWaitsForTheIntelligenceServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		away := func(w http.ResponseWriter, r *http.Request) { apiError(w, 500, "ERR0013", "unreachable") }
		f.inject("POST /api/auth/login", away, away, away)
		f.reader(t)
		f.inject("POST /api/auth/login", status(500))
		if _, err := OpenReader(t.Context(), f.config()); err == nil {
			t.Error("OpenReader after a 500 without a reason = nil")
		}
	})
}

// Sessions that are lost with another code than ERR009 are renewed as often as
// it takes.
func TestRenewalThatHelpsIsNotDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t)
		if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Fatal(err)
		}
		const lost = 3 * needlessLogins
		for range lost {
			f.kill()
			f.inject("GET", func(w http.ResponseWriter, r *http.Request) { apiError(w, 401, "ERR003", "gone") })
			if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
				t.Fatalf("Held = %v", err)
			}
		}
		if f.logins != 1+lost {
			t.Errorf("%d logins for %d lost sessions", f.logins, lost)
		}
	})
}

// A page that a proxy puts in the way of a renewal passes; at the first login it
// means that the URL is wrong.
func TestRenewalSurvivesAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t)
		f.kill()
		f.inject("POST /api/auth/login", body("<html>please wait</html>"), broken(errDial), broken(errDial), status(503))
		if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Errorf("Held = %v", err)
		}
	})
}

// A refused login is not repeated by every worker: that locks accounts.
func TestRefusedRenewalIsFinal(t *testing.T) {
	f := newFake(t)
	sampleServer(f)
	r := f.reader(t)
	f.kill()
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/login") {
			apiError(w, 401, "ERR003", "password expired")
			return true
		}
		return false
	}
	for range 5 {
		_, err := r.Held(t.Context(), User, demoUser, LevelServer)
		if !IsAuth(err) || !errors.Is(err, ErrLoginRefused) || LoginRefusal(err) != RefusedExpired || !strings.Contains(err.Error(), "the password has to be changed") || OutcomeUnknown(err) {
			t.Errorf("Held = %v", err)
		}
	}
	if n := f.count("POST /api/auth/login"); n != 2 {
		t.Errorf("%d logins were tried, want 2", n)
	}
}

// A login that fails for reasons of its own time is tried again, however few
// attempts a request has.
func TestFailedRenewalIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t, func(c *Config) { c.MaxAttempts = 1 })
		f.kill()
		f.inject("POST /api/auth/login", status(502), broken(errReset), status(500))
		if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Errorf("Held = %v", err)
		}
	})
}

// A server that does not come back ends the client; the error says that it was the
// login that did not succeed.
func TestRenewalIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t)
		f.kill()
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/login") {
				apiError(w, 500, "ERR0013", "away")
				return true
			}
			return false
		}
		started := time.Now()
		for _, err := range readMany(t.Context(), r, 8, 50) {
			if !errors.Is(err, ErrUnreachable) || OutcomeUnknown(err) || !strings.Contains(err.Error(), "POST /api/auth/login: HTTP 500 ERR0013") {
				t.Fatalf("Held = %v, want ErrUnreachable because of the login", err)
			}
		}
		if took := time.Since(started); took > renewalMost+time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

func TestClose(t *testing.T) {
	t.Run("ended context", func(t *testing.T) {
		f := newFake(t)
		r := f.reader(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Close(ctx); err != nil {
			t.Errorf("Close = %v", err)
		}
		if err := r.Close(ctx); err != nil {
			t.Errorf("second Close = %v", err)
		}
		if n := f.count("POST /api/auth/logout"); n != 1 || len(f.alive) != 0 {
			t.Errorf("%d logouts, sessions left: %v", n, f.alive)
		}
		_, err := r.Held(t.Context(), User, demoUser, LevelServer)
		if !errors.Is(err, ErrClosed) || OutcomeUnknown(err) {
			t.Errorf("Held after Close = %v, want ErrClosed", err)
		}
	})
	t.Run("session gone", func(t *testing.T) {
		f := newFake(t)
		r := f.reader(t)
		f.kill()
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("Close = %v", err)
		}
		if f.logins != 1 {
			t.Errorf("Close logged in again")
		}
	})
	t.Run("server that hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			r := f.reader(t)
			f.inject("POST /api/auth/logout", hang, hang, hang)
			started := time.Now()
			if err := r.Close(t.Context()); err == nil {
				t.Error("Close = nil")
			}
			if took := time.Since(started); took != logoutTimeout {
				t.Errorf("Close took %s, want %s", took, logoutTimeout)
			}
		})
	})
	t.Run("server in a pause", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			sampleServer(f)
			r := f.reader(t, func(c *Config) { c.MaxAttempts = 1 })
			f.inject("GET", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "200")
				status(503)(w, r)
			})
			r.Held(t.Context(), User, demoUser, LevelServer)
			if err := r.Close(t.Context()); err != nil || len(f.alive) != 0 {
				t.Errorf("Close = %v, sessions left: %v", err, f.alive)
			}
		})
	})
	t.Run("slow pace", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			sampleServer(f)
			r := f.reader(t, func(c *Config) { c.Rate = 0.01 })
			if err := r.Close(t.Context()); err != nil || len(f.alive) != 0 {
				t.Errorf("Close = %v, sessions left: %v", err, f.alive)
			}
		})
	})
	t.Run("during a login", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			sampleServer(f)
			r := f.reader(t)
			f.kill()
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/login") {
					time.Sleep(time.Second)
				}
				return false
			}
			done := make(chan error)
			go func() {
				_, err := r.Held(t.Context(), User, demoUser, LevelServer)
				done <- err
			}()
			time.Sleep(100 * time.Millisecond)
			closed := make(chan error)
			go func() { closed <- r.Close(context.Background()) }()
			if err := <-done; !errors.Is(err, ErrClosed) {
				t.Errorf("Held = %v, want ErrClosed", err)
			}
			if err := <-closed; err != nil {
				t.Errorf("Close = %v", err)
			}
			if len(f.alive) != 0 {
				t.Errorf("sessions left open: %v", f.alive)
			}
		})
	})
	t.Run("during a login that hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			sampleServer(f)
			r := f.reader(t)
			f.kill()
			f.inject("POST /api/auth/login", hang, hang, hang, hang, hang, hang)
			go r.Held(t.Context(), User, demoUser, LevelServer)
			synctest.Wait()
			started := time.Now()
			r.Close(context.Background())
			if took := time.Since(started); took > logoutTimeout {
				t.Errorf("Close took %s", took)
			}
		})
	})
}

// A cookie that an answer renews goes with the next request.
func TestCookiesAreKept(t *testing.T) {
	f := newFake(t)
	n := 0
	f.handle("GET /api/status", func(w http.ResponseWriter, r *http.Request) {})
	f.handle("GET /api/sessions", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("ROUTE"); n > 0 && (err != nil || c.Value != "b") {
			t.Errorf("cookie ROUTE = %v, %v, want b", c, err)
		}
		n++
		http.SetCookie(w, &http.Cookie{Name: "ROUTE", Value: "b", Path: "/consume-dev/api"})
		w.Write([]byte(`{"timeout":60}`))
	})
	r := f.reader(t)
	for range 2 {
		if _, err := r.SessionInfo(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// A Secure cookie goes over plain http where that is allowed at all.
func TestSecureCookiesOverAllowedHTTP(t *testing.T) {
	f := newFake(t)
	sampleServer(f)
	r := f.reader(t, func(c *Config) { c.URL, c.AllowHTTP = "http://bi.example.com"+fakePrefix, true })
	if _, err := r.SessionInfo(t.Context()); err != nil || f.logins != 1 {
		t.Errorf("SessionInfo = %v, after %d logins", err, f.logins)
	}
}

func TestServerStatus(t *testing.T) {
	f := newFake(t)
	sampleServer(f)
	cfg := f.config()
	cfg.Username = ""
	got, err := ServerStatus(t.Context(), cfg)
	if err != nil || got.IServerVersion != "11.4.0000.0123" || f.logins != 0 {
		t.Errorf("ServerStatus = %v, %v, after %d logins", got, err, f.logins)
	}
	f.inject("GET /api/status", body("<html>hello</html>"))
	if _, err := ServerStatus(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "not a MicroStrategy Library") {
		t.Errorf("ServerStatus of a page = %v", err)
	}
	if _, err := ServerStatus(t.Context(), Config{}); err == nil {
		t.Error("ServerStatus without URL = nil")
	}
}

// When a kept connection turns out to be closed the transport repeats a read by
// itself; that counts as a request too.
func TestTransportsOwnRetryIsCounted(t *testing.T) {
	f := newFake(t)
	sampleServer(f)
	var mu sync.Mutex
	cut := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now := cut
		cut = false
		mu.Unlock()
		if now {
			f.mu.Lock()
			f.log = append(f.log, "cut")
			f.mu.Unlock()
			panic(http.ErrAbortHandler)
		}
		f.ServeHTTP(w, r)
	}))
	defer server.Close()
	cfg := f.config()
	cfg.Transport, cfg.URL, cfg.Rate = nil, server.URL+fakePrefix, 1000
	w, err := OpenWriter(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	cut = true
	mu.Unlock()
	if _, err := w.Held(t.Context(), User, demoUser, LevelServer); err != nil {
		t.Error(err)
	}
	if got := w.Stats(); got.Requests != int64(f.count("")) || got.Retries != 1 {
		t.Errorf("Stats = %+v, the server saw %d requests", got, f.count(""))
	}
	mu.Lock()
	cut = true
	mu.Unlock()
	// A write whose connection is cut may have been done.
	err = w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}})
	checkAttempts(t, "write", err, 1)
	if !OutcomeUnknown(err) {
		t.Errorf("OutcomeUnknown(%v) = false", err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := w.Stats(); got.Requests != int64(f.count("")) {
		t.Errorf("Stats = %+v, the server saw %d requests", got, f.count(""))
	}
}

// An interrupt during the login leaves no session behind, and is not held up by
// a server that does not answer.
func TestInterruptedLoginIsLoggedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/login") {
				cancel(enough)
				time.Sleep(loginGrace / 2)
			}
			return false
		}
		if w, err := OpenWriter(ctx, f.config()); w != nil || !errors.Is(err, enough) {
			t.Errorf("OpenWriter = %v, %v, want the interrupt", w, err)
		}
		if f.logins != 1 || len(f.alive) != 0 {
			t.Errorf("%d logins, %d sessions are left open", f.logins, len(f.alive))
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		f.inject("POST", func(_ http.ResponseWriter, r *http.Request) {
			cancel(enough)
			<-r.Context().Done()
		})
		started := time.Now()
		if _, err := OpenWriter(ctx, f.config()); !errors.Is(err, enough) || time.Since(started) > loginGrace {
			t.Errorf("OpenWriter = %v after %s, want the interrupt after %s", err, time.Since(started), loginGrace)
		}
	})
}

package mstrapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A fault answers an attempt in place of the server, or panics with the error
// that the transport shall return.
type fault func(w http.ResponseWriter, r *http.Request)

func status(code int) fault {
	return func(w http.ResponseWriter, r *http.Request) { apiError(w, code, "ERR001", "injected") }
}

func body(text string) fault {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) }
}

func broken(err error) fault {
	return func(http.ResponseWriter, *http.Request) { panic(err) }
}

func hang(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

var (
	errReset = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	errDial  = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	errHost  = &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "bi.example.com", IsNotFound: true}}
)

// inject makes f answer the requests whose line begins with prefix by the faults,
// one after the other, and itself when there are none left.
func (f *fake) inject(prefix string, faults ...fault) {
	var mu sync.Mutex
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		line := r.Method + " " + strings.TrimPrefix(r.URL.Path, fakePrefix)
		mu.Lock()
		if len(faults) == 0 || !strings.HasPrefix(line, prefix) {
			mu.Unlock()
			return false
		}
		next := faults[0]
		faults = faults[1:]
		mu.Unlock()
		next(w, r)
		return true
	}
}

// What is repeated, for a read, a write and a login. The attempts are those that
// the server, or the transport, saw of that request.
func TestRetryPolicy(t *testing.T) {
	serverTimeout := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		fmt.Fprintf(w, `{"code":"ERR002","message":"x","iServerCode":%d}`, iServerTimeout)
	}
	tests := []struct {
		name               string
		fault              fault
		read, write, login int  // attempts
		unknown            bool // whether a write may have been done
		incomplete         bool // whether the error of a read says so
	}{
		{name: "400", fault: status(400), read: 1, write: 1, login: 1},
		{name: "403", fault: status(403), read: 1, write: 1, login: 1},
		{name: "404", fault: status(404), read: 1, write: 1, login: 1},
		{name: "408", fault: status(408), read: 4, write: 1, login: 4, unknown: true},
		{name: "429", fault: status(429), read: 4, write: 4, login: 4},
		{name: "500", fault: status(500), read: 4, write: 1, login: 1, unknown: true},
		{name: "501", fault: status(501), read: 1, write: 1, login: 1, unknown: true},
		{name: "502", fault: status(502), read: 4, write: 1, login: 4, unknown: true},
		{name: "503", fault: status(503), read: 4, write: 1, login: 4, unknown: true},
		{name: "504", fault: status(504), read: 4, write: 1, login: 4, unknown: true},
		{name: "time-out in the server", fault: serverTimeout, read: 4, write: 1, login: 1, unknown: true},
		{name: "reset", fault: broken(errReset), read: 4, write: 1, login: 4, unknown: true},
		{name: "refused", fault: broken(errDial), read: 4, write: 4, login: firstDials},
		{name: "unknown host", fault: broken(errHost), read: 1, write: 1, login: 1},
		{name: "end of file", fault: broken(io.ErrUnexpectedEOF), read: 4, write: 1, login: 4, unknown: true},
		{name: "hang", fault: hang, read: 4, write: 1, login: 4, unknown: true},
		{name: "truncated", fault: body(`{"privileges":[`), read: 4, write: 1, login: 4, unknown: true, incomplete: true},
		{name: "page", fault: body(`<html><title>Sign in</title></html>`), read: 4, write: 1, login: 1, unknown: true, incomplete: true},
		{name: "redirect", fault: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://sso.example.com/login?ticket=s3cret", http.StatusFound)
		}, read: 1, write: 1, login: 1, unknown: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				always := []fault{test.fault, test.fault, test.fault, test.fault, test.fault, test.fault}
				f := newFake(t)
				sampleServer(f)
				four := func(c *Config) { c.MaxAttempts = 4 }
				w := f.writer(t, four)

				f.inject("GET", always...)
				before := w.Stats()
				_, err := w.Held(t.Context(), User, demoUser, LevelServer)
				checkAttempts(t, "read", err, test.read)
				if got := f.count("GET /api/users/"); got != test.read {
					t.Errorf("the server saw %d reads, want %d", got, test.read)
				}
				if after := w.Stats(); after.Requests-before.Requests != int64(test.read) || after.Retries-before.Retries != int64(test.read-1) {
					t.Errorf("Stats went from %+v to %+v for %d attempts", before, after, test.read)
				}
				if errors.Is(err, ErrIncomplete) != test.incomplete {
					t.Errorf("read = %v, matches ErrIncomplete: %t, want %t", err, !test.incomplete, test.incomplete)
				}
				if strings.Contains(err.Error(), "s3cret") {
					t.Errorf("read = %v: shows the query of a redirect", err)
				}

				f.inject("PATCH", always...)
				err = w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}})
				checkAttempts(t, "write", err, test.write)
				if OutcomeUnknown(err) != test.unknown {
					t.Errorf("OutcomeUnknown(%v) = %t, want %t", err, !test.unknown, test.unknown)
				}

				f.inject("POST /api/auth/login", always...)
				cfg := f.config()
				four(&cfg)
				_, err = OpenReader(t.Context(), cfg)
				checkAttempts(t, "login", err, test.login)
				f.before = nil
			})
		})
	}
}

func checkAttempts(t *testing.T, what string, err error, want int) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%s = %v, want an *Error", what, err)
	}
	if e.Attempts != want {
		t.Errorf("%s = %v after %d attempts, want %d", what, err, e.Attempts, want)
	}
}

// A read that succeeds at last returns its data, whatever came before.
func TestRetrySucceedsAtLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t)
		f.inject("GET", status(500), broken(errReset), body(`{"privileges":[]`), body(``), status(503))
		held, err := r.Held(t.Context(), User, demoUser, LevelServer)
		if err != nil || len(held) != 2 {
			t.Errorf("Held = %v, %v, want the two privileges of the sample", held, err)
		}
		f.inject("GET /api/users/", body(`{}`))
		if refs, err := r.Memberships(t.Context(), User, demoUser); err != nil || len(refs) != 2 {
			t.Errorf("Memberships = %v, %v", refs, err)
		}
	})
}

// The waits grow, and vary at random by half.
func TestBackoffGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t)
		var at []time.Time
		note := func(w http.ResponseWriter, r *http.Request) {
			at = append(at, time.Now())
			status(502)(w, r)
		}
		f.inject("GET", note, note, note, note, note, note)
		r.Held(t.Context(), User, demoUser, LevelServer)
		want := backoffFirst
		for i := range len(at) - 1 {
			if wait := at[i+1].Sub(at[i]); wait < want/2 || wait > want*3/2 {
				t.Errorf("wait %d = %s, want %s, more or less by half", i+1, wait, want)
			}
			want = min(want*backoffFactor, backoffMost)
		}
		if len(at) != DefaultMaxAttempts {
			t.Errorf("%d attempts, want %d", len(at), DefaultMaxAttempts)
		}
	})
}

// When one worker is told to wait, all wait, whatever form that takes.
func TestSharedPause(t *testing.T) {
	for name, form := range map[string]func(h http.Header){
		"seconds": func(h http.Header) { h.Set("Retry-After", "7") },
		"date":    func(h http.Header) { h.Set("Retry-After", time.Now().Add(7*time.Second).UTC().Format(http.TimeFormat)) },
		"date of a server whose clock is wrong": func(h http.Header) {
			there := time.Now().Add(-5 * time.Hour)
			h.Set("Date", there.UTC().Format(http.TimeFormat))
			h.Set("Retry-After", there.Add(7*time.Second).UTC().Format(http.TimeFormat))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				w := f.writer(t)
				f.inject("GET", func(w http.ResponseWriter, r *http.Request) {
					form(w.Header())
					status(503)(w, r)
				})
				started := time.Now()
				var group sync.WaitGroup
				group.Go(func() {
					if _, err := w.Held(t.Context(), User, demoUser, LevelServer); err != nil {
						t.Error(err)
					}
					if waited := time.Since(started); waited < 7*time.Second || waited > 9*time.Second {
						t.Errorf("the one that was told to wait 7s took %s", waited)
					}
				})
				synctest.Wait()
				group.Go(func() {
					if err := w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}}); err != nil {
						t.Error(err)
					}
					if waited := time.Since(started); waited < 7*time.Second || waited > 9*time.Second {
						t.Errorf("another worker waited %s, want 7s", waited)
					}
				})
				group.Wait()
			})
		})
	}
}

// A pause holds back those too that were only waiting for their turn.
func TestPauseReachesThoseInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(1, slog.New(slog.DiscardHandler))
		p.wait(t.Context(), false) // the burst
		started := time.Now()
		var group sync.WaitGroup
		group.Go(func() {
			if err := p.wait(t.Context(), false); err != nil {
				t.Error(err)
			}
			if waited := time.Since(started); waited < 10*time.Second {
				t.Errorf("the one in line waited %s, want 10s", waited)
			}
		})
		synctest.Wait()
		p.slowDown(10 * time.Second)
		group.Wait()
	})
}

// A write that gets 503 is not repeated, but everyone slows down.
func TestWriteThat503SlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		w := f.writer(t)
		f.inject("PATCH", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "20")
			status(503)(w, r)
		})
		if err := w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}}); !OutcomeUnknown(err) {
			t.Errorf("PatchPrivileges = %v, want an unknown outcome", err)
		}
		started := time.Now()
		if _, err := w.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Error(err)
		}
		if waited := time.Since(started); waited < 20*time.Second {
			t.Errorf("the next read waited %s, want 20s", waited)
		}
	})
}

func TestRetryAfterTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t)
		f.inject("GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3600")
			status(503)(w, r)
		})
		_, err := r.Held(t.Context(), User, demoUser, LevelServer)
		if err == nil || !strings.Contains(err.Error(), "wait 1h0m0s") {
			t.Errorf("Held = %v, want an error that names the hour", err)
		}
		checkAttempts(t, "read", err, 1)
	})
}

// The context's error comes out of every place where a request can wait, and
// says of a write whether it can have been done.
func TestContextEndsRequests(t *testing.T) {
	tests := []struct {
		name    string
		fault   fault
		rate    float64
		unknown bool
	}{
		{name: "in flight", fault: hang, unknown: true},
		{name: "in a pause", fault: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "60")
			status(429)(w, r)
		}},
		{name: "between attempts", fault: broken(errDial)},
		{name: "waiting for its turn", rate: 0.001},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				w := f.writer(t, func(c *Config) { c.Rate = test.rate })
				if test.fault != nil {
					f.inject("PATCH", test.fault, test.fault, test.fault, test.fault, test.fault, test.fault)
				}
				cause := errors.New("the run is over")
				ctx, cancel := context.WithCancelCause(t.Context())
				started := time.Now()
				time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
				err := w.PatchPrivileges(ctx, User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}})
				if !errors.Is(err, cause) {
					t.Errorf("PatchPrivileges = %v, want the context's cause", err)
				}
				if OutcomeUnknown(err) != test.unknown {
					t.Errorf("OutcomeUnknown(%v) = %t, want %t", err, !test.unknown, test.unknown)
				}
				if took := time.Since(started); took != 100*time.Millisecond {
					t.Errorf("it took %s to end, want 100ms", took)
				}
			})
		})
	}
}

// Each attempt has its own time-out, which is not the caller's deadline.
func TestTimeoutOfAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t, func(c *Config) { c.Timeout = 2 * time.Second; c.MaxAttempts = 2 })
		f.inject("GET", hang, hang)
		started := time.Now()
		_, err := r.Held(t.Context(), User, demoUser, LevelServer)
		if err == nil || !strings.Contains(err.Error(), "within 2s") || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Held = %v, want an error of its own about 2s", err)
		}
		if took := time.Since(started); took < 4*time.Second || took > 5*time.Second {
			t.Errorf("two attempts took %s", took)
		}
		f.inject("GET", hang)
		if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Errorf("Held after one hang = %v", err)
		}
	})
}

// With a rate, no second holds more than the rate and the burst, and the whole is
// within 2 % below it. Logins and retries count.
func TestPace(t *testing.T) {
	for _, perSecond := range []float64{5, 50, 400} {
		t.Run(fmt.Sprint(perSecond), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				var mu sync.Mutex
				var at []time.Time
				n := 0
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					mu.Lock()
					defer mu.Unlock()
					at = append(at, time.Now())
					if n++; n%50 == 0 && r.Method == "GET" {
						status(500)(w, r)
						return true
					}
					return false
				}
				r := f.reader(t, func(c *Config) { c.Rate = perSecond; c.Concurrency = 32 })
				var group sync.WaitGroup
				for range 32 {
					group.Go(func() {
						for range int(perSecond)/4 + 1 {
							if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
								t.Error(err)
							}
						}
					})
				}
				group.Wait()
				if got := r.Stats().Requests; got != int64(len(at)) {
					t.Errorf("Stats().Requests = %d, the server saw %d", got, len(at))
				}
				burst := int(max(1, perSecond/10))
				first := 0
				for i, last := range at {
					for last.Sub(at[first]) >= time.Second {
						first++
					}
					if n := i - first + 1; n > int(perSecond)+burst {
						t.Fatalf("%d requests within a second, want at most %v and a burst of %d", n, perSecond, burst)
					}
				}
				// The end is left out: there the last workers wait for their retries.
				most := len(at) * 9 / 10
				measured := float64(most-burst) / at[most-1].Sub(at[0]).Seconds()
				if measured > perSecond || measured < 0.98*perSecond {
					t.Errorf("measured rate %.2f, want within 2%% below %v", measured, perSecond)
				}
			})
		})
	}
}

// The rate falls when the server objects and comes back when it does not.
func TestPaceAdapts(t *testing.T) {
	for _, perSecond := range []float64{0, 100} {
		t.Run(fmt.Sprint(perSecond), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				var mu sync.Mutex
				count := 0
				objects := false
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					time.Sleep(50 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					count++
					if objects && r.Method == "GET" {
						objects = false
						status(429)(w, r)
						return true
					}
					return false
				}
				r := f.reader(t, func(c *Config) { c.Rate = perSecond; c.Concurrency = 8 })
				ctx, cancel := context.WithCancel(t.Context())
				var group sync.WaitGroup
				for range 8 {
					group.Go(func() {
						for ctx.Err() == nil {
							r.Held(ctx, User, demoUser, LevelServer)
						}
					})
				}
				second := func(wait time.Duration) int {
					time.Sleep(wait)
					mu.Lock()
					from := count
					mu.Unlock()
					time.Sleep(time.Second)
					mu.Lock()
					defer mu.Unlock()
					return count - from
				}
				full := second(2 * time.Second)
				if full < 90 {
					t.Errorf("%d requests per second at first", full)
				}
				mu.Lock()
				objects = true
				mu.Unlock()
				if slow := second(time.Second); slow > full*2/3 {
					t.Errorf("%d requests per second after 429, %d before it", slow, full)
				}
				if again := second(40 * time.Second); again < full*95/100 {
					t.Errorf("%d requests per second 40s after 429, %d before it", again, full)
				}
				cancel()
				group.Wait()
			})
		})
	}
}

// However often the server objects, the rate does not sink for ever.
func TestPaceHasAFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ rate, floor float64 }{{0.5, 0.4}, {10, 1}, {200, 9}} {
			p := newPacer(test.rate, slog.New(slog.DiscardHandler))
			for range 50 {
				p.slowDown(0)
				time.Sleep(cutEvery)
			}
			if got := float64(p.limiter.Limit()); got < test.floor {
				t.Errorf("after 50 cuts of %v the rate is %v, want at least %v", test.rate, got, test.floor)
			}
		}
		p := newPacer(0, slog.New(slog.DiscardHandler))
		p.slowDown(0)
		if got := float64(p.limiter.Limit()); got < 1 {
			t.Errorf("after a cut without a limit the rate is %v", got)
		}
		for range 60 {
			time.Sleep(raiseEvery)
			p.succeeded()
		}
		if p.slowed.Load() {
			t.Errorf("a minute of success did not lift the limit of %v", p.limiter.Limit())
		}
	})
}

func TestRetriesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		var b bytes.Buffer
		r := f.reader(t, func(c *Config) {
			c.Logger = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		f.inject("GET", status(502), broken(errReset))
		if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Error(err)
		}
		f.kill()
		if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Error(err)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		text := b.String()
		for _, want := range []string{
			`msg="retrying request" method=GET path="/api/users/6C9DFE134D0F8764893B469525E38EB0/privileges?privilege.level=server" attempt=1 status=502 code=ERR001 wait=`,
			`reason=gateway`, `reason=connection`, `reason="session lost"`, `msg="session opened"`, `msg="session closed"`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the log lacks %s:\n%s", want, text)
			}
		}
		for _, secret := range []string{"pass-word-1", "token-1", "token-2", "JSESSIONID"} {
			if strings.Contains(text, secret) {
				t.Errorf("the log shows %s:\n%s", secret, text)
			}
		}
	})
}

// A body that is larger than the limit is neither read to its end nor retried.
func TestBodiesAreBounded(t *testing.T) {
	f := newFake(t)
	f.handle("GET /api/users/{id}/privileges", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"x":"`)
		chunk := bytes.Repeat([]byte("a"), 1<<20)
		for range singleLimit>>20 + 1 {
			w.Write(chunk)
		}
	})
	r := f.reader(t, func(c *Config) { c.MaxAnswer = 8 << 20 })
	_, err := r.Held(t.Context(), User, demoUser, LevelServer)
	if !errors.Is(err, ErrIncomplete) || !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "larger than the bound of 8 MiB (--max-answer") {
		t.Errorf("Held = %v", err)
	}
	checkAttempts(t, "read", err, 1)
}

// A thousand groups that each hand down a hundred privileges make an answer of 12
// MiB: it is read, by default.
func TestLargeAnswerIsRead(t *testing.T) {
	f := newFake(t)
	var b strings.Builder
	b.WriteString(`{"privileges":[`)
	for p := range 100 {
		if p > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"privilege":{"id":"%d","name":"p","level":"server"},"sources":[`, p+1)
		for g := range 1000 {
			if g > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, `{"direct":false,"group":{"name":"A group with a name of some length and its number %06d","id":"%032X"}}`, g, g+1)
		}
		b.WriteString("]}")
	}
	b.WriteString("]}")
	if b.Len() < 12<<20 {
		t.Fatalf("the answer has only %d bytes", b.Len())
	}
	f.answer("GET /api/users/{id}/privileges", b.String())
	held, err := f.reader(t).Held(t.Context(), User, demoUser, LevelServer)
	if err != nil || len(held) != 100 || len(held[99].Groups) != 1000 {
		t.Errorf("Held = %d privileges, %v", len(held), err)
	}
}

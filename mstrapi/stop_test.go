package mstrapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told answers with the status and asks to come back after as many seconds.
func told(code int, seconds string) fault {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", seconds)
		status(code)(w, r)
	}
}

func several(f fault) []fault { return []fault{f, f, f, f, f, f, f, f, f, f} }

// A run that is stopped sends no write that waits, wherever it does, and says that
// nothing was done.
func TestStopEndsWaitsOfWrites(t *testing.T) {
	for name, test := range map[string]struct {
		fault fault
		rate  float64
	}{
		"the server asked for it": {fault: told(429, "60")},
		"between attempts":        {fault: broken(errDial)},
		"for its turn":            {rate: 0.001},
		"for a session": {fault: func(w http.ResponseWriter, r *http.Request) {
			apiError(w, http.StatusUnauthorized, "ERR009", "injected")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				w := f.writer(t, func(c *Config) { c.Rate = test.rate })
				if test.fault != nil {
					f.inject("PATCH", several(test.fault)...)
				}
				if name == "for a session" {
					if _, err := w.Held(t.Context(), User, demoUser, LevelServer); err != nil {
						t.Fatal(err)
					}
					unauthorized, away := test.fault, told(503, "60")
					f.before = func(w http.ResponseWriter, r *http.Request) bool {
						switch {
						case r.Method == http.MethodPatch:
							unauthorized(w, r)
						case strings.HasSuffix(r.URL.Path, loginPath):
							away(w, r)
						default:
							return false
						}
						return true
					}
				}
				stop, cancel := context.WithCancel(t.Context())
				time.AfterFunc(100*time.Millisecond, cancel)
				started := time.Now()
				err := w.PatchPrivileges(WithStop(t.Context(), stop), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}})
				if !errors.Is(err, ErrStopped) || OutcomeUnknown(err) {
					t.Errorf("PatchPrivileges = %v, outcome unknown: %t", err, OutcomeUnknown(err))
				}
				if took := time.Since(started); took != 100*time.Millisecond {
					t.Errorf("it took %s to end, want 100ms", took)
				}
			})
		})
	}
}

// What is in flight when the run is stopped is waited for.
func TestStopLeavesWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		w := f.writer(t)
		f.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(5 * time.Second); return false }
		stop, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := w.PatchPrivileges(WithStop(t.Context(), stop), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}}); err != nil {
			t.Error(err)
		}
	})
}

// TestRetryAfterIsNotWaitedFor: no longer than the attempts of the request could
// take, nor beyond the deadline of the caller, nor that of its run.
func TestRetryAfterIsNotWaitedFor(t *testing.T) {
	type call func(ctx context.Context, w *Writer) error
	read := func(ctx context.Context, w *Writer) error {
		_, err := w.Held(ctx, User, demoUser, LevelServer)
		return err
	}
	write := func(ctx context.Context, w *Writer) error {
		return w.PatchPrivileges(ctx, User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}})
	}
	for name, test := range map[string]struct {
		call     call
		code     int
		seconds  string
		deadline time.Duration // of the caller; 0: none
		stop     time.Duration // deadline of its run; 0: none; less: over already
		waited   time.Duration // 0: an error, at once
	}{
		"a read within its attempts":           {call: read, code: 503, seconds: "7", waited: 7 * time.Second},
		"a read beyond its attempts":           {call: read, code: 503, seconds: "9"},
		"a write within its attempts":          {call: write, code: 429, seconds: "7", waited: 7 * time.Second},
		"a write beyond its attempts":          {call: write, code: 429, seconds: "9"},
		"a read beyond the deadline":           {call: read, code: 429, seconds: "5", deadline: 4 * time.Second},
		"a read within the deadline":           {call: read, code: 429, seconds: "5", deadline: 6 * time.Second, waited: 5 * time.Second},
		"a write beyond the run's deadline":    {call: write, code: 429, seconds: "5", stop: 4 * time.Second},
		"a write within the run's deadline":    {call: write, code: 429, seconds: "5", stop: 6 * time.Second, waited: 5 * time.Second},
		"a read beyond the run's deadline":     {call: read, code: 503, seconds: "5", stop: 4 * time.Second},
		"a long wait after the run's deadline": {call: read, code: 503, seconds: "3", stop: -time.Second},
		"reading back after it":                {call: read, code: 503, seconds: "2", stop: -time.Second, waited: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				w := f.writer(t, func(c *Config) { c.Timeout, c.MaxAttempts = 4*time.Second, 2 })
				faults := several(told(test.code, test.seconds))
				if test.waited > 0 {
					faults = faults[:1]
				}
				line := "PATCH"
				if test.code == 503 || test.deadline > 0 {
					line = "GET"
				}
				f.inject(line, faults...)
				ctx := t.Context()
				if test.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}
				if test.stop != 0 {
					stop, cancel := context.WithTimeout(t.Context(), test.stop)
					defer cancel()
					ctx = WithStop(ctx, stop)
				}
				started := time.Now()
				err := test.call(ctx, w)
				took := time.Since(started).Round(time.Second)
				switch {
				case test.waited == 0 && (err == nil || !strings.Contains(err.Error(), "asks to wait")):
					t.Errorf("it ended with %v, want an error that names the wait", err)
				case test.waited > 0 && err != nil:
					t.Error(err)
				}
				if took != test.waited {
					t.Errorf("it waited %s, want %s", took, test.waited)
				}
				if test.waited > 0 {
					return
				}
				// Nor does it make the others wait.
				f.before = nil
				started = time.Now()
				if err := test.call(t.Context(), w); err != nil {
					t.Error(err)
				}
				if took := time.Since(started); took > time.Second {
					t.Errorf("the next one waited %s", took)
				}
			})
		})
	}
}

// A session that is lost after the run was stopped is waited for as long as an
// attempt may take, not as long as the server may be away.
func TestStopBoundsWaitsOfReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		w := f.writer(t)
		if _, err := w.Held(t.Context(), User, demoUser, LevelServer); err != nil {
			t.Fatal(err)
		}
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, loginPath) {
				told(503, "10")(w, r)
			} else {
				apiError(w, http.StatusUnauthorized, "ERR009", "injected")
			}
			return true
		}
		stop, cancel := context.WithCancel(t.Context())
		cancel()
		started := time.Now()
		_, err := w.Held(WithStop(t.Context(), stop), User, demoUser, LevelServer)
		if took := time.Since(started); err == nil || took != DefaultTimeout {
			t.Errorf("Held = %v after %s, want an error after %s", err, took, DefaultTimeout)
		}
	})
}

package mstrapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// readMany lets workers read n principals and returns the errors in the order
// in which they came.
func readMany(ctx context.Context, r *Reader, workers, n int) []error {
	var (
		group sync.WaitGroup
		next  atomic.Int64
		mu    sync.Mutex
		errs  []error
	)
	for range workers {
		group.Go(func() {
			for next.Add(1) <= int64(n) {
				_, err := r.Held(ctx, User, demoUser, LevelServer)
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return errs
}

func unreachable(errs []error) int {
	n := 0
	for _, err := range errs {
		if errors.Is(err, ErrUnreachable) {
			n++
		}
	}
	return n
}

// A server that is gone for good costs minutes, however many principals there
// are to read, and whatever answers in its place.
func TestDeadServerIsGivenUp(t *testing.T) {
	retryAfter := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "20")
		status(503)(w, r)
	}
	for name, test := range map[string]struct {
		fault fault
		most  time.Duration
	}{
		"refused":          {broken(errDial), 2 * time.Minute},
		"reset":            {broken(errReset), 2 * time.Minute},
		"host gone":        {broken(errHost), 2 * time.Minute},
		"bad gateway":      {status(502), 2 * time.Minute},
		"unavailable":      {status(503), 4 * time.Minute},
		"come again":       {retryAfter, 15 * time.Minute},
		"hangs":            {hang, 8 * time.Minute},
		"maintenance page": {body("<!DOCTYPE html><title>sorry</title>"), 6 * time.Minute},
		"server error":     {status(500), 6 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				var log bytes.Buffer
				w := f.writer(t, func(c *Config) { c.Rate, c.Logger = 50, slog.New(slog.NewTextHandler(&log, nil)) })
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					test.fault(w, r)
					return true
				}
				started := time.Now()
				errs := readMany(t.Context(), w.Reader, 8, 20_000)
				if took := time.Since(started); took < outageLeast || took > test.most {
					t.Errorf("20000 principals took %s, want from %s to %s", took, outageLeast, test.most)
				}
				if n := unreachable(errs); n < 15_000 {
					t.Errorf("%d of 20000 errors match ErrUnreachable, want most", n)
				}
				sent := w.Stats().Requests
				err := w.PatchPrivileges(t.Context(), User, demoUser, PrivilegePatch{Add: []PrivilegeID{2}})
				if !errors.Is(err, ErrUnreachable) || OutcomeUnknown(err) {
					t.Errorf("PatchPrivileges = %v, want ErrUnreachable and nothing sent", err)
				}
				if got := w.Stats().Requests; got != sent {
					t.Errorf("%d requests after the server was given up", got-sent)
				}
				if n := strings.Count(log.String(), `msg="server given up"`); n != 1 {
					t.Errorf("the log says %d times that the server was given up:\n%s", n, log.String())
				}
				f.before = nil
				if err := w.Close(t.Context()); err != nil || f.count("POST /api/auth/logout") == 0 {
					t.Errorf("Close = %v, want a logout all the same", err)
				}
			})
		})
	}
}

// A restart that is over soon costs the requests of its time, not the run.
func TestShortOutageIsEndured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		r := f.reader(t)
		back := time.Now().Add(50 * time.Second)
		f.before = func(w http.ResponseWriter, _ *http.Request) bool {
			if time.Now().Before(back) {
				panic(errDial)
			}
			return false
		}
		errs := readMany(t.Context(), r, 8, 1000)
		if n := unreachable(errs); n > 0 || errs[len(errs)-1] != nil {
			t.Errorf("%d errors match ErrUnreachable, the last error is %v; want none", n, errs[len(errs)-1])
		}
	})
}

// Faults at random, and refusals however many, are no outage.
func TestFaultsAreNoOutage(t *testing.T) {
	faults := []fault{status(500), status(502), status(503), status(429), broken(errReset), broken(errDial), hang, body("<html>"), body("")}
	for _, attempts := range []int{1, 2, 6} {
		t.Run(fmt.Sprintf("30%% with %d attempts", attempts), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				r := f.reader(t, func(c *Config) { c.MaxAttempts = attempts })
				rng := rand.New(rand.NewPCG(1, uint64(attempts)))
				var mu sync.Mutex
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					mu.Lock()
					faulty, which := rng.IntN(10) < 3, rng.IntN(len(faults))
					mu.Unlock()
					if faulty {
						faults[which](w, r)
					}
					return faulty
				}
				if n := unreachable(readMany(t.Context(), r, 2, 5000)); n > 0 {
					t.Errorf("%d errors match ErrUnreachable, want none", n)
				}
			})
		})
	}
	for name, test := range map[string]struct {
		fault fault
		n     int
	}{
		"forbidden":                      {status(403), 2000},
		"some that the server chokes at": {status(500), 50},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t)
				sampleServer(f)
				r := f.reader(t, func(c *Config) { c.Rate = 10 })
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					test.fault(w, r)
					return true
				}
				if n := unreachable(readMany(t.Context(), r, 1, test.n)); n > 0 {
					t.Errorf("%d errors match ErrUnreachable, want none", n)
				}
			})
		})
	}
}

// How the shared pace changes is seen at level debug.
func TestPaceIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		var b bytes.Buffer
		r := f.reader(t, func(c *Config) {
			c.Rate = 100
			c.Logger = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug}))
		})
		f.inject("GET", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3")
			status(429)(w, r)
		})
		for range 3 {
			if _, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil {
				t.Error(err)
			}
			time.Sleep(2 * raiseEvery)
		}
		for _, want := range []string{`msg="rate lowered" from=99 to=49.5 pause=3s`, `msg="rate raised" from=49.5 to=54.45`} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("the log lacks %s:\n%s", want, b.String())
			}
		}
	})
}

// A server that is away is told of at level info after ten seconds.
func TestAwayServerIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		var log bytes.Buffer
		r := f.reader(t, func(c *Config) { c.MaxAttempts = 30; c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		back := time.Now().Add(35 * time.Second)
		f.before = func(http.ResponseWriter, *http.Request) bool {
			if time.Now().Before(back) {
				panic(errDial)
			}
			return false
		}
		for _, err := range readMany(t.Context(), r, 3, 3) {
			if err != nil {
				t.Error(err)
			}
		}
		if n := strings.Count(log.String(), `msg="no usable answer, retrying"`); n < 1 || n > 3 || !strings.Contains(log.String(), "waiting=3") {
			t.Errorf("the log says %d times that there is no answer:\n%s", n, log.String())
		}
	})
}

// Requests that hang are told of while they hang, and the time counts from when they
// were sent.
func TestHangingRequestsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		var log lockedBuffer
		r := f.reader(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		time.Sleep(time.Hour) // idle
		back := time.Now().Add(25 * time.Second)
		f.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if time.Now().Before(back) {
				select {
				case <-r.Context().Done():
				case <-time.After(time.Until(back)):
				}
			}
			return false
		}
		done := make(chan []error)
		go func() { done <- readMany(t.Context(), r, 3, 3) }()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if log.String() != "" {
			t.Errorf("told after 9 seconds: %s", log.String())
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := log.String(); !strings.Contains(got, `level=INFO msg="no answer yet, still waiting" for=10s waiting=3`) || strings.Count(got, "\n") != 1 {
			t.Errorf("told after 11 seconds: %s", got)
		}
		for _, err := range <-done {
			if err != nil {
				t.Error(err)
			}
		}
		if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "for=20s") {
			t.Errorf("told after all: %s", got)
		}
		time.Sleep(time.Hour)
		if strings.Count(log.String(), "\n") != 2 {
			t.Errorf("told while nothing was asked: %s", log.String())
		}
	})
}

// That a server answers 429 again and again is told of, too.
func TestThrottlingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		sampleServer(f)
		var log lockedBuffer
		r := f.reader(t, func(c *Config) { c.Rate, c.Logger = 100, slog.New(slog.NewTextHandler(&log, nil)) })
		n := 0
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if n++; n%2 == 0 {
				return false
			}
			w.Header().Set("Retry-After", "2")
			status(429)(w, r)
			return true
		}
		if errs := errors.Join(readMany(t.Context(), r, 1, 15)...); errs != nil {
			t.Error(errs)
		}
		if got := strings.Count(log.String(), `msg="the server asks to slow down, again and again" pause=2s`); got < 1 || got > 4 {
			t.Errorf("told %d times in 30 seconds: %s", got, log.String())
		}
		if p := r.Pace(); !p.Throttled || p.Rate <= 0 || p.Rate >= 99 || p.Waited == 0 && p.Sent == 0 {
			t.Errorf("Pace = %+v", p)
		}
	})
}

// lockedBuffer is a buffer that may be read while others write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

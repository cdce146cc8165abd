package executor

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
)

// lockWorld is a simulated server with a session that takes its lock, in a bubble.
type lockWorld struct {
	sim   *mstrtest.Server
	w     *mstrapi.Writer
	other mstrtest.Lock // another administrator's
	me    mstrapi.ObjectID
	user  mstrapi.ObjectID
	told  []string
	o     ServerLockOptions
}

func newLockWorld(t *testing.T, o mstrtest.Options) *lockWorld {
	env := mstrtest.Random(rand.New(rand.NewPCG(3, 4)), mstrtest.Size{})
	lw := &lockWorld{sim: mstrtest.NewServer(env, o)}
	lw.w = openSim(t, lw.sim, 4)
	for _, u := range env.Users {
		switch {
		case u.Login == mstrtest.ServiceLogin:
			lw.me = u.ID
		case !u.Disabled && lw.user == "":
			lw.user, lw.other.Owner = u.ID, u.Login
		}
	}
	lw.other.ID, lw.other.Machine = "theirs", "desk"
	lw.o = ServerLockOptions{
		Run: LockRun{RunID: "r1", Host: "here", PID: 7}, Account: lw.me, Until: time.Now(),
		Tell: func(text string) { lw.told = append(lw.told, text) },
	}
	return lw
}

// write grants something.
func (lw *lockWorld) write(t *testing.T) error {
	return lw.w.PatchPrivileges(t.Context(), mstrapi.User, lw.user, mstrapi.PrivilegePatch{Add: []mstrapi.PrivilegeID{lw.sim.Environment().Catalogue[0].ID}})
}

func (lw *lockWorld) heldBy(t *testing.T, want string) {
	t.Helper()
	got := "nobody"
	if l := lw.sim.Lock(); l != nil {
		got = l.ID
	}
	if got != want {
		t.Errorf("the lock is held by %q, want %q", got, want)
	}
}

func (lw *lockWorld) patches() (n int) {
	for _, r := range lw.sim.Log() {
		if r.Method == http.MethodPatch && r.Applied {
			n++
		}
	}
	return n
}

func TestServerLockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lw := newLockWorld(t, mstrtest.Options{})
		if err := lw.sim.SetLock(&lw.other); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		lw.o.Until = begin.Add(time.Minute)
		_, err := TakeServerLock(t.Context(), lw.w, lw.o)
		var other *ServerLockError
		if !errors.As(err, &other) || other.Held.ID != "theirs" || other.Held.Machine != "desk" || other.Own {
			t.Fatalf("TakeServerLock = %v, want a ServerLockError that names the holder", err)
		}
		if took := time.Since(begin); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("waited %s, want a minute", took)
		}
		if len(lw.told) != 1 {
			t.Errorf("told %q, want to be told once", lw.told)
		}
		// Interrupted while waiting.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		lw.o.Until = time.Now().Add(time.Hour)
		if _, err := TakeServerLock(ctx, lw.w, lw.o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("TakeServerLock = %v, want the context's error", err)
		}
		// Free in the end.
		time.AfterFunc(10*time.Second, func() { _ = lw.sim.SetLock(nil) })
		l, err := TakeServerLock(t.Context(), lw.w, lw.o)
		if err != nil || !l.Waited() {
			t.Fatalf("TakeServerLock = %v, want the lock after a wait", err)
		}
		lw.heldBy(t, "privsync run=r1 host=here pid=7 session=1")
		if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
		lw.heldBy(t, "nobody")
		if err := lw.write(t); !errors.Is(err, mstrapi.ErrClosed) {
			t.Errorf("a write after the lock was given back: %v, want it refused", err)
		}
	})
}

// A renewed session takes the lock again; if somebody else has it then, nothing more
// is written.
func TestServerLockOfRenewedSession(t *testing.T) {
	tests := []struct {
		name   string
		linger time.Duration
		wait   time.Duration
		taken  bool // by somebody else, when the session was lost
		writes bool
		held   string
	}{
		{name: "free again", writes: true, held: "privsync run=r1 host=here pid=7 session=2"},
		{name: "the lost session's stays", linger: time.Hour, held: "privsync run=r1 host=here pid=7 session=1"},
		{name: "the lost session's stays for a while", linger: 20 * time.Second, wait: time.Minute, writes: true, held: "privsync run=r1 host=here pid=7 session=2"},
		{name: "somebody else's", taken: true, wait: time.Hour, held: "theirs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lw := newLockWorld(t, mstrtest.Options{Quirks: mstrtest.Quirks{LockLinger: tt.linger}})
				lw.o.Patience = tt.wait
				l, err := TakeServerLock(t.Context(), lw.w, lw.o)
				if err != nil {
					t.Fatal(err)
				}
				if err := lw.write(t); err != nil {
					t.Fatal(err)
				}
				lw.sim.KillSessions()
				if tt.taken {
					_ = lw.sim.SetLock(&lw.other)
				}
				begin := time.Now()
				err = lw.write(t)
				if tt.writes != (err == nil) || tt.writes == errors.Is(err, mstrapi.ErrLockLost) {
					t.Errorf("the write after the loss: %v, want it done: %v", err, tt.writes)
				}
				if tt.taken && time.Since(begin) > time.Second {
					t.Errorf("somebody else's lock was waited for: %s", time.Since(begin))
				}
				lw.heldBy(t, tt.held)
				if !tt.writes {
					// Reading goes on, for what is in flight.
					if _, err := lw.w.Held(t.Context(), mstrapi.User, lw.user, mstrapi.LevelServer); err != nil {
						t.Errorf("reading after the loss: %v", err)
					}
					_ = lw.sim.SetLock(nil)
					if err := lw.write(t); !errors.Is(err, mstrapi.ErrLockLost) {
						t.Errorf("a later write: %v, want it refused for good", err)
					}
				}
				if err := l.Release(t.Context()); err != nil {
					t.Error(err)
				}
				if tt.taken {
					return
				}
				if tt.writes {
					lw.heldBy(t, "nobody")
				}
				if want := map[bool]int{true: 2, false: 1}[tt.writes]; lw.patches() != want {
					t.Errorf("%d changes arrived, want %d", lw.patches(), want)
				}
			})
		})
	}
}

// A lock that was removed by force, or replaced, is noticed after a while although the
// session lives on.
func TestServerLockTakenAway(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			lw := newLockWorld(t, mstrtest.Options{})
			if _, err := TakeServerLock(t.Context(), lw.w, lw.o); err != nil {
				t.Fatal(err)
			}
			_ = lw.sim.SetLock(nil)
			if replaced {
				_ = lw.sim.SetLock(&lw.other)
			}
			time.Sleep(time.Minute)
			if err := lw.write(t); !errors.Is(err, mstrapi.ErrLockLost) {
				t.Errorf("replaced %v: the write = %v, want it refused", replaced, err)
			}
			if n := lw.patches(); n != 0 {
				t.Errorf("replaced %v: %d changes arrived", replaced, n)
			}
		})
	}
}

// The end of a run is believed of nobody but the state folder, and the lock removed
// only where it is this account's, of the kind that runs take.
func TestServerLockLeftByEndedRun(t *testing.T) {
	left := LockRun{RunID: "dead", Host: "here", PID: 3, Session: 1}.ID()
	tests := []struct {
		name string
		lock mstrtest.Lock
		ends string
		gone bool
	}{
		{name: "ended", lock: mstrtest.Lock{ID: left, Owner: mstrtest.ServiceLogin}, ends: "dead", gone: true},
		{name: "not known to have ended", lock: mstrtest.Lock{ID: left, Owner: mstrtest.ServiceLogin}, ends: "another"},
		{name: "another account's", lock: mstrtest.Lock{ID: left}, ends: "dead"},
		{name: "of another kind", lock: mstrtest.Lock{ID: left, Owner: mstrtest.ServiceLogin, Type: "permanent_individual"}, ends: "dead"},
		{name: "only like one", lock: mstrtest.Lock{ID: left + " or so", Owner: mstrtest.ServiceLogin}, ends: "dead"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lw := newLockWorld(t, mstrtest.Options{})
				if tt.lock.Owner == "" {
					tt.lock.Owner = lw.other.Owner
				}
				lw.o.Ended = func(id string) bool { return id == tt.ends }
				if err := lw.sim.SetLock(&tt.lock); err != nil {
					t.Fatal(err)
				}
				found, gone, err := RemoveLeftLock(t.Context(), lw.w.Reader, lw.o.Ended, lw.me, time.Now())
				if gone != tt.gone || (found != nil) != tt.gone || err != nil {
					t.Errorf("RemoveLeftLock = %v, %v, %v, want it gone: %v", found, gone, err, tt.gone)
				}
				_ = lw.sim.SetLock(&tt.lock)
				if _, err := TakeServerLock(t.Context(), lw.w, lw.o); (err == nil) != tt.gone {
					t.Errorf("TakeServerLock = %v, want it taken: %v", err, tt.gone)
				}
				for _, r := range lw.sim.Log() {
					if strings.Contains(r.Query, "force") || r.Endpoint == mstrtest.DeleteLock && !tt.gone {
						t.Errorf("%s %s?%s was sent", r.Method, r.Path, r.Query)
					}
				}
			})
		})
	}
}

func TestLockRunID(t *testing.T) {
	for _, run := range []LockRun{
		{RunID: "ab12", Host: "ci-7.example.com", PID: 4242, Session: 3},
		{RunID: "ab12", Host: "a host = pid=1\nforce", PID: 1, Session: 1},
		{RunID: "", Host: strings.Repeat("ü", 500), PID: 1 << 40, Session: 1 << 40},
	} {
		id := run.ID()
		got, ok := ParseLockID(id)
		if !ok || got.PID != run.PID || got.Session != run.Session || got.RunID != lockWord(run.RunID, 80) || len(id) > mstrapi.MaxLockID {
			t.Errorf("ParseLockID(%q) = %+v, %v, want %+v", id, got, ok, run)
		}
	}
	for _, id := range []string{"", "privsync", "privsync run= host=a pid=1 session=1", "x privsync run=a host=b pid=1 session=1", "privsync run=a host=b pid=1 session=1\n", "privsync run=a/../b host=b pid=1 session=1"} {
		if got, ok := ParseLockID(id); ok {
			t.Errorf("ParseLockID(%q) = %+v, want none", id, got)
		}
	}
}

// A run that wrote nothing more after its lock was taken away says so at its end.
func TestServerLockTakenAwayAtTheEnd(t *testing.T) {
	for _, replaced := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			lw := newLockWorld(t, mstrtest.Options{})
			l, err := TakeServerLock(t.Context(), lw.w, lw.o)
			if err != nil {
				t.Fatal(err)
			}
			if err := lw.write(t); err != nil {
				t.Fatal(err)
			}
			_ = lw.sim.SetLock(nil)
			if replaced {
				_ = lw.sim.SetLock(&lw.other)
			}
			var held *ServerLockError
			if err := l.Release(t.Context()); errors.Is(err, mstrapi.ErrLockLost) != replaced || errors.As(err, &held) != replaced {
				t.Errorf("replaced %v: Release = %v", replaced, err)
			}
		})
	}
}

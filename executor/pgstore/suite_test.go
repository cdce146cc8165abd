package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// both runs f over each implementation of the store. Every call of open is another run's
// access to one and the same store.
func both(t *testing.T, f func(t *testing.T, open func() executor.Store)) {
	t.Run("folder", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		f(t, func() executor.Store { return executor.NewFolder(dir) })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		d := newDatabase(t)
		f(t, func() executor.Store { return d.open() })
	})
}

var target = executor.Target{URL: "https://bi.example.com/MicroStrategyLibrary", Addresses: []string{"192.0.2.7:443"}}

func holder(run string) executor.Holder {
	return executor.Holder{PID: 4711, Host: "host-a", User: "nightly", RunID: run, Started: time.Now()}
}

func take(t *testing.T, s executor.Store, run string) executor.Lock {
	t.Helper()
	l, err := s.Lock(t.Context(), target, holder(run), 0)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLockNamesItsHolder(t *testing.T) {
	both(t, func(t *testing.T, open func() executor.Store) {
		l := take(t, open(), "first")
		byAddress := executor.Target{URL: "https://192.0.2.7/MicroStrategyLibrary", Addresses: target.Addresses}
		for _, other := range []executor.Target{target, byAddress} {
			_, err := open().Lock(t.Context(), other, holder("second"), 0)
			var locked *executor.LockedError
			if !errors.As(err, &locked) {
				t.Fatalf("Lock(%s) = %v, want a LockedError", other.URL, err)
			}
			h := locked.Holder
			if h.PID != 4711 || h.Host != "host-a" || h.User != "nightly" || h.RunID != "first" || time.Since(h.Started).Abs() > time.Minute || h.Server != target.URL {
				t.Errorf("Lock(%s): the holder is %+v", other.URL, h)
			}
		}
		if _, err := open().Lock(t.Context(), executor.Target{URL: "https://other.example.com"}, holder("third"), 0); err != nil {
			t.Errorf("Lock of another server = %v", err)
		}
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
		if err := take(t, open(), "fourth").Release(); err != nil {
			t.Error(err)
		}
	})
}

func TestLockWaits(t *testing.T) {
	both(t, func(t *testing.T, open func() executor.Store) {
		l := take(t, open(), "first")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("told to"))
		var locked *executor.LockedError
		if _, err := open().Lock(ctx, target, holder("second"), time.Hour); !errors.Is(err, context.Canceled) || !errors.As(err, &locked) {
			t.Errorf("Lock with a context that is done = %v", err)
		}
		waiting := open()
		done := make(chan error)
		go func() {
			_, err := waiting.Lock(context.Background(), target, holder("third"), time.Hour)
			done <- err
		}()
		if err := l.Release(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("Lock of one that is given back = %v", err)
		}
	})
}

// TestRacersForOneLock: sixteen runs that want one server work one after the other.
func TestRacersForOneLock(t *testing.T) {
	both(t, func(t *testing.T, open func() executor.Store) {
		var inside, most, served atomic.Int64
		var wg sync.WaitGroup
		for i := range 16 {
			s := open()
			wg.Go(func() {
				l, err := s.Lock(context.Background(), target, holder(fmt.Sprint("run-", i)), time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(time.Millisecond) // for the others to try
				inside.Add(-1)
				served.Add(1)
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most.Load() != 1 || served.Load() != 16 {
			t.Errorf("%d held the lock at once, %d came to it; want 1 and 16", most.Load(), served.Load())
		}
	})
}

func oid(n int) mstrapi.ObjectID { return mstrapi.ObjectID(fmt.Sprintf("%032X", n)) }

// planOf returns a plan that grants something to n users.
func planOf(n int) *planner.Plan {
	p := &planner.Plan{Environment: planner.Environment{URL: target.URL}, Scope: planner.Scope{Level: "server"}, Complete: true}
	for i := range n {
		p.Changes = append(p.Changes, planner.Change{
			Principal: planner.Principal{Kind: mstrapi.User, ID: oid(i + 1), Name: fmt.Sprintf("User \x1b[31m%d", i), Login: fmt.Sprint("u", i)},
			Grant:     []planner.PlannedPrivilege{{PrivilegeRef: planner.PrivilegeRef{ID: 2, Name: "Two"}, Reason: planner.ReasonListed}},
		})
	}
	return p
}

func report(run, message string) *executor.Report {
	return executor.Refuse(nil, executor.Options{RunID: run}, &executor.Error{Message: message})
}

// TestChain: reports of several runs follow each other, each once.
func TestChain(t *testing.T) {
	both(t, func(t *testing.T, open func() executor.Store) {
		s := open()
		if err := s.Check(t.Context(), s.Fallback(), nil); err != nil {
			t.Fatal(err)
		}
		previous := ""
		for i := range 3 {
			s := open()
			r := report(fmt.Sprint("run-", i), "no")
			paths, err := s.Deliver(t.Context(), r, s.Fallback(), nil)
			if err != nil || len(paths) != 1 || !strings.Contains(paths[0], "run-") {
				t.Fatalf("Deliver = %v, %v", paths, err)
			}
			if r.Previous != previous || r.Digest == "" {
				t.Errorf("report %d: previous is %q, want %q", i, r.Previous, previous)
			}
			previous = r.Digest
			if _, err := open().Deliver(t.Context(), r, s.Fallback(), nil); !errors.Is(err, executor.ErrDelivered) {
				t.Errorf("Deliver once more = %v", err)
			}
		}
	})
}

// TestJournalIsFound: a journal is found once it is complete, by the server that it is of,
// until its report is stored.
func TestJournalIsFound(t *testing.T) {
	both(t, func(t *testing.T, open func() executor.Store) {
		s := open()
		l := take(t, s, "run-1")
		o := executor.Options{RunID: "run-1"}
		j, err := s.OpenJournal(t.Context(), planOf(1500), o, executor.Destination{})
		if err != nil {
			t.Fatal(err)
		}
		find := func(url string) []*executor.DeadRun {
			dead, err := open().FindOpen(t.Context(), func(u string) bool { return u == url })
			if err != nil {
				t.Fatal(err)
			}
			return dead
		}
		if dead := find(target.URL); len(dead) != 1 || dead[0].Run.ID != "run-1" || dead[0].URL != target.URL {
			t.Fatalf("FindOpen = %+v", dead)
		}
		if dead := find("https://other.example.com"); len(dead) != 0 {
			t.Errorf("FindOpen of another server = %+v", dead)
		}
		if _, err := s.OpenJournal(t.Context(), planOf(1), executor.Options{RunID: "run-1", StartedAt: find(target.URL)[0].Run.StartedAt}, executor.Destination{}); err == nil {
			t.Error("a second journal of one run was opened")
		}
		r := executor.Refuse(nil, executor.Options{RunID: "run-1", StartedAt: find(target.URL)[0].Run.StartedAt}, &executor.Error{Message: "no"})
		if _, err := s.Deliver(t.Context(), r, s.Fallback(), nil); err != nil {
			t.Fatal(err)
		}
		if err := j.Close(time.Now()); err != nil {
			t.Error(err)
		}
		if dead := find(target.URL); len(dead) != 0 {
			t.Errorf("FindOpen after the report = %+v", dead)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	})
}

// TestApprovalsCountOnce: of two runs with one plan's approvals the second is refused.
func TestApprovalsCountOnce(t *testing.T) {
	both(t, func(t *testing.T, open func() executor.Store) {
		plan := planOf(1)
		if err := plan.Seal(); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		plan.ExpiresAt = now.Add(time.Hour)
		if err := open().Unspent(t.Context(), executor.Destination{}, plan); err != nil {
			t.Fatal(err)
		}
		if err := open().Spend(t.Context(), plan, executor.Run{ID: "run-1", StartedAt: now}, now); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"Unspent": open().Unspent(t.Context(), executor.Destination{}, plan),
			"Spend":   open().Spend(t.Context(), plan, executor.Run{ID: "run-2", StartedAt: now}, now),
		} {
			if !errors.Is(err, executor.ErrSpent) || !strings.Contains(err.Error(), "run-1") {
				t.Errorf("%s = %v, want ErrSpent by run-1", name, err)
			}
		}
	})
}

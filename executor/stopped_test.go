package executor

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"privsync/mstrapi"
	"privsync/planner"
)

// TestStopped: whatever a run is about when it is stopped, nothing new is sent, nothing is
// called what it is not, and the run is interrupted.
func TestStopped(t *testing.T) {
	for _, tt := range []struct {
		name  string
		has   []mstrapi.PrivilegeID // of u1
		plan  []string
		o     Options
		setUp func(f *fake, plan *planner.Plan, l *ledger, stop, kill func())
		want  string
		log   string
	}{
		{
			name: "in the reading before a write", plan: []string{"u1 +2"}, o: Options{Saved: true},
			setUp: func(f *fake, _ *planner.Plan, _ *ledger, stop, _ func()) {
				f.read = func(ctx context.Context, _ mstrapi.ObjectID) {
					stop()
					<-ctx.Done()
				}
			},
			want: "interrupted; u1 not-attempted",
		},
		{
			name: "while it waits for a grant to be seen below", has: []mstrapi.PrivilegeID{9}, plan: []string{"g1 +9", "u1 -9<g1"},
			setUp: func(f *fake, _ *planner.Plan, _ *ledger, stop, _ func()) {
				f.read = func(_ context.Context, id mstrapi.ObjectID) {
					if name(id) == "u1" {
						stop()
					}
				}
			},
			want: "interrupted; g1 applied +9; u1 not-attempted", log: "PATCH g1 +[9] -[]; did g1 +9",
		},
		{
			name: "between intent and request", plan: []string{"u1 +2"},
			setUp: func(_ *fake, _ *planner.Plan, l *ledger, _, kill func()) { l.synced = kill },
			want:  "interrupted; u1 not-attempted",
		},
		{
			name: "after a refusal", plan: []string{"u1 +2"},
			setUp: func(f *fake, _ *planner.Plan, _ *ledger, _, kill func()) {
				f.faults[oid("u1")] = []patchFault{refused}
				f.patch = func(mstrapi.ObjectID, bool) { kill() }
			},
			want: "interrupted; u1 failed", log: "PATCH u1 +[2] -[]",
		},
		{
			name: "before a write is read back", plan: []string{"u1 +2"},
			setUp: func(f *fake, _ *planner.Plan, _ *ledger, _, kill func()) {
				f.patch = func(mstrapi.ObjectID, bool) { kill() }
			},
			want: "interrupted; u1 unverified", log: "PATCH u1 +[2] -[]; did u1 +2",
		},
		{
			name: "before somebody is read again whom the run touched", plan: []string{"g1 +9"},
			setUp: func(f *fake, plan *planner.Plan, _ *ledger, stop, _ func()) {
				plan.Watch = []planner.Watch{{
					Principals: []planner.Principal{{Kind: mstrapi.User, ID: oid("u1"), Name: "u1", Login: "u1"}},
					Awaits:     []planner.Awaited{{Privilege: planner.PrivilegeRef{ID: 9, Name: "nine"}, Grants: []mstrapi.ObjectID{oid("g1")}}},
				}}
				f.patch = func(mstrapi.ObjectID, bool) { stop() }
			},
			want: "interrupted; g1 applied +9; u1 unknown", log: "PATCH g1 +[9] -[]; did g1 +9",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, l := newFake(), new(ledger)
				ctx, kill := context.WithCancel(t.Context())
				stopped, stop := context.WithCancel(t.Context())
				defer kill()
				defer stop()
				o := tt.o
				o.RunID, o.Concurrency, o.Stop = "r", 1, stopped
				f.has("u1", tt.has...)
				plan := f.plan(tt.plan...)
				o.Journal = l.open(t, plan, o)
				tt.setUp(f, plan, l, stop, kill)
				r := Apply(ctx, f, plan, o)
				if got := sketch(r); got != tt.want || ExitCode(r) != ExitInterrupted {
					t.Errorf("Apply = %s, exit %d\nwant    %s", got, ExitCode(r), tt.want)
				}
				if log := strings.Join(f.log, "; "); log != tt.log {
					t.Errorf("the server did %q, want %q", log, tt.log)
				}
			})
		})
	}
}

// TestUnreadGrantHoldsBack: a revoke that relies on a grant which cannot be read again
// just before is not sent.
func TestUnreadGrantHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.has("g2", 5)
		plan := f.plan("g1 +5", "g2 -5<g1", "u1 +7")
		f.patch = func(id mstrapi.ObjectID, done bool) {
			if name(id) == "u1" {
				f.unreadable[oid("g1")] = &mstrapi.Error{Status: 503}
			}
		}
		r := Apply(t.Context(), f, plan, Options{RunID: "r"})
		if got := of(t, r, "g2"); got.Outcome != HeldBack || !f.direct[oid("g2")].Has(5) {
			t.Errorf("g2 = %s, holds %v; want held-back", got.Outcome, f.direct[oid("g2")].IDs())
		}
	})
}

// TestRecoverStopped: a recovery that is stopped writes no report, whatever it may accept.
func TestRecoverStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, plan := crashServer()
		moments, whole, base := film(t, f, plan, Options{})
		for name, journal := range map[string][]byte{"in flight": moments[2].journal, "ended": whole} {
			state := crash(t, f, moments[len(moments)-1], journal, base)
			dead, err := NewFolder(state).FindOpen(t.Context(), nil)
			if err != nil || len(dead) != 1 {
				t.Fatalf("%s: FindOpen = %v, %v", name, dead, err)
			}
			dead[0].Destination.Dir = filepath.Join(state, "reports")
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if r, _, err := Recover(ctx, f, dead[0], RecoverOptions{AcceptUnread: true}); err == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, errStopped) {
				t.Errorf("%s: Recover = %v, %v; want that it was stopped", name, r, err)
			}
			if again, err := NewFolder(state).FindOpen(t.Context(), nil); err != nil || len(again) != 1 {
				t.Errorf("%s: the journal is not open any more: %v", name, err)
			}
		}
	})
}

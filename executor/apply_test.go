package executor

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
	"privsync/planner"
)

func TestApplyOutcomes(t *testing.T) {
	tests := []struct {
		name   string
		has    map[string][]mstrapi.PrivilegeID
		plan   []string
		faults map[string][]patchFault
		o      Options
		before func(f *fake)     // what others do between plan and apply
		during func(f *fake)     // what others do just after each PATCH; f is locked
		in     map[string]string // who is in which group
		want   string
		log    string // requests, in order
		exit   int
	}{
		{
			name: "seed example", has: map[string][]mstrapi.PrivilegeID{"u1": {53}}, plan: []string{"u1 +2 +54 -53"},
			want: "succeeded; u1 applied +2 +54 -53", log: "PATCH u1 +[2 54] -[53]",
		},
		{name: "nothing to do", want: "in-sync"},
		{
			name: "group in two waves around users", has: map[string][]mstrapi.PrivilegeID{"g1": {53}, "u1": {9}},
			plan: []string{"g1 +2 -53<u1", "u1 +53 -9<g1"}, // 9 is not granted by g1
			want: "partial; g1 applied +2 -53; u1 held-back +53 held 9",
			log:  "PATCH g1 +[2] -[]; PATCH u1 +[53] -[]; PATCH g1 +[] -[53]", exit: ExitIncomplete,
		},
		{
			name: "user revoke relies on group grant", has: map[string][]mstrapi.PrivilegeID{"u1": {9}},
			plan: []string{"g1 +9", "u1 -9<g1"}, in: map[string]string{"u1": "g1"},
			want: "succeeded; g1 applied +9; u1 applied -9", log: "PATCH g1 +[9] -[]; PATCH u1 +[] -[9]",
		},
		{
			name: "user revoke relies on a group's grant that does not reach it", has: map[string][]mstrapi.PrivilegeID{"u1": {9}},
			plan: []string{"g1 +9", "u1 -9<g1"},
			want: "partial; g1 applied +9; u1 held-back held 9", log: "PATCH g1 +[9] -[]", exit: ExitIncomplete,
		},
		{
			name: "redundant, and not inherited any more", has: map[string][]mstrapi.PrivilegeID{"u1": {9}, "g1": {9}}, in: map[string]string{"u1": "g1"},
			plan: []string{"u1 +2 -9="}, before: func(f *fake) { f.has("g1") },
			want: "partial; u1 held-back +2 held 9", log: "PATCH u1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "redundant, and not inherited any more, in a saved plan", has: map[string][]mstrapi.PrivilegeID{"u1": {9}, "g1": {9}}, in: map[string]string{"u1": "g1"},
			plan: []string{"u1 +2 -9="}, before: func(f *fake) { f.has("g1") }, o: Options{Saved: true},
			want: "failed; u1 stale", exit: ExitIncomplete,
		},
		{
			name: "redundant", has: map[string][]mstrapi.PrivilegeID{"u1": {9}, "g1": {9}}, in: map[string]string{"u1": "g1"},
			plan: []string{"u1 +2 -9="}, want: "succeeded; u1 applied +2 -9", log: "PATCH u1 +[2] -[9]",
		},
		{
			name: "redundant, and lost while it is written", has: map[string][]mstrapi.PrivilegeID{"u1": {9}, "g1": {9}}, in: map[string]string{"u1": "g1"},
			plan: []string{"u1 -9="}, during: func(f *fake) { f.direct[oid("g1")] = planner.Set{} },
			want: "partial; u1 drifted -9", log: "PATCH u1 +[] -[9]", exit: ExitIncomplete,
		},
		{
			name: "a group's revoke relies on a grant that was taken back", has: map[string][]mstrapi.PrivilegeID{"g2": {5}},
			plan: []string{"g1 +5", "g2 -5<g1", "u1 +7"}, during: func(f *fake) {
				if f.direct[oid("u1")].Has(7) {
					f.direct[oid("g1")] = planner.Set{}
				}
			},
			want: "partial; g1 drifted +5; g2 held-back held 5; u1 applied +7", log: "PATCH g1 +[5] -[]; PATCH u1 +[7] -[]", exit: ExitIncomplete,
		},
		{
			name: "revoke held because the grant failed", has: map[string][]mstrapi.PrivilegeID{"u1": {9}, "g2": {5}},
			plan: []string{"g1 +9", "u1 -9<g1", "g2 -5<u2", "u2 +5", "u3 +7"}, faults: map[string][]patchFault{"g1": {refused}, "u2": {lie}},
			want: "partial; g1 failed; g2 held-back held 5; u1 held-back held 9; u2 unverified; u3 applied +7",
			log:  "PATCH g1 +[9] -[]; PATCH u2 +[5] -[]; PATCH u3 +[7] -[]", exit: ExitIncomplete,
		},
		{
			name: "a revoke that relies on nobody's grant is held", has: map[string][]mstrapi.PrivilegeID{"u1": {9}},
			plan: []string{"u1 -9<u2"}, want: "failed; u1 held-back held 9", exit: ExitIncomplete,
		},
		{
			name: "partly held revokes", has: map[string][]mstrapi.PrivilegeID{"u1": {8, 9}}, plan: []string{"u1 +1 -8 -9<u2"},
			want: "partial; u1 held-back +1 -8 held 9", log: "PATCH u1 +[1] -[8]", exit: ExitIncomplete,
		},
		{
			name: "refused", plan: []string{"u1 +2"}, faults: map[string][]patchFault{"u1": {refused}},
			want: "failed; u1 failed", log: "PATCH u1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "never sent", plan: []string{"u1 +2"}, faults: map[string][]patchFault{"u1": {unsent}},
			want: "failed; u1 failed", log: "PATCH u1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "answer lost, done", plan: []string{"u1 +2"}, faults: map[string][]patchFault{"u1": {lostDone}},
			want: "succeeded; u1 applied +2", log: "PATCH u1 +[2] -[]",
		},
		{
			name: "answer lost, not done, sent again", plan: []string{"u1 +2"}, faults: map[string][]patchFault{"u1": {lostUndone, lostUndone}},
			want: "succeeded; u1 applied +2", log: "PATCH u1 +[2] -[]; PATCH u1 +[2] -[]; PATCH u1 +[2] -[]",
		},
		{
			name: "answer lost for ever, not seen", plan: []string{"u1 +2"}, o: Options{MaxAttempts: 2},
			faults: map[string][]patchFault{"u1": {lostUndone, lostUndone}},
			want:   "failed; u1 unverified", log: "PATCH u1 +[2] -[]; PATCH u1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "answer lost, half done, for ever", has: map[string][]mstrapi.PrivilegeID{"u1": {3}}, plan: []string{"u1 +2 -3"},
			o: Options{MaxAttempts: 2}, faults: map[string][]patchFault{"u1": {lostHalf, lostHalf}},
			want: "partial; u1 unverified +2", log: "PATCH u1 +[2] -[3]; PATCH u1 +[2] -[3]", exit: ExitIncomplete,
		},
		{
			name: "answer lost, then refused: the first may still be done", plan: []string{"u1 +2", "u2 +2"},
			faults: map[string][]patchFault{"u1": {lostUndone, refused}},
			want:   "partial; u1 unverified; u2 applied +2", log: "PATCH u1 +[2] -[]; PATCH u1 +[2] -[]; PATCH u2 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "a write that lies", plan: []string{"u1 +2"}, faults: map[string][]patchFault{"u1": {lie}},
			want: "failed; u1 unverified", log: "PATCH u1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "a write that half lies", has: map[string][]mstrapi.PrivilegeID{"u1": {3}}, plan: []string{"u1 +2 -3"},
			faults: map[string][]patchFault{"u1": {halfLie}},
			want:   "partial; u1 unverified +2", log: "PATCH u1 +[2] -[3]", exit: ExitIncomplete,
		},
		{
			name: "seen only at the second reading", plan: []string{"u1 +2"}, faults: map[string][]patchFault{"u1": {lateVisible}},
			want: "succeeded; u1 applied +2", log: "PATCH u1 +[2] -[]",
		},
		{
			name: "others change something else meanwhile", has: map[string][]mstrapi.PrivilegeID{"u1": {foreign + 1}}, plan: []string{"u1 +2"},
			faults: map[string][]patchFault{"u1": {otherAdmin}}, want: "succeeded; u1 applied +2", log: "PATCH u1 +[2] -[]",
		},
		{
			name: "done, not to be read back", plan: []string{"u1 +2"}, faults: map[string][]patchFault{"u1": {doneUnreadable}},
			want: "failed; u1 unverified", log: "PATCH u1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "lost, not to be read", plan: []string{"u1 +2"}, faults: map[string][]patchFault{"u1": {lostUnreadable}},
			want: "failed; u1 unverified", log: "PATCH u1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "a group whose first wave fails is not touched again", has: map[string][]mstrapi.PrivilegeID{"g1": {3}}, plan: []string{"g1 +2 -3"},
			faults: map[string][]patchFault{"g1": {refused}}, want: "failed; g1 failed held 3", log: "PATCH g1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "a group whose first wave lies is not touched again", has: map[string][]mstrapi.PrivilegeID{"g1": {3}}, plan: []string{"g1 +2 -3"},
			faults: map[string][]patchFault{"g1": {lie}}, want: "failed; g1 unverified held 3", log: "PATCH g1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "a group whose second wave fails", has: map[string][]mstrapi.PrivilegeID{"g1": {3}}, plan: []string{"g1 +2 -3"},
			faults: map[string][]patchFault{"g1": {fine, refused}}, want: "partial; g1 failed +2",
			log: "PATCH g1 +[2] -[]; PATCH g1 +[] -[3]", exit: ExitIncomplete,
		},
		{
			name: "a group whose second wave lies", has: map[string][]mstrapi.PrivilegeID{"g1": {3}}, plan: []string{"g1 +2 -3"},
			faults: map[string][]patchFault{"g1": {fine, lie}}, want: "partial; g1 unverified +2",
			log: "PATCH g1 +[2] -[]; PATCH g1 +[] -[3]", exit: ExitIncomplete,
		},
		{
			name: "saved plan, unchanged", has: map[string][]mstrapi.PrivilegeID{"g1": {3}}, plan: []string{"g1 +2 -3"}, o: Options{Saved: true},
			want: "succeeded; g1 applied +2 -3", log: "PATCH g1 +[2] -[]; PATCH g1 +[] -[3]",
		},
		{
			name: "saved plan, already as planned", has: map[string][]mstrapi.PrivilegeID{"g1": {3}, "u1": {8}}, o: Options{Saved: true},
			plan:   []string{"g1 +2 -3", "u1 +9 -8"},
			before: func(f *fake) { f.has("g1", 2); f.has("u1", 9) }, want: "in-sync; g1 in-sync; u1 in-sync",
		},
		{
			name: "saved plan, changed otherwise", has: map[string][]mstrapi.PrivilegeID{"u1": {8}}, plan: []string{"u1 +9 -8", "u2 +1"}, o: Options{Saved: true},
			before: func(f *fake) { f.has("u1", 8, 44) }, want: "partial; u1 stale; u2 applied +1", log: "PATCH u2 +[1] -[]", exit: ExitIncomplete,
		},
		{
			name: "in-sync counts as verified", has: map[string][]mstrapi.PrivilegeID{"u1": {9}}, plan: []string{"g1 +9", "u1 -9<g1"}, in: map[string]string{"u1": "g1"}, o: Options{Saved: true},
			before: func(f *fake) { f.has("g1", 9) }, want: "succeeded; g1 in-sync; u1 applied -9", log: "PATCH u1 +[] -[9]",
		},
		{
			name: "stale does not count as verified", has: map[string][]mstrapi.PrivilegeID{"u1": {9}}, plan: []string{"g1 +9", "u1 -9<g1"}, o: Options{Saved: true},
			before: func(f *fake) { f.has("g1", 44) }, want: "failed; g1 stale; u1 held-back held 9", exit: ExitIncomplete,
		},
		{
			name: "saved plan, not to be read", plan: []string{"u1 +9"}, o: Options{Saved: true},
			before: func(f *fake) { f.unreadable[oid("u1")] = errors.New("no") }, want: "failed; u1 failed", exit: ExitIncomplete,
		},
		{
			name: "saved plan, changed between the waves", has: map[string][]mstrapi.PrivilegeID{"g1": {3, foreign + 1}}, plan: []string{"g1 +2 -3"}, o: Options{Saved: true},
			faults: map[string][]patchFault{"g1": {otherAdmin}}, want: "partial; g1 held-back +2 held 3", log: "PATCH g1 +[2] -[]", exit: ExitIncomplete,
		},
		{
			name: "what others revoked between the waves is not claimed", has: map[string][]mstrapi.PrivilegeID{"g1": {foreign + 1}},
			plan: []string{"g1 +2 -901"}, faults: map[string][]patchFault{"g1": {otherAdmin}},
			want: "succeeded; g1 applied +2", log: "PATCH g1 +[2] -[]; PATCH g1 +[] -[901]",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				for short, ids := range tt.has {
					f.has(short, ids...)
				}
				for member, group := range tt.in {
					f.parents[oid(member)] = []mstrapi.ObjectID{oid(group)}
				}
				plan := f.plan(tt.plan...)
				if tt.during != nil {
					f.patch = func(_ mstrapi.ObjectID, done bool) {
						if done {
							tt.during(f)
						}
					}
				}
				if tt.before != nil {
					tt.before(f)
				}
				for short, list := range tt.faults {
					f.faults[oid(short)] = list
				}
				o := tt.o
				o.Concurrency = 1
				r := Apply(t.Context(), f, plan, o)
				if got := sketch(r); got != tt.want {
					t.Errorf("Apply = %s\nwant    %s", got, tt.want)
				}
				if got := strings.Join(slices.DeleteFunc(slices.Clone(f.log), func(l string) bool { return strings.HasPrefix(l, "did") }), "; "); got != tt.log {
					t.Errorf("requests = %s\nwant       %s", got, tt.log)
				}
				if got := ExitCode(r); got != tt.exit {
					t.Errorf("ExitCode = %d, want %d", got, tt.exit)
				}
				for _, w := range truthful(f, r) {
					t.Error(w)
				}
			})
		})
	}
}

func TestApplyHappyPathSendsNoNeedlessRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.has("g1", 3)
		plan := f.plan("g1 +2 -3", "u1 +5", "u2 +6")
		Apply(t.Context(), f, plan, Options{})
		want := map[string]int{"g1": 2, "u1": 1, "u2": 1}
		for short, n := range want {
			if got := f.reads[oid(short)]; got != n {
				t.Errorf("%s was read %d times, want %d: one verification per PATCH", short, got, n)
			}
		}
	})
}

func TestApplyReadsAgainWhatIsTooOld(t *testing.T) {
	for _, tt := range []struct {
		age, max time.Duration
		reads    int
	}{
		{59 * time.Second, 0, 1}, {61 * time.Second, 0, 2}, {61 * time.Second, 2 * time.Minute, 1}, {time.Hour, -1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			plan := f.plan("u1 +2")
			time.Sleep(tt.age)
			r := Apply(t.Context(), f, plan, Options{MaxStaleness: tt.max})
			if got := f.reads[oid("u1")]; got != tt.reads {
				t.Errorf("observed %s ago, limit %s: read %d times, want %d", tt.age, tt.max, got, tt.reads)
			}
			if got := of(t, r, "u1").Outcome; got != Applied {
				t.Errorf("outcome = %s, want applied", got)
			}
		})
	}
}

func TestApplyWithoutObservationTimeReadsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +2")
		plan.Changes[0].ObservedAt = time.Time{}
		f.has("u1", 77)
		r := Apply(t.Context(), f, plan, Options{})
		if got := of(t, r, "u1"); got.Outcome != Stale || !strings.Contains(got.Error.Message, "+77") {
			t.Errorf("outcome = %s (%v), want stale naming +77", got.Outcome, got.Error)
		}
	})
}

// What a saved plan says of itself is not believed where it costs memory.
func TestApplyOfASavedPlanThatClaimsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +2")
		plan.Summary.Principals = math.MaxInt
		r := Apply(t.Context(), f, plan, Options{Saved: true, InSync: func(func(Result) bool) {}})
		if got := of(t, r, "u1"); got.Outcome != Applied || len(r.Principals) != 1 {
			t.Errorf("outcome = %s of %d principals, want applied of 1", got.Outcome, len(r.Principals))
		}
	})
}

func TestApplyKeepsTheServersError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +2")
		f.faults[oid("u1")] = []patchFault{refused}
		got := of(t, Apply(t.Context(), f, plan, Options{}), "u1")
		want := Error{Status: 403, Code: "ERR017", IServerCode: -2147214568, Message: "no \x1b[31mright", TicketID: "t-1"}
		if *got.Error != want {
			t.Errorf("error = %+v, want %+v", *got.Error, want)
		}
		if got.Attempts != 1 || got.After == nil || !got.After.Direct.IsEmpty() {
			t.Errorf("attempts = %d, after = %v; want 1 and what is there", got.Attempts, got.After)
		}
	})
}

func TestApplySoftStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.has("g1", 3)
		f.has("g2", 3)
		plan := f.plan("g1 +2 -3", "g2 -3", "u1 +5", "u2 +6", "u3 +7")
		plan.Commands = []string{"assign-watch-kpi-insight"}
		stop, cancel := context.WithCancel(t.Context())
		f.patch = func(id mstrapi.ObjectID, done bool) {
			if name(id) == "u2" {
				cancel()
			}
		}
		r := Apply(t.Context(), f, plan, Options{Concurrency: 1, Stop: stop})
		want := "interrupted; g1 held-back +2 held 3; g2 not-attempted; u1 applied +5; u2 applied +6; u3 not-attempted"
		if got := sketch(r); got != want {
			t.Errorf("Apply = %s\nwant    %s", got, want)
		}
		if f.submitted != 0 || r.Commands[0].Outcome != CommandNotAttempted {
			t.Errorf("command = %v after %d submissions, want not-attempted", r.Commands[0], f.submitted)
		}
		if got := ExitCode(r); got != ExitInterrupted {
			t.Errorf("ExitCode = %d, want 130", got)
		}
		for _, w := range truthful(f, r) {
			t.Error(w)
		}
	})
}

func TestApplyStopDuringRetryDoesNotSendAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +5")
		f.faults[oid("u1")] = []patchFault{lostUndone}
		stop, cancel := context.WithCancel(t.Context())
		f.patch = func(mstrapi.ObjectID, bool) { cancel() }
		r := Apply(t.Context(), f, plan, Options{Stop: stop})
		if got, want := sketch(r), "failed; u1 unverified"; got != want && got != "interrupted; u1 unverified" {
			t.Errorf("Apply = %s, want %s", got, want)
		}
		if got := ExitCode(r); got != ExitInterrupted {
			t.Errorf("ExitCode = %d, want 130: the stop left it undone", got)
		}
		if got := of(t, r, "u1").Attempts; got != 1 {
			t.Errorf("attempts = %d, want 1", got)
		}
	})
}

func TestApplyStopAfterTheLastWriteIsNoInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +5")
		stop, cancel := context.WithCancel(t.Context())
		f.patch = func(mstrapi.ObjectID, bool) { cancel() }
		r := Apply(t.Context(), f, plan, Options{Stop: stop})
		if got, want := sketch(r), "succeeded; u1 applied +5"; got != want {
			t.Errorf("Apply = %s, want %s", got, want)
		}
	})
}

// TestApplyStopBetweenReadAndWrite: a principal that was read and not yet written
// is not in flight.
func TestApplyStopBetweenReadAndWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +5", "u2 +6")
		stop, cancel := context.WithCancel(t.Context())
		s := &stopAtRead{f, cancel}
		r := Apply(t.Context(), s, plan, Options{Concurrency: 1, Saved: true, Stop: stop})
		if got, want := sketch(r), "interrupted; u1 not-attempted; u2 not-attempted"; got != want {
			t.Errorf("Apply = %s, want %s", got, want)
		}
		if len(f.log) > 0 || f.reads[oid("u2")] > 0 {
			t.Errorf("after the stop: %v, u2 read %d times", f.log, f.reads[oid("u2")])
		}
	})
}

type stopAtRead struct {
	*fake
	stop context.CancelFunc
}

func (s *stopAtRead) Held(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, level mstrapi.Level) ([]mstrapi.Held, error) {
	s.stop()
	return s.fake.Held(ctx, kind, id, level)
}

func TestApplyHardStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +5", "u2 +6")
		ctx, cancel := context.WithCancel(t.Context())
		f.patch = func(id mstrapi.ObjectID, done bool) {
			if done {
				cancel()
			}
		}
		r := Apply(ctx, f, plan, Options{Concurrency: 1})
		if got, want := sketch(r), "interrupted; u1 unverified; u2 not-attempted"; got != want {
			t.Errorf("Apply = %s, want %s", got, want)
		}
		if u := of(t, r, "u1"); u.After != nil || u.Error == nil {
			t.Errorf("u1: after = %v, error = %v; want null and why", u.After, u.Error)
		}
	})
}

// TestOneContradictingReadingProvesNothing: the first reading after the write does
// not show it yet, and a hard stop cuts off the second.
func TestOneContradictingReadingProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +5")
		f.faults[oid("u1")] = []patchFault{lateVisible}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(firstLook/2, cancel) // the pause before the second is longer
		r := Apply(ctx, f, plan, Options{})
		if u := of(t, r, "u1"); u.Outcome != Unverified || u.After != nil {
			t.Errorf("u1 %s, after = %v; want unverified, null", u.Outcome, u.After)
		}
	})
}

// TestLostAndThenUnreadable: the write may have been done after the last reading.
func TestLostAndThenUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +5")
		f.faults[oid("u1")] = []patchFault{lostUndone}
		r := Apply(t.Context(), &failingRead{fake: f, at: 2}, plan, Options{MaxAttempts: 1})
		if u := of(t, r, "u1"); u.Outcome != Unverified || u.After != nil || !strings.Contains(u.Error.Message, "reset by peer") {
			t.Errorf("u1 %s, after = %v, error %v; want unverified, null, the lost answer", u.Outcome, u.After, u.Error)
		}
	})
}

// failingRead fails one reading, counted from 1.
type failingRead struct {
	*fake
	n, at int
}

func (s *failingRead) Held(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, level mstrapi.Level) ([]mstrapi.Held, error) {
	if s.n++; s.n == s.at {
		return nil, &mstrapi.Error{Method: "GET", Status: 500, Message: "broken"}
	}
	return s.fake.Held(ctx, kind, id, level)
}

func TestApplyDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +5", "u2 +6")
		stop, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f.patch = func(id mstrapi.ObjectID, done bool) {
			if !done {
				time.Sleep(2 * time.Second)
			}
		}
		r := Apply(t.Context(), f, plan, Options{Concurrency: 1, Stop: stop})
		if got, want := sketch(r), "partial; u1 applied +5; u2 not-attempted"; got != want {
			t.Errorf("Apply = %s, want %s", got, want)
		}
		if r.Error == nil || r.Error.Code != CodeDeadline || ExitCode(r) != ExitIncomplete {
			t.Errorf("error = %v, exit %d; want the deadline, exit 4", r.Error, ExitCode(r))
		}
	})
}

func TestApplyRefuses(t *testing.T) {
	finding := func(c planner.Code, s planner.Severity) []planner.Finding {
		return []planner.Finding{{Code: c, Severity: s}}
	}
	tests := []struct {
		name   string
		mangle func(p *planner.Plan, o *Options)
		code   string
		exit   int
	}{
		{"guard", func(_ *planner.Plan, o *Options) {
			o.Guards = []planner.Guard{{Name: "maxRevokes", Message: "too many"}}
		}, CodeGuard, ExitRefused},
		{"rule", func(p *planner.Plan, _ *Options) {
			p.Findings = finding(planner.CodeRuleViolation, planner.SeverityError)
		}, CodeRule, ExitRefused},
		{"unknown principal", func(p *planner.Plan, _ *Options) {
			p.Findings = finding(planner.CodeUnknownPrincipal, planner.SeverityError)
		}, CodeBlocking, ExitError},
		{"incomplete", func(p *planner.Plan, _ *Options) { p.Complete = false }, CodeIncomplete, ExitError},
		{"incomplete before guard", func(p *planner.Plan, o *Options) { p.Complete = false; o.Guards = []planner.Guard{{}} }, CodeIncomplete, ExitError},
		{"twice", func(p *planner.Plan, _ *Options) { p.Changes = append(p.Changes, p.Changes[0]) }, CodePlanRefused, ExitRefused},
		{"empty change", func(p *planner.Plan, _ *Options) { p.Changes[0].Grant = nil }, CodePlanRefused, ExitRefused},
		{"bad id", func(p *planner.Plan, _ *Options) { p.Changes[0].Principal.ID = "../x" }, CodePlanRefused, ExitRefused},
		{"id of another alphabet", func(p *planner.Plan, _ *Options) {
			p.Changes[0].Principal.ID = mstrapi.ObjectID(strings.Repeat("Z", 32))
		}, CodePlanRefused, ExitRefused},
		{"bad kind", func(p *planner.Plan, _ *Options) { p.Changes[0].Principal.Kind = "role" }, CodePlanRefused, ExitRefused},
		{"bad number", func(p *planner.Plan, _ *Options) { p.Changes[0].Grant[0].ID = -1 }, CodePlanRefused, ExitRefused},
		{"grant and revoke", func(p *planner.Plan, _ *Options) { p.Changes[0].Revoke = p.Changes[0].Grant }, CodePlanRefused, ExitRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			plan := f.plan("u1 +2")
			plan.Commands = []string{"assign-watch-kpi-insight"}
			var o Options
			tt.mangle(plan, &o)
			r := Apply(t.Context(), f, plan, o)
			if r.Run.Outcome != RunRefused || r.Error == nil || r.Error.Code != tt.code || ExitCode(r) != tt.exit {
				t.Errorf("Apply = %s, error %v, exit %d; want refused, %s, exit %d", r.Run.Outcome, r.Error, ExitCode(r), tt.code, tt.exit)
			}
			if len(f.log) > 0 || f.submitted > 0 {
				t.Errorf("the server was written: %v", f.log)
			}
			if p := r.Principals[0]; p.Outcome != NotAttempted {
				t.Errorf("principal = %s, want not-attempted", p.Outcome)
			}
		})
	}
}

func TestApplyAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +2")
		plan.Complete = false
		plan.Findings = []planner.Finding{
			{Code: planner.CodeInheritedForbidden, Severity: planner.SeverityError},
			{Code: planner.CodeRuleViolation, Severity: planner.SeverityWarning},
		}
		r := Apply(t.Context(), f, plan, Options{AllowIncomplete: true, Guards: []planner.Guard{{Name: "maxRevokes", Allowed: true}},
			InSync: slices.Values([]Result{{Principal: planner.Principal{Kind: mstrapi.User, ID: oid("u0"), Name: "a"}, Outcome: InSync},
				{Principal: planner.Principal{Kind: mstrapi.User, ID: oid("u9"), Name: "z"}, Outcome: UnknownState},
				{Principal: plan.Changes[0].Principal, Outcome: InSync}})})
		if got, want := sketch(r), "partial; u0 in-sync; u1 applied +2; u9 unknown"; got != want {
			t.Errorf("Apply = %s, want %s", got, want)
		}
		if ExitCode(r) != ExitIncomplete || len(r.Guards) != 1 || !r.Guards[0].Allowed {
			t.Errorf("exit %d, guards %v; want 4 and the override recorded", ExitCode(r), r.Guards)
		}
		want := Summary{Principals: 3, InSync: 1, Applied: 1, Unknown: 1, Grants: 1}
		if r.Summary != want {
			t.Errorf("summary = %+v, want %+v", r.Summary, want)
		}
	})
}

func TestOnlyInheritedForbiddenIsPartial(t *testing.T) {
	f := newFake()
	plan := f.plan()
	plan.Findings = []planner.Finding{{Code: planner.CodeInheritedForbidden, Severity: planner.SeverityError}}
	r := Apply(t.Context(), f, plan, Options{})
	if r.Run.Outcome != RunPartial || ExitCode(r) != ExitIncomplete {
		t.Errorf("Apply = %s, exit %d; want partial, 4", r.Run.Outcome, ExitCode(r))
	}
}

// A selector's list or a name that could not be read stands in no result, and
// whom a saved plan leaves out neither: the finding alone says it.
func TestIncompleteIsNeverAllDone(t *testing.T) {
	f := newFake()
	plan := f.plan()
	plan.Complete = false
	plan.Findings = []planner.Finding{{Code: planner.CodeReadFailed, Severity: planner.SeverityError}}
	r := Apply(t.Context(), f, plan, Options{AllowIncomplete: true})
	if r.Run.Outcome != RunPartial || ExitCode(r) != ExitIncomplete {
		t.Errorf("Apply = %s, exit %d; want partial, 4", r.Run.Outcome, ExitCode(r))
	}
}

func TestRefuseForAnotherReasonIsFailed(t *testing.T) {
	r := Refuse(nil, Options{RunID: "r"}, &Error{Code: "no-login", Message: "wrong password"})
	if r.Run.Outcome != RunFailed || ExitCode(r) != ExitError {
		t.Errorf("Refuse = %s, exit %d; want failed, 1", r.Run.Outcome, ExitCode(r))
	}
}

func TestApplyProgressAndComment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.has("g1", 3)
		plan := f.plan("g1 +2 -3", "u1 +5")
		var steps []string
		Apply(t.Context(), f, plan, Options{Concurrency: 1, Progress: func(phase string, done, total int) {
			steps = append(steps, fmt.Sprintf("%s %d/%d", phase, done, total))
		}, Comment: func(k mstrapi.Kind) string { return "by " + string(k) }})
		want := []string{"apply 1/3", "apply 2/3", "apply 3/3"}
		if !slices.Equal(steps, want) {
			t.Errorf("progress = %v, want %v", steps, want)
		}
	})
}

// Whoever is to get a privilege from a group is in sync only when the group has
// it.
func TestInSyncWaitsForTheGroup(t *testing.T) {
	for _, tt := range []struct {
		fault  patchFault
		member bool // what the group is granted reaches the user
		want   string
	}{
		{fine, true, "succeeded; g1 applied +5; u9 in-sync"}, {refused, true, "failed; g1 failed; u9 held-back"},
		{fine, false, "partial; g1 applied +5; u9 drifted"},
	} {
		f := newFake()
		f.faults[oid("g1")] = []patchFault{tt.fault}
		plan := f.plan("g1 +5")
		u9 := planner.Principal{Kind: mstrapi.User, ID: oid("u9"), Name: "z"}
		plan.Watch = []planner.Watch{{
			Wanted: planner.Wanted{Listed: planner.SetOf(5)}, Principals: []planner.Principal{u9},
			Awaits: []planner.Awaited{{Privilege: planner.PrivilegeRef{ID: 5, Name: "five"}, Grants: []mstrapi.ObjectID{oid("g1")}}},
		}}
		if tt.member {
			f.parents[u9.ID] = []mstrapi.ObjectID{oid("g1")}
		}
		r := Apply(t.Context(), f, plan, Options{VerifyTimeout: -1, InSync: slices.Values([]Result{{Principal: u9, Outcome: InSync}})})
		if got := sketch(r); got != tt.want {
			t.Errorf("Apply = %s, want %s", got, tt.want)
		}
	}
}

// A server whose version should take comments and that refuses them all the
// same gets the change without.
func TestCommentIsWorthLessThanTheChange(t *testing.T) {
	f := newFake()
	f.noComments = true
	plan := f.plan("u1 +5")
	r := Apply(t.Context(), f, plan, Options{Comment: func(mstrapi.Kind) string { return "why" }})
	if got, want := sketch(r), "succeeded; u1 applied +5"; got != want {
		t.Errorf("Apply = %s, want %s", got, want)
	}
	if r.Summary.Retries != 1 || r.Principals[0].Attempts != 2 {
		t.Errorf("retries = %d, attempts = %d; want the second request counted", r.Summary.Retries, r.Principals[0].Attempts)
	}
}

func TestApplyRunsPrincipalsConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		var specs []string
		for i := range 40 {
			specs = append(specs, fmt.Sprintf("u%d +5", i+10))
		}
		plan := f.plan(specs...)
		s := slow{f}
		began := time.Now()
		r := Apply(t.Context(), s, plan, Options{Concurrency: 10})
		if got, want := time.Since(began), 4*time.Second; got != want {
			t.Errorf("40 principals, 10 at once, 1 s each took %s, want %s", got, want)
		}
		if r.Summary.Applied != 40 {
			t.Errorf("applied = %d, want 40", r.Summary.Applied)
		}
	})
}

// slow takes a second for every write.
type slow struct{ *fake }

func (s slow) PatchPrivileges(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, p mstrapi.PrivilegePatch) error {
	time.Sleep(time.Second)
	return s.fake.PatchPrivileges(ctx, kind, id, p)
}

// goneServer stops answering, for good, after a number of PATCH requests.
type goneServer struct {
	*fake
	after int
}

func (s *goneServer) gone() error {
	return &mstrapi.Error{Method: "GET", Unsent: true, Err: fmt.Errorf("%w: no usable answer for 1m0s", mstrapi.ErrUnreachable)}
}

func (s *goneServer) Held(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, level mstrapi.Level) ([]mstrapi.Held, error) {
	if s.after < 0 {
		return nil, s.gone()
	}
	return s.fake.Held(ctx, kind, id, level)
}

func (s *goneServer) PatchPrivileges(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, p mstrapi.PrivilegePatch) error {
	if s.after--; s.after < 0 {
		return s.gone()
	}
	return s.fake.PatchPrivileges(ctx, kind, id, p)
}

// A server that is gone ends the run: what was under way says so, the rest is
// not attempted, and commands are not either.
func TestApplyEndsWhenTheServerIsGone(t *testing.T) {
	for after, want := range []string{
		"failed; g1 failed; u1 not-attempted; u2 not-attempted",
		"partial; g1 held-back +4; u1 failed; u2 not-attempted",
		"partial; g1 held-back +4; u1 applied +5; u2 failed",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.has("g1", 7)
			plan := f.plan("g1 +4 -7", "u1 +5", "u2 +6")
			plan.Commands = CommandNames()
			r := Apply(t.Context(), &goneServer{f, after}, plan, Options{Concurrency: 1})
			got := strings.ReplaceAll(sketch(r), " held 7", "")
			if got != want {
				t.Errorf("Apply, gone after %d writes = %s, want %s", after, got, want)
			}
			if r.Error == nil || r.Error.Code != CodeUnreachable || ExitCode(r) != ExitIncomplete {
				t.Errorf("error = %v, exit %d; want unreachable, exit 4", r.Error, ExitCode(r))
			}
			if r.Commands[0].Outcome != CommandNotAttempted || f.submitted > 0 {
				t.Errorf("commands = %+v, want none attempted", r.Commands)
			}
			if wrong := truthful(f, r); wrong != nil {
				t.Error(wrong)
			}
		})
	}
}

// However many attempts are left, a principal gets no more than its time.
func TestPrincipalTimeout(t *testing.T) {
	for limit, want := range map[time.Duration]int{0: 6, 2 * time.Minute: 2, time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.faults[oid("u1")] = []patchFault{lostUndone, lostUndone, lostUndone, lostUndone, lostUndone, lostUndone}
			f.patch = func(_ mstrapi.ObjectID, done bool) {
				if !done {
					time.Sleep(time.Minute)
				}
			}
			plan := f.plan("u1 +5")
			r := Apply(t.Context(), f, plan, Options{PrincipalTimeout: limit, MaxAttempts: 6})
			u := of(t, r, "u1")
			if u.Outcome != Unverified || u.After == nil {
				t.Errorf("limit %s: outcome %s after %v, want unverified, and read back", limit, u.Outcome, u.After)
			}
			if u.Attempts != want {
				t.Errorf("limit %s: %d attempts, want %d", limit, u.Attempts, want)
			}
			if wrong := truthful(f, r); wrong != nil {
				t.Error(wrong)
			}
		})
	}
}

// A revoke on a group that relies on another group's grant waits until those who
// await the grant have it: the server may not hand it down.
func TestRevokeWaitsForWhoAwaitsTheGrant(t *testing.T) {
	for _, tt := range []struct {
		parents []mstrapi.ObjectID
		want    string
	}{
		{[]mstrapi.ObjectID{oid("g1"), oid("g2")}, "succeeded; g1 applied +5; g2 applied -5; u9 in-sync"},
		{[]mstrapi.ObjectID{oid("g2")}, "partial; g1 applied +5; g2 held-back held 5; u9 in-sync"},
		{nil, "partial; g1 applied +5; g2 held-back held 5; u9 drifted"},
	} {
		f := newFake()
		f.has("g2", 5)
		u9 := planner.Principal{Kind: mstrapi.User, ID: oid("u9"), Name: "z"}
		f.parents[u9.ID] = tt.parents
		plan := f.plan("g1 +5", "g2 -5<g1")
		plan.Watch = []planner.Watch{{
			Wanted: planner.Wanted{Listed: planner.SetOf(5)}, Principals: []planner.Principal{u9},
			Awaits: []planner.Awaited{{Privilege: planner.PrivilegeRef{ID: 5, Name: "five"}, Grants: []mstrapi.ObjectID{oid("g1")}}},
		}}
		r := Apply(t.Context(), f, plan, Options{VerifyTimeout: -1, InSync: slices.Values([]Result{{Principal: u9, Outcome: InSync}})})
		if got := sketch(r); got != tt.want {
			t.Errorf("a member of %v: Apply = %s, want %s", tt.parents, got, tt.want)
		}
	}
}

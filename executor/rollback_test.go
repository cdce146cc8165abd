package executor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"privsync/mstrapi"
	"privsync/planner"
)

// plansketch is a plan in short: "g1 +2 -3<u1; u1 -5", and its findings' codes.
func plansketch(p *planner.Plan) string {
	var parts []string
	for _, c := range p.Changes {
		s := name(c.Principal.ID)
		for _, g := range c.Grant {
			s += " +" + g.ID.String()
		}
		for _, r := range c.Revoke {
			s += " -" + r.ID.String()
			for i, on := range r.ReliesOn {
				s += []string{"<", ","}[min(i, 1)] + name(on)
			}
		}
		parts = append(parts, s)
	}
	for _, f := range p.Findings {
		parts = append(parts, name(f.Principal.ID)+" "+string(f.Code)+" "+string(f.Severity))
	}
	return strings.Join(parts, "; ")
}

func TestRollback(t *testing.T) {
	tests := []struct {
		name   string
		has    map[string][]mstrapi.PrivilegeID
		in     string // the group that u1 is in
		plan   []string
		faults map[string][]patchFault
		since  func(f *fake)
		want   string
		again  string // the direct grants after applying it, if they are not as before
	}{
		{
			name: "all of it", has: map[string][]mstrapi.PrivilegeID{"g1": {3}, "u1": {8, 9}}, plan: []string{"g1 +2 -3", "u1 +3 -8"},
			want: "g1 +3 -2; u1 +8 -3",
		},
		{
			name: "a group's revoke waits for the users", has: map[string][]mstrapi.PrivilegeID{"u1": {8}}, plan: []string{"g1 +8", "u1 -8<g1"}, in: "g1",
			want: "g1 -8<u1; u1 +8",
		},
		{
			name: "only what was done", has: map[string][]mstrapi.PrivilegeID{"g1": {3}, "u2": {5}}, plan: []string{"g1 +2 -3", "u1 +4", "u2 +6 -5", "u3 +7"},
			faults: map[string][]patchFault{"g1": {fine, refused}, "u1": {refused}, "u2": {halfLie}, "u3": {lie}},
			want:   "g1 -2; u2 -6",
		},
		{
			name: "others have undone it", has: map[string][]mstrapi.PrivilegeID{"u1": {8}}, plan: []string{"u1 +3 +4 -8"},
			since: func(f *fake) { f.has("u1", 8, 4) },
			want:  "u1 -4; u1 changed-since warning; u1 changed-since warning",
		},
		{
			name: "others have done something else", has: map[string][]mstrapi.PrivilegeID{"u1": {8}}, plan: []string{"u1 +3 -8"},
			since: func(f *fake) { f.has("u1", 3, 77) }, want: "u1 +8 -3", again: "u1 [8 77]",
		},
		{
			name: "never verified", has: map[string][]mstrapi.PrivilegeID{"u1": {8}}, plan: []string{"u1 +3 -8"},
			faults: map[string][]patchFault{"u1": {doneUnreadable}}, since: func(f *fake) { clear(f.unreadable) },
			want: "u1 +8 -3; u1 changed-since warning; u1 changed-since warning",
		},
		{
			name: "unreadable now", plan: []string{"u1 +3", "u2 +4"}, since: func(f *fake) { f.unreadable[oid("u1")] = errors.New("no") },
			want: "u2 -4; u1 read-failed error", again: "u1 [3]; u2 []",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				for short, ids := range tt.has {
					f.has(short, ids...)
				}
				if tt.in != "" {
					f.parents[oid("u1")] = []mstrapi.ObjectID{oid(tt.in)}
				}
				before := maps.Clone(f.direct)
				plan := f.plan(tt.plan...)
				for short, list := range tt.faults {
					f.faults[oid(short)] = list
				}
				report := Apply(t.Context(), f, plan, Options{Concurrency: 1})
				f.faults = map[mstrapi.ObjectID][]patchFault{}
				if tt.since != nil {
					tt.since(f)
				}
				undo, err := Rollback(t.Context(), f, report, RollbackOptions{Impact: func(context.Context, mstrapi.ObjectID) (int, error) { return 12, nil }})
				if err != nil {
					t.Fatal(err)
				}
				if got := plansketch(undo); got != tt.want {
					t.Errorf("Rollback = %s\nwant       %s", got, tt.want)
				}
				if undo.Complete == strings.Contains(tt.want, "read-failed") {
					t.Errorf("complete = %v", undo.Complete)
				}
				for _, c := range undo.Changes {
					if (c.Principal.Kind == mstrapi.Group) != (c.Impact.Members == 12) {
						t.Errorf("impact of %s = %d", name(c.Principal.ID), c.Impact.Members)
					}
				}
				r := Apply(t.Context(), f, undo, Options{AllowIncomplete: true})
				for _, p := range r.Principals {
					if p.Outcome != Applied {
						t.Errorf("%s %s", name(p.Principal.ID), p.Outcome)
					}
				}
				var got, want []string
				for _, p := range report.Principals {
					id := p.Principal.ID
					if !f.direct[id].Equal(before[id]) {
						got = append(got, name(id)+" "+strings.Trim(sketchSet(f.direct[id]), "{}"))
					}
				}
				if tt.again != "" {
					want = strings.Split(strings.TrimSuffix(tt.again, "; u2 []"), "; ")
				}
				if !slices.Equal(got, want) {
					t.Errorf("after the rollback %v differ, want %v", got, want)
				}
			})
		})
	}
}

func sketchSet(s planner.Set) string {
	var b []string
	for id := range s.All() {
		b = append(b, id.String())
	}
	return "[" + strings.Join(b, " ") + "]"
}

func TestRollbackRefuses(t *testing.T) {
	f := newFake()
	if _, err := Rollback(t.Context(), f, &Report{Run: Run{Command: "audit"}}, RollbackOptions{}); err == nil {
		t.Error("an audit was rolled back")
	}
	if _, err := Rollback(t.Context(), f, &Report{Run: Run{Command: "apply", Outcome: RunRefused}}, RollbackOptions{}); err == nil {
		t.Error("a refused run was rolled back")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Rollback(ctx, f, &Report{Run: Run{Command: "apply"}, Principals: []Result{{Outcome: Applied, Granted: []mstrapi.PrivilegeID{1}}}}, RollbackOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Rollback with a done context = %v", err)
	}
}

// TestRollbackRestores: after any apply without interference the rollback of its
// report restores the direct grants exactly.
func TestRollbackRestores(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f, plan := drawServer(rt)
		for id, list := range f.faults {
			f.faults[id] = slices.DeleteFunc(list, func(p patchFault) bool {
				return p == otherAdmin || p == doneUnreadable || p == lostUnreadable
			})
		}
		before := maps.Clone(f.direct)
		var problem string
		synctest.Test(t, func(t *testing.T) {
			for i := range plan.Changes {
				plan.Changes[i].ObservedAt = time.Now()
			}
			report := Apply(t.Context(), f, plan, Options{MaxAttempts: 2})
			f.faults = map[mstrapi.ObjectID][]patchFault{}
			undo, err := Rollback(t.Context(), f, report, RollbackOptions{})
			if err != nil {
				problem = err.Error()
				return
			}
			r := Apply(t.Context(), f, undo, Options{})
			for id := range before {
				if !before[id].Equal(f.direct[id]) {
					problem = sketch(report) + "\nthen " + plansketch(undo) + "\nthen " + sketch(r) + "\nbut " + name(id) + " has " + sketchSet(f.direct[id]) + ", had " + sketchSet(before[id])
				}
			}
		})
		if problem != "" {
			rt.Fatal(problem)
		}
	})
}

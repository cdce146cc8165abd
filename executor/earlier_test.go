package executor

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/planner"
)

// sealed returns the plan as it is saved.
func sealed(t *testing.T, plan *planner.Plan) *planner.Plan {
	t.Helper()
	plan.CreatedAt = time.Now()
	if err := plan.Seal(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestAPlanCutAnywhereIsContinued lets a run die, or be refused and lied to, at every
// write, and applies the saved plan again: its own writes are not stale, what
// is left is done, and nothing is done twice.
func TestAPlanCutAnywhereIsContinued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, plan := crashServer()
		plan.Commands = nil
		sealed(t, plan)
		moments, _, base := film(t, f, plan, Options{Saved: true})
		between := 0
		for i, m := range moments {
			dir := crash(t, f, m, m.journal, base)
			dead, err := NewFolder(dir).FindOpen(t.Context(), nil)
			if err != nil || len(dead) != 1 {
				t.Fatalf("FindOpen = %v, %v", dead, err)
			}
			dead[0].Destination = Destination{Dir: ReportsDir(dir)}
			if _, _, err := Recover(t.Context(), f, dead[0], RecoverOptions{}); err != nil {
				t.Fatal(err)
			}
			earlier, err := NewFolder(dir).Earlier(t.Context(), Destination{}, plan, only(plan.Environment.URL))
			if err != nil {
				t.Fatal(err)
			}
			if begun := len(m.log) > 0; begun && earlier.Last.ID != "run-1" {
				t.Errorf("moment %d: the run that began the plan is not found", i)
			}
			granted := f.direct[oid("g1")].Has(2)
			f.log = nil
			r := Apply(t.Context(), f, plan, Options{RunID: "again", Saved: true, Earlier: earlier})
			for j := range r.Principals {
				p := &r.Principals[j]
				if p.Outcome != Applied && p.Outcome != InSync {
					t.Errorf("moment %d: %s is %s: %+v", i, name(p.Principal.ID), p.Outcome, p.Error)
				}
				target := plan.Changes[j].Observed.Direct.Union(planned(p.Grant)).Minus(planned(p.Revoke))
				if now := f.sets(p.Principal.ID).Direct; !now.Equal(target) {
					t.Errorf("moment %d: %s holds %v, planned %v", i, name(p.Principal.ID), now.IDs(), target.IDs())
				}
			}
			for _, wrong := range truthful(f, r) {
				t.Errorf("moment %d: %s", i, wrong)
			}
			again := strings.Contains(strings.Join(f.log, "\n"), "PATCH g1 +[2]")
			switch {
			case granted && again:
				t.Errorf("moment %d: the grant on g1 is sent a second time", i)
			case granted && of(t, r, "g1").Outcome == Applied:
				between++
			}
		}
		if between == 0 {
			t.Error("no run died between the waves of a group")
		}
	})
}

// TestAPlanIsNotCarriedOutAgain applies a plan, takes back what it did, and applies it
// again.
func TestAPlanIsNotCarriedOutAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		run := func(f *fake, plan *planner.Plan, id string, dest Destination, earlier *Earlier) *Report {
			t.Helper()
			time.Sleep(time.Minute)
			o := Options{RunID: id, Saved: true, Earlier: earlier, StartedAt: time.Now()}
			j, err := NewFolder(dir).OpenJournal(t.Context(), plan, o, dest)
			if err != nil {
				t.Fatal(err)
			}
			o.Journal = j
			r := Apply(t.Context(), f, plan, o)
			if _, err := r.Deliver(t.Context(), dest, nil); err != nil {
				t.Fatal(err)
			}
			if err := j.Close(time.Now()); err != nil {
				t.Fatal(err)
			}
			return r
		}
		look := func(plan *planner.Plan, state string, dest Destination) *Earlier {
			t.Helper()
			e, err := NewFolder(state).Earlier(t.Context(), dest, plan, only(plan.Environment.URL))
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		f := newFake()
		f.has("u1", 8)
		f.has("u2", 9)
		plan := sealed(t, f.plan("u1 +3 -8", "u2 -9"))
		reports := Destination{Dir: filepath.Join(dir, "kept")}
		if e := look(plan, dir, reports); e.Last.ID != "" {
			t.Errorf("before the first run: %+v", e)
		}
		done := run(f, plan, "first", reports, nil)

		// By another's hand: the one principal is left alone.
		was := f.direct[oid("u1")]
		f.has("u1", 8)
		f.has("u2", 9)
		f.direct[oid("u2")] = planner.SetOf()
		e := look(plan, dir, Destination{})
		if w := e.Writes[oid("u1")]; w == nil || w.Run.ID != "first" || !w.Reverted.IsEmpty() || !w.TakenBack(f.direct[oid("u1")]).Equal(planner.SetOf(3, 8)) {
			t.Errorf("earlier writes to u1: %+v", w)
		}
		if got, want := sketch(Apply(t.Context(), f, plan, Options{Saved: true, Earlier: e})), "u1 stale"; !strings.Contains(got, want) || !strings.Contains(got, "u2 in-sync") {
			t.Errorf("after another took it back: %s", got)
		}
		f.direct[oid("u1")] = was

		// By a rollback, then undone by a rollback of that.
		undo, err := Rollback(t.Context(), f, done, RollbackOptions{})
		if err != nil {
			t.Fatal(err)
		}
		undone := run(f, undo, "second", reports, nil)
		for _, state := range []string{dir, t.TempDir()} { // by journals or by reports alone
			w := look(plan, state, reports).Writes[oid("u1")]
			if w == nil || w.Run.ID != "first" || w.RevertedBy.ID != "second" || !w.Reverted.Equal(planner.SetOf(3, 8)) {
				t.Errorf("after the rollback: %+v", w)
			}
		}
		redo, err := Rollback(t.Context(), f, undone, RollbackOptions{})
		if err != nil {
			t.Fatal(err)
		}
		run(f, redo, "third", reports, nil)
		if w := look(plan, dir, reports).Writes[oid("u1")]; w == nil || !w.Reverted.IsEmpty() {
			t.Errorf("after the rollback was rolled back: %+v", w)
		}
		if w := look(undo, dir, reports).Writes[oid("u1")]; w == nil || w.RevertedBy.ID != "third" {
			t.Errorf("the rollback's own plan: %+v", w)
		}
		// Another server, another plan.
		other := *plan
		other.Environment.URL = "https://other.example.com"
		if e := look(&other, dir, reports); e.Last.ID != "" {
			t.Errorf("runs of another server count: %+v", e)
		}
		if e := look(sealed(t, f.plan("u1 +77")), dir, reports); e.Last.ID != "" {
			t.Errorf("runs of another plan count: %+v", e)
		}
	})
}

package executor_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
)

// managerID is the number of [mstrtest.UserManagerName] in random catalogues.
const managerID mstrapi.PrivilegeID = 50

// caseChunk is how many cases one rapid.Check runs.
const caseChunk = 100

// TestEndToEnd is the whole job on random servers with random policies, through
// the client, in both styles of naming sources: a plan only reads, both styles
// give the same plan, an apply does what the policy says and nothing else,
// nobody loses anything in passing, the report is true, and a second plan is
// empty. PRIVSYNC_CASES is how many cases there are.
func TestEndToEnd(t *testing.T) {
	var ran, deep, refused, changed, writes atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for chunk := range (caseCount(t, "PRIVSYNC_CASES", 200) + caseChunk - 1) / caseChunk {
			t.Run(fmt.Sprint(chunk), func(t *testing.T) {
				t.Parallel()
				rapid.Check(t, func(t *rapid.T) {
					rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
					w, err := newWorld(rng, worldOptions{limits: true, size: mstrtest.Size{
						Users:      rapid.IntRange(1, 14).Draw(t, "users"),
						Groups:     rapid.SampledFrom([]int{1, 3, 6, 8, 11}).Draw(t, "groups"),
						Privileges: rapid.IntRange(4, 20).Draw(t, "privileges"),
						Depth:      rapid.IntRange(1, 8).Draw(t, "depth"),
					}})
					if err != nil {
						t.Fatalf("policy: %v\n%s", err, w.text)
					}
					e := &journey{world: w, t: t, rng: rng}
					e.run()
					ran.Add(1)
					if w.depth > 5 {
						deep.Add(1)
					}
					if e.refused {
						refused.Add(1)
					}
					changed.Add(int64(e.changed))
					writes.Add(int64(e.writes))
				})
			})
		}
	})
	t.Logf("%d cases, %d with groups nested deeper than 5, %d refused by a guard; %d principals changed with %d requests",
		ran.Load(), deep.Load(), refused.Load(), changed.Load(), writes.Load())
	if ran.Load() >= caseChunk && (deep.Load() < ran.Load()/10 || refused.Load() == 0 || changed.Load() < ran.Load()) {
		t.Error("the cases do not reach what they are for")
	}
}

// journey is one case.
type journey struct {
	*world
	t   *rapid.T
	rng *rand.Rand

	refused         bool
	changed, writes int
}

func (j *journey) run() {
	t := j.t
	concurrency := rapid.IntRange(1, 6).Draw(t, "concurrency")
	o := mstrtest.Options{PageCap: rapid.SampledFrom([]int{0, 1, 2, 5}).Draw(t, "page cap")}
	o.Quirks.WholeRows = rapid.Bool().Draw(t, "whole rows")
	o.Quirks.FlatIgnored = rapid.Bool().Draw(t, "flat ignored")
	saved := rapid.Bool().Draw(t, "saved")
	var plans [2]string
	for _, style := range []mstrtest.SourceStyle{mstrtest.Holder, mstrtest.Parent} {
		o.SourceStyle = style
		sim := j.serve(o)
		defer sim.Close()
		plan := j.look(sim, concurrency)
		plans[style] = indented(withoutEffects(plan))
		j.act(sim, plan, planBytes(t, plan), concurrency, saved)
		if t.Failed() {
			t.Fatalf("policy:\n%s\nserver:\n%s", j.text, j.serve(o).Dump())
		}
	}
	if diff := cmp.Diff(plans[mstrtest.Holder], plans[mstrtest.Parent]); diff != "" {
		t.Fatalf("plans differ (-holder +parent):\n%s\npolicy:\n%s", diff, j.text)
	}
}

// withoutEffects returns the plan without what its changes come to for users: how much
// of that is known depends on which groups the server names, holders or parents, and
// on what was read.
func withoutEffects(plan *planner.Plan) *planner.Plan {
	bare := *plan
	bare.Changes, bare.Summary.Impact, bare.Digest = slices.Clone(plan.Changes), nil, ""
	for i := range bare.Changes {
		c := &bare.Changes[i]
		c.Impact.Effect = nil
		c.Grant, c.Revoke = slices.Clone(c.Grant), slices.Clone(c.Revoke)
		for _, list := range [][]planner.PlannedPrivilege{c.Grant, c.Revoke} {
			for k := range list {
				list[k].Impact = nil
			}
		}
	}
	return &bare
}

// look plans with a client that can only read, and checks that it only reads.
func (j *journey) look(sim *mstrtest.Server, concurrency int) *planner.Plan {
	t := j.t
	from := len(sim.Log())
	r, err := mstrapi.OpenReader(t.Context(), config(sim))
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	_, plan, err := j.plan(t.Context(), r, concurrency)
	if err != nil {
		t.Fatalf("plan: %v\n%s", err, j.text)
	}
	if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("logout: %v", err)
	}
	if len(plan.Blocking()) > 0 || !plan.Complete {
		t.Fatalf("findings stop the plan: %+v\n%s", plan.Findings, j.text)
	}
	for _, q := range sim.Log()[from:] {
		if q.Method != "GET" && q.Endpoint != mstrtest.Login && q.Endpoint != mstrtest.Logout {
			t.Errorf("planning sent %s %s", q.Method, q.Path)
		}
	}
	if n := sim.OpenSessions(); n != 0 {
		t.Errorf("%d sessions are open after planning", n)
	}
	return plan
}

// act applies the plan, or is refused, and checks everything.
func (j *journey) act(sim *mstrtest.Server, plan *planner.Plan, text []byte, concurrency int, saved bool) {
	t := j.t
	if saved {
		var err error
		if plan, err = planner.ReadPlan(bytes.NewReader(text)); err != nil {
			t.Fatalf("reading the plan: %v", err)
		}
	}
	j.checkLimits(plan)
	before := j.direct(sim)
	from := len(sim.Log())
	w, err := mstrapi.OpenWriter(t.Context(), config(sim))
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	guards := planner.Guards(plan, planner.Overrides{})
	r := executor.Apply(t.Context(), w, plan, executor.Options{
		RunID: "run", Concurrency: concurrency, Saved: saved, Guards: guards, Stats: w.Stats,
	})
	if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("logout: %v", err)
	}
	log := sim.Log()[from:]
	reportBytes(t, r)
	for _, wrong := range j.lies(sim, r, before, log, doing{}) {
		t.Error(wrong)
	}
	for _, wrong := range j.trespasses(sim, before, nil) {
		t.Error(wrong)
	}
	if sent := r.Summary.Requests + 1; sent != int64(len(log)) { // and the logout
		t.Errorf("%d requests by the report, the server saw %d", sent, len(log))
	}
	if n := sim.OpenSessions(); n != 0 {
		t.Errorf("%d sessions are open", n)
	}
	writes := len(sim.Writes())
	if len(guards) > 0 {
		j.refused = true
		if r.Run.Outcome != executor.RunRefused || executor.ExitCode(r) != executor.ExitRefused || writes > 0 {
			t.Errorf("guards %v, and the run is %s with %d writes", guards, r.Run.Outcome, writes)
		}
		return
	}
	if lost := sim.LossesInPassing(nil); len(lost) > 0 {
		t.Errorf("lost in passing: %+v", lost)
	}
	if r.Summary.Applied != len(plan.Changes) {
		t.Errorf("%d of %d principals applied: %+v", r.Summary.Applied, len(plan.Changes), r.Summary)
	}
	if !slices.Contains(sim.Effective(plan.Actor.ID), managerID) {
		t.Error("the session's user has lost what it works with, and no guard stopped it")
	}
	for _, wrong := range j.unfulfilled(sim) {
		t.Error(wrong)
	}
	j.changed += len(plan.Changes)
	j.writes += writes

	again := j.look(sim, concurrency)
	if len(again.Changes) > 0 {
		t.Errorf("a second plan changes %+v", again.Changes)
	}
	mendable := true
	for _, f := range again.Findings {
		mendable = mendable && f.Code != planner.CodeInheritedForbidden
	}
	if again.Drift() == mendable {
		t.Errorf("drift is %v after an apply: %+v", again.Drift(), again.Findings)
	}
	if want := map[bool]executor.RunOutcome{true: executor.RunSucceeded, false: executor.RunPartial}[mendable]; len(plan.Changes) > 0 && r.Run.Outcome != want {
		t.Errorf("the run is %s, want %s", r.Run.Outcome, want)
	}

	// The same plan once more writes nothing.
	if !saved || len(plan.Changes) == 0 {
		return
	}
	if w, err = mstrapi.OpenWriter(t.Context(), config(sim)); err != nil {
		t.Fatalf("login: %v", err)
	}
	r = executor.Apply(t.Context(), w, plan, executor.Options{RunID: "again", Saved: true, Concurrency: concurrency})
	if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("logout: %v", err)
	}
	if n := len(sim.Writes()); n != writes || r.Summary.InSync != r.Summary.Principals || r.Summary.InSync < len(plan.Changes) {
		t.Errorf("the plan applied twice writes %d times more: %+v", n-writes, r.Summary)
	}
}

// checkLimits compares the guards with a count of what the plan does.
func (j *journey) checkLimits(plan *planner.Plan) {
	revokes, protected := 0, 0
	for _, c := range plan.Changes {
		revokes += len(c.Revoke)
		if w := j.wants[c.Principal.ID]; w != nil && w.protected {
			protected++
		}
	}
	over := make(map[string]bool)
	for _, g := range planner.Guards(plan, planner.Overrides{}) {
		over[g.Name] = true
	}
	direct := 0
	for id, held := range j.direct(j.serve(mstrtest.Options{})) {
		// An uncovered principal of `unlisted: revoke` is none that the policy covers.
		if w := j.wants[id]; w != nil && w.covered {
			direct += held.Intersect(j.scope).Len()
		}
	}
	if s := j.pol.Safety; s != nil && s.MaxRevokes != nil {
		limit := s.MaxRevokes.Number
		exceeded := revokes > limit
		if s.MaxRevokes.Percent {
			exceeded = revokes*100 > limit*direct
		}
		if over[planner.GuardMaxRevokes] != exceeded {
			j.t.Errorf("%d revokes of %d with a limit of %s: the guard says %v", revokes, direct, s.MaxRevokes, !exceeded)
		}
	}
	if s := j.pol.Safety; s != nil && s.MaxChangedPrincipals != nil {
		if exceeded := len(plan.Changes) > s.MaxChangedPrincipals.Number; over[planner.GuardMaxChangedPrincipals] != exceeded {
			j.t.Errorf("%d changes with a limit of %s: the guard says %v", len(plan.Changes), s.MaxChangedPrincipals, !exceeded)
		}
	}
	if over[planner.GuardProtected] != (protected > 0) {
		j.t.Errorf("%d protected principals change: the guard says %v", protected, !(protected > 0))
	}
}

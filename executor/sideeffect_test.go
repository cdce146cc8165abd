package executor_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
	"privsync/policy"
)

// TestNightsOfAGreedyServer: a server grants along what a privilege needs and
// revokes along what needs it, under any relation. A policy that declares the
// relation comes to rest after one run. One that does not may never come to rest,
// but then no two nights in a row say that all is done.
func TestNightsOfAGreedyServer(t *testing.T) {
	var rested, restless atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		w, err := newWorld(rng, worldOptions{size: mstrtest.Size{Users: 4, Groups: 4, Privileges: 10, Depth: 3}})
		if err != nil {
			t.Fatal(err)
		}
		n := &night{world: w, rng: rng}
		relation := n.relation()
		declared := rapid.Bool().Draw(t, "declared")
		if declared {
			w.declare(t, relation)
			if w.pol == nil {
				return // the policy forbids what it would have to list
			}
		}
		sim := w.serve(mstrtest.Options{})
		defer sim.Close()
		sim.SetSideEffects(relation)
		client, err := mstrapi.OpenWriter(t.Context(), config(sim))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close(context.WithoutCancel(t.Context()))
		var codes []int
		writes := 0
		for range 4 {
			state, plan, err := w.plan(t.Context(), client, 4)
			if err != nil {
				t.Fatal(err)
			}
			if len(plan.Blocking()) > 0 {
				return // a name in it contradicts the closure, which only the server tells
			}
			if len(plan.Changes) == 0 {
				rested.Add(1)
				break
			}
			if declared && len(codes) > 0 {
				t.Fatalf("the policy declares the relation, and a second plan changes %s\nrelation %+v\n%s", indented(plan.Changes), relation, w.text)
			}
			r := executor.Apply(t.Context(), client, plan, executor.Options{RunID: "r", VerifyTimeout: -1, InSync: executor.InSyncOf(state, plan), Guards: planner.Guards(plan, planner.Overrides{})})
			codes = append(codes, executor.ExitCode(r))
			writes += len(plan.Changes)
			if k := len(codes); k > 1 && codes[k-1] == 0 && codes[k-2] == 0 {
				t.Fatalf("two nights in a row write and say that all is done: %v\nrelation %+v\n%s", codes, relation, w.text)
			}
		}
		if len(codes) == 4 {
			restless.Add(1)
		}
	})
	t.Logf("%d came to rest, %d did not within four nights", rested.Load(), restless.Load())
	if !testing.Short() && (rested.Load() == 0 || restless.Load() == 0) {
		t.Error("the cases do not reach what they are for")
	}
}

// declare writes the relation into the policy; where the policy then contradicts
// itself there is none.
func (w *world) declare(t *rapid.T, relation []mstrtest.SideEffect) {
	var list []any
	for _, e := range relation {
		list = append(list, map[string]any{"privilege": e.Privilege, "needs": e.Needs})
	}
	if len(list) == 0 {
		return
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	w.text += "prerequisites: " + string(text) + "\n"
	w.pol, err = policy.Parse("random.yaml", []byte(w.text))
	if err != nil && !strings.Contains(err.Error(), "forbid") {
		t.Fatalf("%v\n%s", err, w.text)
	}
}

package executor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
	"privsync/policy"
	"privsync/schema"
)

const simURL = "http://127.0.0.1/MicroStrategyLibrary"

func openSim(t *testing.T, sim *mstrtest.Server, concurrency int) *mstrapi.Writer {
	t.Helper()
	w, err := mstrapi.OpenWriter(t.Context(), mstrapi.Config{
		URL: simURL, LoginMode: mstrapi.Standard, Username: mstrtest.ServiceLogin, Password: mstrtest.ServicePassword, Transport: sim.Transport(), Concurrency: concurrency,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// randomPolicy lists random privileges for most of the principals of env.
func randomPolicy(t *testing.T, rng *rand.Rand, env *mstrtest.Environment) *policy.Policy {
	t.Helper()
	var b strings.Builder
	b.WriteString("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: random, owner: test}\nprincipals:\n")
	entry := func(kind, name string, id mstrapi.ObjectID) {
		if rng.IntN(4) == 0 {
			return
		}
		quoted, _ := json.Marshal(name)
		fmt.Fprintf(&b, "  - %s: %s\n    id: %q\n    mode: %s\n    satisfiedBy: %s\n    privileges: [", kind, quoted, id,
			[]string{"additive", "authoritative"}[rng.IntN(2)], []string{"effective", "direct"}[rng.IntN(2)])
		sep := ""
		for _, p := range env.Catalogue {
			if !p.ProjectLevel && rng.IntN(4) == 0 {
				fmt.Fprintf(&b, "%s%d", sep, p.ID)
				sep = ", "
			}
		}
		b.WriteString("]\n")
		if sep == "" {
			// An entry that wants nothing is written for authoritative mode only.
			s := b.String()
			b.Reset()
			b.WriteString(s[:strings.LastIndex(s, "  - ")])
		}
	}
	for _, g := range env.Groups {
		entry("group", g.Name, g.ID)
	}
	for _, u := range env.Users {
		if u.Login != mstrtest.ServiceLogin {
			entry("user", u.Login, u.ID)
		}
	}
	pol, err := policy.Parse("random.yaml", []byte(b.String()))
	if err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	return pol
}

func makePlan(t *testing.T, w *mstrapi.Writer, pol *policy.Policy) (*planner.State, *planner.Plan) {
	t.Helper()
	state, err := planner.Observe(t.Context(), w, pol, planner.ObserveOptions{URL: w.URL(), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	plan := planner.Make(pol, state, planner.MakeOptions{Tool: planner.Tool{Name: "privsync", Version: "test"}})
	if err := plan.Seal(); err != nil {
		t.Fatal(err)
	}
	return state, plan
}

// simTruth returns what is wrong with the report, given the simulator's state.
func simTruth(sim *mstrtest.Server, r *Report) []string {
	var wrong []string
	for _, p := range r.Principals {
		truth := planner.SetOf(sim.Direct(p.Principal.ID)...)
		if p.After != nil && !truth.Intersect(planned(p.Grant).Union(planned(p.Revoke))).Equal(p.After.Direct.Intersect(planned(p.Grant).Union(planned(p.Revoke)))) {
			wrong = append(wrong, fmt.Sprintf("%s %s: after = %v, true is %v", p.Principal.ID, p.Outcome, p.After.Direct.IDs(), truth.IDs()))
		}
		if done := planned(p.Grant).Minus(truth).IsEmpty() && planned(p.Revoke).Intersect(truth).IsEmpty(); p.Outcome == Applied && !done {
			wrong = append(wrong, fmt.Sprintf("%s applied, but not all of it is there", p.Principal.ID))
		}
	}
	return wrong
}

// TestAgainstTheSimulator plans and applies random policies on random servers,
// first while every kind of fault strikes, then without any: every report is
// true and fits its schema, nobody loses anything in passing, and in the end
// nothing is left to do.
func TestAgainstTheSimulator(t *testing.T) {
	faults := []mstrtest.Fault{
		{Kind: mstrtest.TooManyRequests, Rate: .1, RetryAfter: time.Second},
		{Kind: mstrtest.ServerError, Rate: .1, Method: "PATCH", Processed: true},
		{Kind: mstrtest.Unavailable, Rate: .1},
		{Kind: mstrtest.ResetBefore, Rate: .1},
		{Kind: mstrtest.ResetAfter, Rate: .1},
		{Kind: mstrtest.CutJSON, Rate: .1},
		{Kind: mstrtest.ExpireSession, Rate: .1},
		{Kind: mstrtest.LyingWrite, Rate: .1},
		{Kind: mstrtest.Forbidden, Rate: .1, Method: "PATCH"},
		{Kind: mstrtest.Hang, Rate: .05},
	}
	ends := map[Outcome]int{} // under faults, over all seeds
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(seed, 1))
				env := mstrtest.Random(rng, mstrtest.Size{})
				sim := mstrtest.NewServer(env, mstrtest.Options{SourceStyle: mstrtest.SourceStyle(seed % 2)})
				defer sim.Close()
				w := openSim(t, sim, 4)
				pol := randomPolicy(t, rng, env)

				_, plan := makePlan(t, w, pol)
				for _, f := range faults {
					f.Seed = seed
					if err := sim.Inject(f); err != nil {
						t.Fatal(err)
					}
				}
				check := func(r *Report) {
					t.Helper()
					for _, wrong := range simTruth(sim, r) {
						t.Error(wrong)
					}
					validate(t, r)
				}
				stormy := Apply(t.Context(), w, plan, Options{Concurrency: 4, MaxAttempts: 3, RunID: "stormy", Stats: w.Stats})
				check(stormy)
				for _, p := range stormy.Principals {
					ends[p.Outcome]++
				}
				sim.ClearFaults()
				if bad := sim.LossesInPassing(sim.Snapshot()); len(bad) > 0 {
					t.Errorf("lost in passing: %v", bad)
				}

				sim.ResetLedger()
				state, plan := makePlan(t, w, pol)
				r := Apply(t.Context(), w, plan, Options{Concurrency: 4, RunID: "calm", Stats: w.Stats, InSync: InSyncOf(state, plan)})
				check(r)
				if r.Summary.Applied != len(plan.Changes) {
					t.Errorf("calm run: %s", sketch(r))
				}
				if bad := sim.LossesInPassing(sim.Snapshot()); len(bad) > 0 {
					t.Errorf("lost in passing: %v", bad)
				}
				covered := 0
				for range state.Principals() {
					covered++
				}
				if len(r.Principals) < covered {
					t.Errorf("the report lists %d principals, the policy covers %d", len(r.Principals), covered)
				}

				writes := len(sim.Writes())
				state, plan = makePlan(t, w, pol)
				if len(plan.Changes) > 0 {
					t.Errorf("a second plan changes %d principals", len(plan.Changes))
				}
				audited := Audit(state, plan, Options{RunID: "audit"})
				validate(t, audited)
				if audited.Summary.Drifted+audited.Summary.Unknown > 0 || audited.Summary.Principals != covered {
					t.Errorf("audit = %+v, covered %d", audited.Summary, covered)
				}
				for _, p := range audited.Principals {
					if want := sim.Effective(p.Principal.ID); p.After.Direct.Union(p.After.Inherited).Len() > len(want) || len(p.After.Sources) != p.After.Direct.Union(p.After.Inherited).Len() {
						t.Errorf("audit of %s: %v with %d sources, true is %v", p.Principal.ID, p.After.Direct.IDs(), len(p.After.Sources), want)
					}
				}

				// And back again.
				undo, err := Rollback(t.Context(), w, r, RollbackOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if len(sim.Writes()) != writes {
					t.Error("planning, auditing or making the rollback wrote")
				}
				check(Apply(t.Context(), w, undo, Options{RunID: "back"}))
				for _, p := range r.Principals {
					if got := planner.SetOf(sim.Direct(p.Principal.ID)...); p.Outcome == Applied && !got.Intersect(serverLevel(env)).Equal(p.Before.Direct) {
						t.Errorf("after the rollback %s has %v, had %v", p.Principal.ID, got.IDs(), p.Before.Direct.IDs())
					}
				}
				if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			})
		})
	}
	expectEnds(t, ends)
}

// expectEnds checks that the faults brought about what they are there for.
func expectEnds(t *testing.T, ends map[Outcome]int) {
	t.Helper()
	for _, o := range []Outcome{Applied, Failed, Unverified, HeldBack} {
		if ends[o] == 0 {
			t.Errorf("no principal ended as %s: %v", o, ends)
		}
	}
}

func serverLevel(env *mstrtest.Environment) planner.Set {
	var s planner.Set
	for _, p := range env.Catalogue {
		if !p.ProjectLevel {
			s.Add(p.ID)
		}
	}
	return s
}

// validate checks a report as it is written against its schema, and reads it
// back.
func validate(t *testing.T, r *Report) {
	t.Helper()
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate("report", doc); err != nil {
		t.Errorf("report: %v", err)
	}
	if _, err := ReadReport(&b); err != nil {
		t.Error(err)
	}
}

func TestEveryEndingFitsTheSchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, plan := crashServer()
		moments, _, base := film(t, f, plan, Options{})
		reports := []*Report{
			Refuse(nil, Options{RunID: "r"}, &Error{Code: CodeGuard, Message: "no"}),
			Refuse(plan, Options{RunID: "r", Guards: []planner.Guard{{Name: "maxRevokes", Message: "m"}}}, &Error{Code: CodeGuard, Message: "no"}),
			Apply(t.Context(), f, f.plan("u9 +1"), Options{RunID: "r"}),
			audit(slices.Values([]seen{auditedUser("u1", mstrapi.Held{ID: 2, Direct: true})}), f.plan(), Options{RunID: "r"}),
		}
		state := crash(t, f, moments[5], moments[5].journal, base)
		dead, err := NewFolder(state).FindOpen(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := dead[0].reconstruct(t.Context(), f, RecoverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range append(reports, r) {
			validate(t, r)
		}
	})
}

package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"privsync/mstrapi"
	"privsync/planner"
)

// drawServer makes a random server and a random plan for it, with scripted
// faults and other administrators at work.
func drawServer(rt *rapid.T) (*fake, *planner.Plan) {
	f := newFake()
	var names []string
	for i := range rapid.IntRange(0, 3).Draw(rt, "groups") {
		names = append(names, fmt.Sprintf("g%d", i))
	}
	for i := range rapid.IntRange(1, 4).Draw(rt, "users") {
		n := fmt.Sprintf("u%d", i)
		names = append(names, n)
		for _, g := range names {
			if g[0] == 'g' && rapid.Bool().Draw(rt, n+" in "+g) {
				f.parents[oid(n)] = append(f.parents[oid(n)], oid(g))
			}
		}
	}
	granters := map[mstrapi.PrivilegeID][]string{}
	type part struct{ grant, revoke []mstrapi.PrivilegeID }
	parts := map[string]*part{}
	for _, n := range names {
		f.has(n, foreign+1)
		parts[n] = new(part)
		for p := mstrapi.PrivilegeID(1); p <= 4; p++ {
			switch rapid.IntRange(0, 4).Draw(rt, fmt.Sprintf("%s %d", n, p)) {
			case 0: // revoke
				f.direct[oid(n)] = f.direct[oid(n)].Union(planner.SetOf(p))
				parts[n].revoke = append(parts[n].revoke, p)
			case 1: // grant
				parts[n].grant = append(parts[n].grant, p)
				granters[p] = append(granters[p], n)
			case 2: // keep
				f.direct[oid(n)] = f.direct[oid(n)].Union(planner.SetOf(p))
			}
		}
	}
	var specs []string
	for _, n := range names {
		var b strings.Builder
		b.WriteString(n)
		for _, p := range parts[n].grant {
			fmt.Fprintf(&b, " +%d", p)
		}
		for _, p := range parts[n].revoke {
			fmt.Fprintf(&b, " -%d", p)
			if g := granters[p]; len(g) > 0 && rapid.Bool().Draw(rt, "relies") {
				fmt.Fprintf(&b, "<%s", strings.Join(g, ","))
			}
		}
		if len(parts[n].grant)+len(parts[n].revoke) > 0 {
			specs = append(specs, b.String())
		}
		for range rapid.IntRange(0, 4).Draw(rt, "faulty writes") {
			fault := patchFault(rapid.IntRange(0, int(patchFaults)-1).Draw(rt, "fault"))
			f.faults[oid(n)] = append(f.faults[oid(n)], fault)
		}
	}
	return f, f.plan(specs...)
}

// TestReportsAreTrue draws servers, plans, faults and interruptions: whatever
// happens, every line of the report matches the server, no revoke was done
// before what it relies on, and a run without faults finishes the work.
func TestReportsAreTrue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f, plan := drawServer(rt)
		o := Options{
			Concurrency: rapid.IntRange(1, 4).Draw(rt, "concurrency"),
			MaxAttempts: rapid.IntRange(1, 3).Draw(rt, "attempts"),
			Saved:       rapid.Bool().Draw(rt, "saved"),
		}
		stopAt := rapid.IntRange(0, 12).Draw(rt, "stop at write") // 0: never
		hard := rapid.Bool().Draw(rt, "hard")
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			for i := range plan.Changes {
				plan.Changes[i].ObservedAt = time.Now()
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stop, stopNow := context.WithCancel(t.Context())
			defer stopNow()
			o.Stop = stop
			writes := 0
			f.patch = func(id mstrapi.ObjectID, done bool) {
				if done {
					problems = append(problems, brokenPromises(f, plan, id)...)
				}
				if writes++; writes == stopAt {
					if hard {
						cancel()
					} else {
						stopNow()
					}
				}
			}
			r := Apply(ctx, f, plan, o)
			problems = append(problems, truthful(f, r)...)
			if len(r.Principals) != len(plan.Changes) {
				problems = append(problems, fmt.Sprintf("%d results for %d changes", len(r.Principals), len(plan.Changes)))
			}
			if text, err := json.Marshal(r); err != nil || len(text) == 0 {
				problems = append(problems, fmt.Sprint("report is not JSON: ", err))
			}

			// Without faults a new plan for what is left comes to its end.
			f.faults, f.patch, f.log = map[mstrapi.ObjectID][]patchFault{}, nil, nil
			f.unreadable, f.stale = map[mstrapi.ObjectID]error{}, map[mstrapi.ObjectID]planner.Set{}
			rest := f.replan(plan)
			if r := Apply(t.Context(), f, rest, Options{}); r.Run.Outcome != RunSucceeded && r.Run.Outcome != RunInSync {
				problems = append(problems, "a run without faults ends with "+sketch(r))
			} else {
				problems = append(problems, truthful(f, r)...)
			}
		})
		if len(problems) > 0 {
			rt.Fatalf("%s", strings.Join(problems, "\n"))
		}
	})
}

// brokenPromises is called with f locked, after a write to id: a planned revoke
// that is done although a grant it relies on is not there.
func brokenPromises(f *fake, plan *planner.Plan, id mstrapi.ObjectID) []string {
	var out []string
	for _, c := range plan.Changes {
		if c.Principal.ID != id {
			continue
		}
		for _, p := range c.Revoke {
			if f.direct[id].Has(p.ID) {
				continue
			}
			for _, on := range p.ReliesOn {
				if !f.direct[on].Has(p.ID) {
					out = append(out, fmt.Sprintf("%s lost %d before %s had it", name(id), p.ID, name(on)))
				}
			}
		}
	}
	return out
}

// replan is what a planner would make of the same wishes now: user revokes that
// rely on users, or on groups that the user is not in, are dropped from the
// relation, as a planner never makes them.
func (f *fake) replan(old *planner.Plan) *planner.Plan {
	plan := f.plan()
	granted := map[mstrapi.ObjectID]planner.Set{}
	for _, c := range old.Changes {
		s := f.sets(c.Principal.ID)
		n := planner.Change{Principal: c.Principal, ObservedAt: time.Now(), Observed: planner.ObservedSets(struct{ Direct, Inherited planner.Set }{s.Direct, s.Inherited})}
		for _, p := range c.Grant {
			if !s.Direct.Has(p.ID) {
				n.Grant = append(n.Grant, p)
			}
		}
		granted[c.Principal.ID] = planned(n.Grant)
		for _, p := range c.Revoke {
			if s.Direct.Has(p.ID) {
				n.Revoke = append(n.Revoke, p)
			}
		}
		if len(n.Grant)+len(n.Revoke) > 0 {
			plan.Changes = append(plan.Changes, n)
		}
	}
	for i := range plan.Changes {
		c := &plan.Changes[i]
		for k := range c.Revoke {
			var on []mstrapi.ObjectID
			for _, id := range c.Revoke[k].ReliesOn {
				user := f.kind[id] == mstrapi.User
				below := c.Principal.Kind == mstrapi.Group || slices.Contains(f.parents[c.Principal.ID], id)
				if granted[id].Has(c.Revoke[k].ID) && !(user && c.Principal.Kind == mstrapi.User) && below {
					on = append(on, id)
				}
			}
			c.Revoke[k].ReliesOn = on
		}
	}
	return plan
}

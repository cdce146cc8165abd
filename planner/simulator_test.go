package planner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/policy"
)

// open logs a real client in to a simulated server.
func open(t *testing.T, s *mstrtest.Server) *mstrapi.Writer {
	t.Helper()
	w, err := mstrapi.OpenWriter(t.Context(), mstrapi.Config{
		URL: "https://server.example" + s.PathPrefix(), LoginMode: mstrapi.Standard,
		Username: mstrtest.ServiceLogin, Password: mstrtest.ServicePassword, Transport: s.Transport(),
	})
	if err != nil {
		t.Fatalf("OpenWriter() error: %v", err)
	}
	t.Cleanup(func() {
		if err := w.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Errorf("Close() error: %v", err)
		}
	})
	return w
}

// randomPolicy names principals of the environment as a person would.
func randomPolicy(rng *rand.Rand, env *mstrtest.Environment) *policy.Policy {
	var server []mstrapi.PrivilegeID
	for _, p := range env.Catalogue {
		if !p.ProjectLevel && p.Name != ManagerPrivilege {
			server = append(server, p.ID)
		}
	}
	pick := func(most int) []mstrapi.PrivilegeID {
		list := slices.Clone(server)
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:rng.IntN(most+1)]
	}
	fill := func(e *policy.Entry) {
		listedIDs := pick(6)
		for _, p := range listedIDs {
			l := listed(p)
			if rng.IntN(6) == 0 {
				l = until(p, testNow().AddDate(0, 0, -2))
			}
			e.Listed = policy.ListOf(append(e.Listed.Items(), l)...)
		}
		for _, p := range pick(3) {
			if !slices.Contains(listedIDs, p) {
				e.Forbid = append(e.Forbid, policy.Listed{Ref: policy.Ref{ID: int(p)}})
			}
		}
		e.Settings.Mode = []policy.Mode{policy.Additive, policy.Authoritative}[rng.IntN(2)]
		if e.Listed.Len()+len(e.Forbid) == 0 && e.Settings.Mode == policy.Additive {
			e.Forbid = []policy.Listed{listed(server[0])} // an additive entry wants something
		}
		if rng.IntN(3) == 0 {
			e.Settings.SatisfiedBy = policy.Direct
		} else if rng.IntN(2) == 0 {
			e.Settings.Redundant = policy.RedundantRevoke
		}
	}
	pol := sketch()
	for _, g := range env.Groups {
		if rng.IntN(2) == 0 {
			e := entry(policy.Group, g.Name, "")
			fill(&e)
			pol.Principals = append(pol.Principals, e)
		}
	}
	for _, u := range env.Users {
		if u.Login == mstrtest.ServiceLogin || rng.IntN(2) == 0 {
			continue
		}
		e := entry(policy.User, strings.ToUpper(u.Login), "")
		if !strings.EqualFold(e.Principal.Name, u.Login) {
			e.Principal.Name = u.Login
		}
		fill(&e)
		pol.Principals = append(pol.Principals, e)
	}
	if rng.IntN(2) == 0 {
		pol.Rules = []policy.Rule{{Name: "some", Require: []policy.Ref{{ID: int(server[0])}}, AtLeast: 1 + rng.IntN(4)}}
	}
	return parsed(pol)
}

// TestSimulator plans and applies over the wire: a plan sends nothing but reads,
// both styles of sources give the same plan, the order of the waves takes
// nothing away in passing, and a second plan is empty.
func TestSimulator(t *testing.T) {
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 1))
		env := mstrtest.Random(rng, mstrtest.Size{Users: 16, Groups: 9, Privileges: 12})
		pol := randomPolicy(rng, env)
		quirks := mstrtest.Quirks{WholeRows: rng.IntN(3) > 0, NoCount: rng.IntN(4) == 0, EmptyUserList: rng.IntN(4) == 0}
		if rng.IntN(2) == 0 {
			quirks.FlatIgnored = true
		}
		pages := 0
		if !quirks.FlatIgnored {
			pages = []int{0, 3}[rng.IntN(2)]
		}
		var plans []*Plan
		for _, style := range []mstrtest.SourceStyle{mstrtest.Holder, mstrtest.Parent} {
			s := mstrtest.NewServer(env, mstrtest.Options{SourceStyle: style, Quirks: quirks, PageCap: pages})
			t.Cleanup(s.Close)
			w := open(t, s)
			plan := planFor(t, w, pol)
			if !plan.Complete || len(plan.Blocking()) > 0 && !onlyConflicts(plan) {
				t.Fatalf("seed %d: findings = %v", seed, plan.Findings)
			}
			for _, r := range s.Log() {
				if r.Method != "GET" && r.Endpoint != mstrtest.Login {
					t.Fatalf("seed %d: planning sent %s %s", seed, r.Method, r.Path)
				}
			}
			plans = append(plans, plan)
			applyOverWire(t, w, plan)
			if lost := s.LossesInPassing(s.Snapshot()); len(lost) > 0 {
				t.Errorf("seed %d style %v: lost in passing: %v", seed, style, lost)
			}
			if again := planFor(t, w, pol); len(again.Changes) > 0 {
				t.Errorf("seed %d style %v: second plan = %+v, want nothing", seed, style, again.Changes)
			}
		}
		if err := levelEffects(plans[0], plans[1]); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for _, plan := range plans {
			if err := plan.Seal(); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(string(written(t, plans[0])), string(written(t, plans[1]))); diff != "" {
			t.Errorf("seed %d: plans differ between the styles:\n%s", seed, diff)
		}
	}
}

func onlyConflicts(plan *Plan) bool {
	for _, f := range plan.Blocking() {
		if f.Code != CodeConflictingEntries {
			return false
		}
	}
	return true
}

// applyOverWire sends the three waves of a plan.
func applyOverWire(t *testing.T, w *mstrapi.Writer, plan *Plan) {
	t.Helper()
	patch := func(c *Change, add, remove bool) {
		var p mstrapi.PrivilegePatch
		if add {
			p.Add = setOfPlanned(c.Grant).IDs()
		}
		if remove {
			p.Remove = setOfPlanned(c.Revoke).IDs()
		}
		if len(p.Add)+len(p.Remove) == 0 {
			return
		}
		if err := w.PatchPrivileges(t.Context(), c.Principal.Kind, c.Principal.ID, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, wave := range []func(*Change){
		func(c *Change) {
			if c.Principal.Kind == mstrapi.Group {
				patch(c, true, false)
			}
		},
		func(c *Change) {
			if c.Principal.Kind == mstrapi.User {
				patch(c, true, true)
			}
		},
		func(c *Change) {
			if c.Principal.Kind == mstrapi.Group {
				patch(c, false, true)
			}
		},
	} {
		for i := range plan.Changes {
			wave(&plan.Changes[i])
		}
	}
}

// TestConstantRequests: what does not depend on the policy is at most twelve
// requests, login and logout included.
func TestConstantRequests(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	s := mstrtest.NewServer(mstrtest.Random(rng, mstrtest.Size{Users: 40, Groups: 8}), mstrtest.Options{PageCap: 5})
	t.Cleanup(s.Close)
	w := open(t, s)
	env := s.Environment()
	var entries []policy.Entry
	for _, u := range env.Users[:3] {
		entries = append(entries, entry(policy.User, u.Login, policy.Additive, listed(u.Privileges[0])))
	}
	entries = append(entries, entry(policy.Group, env.Groups[0].Name, policy.Additive, listed(env.Groups[0].Privileges[0])))
	planFor(t, w, policyOf(entries...))
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	names, reads := len(entries), len(entries)
	if constant := int(s.Requests()) - names - reads; constant > 12 {
		t.Errorf("constant requests = %d, want at most 12: %s", constant, fmt.Sprint(s.Counts()))
	}
}

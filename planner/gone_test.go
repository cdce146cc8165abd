package planner

import (
	"math/rand/v2"
	"slices"
	"testing"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/policy"
)

// TestGone plans on servers whose lists and groups name users and groups that
// are not there: they are told, everybody else is decided about as without them.
func TestGone(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 13))
		env := mstrtest.Random(rng, mstrtest.Size{Users: 14, Groups: 7, Privileges: 12})
		pol := randomPolicy(rng, env)
		pol.Principals = slices.DeleteFunc(pol.Principals, func(e policy.Entry) bool { return rng.IntN(3) == 0 })
		pol.Principals = append(pol.Principals, policy.Entry{
			Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "*"}}, Settings: policy.Settings{Mode: policy.Additive},
			Forbid: []policy.Listed{{Ref: policy.Ref{ID: int(env.Catalogue[0].ID)}}},
		})
		pol = parsed(pol)
		var ghosts []mstrapi.ObjectID
		for _, u := range env.Users {
			if u.Login != mstrtest.ServiceLogin && rng.IntN(4) == 0 {
				ghosts = append(ghosts, u.ID)
			}
		}
		s := mstrtest.NewServer(env, mstrtest.Options{Quirks: mstrtest.Quirks{Ghosts: ghosts, EmptyUserList: seed%4 == 0, WholeRows: seed%3 == 0}})
		t.Cleanup(s.Close)
		plan := planFor(t, open(t, s), pol)
		if !plan.Complete {
			t.Fatalf("seed %d: the plan is incomplete: %+v", seed, plan.Findings)
		}
		told := make(map[mstrapi.ObjectID]bool)
		for _, f := range plan.Findings {
			if f.Code == CodeGonePrincipal {
				told[f.Principal.ID] = true
				if f.Severity != SeverityInfo {
					t.Errorf("seed %d: severity %s, want info", seed, f.Severity)
				}
			}
		}
		for _, id := range ghosts {
			if !told[id] {
				t.Errorf("seed %d: ghost %s is not told", seed, id)
			}
			if slices.ContainsFunc(plan.Changes, func(c Change) bool { return c.Principal.ID == id }) {
				t.Errorf("seed %d: a change for ghost %s", seed, id)
			}
		}
		if len(told) != len(ghosts) {
			t.Errorf("seed %d: %d told to be gone, want %d", seed, len(told), len(ghosts))
		}
	}
}

// TestGoneGroups puts a ghost among the groups that a selector goes through.
func TestGoneGroups(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 14))
	env := mstrtest.Random(rng, mstrtest.Size{Users: 6, Groups: 3, Privileges: 6})
	above, below, user := &env.Groups[1], &env.Groups[2], &env.Users[1]
	for i := range env.Groups {
		env.Groups[i].Groups = nil
	}
	for i := range env.Users {
		env.Users[i].Groups = nil
	}
	below.Groups = []mstrapi.ObjectID{above.ID}
	user.Groups = []mstrapi.ObjectID{above.ID}
	s := mstrtest.NewServer(env, mstrtest.Options{Quirks: mstrtest.Quirks{Ghosts: []mstrapi.ObjectID{below.ID}, FlatIgnored: true}})
	t.Cleanup(s.Close)
	pol := policyOf(policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: above.Name, Nested: true}}, Listed: policy.ListOf(listed(env.Catalogue[0].ID))})
	plan := planFor(t, open(t, s), pol)
	if !plan.Complete || plan.Summary.Principals != 1 {
		t.Errorf("complete %v, %d principals, want one: %+v", plan.Complete, plan.Summary.Principals, plan.Findings)
	}
	if !slices.ContainsFunc(plan.Findings, func(f Finding) bool { return f.Code == CodeGonePrincipal && f.Principal.ID == below.ID }) {
		t.Errorf("findings = %+v, want the ghost among the groups", plan.Findings)
	}
}

// TestMissingIsNotGone answers 404 in ways that prove nothing about a user.
func TestMissingIsNotGone(t *testing.T) {
	for _, err := range []error{
		&mstrapi.Error{Status: 404, Message: "a proxy's page"},
		&mstrapi.Error{Status: 404, Code: "404", Message: "no route"},
		&mstrapi.Error{Status: 404, Code: "ERR004", Message: "HTTP 404 Not Found"},
		&mstrapi.Error{Status: 500, Code: "ERR002"},
	} {
		if mstrapi.IsNotFound(err) {
			t.Errorf("IsNotFound(%v) = true", err)
		}
	}
}

// TestDisabledByName finds out that a user with an entry is disabled on a server
// whose rows do not tell.
func TestDisabledByName(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	env := mstrtest.Random(rng, mstrtest.Size{Users: 30, Groups: 3, Privileges: 6})
	for i := range env.Users {
		env.Users[i].Disabled = i == 3
	}
	s := mstrtest.NewServer(env, mstrtest.Options{})
	t.Cleanup(s.Close)
	for _, n := range []int{1, 4, 20} {
		var entries []policy.Entry
		for _, u := range env.Users[4-min(n, 1) : 3+n] {
			entries = append(entries, entry(policy.User, u.Login, policy.Additive, listed(env.Catalogue[0].ID)))
		}
		before := s.Counts()
		plan := planFor(t, open(t, s), policyOf(entries...))
		after := s.Counts()
		found := 0
		for _, f := range plan.Findings {
			if f.Code == CodeDisabledUser {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d entries: %d findings disabled-user, want 1", n, found)
		}
		if got := after[mstrtest.GetUser] + after[mstrtest.GroupMembers] - before[mstrtest.GetUser] - before[mstrtest.GroupMembers]; got > 1 {
			t.Errorf("%d entries: %d requests to know who is enabled, want 1", n, got)
		}
	}
}

// TestBrokenNode reads from a node that answers for every object that it does not
// exist: nobody is gone, for the session's user cannot be, and the plan is no
// plan.
func TestBrokenNode(t *testing.T) {
	env := mstrtest.Random(rand.New(rand.NewPCG(6, 6)), mstrtest.Size{Users: 8, Groups: 3, Privileges: 6})
	var all []mstrapi.ObjectID
	for _, u := range env.Users {
		all = append(all, u.ID)
	}
	for _, g := range env.Groups {
		all = append(all, g.ID)
	}
	s := mstrtest.NewServer(env, mstrtest.Options{Quirks: mstrtest.Quirks{Ghosts: all}})
	t.Cleanup(s.Close)
	pinned := entry(policy.User, env.Users[1].Login, policy.Additive, listed(env.Catalogue[0].ID))
	pinned.Principal.ID = string(env.Users[1].ID)
	pinned.Settings.Missing = policy.MissingReport
	for _, e := range []policy.Entry{
		{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "*"}}, Settings: policy.Settings{Mode: policy.Authoritative}},
		{Selector: &policy.Selector{Kind: policy.Group, Conditions: policy.Conditions{NameMatches: "*"}}, Settings: policy.Settings{Mode: policy.Authoritative}},
		pinned,
	} {
		plan := planFor(t, open(t, s), policyOf(e))
		if plan.Complete {
			t.Errorf("entry %+v: the plan is complete: %+v", e, plan.Findings)
		}
		for _, f := range plan.Findings {
			if f.Code == CodeGonePrincipal || f.Code == CodeUnknownPrincipal {
				t.Errorf("finding %s: %s", f.Code, f.Message)
			}
		}
	}
}

// TestGoneGroupOfSelector: the group that a selector chooses from stands in the
// list and does not exist. That is as if the policy named nobody.
func TestGoneGroupOfSelector(t *testing.T) {
	env := mstrtest.Random(rand.New(rand.NewPCG(3, 14)), mstrtest.Size{Users: 6, Groups: 3, Privileges: 6})
	ghost := &env.Groups[1]
	s := mstrtest.NewServer(env, mstrtest.Options{Quirks: mstrtest.Quirks{Ghosts: []mstrapi.ObjectID{ghost.ID}}})
	t.Cleanup(s.Close)
	for _, missing := range []policy.Missing{policy.MissingBlock, policy.MissingReport} {
		e := policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: ghost.Name}}, Listed: policy.ListOf(listed(env.Catalogue[0].ID))}
		e.Settings.Missing = missing
		plan := planFor(t, open(t, s), policyOf(e))
		if !plan.Complete || plan.Blocking() == nil != (missing == policy.MissingReport) || !plan.Drift() && missing == policy.MissingReport {
			t.Errorf("missing: %s: complete %v, findings %+v", missing, plan.Complete, plan.Findings)
		}
	}
}

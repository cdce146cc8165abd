package planner

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"privsync/mstrapi"
	"privsync/policy"
)

// pair says that the first needs the second.
type pair [2]mstrapi.PrivilegeID

// along returns s and everything that it needs, or that needs it, by repeating
// single steps.
func along(pairs []pair, s Set, grant bool) Set {
	for again := true; again; {
		again = false
		for _, p := range pairs {
			from, to := p[0], p[1]
			if !grant {
				from, to = to, from
			}
			if s.Has(from) && !s.Has(to) {
				s = s.Union(SetOf(to))
				again = true
			}
		}
	}
	return s
}

// applyAlong does a change as a server does that grants what is needed along, and
// revokes what needs it along.
func (m *model) applyAlong(c *Change, pairs []pair, grants, revokes bool) {
	s := m.byID[c.Principal.ID]
	var add, remove Set
	for _, g := range c.Grant {
		add.Add(g.ID)
	}
	for _, r := range c.Revoke {
		remove.Add(r.ID)
	}
	if grants {
		s.direct = s.direct.Union(along(pairs, add, true))
	}
	if revokes {
		s.direct = s.direct.Minus(along(pairs, remove, false))
	}
}

func prerequisites(pairs []pair) []policy.Prerequisite {
	var out []policy.Prerequisite
	for _, p := range pairs {
		out = append(out, policy.Prerequisite{Privilege: policy.Ref{ID: int(p[0])}, Needs: []policy.Ref{{ID: int(p[1])}}})
	}
	return out
}

// TestPrerequisitesComeToRest: a server that grants and revokes more than it is
// asked for is at rest after one run of a policy that declares it, whatever needs
// what, and the policy is fulfilled then.
func TestPrerequisitesComeToRest(t *testing.T) {
	ran := 0
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		m.parentStyle = rapid.Bool().Draw(t, "parent style")
		pol := drawSketch(t, m)
		some := rapid.SampledFrom(ids(1, 2, 3, 4, 21, 22))
		pairs := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) pair {
			return pair{some.Draw(t, "privilege"), some.Draw(t, "needs")}
		}).Filter(func(p pair) bool { return p[0] != p[1] }), 1, 4).Draw(t, "pairs")
		pol.Prerequisites = prerequisites(pairs)
		pol, err := policy.Parse(writtenFile, policyText(pol))
		if err != nil {
			return // an entry forbids what another privilege of it needs
		}
		plan := makeIn(t, m, pol)
		if len(plan.Blocking()) > 0 || !plan.Complete {
			return
		}
		if len(plan.Changes) > 0 {
			ran++
		}
		for _, wave := range []struct {
			kind            mstrapi.Kind
			grants, revokes bool
		}{{mstrapi.Group, true, false}, {mstrapi.User, true, true}, {mstrapi.Group, false, true}} {
			for i := range plan.Changes {
				if c := &plan.Changes[i]; c.Principal.Kind == wave.kind {
					m.applyAlong(c, pairs, wave.grants, wave.revokes)
				}
			}
		}
		for _, c := range plan.Changes {
			if missing, surplus := c.Wanted.Judge(m.byID[c.Principal.ID].direct.Minus(outOfScope(m, pol)), m.inherited(c.Principal.ID)); !missing.Minus(outOfScope(m, pol)).IsEmpty() || !surplus.Minus(outOfScope(m, pol)).IsEmpty() {
				t.Fatalf("%+v lacks %v and has too much %v, after %+v", c.Principal, missing.IDs(), surplus.IDs(), c)
			}
		}
		if again := makeIn(t, m, pol); len(again.Changes) > 0 {
			t.Fatalf("the second plan changes %+v after %+v, want nothing", again.Changes, plan.Changes)
		}
	})
	if ran == 0 {
		t.Error("no plan that was drawn changes anything")
	}
}

func outOfScope(m *model, pol *policy.Policy) Set {
	var out Set
	for _, p := range m.catalogue {
		if pol.Scope != policy.LevelAll && string(m.levelOf(p.ID)) != string(pol.Scope) {
			out.Add(p.ID)
		}
	}
	return out
}

// TestPrerequisites: each of the rules by itself.
func TestPrerequisites(t *testing.T) {
	pairs := []pair{{1, 2}, {2, 3}}
	forbid := func(ids ...int) policy.Entry {
		e := entry(policy.User, "u", policy.Additive)
		for _, id := range ids {
			e.Forbid = append(e.Forbid, policy.Listed{Ref: policy.Ref{ID: id}})
		}
		return e
	}
	redundant := entry(policy.User, "u", policy.Additive, listed(1), listed(2))
	redundant.Settings.Redundant = policy.RedundantRevoke
	tests := []struct {
		name   string
		entry  policy.Entry
		direct []mstrapi.PrivilegeID
		grant  []mstrapi.PrivilegeID
		revoke string // number and reason
	}{
		{"listed along, additive", entry(policy.User, "u", policy.Additive, listed(1)), nil, ids(1, 2, 3), ""},
		{"listed along, authoritative", entry(policy.User, "u", policy.Authoritative, listed(1)), ids(2, 5), ids(1, 3), "5 not-listed"},
		{"revoked along", forbid(3), ids(1, 2, 3, 5), nil, "1 dependent, 2 dependent, 3 forbidden"},
		{"what is redundant is needed", redundant, ids(1, 2, 3), nil, ""},
	}
	for _, test := range tests {
		m := newModel()
		g := m.group("G", ids(2, 3))
		if test.name != "what is redundant is needed" {
			g.direct = Set{}
		}
		m.user("u", test.direct, g)
		pol := sketch(test.entry)
		pol.Prerequisites = prerequisites(pairs)
		plan := planFor(t, m, parsed(pol))
		var grant []mstrapi.PrivilegeID
		revoke := ""
		for _, c := range plan.Changes {
			for _, p := range c.Grant {
				grant = append(grant, p.ID)
			}
			for i, p := range c.Revoke {
				if i > 0 {
					revoke += ", "
				}
				revoke += p.ID.String() + " " + string(p.Reason)
			}
		}
		if !slices.Equal(grant, test.grant) || revoke != test.revoke {
			t.Errorf("%s: grants %v, revokes %q; want %v, %q", test.name, grant, revoke, test.grant, test.revoke)
		}
		want := []Prerequisite{
			{PrivilegeRef{1, "P1"}, []PrivilegeRef{{2, "P2"}, {3, "P3"}}},
			{PrivilegeRef{2, "P2"}, []PrivilegeRef{{3, "P3"}}},
		}
		if !slices.EqualFunc(plan.Prerequisites, want, func(a, b Prerequisite) bool { return a.Privilege == b.Privilege && slices.Equal(a.Needs, b.Needs) }) {
			t.Errorf("%s: prerequisites %+v, want %+v", test.name, plan.Prerequisites, want)
		}
	}

	// One entry that lists a privilege by name and forbids what it needs: both places.
	m := newModel()
	m.user("u", nil)
	e := forbid(3)
	e.Listed = policy.ListOf(policy.Listed{Ref: policy.Ref{Name: "P1"}})
	pol := sketch(e)
	pol.Prerequisites = prerequisites(pairs)
	pol = parsed(pol)
	plan := planFor(t, m, pol)
	if !hasFinding(plan, CodeConflictingEntries) || len(plan.Blocking()) == 0 {
		t.Fatalf("findings = %+v, want the contradiction", plan.Findings)
	}
	for _, f := range plan.Findings {
		if f.Code == CodeConflictingEntries {
			contains(t, f.Message, pol.Principals[0].Listed.Items()[0].Pos.String(), pol.Principals[0].Forbid[0].Pos.String())
		}
	}
}

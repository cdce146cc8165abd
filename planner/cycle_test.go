package planner

import (
	"testing"

	"privsync/policy"
)

// TestGroupCycle: groups that contain each other are told, and no grant is taken
// away because of what one of them seems to inherit from the other.
func TestGroupCycle(t *testing.T) {
	for _, style := range []bool{false, true} {
		for _, both := range []bool{true, false} {
			m := newModel()
			m.parentStyle = style
			a := m.group("A", ids(1))
			b := m.group("B", nil, a)
			a.parents = append(a.parents, b.row.ID)
			m.group("Apart", ids(1))
			u := m.user("u", ids(1), b)
			redundant := func(kind policy.Kind, name string) policy.Entry {
				e := entry(kind, name, policy.Authoritative, listed(1))
				e.Settings.Redundant = policy.RedundantRevoke
				return e
			}
			pol := sketch(redundant(policy.Group, "A"), redundant(policy.User, "u"), redundant(policy.Group, "Apart"))
			if both {
				pol.Principals = append(pol.Principals, entry(policy.Group, "B", policy.Authoritative, listed(1), listed(2)))
			}
			pol.Principals = append(pol.Principals, entry(policy.User, "u2", policy.Authoritative))
			m.user("u2", ids(3))
			plan := planFor(t, m, parsed(pol))
			cyclic := 0
			for _, f := range plan.Findings {
				if f.Code == CodeGroupCycle {
					cyclic++
					if f.Severity != SeverityError || f.Principal.Name == "Apart" {
						t.Errorf("finding %+v", f)
					}
				}
			}
			if cyclic != 2 || !plan.Complete || len(plan.Blocking()) > 0 {
				t.Errorf("parent style %v, both %v: findings %+v, want group-cycle for A and B alone", style, both, plan.Findings)
			}
			rest := false
			for _, c := range plan.Changes {
				for _, r := range c.Revoke {
					if r.Reason == ReasonRedundant {
						t.Errorf("parent style %v: %s loses %d as redundant", style, c.Principal.Name, r.ID)
					}
				}
				rest = rest || c.Principal.Login == "u2"
			}
			if !rest {
				t.Errorf("changes = %+v, want the rest to be done", plan.Changes)
			}
			_ = u
		}

		// A group in itself.
		m := newModel()
		m.parentStyle = style
		g := m.group("Self", ids(1))
		g.parents = append(g.parents, g.row.ID)
		e := entry(policy.Group, "Self", policy.Authoritative, listed(1))
		e.Settings.Redundant = policy.RedundantRevoke
		plan := planFor(t, m, policyOf(e))
		if !hasFinding(plan, CodeGroupCycle) || len(plan.Changes) > 0 || !plan.Drift() {
			t.Errorf("findings %+v, changes %+v; want group-cycle and no change", plan.Findings, plan.Changes)
		}
	}
}

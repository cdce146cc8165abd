package planner

import (
	"slices"
	"testing"

	"privsync/mstrapi"
	"privsync/policy"
)

// TestVacantSelectorMayMeanAnybody: while the group that a selector chooses from is not
// there, which the policy wants only reported, what it lists is revoked from nobody who may
// be one of its members.
func TestVacantSelectorMayMeanAnybody(t *testing.T) {
	m := newModel()
	u := m.user("u", ids(3, 4))
	e := policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: "Gone"}}, Listed: policy.ListOf(listed(3))}
	e.Settings.Missing = policy.MissingReport
	plan := planFor(t, m, policyOf(e, entry(policy.User, "u", policy.Authoritative)))
	if kept, taken := reasonIn(plan, u.row.ID, 3), reasonIn(plan, u.row.ID, 4); kept != "" || taken != ReasonNotListed {
		t.Errorf("the listed one: %q, the other: %q; want the other alone revoked", kept, taken)
	}
}

// TestRedundantAboveTheSession: where the session's user could not be read, a group that
// loses the session's privilege because it inherits it counts as well: the user may have it
// from there.
func TestRedundantAboveTheSession(t *testing.T) {
	m := newModel()
	g := m.group("Admins", ids(managerID), m.group("Top", ids(managerID)))
	m.actor = m.user("session", nil, g).row.ID
	e := entry(policy.Group, "Admins", policy.Additive, listed(managerID))
	e.Settings.Redundant = policy.RedundantRevoke
	for _, fail := range []string{"nothing", "Held user " + string(m.actor)} {
		m.fail = failing(fail)
		plan := planFor(t, m, policyOf(e))
		if got := reasonIn(plan, g.row.ID, managerID); got != ReasonRedundant {
			t.Fatalf("%s fails: the group's revoke: %q", fail, got)
		}
		loses := slices.ContainsFunc(plan.Safety.ActorLoses, func(p PrivilegeRef) bool { return p.ID == managerID })
		if loses != (fail != "nothing") {
			t.Errorf("%s fails: the session loses %v", fail, plan.Safety.ActorLoses)
		}
	}
}

// TestSourcesAreHolders: what an audit names as the sources of a breach are the groups that
// hold the privilege, not those that hand it down.
func TestSourcesAreHolders(t *testing.T) {
	for _, style := range []bool{false, true} {
		m := newModel()
		m.parentStyle = style
		top := m.group("Top", ids(3))
		u := m.user("u", nil, m.group("Between", nil, top))
		pol := sketch(entry(policy.User, "u", policy.Additive, listed(3)))
		pol.Rules = []policy.Rule{{Name: "nobody", Severity: policy.RuleError, Deny: []policy.Ref{{ID: 3}}}}
		broken := auditFor(t, m, parsed(pol), false).BrokenRules()
		if len(broken) != 1 || broken[0].Principal == nil || broken[0].Principal.ID != u.row.ID {
			t.Fatalf("violations = %+v, want one, of the user", broken)
		}
		if want := []Source{{Kind: mstrapi.Group, ID: top.row.ID, Name: "Top"}}; !slices.Equal(broken[0].Sources, want) {
			t.Errorf("parents named: %t: sources = %+v, want %+v", style, broken[0].Sources, want)
		}
	}
}

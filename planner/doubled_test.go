package planner

import (
	"slices"
	"testing"

	"privsync/policy"
)

// TestMemberOfID chooses the members of one of two groups that have one name.
func TestMemberOfID(t *testing.T) {
	m := newModel()
	first, second := m.group("Finance", nil), m.group("Finance", nil)
	m.user("u", nil, first)
	m.user("v", nil, second)
	selector := func(id, name string) policy.Entry {
		return policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: name, MemberOfID: id}}, Listed: policy.ListOf(listed(1))}
	}
	if plan := planFor(t, m, policyOf(selector("", "Finance"))); len(plan.Blocking()) != 1 || plan.Blocking()[0].Code != CodeAmbiguousPrincipal {
		t.Errorf("by name: findings %+v, want one ambiguous-principal", plan.Findings)
	}
	for _, c := range []struct{ id, login string }{{string(first.row.ID), "u"}, {string(second.row.ID), "v"}} {
		plan := planFor(t, m, policyOf(selector(c.id, "Finance")))
		if len(plan.Changes) != 1 || plan.Changes[0].Principal.Login != c.login || len(plan.Blocking()) > 0 {
			t.Errorf("by id: changes %+v, want those of %s: %+v", plan.Changes, c.login, plan.Findings)
		}
	}
	plan := planFor(t, m, policyOf(selector(string(first.row.ID), "Accounts")))
	if !slices.ContainsFunc(plan.Blocking(), func(f Finding) bool { return f.Code == CodeNameMismatch }) {
		t.Errorf("another name: findings %+v, want name-mismatch", plan.Findings)
	}
}

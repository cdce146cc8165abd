package planner

import (
	"slices"
	"testing"

	"privsync/policy"
)

// TestRenamed: a user who has another login now is covered by a selector only,
// and keeps what its own entry lists; everybody else is decided about as before.
func TestRenamed(t *testing.T) {
	m := newModel()
	m.group("Staff", nil)
	m.user("jdoe2", ids(1, 2, 3))
	m.user("other", ids(2, 4))
	own := entry(policy.User, "jdoe", policy.Additive, listed(1), listed(3))
	own.Settings.Missing = policy.MissingReport
	all := policy.Entry{
		Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "*"}}, Settings: policy.Settings{Mode: policy.Authoritative},
		Forbid: []policy.Listed{{Ref: policy.Ref{ID: 3}}},
	}
	for _, missing := range []bool{true, false} {
		pol := policyOf(own, all)
		if !missing {
			pol = policyOf(all)
		}
		plan := planFor(t, m, pol)
		lost := make(map[string][]int)
		for _, c := range plan.Changes {
			for _, r := range c.Revoke {
				lost[c.Principal.Login] = append(lost[c.Principal.Login], int(r.ID))
			}
		}
		want := map[string][]int{"jdoe2": {1, 2, 3}, "other": {2, 4}}
		if missing {
			want["jdoe2"] = []int{2, 3} // what is forbidden goes in any case
		}
		for login, ids := range want {
			if !slices.Equal(lost[login], ids) {
				t.Errorf("missing %v: %s loses %v, want %v", missing, login, lost[login], ids)
			}
		}
		told := slices.ContainsFunc(plan.Findings, func(f Finding) bool {
			return f.Code == CodeUnknownPrincipal && f.Principal != nil && f.Principal.Login == "jdoe2" && f.Severity == SeverityWarning
		})
		if told != missing {
			t.Errorf("missing %v: findings %+v", missing, plan.Findings)
		}
	}
}

package planner

import (
	"math/rand/v2"
	"slices"
	"testing"

	"privsync/mstrapi/mstrtest"
	"privsync/policy"
)

// TestPartialUserList observes a server that lists the members of Everyone in the
// place of its users: that is told, and nothing counts as complete.
func TestPartialUserList(t *testing.T) {
	for _, fallback := range []bool{true, false} {
		env := mstrtest.Random(rand.New(rand.NewPCG(8, 8)), mstrtest.Size{Users: 12, Groups: 3, Privileges: 8})
		s := mstrtest.NewServer(env, mstrtest.Options{Quirks: mstrtest.Quirks{EmptyUserList: fallback}})
		t.Cleanup(s.Close)
		for _, unlisted := range []policy.Unlisted{policy.UnlistedIgnore, policy.UnlistedRevoke} {
			pol := policyOf()
			pol.Unlisted = unlisted
			pol.Rules = []policy.Rule{{Name: "nobody", Deny: []policy.Ref{{ID: int(env.Catalogue[0].ID)}}, Severity: policy.RuleWarning}}
			r := open(t, s)
			st, err := Observe(t.Context(), r, pol, ObserveOptions{Judging: JudgeEverybody})
			if err != nil {
				t.Fatal(err)
			}
			plan := Make(pol, st, MakeOptions{})
			i := slices.IndexFunc(plan.Findings, func(f Finding) bool { return f.Code == CodePartialUserList })
			if told := i >= 0; told != fallback {
				t.Errorf("fallback %v: told %v", fallback, told)
			}
			if got := plan.Rules[0].Complete; got == fallback {
				t.Errorf("fallback %v: the rule's complete is %v", fallback, got)
			}
			if known := plan.Coverage.Known != nil; known == fallback {
				t.Errorf("fallback %v: how many there are is known: %v", fallback, known)
			}
			if unlisted != policy.UnlistedRevoke {
				continue
			}
			if revokes := plan.Summary.Revokes > 0; revokes == fallback {
				t.Errorf("fallback %v: %d revokes", fallback, plan.Summary.Revokes)
			}
			if !plan.Drift() {
				t.Errorf("fallback %v: what is to be revoked is no drift", fallback)
			}
		}
	}
}

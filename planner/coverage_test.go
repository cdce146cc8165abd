package planner

import (
	"testing"

	"privsync/mstrapi"
	"privsync/policy"
)

func auditFor(t *testing.T, m Reader, pol *policy.Policy, everybody bool) *Plan {
	t.Helper()
	if !readAsIs(pol) {
		t.Fatal("the policy is not as it was read: parsed makes it so")
	}
	judging := JudgeCovered
	if everybody {
		judging = JudgeEverybody
	}
	st, err := Observe(t.Context(), m, pol, ObserveOptions{Now: testNow(), Concurrency: 3, Judging: judging})
	if err != nil {
		t.Fatalf("Observe() error: %v", err)
	}
	return Make(pol, st, MakeOptions{})
}

// A rule of an audit judges what is held now: what a plan would take away is a
// violation, what it would grant is none.
func TestAuditRulesJudgeWhatIsThere(t *testing.T) {
	m := newModel()
	holder := m.user("holder", []mstrapi.PrivilegeID{5})
	m.user("future", nil)
	pol := sketch(entry(policy.User, "holder", policy.Authoritative), entry(policy.User, "future", policy.Additive, listed(5)))
	pol.Rules = []policy.Rule{{Name: "nobody", Deny: []policy.Ref{{ID: 5}}}}
	pol = parsed(pol)
	broken := auditFor(t, m, pol, true).BrokenRules()
	if len(broken) != 1 || broken[0].Principal.ID != holder.row.ID || !broken[0].Already {
		t.Errorf("an audit's violations = %v, want one, of the user who holds it now", broken)
	}
	if broken := planFor(t, m, pol).BrokenRules(); len(broken) != 1 || broken[0].Principal.Login != "future" {
		t.Errorf("a plan's violations = %v, want one, of the user who would hold it", broken)
	}
}

// A rule says nobody: an audit judges also those whom no entry covers.
func TestAuditRulesJudgeEverybody(t *testing.T) {
	m := newModel()
	m.user("covered", nil)
	g := m.group("Stray Group", []mstrapi.PrivilegeID{5})
	m.user("member", nil, g)
	m.user("stray", []mstrapi.PrivilegeID{5})
	pol := sketch(entry(policy.User, "covered", policy.Additive, listed(6)))
	pol.Rules = []policy.Rule{{Name: "nobody", Deny: []policy.Ref{{ID: 5}}}}
	for _, unlisted := range []policy.Unlisted{policy.UnlistedIgnore, policy.UnlistedReport, policy.UnlistedRevoke} {
		pol.Unlisted = unlisted
		pol = parsed(pol)
		if broken := auditFor(t, m, pol, true).BrokenRules(); len(broken) != 3 {
			t.Errorf("unlisted %q: an audit's violations = %v, want group, member and stray user", unlisted, broken)
		}
	}
	pol.Unlisted = policy.UnlistedIgnore
	pol = parsed(pol)
	if broken := auditFor(t, m, pol, false).BrokenRules(); len(broken) != 0 {
		t.Errorf("an audit of the covered only: violations = %v, want none", broken)
	}
}

func TestUndecidedAreUnknown(t *testing.T) {
	m := newModel()
	u := m.user("u", nil)
	pol := policyOf(entry(policy.User, "u", policy.Additive, policy.Listed{Ref: policy.Ref{Name: "No Such Privilege"}}))
	plan := planFor(t, m, pol)
	if _, undecided := plan.Undecided(u.row.ID); !undecided || plan.Summary.Unknown != 1 || plan.Summary.InSync != 0 {
		t.Errorf("summary = %+v, want the user unknown", plan.Summary)
	}
}

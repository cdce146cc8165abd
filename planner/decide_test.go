package planner

import (
	"testing"
	"time"

	"privsync/mstrapi"
	"privsync/policy"
)

// testNow is the moment at which the tests plan.
func testNow() time.Time { return time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC) }

// TestTable goes through every row of the decision table in both modes, for a
// user and for a group, in both styles of sources.
func TestTable(t *testing.T) {
	const p = mstrapi.PrivilegeID(1)
	const left, granted = Reason(""), ReasonListed
	type wants struct {
		listed, forbidden, expired bool
		satisfiedBy                policy.SatisfiedBy
		redundant                  policy.Redundant
	}
	tests := []struct {
		name                    string
		wants                   wants
		direct, inherited       bool
		additive, authoritative Reason // listed: a grant; another: a revoke; empty: nothing
		finding                 Code
	}{
		{"L, not D, not I", wants{listed: true}, false, false, granted, granted, ""},
		{"L, not D, I", wants{listed: true}, false, true, left, left, ""},
		{"L, not D, I, satisfiedBy direct", wants{listed: true, satisfiedBy: policy.Direct}, false, true, granted, granted, ""},
		{"L, D, not I", wants{listed: true}, true, false, left, left, ""},
		{"L, D, I", wants{listed: true}, true, true, left, left, CodeRedundantDirect},
		{"L, D, I, redundant revoke", wants{listed: true, redundant: policy.RedundantRevoke}, true, true, ReasonRedundant, ReasonRedundant, ""},
		{"L, D, not I, redundant revoke", wants{listed: true, redundant: policy.RedundantRevoke}, true, false, left, left, ""},
		{"D, not L", wants{}, true, false, left, ReasonNotListed, ""},
		{"D, I, not L", wants{}, true, true, left, ReasonNotListed, ""},
		{"D, F", wants{forbidden: true}, true, false, ReasonForbidden, ReasonForbidden, ""},
		{"D, X", wants{expired: true}, true, false, ReasonExpired, ReasonExpired, CodeExpiredEntry},
		{"D, X, F", wants{expired: true, forbidden: true}, true, false, ReasonForbidden, ReasonForbidden, CodeExpiredEntry},
		{"X, not D", wants{expired: true}, false, false, left, left, CodeExpiredEntry},
		{"D, X, also L", wants{expired: true, listed: true}, true, false, left, left, CodeExpiredEntry},
		{"not D, I, not L", wants{}, false, true, left, left, ""},
		{"not D, I, F", wants{forbidden: true}, false, true, left, left, CodeInheritedForbidden},
		{"D, I, F", wants{forbidden: true}, true, true, ReasonForbidden, ReasonForbidden, CodeInheritedForbidden},
		{"nothing", wants{}, false, false, left, left, ""},
	}
	for _, test := range tests {
		for _, mode := range []policy.Mode{policy.Additive, policy.Authoritative} {
			for _, kind := range []policy.Kind{policy.User, policy.Group} {
				for _, style := range []bool{false, true} {
					t.Run(test.name+"/"+string(mode)+"/"+string(kind)+"/"+map[bool]string{false: "holder", true: "parent"}[style], func(t *testing.T) {
						m := newModel()
						m.parentStyle = style
						top := m.group("Top", nil)
						if test.inherited {
							top.direct.Add(p)
						}
						middle := m.group("Middle", nil, top)
						var who *subject
						if kind == policy.User {
							who = m.user("demo", nil, middle)
						} else {
							who = m.group("demo", nil, middle)
						}
						if test.direct {
							who.direct.Add(p)
						}
						e := entry(kind, "demo", mode)
						if mode == policy.Additive {
							e = covering(kind, "demo")
						}
						// What one entry cannot say beside the rest stands in a second.
						also := policy.Entry{Selector: &policy.Selector{Kind: kind, Conditions: policy.Conditions{NameMatches: "*demo"}}}
						e.Settings.SatisfiedBy, e.Settings.Redundant = test.wants.satisfiedBy, test.wants.redundant
						if test.wants.listed {
							e.Listed = policy.ListOf(append(e.Listed.Items(), listed(p))...)
						}
						if over := policy.ListOf(until(p, testNow().AddDate(0, 0, -1))); test.wants.expired && (test.wants.listed || test.wants.forbidden) {
							also.Listed = over
						} else if test.wants.expired {
							e.Listed = over
						}
						if test.wants.forbidden {
							e.Forbid = append(e.Forbid, policy.Listed{Ref: policy.Ref{ID: int(p)}})
						}
						entries := []policy.Entry{e}
						if also.Listed.Len() > 0 {
							entries = append(entries, also)
						}
						plan := planFor(t, m, policyOf(entries...))
						want := test.additive
						if mode == policy.Authoritative {
							want = test.authoritative
						}
						if got := reasonIn(plan, who.row.ID, p); got != want {
							t.Errorf("plan for %s = %q, want %q", test.name, got, want)
						}
						if test.finding == "" && len(plan.Findings) > 0 {
							t.Errorf("findings = %v, want none", plan.Findings)
						}
						if test.finding != "" && !hasFinding(plan, test.finding) {
							t.Errorf("findings = %v, want %s", plan.Findings, test.finding)
						}
					})
				}
			}
		}
	}
}

// TestSeedExample is the vendor's own: 53 is direct, 2 comes from two groups.
func TestSeedExample(t *testing.T) {
	for _, test := range []struct {
		by    policy.SatisfiedBy
		grant []mstrapi.PrivilegeID
	}{{policy.Direct, ids(2, 54)}, {policy.Effective, ids(54)}} {
		m := newModel()
		m.catalogue = append(m.catalogue, mstrapi.Privilege{ID: 53, Name: "Monitor Database Connections"}, mstrapi.Privilege{ID: 54, Name: "Administer caches"})
		users := m.group("User Administrators", ids(2))
		system := m.group("System Administrators", ids(2))
		demo := m.user("demo", ids(53), users, system)
		e := entry(policy.User, "DEMO", policy.Authoritative, listed(2), policy.Listed{Ref: policy.Ref{Name: "Administer caches"}})
		e.Settings.SatisfiedBy = test.by
		plan := planFor(t, m, policyOf(e))
		if len(plan.Changes) != 1 || plan.Changes[0].Principal.ID != demo.row.ID {
			t.Fatalf("changes = %+v, want one for demo", plan.Changes)
		}
		c := plan.Changes[0]
		if !setOfPlanned(c.Grant).Equal(SetOf(test.grant...)) || !setOfPlanned(c.Revoke).Equal(SetOf(53)) {
			t.Errorf("satisfiedBy %s: grant %v revoke %v, want %v and [53]", test.by, c.Grant, c.Revoke, test.grant)
		}
	}
}

func entry(kind policy.Kind, name string, mode policy.Mode, list ...policy.Listed) policy.Entry {
	return policy.Entry{
		Principal: &policy.PrincipalRef{Kind: kind, Name: name},
		Settings:  policy.Settings{Mode: mode},
		Listed:    policy.ListOf(list...),
	}
}

func listed(p mstrapi.PrivilegeID) policy.Listed { return policy.Listed{Ref: policy.Ref{ID: int(p)}} }

func until(p mstrapi.PrivilegeID, day time.Time) policy.Listed {
	l := listed(p)
	l.Until = day.Truncate(24 * time.Hour)
	return l
}

// covering is an entry that covers somebody and asks for nothing that makes a difference:
// it forbids P8, which nobody has where a test uses it.
func covering(kind policy.Kind, name string) policy.Entry {
	e := entry(kind, name, policy.Additive)
	e.Forbid = []policy.Listed{listed(8)}
	return e
}

// policyOf is the policy of these entries as it would be read from a file.
func policyOf(entries ...policy.Entry) *policy.Policy { return parsed(sketch(entries...)) }

// sketch is a policy of entries that is to be completed, and read with [parsed].
func sketch(entries ...policy.Entry) *policy.Policy {
	return &policy.Policy{Name: "test", Principals: entries, ExpiringWithinDays: 14}
}

func observe(t testing.TB, m Reader, pol *policy.Policy) *State {
	t.Helper()
	if !readAsIs(pol) {
		t.Fatal("the policy is not as it was read: parsed makes it so")
	}
	st, err := Observe(t.Context(), m, pol, ObserveOptions{URL: "https://bi.example.com/MicroStrategyLibrary", Now: testNow(), Concurrency: 3})
	if err != nil {
		t.Fatalf("Observe() error: %v", err)
	}
	return st
}

func planFor(t testing.TB, m Reader, pol *policy.Policy) *Plan {
	t.Helper()
	return Make(pol, observe(t, m, pol), MakeOptions{Tool: Tool{Name: "privsync", Version: "test"}})
}

func reasonIn(plan *Plan, id mstrapi.ObjectID, p mstrapi.PrivilegeID) Reason {
	for _, c := range plan.Changes {
		if c.Principal.ID != id {
			continue
		}
		for _, list := range [][]PlannedPrivilege{c.Grant, c.Revoke} {
			for _, q := range list {
				if q.ID == p {
					return q.Reason
				}
			}
		}
	}
	return ""
}

func hasFinding(plan *Plan, code Code) bool { return findingIn(plan, code) != nil }

func findingIn(plan *Plan, code Code) *Finding {
	for i := range plan.Findings {
		if plan.Findings[i].Code == code {
			return &plan.Findings[i]
		}
	}
	return nil
}

func setOfPlanned(list []PlannedPrivilege) Set {
	var s Set
	for _, p := range list {
		s.Add(p.ID)
	}
	return s
}

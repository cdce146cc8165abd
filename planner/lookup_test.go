package planner

import (
	"slices"
	"strings"
	"testing"

	"privsync/mstrapi"
	"privsync/policy"
)

// TestLackingIsNotAbsent: whom the server's list leaves out is looked for before being
// absent, and whose login no answer tells is not known to be somebody else. A policy that
// only reports who is missing would otherwise change somebody whom it protects.
func TestLackingIsNotAbsent(t *testing.T) {
	for _, test := range []struct {
		name            string
		lacking, hidden bool
		code            Code // of the one who is protected; empty: none
	}{{"all is told", false, false, ""}, {"left out of the list", true, false, ""}, {"logins hidden", false, true, CodeReadFailed}} {
		m := newModel()
		g := m.group("G", nil)
		u := m.user("u", nil, g)
		m.user("v", nil)
		m.hidden = test.hidden
		if test.lacking {
			m.lacking = map[mstrapi.ObjectID]bool{u.row.ID: true, g.row.ID: true}
		}
		e := policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: "G"}}, Listed: policy.ListOf(listed(3))}
		pol := sketch(e)
		pol.Defaults.Missing = policy.MissingReport
		pol.Safety = &policy.Safety{Protected: []policy.PrincipalRef{{Kind: policy.User, Name: "u"}, {Kind: policy.Group, Name: "G"}}}
		pol.Unlisted = policy.UnlistedReport // so that the lists are read
		plan := planFor(t, m, parsed(pol))
		if got := findingOf(plan, "u"); got != test.code || plan.Complete != (test.code == "") {
			t.Errorf("%s: complete: %t, finding %q, want %q: %+v", test.name, plan.Complete, got, test.code, plan.Findings)
		}
		protected := slices.ContainsFunc(Guards(plan, Overrides{}), func(g Guard) bool { return g.Name == GuardProtected })
		if test.code == "" && !protected {
			t.Errorf("%s: the one who is protected changes without a guard: %+v", test.name, plan.Changes)
		}
	}
}

// findingOf returns the code of the error or warning that names the user's login as the
// policy does.
func findingOf(plan *Plan, login string) Code {
	for _, f := range plan.Findings {
		if f.Severity != SeverityInfo && f.Principal != nil && f.Principal.Login == login {
			return f.Code
		}
	}
	return ""
}

// TestNameBesideExceptedID: whom a selector passes over by an id must bear the name that
// stands beside it, as everywhere else.
func TestNameBesideExceptedID(t *testing.T) {
	m := newModel()
	u := m.user("u", nil)
	m.user("twin", nil)
	x := policy.Excepted{Principal: &policy.PrincipalRef{Kind: policy.User, Name: "twin", ID: string(u.row.ID)}}
	e := policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{LoginMatches: "*"}, Except: []policy.Excepted{x}}, Listed: policy.ListOf(listed(3))}
	plan := planFor(t, m, policyOf(e))
	if !slices.ContainsFunc(plan.Blocking(), func(f Finding) bool {
		return f.Code == CodeNameMismatch && strings.Contains(f.Message, "twin")
	}) {
		t.Errorf("findings = %+v, want %s", plan.Findings, CodeNameMismatch)
	}
}

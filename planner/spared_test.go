package planner

import (
	"slices"
	"strings"
	"testing"

	"privsync/policy"
)

// TestPromiseOfAnEntry: what the entry of a group that could not be looked up lists is
// revoked from no user who may belong to it, and that of a user's entry is.
func TestPromiseOfAnEntry(t *testing.T) {
	for _, test := range []struct {
		kind policy.Kind
		want Reason
	}{{policy.Group, ""}, {policy.User, ReasonNotListed}} {
		m := newModel()
		m.group("Ops", nil)
		m.user("ops", nil)
		u := m.user("u", ids(3))
		name := map[policy.Kind]string{policy.Group: "Ops", policy.User: "ops"}[test.kind]
		m.fail = failing("List "+string(test.kind), "Search "+string(test.kind))
		e := entry(policy.User, "u", policy.Authoritative)
		e.Principal.ID = string(u.row.ID)
		plan := planFor(t, m, policyOf(entry(test.kind, name, policy.Additive, listed(3)), e))
		if got := reasonIn(plan, u.row.ID, 3); plan.Complete || got != test.want {
			t.Errorf("%s: complete = %t, the revoke from the user: %q, want %q", test.kind, plan.Complete, got, test.want)
		}
	}
}

// TestForbiddenToTheSession: what is forbidden is revoked although a group that could not
// be read may give it back; but not from under the session's own user, who works with it.
func TestForbiddenToTheSession(t *testing.T) {
	m := newModel()
	admins := m.group("Admins", ids(managerID))
	session := m.user("session", ids(managerID), admins)
	other := m.user("other", ids(managerID), admins)
	m.actor = session.row.ID
	m.fail = failing("Held group")
	var entries []policy.Entry
	for _, login := range []string{"session", "other"} {
		e := entry(policy.User, login, policy.Additive)
		e.Forbid = []policy.Listed{listed(managerID)}
		entries = append(entries, e)
	}
	plan := planFor(t, m, policyOf(append(entries, entry(policy.Group, "Admins", policy.Additive, listed(managerID)))...))
	if got := reasonIn(plan, session.row.ID, managerID); got != "" {
		t.Errorf("the session's user: %q, want its privilege left alone", got)
	}
	if got := reasonIn(plan, other.row.ID, managerID); got != ReasonForbidden {
		t.Errorf("another user: %q, want it revoked", got)
	}
}

// TestReliesOnAGrantAbove: a user's revoke relies on the grant of a group unless another
// group gives the privilege throughout: one that loses its own, because it comes to
// inherit it, does not.
func TestReliesOnAGrantAbove(t *testing.T) {
	for _, test := range []struct {
		name      string
		redundant policy.Redundant // of the group that holds it
		relies    bool
	}{{"holds it throughout", policy.RedundantKeep, false}, {"comes to inherit it", policy.RedundantRevoke, true}} {
		m := newModel()
		gains := m.group("Gains", nil)
		holds := m.group("Holds", ids(1), gains)
		u := m.user("u", ids(1), holds)
		g := entry(policy.Group, "Holds", policy.Additive, listed(1))
		g.Settings.Redundant = test.redundant
		plan := planFor(t, m, policyOf(entry(policy.Group, "Gains", policy.Additive, listed(1)), g, entry(policy.User, "u", policy.Authoritative)))
		i := slices.IndexFunc(plan.Changes, func(c Change) bool { return c.Principal.ID == u.row.ID })
		if i < 0 || len(plan.Changes[i].Revoke) != 1 {
			t.Fatalf("%s: changes = %+v, want a revoke from the user", test.name, plan.Changes)
		}
		if got := plan.Changes[i].Revoke[0].ReliesOn; slices.Contains(got, gains.row.ID) != test.relies {
			t.Errorf("%s: the revoke relies on %v, want the group that gains it in there: %t", test.name, got, test.relies)
		}
	}
}

// TestRedundantBelowTheUnseen: a direct grant that is redundant beside what is inherited
// stays while a group that may lose the privilege, and so everybody below it, could not be
// found or read; and so it does while nobody knows who is protected and who unlisted.
func TestRedundantBelowTheUnseen(t *testing.T) {
	for _, style := range []bool{false, true} {
		for _, test := range []struct {
			name, fail, why string
			above           policy.Entry
			want            Reason
		}{
			{"all is read", "nothing", "", covering(policy.Group, "Top"), ReasonRedundant},
			{"entry that takes it", "group", "may take it from one that gives it in its place", entry(policy.Group, "Top", policy.Authoritative), ""},
			{"entry that leaves it", "group", "", covering(policy.Group, "Top"), ReasonRedundant},
			{"unread, to lose it", "Held group AA000000000000000000000000000001", "could not be read", entry(policy.Group, "Top", policy.Authoritative), ""},
			{"unread, to keep what it gives", "Held group AA000000000000000000000000000001", "could not be read", entry(policy.Group, "Top", policy.Authoritative, listed(3)), ""},
		} {
			m := newModel()
			m.parentStyle = style
			between := m.group("Between", nil, m.group("Top", ids(3)))
			u := m.user("u", ids(3), between)
			m.fail = failing(test.fail)
			if test.fail == "group" {
				m.fail = failing("List group", "Search group")
			}
			e := entry(policy.User, "u", policy.Additive, listed(3))
			e.Settings.Redundant = policy.RedundantRevoke
			plan := planFor(t, m, policyOf(test.above, e))
			if got := reasonIn(plan, u.row.ID, 3); got != test.want {
				t.Errorf("%s: the revoke from the user: %q, want %q", test.name, got, test.want)
			}
			told := slices.ContainsFunc(plan.Findings, func(f Finding) bool {
				return f.Code == CodeReadFailed && f.Principal != nil && f.Principal.ID == u.row.ID && strings.Contains(f.Message, test.why)
			})
			if told != (test.want == "") {
				t.Errorf("%s: findings %+v", test.name, plan.Findings)
			}
		}
	}
}

// TestProtectedWhoIsNotFound: nobody loses anything for being unlisted while somebody whom
// the policy protects could not be looked up.
func TestProtectedWhoIsNotFound(t *testing.T) {
	m := newModel()
	top := m.group("Top", ids(3))
	u := m.user("u", ids(3), top)
	e := entry(policy.User, "listed", policy.Additive, listed(3))
	e.Settings.Redundant = policy.RedundantRevoke
	who := m.user("listed", ids(3), top)
	pol := sketch(e)
	pol.Unlisted = policy.UnlistedRevoke
	pol.Safety = &policy.Safety{Protected: []policy.PrincipalRef{{Kind: policy.User, Name: "u", ID: string(u.row.ID)}}}
	pol = parsed(pol)
	m.bareRows = true
	m.fail = failing("Principal " + string(u.row.ID))
	plan := planFor(t, m, pol)
	if plan.Complete || len(plan.Changes) > 0 {
		t.Errorf("complete: %t, changes: %+v", plan.Complete, plan.Changes)
	}
	m.fail = nil
	if plan = planFor(t, m, pol); reasonIn(plan, top.row.ID, 3) != ReasonUnlisted || reasonIn(plan, u.row.ID, 3) != "" || reasonIn(plan, who.row.ID, 3) != "" {
		t.Errorf("once all is read: %+v", plan.Changes)
	}
}

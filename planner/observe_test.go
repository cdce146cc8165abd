package planner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"privsync/mstrapi"
	"privsync/policy"
)

// total counts the requests whose names begin with one of the prefixes, all of
// them without any.
func (m *model) total(prefixes ...string) int {
	n := 0
	for name, count := range m.calls {
		if len(prefixes) == 0 {
			n += count
		}
		for _, p := range prefixes {
			if strings.HasPrefix(name, p) {
				n += count
			}
		}
	}
	return n
}

// TestRequestsForNames: names take the fewer of one lookup each and the pages of
// the whole list.
func TestRequestsForNames(t *testing.T) {
	tests := []struct {
		name        string
		users, page int // on the server, and per page
		named       int
		pinned      bool
		lists, each int // requests for pages, and for single names
	}{
		{"one name", 50, 10, 1, false, 0, 1},
		{"one id", 50, 10, 1, true, 0, 1},
		{"fewer names than pages", 50, 10, 4, false, 1, 4},
		{"as many names as pages", 50, 10, 5, false, 5, 0},
		{"more names than pages", 50, 10, 9, false, 5, 0},
		{"one page", 50, 0, 2, false, 1, 0},
		{"ids from the list", 50, 10, 7, true, 5, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newModel()
			m.pageCap = test.page
			for i := range test.users {
				m.user(fmt.Sprintf("u%03d", i), ids(1))
			}
			var entries []policy.Entry
			for i := range test.named {
				s := m.principals[i*3]
				e := entry(policy.User, s.row.Login, policy.Additive, listed(1))
				if test.pinned {
					e.Principal.ID = string(s.row.ID)
				}
				entries = append(entries, e)
			}
			plan := planFor(t, m, policyOf(entries...))
			if plan.Summary.Principals != test.named || len(plan.Findings) > 0 {
				t.Fatalf("summary %+v findings %v, want %d principals", plan.Summary, plan.Findings, test.named)
			}
			if got := m.total("List"); got != test.lists {
				t.Errorf("requests for pages = %d, want %d", got, test.lists)
			}
			if got := m.total("Search", "Principal"); got != test.each {
				t.Errorf("requests for single names = %d, want %d", got, test.each)
			}
			if got := m.total("Held"); got != test.named {
				t.Errorf("privilege reads = %d, want %d", got, test.named)
			}
			if rest := m.total() - m.total("List", "Search", "Principal", "Held"); rest > 10 {
				t.Errorf("other requests = %d, want at most 10 (login and logout come on top)", rest)
			}
		})
	}
}

// TestRequestsForMemberships: where users belong is asked only when a changed
// group makes it matter, and then in the cheaper way.
func TestRequestsForMemberships(t *testing.T) {
	build := func(users, page int) (*model, *subject) {
		m := newModel()
		m.pageCap = page
		top := m.group("Top", nil)
		g := m.group("Staff", nil, top)
		for i := range users {
			m.user(fmt.Sprintf("u%03d", i), nil, g)
		}
		return m, top
	}
	listing := func(m *model, p mstrapi.PrivilegeID, n int) []policy.Entry {
		var out []policy.Entry
		for _, s := range m.principals {
			if s.row.Kind == mstrapi.User && len(out) < n {
				out = append(out, entry(policy.User, s.row.Login, policy.Additive, listed(p)))
			}
		}
		return out
	}
	t.Run("no group changes", func(t *testing.T) {
		m, top := build(20, 0)
		top.direct.Add(1)
		planFor(t, m, policyOf(append(listing(m, 1, 20), entry(policy.Group, "Top", policy.Additive, listed(1)))...))
		if got := m.total("GroupMembers"); got != 0 {
			t.Errorf("requests for members and memberships = %d, want 0: %v", got, m.calls)
		}
	})
	t.Run("nobody cares", func(t *testing.T) {
		m, _ := build(20, 0)
		planFor(t, m, policyOf(append(listing(m, 2, 20), entry(policy.Group, "Top", policy.Additive, listed(1)))...))
		if got := m.total("GroupMembers"); got != 1 {
			t.Errorf("requests for members and memberships = %d, want the one count: %v", got, m.calls)
		}
	})
	t.Run("one page tells", func(t *testing.T) {
		m, _ := build(20, 0)
		plan := planFor(t, m, policyOf(append(listing(m, 1, 20), entry(policy.Group, "Top", policy.Additive, listed(1)))...))
		if got := m.total("GroupMembers"); got != 1 || len(plan.Changes) != 1 {
			t.Errorf("requests = %d, changes = %d, want the one count and the one group: %v", got, len(plan.Changes), m.calls)
		}
	})
	t.Run("few users of a large group", func(t *testing.T) {
		m, _ := build(60, 5)
		plan := planFor(t, m, policyOf(append(listing(m, 1, 4), entry(policy.Group, "Top", policy.Additive, listed(1)))...))
		if got := m.total("GroupMembers"); got != 1 {
			t.Errorf("member pages = %d, want 1", got)
		}
		if got := m.total("Memberships user"); got != 4 || len(plan.Changes) != 1 {
			t.Errorf("memberships = %d, changes = %d, want 4 and 1: %v", got, len(plan.Changes), m.calls)
		}
		if got := m.total("Memberships group"); got != 2 {
			t.Errorf("memberships of groups = %d, want each of the 2 once", got)
		}
	})
	t.Run("many users of a large group", func(t *testing.T) {
		m, _ := build(60, 5)
		plan := planFor(t, m, policyOf(append(listing(m, 1, 40), entry(policy.Group, "Top", policy.Additive, listed(1)))...))
		if got := m.total("GroupMembers"); got != 12 || m.total("Memberships") != 0 || len(plan.Changes) != 1 {
			t.Errorf("member pages = %d, memberships = %d, changes = %d, want 12, 0, 1", got, m.total("Memberships"), len(plan.Changes))
		}
		if plan.Changes[0].Impact.Members != 60 {
			t.Errorf("impact = %d, want 60", plan.Changes[0].Impact.Members)
		}
	})
	t.Run("a revoke needs no memberships", func(t *testing.T) {
		m, top := build(20, 0)
		top.direct.Add(1)
		plan := planFor(t, m, policyOf(append(listing(m, 1, 20), entry(policy.Group, "Top", policy.Authoritative))...))
		if m.total("Memberships") != 0 || m.total("GroupMembers") != 1 || len(plan.Changes) != 21 {
			t.Errorf("calls = %v, changes = %d, want one count and 21 changes", m.calls, len(plan.Changes))
		}
		relies := plan.Changes[0].Revoke[0].ReliesOn
		if len(relies) != 20 {
			t.Errorf("the group's revoke relies on %d grants, want 20", len(relies))
		}
	})
	t.Run("groups on the way are read once", func(t *testing.T) {
		m, top := build(20, 0)
		m.parentStyle = true
		top.direct.Add(1)
		planFor(t, m, policyOf(append(listing(m, 1, 20), entry(policy.Group, "Top", policy.Authoritative))...))
		for what, n := range m.asked {
			if strings.HasPrefix(what, "Held") && n > 1 {
				t.Errorf("%s was read %d times", what, n)
			}
		}
		if got := m.total("Held group"); got != 2 {
			t.Errorf("groups read = %d, want Top and Staff", got)
		}
	})
}

// TestUnsteadyLists: pages that do not fit together are read again.
func TestUnsteadyLists(t *testing.T) {
	for _, way := range []string{"unsteady", "no total"} {
		m := newModel()
		m.pageCap = 4
		m.noTotal = way == "no total"
		if way == "unsteady" {
			m.unsteady = map[string]int{"List": 1, "GroupMembers": 2}
		}
		g := m.group("Staff", nil)
		var entries []policy.Entry
		for i := range 20 {
			m.user(fmt.Sprintf("u%02d", i), nil, g)
			entries = append(entries, entry(policy.User, fmt.Sprintf("u%02d", i), policy.Additive, listed(1)))
		}
		entries = append(entries,
			entry(policy.Group, "Staff", policy.Additive, listed(1)),
			policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "*"}}, Forbid: []policy.Listed{listed(8)}},
			policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: "Staff"}}, Forbid: []policy.Listed{listed(8)}})
		plan := planFor(t, m, policyOf(entries...))
		if !plan.Complete || len(plan.Changes) != 1 || plan.Changes[0].Impact.Members != 20 || plan.Summary.Principals != 21 {
			t.Errorf("%s: changes = %+v findings = %v summary %+v, want the group alone, with 20 members", way, plan.Changes, plan.Findings, plan.Summary)
		}
		if m.unsteady["List"]+m.unsteady["GroupMembers"] != 0 {
			t.Errorf("%s: calls = %v, left %v, want both lists to be read again", way, m.calls, m.unsteady)
		}
	}
	// When the list of members comes to no rest, the users are asked.
	m := newModel()
	m.pageCap, m.unsteady = 4, map[string]int{"GroupMembers": 1000}
	g := m.group("Staff", nil)
	var entries []policy.Entry
	for i := range 20 {
		m.user(fmt.Sprintf("u%02d", i), nil, g)
		entries = append(entries, entry(policy.User, fmt.Sprintf("u%02d", i), policy.Additive, listed(1)))
	}
	plan := planFor(t, m, policyOf(append(entries, entry(policy.Group, "Staff", policy.Additive, listed(1)))...))
	if !plan.Complete || len(plan.Changes) != 1 || m.total("Memberships user") != 20 {
		t.Errorf("changes = %+v calls = %v, want the group alone, by 20 memberships", plan.Changes, m.calls)
	}
}

// TestReliesOn: what takes a direct grant away from somebody who is to keep the
// privilege through a group waits for that group's grant.
func TestReliesOn(t *testing.T) {
	m := newModel()
	gains := m.group("Gains", nil)
	loses := m.group("Loses", ids(1))
	under := m.user("under", ids(1), gains, loses)
	other := m.user("other", ids(1))
	plan := planFor(t, m, policyOf(
		entry(policy.Group, "Gains", policy.Additive, listed(1)),
		entry(policy.Group, "Loses", policy.Authoritative),
		entry(policy.User, "under", policy.Authoritative),
		entry(policy.User, "other", policy.Authoritative),
	))
	want := map[mstrapi.ObjectID]string{
		under.row.ID: fmt.Sprint([]mstrapi.ObjectID{gains.row.ID}),
		other.row.ID: "[]",
		loses.row.ID: fmt.Sprint([]mstrapi.ObjectID{gains.row.ID}),
	}
	for _, c := range plan.Changes {
		for _, r := range c.Revoke {
			if got := fmt.Sprint(r.ReliesOn); got != want[c.Principal.ID] {
				t.Errorf("revoke from %s relies on %s, want %s", c.Principal.Name, got, want[c.Principal.ID])
			}
		}
	}
	if len(plan.Changes) != 4 {
		t.Errorf("changes = %d, want 4", len(plan.Changes))
	}
}

var errBroken = &mstrapi.Error{Method: "GET", Path: "/api/x", Status: 500, Code: "ERR002", Message: "broken"}

// failing makes the calls whose name and id contain one of the texts fail.
func failing(texts ...string) func(string, mstrapi.ObjectID) error {
	return func(call string, id mstrapi.ObjectID) error {
		for _, text := range texts {
			if strings.Contains(call+" "+string(id), text) {
				return errBroken
			}
		}
		return nil
	}
}

// TestUnknownIsNeverEmpty: what could not be read gets no changes, and neither
// does anything that depends on it.
func TestUnknownIsNeverEmpty(t *testing.T) {
	type fixture struct {
		m                 *model
		top, staff        *subject
		lister, bystander *subject
	}
	build := func() fixture {
		f := fixture{m: newModel()}
		f.top = f.m.group("Top", ids(1, 2))
		f.staff = f.m.group("Staff", nil, f.top)
		f.lister = f.m.user("lister", nil, f.staff)
		f.bystander = f.m.user("bystander", ids(3), f.staff)
		return f
	}
	entries := func() []policy.Entry {
		return []policy.Entry{
			entry(policy.Group, "Top", policy.Authoritative),
			entry(policy.User, "lister", policy.Additive, listed(1)),
			entry(policy.User, "bystander", policy.Authoritative),
		}
	}
	t.Run("nothing fails", func(t *testing.T) {
		f := build()
		plan := planFor(t, f.m, policyOf(entries()...))
		if !plan.Complete || reasonIn(plan, f.top.row.ID, 1) != ReasonNotListed || reasonIn(plan, f.lister.row.ID, 1) != ReasonListed {
			t.Errorf("plan = %+v, want 1 to move from the group to the user", plan.Changes)
		}
	})
	t.Run("a user who lists what a group loses", func(t *testing.T) {
		f := build()
		f.m.fail = failing("Held user " + string(f.lister.row.ID))
		plan := planFor(t, f.m, policyOf(entries()...))
		if plan.Complete || plan.Summary.Unknown != 1 {
			t.Errorf("complete = %v, unknown = %d, want false and 1", plan.Complete, plan.Summary.Unknown)
		}
		if got := reasonIn(plan, f.top.row.ID, 1); got != "" {
			t.Errorf("privilege 1 is revoked from the group (%s) although who lists it could not be read", got)
		}
		if got := reasonIn(plan, f.top.row.ID, 2); got != ReasonNotListed {
			t.Errorf("privilege 2 of the group: %q, want it revoked: nobody lists it", got)
		}
		if got := reasonIn(plan, f.bystander.row.ID, 3); got != ReasonNotListed {
			t.Errorf("privilege 3 of the bystander: %q, want it revoked", got)
		}
		named := false
		for _, x := range plan.Findings {
			named = named || x.Code == CodeReadFailed && x.Privilege != nil && x.Privilege.ID == 1 &&
				strings.Contains(x.Message, "lister") && x.Principal.ID == f.top.row.ID
		}
		if !named {
			t.Errorf("findings = %v, want one that names the group and the user", plan.Findings)
		}
	})
	t.Run("a group on the way", func(t *testing.T) {
		f := build()
		f.m.parentStyle = true
		f.m.fail = failing("Held group " + string(f.staff.row.ID))
		plan := planFor(t, f.m, policyOf(entries()...))
		if plan.Complete || reasonIn(plan, f.top.row.ID, 1) != "" || reasonIn(plan, f.lister.row.ID, 1) != "" {
			t.Errorf("plan = %+v complete %v, want privilege 1 left alone", plan.Changes, plan.Complete)
		}
	})
	t.Run("the group itself", func(t *testing.T) {
		f := build()
		f.m.fail = failing("Held group " + string(f.top.row.ID))
		plan := planFor(t, f.m, policyOf(entries()...))
		if plan.Complete || len(plan.Changes) != 1 || plan.Changes[0].Principal.ID != f.bystander.row.ID {
			t.Errorf("plan = %+v complete %v, want only the bystander to change", plan.Changes, plan.Complete)
		}
	})
	t.Run("a group that is to give what a user loses", func(t *testing.T) {
		f := build()
		f.m.fail = failing("Held group " + string(f.staff.row.ID))
		wants := []policy.Entry{entry(policy.Group, "Staff", policy.Additive, listed(3)), entry(policy.User, "bystander", policy.Authoritative)}
		plan := planFor(t, f.m, policyOf(wants...))
		if plan.Complete || len(plan.Changes) > 0 || plan.Summary.Unknown != 2 || plan.Summary.InSync != 0 {
			t.Errorf("plan = %+v complete %v summary %+v, want nothing to change and nobody in sync", plan.Changes, plan.Complete, plan.Summary)
		}
		if !slices.ContainsFunc(plan.Findings, func(x Finding) bool {
			return x.Code == CodeReadFailed && x.Principal != nil && x.Principal.ID == f.bystander.row.ID && strings.Contains(x.Message, "Staff")
		}) {
			t.Errorf("findings = %v, want one that names the user and the group", plan.Findings)
		}
		wants[1].Forbid = []policy.Listed{{Ref: policy.Ref{ID: 3}}}
		plan = planFor(t, f.m, policyOf(wants...))
		if got := reasonIn(plan, f.bystander.row.ID, 3); got != ReasonForbidden {
			t.Errorf("privilege 3 of the user: %q, want it revoked: it is forbidden", got)
		}
	})
	t.Run("a grant that is redundant only for now", func(t *testing.T) {
		m := newModel()
		top := m.group("Top", ids(1))
		staff := m.group("Staff", ids(1), top)
		lister := m.user("lister", nil, staff)
		m.fail = failing("Held user " + string(lister.row.ID))
		keeps := entry(policy.Group, "Staff", policy.Additive, listed(1))
		keeps.Settings.Redundant = policy.RedundantRevoke
		plan := planFor(t, m, policyOf(entry(policy.Group, "Top", policy.Authoritative), keeps, entry(policy.User, "lister", policy.Additive, listed(1))))
		if plan.Complete || len(plan.Changes) > 0 || plan.Summary.Unknown != 3 {
			t.Errorf("plan = %+v complete %v summary %+v, want nothing to change: the group above will lose it", plan.Changes, plan.Complete, plan.Summary)
		}
	})
	t.Run("members cannot be counted", func(t *testing.T) {
		f := build()
		f.m.fail = failing("GroupMembers")
		plan := planFor(t, f.m, policyOf(entries()...))
		if plan.Complete || reasonIn(plan, f.top.row.ID, 2) != "" || reasonIn(plan, f.bystander.row.ID, 3) == "" {
			t.Errorf("plan = %+v complete %v, want the group left alone", plan.Changes, plan.Complete)
		}
	})
	t.Run("memberships of a user", func(t *testing.T) {
		m := newModel()
		m.pageCap = 2
		g := m.group("Large", nil)
		for i := range 20 {
			m.user(fmt.Sprintf("u%02d", i), nil, g)
		}
		lost := m.principals[1]
		m.fail = failing("Memberships user " + string(lost.row.ID))
		plan := planFor(t, m, policyOf(
			entry(policy.Group, "Large", policy.Additive, listed(1)),
			entry(policy.User, "u00", policy.Additive, listed(1)), entry(policy.User, "u01", policy.Additive, listed(1))))
		if plan.Complete || len(plan.Changes) != 1 || plan.Changes[0].Principal.ID != g.row.ID || plan.Summary.Unknown != 1 {
			t.Errorf("plan = %+v complete %v summary %+v, want the group alone and one unknown", plan.Changes, plan.Complete, plan.Summary)
		}
	})
	t.Run("whether a user is enabled", func(t *testing.T) {
		m := newModel()
		m.bareRows = true
		u := m.user("u", ids(5))
		m.user("other", nil)
		m.fail = failing("Principal " + string(u.row.ID))
		pol := policyOf(policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "The u"}}, Listed: policy.ListOf(listed(1))})
		pol.Rules = []policy.Rule{{Name: "r", Require: []policy.Ref{{ID: 5}}, AtLeast: 1}}
		if plan := planFor(t, m, parsed(pol)); plan.Complete || len(plan.BrokenRules()) != 1 || len(plan.Changes) > 0 {
			t.Errorf("plan = %+v complete %v findings %v, want it broken and incomplete", plan.Changes, plan.Complete, plan.Findings)
		}
	})
	t.Run("memberships of a group", func(t *testing.T) {
		m := newModel()
		top := m.group("Top", nil)
		under := m.group("Under", nil, top)
		m.fail = failing("Memberships group " + string(under.row.ID))
		plan := planFor(t, m, policyOf(
			entry(policy.Group, "Top", policy.Additive, listed(1)), entry(policy.Group, "Under", policy.Additive, listed(1))))
		if plan.Complete || reasonIn(plan, under.row.ID, 1) != "" || reasonIn(plan, top.row.ID, 1) != ReasonListed {
			t.Errorf("plan = %+v complete %v, want Under left alone", plan.Changes, plan.Complete)
		}
	})
	t.Run("a name", func(t *testing.T) {
		f := build()
		f.m.fail = failing("List user", "Search user")
		plan := planFor(t, f.m, policyOf(entries()...))
		if plan.Complete || plan.Summary.Unknown != 2 || reasonIn(plan, f.top.row.ID, 1) != "" || reasonIn(plan, f.top.row.ID, 2) == "" {
			t.Errorf("plan = %+v summary %+v, want two unknown and privilege 1 left alone", plan.Changes, plan.Summary)
		}
	})
	t.Run("a selector, and nobody counts as unlisted", func(t *testing.T) {
		f := build()
		f.m.fail = failing("GroupMembers " + string(f.staff.row.ID))
		list := append(entries()[:1], policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: "Staff"}}, Listed: policy.ListOf(listed(1))})
		pol := sketch(list...)
		pol.Unlisted = policy.UnlistedRevoke
		plan := planFor(t, f.m, parsed(pol))
		if plan.Complete || reasonIn(plan, f.bystander.row.ID, 3) != "" || reasonIn(plan, f.top.row.ID, 1) != "" {
			t.Errorf("plan = %+v, want neither the bystander nor privilege 1 of Top to change", plan.Changes)
		}
	})
	t.Run("a selector that might contradict", func(t *testing.T) {
		for _, what := range []string{"forbids", "lists", "is additive"} {
			f := build()
			f.bystander.direct.Add(1)
			f.m.fail = failing("GroupMembers " + string(f.staff.row.ID))
			chosen := policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: "Staff"}}}
			known := policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{LoginMatches: "by*"}}, Settings: policy.Settings{Mode: policy.Authoritative}}
			chosen.Settings.Mode = policy.Authoritative
			switch what {
			case "forbids":
				chosen.Forbid = []policy.Listed{{Ref: policy.Ref{ID: 1}}}
			case "lists":
				chosen.Listed = policy.ListOf(listed(3), listed(1))
			case "is additive":
				chosen.Settings.Mode, chosen.Forbid = policy.Additive, []policy.Listed{listed(8)}
			}
			list := append(entries()[:2], chosen, known)
			plan := planFor(t, f.m, policyOf(list...))
			top, lister, bystander := reasonIn(plan, f.top.row.ID, 1), reasonIn(plan, f.lister.row.ID, 1), reasonIn(plan, f.bystander.row.ID, 3)
			ok := top == "" && lister == "" && bystander == ReasonNotListed
			switch what {
			case "lists":
				ok = top == "" && lister == "" && bystander == ""
			case "is additive":
				ok = top == ReasonNotListed && lister == ReasonListed && bystander == ""
			}
			if !ok || plan.Complete {
				t.Errorf("%s: Top loses 1: %q, lister is granted 1: %q, bystander loses 3: %q; complete %v", what, top, lister, bystander, plan.Complete)
			}
		}
	})
	t.Run("an entry of its own", func(t *testing.T) {
		f := build()
		f.m.fail = failing("Principal " + string(f.bystander.row.ID))
		e := entry(policy.User, "bystander", policy.Additive, listed(3))
		e.Principal.ID = string(f.bystander.row.ID)
		pol := sketch(e, policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: "Staff"}}, Settings: policy.Settings{Mode: policy.Authoritative}})
		pol.Safety = &policy.Safety{Protected: []policy.PrincipalRef{*e.Principal}}
		plan := planFor(t, f.m, parsed(pol))
		if plan.Complete || len(plan.Changes) > 0 || len(plan.Safety.Protected) != 1 {
			t.Errorf("plan = %+v complete %v protected %v, want the bystander left alone and protected", plan.Changes, plan.Complete, plan.Safety.Protected)
		}
	})
	t.Run("a rule's users", func(t *testing.T) {
		f := build()
		stranger := f.m.user("stranger", nil, f.staff)
		f.m.fail = failing("Held user " + string(stranger.row.ID))
		pol := sketch(entries()...)
		pol.Rules = []policy.Rule{{Name: "r", Deny: []policy.Ref{{ID: 5}}}}
		if plan := planFor(t, f.m, parsed(pol)); plan.Complete {
			t.Error("a user whom a changed group reaches could not be read, and the plan counts as complete")
		}
	})
	t.Run("another policy's state", func(t *testing.T) {
		f := build()
		st := observe(t, f.m, policyOf(covering(policy.Group, "Top")))
		plan := Make(policyOf(entry(policy.Group, "Top", policy.Authoritative)), st, MakeOptions{})
		if plan.Complete || len(plan.Changes) > 0 {
			t.Errorf("plan = %+v complete %v, want nothing", plan.Changes, plan.Complete)
		}
	})
}

// TestObserveErrors are the cases in which nothing can be planned.
func TestObserveErrors(t *testing.T) {
	forbidden := &mstrapi.Error{Method: "GET", Path: "/api/x", Status: 403, Code: "ERR014", Message: "no"}
	expired := &mstrapi.Error{Method: "GET", Path: "/api/x", Status: 401, Code: "ERR003", Message: "no"}
	missing := &mstrapi.Error{Method: "GET", Path: "/api/x", Status: 404, Code: "ERR004", Message: "HTTP 404 Not Found"}
	gone := &mstrapi.Error{Method: "GET", Path: "/api/x", Unsent: true, Err: fmt.Errorf("%w: no usable answer for 1m0s", mstrapi.ErrUnreachable)}
	tests := []struct {
		name    string
		prepare func(*model)
		want    []string // in the error; nil: no error
		is      error
	}{
		{"not allowed", func(m *model) { m.denied = true }, []string{"The demo", "9", "Use User Manager", "grant it"}, ErrNotAllowed},
		{"not allowed to ask", func(m *model) { m.fail = failWith("SessionPrivilege", forbidden) }, []string{"Use User Manager", "ERR014"}, ErrNotAllowed},
		{"no such route", func(m *model) { m.fail = failWith("SessionPrivilege", missing) }, nil, nil},
		{"no answer", func(m *model) { m.fail = failWith("SessionPrivilege", errBroken) }, []string{"Use User Manager", "500"}, nil},
		{"no such privilege", func(m *model) { m.catalogue = m.catalogue[:8]; m.denied = true }, nil, nil},
		{"no versions", func(m *model) { m.fail = failWith("Status", errBroken) }, nil, nil},
		{"no user info", func(m *model) { m.fail = failWith("SessionUser", missing) }, nil, nil},
		{"user info fails", func(m *model) { m.fail = failWith("SessionUser", errBroken) }, []string{"session's user"}, nil},
		{"no catalogue", func(m *model) { m.fail = failWith("Catalogue", errBroken) }, []string{"catalogue"}, nil},
		{"empty catalogue", func(m *model) { m.catalogue = nil }, []string{"catalogue"}, mstrapi.ErrIncomplete},
		{"session lost", func(m *model) { m.fail = failWith("Held", expired) }, []string{"401"}, nil},
		{"server gone", func(m *model) { m.fail = failWith("Held", gone) }, []string{"stopped answering"}, mstrapi.ErrUnreachable},
		{"server gone early", func(m *model) { m.fail = failWith("Search", gone) }, []string{"stopped answering"}, mstrapi.ErrUnreachable},
		{"session lost early", func(m *model) { m.fail = failWith("Search", expired) }, []string{"401"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newModel()
			m.actor = m.user("demo", ids(1)).row.ID
			test.prepare(m)
			pol := policyOf(covering(policy.User, "demo"))
			var log bytes.Buffer
			_, err := Observe(t.Context(), m, pol, ObserveOptions{Now: testNow(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if (err != nil) != (test.want != nil) {
				t.Fatalf("Observe() error = %v, want one: %v", err, test.want != nil)
			}
			for _, text := range test.want {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("Observe() error = %q, want %q in it", err, text)
				}
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("Observe() error = %q does not match %q", err, test.is)
			}
		})
	}
}

func failWith(call string, err error) func(string, mstrapi.ObjectID) error {
	return func(name string, _ mstrapi.ObjectID) error {
		if strings.HasPrefix(name, call) {
			return err
		}
		return nil
	}
}

// TestObserveStops: when nobody waits any more, the context's error comes back,
// from whichever request it was seen at.
func TestObserveStops(t *testing.T) {
	reached := 0
	for stop := 1; ; stop++ {
		m := newModel()
		g := m.group("G", nil)
		for i := range 4 {
			m.user(fmt.Sprintf("u%d", i), ids(1), g)
		}
		pol := sketch(entry(policy.Group, "G", policy.Additive, listed(2)), entry(policy.User, "u1", policy.Additive, listed(2)), entry(policy.User, "u2", policy.Additive, listed(2)))
		pol.Rules = []policy.Rule{{Name: "r", Require: []policy.Ref{{ID: 3}}, AtLeast: 1}}
		pol = parsed(pol)
		ctx, cancel := context.WithCancelCause(t.Context())
		because := errors.New("enough")
		n := 0
		m.fail = func(string, mstrapi.ObjectID) error {
			if n++; n == stop {
				cancel(because)
				return context.Canceled
			}
			return nil
		}
		_, err := Observe(ctx, m, pol, ObserveOptions{Now: testNow(), Concurrency: 1})
		cancel(nil)
		if n < stop {
			reached = n
			break
		}
		if !errors.Is(err, because) {
			t.Fatalf("Observe() stopped at request %d: error = %v, want %v", stop, err, because)
		}
	}
	if reached < 12 {
		t.Errorf("only %d requests were interrupted", reached)
	}
}

// TestProgress: what is done grows up to what there is to do.
func TestProgress(t *testing.T) {
	m := newModel()
	var entries []policy.Entry
	for i := range 30 {
		m.user(fmt.Sprintf("u%d", i), nil)
		entries = append(entries, covering(policy.User, fmt.Sprintf("u%d", i)))
	}
	last := make(map[string][2]int)
	_, err := Observe(t.Context(), m, policyOf(entries...), ObserveOptions{Progress: func(phase string, done, total int) {
		if done > total || done < last[phase][0] {
			t.Errorf("progress %s %d/%d after %v", phase, done, total, last[phase])
		}
		last[phase] = [2]int{done, total}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range []string{"resolve", "observe"} {
		if last[phase] != [2]int{30, 30} {
			t.Errorf("progress of %s ends at %v, want 30/30", phase, last[phase])
		}
	}
}

// TestReadPrincipal sorts and filters what a server answers.
func TestReadPrincipal(t *testing.T) {
	group := []mstrapi.ObjectRef{{ID: idOf(mstrapi.Group, 1), Name: "G"}}
	answer := heldReader{
		{ID: 7, Level: mstrapi.LevelServer, Direct: true, Groups: group},
		{ID: 3, Level: mstrapi.LevelServer, Groups: group},
		{ID: 21, Level: mstrapi.LevelProject, Direct: true},
		{ID: 4, Level: mstrapi.LevelServer, Other: true},
	}
	seen, err := ReadPrincipal(t.Context(), answer, mstrapi.User, idOf(mstrapi.User, 1), mstrapi.LevelServer)
	if err != nil {
		t.Fatal(err)
	}
	if !seen.Direct.Equal(SetOf(7)) || !seen.Inherited.Equal(SetOf(3, 7)) || len(seen.Held) != 3 || seen.Held[0].ID != 3 || !seen.Held[1].Other || seen.Held[0].Other {
		t.Errorf("ReadPrincipal() = %+v, want direct 7 and inherited 3, 7", seen)
	}
}

type heldReader []mstrapi.Held

func (h heldReader) Held(context.Context, mstrapi.Kind, mstrapi.ObjectID, mstrapi.Level) ([]mstrapi.Held, error) {
	return h, nil
}

// TestStateTellsSources: an audit sees every privilege with the groups that the
// server named.
func TestStateTellsSources(t *testing.T) {
	m := newModel()
	b, a := m.group("B", ids(2, 3)), m.group("A", ids(2))
	u := m.user("u", ids(1, 2), a, b)
	u.other.Add(4)
	st := observe(t, m, policyOf(covering(policy.User, "u")))
	held := func() (list []string) {
		for o := range st.Principals() {
			for h := range st.Held(o) {
				list = append(list, fmt.Sprint(h.ID, h.Direct, h.Other, h.Groups))
			}
		}
		return list
	}
	got := held()
	want := []string{
		"1truefalse[]",
		fmt.Sprintf("2truefalse[{%s A} {%s B}]", a.row.ID, b.row.ID),
		fmt.Sprintf("3falsefalse[{%s B}]", b.row.ID),
		"4falsetrue[]",
	}
	if strings.ReplaceAll(fmt.Sprint(got), " ", "") != strings.ReplaceAll(fmt.Sprint(want), " ", "") {
		t.Errorf("held = %v, want %v", got, want)
	}
	if o := st.Lookup(u.row.ID); o == nil || !o.Covered {
		t.Errorf("Lookup() = %v, want the user", o)
	}
	st.Trim()
	if again := held(); !slices.Equal(again, got) {
		t.Errorf("held after Trim = %v, want %v", again, got)
	}
}

// TestTrimmedStateDecidesNothing: what was forgotten must not look as if nobody
// had it.
func TestTrimmedStateDecidesNothing(t *testing.T) {
	m := newModel()
	m.user("u", ids(2))
	pol := policyOf(entry(policy.User, "u", policy.Authoritative))
	st := observe(t, m, pol)
	if plan := Make(pol, st, MakeOptions{}); !plan.Complete || len(plan.Changes) != 1 {
		t.Fatalf("the plan before: complete %t, %d changes; want 1", plan.Complete, len(plan.Changes))
	}
	st.Trim()
	if plan := Make(pol, st, MakeOptions{}); plan.Complete || len(plan.Changes) != 0 {
		t.Errorf("a plan from a trimmed state: complete %t, changes %v", plan.Complete, plan.Changes)
	}
}

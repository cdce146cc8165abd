package planner

import (
	"slices"
	"strings"
	"testing"

	"privsync/mstrapi"
	"privsync/policy"
)

// TestSelectorConditions: each condition of a selector alone, and with others.
func TestSelectorConditions(t *testing.T) {
	yes, no := true, false
	user := func(s policy.Selector) policy.Selector { s.Kind = policy.User; return s }
	group := func(s policy.Selector) policy.Selector { s.Kind = policy.Group; return s }
	tests := []struct {
		name     string
		selector policy.Selector
		want     string // logins and group names, sorted
	}{
		{"every user", user(policy.Selector{Conditions: policy.Conditions{NameMatches: "*"}}), "Ann Bob SVC_two svc_one"},
		{"memberOf", user(policy.Selector{Conditions: policy.Conditions{MemberOf: "Staff"}}), "Ann svc_one"},
		{"memberOf, nested", user(policy.Selector{Conditions: policy.Conditions{MemberOf: "Staff", Nested: true}}), "Ann SVC_two svc_one"},
		{"memberOf a group without direct users", user(policy.Selector{Conditions: policy.Conditions{MemberOf: "Company"}}), ""},
		{"memberOf that, nested", user(policy.Selector{Conditions: policy.Conditions{MemberOf: "Company", Nested: true}}), "Ann SVC_two svc_one"},
		{"loginMatches", user(policy.Selector{Conditions: policy.Conditions{LoginMatches: "svc_*"}}), "SVC_two svc_one"},
		{"loginMatches, question mark", user(policy.Selector{Conditions: policy.Conditions{LoginMatches: "?o?"}}), "Bob"},
		{"loginMatches, whole", user(policy.Selector{Conditions: policy.Conditions{LoginMatches: "svc"}}), ""},
		{"nameMatches", user(policy.Selector{Conditions: policy.Conditions{NameMatches: "The *"}}), "Ann Bob SVC_two svc_one"},
		{"nameMatches, exact case", user(policy.Selector{Conditions: policy.Conditions{NameMatches: "The svc*"}}), "svc_one"},
		{"enabled", user(policy.Selector{Conditions: policy.Conditions{Enabled: &yes}}), "Ann SVC_two"},
		{"not enabled", user(policy.Selector{Conditions: policy.Conditions{Enabled: &no}}), "Bob svc_one"},
		{"memberOf and loginMatches", user(policy.Selector{Conditions: policy.Conditions{MemberOf: "Staff", LoginMatches: "SVC*"}}), "svc_one"},
		{"memberOf, nested and enabled", user(policy.Selector{Conditions: policy.Conditions{MemberOf: "Staff", Nested: true, Enabled: &yes}}), "Ann SVC_two"},
		{"loginMatches and not enabled", user(policy.Selector{Conditions: policy.Conditions{LoginMatches: "*o*", Enabled: &no}}), "Bob svc_one"},
		{"everything", user(policy.Selector{Conditions: policy.Conditions{MemberOf: "Company", Nested: true, LoginMatches: "svc*", NameMatches: "The *", Enabled: &yes}}), "SVC_two"},
		{"every group", group(policy.Selector{Conditions: policy.Conditions{NameMatches: "*"}}), "Company Night Shift Staff"},
		{"groups memberOf", group(policy.Selector{Conditions: policy.Conditions{MemberOf: "Company"}}), "Staff"},
		{"groups memberOf, nested", group(policy.Selector{Conditions: policy.Conditions{MemberOf: "Company", Nested: true}}), "Night Shift Staff"},
		{"groups nameMatches", group(policy.Selector{Conditions: policy.Conditions{NameMatches: "*f*"}}), "Night Shift Staff"},
		{"groups nameMatches, exact case", group(policy.Selector{Conditions: policy.Conditions{NameMatches: "n*"}}), ""},
		{"groups, both", group(policy.Selector{Conditions: policy.Conditions{MemberOf: "Company", Nested: true, NameMatches: "Night*"}}), "Night Shift"},
	}
	for _, test := range tests {
		for _, way := range []string{"plain", "bare rows", "flat ignored", "flat with groups"} {
			t.Run(test.name+"/"+way, func(t *testing.T) {
				m := newModel()
				m.bareRows, m.flatIgnored, m.flatWithGroups = way == "bare rows", way == "flat ignored", way == "flat with groups"
				company := m.group("Company", nil)
				staff := m.group("Staff", nil, company)
				night := m.group("Night Shift", nil, staff)
				m.user("Ann", nil, staff)
				m.user("Bob", nil).row.Enabled = mstrapi.No
				m.user("svc_one", nil, staff).row.Enabled = mstrapi.No
				m.user("SVC_two", nil, night)
				st := observe(t, m, policyOf(policy.Entry{Selector: &test.selector, Forbid: []policy.Listed{{Ref: policy.Ref{ID: 1}}}}))
				var got []string
				for o := range st.Principals() {
					row := m.byID[o.Principal.ID].row // bare rows do not tell the login
					if row.Kind == mstrapi.User {
						got = append(got, row.Login)
					} else {
						got = append(got, row.Name)
					}
				}
				slices.Sort(got)
				if text := strings.Join(got, " "); text != test.want {
					t.Errorf("the selector chooses %q, want %q", text, test.want)
				}
			})
		}
	}
}

// TestRequestsForSelectors: what selectors share is read once, and no more than
// they need.
func TestRequestsForSelectors(t *testing.T) {
	build := func() *model {
		m := newModel()
		company := m.group("Company", nil)
		staff := m.group("Staff", nil, company)
		for _, login := range []string{"a1", "a2", "b1", "b2", "b3"} {
			m.user(login, nil, staff)
		}
		return m
	}
	entryFor := func(s policy.Selector) policy.Entry {
		return policy.Entry{Selector: &s, Forbid: []policy.Listed{{Ref: policy.Ref{ID: 1}}}}
	}
	users := policy.User
	tests := []struct {
		name                 string
		selectors            []policy.Selector
		lists, members, held int
		lookups              int // for the groups that are named
	}{
		{"by login: the list", []policy.Selector{{Kind: users, Conditions: policy.Conditions{LoginMatches: "a*"}}}, 1, 0, 2, 0},
		{"three by login: one list", []policy.Selector{{Kind: users, Conditions: policy.Conditions{LoginMatches: "a*"}}, {Kind: users, Conditions: policy.Conditions{LoginMatches: "b*"}}, {Kind: users, Conditions: policy.Conditions{NameMatches: "The *"}}}, 1, 0, 5, 0},
		{"members: no list", []policy.Selector{{Kind: users, Conditions: policy.Conditions{MemberOf: "Staff"}}}, 0, 1, 5, 1},
		{"members twice: one read", []policy.Selector{{Kind: users, Conditions: policy.Conditions{MemberOf: "Staff", LoginMatches: "a*"}}, {Kind: users, Conditions: policy.Conditions{MemberOf: "Staff", LoginMatches: "b*"}}}, 0, 1, 5, 1},
		{"nested: one flat read", []policy.Selector{{Kind: users, Conditions: policy.Conditions{MemberOf: "Company", Nested: true}}}, 0, 1, 5, 1},
		{"nobody: nothing held is read", []policy.Selector{{Kind: users, Conditions: policy.Conditions{LoginMatches: "x*"}}}, 1, 0, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := build()
			var entries []policy.Entry
			for _, s := range test.selectors {
				entries = append(entries, entryFor(s))
			}
			planFor(t, m, policyOf(entries...))
			if got := m.total("List"); got != test.lists {
				t.Errorf("pages of lists = %d, want %d: %v", got, test.lists, m.calls)
			}
			if got := m.total("GroupMembers"); got != test.members {
				t.Errorf("pages of members = %d, want %d: %v", got, test.members, m.calls)
			}
			if got := m.total("Search", "Principal"); got != test.lookups {
				t.Errorf("lookups = %d, want %d: %v", got, test.lookups, m.calls)
			}
			if got := m.total("Held"); got != test.held {
				t.Errorf("principals read = %d, want %d: %v", got, test.held, m.calls)
			}
		})
	}
}

// TestMayChoose: where it is not known whom a selector chooses, only what is certain
// takes somebody out, for who is not taken out is spared or protected.
func TestMayChoose(t *testing.T) {
	pol := policyOf(policy.Entry{
		Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: "Staff", LoginMatches: "SVC_*", Enabled: new(bool)}},
		Listed:   policy.ListOf(listed(1)),
	})
	selector := pol.Principals[0].Selector
	for _, tt := range []struct {
		login   string
		enabled mstrapi.Tri
		kind    mstrapi.Kind
		want    bool
	}{
		{"svc_a", mstrapi.No, mstrapi.User, true},
		{"svc_a", mstrapi.Unknown, mstrapi.User, true},
		{"", mstrapi.No, mstrapi.User, true},
		{"", mstrapi.Unknown, mstrapi.User, true},
		{"svc_a", mstrapi.Yes, mstrapi.User, false},
		{"bob", mstrapi.Unknown, mstrapi.User, false},
		{"", mstrapi.Yes, mstrapi.User, false},
		{"", mstrapi.Unknown, mstrapi.Group, false},
	} {
		o := &Observed{Principal: Principal{Kind: tt.kind, Name: "A", Login: tt.login}, Enabled: tt.enabled}
		if got := mayChoose(selector, o); got != tt.want {
			t.Errorf("mayChoose(%s %q, enabled %d) = %v, want %v", tt.kind, tt.login, tt.enabled, got, tt.want)
		}
	}
}

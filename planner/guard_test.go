package planner

import (
	"fmt"
	"testing"

	"privsync/mstrapi"
	"privsync/policy"
)

// manyRevokes is a plan that revokes i+1 privileges from the i-th of n users.
func manyRevokes(t *testing.T, n int, safety *policy.Safety) *Plan {
	m := newModel()
	var entries []policy.Entry
	for i := range n {
		var direct []mstrapi.PrivilegeID
		for p := range i%8 + 1 {
			direct = append(direct, mstrapi.PrivilegeID(p+1))
		}
		m.user(fmt.Sprintf("u%02d", i), direct)
		entries = append(entries, entry(policy.User, fmt.Sprintf("u%02d", i), policy.Authoritative))
	}
	pol := sketch(entries...)
	pol.Safety = safety
	return planFor(t, m, parsed(pol))
}

func TestCountGuards(t *testing.T) {
	limit := func(n int, percent bool) *policy.Limit { return &policy.Limit{Number: n, Percent: percent} }
	// 8 users: 1 + 2 + … + 8 = 36 revokes of 36 observed direct grants.
	tests := []struct {
		name     string
		safety   *policy.Safety
		override Overrides
		want     string // guards; allowed ones in brackets
		text     []string
	}{
		{"no safety", nil, Overrides{}, "", nil},
		{"within", &policy.Safety{MaxRevokes: limit(36, false), MaxChangedPrincipals: limit(8, false)}, Overrides{}, "", nil},
		{"too many revokes", &policy.Safety{MaxRevokes: limit(35, false)}, Overrides{}, "maxRevokes", []string{"36", "35", "--max-revokes 36", "safety: {maxRevokes: 36}"}},
		{"zero", &policy.Safety{MaxRevokes: limit(0, false)}, Overrides{}, "maxRevokes", nil},
		{"too many principals", &policy.Safety{MaxChangedPrincipals: limit(7, false)}, Overrides{}, "maxChangedPrincipals", []string{"8", "7", "--max-changed 8"}},
		{"percent", &policy.Safety{MaxRevokes: limit(99, true)}, Overrides{}, "maxRevokes", []string{"99% of 36"}},
		{"all of it", &policy.Safety{MaxRevokes: limit(100, true)}, Overrides{}, "", nil},
		{"allowed", &policy.Safety{MaxRevokes: limit(5, false)}, Overrides{MaxRevokes: limit(36, false)}, "(maxRevokes)", []string{"--max-revokes 36", "limit of 5"}},
		{"allowed by percent", &policy.Safety{MaxRevokes: limit(5, false)}, Overrides{MaxRevokes: limit(100, true)}, "(maxRevokes)", nil},
		{"not enough allowed", &policy.Safety{MaxRevokes: limit(5, false)}, Overrides{MaxRevokes: limit(35, false)}, "maxRevokes", []string{"35", "--max-revokes sets"}},
		{"flag alone", nil, Overrides{MaxRevokes: limit(35, false), MaxChangedPrincipals: limit(1, false)}, "maxRevokes maxChangedPrincipals", nil},
		{"flag stricter than the policy", &policy.Safety{MaxRevokes: limit(100, false)}, Overrides{MaxRevokes: limit(1, false)}, "maxRevokes", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := manyRevokes(t, 8, test.safety)
			got, guards := "", Guards(plan, test.override)
			for i, g := range guards {
				name := g.Name
				if g.Allowed {
					name = "(" + name + ")"
				}
				if i > 0 {
					got += " "
				}
				got += name
				if len(g.Offenders) == 0 || g.Actual == "" || g.Limit == "" {
					t.Errorf("guard = %+v, want offenders, a number and a limit", g)
				}
			}
			if got != test.want {
				t.Fatalf("Guards() = %q, want %q", got, test.want)
			}
			if len(guards) > 0 {
				contains(t, guards[0].Message, test.text...)
			}
		})
	}
	guards := Guards(manyRevokes(t, 20, &policy.Safety{MaxRevokes: limit(1, false)}), Overrides{})
	if o := guards[0].Offenders; len(o) != 10 || o[0].Login != "u07" || o[1].Login != "u15" || o[2].Login != "u06" {
		t.Errorf("offenders = %v, want the ten with most revokes", o)
	}
	plan := manyRevokes(t, 2, nil)
	plan.Safety.MaxRevokes = "many"
	if guards := Guards(plan, Overrides{}); len(guards) != 1 || guards[0].Allowed {
		t.Errorf("Guards() of a limit that cannot be read = %v, want a refusal", guards)
	}
}

func TestProtectedGuard(t *testing.T) {
	m := newModel()
	g := m.group("Admins", ids(1))
	m.user("root", ids(1), g)
	pol := sketch(entry(policy.Group, "Admins", policy.Authoritative), entry(policy.User, "root", policy.Additive, listed(2)))
	pol.Safety = &policy.Safety{Protected: []policy.PrincipalRef{{Kind: policy.Group, Name: "Admins"}}}
	plan := planFor(t, m, parsed(pol))
	guards := Guards(plan, Overrides{MaxRevokes: &policy.Limit{Number: 99}})
	if len(guards) != 1 || guards[0].Name != GuardProtected || guards[0].Allowed || len(guards[0].Offenders) != 1 || guards[0].Offenders[0].ID != g.row.ID {
		t.Errorf("Guards() = %+v, want the group alone, not its member", guards)
	}
	pol.Safety.Protected[0].Name = "Admin"
	if plan = planFor(t, m, parsed(pol)); !hasFinding(plan, CodeUnknownPrincipal) {
		t.Errorf("findings = %v, want the unknown protected principal", plan.Findings)
	}
}

// TestOwnPrivilege: whoever works must be able to go on working.
func TestOwnPrivilege(t *testing.T) {
	type world struct {
		m            *model
		outer, inner *subject
		actor        *subject
	}
	build := func() world {
		w := world{m: newModel()}
		w.outer = w.m.group("Outer", nil)
		w.inner = w.m.group("Inner", nil, w.outer)
		w.actor = w.m.user("session", nil, w.inner)
		w.m.actor = w.actor.row.ID
		return w
	}
	drop := entry(policy.Group, "Outer", policy.Authoritative)
	tests := []struct {
		name    string
		prepare func(w world)
		entries []policy.Entry
		loses   bool
	}{
		{"its own grant", func(w world) { w.actor.direct.Add(managerID) }, []policy.Entry{entry(policy.User, "session", policy.Authoritative)}, true},
		{"forbidden", func(w world) { w.actor.direct.Add(managerID) }, []policy.Entry{func() policy.Entry {
			e := entry(policy.User, "session", policy.Additive)
			e.Forbid = []policy.Listed{{Ref: policy.Ref{ID: int(managerID)}}}
			return e
		}()}, true},
		{"a group's grant", func(w world) { w.outer.direct.Add(managerID) }, []policy.Entry{drop}, true},
		{"one of two groups", func(w world) { w.outer.direct.Add(managerID); w.inner.direct.Add(managerID) }, []policy.Entry{drop}, false},
		{"own grant stays", func(w world) { w.outer.direct.Add(managerID); w.actor.direct.Add(managerID) }, []policy.Entry{drop}, false},
		{"listed for it", func(w world) { w.outer.direct.Add(managerID) }, []policy.Entry{drop, entry(policy.User, "session", policy.Additive, listed(managerID))}, false},
		{"another group gains it", func(w world) { w.outer.direct.Add(managerID) }, []policy.Entry{drop, entry(policy.Group, "Inner", policy.Additive, listed(managerID))}, false},
		{"it never had it", func(w world) { w.m.group("Elsewhere", ids(managerID)) }, []policy.Entry{entry(policy.Group, "Elsewhere", policy.Authoritative)}, false},
		{"it cannot be read", func(w world) {
			w.outer.direct.Add(managerID)
			w.m.fail = failing("Held user " + string(w.actor.row.ID))
		}, []policy.Entry{drop}, true},
		{"nobody knows who it is", func(w world) { w.outer.direct.Add(managerID); w.m.actor = "" }, []policy.Entry{drop}, true},
	}
	for _, test := range tests {
		for _, style := range []bool{false, true} {
			w := build()
			w.m.parentStyle = style
			test.prepare(w)
			plan := planFor(t, w.m, policyOf(test.entries...))
			guards := Guards(plan, Overrides{})
			if (len(guards) == 1) != test.loses {
				t.Errorf("%s: guards = %+v, want one: %v", test.name, guards, test.loses)
				continue
			}
			if test.loses {
				contains(t, guards[0].Message, ManagerPrivilege)
				if guards[0].Name != GuardOwnPrivilege || len(guards[0].Offenders) == 0 {
					t.Errorf("%s: guard = %+v, want ownPrivilege with who does it", test.name, guards[0])
				}
			}
		}
	}
	// A revoke from the session's own user waits even when it is forbidden.
	w := build()
	w.actor.direct.Add(managerID)
	e := entry(policy.User, "session", policy.Additive)
	e.Forbid = []policy.Listed{{Ref: policy.Ref{ID: int(managerID)}}}
	plan := planFor(t, w.m, policyOf(e, entry(policy.Group, "Outer", policy.Additive, listed(managerID))))
	for _, c := range plan.Changes {
		if c.Principal.ID == w.actor.row.ID && len(c.Revoke[0].ReliesOn) != 1 {
			t.Errorf("revoke from the session's user relies on %v, want the group", c.Revoke[0].ReliesOn)
		}
	}
	if len(Guards(plan, Overrides{})) > 0 {
		t.Errorf("guards = %v, want none: a group gives it", Guards(plan, Overrides{}))
	}
}

// TestWorkingPrivilegeByAnyName: a guard that finds no privilege of the known
// name closes; candidates are found without case, and the session says which of
// them it holds.
func TestWorkingPrivilegeByAnyName(t *testing.T) {
	forbids := func(kind policy.Kind, name string, ids ...int) policy.Entry {
		e := entry(kind, name, policy.Additive)
		for _, id := range ids {
			e.Forbid = append(e.Forbid, policy.Listed{Ref: policy.Ref{ID: id}})
		}
		return e
	}
	own := func(refs ...policy.Ref) *policy.Safety { return &policy.Safety{OwnPrivileges: refs} }
	tests := []struct {
		name    string
		prepare func(m *model)
		entry   policy.Entry
		safety  *policy.Safety
		refuse  string
	}{
		{"another case", func(m *model) { m.catalogue[8].Name = " use  user manager" }, forbids(policy.User, "session", 9), nil, "9"},
		{"a second of that name", func(m *model) {
			m.catalogue[7].Name = "USE USER MANAGER"
			m.allowed = SetOf(9)
		}, forbids(policy.User, "session", 9), nil, "9"},
		{"a second of that name, which it does not hold", func(m *model) {
			m.catalogue[7].Name = "USE USER MANAGER"
			m.allowed = SetOf(9)
		}, forbids(policy.User, "session", 8), nil, ""},
		{"a project-level flag", func(m *model) { m.catalogue[8].ProjectLevel = true; m.level = mstrapi.LevelServer },
			entry(policy.User, "session", policy.Authoritative), nil, "9"},
		{"what writing needs", func(m *model) { m.catalogue[2].Name = "Grant/revoke Privileges" }, forbids(policy.User, "session", 3), nil, "Grant/revoke"},
		{"another language", func(m *model) { m.catalogue[8].Name = "Benutzermanager" }, forbids(policy.User, "session", 3), nil, "ownPrivileges"},
		{"another language, a group above", func(m *model) { m.catalogue[8].Name = "Benutzermanager" }, forbids(policy.Group, "Outer", 4), nil, "ownPrivileges"},
		{"another language, another user", func(m *model) { m.catalogue[8].Name = "Benutzermanager" }, forbids(policy.User, "other", 3), nil, ""},
		{"another language, a group elsewhere", func(m *model) { m.catalogue[8].Name = "Benutzermanager" }, forbids(policy.Group, "Elsewhere", 4), nil, ""},
		{"named by number, something else", func(m *model) { m.catalogue[8].Name = "Benutzermanager" }, forbids(policy.User, "session", 3), own(policy.Ref{ID: 9}), ""},
		{"named by name", func(m *model) { m.catalogue[8].Name = "Benutzermanager" }, forbids(policy.User, "session", 9), own(policy.Ref{Name: "BENUTZERMANAGER"}), "Benutzermanager"},
		{"named, instead of the known one", func(*model) {}, forbids(policy.User, "session", 3), own(policy.Ref{ID: 3}), "P3"},
		{"nobody knows who it is", func(m *model) { m.actor = "" }, forbids(policy.User, "other", 9), nil, ManagerPrivilege},
	}
	for _, test := range tests {
		for _, style := range []bool{false, true} {
			m := newModel()
			m.parentStyle = style
			outer := m.group("Outer", ids(4))
			inner := m.group("Inner", nil, outer)
			m.group("Elsewhere", ids(4))
			m.actor = m.user("session", ids(3, 8, 9), inner).row.ID
			m.user("other", ids(3, 9))
			test.prepare(m)
			pol := sketch(test.entry)
			pol.Safety = test.safety
			plan := planFor(t, m, parsed(pol))
			guards := Guards(plan, Overrides{})
			if len(plan.Changes) == 0 || (len(guards) == 1) != (test.refuse != "") {
				t.Errorf("%s: changes %+v, guards %+v; want a refusal: %v", test.name, plan.Changes, guards, test.refuse != "")
				continue
			}
			if test.refuse != "" {
				contains(t, guards[0].Message, test.refuse)
			}
		}
	}

	m := newModel()
	m.actor = m.user("session", ids(9)).row.ID
	pol := sketch(covering(policy.User, "session"))
	pol.Safety = own(policy.Ref{Name: "No such thing"})
	if plan := planFor(t, m, parsed(pol)); !hasFinding(plan, CodeUnknownPrivilege) || len(plan.Blocking()) == 0 {
		t.Errorf("findings = %+v, want the unknown own privilege", plan.Findings)
	}
}

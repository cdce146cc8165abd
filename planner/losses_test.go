package planner

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"privsync/mstrapi"
	"privsync/policy"
)

// TestJudgeFor: whoever applies a saved plan, or one that undoes a report, keeps
// what the work needs; exactly, for the server can be asked.
func TestJudgeFor(t *testing.T) {
	type world struct {
		m                       *model
		outer, inner, elsewhere *subject
		actor, other            *subject
	}
	revoke := func(who *subject, p mstrapi.PrivilegeID) Change {
		return Change{Principal: principalOf(who.row), Revoke: []PlannedPrivilege{{PrivilegeRef: PrivilegeRef{ID: p}, Reason: ReasonRollback}}}
	}
	grant := func(who *subject, p mstrapi.PrivilegeID) Change {
		return Change{Principal: principalOf(who.row), Grant: []PlannedPrivilege{{PrivilegeRef: PrivilegeRef{ID: p}, Reason: ReasonRollback}}}
	}
	rename := func(w world) { w.m.catalogue[8].Name = "Benutzermanager verwenden" }
	tests := []struct {
		name    string
		prepare func(w world)
		changes func(w world) []Change
		own     []string // that the plan claims
		refuse  string   // part of the message
		named   string   // what a policy at hand names; empty: there is none
	}{
		{"nobody loses it", func(w world) { w.actor.direct.Add(managerID) }, func(w world) []Change { return nil }, nil, "", ""},
		{"somebody else", func(w world) { w.actor.direct.Add(managerID) }, func(w world) []Change { return []Change{revoke(w.other, managerID)} }, nil, "", ""},
		{"its own grant", func(w world) { w.actor.direct.Add(managerID) }, func(w world) []Change { return []Change{revoke(w.actor, managerID)} }, nil, ManagerPrivilege, ""},
		{"its own grant, a group's stays", func(w world) { w.actor.direct.Add(managerID); w.outer.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.actor, managerID)} }, nil, "", ""},
		{"the only group", func(w world) { w.outer.direct.Add(managerID) }, func(w world) []Change { return []Change{revoke(w.outer, managerID)} }, nil, ManagerPrivilege, ""},
		{"one of two groups", func(w world) { w.outer.direct.Add(managerID); w.inner.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.outer, managerID)} }, nil, "", ""},
		{"both groups", func(w world) { w.outer.direct.Add(managerID); w.inner.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.outer, managerID), revoke(w.inner, managerID)} }, nil, ManagerPrivilege, ""},
		{"another group gains it", func(w world) { w.outer.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.outer, managerID), grant(w.inner, managerID)} }, nil, "", ""},
		{"a group that it is not in", func(w world) { w.actor.direct.Add(managerID); w.elsewhere.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.elsewhere, managerID)} }, nil, "", ""},
		{"nobody knows who it is", func(w world) { w.m.actor = "" }, func(w world) []Change { return []Change{revoke(w.other, managerID)} }, nil, ManagerPrivilege, ""},
		{"the plan says that it works with another", func(w world) { w.actor.direct.Add(managerID); w.actor.direct.Add(3) },
			func(w world) []Change { return []Change{revoke(w.actor, managerID)} }, []string{"3"}, ManagerPrivilege, ""},
		{"not held at all", func(world) {}, func(w world) []Change { return []Change{revoke(w.outer, managerID)} }, nil, "", ""},

		{"no such name, a group above", rename, func(w world) []Change { return []Change{revoke(w.outer, 3)} }, nil, "ownPrivileges", ""},
		{"no such name, its own", rename, func(w world) []Change { return []Change{revoke(w.actor, 3)} }, nil, "ownPrivileges", ""},
		{"no such name, elsewhere", rename, func(w world) []Change { return []Change{revoke(w.elsewhere, 3), revoke(w.other, 3)} }, nil, "", ""},
		{"no such name, named by the plan alone", func(w world) { rename(w); w.outer.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.outer, 3)} }, []string{"9"}, "with -f", ""},
		{"no such name, the plan names a harmless one", func(w world) { rename(w); w.outer.direct.Add(managerID); w.actor.direct.Add(3) },
			func(w world) []Change { return []Change{revoke(w.outer, managerID)} }, []string{"3"}, "with -f", ""},
		{"no such name, named by the policy", func(w world) { rename(w); w.outer.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.outer, 3)} }, nil, "", "9"},
		{"no such name, the policy names the one", func(w world) { rename(w); w.outer.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.outer, managerID)} }, []string{"3"}, "Benutzermanager", "9"},
		{"no such name, the named one", func(w world) { rename(w); w.outer.direct.Add(managerID) },
			func(w world) []Change { return []Change{revoke(w.outer, managerID)} }, []string{"benutzermanager  VERWENDEN"}, "Benutzermanager", ""},
	}
	for _, test := range tests {
		w := world{m: newModel()}
		w.outer = w.m.group("Outer", nil)
		w.inner = w.m.group("Inner", nil, w.outer)
		w.elsewhere = w.m.group("Elsewhere", nil)
		w.actor = w.m.user("session", nil, w.inner)
		w.other = w.m.user("other", nil)
		w.m.actor = w.actor.row.ID
		test.prepare(w)
		for _, style := range []bool{false, true} {
			w.m.parentStyle = style
			plan := &Plan{Scope: Scope{Level: mstrapi.LevelServer}, Changes: test.changes(w)}
			if test.own != nil {
				plan.Policy.InForce = &InForce{Safety: &PolicySafety{OwnPrivileges: test.own}}
			}
			var pol *policy.Policy
			if test.named != "" {
				n, err := strconv.Atoi(test.named)
				if err != nil {
					t.Fatal(err)
				}
				pol = sketch(covering(policy.User, "session"))
				pol.Safety = &policy.Safety{OwnPrivileges: []policy.Ref{{ID: n}}}
				pol = parsed(pol)
			}
			judged, err := JudgeFor(t.Context(), w.m, plan, pol, Actor{ID: w.m.actor, Name: "session"})
			if err != nil {
				t.Errorf("%s: JudgeFor = %v", test.name, err)
				continue
			}
			guards := Guards(judged, Overrides{})
			if got := len(guards) == 1 && guards[0].Name == GuardOwnPrivilege; got != (test.refuse != "") {
				t.Errorf("%s: guards = %+v, want a refusal: %v", test.name, guards, test.refuse != "")
			} else if got && !strings.Contains(guards[0].Message, test.refuse) {
				t.Errorf("%s: message %q does not name %q", test.name, guards[0].Message, test.refuse)
			}
			if plan.Safety.ActorLoses != nil || plan.Safety.ActorRisks != nil {
				t.Errorf("%s: JudgeFor changed the plan: %+v", test.name, plan.Safety)
			}
		}
	}

	m := newModel()
	g := m.group("Outer", ids(managerID))
	m.actor = m.user("session", nil, g).row.ID
	plan := &Plan{Scope: Scope{Level: mstrapi.LevelServer}, Changes: []Change{revoke(g, managerID)}}
	m.fail = failing("Memberships user " + string(m.actor))
	if _, err := JudgeFor(t.Context(), m, plan, nil, Actor{ID: m.actor}); err == nil {
		t.Error("JudgeFor where nothing can be read = nil, want an error")
	}
	m.fail, m.denied = nil, true
	if _, err := JudgeFor(t.Context(), m, plan, nil, Actor{ID: m.actor}); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("JudgeFor of a user without the privilege = %v, want ErrNotAllowed", err)
	}
}

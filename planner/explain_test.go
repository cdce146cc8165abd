package planner

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"privsync/mstrapi"
	"privsync/policy"
)

// answers counts what is explained about everybody and every privilege, which is what
// the plan does; the reason that is given is true on the server.
type answers struct {
	mu    sync.Mutex
	met   map[string]int
	cases int
}

// check compares what d explains with its plan and with what n knows.
func (a *answers) check(t *rapid.T, m *model, d *draft, plan *Plan, n *naive) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cases++
	for _, s := range m.principals {
		x := d.explained(plan, s.row.ID)
		checkExplained(t, m, plan, x)
		for _, p := range m.catalogue {
			if n.conflicts {
				continue
			}
			got, want := x.Decision(p.ID), n.explain(s, p.ID)
			if got != want {
				t.Fatalf("Decision(%s %s, %d) = %q, want %q", s.row.Kind, s.row.ID, p.ID, got, want)
			}
			a.met[want]++
		}
	}
}

func (a *answers) enough(t *testing.T) {
	t.Logf("%d answers in %d cases", len(a.met), a.cases)
	if a.cases >= 100 && len(a.met) < 25 {
		t.Errorf("only %d different answers in %d cases: %v", len(a.met), a.cases, a.met)
	}
}

// checkExplained compares what is explained about a principal with the changes and the
// findings of the plan.
func checkExplained(t *rapid.T, m *model, plan *Plan, x *Explained) {
	grants, revokes := make(map[mstrapi.PrivilegeID]Reason), make(map[mstrapi.PrivilegeID]Reason)
	for _, c := range plan.Changes {
		if c.Principal.ID != x.id {
			continue
		}
		for _, g := range c.Grant {
			grants[g.ID] = g.Reason
		}
		for _, r := range c.Revoke {
			revokes[r.ID] = r.Reason
		}
	}
	told := 0
	for _, p := range append(slices.Clone(m.catalogue), mstrapi.Privilege{}) {
		for _, f := range x.Findings(p.ID) {
			if !slices.Contains(f.Concerned(), x.id) && f.Code != CodeRuleViolation {
				t.Fatalf("Findings(%d) of %s has one of others: %+v", p.ID, x.id, f)
			}
			if slices.Contains(f.Concerned(), x.id) {
				told++
			}
		}
		if p.ID == 0 {
			continue
		}
		got := x.Decision(p.ID)
		want := "no change: "
		if r, ok := grants[p.ID]; ok {
			want = fmt.Sprintf("grant (%s)", r)
		} else if r, ok := revokes[p.ID]; ok {
			want = fmt.Sprintf("revoke (%s)", r)
		}
		if !strings.HasPrefix(got, want) {
			t.Fatalf("Decision(%s, %d) = %q, and the plan: %q", x.id, p.ID, got, want)
		}
	}
	for _, f := range plan.Findings {
		if slices.Contains(f.Concerned(), x.id) {
			told--
		}
	}
	if told != 0 {
		t.Fatalf("%+d findings of %s were told than the plan has", told, x.id)
	}
}

// explain says what Decision has to, from what is true before and after the plan.
func (n *naive) explain(s *subject, p mstrapi.PrivilegeID) string {
	id := s.row.ID
	l, x, f, settings, _ := n.wants(id)
	d, now, after := s.direct.Has(p), n.m.inherited(id).Has(p), n.after.inherited(id).Has(p)
	role := n.m.elsewhere(id).Has(p)
	if n.changes[fmt.Sprintf("grant %d to %s: %s", p, id, ReasonListed)] {
		switch {
		case now && settings.SatisfiedBy == policy.Direct:
			return "grant (listed): inheriting it is not enough (satisfiedBy: direct)"
		case now:
			return "grant (listed): the plan takes it from the groups that give it now"
		case role:
			return "grant (listed): what a security role gives holds in one project, a grant in every one"
		}
		return "grant (listed)"
	}
	for _, r := range []Reason{ReasonNotListed, ReasonForbidden, ReasonExpired, ReasonRedundant, ReasonUnlisted} {
		if n.changes[fmt.Sprintf("revoke %d from %s: %s", p, id, r)] {
			return fmt.Sprintf("revoke (%s)", r)
		}
	}
	return "no change: " + func() string {
		switch {
		case n.inScope(SetOf(p)).IsEmpty():
			return fmt.Sprintf("it lies outside the policy's scope (level: %s)", n.pol.Scope)
		case n.entries[id] == nil && d && n.pol.Unlisted == policy.UnlistedRevoke:
			return "no entry covers the principal, but it is protected (unlisted: revoke passes it over)"
		case n.entries[id] == nil:
			return fmt.Sprintf("no entry covers the principal (unlisted: %s)", n.pol.Unlisted)
		case l.Has(p) && !d && now:
			return fmt.Sprintf("it is listed, and inheriting it is enough (satisfiedBy: %s)", settings.SatisfiedBy)
		case l.Has(p) && !d:
			return "it is listed, and a group that the plan changes will give it"
		case l.Has(p) && !now:
			return "it is listed and held directly"
		case l.Has(p) && settings.Redundant == policy.RedundantRevoke:
			return "it is listed and held directly; the groups that give it now lose it"
		case l.Has(p):
			return fmt.Sprintf("it is listed and held directly; that it is inherited as well does not matter (redundant: %s)", settings.Redundant)
		case f.Has(p) && after:
			return "it is forbidden, but comes from a group, where alone it can be revoked"
		case f.Has(p) && role:
			return "it is forbidden, but comes from a security role, which privsync does not take away"
		case f.Has(p) && now:
			return "it is forbidden, and the groups that give it now lose it"
		case f.Has(p):
			return "it is forbidden, and not held"
		case d:
			return fmt.Sprintf("it is not listed, and what is held directly is left alone (mode: %s)", settings.Mode)
		case now && p < 20:
			return "it is not listed, but inherited: only a direct grant can be revoked"
		case now || role:
			return "it is not listed, but comes from a group or a security role: only a direct grant can be revoked"
		case x.Has(p):
			return "its last day is over, and it is not held"
		}
		return "it is not listed, and not held"
	}()
}

// TestExplainWhatCouldNotBeRead: with readings that fail the changes and findings are
// still those of the plan, and a revoke that is not planned for that is explained by it.
func TestExplainWhatCouldNotBeRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		pol := drawPolicy(t, m)
		seed, one := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(2, 12).Draw(t, "one call in")
		m.fail = func(call string, id mstrapi.ObjectID) error {
			h := fnv.New64a()
			fmt.Fprint(h, seed, call, id)
			if strings.HasPrefix(call, "S") || call == "Catalogue" || h.Sum64()%uint64(one) != 0 {
				return nil
			}
			return errBroken
		}
		d := draftOf(pol, observeIn(t, m, pol))
		plan := d.plan(MakeOptions{})
		for _, s := range m.principals {
			x := d.explained(plan, s.row.ID)
			checkExplained(t, m, plan, x)
			for _, p := range m.catalogue {
				withheld := slices.ContainsFunc(x.Findings(p.ID), func(f Finding) bool { return f.Code == CodeReadFailed })
				got := x.Decision(p.ID)
				if withheld != strings.HasPrefix(got, "no change: its revoke is not planned: ") {
					t.Fatalf("Decision(%s, %d) = %q, findings %v", s.row.ID, p.ID, got, x.Findings(p.ID))
				}
				unread := x.seen != nil && x.seen.Err != nil && d.c.inScope(p.ID)
				if unread && got != "no change: not everything that it depends on could be read" {
					t.Fatalf("Decision(%s, %d) = %q of one that could not be read", s.row.ID, p.ID, got)
				}
			}
		}
	})
}

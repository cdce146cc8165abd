package planner

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"privsync/mstrapi"
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
			pol := sketch()
			pol.Unlisted = unlisted
			pol.Rules = []policy.Rule{{Name: "nobody", Deny: []policy.Ref{{ID: int(env.Catalogue[0].ID)}}, Severity: policy.RuleWarning}}
			pol.Commands = []policy.Command{{Name: "assign-watch-kpi-insight"}} // something to do where nobody is covered
			pol = parsed(pol)
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

// TestGuestsAreNotInEveryone grants the group Everyone what a guest and another user
// are to have: the guest, who is outside it, gets it itself.
func TestGuestsAreNotInEveryone(t *testing.T) {
	env := &mstrtest.Environment{
		Catalogue: []mstrapi.Privilege{{ID: 1, Name: "One"}, {ID: 2, Name: "Two"}},
		Groups:    []mstrtest.Group{{ID: mstrapi.EveryoneGroup, Name: "Everyone", Privileges: []mstrapi.PrivilegeID{2}}},
		Users: []mstrtest.User{
			{ID: mstrtest.DerivedID("user", "service"), Login: mstrtest.ServiceLogin, Name: "S", Password: mstrtest.ServicePassword},
			{ID: mstrtest.DerivedID("user", "guest"), Login: "guest", Name: "G", Guest: true, Privileges: []mstrapi.PrivilegeID{1}},
			{ID: mstrtest.DerivedID("user", "member"), Login: "member", Name: "M", Privileges: []mstrapi.PrivilegeID{1}},
			{ID: mstrtest.DerivedID("user", "new"), Login: "new", Name: "N", Guest: true},
		},
	}
	s := mstrtest.NewServer(env, mstrtest.Options{})
	t.Cleanup(s.Close)
	pol, err := policy.Parse("guests.yaml", []byte(`apiVersion: privsync/v1
kind: Policy
metadata: {name: guests}
defaults: {redundant: revoke}
principals:
  - {group: Everyone, privileges: [1]}
  - {user: guest, privileges: [1]}
  - {user: member, privileges: [1]}
  - {user: new, privileges: [1]}
`))
	if err != nil {
		t.Fatal(err)
	}
	st, err := Observe(t.Context(), open(t, s), pol, ObserveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, c := range Make(pol, st, MakeOptions{}).Changes {
		got[c.Principal.Name] = fmt.Sprintf("%d grants, %d revokes", len(c.Grant), len(c.Revoke))
	}
	want := map[string]string{"Everyone": "1 grants, 0 revokes", "M": "0 grants, 1 revokes", "N": "1 grants, 0 revokes"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// TestGuestsOfAServerWithoutAList: a guest whom an entry names by its login is not
// found there, which is not to say that there is none; by its id it is.
func TestGuestsOfAServerWithoutAList(t *testing.T) {
	guest := mstrtest.DerivedID("user", "guest")
	env := &mstrtest.Environment{
		Catalogue: []mstrapi.Privilege{{ID: 1, Name: "One"}},
		Groups:    []mstrtest.Group{{ID: mstrapi.EveryoneGroup, Name: "Everyone"}},
		Users: []mstrtest.User{
			{ID: mstrtest.DerivedID("user", "service"), Login: mstrtest.ServiceLogin, Name: "S", Password: mstrtest.ServicePassword},
			{ID: guest, Login: "guest", Name: "G", Guest: true},
		},
	}
	s := mstrtest.NewServer(env, mstrtest.Options{Quirks: mstrtest.Quirks{EmptyUserList: true}})
	t.Cleanup(s.Close)
	for id, want := range map[string]int{"": 0, string(guest): 1} {
		e := entry(policy.User, "guest", policy.Additive, listed(1))
		e.Principal.ID = id
		pol := policyOf(e)
		st, err := Observe(t.Context(), open(t, s), pol, ObserveOptions{})
		if err != nil {
			t.Fatal(err)
		}
		plan := Make(pol, st, MakeOptions{})
		told := slices.ContainsFunc(plan.Blocking(), func(f Finding) bool {
			return f.Code == CodeUnknownPrincipal && strings.Contains(f.Message, "gives no list of its users")
		})
		if len(plan.Changes) != want || told != (want == 0) {
			t.Errorf("id %q: %d changes, findings %+v", id, len(plan.Changes), plan.Findings)
		}
	}
}

package planner

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/policy"
)

// TestWordsOfThePolicy plans for every reason that a privilege is granted or revoked for, and
// finds the item of the policy that asks for it: where it stands, until when, and why.
func TestWordsOfThePolicy(t *testing.T) {
	env := &mstrtest.Environment{
		Groups: []mstrtest.Group{{ID: "E0000000000000000000000000000001", Name: "Team"}},
	}
	for i := 1; i <= 12; i++ {
		env.Catalogue = append(env.Catalogue, mstrapi.Privilege{ID: mstrapi.PrivilegeID(i), Name: fmt.Sprintf("P%d", i)})
	}
	for i, login := range []string{"ann", "bob", "cat", "dan", "eve"} {
		env.Users = append(env.Users, mstrtest.User{
			ID: mstrapi.ObjectID(fmt.Sprintf("A%031X", i+1)), Login: login, Name: login, Groups: []mstrapi.ObjectID{"E0000000000000000000000000000001"},
			Privileges: ids(1, 2, 3),
		})
	}
	env.Users = append(env.Users, mstrtest.User{ID: mstrtest.DerivedID("user", "service"), Login: mstrtest.ServiceLogin, Name: "S", Password: mstrtest.ServicePassword})
	env.Users[3].Privileges = ids(4, 5)
	env.Users[4].Privileges = ids(9)
	env.Groups[0].Privileges = ids(11)
	env.Users[0].Privileges = ids(1, 2, 3, 11)
	pol, err := policy.Parse("p.yaml", []byte(`apiVersion: privsync/v1
kind: Policy
metadata: {name: words}
unlisted: revoke
safety: {maxRevokes: 100}
privilegeSets:
  base: {privileges: [6, 7], include: [{set: deep, until: 2030-01-31, reason: deep down}]}
  deep: {privileges: [8]}
principals:
  - user: ann
    mode: authoritative
    redundant: revoke
    reason: ANN
    privileges: [{privilege: 6, until: 2029-12-31}, {privilege: 11, reason: twice}, {privilege: 2, until: 2020-01-01, reason: OVER}]
    forbid: [{privilege: P3, until: 2031-05-05, reason: BAN}]
  - user: bob
    sets: [{set: base, reason: SET}]
    privileges: [9]
  - users: {loginMatches: "b*"}
    reason: SEL
    privileges: [9, {privilege: 7, until: 2040-01-01}]
  - users: {loginMatches: "[bc]*"}
    privileges: [12]
  - user: cat
    privileges: [{privilege: P10, reason: NEEDS}]
  - user: dan
    forbid: [{privilege: 5, reason: NOT FIVE}]
  - group: Team
    privileges: [11]
prerequisites:
  - {privilege: 10, needs: [12]}
  - {privilege: 4, needs: [5]}
`))
	if err != nil {
		t.Fatal(err)
	}
	s := mstrtest.NewServer(env, mstrtest.Options{})
	t.Cleanup(s.Close)
	plan := planFor(t, open(t, s), pol)
	got := map[string]string{}
	for _, c := range plan.Changes {
		for _, p := range append(c.Grant, c.Revoke...) {
			text := fmt.Sprintf("%s; %s; %s", p.Reason, p.Until, p.Ticket)
			if o := p.Origin; o != nil {
				text += fmt.Sprintf("; line %d; %s|%s|%s", o.Position.Line, o.Entry, o.Selector, o.Set)
			}
			got[fmt.Sprintf("%s %d", c.Principal.Login, p.ID)] = text
		}
	}
	for key, want := range map[string]string{
		"ann 1":  `not-listed; ; ANN; line 10; user "ann"||`,
		"ann 2":  `expired; 2020-01-01; OVER; line 14; user "ann"||`,
		"ann 3":  `forbidden; 2031-05-05; BAN; line 15; user "ann"||`,
		"ann 6":  `listed; 2029-12-31; ANN; line 14; user "ann"||`,
		"ann 11": `redundant; ; twice; line 14; user "ann"||`,
		// An item without an end beside one with: it does not end.
		"bob 6": `listed; ; SET; line 7; user "bob"||base`,
		"bob 7": `listed; ; SET; line 7; user "bob"||base`,
		"bob 8": `listed; 2030-01-31; deep down; line 8; user "bob"||deep`,
		// Words beside none.
		"bob 9":  `listed; ; SEL; line 21; |every user with a login like "b*"|`,
		"cat 10": `listed; ; NEEDS; line 25; user "cat"||`,
		// What another one needs has the words of that.
		"cat 12": `listed; ; NEEDS; line 25; user "cat"||`,
		"dan 5":  `forbidden; ; NOT FIVE; line 27; user "dan"||`,
		"dan 4":  `dependent; ; NOT FIVE; line 27; user "dan"||`,
		"eve 9":  `unlisted; ; ; line 4; ||`,
	} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
	}
}

// TestOriginInAnyOrderOfFiles: where two entries have one set, the origin is the entry that
// stands first by its place, in whatever order the files are given.
func TestOriginInAnyOrderOfFiles(t *testing.T) {
	m := newModel()
	m.user("u", nil)
	const head = "apiVersion: privsync/v1\nkind: Policy\n"
	dir := t.TempDir()
	var files []string
	for name, text := range map[string]string{
		"a.yaml": "metadata: {name: x}\nprivilegeSets: {s: {privileges: [1]}}\nprincipals: [{users: {nameMatches: 'The *'}, sets: [s]}]\n",
		"b.yaml": "principals: [{users: {loginMatches: u}, sets: [s]}]\n",
	} {
		files = append(files, filepath.Join(dir, name))
		if err := os.WriteFile(files[len(files)-1], []byte(head+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(files)
	for range 2 {
		pol, err := policy.Load(files, policy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := planFor(t, m, pol).Changes[0].Grant[0].Origin.Selector; got != `every user with a name like "The *"` {
			t.Errorf("files %v: the origin is %q", files, got)
		}
		slices.Reverse(files)
	}
}

// What old documents call because is read as the ticket, and what no policy could have
// said is refused.
func TestReadWords(t *testing.T) {
	plan := &Plan{
		Format: PlanFormat, CreatedAt: testNow(), ExpiresAt: testNow().Add(DefaultTTL), Scope: Scope{mstrapi.LevelServer},
		Changes: []Change{{
			Principal: Principal{Kind: mstrapi.User, ID: "A0000000000000000000000000000001"},
			Grant:     []PlannedPrivilege{{PrivilegeRef: PrivilegeRef{ID: 1}, Reason: ReasonListed}},
		}},
	}
	p := &plan.Changes[0].Grant[0]
	read := func() (*Plan, error) {
		if err := plan.Seal(); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if _, err := plan.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		return ReadPlan(strings.NewReader(b.String()))
	}
	p.Because = "CHG-1"
	got, err := read()
	if err != nil {
		t.Fatal(err)
	}
	if q := got.Changes[0].Grant[0]; q.Ticket != "CHG-1" || q.Because != "" {
		t.Errorf("read %+v, want the ticket CHG-1", q)
	}
	long := strings.Repeat("x", 100_000)
	for name, change := range map[string]func(){
		"ticket": func() { p.Ticket = long },
		"until":  func() { p.Until = "2026-01-01, or so" },
		"file":   func() { p.Origin = &Origin{Position: policy.Position{File: long}} },
		"source": func() { plan.Source = &Provenance{Build: long} },
	} {
		kept, source := *p, plan.Source
		change()
		if _, err := read(); err == nil {
			t.Errorf("%s: read, want it refused", name)
		}
		*p, plan.Source = kept, source
	}
}

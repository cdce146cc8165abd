package mstrtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"privsync/mstrapi"
)

func TestExampleEnvironment(t *testing.T) {
	env := example(t)
	if depth := nesting(env); depth < 5 {
		t.Errorf("groups are nested %d deep, want 5 or more", depth)
	}
	server, project := 0, 0
	for _, p := range env.Catalogue {
		if p.ProjectLevel {
			project++
		} else {
			server++
		}
	}
	if server < 60 || project < 20 || len(env.Users) < 40 || len(env.Groups) < 12 {
		t.Errorf("%d server-level and %d project-level privileges, %d users, %d groups: too few",
			server, project, len(env.Users), len(env.Groups))
	}
	s := NewServer(env, Options{})
	diff(t, "Demo User, direct", []mstrapi.PrivilegeID{53}, s.Direct(demoID))
	c := dial(t, s)
	c.login(ServiceLogin, ServicePassword)
	for _, name := range []string{"Night Shift", "Contractors", "System Administrators"} {
		if !slices.ContainsFunc(env.Groups, func(g Group) bool { return g.Name == name }) {
			t.Errorf("no group %s", name)
		}
	}
	for _, name := range []string{
		"Use User Manager", "Bypass all object security access checks", "Create and edit users and groups",
		"Assign security roles", "Web administration", "Create configuration objects", "Monitor Database Connections",
	} {
		i := slices.IndexFunc(env.Catalogue, func(p mstrapi.Privilege) bool { return p.Name == name })
		if i < 0 || env.Catalogue[i].ProjectLevel {
			t.Errorf("no server-level privilege %s", name)
		}
	}
	for _, u := range env.Users {
		if u.Login == `1E10` && u.ID != DerivedID("user", "1E10") || u.Login == "msantos" && u.ID != "00000000000000000000000000004711" {
			t.Errorf("YAML took a text for a number: %+v", u)
		}
	}
}

func TestFileRoundTrip(t *testing.T) {
	envs := []*Environment{example(t), Generate(300, 5)}
	for seed := range uint64(10) {
		envs = append(envs, Random(rand.New(rand.NewPCG(seed, 1)), Size{Users: 30, Groups: 15, Privileges: 70, Depth: 8}))
	}
	for i, env := range envs {
		data, err := env.YAML()
		if err != nil {
			t.Fatal(err)
		}
		back, err := LoadEnvironment(data)
		if err != nil {
			t.Fatalf("environment %d: %v", i, err)
		}
		diff(t, "state after a round trip", NewServer(env, Options{}).Snapshot(), NewServer(back, Options{}).Snapshot())
		diff(t, "dump after a round trip", NewServer(env, Options{}).Dump(), NewServer(NewServer(back, Options{}).Environment(), Options{}).Dump())
	}
}

func TestLoadEnvironmentRefuses(t *testing.T) {
	head := "apiVersion: privsync/v1\nkind: Environment\n"
	catalogue := head + "catalogue: [{id: 2, name: Two}, {id: 3, name: Three, level: project}]\n"
	id := strings.Repeat("A", 32)
	for _, tc := range []struct{ name, file, want string }{
		{"nothing", "", "the file is empty"},
		{"no YAML", "a: [", "did not find"},
		{"another kind", "apiVersion: privsync/v1\nkind: Policy\n", "want privsync/v1, Environment"},
		{"unknown key", head + "user: []\n", "field user not found"},
		{"key twice", head + "users: []\nusers: []\n", "already defined"},
		{"two documents", head + "---\n" + head, "more than one YAML document"},
		{"wrong type", head + "users: x\n", "cannot unmarshal"},
		{"level", head + "catalogue: [{id: 2, name: Two, level: both}]\n", `level "both"`},
		{"privilege id", head + "catalogue: [{id: 0, name: Zero}]\n", "not between 1 and"},
		{"privilege twice", head + "catalogue: [{id: 2, name: Two}, {id: 2, name: Zwei}]\n", "privilege id 2 twice"},
		{"privilege without name", head + "catalogue: [{id: 2, name: ''}]\n", "has no name"},
		{"unknown privilege", catalogue + "groups: [{name: G, privileges: [Five]}]\n", `no privilege is named "Five"`},
		{"unknown group", catalogue + "users: [{login: u, name: U, groups: [G]}]\n", `user "u": no group is named "G"`},
		{"ambiguous group", catalogue + "groups: [{name: G, id: " + id + "}, {name: G}]\nusers: [{login: u, name: U, groups: [G]}]\n", "several objects"},
		{"cycle", catalogue + "groups: [{name: G, groups: [H]}, {name: H, groups: [G]}]\n", "contains itself"},
		{"itself", catalogue + "groups: [{name: G, groups: [G]}]\n", "contains itself"},
		{"group twice", catalogue + "groups: [{name: G}]\nusers: [{login: u, name: U, groups: [G, G]}]\n", "twice"},
		{"group without name", catalogue + "groups: [{name: '', id: " + id + "}]\n", "has no name"},
		{"id", catalogue + "groups: [{name: G, id: xyz}]\n", "32 upper-case hexadecimal digits"},
		{"lower-case id", catalogue + "groups: [{name: G, id: " + strings.ToLower(id) + "}]\n", "32 upper-case hexadecimal digits"},
		{"id twice", catalogue + "groups: [{name: G, id: " + id + "}]\nusers: [{login: u, name: U, id: " + id + "}]\n", "is also that of group"},
		{"login twice", catalogue + "users: [{login: u, name: U}, {login: U, name: V}]\n", "same login but for case"},
		{"no login", catalogue + "users: [{login: '', name: U}]\n", "has no login"},
		{"unknown role", catalogue + "projects: [{name: P}]\nusers: [{login: u, name: U, roles: [{role: R, project: P}]}]\n", `no security role is named "R"`},
		{"unknown project", catalogue + "securityRoles: [{name: R, privileges: [3]}]\nusers: [{login: u, name: U, roles: [{role: R, project: P}]}]\n", `no project is named "P"`},
		{"role's privilege", catalogue + "securityRoles: [{name: R, privileges: [9]}]\n", `no privilege is named "9"`},
	} {
		_, err := LoadEnvironment([]byte(tc.file))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q in it", tc.name, err, tc.want)
		}
	}
	_, err := LoadEnvironment([]byte(catalogue + "groups: [{name: G, privileges: [Five], groups: [X]}]\nusers: [{login: '', name: U}]\n"))
	for _, want := range []string{"Five", `"X"`, "no login"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("all problems at once: %v lacks %s", err, want)
		}
	}
	if _, err := LoadEnvironment(make([]byte, maxFileSize+1)); err == nil {
		t.Error("a file over the limit was read")
	}
	bad := &Environment{Users: []User{{
		ID: demoID, Login: "u", Groups: []mstrapi.ObjectID{"G"}, Privileges: []mstrapi.PrivilegeID{7}, Roles: []RoleGrant{{"R", "P"}},
	}}}
	for _, want := range []string{`"G"`, "privilege 7", `role has the id "R"`, `project has the id "P"`} {
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate: %v lacks %s", err, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("NewServer took an invalid environment")
		}
	}()
	NewServer(bad, Options{})
}

func TestScalarsKeepTheirText(t *testing.T) {
	env, err := LoadEnvironment([]byte(`
apiVersion: privsync/v1
kind: Environment
catalogue: [{id: 2, name: no}]
groups:
  - {name: 0123, id: 00000000000000000000000000001E10, privileges: [no]}
  - {name: 1E10, groups: [0123]}
users:
  - {login: yes, name: 1_000, groups: [0123, 1E10], id: 12345678901234567890123456789012, privileges: [2]}
`))
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "groups", []string{"0123", "1E10"}, []string{env.Groups[0].Name, env.Groups[1].Name})
	u := env.Users[0]
	diff(t, "user", "yes 1_000 12345678901234567890123456789012 [00000000000000000000000000001E10 "+
		string(DerivedID("group", "1E10"))+"]", fmt.Sprint(u.Login, " ", u.Name, " ", u.ID, " ", u.Groups))
}

func TestRandomIsRepeatableAndOdd(t *testing.T) {
	text := func(seed uint64) string {
		data, err := Random(rand.New(rand.NewPCG(seed, 2)), Size{Users: 60, Groups: 20}).YAML()
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := text(1)
	if again, other := text(1), text(2); again != first || other == first {
		t.Error("the seed does not decide")
	}
	var all strings.Builder
	shared, digits, exponents := 0, 0, 0
	for seed := range uint64(5) {
		env := Random(rand.New(rand.NewPCG(seed, 2)), Size{Users: 60, Groups: 20})
		if len(env.Users) != 61 || len(env.Groups) != 21 {
			t.Errorf("%d users, %d groups, want 60 and 20 besides the built-in ones", len(env.Users), len(env.Groups))
		}
		names := make(map[string]bool)
		for _, u := range env.Users {
			all.WriteString(u.Login + u.Name)
			if names[u.Name] {
				shared++
			}
			names[u.Name] = true
			if strings.Trim(string(u.ID), "0123456789") == "" {
				digits++
			}
			if strings.Trim(string(u.ID), "0123456789") == "E" {
				exponents++
			}
		}
	}
	for _, odd := range []string{"*", "?", `"`, "'", "\x1b", "\n", "日本語", "\u202e"} {
		if !strings.Contains(all.String(), odd) {
			t.Errorf("no name with %q", odd)
		}
	}
	if shared == 0 || digits == 0 || exponents == 0 {
		t.Errorf("%d shared names, %d ids of digits, %d like numbers with an exponent: want some of each", shared, digits, exponents)
	}
}

func TestGenerate(t *testing.T) {
	env := Generate(1000, 60)
	if err := env.Validate(); err != nil {
		t.Fatal(err)
	}
	s := NewServer(env, Options{})
	c := dial(t, s)
	c.login(ServiceLogin, ServicePassword)
	u := c.rows("/api/users?abbreviationBegins=user0000777")
	if len(u) != 1 {
		t.Fatalf("rows = %v", u)
	}
	h := decode[held](t, c.get("/api/users/"+u[0].ID+"/privileges?privilege.level=server").body)
	if len(h.Privileges) != 60 {
		t.Errorf("%d privileges, want 60", len(h.Privileges))
	}
	company := c.rows("/api/usergroups?nameBegins=Company")[0].ID
	if n := len(c.rows("/api/usergroups/" + company + "/members?flatMembers=true")); n != 1000 {
		t.Errorf("the company has %d people, want 1000", n)
	}
	if got := s.Direct(mstrapi.ObjectID(u[0].ID)); len(got) != 60 || slices.Contains(got, managerID) {
		t.Errorf("direct grants = %v", got)
	}
}

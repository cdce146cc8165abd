package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
)

// invoke runs a command line in this process.
func invoke(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	return code, out.String(), errs.String()
}

// serve starts a server and returns the variables that lead to it.
func serve(t *testing.T, env *mstrtest.Environment, o mstrtest.Options) (*mstrtest.Server, map[string]string) {
	t.Helper()
	server := mstrtest.NewServer(env, o)
	listener := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); listener.Close() })
	return server, map[string]string{
		"PRIVSYNC_URL": listener.URL + server.PathPrefix(), "PRIVSYNC_USERNAME": mstrtest.ServiceLogin,
		"PRIVSYNC_PASSWORD": mstrtest.ServicePassword, "PRIVSYNC_RATE": "0",
	}
}

// doubleNames gives some groups and some users the names of others, as servers
// with tenants have them.
func doubleNames(rng *rand.Rand, env *mstrtest.Environment) {
	for i := range env.Groups {
		if j := rng.IntN(len(env.Groups)); env.Groups[i].ID != mstrapi.EveryoneGroup && rng.IntN(2) == 0 {
			env.Groups[i].Name = env.Groups[j].Name
		}
	}
	for i := range env.Users {
		if rng.IntN(2) == 0 {
			env.Users[i].Name = env.Users[rng.IntN(len(env.Users))].Name
		}
	}
}

func TestPlanningAnExportChangesNothing(t *testing.T) {
	t.Parallel()
	seeds := uint64(60)
	if testing.Short() {
		seeds = 24
	}
	folded := false
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(seed, 7))
		env := mstrtest.Random(rng, mstrtest.Size{Users: 1 + int(seed)%40, Groups: int(seed) % 9, Depth: 5})
		style := mstrtest.SourceStyle(seed % 2)
		if seed%2 == 1 {
			doubleNames(rng, env)
		}
		for i := range env.Users { // some share what they hold
			if i%4 == 1 && env.Users[i].Login != mstrtest.ServiceLogin {
				env.Users[i].Privileges = env.Users[0].Privileges
			}
		}
		_, variables := serve(t, env, mstrtest.Options{SourceStyle: style})
		file := filepath.Join(t.TempDir(), "exported.yaml")
		scope := []string{"server", "project", "all"}[seed%3]
		code, _, stderr := invoke(t, variables, "export", "--scope", scope, "--out", file, "--quiet")
		if code != executor.ExitOK {
			if strings.Contains(stderr, "nobody holds a direct grant") {
				continue
			}
			t.Fatalf("seed %d: export: exit code %d\n%s", seed, code, stderr)
		}
		code, stdout, stderr := invoke(t, variables, "plan", "-f", file, "--detailed-exitcode", "--quiet")
		if code != executor.ExitOK {
			t.Fatalf("seed %d: planning the export: exit code %d\n%s\n%s", seed, code, stdout, stderr)
		}
		_, text, _ := invoke(t, variables, "export", "--scope", scope, "--quiet")
		folded = folded || strings.Contains(text, "privilegeSets:")
	}
	if !folded {
		t.Error("no export had a set: nothing was folded")
	}
}

// A name that could fool whoever reads the policy stands as an escape, and
// still names the same user.
func TestExportEscapesWhatFools(t *testing.T) {
	env := &mstrtest.Environment{
		Catalogue: []mstrapi.Privilege{{ID: 50, Name: "Use User Manager"}, {ID: 51, Name: "Monitor Jobs"}},
		Users: []mstrtest.User{
			{Login: mstrtest.ServiceLogin, Name: "Service", ID: mstrtest.DerivedID("user", "service"), Password: mstrtest.ServicePassword, Privileges: []mstrapi.PrivilegeID{50}},
			{Login: "de\u202emo\u200b", ID: mstrtest.DerivedID("user", "demo"), Name: "x\u2066y", Privileges: []mstrapi.PrivilegeID{51}},
		},
	}
	_, variables := serve(t, env, mstrtest.Options{})
	code, text, stderr := invoke(t, variables, "export", "--quiet")
	if code != executor.ExitOK {
		t.Fatalf("export: exit code %d\n%s", code, stderr)
	}
	if strings.ContainsFunc(strings.ReplaceAll(text, "\n", ""), clean.Unsafe) || !strings.Contains(text, `"de\u202emo\u200b"`) {
		t.Errorf("export = %q, want escapes in quotes", text)
	}
	file := filepath.Join(t.TempDir(), "exported.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := invoke(t, variables, "plan", "-f", file, "--detailed-exitcode", "--quiet"); code != executor.ExitOK {
		t.Errorf("planning it: exit code %d, want 0\n%s\n%s", code, stdout, stderr)
	}
}

func TestExportFoldsWhatIsShared(t *testing.T) {
	direct := []mstrapi.PrivilegeID{51, 53, 54}
	env := &mstrtest.Environment{
		Catalogue: []mstrapi.Privilege{{ID: 50, Name: "Use User Manager"}, {ID: 51, Name: "Monitor Jobs"}, {ID: 53, Name: "no"}, {ID: 54, Name: "Twice"}, {ID: 55, Name: "Twice"}},
		Users: []mstrtest.User{
			{ID: mstrtest.DerivedID("user", "a"), Login: "a", Name: "A", Privileges: direct},
			{ID: mstrtest.DerivedID("user", "b"), Login: "b", Name: "B", Privileges: direct},
			{ID: mstrtest.DerivedID("user", "c"), Login: "c", Name: "C", Privileges: direct},
			{ID: mstrtest.DerivedID("user", "s"), Login: mstrtest.ServiceLogin, Name: "S", Password: mstrtest.ServicePassword, Privileges: []mstrapi.PrivilegeID{50}},
		},
	}
	_, variables := serve(t, env, mstrtest.Options{})
	code, text, stderr := invoke(t, variables, "export")
	if code != executor.ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	// The policy takes a scalar's own text, so no is a name; one that several
	// privileges have gives way to the number.
	for _, want := range []string{
		"  monitor-jobs-and-2-more-2003e358:\n    privileges:\n      - Monitor Jobs # 51\n      - no # 53\n      - 54\n",
		"  - user: a # A\n", "    sets: [monitor-jobs-and-2-more-2003e358]\n", "\nunlisted: report\n", "\nsafety:\n  maxRevokes: 25\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the policy lacks\n%s\nit is\n%s", want, text)
		}
	}
}

// draftOf writes a policy of users that hold privileges of a small catalogue.
func draftOf(t *testing.T, direct ...[]mstrapi.PrivilegeID) string {
	t.Helper()
	d := &policyDraft{name: "p", level: mstrapi.LevelServer, url: "https://bi.example.com/x", whole: true}
	for id := range 9 {
		d.catalogue = append(d.catalogue, mstrapi.Privilege{ID: mstrapi.PrivilegeID(id + 1), Name: fmt.Sprintf("Privilege %c", 'A'+id)})
	}
	for i, ids := range direct {
		row := mstrapi.PrincipalRow{Kind: mstrapi.User, ID: mstrtest.DerivedID("user", fmt.Sprint(i)), Login: fmt.Sprintf("u%d", i)}
		d.entries = append(d.entries, exported{row, ids})
	}
	doc, _, err := d.write()
	if err != nil {
		t.Fatal(err)
	}
	return doc.String()
}

// TestExportSets: a set is three privileges that three principals share, or more.
func TestExportSets(t *testing.T) {
	all := []mstrapi.PrivilegeID{1, 2, 3, 4, 5, 6, 7, 8, 9}
	for sharers := 1; sharers <= 5; sharers++ {
		for privileges := 1; privileges <= 5; privileges++ {
			var direct [][]mstrapi.PrivilegeID
			for range sharers {
				direct = append(direct, all[:privileges])
			}
			text := draftOf(t, direct...)
			if got, want := strings.Contains(text, "privilegeSets:"), sharers >= 3 && privileges >= 3; got != want {
				t.Errorf("%d principals that share %d privileges: a set is written: %v\n%s", sharers, privileges, got, text)
			}
		}
	}
}

// TestExportMovesLittle: what one grant changes in the policy is the entry of who
// got it, whatever sets come or go before it.
func TestExportMovesLittle(t *testing.T) {
	var direct [][]mstrapi.PrivilegeID
	for i := range 40 {
		k := mstrapi.PrivilegeID(1 + i/4%5)
		direct = append(direct, []mstrapi.PrivilegeID{k, k + 1, k + 2, k + 3})
	}
	before := strings.Split(draftOf(t, direct...), "\n")
	direct[0] = append([]mstrapi.PrivilegeID{}, 1, 2, 3, 4, 9)
	after := strings.Split(draftOf(t, direct...), "\n")
	left := map[string]int{}
	for _, line := range before {
		left[line]++
	}
	moved := 0
	for _, line := range after {
		if left[line]--; left[line] < 0 {
			moved++
		}
	}
	if moved > 6 { // the key, and five privileges
		t.Errorf("%d lines are new after one grant\n%s", moved, strings.Join(after, "\n"))
	}
}

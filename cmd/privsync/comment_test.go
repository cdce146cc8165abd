package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
)

const commentPolicy = `apiVersion: privsync/v1
kind: Policy
metadata: {name: Nightly}
principals:
  - {group: Team, privileges: [Monitor Jobs]}
  - {user: a, privileges: [Administer caches]}
`

// TestChangeJournalPointsBackToTheRun: every write leaves the policy's name and
// digest and the run's id in the server's own journal, where its version takes
// comments; elsewhere nothing is sent that the server would refuse.
func TestChangeJournalPointsBackToTheRun(t *testing.T) {
	user, group := mstrtest.DerivedID("user", "a"), mstrtest.DerivedID("group", "Team")
	for _, c := range []struct {
		version string
		args    []string
		want    map[mstrapi.ObjectID]string // "default" stands for that text
	}{
		{version: "11.4.0600.0000"},
		{version: "11.5.0899.0001"},
		{version: "11.5.0900.0001", want: map[mstrapi.ObjectID]string{user: "default"}},
		{version: "11.5.1100.0001", want: map[mstrapi.ObjectID]string{user: "default", group: "default"}},
		{version: "12.0.0000.0001", args: []string{"--comment", `CHG-7 "x"`}, want: map[mstrapi.ObjectID]string{user: `CHG-7 "x"`, group: `CHG-7 "x"`}},
		{version: "12.0.0000.0001", args: []string{"--comment", ""}},
		{version: "12.0.0000.0001", args: []string{"--comment", "a\nprivsync: policy x\r\u2028"}, want: map[mstrapi.ObjectID]string{user: `a\nprivsync: policy x\r\u2028`, group: `a\nprivsync: policy x\r\u2028`}},
	} {
		for _, saved := range []bool{false, true} {
			t.Run(fmt.Sprint(c.version, c.args, saved), func(t *testing.T) {
				server, variables := serve(t, &mstrtest.Environment{
					IServerVersion: c.version,
					Catalogue:      []mstrapi.Privilege{{ID: 47, Name: "Administer caches"}, {ID: 50, Name: "Use User Manager"}, {ID: 51, Name: "Monitor Jobs"}},
					Groups:         []mstrtest.Group{{ID: group, Name: "Team"}},
					Users: []mstrtest.User{
						{ID: user, Login: "a", Name: "A"},
						{ID: mstrtest.DerivedID("user", "s"), Login: mstrtest.ServiceLogin, Name: "S", Password: mstrtest.ServicePassword, Privileges: []mstrapi.PrivilegeID{50}},
					},
				}, mstrtest.Options{})
				dir := t.TempDir()
				file, planFile, reportFile := filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "plan.json"), filepath.Join(dir, "report.json")
				if err := os.WriteFile(file, []byte(commentPolicy), 0o600); err != nil {
					t.Fatal(err)
				}
				what := []string{"-f", file}
				if saved {
					if code, _, stderr := invoke(t, variables, "plan", "-f", file, "--out", planFile); code != executor.ExitOK {
						t.Fatalf("plan: exit code %d\n%s", code, stderr)
					}
					what = []string{planFile}
				}
				args := slices.Concat([]string{"apply"}, what, []string{"--yes", "--report", reportFile, "--state-dir", filepath.Join(dir, "state")}, c.args)
				if code, stdout, stderr := invoke(t, variables, args...); code != executor.ExitOK {
					t.Fatalf("apply: exit code %d\n%s%s", code, stdout, stderr)
				}
				data, err := os.ReadFile(reportFile)
				if err != nil {
					t.Fatal(err)
				}
				var report struct {
					Run    struct{ ID string }
					Policy struct{ Name, Digest string }
				}
				if err := json.Unmarshal(data, &report); err != nil {
					t.Fatal(err)
				}
				if report.Policy.Name != "Nightly" || report.Policy.Digest == "" || report.Run.ID == "" {
					t.Fatalf("the report names %+v", report)
				}
				got := map[mstrapi.ObjectID]string{}
				for _, entry := range server.Journal() {
					got[entry.Principal] = entry.Comment
				}
				if len(got) != len(c.want) {
					t.Errorf("the server's journal has %q, want %q", got, c.want)
				}
				for id, want := range c.want {
					if want == "default" {
						want = fmt.Sprintf("privsync: policy Nightly, digest %s, run %s", report.Policy.Digest, report.Run.ID)
					}
					if got[id] != want {
						t.Errorf("the server's journal says %q of %s, want %q", got[id], id, want)
					}
				}
			})
		}
	}
}

// A policy's name is somebody's text: a line end in it must not begin what looks
// like an entry of its own.
func TestPolicyNameIsOneLineInTheJournal(t *testing.T) {
	r := &applyRun{app: &app{runID: "r"}, f: &applyFlags{}, plan: &planner.Plan{
		Environment: planner.Environment{IServerVersion: "12.0.0000.0001"},
		Policy:      planner.PolicyRef{Name: "a\nprivsync: policy b", Digest: "d"},
	}}
	if got, want := r.comment(mstrapi.User), `privsync: policy a\nprivsync: policy b, digest d, run r`; got != want {
		t.Errorf("comment = %q, want %q", got, want)
	}
}

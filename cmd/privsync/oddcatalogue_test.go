package main

import (
	"encoding/json"
	"strings"
	"testing"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
)

// A catalogue with odd entries is one finding of plan and report that names them, a
// privilege without a name is named by its number, and the rest is done.
func TestOddCatalogueIsOneFinding(t *testing.T) {
	p := newProgram(t, mstrtest.Options{Quirks: mstrtest.Quirks{Nameless: []mstrapi.PrivilegeID{2}, OddCatalogue: true}})
	policy := p.file("odd.yaml", `apiVersion: privsync/v1
kind: Policy
metadata: {name: odd}
principals:
  - group: Night Shift
    privileges: [2, Monitor Cluster]
`)
	one := func(what, text string) {
		t.Helper()
		var doc struct{ Findings []planner.Finding }
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatalf("%s: %v in %s", what, err, text)
		}
		found := 0
		for _, f := range doc.Findings {
			if f.Code != planner.CodeOddCatalogue {
				continue
			}
			found++
			for _, want := range []string{"(2) has no name", `("No number") has no number`, `(65001 "No level") has no level`, "stands twice", "named by its number"} {
				if f.Severity != planner.SeverityWarning || !strings.Contains(f.Message, want) {
					t.Errorf("%s: %q in %s", what, want, f.Message)
				}
			}
		}
		if found != 1 {
			t.Errorf("%s: %d findings odd-catalogue, want one in %s", what, found, text)
		}
	}
	code, stdout, stderr := p.run("plan", "-f", policy, "--format", "json")
	if code != executor.ExitOK || strings.Contains(stderr, "WARN") {
		t.Fatalf("plan ended with %d: %s", code, stderr)
	}
	one("plan", stdout)
	code, stdout, stderr = p.run("apply", "-f", policy, "--yes", "--format", "json")
	if code != executor.ExitOK {
		t.Fatalf("apply ended with %d: %s%s", code, stdout, stderr)
	}
	one("report", stdout)
	if n := p.server.Counts()[mstrtest.PatchGroup]; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	if code, stdout, stderr = p.run("plan", "-f", policy, "--detailed-exitcode"); code != executor.ExitOK {
		t.Errorf("planned again: exit code %d\n%s%s", code, stdout, stderr)
	}
	if !strings.Contains(stdout, "odd-catalogue") {
		t.Errorf("the text does not show the finding:\n%s", stdout)
	}
	// The policy of that server, exported and planned again.
	if code, _, stderr = p.run("export", "--out", "exported.yaml"); code != executor.ExitOK || strings.Count(stderr, "odd entry") != 4 {
		t.Errorf("export ended with %d: %s", code, stderr)
	}
	if code, stdout, stderr = p.run("plan", "-f", "exported.yaml", "--detailed-exitcode"); code != executor.ExitOK {
		t.Errorf("planned as exported: exit code %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr = p.run("privileges", "--save", "catalogue.json"); code != executor.ExitOK {
		t.Errorf("privileges ended with %d: %s", code, stderr)
	}
	if code, stdout, stderr = p.run("validate", "-f", policy, "--catalog", "catalogue.json"); code != executor.ExitOK {
		t.Errorf("validate ended with %d: %s%s", code, stdout, stderr)
	}
	if code, stdout, _ = p.run("doctor"); code != executor.ExitOK || !strings.Contains(stdout, "4 of its entries odd") {
		t.Errorf("the doctor ended with %d: %s", code, stdout)
	}
}

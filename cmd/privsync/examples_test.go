package main

import (
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"os"

	"privsync/examples"
	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestExamplePolicies plans and applies every example policy on the example
// company: afterwards a second plan must be empty.
func TestExamplePolicies(t *testing.T) {
	t.Parallel()
	names := []string{"policy.yaml"}
	entries, err := fs.ReadDir(examples.Files, "policies")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, path.Join("policies", e.Name()))
	}
	if len(names) < 4 {
		t.Fatalf("only %d example policies", len(names))
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, style := range []mstrtest.SourceStyle{mstrtest.Holder, mstrtest.Parent} {
				p := newProgram(t, mstrtest.Options{SourceStyle: style})
				if err := os.CopyFS(filepath.Join(p.dir, "examples"), examples.Files); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join("examples", filepath.FromSlash(name))
				if code, stdout, stderr := p.run("validate", "-f", file); code != executor.ExitOK {
					t.Fatalf("validate: exit code %d\n%s%s", code, stdout, stderr)
				}
				if code, stdout, stderr := p.run("plan", "-f", file, "--detailed-exitcode"); code != executor.ExitOK && code != executor.ExitDrift {
					t.Fatalf("plan: exit code %d\n%s%s", code, stdout, stderr)
				}
				if code, stdout, stderr := p.run("apply", "-f", file, "--yes", "--report", "report.json"); code != executor.ExitOK {
					t.Fatalf("apply: exit code %d\n%s%s", code, stdout, stderr)
				}
				p.checkTruth(p.report("report.json"))
				if code, stdout, stderr := p.run("plan", "-f", file, "--detailed-exitcode"); code != executor.ExitOK {
					t.Errorf("second plan: exit code %d\n%s%s", code, stdout, stderr)
				}
				if losses := p.server.LossesInPassing(p.server.Snapshot()); len(losses) > 0 {
					t.Errorf("lost in passing: %v", losses)
				}
			}
		})
	}
}

// TestExampleEnvironments plans the policy with overlays for each of them.
func TestExampleEnvironments(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	if err := os.CopyFS(filepath.Join(p.dir, "examples"), examples.Files); err != nil {
		t.Fatal(err)
	}
	for _, env := range []string{"test", "prod"} {
		code, stdout, stderr := p.run("plan", "-f", "examples/policies/environments.yaml", "--env", env, "--login-mode", "standard")
		if code != executor.ExitOK || !strings.Contains(stdout, "environments-"+env+" (environment "+env+")") {
			t.Errorf("--env %s: exit code %d\n%s%s", env, code, stdout, stderr)
		}
	}
	if code, _, stderr := p.run("plan", "-f", "examples/policies/environments.yaml", "--env", "prd"); code != executor.ExitError || !strings.Contains(stderr, `"prod"`) {
		t.Errorf("an overlay that does not exist: exit code %d\n%s", code, stderr)
	}
}

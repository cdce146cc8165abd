package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"privsync/mstrapi/mstrtest"
)

// dies kills an apply at its n-th write.
func (p *program) dies(n int, args ...string) {
	p.t.Helper()
	cmd, _, stderr := p.command(append([]string{"apply", "-f", "policy.yaml", "--yes", "--concurrency", "2"}, args...)...)
	p.onPatch(n, func() { cmd.signal(os.Kill) })
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if code := p.wait(cmd); code != -1 {
		p.t.Fatalf("exit code %d of a process that was to be killed\n%s", code, stderr)
	}
	p.server.OnRequest(func(int, *http.Request) {})
}

// open returns the journals that are open.
func (p *program) open() []string {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.dir, "state", "privsync", "journals", "*.jsonl"))
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

// The place for the dead run's report is gone: nothing is written before it is
// known what that run did, and another place can be named.
func TestRecoverElsewhere(t *testing.T) {
	p := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
	if err := os.Mkdir(filepath.Join(p.dir, "gone"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.dies(7, "--report", "gone/dead.json")
	if err := os.Remove(filepath.Join(p.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	writes := len(p.server.Writes())
	code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report", "next.json")
	if code != exitError || !strings.Contains(stderr, "--report-dir names another place") || len(p.server.Writes()) != writes {
		t.Errorf("apply: exit code %d, %d more writes\n%s", code, len(p.server.Writes())-writes, stderr)
	}
	if code, _, stderr := p.run("recover"); code != exitError || len(p.open()) != 1 {
		t.Errorf("recover: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	if code, _, stderr := p.run("recover", "--report", "found.json"); code != exitDone || len(p.open()) != 0 {
		t.Fatalf("recover --report: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	report := p.report("found.json")
	p.checkTruth(report)
	if !report.Run.Recovered || report.Summary.Applied == 0 {
		t.Errorf("recovered: %+v %+v", report.Run, report.Summary)
	}
}

// Runs that died on another server are that server's affair; several on one
// server are all recovered, oldest first.
func TestRecoverSeveral(t *testing.T) {
	p := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
	other := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
	other.env = append(other.env, "XDG_STATE_HOME="+filepath.Join(p.dir, "state"))
	other.dies(5, "--report", "dead.json")
	if code, _, stderr := p.run("recover"); code != exitDone || !strings.Contains(stderr, "nothing to recover") || len(p.open()) != 1 {
		t.Errorf("recover: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	p.dies(5, "--report", "dead.json")
	// A journal that is still open cannot be left by this program: a person who
	// copied it back can.
	mine := p.open()[1]
	text, err := os.ReadFile(mine)
	if err != nil {
		t.Fatal(err)
	}
	twin := strings.TrimSuffix(mine, ".jsonl") + "-twin.jsonl"
	if err := os.WriteFile(twin, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := p.run("recover", "--report", "both.json"); code != exitError || !strings.Contains(stderr, "2 runs died") || len(p.open()) != 3 {
		t.Errorf("recover: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	code, _, stderr := p.run("recover")
	if code != exitDone || strings.Count(stderr, "recovered the report of run") != 2 || len(p.open()) != 1 {
		t.Fatalf("recover: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	p.checkTruth(p.report("dead.json"))
	if code, _, stderr := other.run("recover"); code != exitDone || len(p.open()) != 0 {
		t.Fatalf("recover on the other server: exit code %d\n%s", code, stderr)
	}
	other.checkTruth(other.report("dead.json"))
}

// Without a place for the journal nothing is written.
func TestJournalThatCannotBeWritten(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, state string) error{
		"no folder": func(_ *testing.T, state string) error {
			return os.WriteFile(filepath.Join(state, "journals"), nil, 0o600)
		},
		"read-only": func(t *testing.T, state string) error {
			if os.Geteuid() == 0 {
				t.Skip("root writes everywhere")
			}
			return os.Mkdir(filepath.Join(state, "journals"), 0o500)
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProgram(t, mstrtest.Options{})
			state := filepath.Join(p.dir, "state", "privsync")
			if err := os.MkdirAll(state, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := prepare(t, state); err != nil {
				t.Fatal(err)
			}
			code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report", "report.json")
			if code != exitError || len(p.server.Writes()) != 0 || !strings.Contains(stderr, "hint: ") {
				t.Errorf("exit code %d, %d writes\n%s", code, len(p.server.Writes()), stderr)
			}
			if got := fmt.Sprint(p.report("report.json").Run.Outcome); got != "failed" || p.server.OpenSessions() != 0 {
				t.Errorf("the report's outcome is %s, %d sessions are open", got, p.server.OpenSessions())
			}
		})
	}
}

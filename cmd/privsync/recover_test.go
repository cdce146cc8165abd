package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"privsync/executor"
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

// The place for the dead run's report is gone: another one can be named.
func TestRecoverElsewhere(t *testing.T) {
	p := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
	if err := os.Mkdir(filepath.Join(p.dir, "gone"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.dies(7, "--report", "gone/dead.json")
	if err := os.Remove(filepath.Join(p.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := p.run("recover", "--report", "found.json"); code != executor.ExitOK || len(p.open()) != 0 {
		t.Fatalf("recover --report: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	report := p.report("found.json")
	p.checkTruth(report)
	if !report.Run.Recovered || report.Summary.Applied == 0 {
		t.Errorf("recovered: %+v %+v", report.Run, report.Summary)
	}
}

// Where the place of its report is gone, the next apply writes the report of a
// run that died into the state folder, and goes on: the night's work does not
// stop until somebody comes.
func TestRecoverIntoTheStateFolder(t *testing.T) {
	p := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
	if err := os.Mkdir(filepath.Join(p.dir, "gone"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.dies(7, "--report", "gone/dead.json")
	if err := os.Remove(filepath.Join(p.dir, "gone")); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report", "next.json")
	if code != executor.ExitOK || len(p.open()) != 0 || !strings.Contains(stderr, "recovered the report of run") || !strings.Contains(stderr, "it goes to where reports without one go") {
		t.Errorf("apply: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
}

// Runs that died on another server are that server's affair; several on one
// server are all recovered, oldest first.
func TestRecoverSeveral(t *testing.T) {
	p := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
	other := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
	other.env = append(other.env, "XDG_STATE_HOME="+filepath.Join(p.dir, "state"))
	other.dies(5, "--report", "dead.json")
	if code, _, stderr := p.run("recover"); code != executor.ExitOK || !strings.Contains(stderr, "nothing to recover") || len(p.open()) != 1 {
		t.Errorf("recover: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	theirs := p.open()
	p.dies(5, "--report", "dead.json")
	// A journal that is still open cannot be left by this program: a person who
	// copied it back can.
	mine := slices.DeleteFunc(p.open(), func(path string) bool { return slices.Contains(theirs, path) })[0]
	text, err := os.ReadFile(mine)
	if err != nil {
		t.Fatal(err)
	}
	twin := strings.TrimSuffix(mine, ".jsonl") + "-twin.jsonl"
	if err := os.WriteFile(twin, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := p.run("recover", "--report", "both.json"); code != executor.ExitError || !strings.Contains(stderr, "2 runs died") || len(p.open()) != 3 {
		t.Errorf("recover: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	code, _, stderr := p.run("recover")
	if code != executor.ExitOK || strings.Count(stderr, "recovered the report of run") != 2 || len(p.open()) != 1 {
		t.Fatalf("recover: exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	p.checkTruth(p.report("dead.json"))
	if code, _, stderr := other.run("recover"); code != executor.ExitOK || len(p.open()) != 0 {
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
			if code != executor.ExitError || len(p.server.Writes()) != 0 || !strings.Contains(stderr, "hint: ") {
				t.Errorf("exit code %d, %d writes\n%s", code, len(p.server.Writes()), stderr)
			}
			if got := fmt.Sprint(p.report("report.json").Run.Outcome); got != "failed" || p.server.OpenSessions() != 0 {
				t.Errorf("the report's outcome is %s, %d sessions are open", got, p.server.OpenSessions())
			}
		})
	}
}

// TestFullDisk lets the disk fill up at any point of a run: no file may grow
// beyond a limit. Whatever could be written, the reports of that run, of its
// recovery and of the next run together account for every write of the server.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no limits of this kind")
	}
	journal, cut := 0, 0 // runs in which it did not fit, or ended in the middle
	for blocks := 4; blocks <= 100; blocks += 6 {
		p := newProgram(t, mstrtest.Options{})
		limited := exec.Command("sh", "-c", fmt.Sprintf(`ulimit -f %d && exec privsync "$@"`, blocks), "sh",
			"apply", "-f", "policy.yaml", "--yes", "--report-dir", "reports")
		limited.Dir, limited.Env = p.dir, p.env
		out, err := limited.CombinedOutput()
		var exit *exec.ExitError
		want := executor.ExitError
		if len(p.server.Writes()) > 0 {
			want = executor.ExitIncomplete
		}
		if errors.As(err, &exit) && exit.ExitCode() != want || err != nil && exit == nil {
			t.Fatalf("%d blocks: %v\n%s", blocks, err, out)
		}
		if strings.Contains(string(out), "goroutine ") || strings.Count(string(out), "journal failed") > 1 {
			t.Fatalf("%d blocks: %s", blocks, out)
		}
		if n := p.server.OpenSessions(); n != 0 {
			t.Errorf("%d blocks: %d sessions are left open", blocks, n)
		}
		if err != nil && len(p.server.Writes()) == 0 {
			journal++
		}
		if err != nil && len(p.server.Writes()) > 0 {
			cut++
		}
		code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report-dir", "reports")
		if code != executor.ExitOK || len(p.open()) != 0 {
			t.Fatalf("%d blocks, next run: exit code %d\n%s", blocks, code, stderr)
		}
		granted, really := 0, 0
		for _, folder := range []string{"reports", filepath.Join("state", "privsync", "reports")} {
			reports, err := filepath.Glob(filepath.Join(p.dir, folder, "2*.json"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range reports {
				granted += p.report(path).Summary.Grants
			}
		}
		for _, w := range p.server.Writes() {
			really += len(w.Granted)
		}
		if granted != really {
			t.Errorf("%d blocks: the reports know of %d grants, the server of %d", blocks, granted, really)
		}
		if code, _, _ := p.run("plan", "-f", "policy.yaml", "--detailed-exitcode"); code != executor.ExitOK {
			t.Errorf("%d blocks: a plan afterwards ends with %d", blocks, code)
		}
	}
	if journal == 0 || cut == 0 {
		t.Errorf("in %d runs nothing could be written, %d ended in the middle: want both", journal, cut)
	}
}

// One server has one lock and one journal, whatever its name: a run that died as
// 127.0.0.1 is found as localhost.
func TestRecoverByTheOtherName(t *testing.T) {
	p := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
	p.dies(7, "--report", "dead.json")
	other := ""
	for _, v := range p.env {
		if url, ok := strings.CutPrefix(v, "PRIVSYNC_URL="); ok {
			other = strings.Replace(url, "127.0.0.1", "localhost", 1)
		}
	}
	if !strings.Contains(other, "localhost") {
		t.Fatalf("no URL by number in %q", p.env)
	}
	code, _, stderr := p.run("recover", "--url", other)
	if code != executor.ExitOK || len(p.open()) != 0 || !strings.Contains(stderr, "taken for one server") {
		t.Fatalf("recover as %s: exit code %d, open journals %v\n%s", other, code, p.open(), stderr)
	}
	p.checkTruth(p.report("dead.json"))
}

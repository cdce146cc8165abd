package main

import (
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestLostReaders: whoever looks on and goes away, on stdout, stderr or both, before
// the first line or in the middle of the writes, changes nothing for the run.
func TestLostReaders(t *testing.T) {
	for _, tt := range []struct {
		name           string
		stdout, stderr bool
		early          bool
		format         string
	}{
		{name: "stdout", stdout: true},
		{name: "stdout from the start", stdout: true, early: true},
		{name: "stderr", stderr: true},
		{name: "stderr from the start", stderr: true, early: true},
		{name: "both", stdout: true, stderr: true},
		{name: "both from the start, JSON", stdout: true, stderr: true, early: true, format: "json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, mstrtest.Options{})
			args := []string{"apply", "-f", "policy.yaml", "--yes", "--report", "report.json", "--metrics-file", "run.prom", "--log-level", "debug"}
			if tt.format != "" {
				args = append(args, "--format", tt.format)
			}
			cmd, _, _ := p.command(args...)
			var ends []*os.File
			pipe := func() *os.File {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { w.Close() })
				ends = append(ends, r)
				return w
			}
			if tt.stdout {
				cmd.Stdout = pipe()
			}
			if tt.stderr {
				cmd.Stderr = pipe()
			}
			var once sync.Once
			leave := func() {
				once.Do(func() {
					for _, end := range ends {
						end.Close()
					}
				})
			}
			if tt.early {
				leave()
			}
			p.server.OnRequest(func(_ int, r *http.Request) {
				if r.Method == http.MethodPatch {
					leave()
				}
			})
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(cmd); code != executor.ExitOK {
				t.Errorf("exit code %d, want %d", code, executor.ExitOK)
			}
			if n := p.server.OpenSessions(); n != 0 {
				t.Errorf("%d sessions are left open", n)
			}
			if got := p.report("report.json").Run.Outcome; got != executor.RunSucceeded {
				t.Errorf("the report's outcome is %s, want %s", got, executor.RunSucceeded)
			}
			if _, err := os.Stat(filepath.Join(p.dir, "run.prom")); err != nil {
				t.Error(err)
			}
			if open, err := filepath.Glob(filepath.Join(p.dir, "state", "privsync", "journals", "*.jsonl")); err != nil || len(open) > 0 {
				t.Errorf("journals are left: %v, %v", open, err)
			}
		})
	}
}

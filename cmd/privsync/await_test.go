package main

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestPipes: what is generated is read, what nobody writes is not waited for beyond a
// signal or the deadline, and a device is not read at all.
func TestPipes(t *testing.T) {
	pipe := func(p *program) string {
		path := filepath.Join(p.dir, "pipe.yaml")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Run("read", func(t *testing.T) {
		p := newProgram(t, mstrtest.Options{})
		path := pipe(p)
		go func() {
			_ = os.WriteFile(path, []byte(everybody), 0o600)
		}()
		if code, _, stderr := p.run("validate", "-f", "pipe.yaml"); code != executor.ExitOK {
			t.Errorf("exit code %d\n%s", code, stderr)
		}
	})
	for _, args := range [][]string{
		{"validate", "-f", "pipe.yaml"}, {"plan", "-f", "pipe.yaml"}, {"audit", "-f", "pipe.yaml"}, {"apply", "-f", "pipe.yaml", "--yes"}, {"show", "pipe.yaml"},
		{"apply", "pipe.yaml", "--yes"}, {"rollback", "pipe.yaml", "--out", "undo.json"}, {"validate", "-f", "policy.yaml", "--catalog", "pipe.yaml"},
		{"plan", "-f", "policy.yaml", "--ca-file", "pipe.yaml"}, {"plan", "-f", "policy.yaml", "--password-file", "pipe.yaml"},
		{"sim", "--environment", "pipe.yaml"}, {"doctor", "--ca-file", "pipe.yaml"}, {"export", "--ca-file", "pipe.yaml"}, {"privileges", "--ca-file", "pipe.yaml"},
		{"explain", "user", "demo", "--ca-file", "pipe.yaml"}, {"explain", "user", "demo", "-f", "pipe.yaml"}, {"command", "assign-watch-kpi-insight", "--ca-file", "pipe.yaml"},
		{"recover", "--ca-file", "pipe.yaml"}, {"doctor", "-f", "pipe.yaml"}, {"audit", "-f", "policy.yaml", "--ca-file", "pipe.yaml"},
	} {
		for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			t.Run(args[0]+" "+signal.String(), func(t *testing.T) {
				t.Parallel()
				p := newProgram(t, mstrtest.Options{})
				path := pipe(p)
				cmd, _, stderr := p.command(args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				// That the pipe can be opened says that the program waits at its other end.
				w, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				start := time.Now()
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				if code := p.wait(cmd); code != executor.ExitInterrupted {
					t.Errorf("exit code %d, want %d\n%s", code, executor.ExitInterrupted, stderr)
				}
				if d := time.Since(start); d > 5*time.Second {
					t.Errorf("the signal took %s", d)
				}
			})
		}
	}
	t.Run("deadline", func(t *testing.T) {
		for _, command := range []string{"plan", "audit"} {
			p := newProgram(t, mstrtest.Options{})
			pipe(p)
			if code, _, stderr := p.run(command, "-f", "pipe.yaml", "--deadline", "50ms"); code != executor.ExitError {
				t.Errorf("%s: exit code %d\n%s", command, code, stderr)
			}
		}
	})
	t.Run("device", func(t *testing.T) {
		for _, args := range [][]string{
			{"validate", "-f", "/dev/zero"}, {"show", "/dev/zero"}, {"validate", "-f", "policy.yaml", "--catalog", "/dev/zero"},
			{"plan", "-f", "policy.yaml", "--ca-file", "/dev/zero"}, {"plan", "-f", "policy.yaml", "--password-file", "/dev/zero"}, {"apply", "/dev/zero", "--yes"},
		} {
			p := newProgram(t, mstrtest.Options{})
			if code, _, stderr := p.run(args...); code != executor.ExitError {
				t.Errorf("%v: exit code %d\n%s", args, code, stderr)
			}
		}
	})
}

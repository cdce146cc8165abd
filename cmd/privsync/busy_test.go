package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestAwaitLeavesWork: work goes on while the command ends, and what ended it is told.
func TestAwaitLeavesWork(t *testing.T) {
	for name, end := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"interrupt": func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) },
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := end(t.Context())
			defer cancel()
			a := &app{reading: ctx}
			var over atomic.Bool
			begun, ended := make(chan struct{}), make(chan struct{})
			go func() {
				<-begun
				if name == "interrupt" {
					cancel()
				}
			}()
			_, err := await(a, func() (int, error) {
				defer close(ended)
				close(begun)
				for n := 0; !over.Load(); n++ { // a computation that looks at no context
				}
				return 1, nil
			})
			select {
			case <-ended:
				t.Error("await waited for the work")
			default:
			}
			over.Store(true)
			<-ended
			if interrupted := errors.Is(err, errInterrupted); err == nil || interrupted != (name == "interrupt") {
				t.Errorf("await = %v", err)
			}
		})
	}
}

// TestInterruptWhileComputing: a signal ends what computes, too: a policy that has been
// read to its end and that takes seconds to judge is not judged any more.
func TestInterruptWhileComputing(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: large}\nprincipals:\n")
	for i := 0; b.Len() < 40<<20; i++ {
		fmt.Fprintf(&b, "  - user: user%06d\n    privileges: [", i)
		for j := range 25 {
			fmt.Fprintf(&b, "Use privilege number %d, ", (i*7+j*11)%300)
		}
		b.WriteString("x]\n")
	}
	for _, command := range []string{"validate", "plan", "audit"} {
		t.Run(command, func(t *testing.T) {
			p := newProgram(t, mstrtest.Options{})
			path := filepath.Join(p.dir, "pipe.yaml")
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd, stdout, stderr := p.command(command, "-f", "pipe.yaml")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// All of it fits into the pipe only when nearly all of it was taken out.
			if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(cmd); code != executor.ExitInterrupted {
				t.Errorf("exit code %d, want %d\n%s", code, executor.ExitInterrupted, stderr)
			}
			if stdout.Len() > 0 {
				t.Errorf("it went on to the end:\n%s", stdout)
			}
			if n := p.server.Requests(); n > 0 {
				t.Errorf("%d requests were sent", n)
			}
			// Of the time that the program took, most would be after the signal.
			if used := cmd.ProcessState.UserTime(); used > 4*time.Second {
				t.Errorf("it computed for %s", used)
			}
		})
	}
}

// What offers names to a shell waits for no pipe either.
func TestInterruptedCompletion(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	path := filepath.Join(p.dir, "pipe.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, _, _ := p.command("__complete", "explain", "user", "demo", "--catalog", "pipe.json", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(cmd); code == -1 {
		t.Error("it did not end")
	}
}

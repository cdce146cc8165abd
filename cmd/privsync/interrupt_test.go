package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestInterruptWhileWaiting: wherever the program waits, a single signal of
// either kind ends it with exit code 130, without a session left open.
func TestInterruptWhileWaiting(t *testing.T) {
	t.Parallel()
	queue := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/iserver/queues/") }
	privileges := func(r *http.Request) bool {
		return strings.HasSuffix(r.URL.Path, "/privileges") && strings.Contains(r.URL.Path, "/user")
	}
	again := &mstrtest.Fault{Kind: mstrtest.Unavailable, Method: http.MethodGet, Path: "/user.*/privileges$", Times: 1, RetryAfter: 4 * time.Second}
	tests := []struct {
		name  string
		args  []string
		fault *mstrtest.Fault
		when  func(r *http.Request) bool // the request at which the signal comes
		lock  bool                       // another run holds the lock
		// nothing says that no write is done.
		nothing bool
		// outcome is that of the report; empty: there is none.
		outcome executor.RunOutcome
	}{
		{name: "a command is followed", args: []string{"command", "assign-watch-kpi-insight"}, when: queue},
		{name: "an apply follows its command", args: []string{"apply", "-f", "command.yaml", "--yes"}, when: queue, outcome: executor.RunInterrupted},
		{name: "plan told to wait", args: []string{"plan", "-f", "policy.yaml"}, fault: again, when: privileges},
		{name: "apply told to wait", args: []string{"apply", "-f", "policy.yaml", "--yes"}, fault: again, when: privileges, outcome: executor.RunInterrupted},
		{name: "audit told to wait", args: []string{"audit", "-f", "policy.yaml"}, fault: again, when: privileges, outcome: executor.RunInterrupted},
		{name: "export told to wait", args: []string{"export"}, fault: again, when: privileges},
		{name: "explain told to wait", args: []string{"explain", "user", "demo"}, fault: again, when: privileges},
		{name: "rollback told to wait", args: []string{"rollback", "done.json", "--out", "undo.json"}, fault: again, when: privileges},
		{
			name: "a write told to wait", args: []string{"apply", "-f", "policy.yaml", "--yes", "--concurrency", "1"}, outcome: executor.RunInterrupted,
			fault: &mstrtest.Fault{Kind: mstrtest.Hang, Method: http.MethodPatch, Times: 1},
			when:  func(r *http.Request) bool { return r.Method == http.MethodPatch },
		},
		{
			name: "a write told to come back", args: []string{"apply", "-f", "policy.yaml", "--yes"}, outcome: executor.RunInterrupted,
			fault: &mstrtest.Fault{Kind: mstrtest.TooManyRequests, Method: http.MethodPatch, RetryAfter: 25 * time.Second},
			when:  func(r *http.Request) bool { return r.Method == http.MethodPatch }, nothing: true,
		},
		{
			name: "a reading before a write told to come back", args: []string{"apply", "plan.json", "--yes", "--concurrency", "1"}, outcome: executor.RunInterrupted,
			fault: &mstrtest.Fault{Kind: mstrtest.Unavailable, Method: http.MethodGet, Path: "/user.*/privileges$", RetryAfter: 25 * time.Second},
			when:  privileges, nothing: true,
		},
		{
			name: "a queue told to come back", args: []string{"apply", "-f", "command.yaml", "--yes"}, outcome: executor.RunInterrupted,
			fault: &mstrtest.Fault{Kind: mstrtest.Unavailable, Method: http.MethodGet, Path: "/queues/", RetryAfter: 25 * time.Second}, when: queue,
		},
		{
			name: "the lock is awaited", args: []string{"apply", "-f", "policy.yaml", "--yes", "--lock-timeout", "1h"}, lock: true, outcome: executor.RunInterrupted,
			when: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/auth/login") },
		},
		{name: "recover awaits the lock", args: []string{"recover", "--lock-timeout", "1h"}, lock: true, when: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/auth/login") }},
	}
	for _, tt := range tests {
		for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
			t.Run(tt.name+" "+signal.String(), func(t *testing.T) {
				t.Parallel()
				notUnderNohup(t, signal)
				p := newProgram(t, mstrtest.Options{QueueEndless: strings.Contains(tt.name, "command")})
				p.file("command.yaml", everybody+"commands: [assign-watch-kpi-insight]\n")
				if tt.args[0] == "rollback" {
					if code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report", "done.json"); code != executor.ExitOK {
						t.Fatalf("exit code %d\n%s", code, stderr)
					}
				}
				if slices.Contains(tt.args, "plan.json") {
					if code, _, stderr := p.run("plan", "-f", "policy.yaml", "--out", "plan.json"); code != executor.ExitOK {
						t.Fatalf("exit code %d\n%s", code, stderr)
					}
				}
				before := p.server.Snapshot()
				if tt.lock {
					url := ""
					for _, v := range p.env {
						if after, ok := strings.CutPrefix(v, "PRIVSYNC_URL="); ok {
							url = after
						}
					}
					lock, err := executor.NewFolder(filepath.Join(p.dir, "state", "privsync")).Lock(context.Background(), executor.Target{URL: url}, executor.Holder{PID: 1}, 0)
					if err != nil {
						t.Fatal(err)
					}
					defer lock.Release()
				}
				if tt.fault != nil {
					if err := p.server.Inject(*tt.fault); err != nil {
						t.Fatal(err)
					}
				}
				args := append([]string{}, tt.args...)
				if tt.outcome != "" {
					args = append(args, "--report", "report.json")
				}
				cmd, _, stderr := p.command(append(args, "--timeout", "5s")...)
				var once sync.Once
				p.server.OnRequest(func(_ int, r *http.Request) {
					if tt.when(r) {
						once.Do(func() { cmd.signal(signal) })
					}
				})
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if code := p.wait(cmd); code != executor.ExitInterrupted {
					t.Errorf("exit code %d, want %d\n%s", code, executor.ExitInterrupted, stderr)
				}
				if n := p.server.OpenSessions(); n != 0 {
					t.Errorf("%d sessions are left open\n%s", n, stderr)
				}
				if tt.nothing && !reflect.DeepEqual(before, p.server.Snapshot()) {
					t.Errorf("something was written\n%s", stderr)
				}
				if tt.outcome != "" {
					if got := p.report("report.json").Run.Outcome; got != tt.outcome {
						t.Errorf("the report's outcome is %s, want %s", got, tt.outcome)
					}
				}
			})
		}
	}
}

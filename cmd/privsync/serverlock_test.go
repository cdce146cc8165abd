package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// atOnce sends the signal to the process at the first request that fits.
func (p *program) atOnce(cmd *process, signal os.Signal, fits func(r *http.Request) bool) {
	var once sync.Once
	p.server.OnRequest(func(_ int, r *http.Request) {
		if fits(r) {
			once.Do(func() { cmd.signal(signal) })
		}
	})
}

func isPatch(r *http.Request) bool { return r.Method == http.MethodPatch }

// lockRequests returns the requests that changed the server's lock, or tried.
func (p *program) lockRequests() (puts, deletes []mstrtest.Request) {
	for _, r := range p.server.Log() {
		switch r.Endpoint {
		case mstrtest.PutLock:
			puts = append(puts, r)
		case mstrtest.DeleteLock:
			deletes = append(deletes, r)
		}
	}
	return puts, deletes
}

// TestServerLockOfKilledRun: the server keeps the session of a run that was killed, and
// with it the lock. Recover and the next apply remove it by its id, never by force, and
// only where the state folder shows that the run has ended.
func TestServerLockOfKilledRun(t *testing.T) {
	t.Parallel()
	// At a request that hangs the run is killed.
	writing := mstrtest.Fault{Kind: mstrtest.Hang, Method: http.MethodPatch, Processed: true, Times: 1}
	planning := mstrtest.Fault{Kind: mstrtest.Hang, Path: "/api/iserver/privileges", Times: 1}
	tests := []struct {
		name      string
		when      mstrtest.Fault
		after     []string
		strict    bool // the server lets nobody remove another session's lock
		elsewhere bool // the next run has another state folder
		code      int
		held      bool
		says      string
	}{
		{name: "killed while writing, then recover", when: writing, after: []string{"recover"}, code: 0, says: "removed the server's lock of a run that has ended"},
		{name: "killed while writing, then apply", when: writing, after: []string{"apply", "-f", "policy.yaml", "--yes", "--server-lock"}, code: 0, says: "removed the server's lock of a run that has ended"},
		{name: "killed while writing, then apply without", when: writing, after: []string{"apply", "-f", "policy.yaml", "--yes"}, code: 0, says: "removed the server's lock of a run that has ended"},
		{name: "killed while planning, then apply", when: planning, after: []string{"apply", "-f", "policy.yaml", "--yes", "--server-lock"}, code: 0, says: "removed the server's lock of a run that has ended"},
		{name: "killed while planning, then recover", when: planning, after: []string{"recover"}, code: 0, says: "removed the server's lock of a run that has ended"},
		{name: "not removed by the server, then apply", when: writing, after: []string{"apply", "-f", "policy.yaml", "--yes", "--server-lock"}, strict: true, code: 1, held: true, says: "somebody else has the server's lock"},
		{name: "not removed by the server, then recover", when: writing, after: []string{"recover"}, strict: true, code: 0, held: true, says: "is still there"},
		{name: "seen from another machine", when: writing, after: []string{"apply", "-f", "policy.yaml", "--yes", "--server-lock"}, elsewhere: true, code: 1, held: true, says: "it names privsync's run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := newProgram(t, mstrtest.Options{Quirks: mstrtest.Quirks{StrictUnlock: tt.strict}})
			cmd, _, stderr := p.command("apply", "-f", "policy.yaml", "--yes", "--server-lock")
			if err := p.server.Inject(tt.when); err != nil {
				t.Fatal(err)
			}
			p.atOnce(cmd, syscall.SIGKILL, func(r *http.Request) bool {
				return r.Method == http.MethodPatch || tt.when.Path != "" && strings.HasSuffix(r.URL.Path, tt.when.Path)
			})
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(cmd); code != -1 {
				t.Fatalf("exit code %d, want a killed process\n%s", code, stderr)
			}
			left := p.server.Lock()
			if left == nil {
				t.Fatal("the killed run left no lock")
			}
			if tt.elsewhere {
				p.env = append(p.env, "XDG_STATE_HOME="+filepath.Join(p.dir, "other"))
			}
			code, _, said := p.run(tt.after...)
			if code != tt.code || !strings.Contains(said, tt.says) {
				t.Errorf("%v: exit code %d, want %d, saying %q\n%s", tt.after, code, tt.code, tt.says, said)
			}
			held := p.server.Lock()
			if (held != nil) != tt.held || held != nil && held.ID != left.ID {
				t.Errorf("the server's lock is %+v, want one (%v): that of %q", held, tt.held, left.ID)
			}
			_, deletes := p.lockRequests()
			if tt.elsewhere != (len(deletes) == 0) {
				t.Errorf("removals: %v", deletes)
			}
			for _, d := range deletes {
				if strings.Contains(d.Query, "force") {
					t.Errorf("a lock was removed by force: %s", d.Query)
				}
			}
		})
	}
}

// TestServerLockGivenBack: however a run ends that can still say so, it gives the lock
// back before it logs out.
func TestServerLockGivenBack(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		signal os.Signal
		fault  *mstrtest.Fault
		code   int
		deaf   bool // nobody reads what the run says
	}{
		{name: "interrupted", signal: os.Interrupt, code: executor.ExitInterrupted},
		{name: "terminated", signal: syscall.SIGTERM, code: executor.ExitInterrupted},
		{name: "hung up", signal: syscall.SIGHUP, code: executor.ExitInterrupted},
		{name: "writes refused", fault: &mstrtest.Fault{Kind: mstrtest.Forbidden, Method: http.MethodPatch}, code: executor.ExitIncomplete},
		{name: "nothing can be read", fault: &mstrtest.Fault{Kind: mstrtest.Forbidden, Path: "/api/iserver/privileges"}, code: executor.ExitError},
		{name: "readers lost", deaf: true, code: executor.ExitOK},
		{name: "answer to giving back lost", fault: &mstrtest.Fault{Kind: mstrtest.ResetAfter, Method: http.MethodDelete}, code: executor.ExitOK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			notUnderNohup(t, tt.signal)
			p := newProgram(t, mstrtest.Options{})
			if tt.fault != nil {
				if err := p.server.Inject(*tt.fault); err != nil {
					t.Fatal(err)
				}
			}
			cmd, _, stderr := p.command("apply", "-f", "policy.yaml", "--yes", "--server-lock", "--concurrency", "1")
			if tt.signal != nil {
				p.atOnce(cmd, tt.signal, isPatch)
			}
			if tt.deaf {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				r.Close()
				cmd.Stdout, cmd.Stderr = w, w
				defer w.Close()
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(cmd); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s", code, tt.code, stderr)
			}
			if l := p.server.Lock(); l != nil {
				t.Errorf("the lock is left: %+v", l)
			}
			puts, deletes := p.lockRequests()
			if len(puts) != 1 || len(deletes) != 1 {
				t.Errorf("%d requests took the lock and %d gave it back, want 1 and 1", len(puts), len(deletes))
			}
		})
	}
}

// TestServerLockKeepsRunsApart: two runs on two machines, which share nothing but the server,
// never write at once; the one that waited sees what the other did.
func TestServerLockKeepsRunsApart(t *testing.T) {
	t.Parallel()
	p := newProgram(t, mstrtest.Options{})
	type writer struct {
		cmd    *process
		stderr interface{ String() string }
	}
	var runs []writer
	for _, machine := range []string{"one", "two", "three"} {
		cmd, _, stderr := p.command("apply", "-f", "policy.yaml", "--yes", "--server-lock", "--lock-timeout", "60s", "--state-dir", filepath.Join(p.dir, machine))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, writer{cmd, stderr})
	}
	for _, r := range runs {
		if code := p.wait(r.cmd); code != executor.ExitOK {
			t.Errorf("exit code %d\n%s", code, r.stderr)
		}
	}
	if l := p.server.Lock(); l != nil {
		t.Errorf("the lock is left: %+v", l)
	}
	// Whoever came second found everything done.
	written := map[string]bool{}
	for _, r := range p.server.Log() {
		if r.Endpoint == mstrtest.PatchUser && r.Status == http.StatusOK {
			if written[r.Path] {
				t.Errorf("%s was written twice", r.Path)
			}
			written[r.Path] = true
		}
	}
}

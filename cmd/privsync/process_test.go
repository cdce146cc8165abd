package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/schema"
)

// patience bounds how long a test waits for the program; it only shows when
// something hangs.
const patience = 60 * time.Second

// everybody grants a privilege to each user of the example company.
const everybody = `apiVersion: privsync/v1
kind: Policy
metadata: {name: everybody}
principals:
  - users: {loginMatches: "*"}
    privileges: [Monitor Projects, Monitor Cluster, Monitor Cubes]
`

// program is the program in a process of its own, with a server to talk to.
type program struct {
	t      *testing.T
	server *mstrtest.Server
	dir    string
	env    []string
}

// newProgram starts a server with the example company.
func newProgram(t *testing.T, o mstrtest.Options) *program {
	t.Helper()
	env, err := loadEnvironment("")
	if err != nil {
		t.Fatal(err)
	}
	return programOf(t, env, o)
}

// programOf starts a server with env.
func programOf(t *testing.T, env *mstrtest.Environment, o mstrtest.Options) *program {
	t.Helper()
	p := &program{t: t, server: mstrtest.NewServer(env, o), dir: t.TempDir()}
	listener := httptest.NewServer(p.server)
	t.Cleanup(func() { p.server.Close(); listener.Close() })
	p.env = []string{
		"PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE"), "HOME=" + p.dir, "XDG_STATE_HOME=" + filepath.Join(p.dir, "state"), "TERM=xterm",
		"PRIVSYNC_URL=" + listener.URL + p.server.PathPrefix(), "PRIVSYNC_USERNAME=" + mstrtest.ServiceLogin,
		"PRIVSYNC_PASSWORD=" + mstrtest.ServicePassword, "PRIVSYNC_RATE=0",
	}
	p.file("policy.yaml", everybody)
	return p
}

func (p *program) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// process is a process that the server's hooks may signal.
type process struct {
	*exec.Cmd
	started chan struct{}
}

// Start starts the process and lets go of the hooks that wait to signal it.
func (c *process) Start() error {
	err := c.Cmd.Start()
	close(c.started)
	return err
}

// signal sends a signal to the process as soon as it is started.
func (c *process) signal(s os.Signal) {
	<-c.started
	_ = c.Process.Signal(s) // it may have ended
}

// command returns the program with args, not yet started.
// A recovery waits only briefly for writes that never came.
func (p *program) command(args ...string) (cmd *process, stdout, stderr *bytes.Buffer) {
	if (args[0] == "apply" || args[0] == "recover") && !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--verify-timeout") || a == "--help" }) {
		args = append(slices.Clone(args), "--verify-timeout=1s")
	}
	cmd = &process{exec.CommandContext(p.t.Context(), "privsync", args...), make(chan struct{})}
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.Dir = stdout, stderr, p.env, p.dir
	return cmd, stdout, stderr
}

// run runs the program to its end.
func (p *program) run(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	cmd, out, errs := p.command(args...)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return p.wait(cmd), out.String(), errs.String()
}

// wait returns the exit code; -1 for a process that was killed.
func (p *program) wait(cmd *process) int {
	p.t.Helper()
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	p.t.Fatal(err)
	return 0
}

// report reads a report, and checks it against its schema.
func (p *program) report(path string) *executor.Report {
	p.t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.dir, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(data, &doc); err != nil {
		p.t.Fatal(err)
	}
	if err := schema.Validate("report", doc); err != nil {
		p.t.Errorf("report does not match its schema: %v", err)
	}
	report, err := executor.ReadReport(bytes.NewReader(data))
	if err != nil {
		p.t.Fatal(err)
	}
	return report
}

// checkTruth compares every line of a report with the server's true state.
func (p *program) checkTruth(report *executor.Report) {
	p.t.Helper()
	for _, r := range report.Principals {
		if r.After == nil {
			continue
		}
		project := map[mstrapi.PrivilegeID]bool{}
		for _, c := range p.server.Environment().Catalogue {
			project[c.ID] = c.ProjectLevel
		}
		direct := slices.DeleteFunc(p.server.Direct(r.Principal.ID), func(id mstrapi.PrivilegeID) bool { return project[id] })
		if !slices.Equal(r.After.Direct.IDs(), direct) {
			p.t.Errorf("report says %s %s holds %v directly, the server %v", r.Principal.Kind, r.Principal.Name, r.After.Direct.IDs(), direct)
		}
	}
}

// onPatch calls f, once, when the server has received the n-th PATCH.
func (p *program) onPatch(n int, f func()) {
	var mu sync.Mutex
	seen := 0
	p.server.OnRequest(func(_ int, r *http.Request) {
		if r.Method != http.MethodPatch {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if seen++; seen == n {
			f()
		}
	})
}

func TestFirstInterruptFinishesWhatIsInFlight(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := newProgram(t, mstrtest.Options{Latency: 5 * time.Millisecond})
		cmd, stdout, stderr := p.command("apply", "-f", "policy.yaml", "--yes", "--concurrency", "2", "--report", "report.json")
		p.onPatch(5, func() { cmd.signal(signal) })
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(cmd); code != executor.ExitInterrupted {
			t.Fatalf("%v: exit code %d, want %d\n%s\n%s", signal, code, executor.ExitInterrupted, stdout, stderr)
		}
		report := p.report("report.json")
		p.checkTruth(report)
		s := report.Summary
		if report.Run.Outcome != executor.RunInterrupted || s.Applied == 0 || s.NotAttempted == 0 || s.Unverified+s.Failed != 0 {
			t.Errorf("%v: outcome %s with %+v: want it interrupted, with what was in flight applied and the rest not attempted", signal, report.Run.Outcome, s)
		}
		if n := p.server.OpenSessions(); n != 0 {
			t.Errorf("%v: %d sessions are left open", signal, n)
		}
		if !strings.Contains(stderr.String(), "\nhint: apply again does the rest: ") {
			t.Errorf("%v: stderr does not say what to do:\n%s", signal, stderr.String())
		}
		if !strings.Contains(stderr.String(), "interrupt again to stop now") || !strings.HasSuffix(stderr.String(), "report: report.json\n") {
			t.Errorf("%v: stderr = %s", signal, stderr)
		}
	}
}

func TestDeadlineBeforeTheFirstWrite(t *testing.T) {
	// Each of the many requests before the first write takes 150 ms.
	p := newProgram(t, mstrtest.Options{Latency: 150 * time.Millisecond})
	code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--deadline", "300ms", "--report", "report.json")
	if code != executor.ExitError || !strings.Contains(stderr, "deadline was over before anything was written") || len(p.server.Writes()) != 0 {
		t.Errorf("exit code %d, %d writes\n%s", code, len(p.server.Writes()), stderr)
	}
	p.report("report.json")
	if n := p.server.OpenSessions(); n != 0 {
		t.Errorf("%d sessions are left open", n)
	}
}

func TestReportThatCannotBeWritten(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	p.file("in-the-way", "")
	code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report-dir", "in-the-way/reports")
	if code != executor.ExitError || !strings.Contains(stderr, "report folder: ") || len(p.server.Writes()) != 0 {
		t.Errorf("exit code %d after %d writes, want 1 before the first\n%s", code, len(p.server.Writes()), stderr)
	}
	// Gone on the way: then the state folder has what was done.
	folder := filepath.Join(p.dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	p.onPatch(1, func() {
		if err := os.Remove(folder); err != nil {
			t.Error(err)
		}
	})
	code, _, stderr = p.run("apply", "-f", "policy.yaml", "--yes", "--report", "folder/report.json")
	if code != executor.ExitIncomplete || !strings.Contains(stderr, "write the report: ") || len(p.open()) != 0 {
		t.Errorf("exit code %d, open journals %v\n%s", code, p.open(), stderr)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	path, ok := strings.CutPrefix(lines[len(lines)-1], "report: ")
	if !ok {
		t.Fatalf("the last line is %q, want the report", lines[len(lines)-1])
	}
	report := p.report(path)
	p.checkTruth(report)
	if report.Summary.Applied == 0 {
		t.Errorf("report: %+v %+v", report.Run, report.Summary)
	}
}

func TestSecondInterruptStopsNow(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	if err := p.server.Inject(mstrtest.Fault{Kind: mstrtest.Hang, Method: http.MethodPatch}); err != nil {
		t.Fatal(err)
	}
	cmd, _, stderr := p.command("apply", "-f", "policy.yaml", "--yes", "--report", "report.json", "--timeout", "1h")
	p.onPatch(1, func() {
		cmd.signal(os.Interrupt)
		// Two signals of a kind that come at once may be one.
		cmd.signal(syscall.SIGTERM)
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(cmd); code != executor.ExitInterrupted {
		t.Fatalf("exit code %d, want %d\n%s", code, executor.ExitInterrupted, stderr)
	}
	report := p.report("report.json")
	if report.Run.Outcome != executor.RunInterrupted || report.Summary.Applied != 0 {
		t.Errorf("outcome %s, %+v", report.Run.Outcome, report.Summary)
	}
	if n := p.server.OpenSessions(); n != 0 {
		t.Errorf("%d sessions are left open", n)
	}
}

func TestInterruptWhilePlanning(t *testing.T) {
	for _, args := range [][]string{
		{"plan", "-f", "policy.yaml"},
		{"apply", "-f", "policy.yaml", "--yes", "--report", "report.json"},
		{"audit", "-f", "policy.yaml", "--report", "report.json"},
	} {
		p := newProgram(t, mstrtest.Options{})
		if err := p.server.Inject(mstrtest.Fault{Kind: mstrtest.Hang, Path: "/privileges$", Method: http.MethodGet, Skip: 2}); err != nil {
			t.Fatal(err)
		}
		cmd, stdout, stderr := p.command(append(args, "--timeout", "1h")...)
		var once sync.Once
		p.server.OnRequest(func(n int, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/privileges") && strings.Contains(r.URL.Path, "/users/") {
				once.Do(func() { cmd.signal(os.Interrupt) })
			}
		})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(cmd); code != executor.ExitInterrupted {
			t.Errorf("%v: exit code %d, want %d\n%s\n%s", args, code, executor.ExitInterrupted, stdout, stderr)
			continue
		}
		if n := p.server.OpenSessions(); n != 0 {
			t.Errorf("%v: %d sessions are left open", args, n)
		}
		if args[0] != "plan" {
			if got := p.report("report.json").Run.Outcome; got != executor.RunInterrupted {
				t.Errorf("%v: the report's outcome is %s", args, got)
			}
		}
	}
}

func TestKilledRunIsRecovered(t *testing.T) {
	for _, recoverBy := range []string{"recover", "apply"} {
		t.Run(recoverBy, func(t *testing.T) {
			p := newProgram(t, mstrtest.Options{Latency: 2 * time.Millisecond})
			cmd, _, _ := p.command("apply", "-f", "policy.yaml", "--yes", "--concurrency", "2", "--report", "dead.json")
			p.onPatch(7, func() { cmd.signal(os.Kill) })
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if code := p.wait(cmd); code != -1 {
				t.Fatalf("exit code %d of a process that was to be killed", code)
			}
			args := []string{"recover"}
			if recoverBy == "apply" {
				args = []string{"apply", "-f", "policy.yaml", "--yes", "--report", "next.json"}
			}
			code, stdout, stderr := p.run(args...)
			if code != 0 || !strings.Contains(stderr, "recovered the report of run") {
				t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
			}
			dead := p.report("dead.json")
			if !dead.Run.Recovered || dead.Summary.Applied == 0 || dead.Summary.NotAttempted == 0 {
				t.Errorf("recovered report: %+v %+v", dead.Run, dead.Summary)
			}
			if recoverBy == "recover" {
				p.checkTruth(dead)
			}
			// Both reports together account for every write.
			granted := dead.Summary.Grants
			if recoverBy == "apply" {
				granted += p.report("next.json").Summary.Grants
				if code, _, _ := p.run("plan", "-f", "policy.yaml", "--detailed-exitcode"); code != executor.ExitOK {
					t.Errorf("after recovery and rerun a plan ends with %d", code)
				}
			}
			really := 0
			for _, w := range p.server.Writes() {
				really += len(w.Granted)
			}
			if granted != really {
				t.Errorf("the reports know of %d grants, the server of %d", granted, really)
			}
		})
	}
}

func TestTwoRunsKeepApart(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	// The first run hangs in a write; it is let go by its second signal.
	if err := p.server.Inject(mstrtest.Fault{Kind: mstrtest.Hang, Method: http.MethodPatch}); err != nil {
		t.Fatal(err)
	}
	first, _, firstErr := p.command("apply", "-f", "policy.yaml", "--yes", "--report", "first.json", "--timeout", "1h")
	writing := make(chan struct{})
	p.onPatch(1, func() { close(writing) })
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-writing:
	case <-time.After(patience):
		_ = first.Process.Kill()
		t.Fatalf("the first run does not write: %s", firstErr)
	}
	code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report", "second.json")
	holder := fmt.Sprintf("process %d of ", first.Process.Pid)
	if code != executor.ExitError || !strings.Contains(stderr, "another run works on") || !strings.Contains(stderr, holder) || !strings.Contains(stderr, "--lock-timeout") {
		t.Errorf("second run: exit code %d\n%s", code, stderr)
	}
	if got := p.report("second.json").Run.Outcome; got != executor.RunFailed {
		t.Errorf("second run's outcome is %s", got)
	}
	first.signal(os.Interrupt)
	first.signal(syscall.SIGTERM)
	if code := p.wait(first); code != executor.ExitInterrupted {
		t.Errorf("first run: exit code %d", code)
	}
}

func TestSimServesUntilInterrupted(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	cmd, _, _ := p.command("sim", "--listen", "127.0.0.1:0", "--log", "requests.jsonl", "--base-path", "/consume-dev")
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimSpace(string(line[:n]))
	if !strings.HasPrefix(url, "http://127.0.0.1:") || !strings.HasSuffix(url, "/consume-dev") {
		t.Fatalf("sim says %q", url)
	}
	p.file("seed.yaml", `{apiVersion: privsync/v1, kind: Policy, metadata: {name: s}, principals: [{user: demo, privileges: [54]}]}`)
	if code, stdout, stderr := p.run("apply", "-f", "seed.yaml", "--url", url, "--yes"); code != 0 {
		t.Errorf("apply: exit code %d\n%s\n%s", code, stdout, stderr)
	}
	cmd.signal(os.Interrupt)
	if code := p.wait(cmd); code != 0 {
		t.Errorf("sim: exit code %d", code)
	}
	log, err := os.ReadFile(filepath.Join(p.dir, "requests.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), `"body":{"operationList":[{"op":"add","path":"/privileges","value":[54]}]}`) || strings.Contains(string(log), "privsync\"") {
		t.Errorf("request log:\n%s", log)
	}
	for _, text := range strings.Split(strings.TrimSpace(string(log)), "\n") {
		var line loggedRequest
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Status == 0 {
			t.Errorf("line %q: %v", text, err)
		}
	}
}

// notUnderNohup skips a test of SIGHUP where that is ignored: the program, which
// inherits it, then goes on as nohup says.
func notUnderNohup(t *testing.T, s os.Signal) {
	t.Helper()
	if s == syscall.SIGHUP && signal.Ignored(syscall.SIGHUP) {
		t.Skip("SIGHUP is ignored, as under nohup")
	}
}

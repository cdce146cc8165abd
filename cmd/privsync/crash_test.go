package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
	"privsync/schema"
)

// crashWrites is the least number of writes that the killed run has.
const crashWrites = 60

// crashMoment says when the process is killed.
type crashMoment struct {
	what  string // before, processed, answered, late (carried out when the program is dead): a write; request: any request
	n     int    // of the writes, or of the requests
	delay time.Duration
}

func (m crashMoment) String() string { return fmt.Sprintf("%s %d +%s", m.what, m.n, m.delay) }

// TestCrash kills the real program, with SIGKILL, before each n-th write is
// carried out, after it is carried out and before the answer, and after the
// answer; and at random moments of the run, also a second and a third time. Then
// recover and a further apply finish the work, and the reports together list
// every change that the server made for the program: none is missing, none is
// invented. PRIVSYNC_CRASH=all kills at every n; otherwise some are left out.
func TestCrash(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	binary := filepath.Join(t.TempDir(), "privsync")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	env, text := crashWorld()

	// A run that nobody kills says how much there is to kill.
	whole := newCrashSite(t, binary, env, text)
	whole.run(t, 0, "apply", "-f", "policy.yaml", "--yes", "--report-dir", "reports")
	writes, requests := len(whole.server.Writes()), int(whole.server.Requests())
	if writes < crashWrites {
		t.Fatalf("the run has %d writes, want at least %d", writes, crashWrites)
	}

	all := os.Getenv("PRIVSYNC_CRASH") == "all"
	step, random := 12, 9
	if all {
		step, random = 1, 100
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var moments []crashMoment
	for i, what := range []string{"before", "processed", "answered", "late"} {
		for n := 1 + i*step/4; n <= writes; n += step {
			moments = append(moments, crashMoment{what: what, n: n})
		}
	}
	for range random {
		moments = append(moments, crashMoment{"request", 1 + rng.IntN(requests), time.Duration(rng.IntN(8)) * time.Millisecond})
	}
	// The last request is the logout; the report is written after it.
	for i := range random / 3 {
		moments = append(moments, crashMoment{"request", requests, time.Duration(i) * 500 * time.Microsecond})
	}
	var sum crashTally
	t.Run("killed", func(t *testing.T) {
		for i, m := range moments {
			t.Run(m.String(), func(t *testing.T) {
				t.Parallel()
				s := newCrashSite(t, binary, env, text)
				s.rng = rand.New(rand.NewPCG(uint64(i), 3))
				s.crash(t, m)
				sum.add(&s.tally)
			})
		}
	})
	t.Logf("%d writes in the whole run; %d runs begun to be killed, %d of them died, %d journals torn, %d reports recovered, %d changes in the reports and in the server's log",
		writes, sum.runs, sum.killed, sum.torn, sum.recovered, sum.changes)
	if sum.killed < len(moments)*3/4 || sum.recovered < len(moments)/2 || sum.torn == 0 {
		t.Error("the moments do not reach what they are for")
	}
}

// crashTally counts what the moments came to.
type crashTally struct {
	mu                                     sync.Mutex
	runs, killed, torn, recovered, changes int
}

func (t *crashTally) add(o *crashTally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs += o.runs
	t.killed += o.killed
	t.torn += o.torn
	t.recovered += o.recovered
	t.changes += o.changes
}

// crashWorld returns a server and a policy whose application takes many writes:
// most principals lose something and get something.
func crashWorld() (*mstrtest.Environment, string) {
	rng := rand.New(rand.NewPCG(4, 2))
	env := mstrtest.Random(rng, mstrtest.Size{Users: 44, Groups: 14, Privileges: 12, Depth: 6})
	return env, randomPolicy(rng, env, 3)
}

// randomPolicy lists for everybody but the service user one in so many of the server-level
// privileges, and nothing else.
func randomPolicy(rng *rand.Rand, env *mstrtest.Environment, oneIn int) string {
	var b strings.Builder
	b.WriteString("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: random, owner: tests}\nprincipals:\n")
	entry := func(kind, name string, id mstrapi.ObjectID) {
		list := []mstrapi.PrivilegeID{}
		for _, p := range env.Catalogue {
			if !p.ProjectLevel && p.Name != mstrtest.UserManagerName && rng.IntN(oneIn) == 0 {
				list = append(list, p.ID)
			}
		}
		line, err := json.Marshal(map[string]any{kind: name, "id": id, "mode": "authoritative", "privileges": list})
		if err != nil {
			panic(err) // of strings and numbers
		}
		fmt.Fprintf(&b, "  - %s\n", line)
	}
	for _, g := range env.Groups {
		entry("group", g.Name, g.ID)
	}
	for _, u := range env.Users {
		if u.Login != mstrtest.ServiceLogin {
			entry("user", u.Login, u.ID)
		}
	}
	return b.String()
}

// crashSite is a server, and a folder where the program runs.
type crashSite struct {
	binary string
	dir    string
	env    []string
	server *mstrtest.Server
	rng    *rand.Rand
	tally  crashTally

	connections atomic.Int64 // open
	victim      atomic.Pointer[victim]
	scope       planner.Set
}

// victim is a process that is to be killed at a moment.
type victim struct {
	cmd     *exec.Cmd
	moment  crashMoment
	started chan struct{} // closed once cmd.Process is set
	gone    chan struct{} // closed once the process has ended
	counted atomic.Int64
}

func newCrashSite(t *testing.T, binary string, env *mstrtest.Environment, text string) *crashSite {
	t.Helper()
	s := &crashSite{binary: binary, dir: t.TempDir(), server: mstrtest.NewServer(env, mstrtest.Options{})}
	for _, p := range env.Catalogue {
		if !p.ProjectLevel {
			s.scope.Add(p.ID)
		}
	}
	s.server.OnRequest(func(_ int, r *http.Request) {
		if v := s.victim.Load(); v != nil && ((v.moment.what == "before" || v.moment.what == "late") && r.Method == http.MethodPatch || v.moment.what == "request") {
			v.strike()
		}
	})
	s.server.OnResponse(func(_ int, r *http.Request, _ int) {
		if v := s.victim.Load(); v != nil && v.moment.what == "processed" && r.Method == http.MethodPatch {
			v.strike()
		}
	})
	listener := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.server.ServeHTTP(w, r)
		if v := s.victim.Load(); v != nil && v.moment.what == "answered" && r.Method == http.MethodPatch {
			_ = http.NewResponseController(w).Flush()
			v.strike()
		}
	}))
	listener.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.connections.Add(1)
		case http.StateClosed, http.StateHijacked:
			s.connections.Add(-1)
		}
	}
	listener.Start()
	t.Cleanup(func() { s.server.Close(); listener.Close() })
	s.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "XDG_STATE_HOME=" + filepath.Join(s.dir, "state"), "NO_PROXY=*",
		"PRIVSYNC_URL=" + listener.URL + s.server.PathPrefix(), "PRIVSYNC_USERNAME=" + mstrtest.ServiceLogin,
		"PRIVSYNC_PASSWORD=" + mstrtest.ServicePassword, "PRIVSYNC_RATE=0", "PRIVSYNC_CONCURRENCY=4",
	}
	if err := os.WriteFile(filepath.Join(s.dir, "policy.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// strike kills the process if this is its moment, and returns when it is dead,
// so that nothing that the server still says can reach it.
func (v *victim) strike() {
	if v.counted.Add(1) != int64(v.moment.n) {
		return
	}
	<-v.started
	if v.moment.delay > 0 {
		// The moment lies after this request, wherever the process then is.
		time.AfterFunc(v.moment.delay, func() { _ = v.cmd.Process.Kill() })
		return
	}
	_ = v.cmd.Process.Kill() // it may have ended
	<-v.gone
}

// command returns the program, ready to start.
func (s *crashSite) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command(s.binary, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	return cmd, out
}

// run runs the program to its end.
func (s *crashSite) run(t *testing.T, want int, args ...string) string {
	t.Helper()
	cmd, out := s.command(args...)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		t.Fatalf("%s: exit code %d, want %d\n%s", args[0], got, want, out)
	}
	return out.String()
}

// kill runs an apply that is killed at the moment, and reports whether it died of
// it. Then the server has nothing of it left to do.
func (s *crashSite) kill(t *testing.T, m crashMoment) bool {
	t.Helper()
	cmd, out := s.command("apply", "-f", "policy.yaml", "--yes", "--report-dir", "reports", "--verify-timeout=300ms")
	v := &victim{cmd: cmd, moment: m, started: make(chan struct{}), gone: make(chan struct{})}
	s.victim.Store(v)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	close(v.started)
	err := cmd.Wait()
	s.victim.Store(nil)
	close(v.gone)
	s.tally.runs++
	// What the dead process had sent the server may still carry out. Afterwards,
	// and not before, a recovery can know what was done.
	for deadline := time.Now().Add(time.Minute); s.connections.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("connections of the dead process stay open")
		}
	}
	died := err != nil && cmd.ProcessState.ExitCode() == -1
	if err != nil && !died {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	if died {
		s.tally.killed++
	}
	return died
}

// crash kills a run, and perhaps the ones after it, recovers, finishes the work
// and compares the reports with the server's log.
func (s *crashSite) crash(t *testing.T, m crashMoment) {
	verify := "--verify-timeout=300ms"
	if m.what == "late" {
		verify = "--verify-timeout=5s"
		if err := s.server.Inject(mstrtest.Fault{Kind: mstrtest.LateWrite, Skip: m.n - 1, Times: 1, Delay: 700 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
	}
	died := s.kill(t, m)
	for died && m.what == "request" && s.rng.IntN(3) == 0 {
		// The next run recovers the dead one by itself, if it comes that far.
		m.n = 1 + s.rng.IntN(m.n)
		died = s.kill(t, m)
	}
	s.tear(t)
	before := s.reports(t)
	open := s.journals(t, ".jsonl")
	if len(open) > 1 {
		t.Errorf("%d journals are open", len(open))
	}
	sent := len(s.server.Log())
	s.run(t, 0, "recover", verify)
	truth := s.server.Snapshot()
	for _, q := range s.server.Log()[sent:] {
		if q.Method != http.MethodGet && q.Endpoint != mstrtest.Login && q.Endpoint != mstrtest.Logout {
			t.Errorf("recover sent %s %s", q.Method, q.Path)
		}
	}
	after := s.reports(t)
	if left := s.journals(t, ".jsonl"); len(left) > 0 {
		t.Errorf("journals are open after the recovery: %v", left)
	}
	for name, r := range after {
		if _, old := before[name]; old {
			continue
		}
		s.tally.recovered++
		if !r.Run.Recovered {
			t.Errorf("%s was written by recover and does not say so", name)
		}
		for _, p := range r.Principals {
			now := planner.SetOf(truth.Direct[p.Principal.ID]...).Intersect(s.scope)
			if p.After != nil && !p.After.Direct.Equal(now) {
				t.Errorf("recovered: %s %s: after is %v, true is %v", p.Principal.ID, p.Outcome, p.After.Direct.IDs(), now.IDs())
			}
			if len(p.Grant)+len(p.Revoke) == 0 {
				continue // only touched
			}
			var grant, revoke planner.Set
			for _, q := range p.Grant {
				grant.Add(q.ID)
			}
			for _, q := range p.Revoke {
				revoke.Add(q.ID)
			}
			if done := grant.Minus(now).IsEmpty() && revoke.Intersect(now).IsEmpty(); done != (p.Outcome == executor.Applied || p.Outcome == executor.Drifted) {
				t.Errorf("recovered: %s is %s, and everything done is %v", p.Principal.ID, p.Outcome, done)
			}
		}
	}
	missing := 0
	for _, name := range open {
		// A run that dies between its report and its journal's end left both.
		if before[strings.TrimSuffix(name, ".jsonl")+".json"] == nil {
			missing++
		}
	}
	if got := len(after) - len(before); got != missing {
		t.Errorf("%d runs left no report, %d reports recovered", missing, got)
	}

	s.run(t, 0, "apply", "-f", "policy.yaml", "--yes", "--report-dir", "reports")
	s.run(t, 0, "plan", "-f", "policy.yaml", "--detailed-exitcode")
	s.run(t, 0, "verify-reports", "reports")
	if lost := s.server.LossesInPassing(nil); len(lost) > 0 {
		t.Errorf("lost in passing: %+v", lost)
	}
	s.account(t)
}

// account compares what the reports say was done with what the server did.
func (s *crashSite) account(t *testing.T) {
	t.Helper()
	done := make(map[string]int)
	for _, q := range s.server.Writes() {
		for _, p := range q.Granted {
			done[fmt.Sprint(q.Target, " +", p)]++
			s.tally.changes++
		}
		for _, p := range q.Revoked {
			done[fmt.Sprint(q.Target, " -", p)]++
			s.tally.changes++
		}
	}
	told := make(map[string]int)
	for _, r := range s.reports(t) {
		for _, p := range r.Principals {
			for _, q := range p.Granted {
				told[fmt.Sprint(p.Principal.ID, " +", q)]++
			}
			for _, q := range p.Revoked {
				told[fmt.Sprint(p.Principal.ID, " -", q)]++
			}
		}
	}
	for change, n := range done {
		if told[change] != n {
			t.Errorf("%s: the server did it %d times, the reports say %d", change, n, told[change])
		}
	}
	for change, n := range told {
		if done[change] == 0 {
			t.Errorf("%s: the reports say it %d times, and the server never did it", change, n)
		}
	}
}

// tear does to a journal what a loss of power does: the last line is torn off
// in the middle. An announcement is on the disk before its write is sent, so
// only a record that announces nothing can be lost; a new one may be begun. The kill may
// have done so already.
func (s *crashSite) tear(t *testing.T) {
	t.Helper()
	for _, name := range s.journals(t, ".jsonl") {
		if s.rng.IntN(2) == 0 {
			continue
		}
		path := filepath.Join(s.dir, "state", "privsync", "journals", name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(text, []byte("\n"))
		last := lines[len(lines)-2]
		switch {
		case len(lines[len(lines)-1]) > 0:
			s.tally.torn++ // the kill itself hit the middle of a record
			continue
		case bytes.Contains(last, []byte(`"type":"outcome"`)):
			text = text[:len(text)-len(last)+s.rng.IntN(len(last))]
		default:
			text = append(text, last[:s.rng.IntN(len(last))]...)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s.tally.torn++
	}
}

// journals returns the names of journals that end in suffix.
func (s *crashSite) journals(t *testing.T, suffix string) []string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir(filepath.Join(s.dir, "state", "privsync", "journals"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// reports returns all reports by file name, checked with their schema.
func (s *crashSite) reports(t *testing.T) map[string]*executor.Report {
	t.Helper()
	out := make(map[string]*executor.Report)
	paths, err := filepath.Glob(filepath.Join(s.dir, "reports", "2*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate("report", doc); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if out[filepath.Base(path)], err = executor.ReadReport(bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"privsync/mstrapi/mstrtest"
)

// childPrefix marks the argument that makes this program a child of itself.
const childPrefix = "child="

// runChild is what this program does as a child of itself.
func runChild(role string) error {
	switch role {
	case "simulator":
		return serve(os.Stdin, os.Stdout)
	case "planner":
		return plannerChild(os.Stdin, os.Stdout)
	case "validate":
		return validateChild(os.Stdin, os.Stdout)
	}
	return fmt.Errorf("no child is called %q", role)
}

// child starts this program as a child of itself. It ends when its standard
// input does.
func child(ctx context.Context, role string) (*exec.Cmd, io.WriteCloser, *bufio.Reader, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, nil, err
	}
	cmd := exec.CommandContext(ctx, self, childPrefix+role)
	cmd.Env = cleanEnvironment()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, nil, err
	}
	return cmd, in, bufio.NewReader(out), cmd.Start()
}

// ask runs a child that answers one question and returns the answer in v.
func ask(ctx context.Context, role string, question, v any) error {
	cmd, in, out, err := child(ctx, role)
	if err != nil {
		return err
	}
	err = json.NewEncoder(in).Encode(question)
	if err == nil {
		err = json.NewDecoder(out).Decode(v)
	}
	in.Close()
	return errors.Join(err, cmd.Wait())
}

// cleanEnvironment is this program's environment without what would change how
// privsync, or Go's memory management, behaves.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PRIVSYNC_") || strings.HasPrefix(v, "GOGC=") || strings.HasPrefix(v, "GOMEMLIMIT=") ||
			strings.HasPrefix(v, "GODEBUG=") || strings.HasPrefix(v, "GOMAXPROCS=")
	})
}

// simulator is a simulated server in a process of its own.
type simulator struct {
	url string
	cmd *exec.Cmd
	mu  sync.Mutex // guards in and out
	in  io.WriteCloser
	out *bufio.Reader
}

// simulatorStats are what a simulator counted since the last reset.
type simulatorStats struct {
	URL         string
	Requests    int64
	Connections int64 // new ones
	Latency     time.Duration
	CPU         time.Duration
	Times       []int64 // of requests, in nanoseconds, ascending
}

// startSimulator starts a simulated server; stop it.
func startSimulator(ctx context.Context, s scene) (*simulator, error) {
	cmd, in, out, err := child(ctx, "simulator")
	if err != nil {
		return nil, err
	}
	sim := &simulator{cmd: cmd, in: in, out: out}
	if err := json.NewEncoder(in).Encode(s); err != nil {
		return nil, err
	}
	stats, err := sim.answer()
	sim.url = stats.URL
	return sim, err
}

// reset sets the simulator's counts to zero; it keeps its state.
func (s *simulator) reset() error { return s.tell("reset") }

// restore makes the simulator's grants what they were at first.
func (s *simulator) restore() error { return s.tell("restore") }

func (s *simulator) tell(what string) error {
	_, err := s.call(what)
	return err
}

func (s *simulator) stats() (simulatorStats, error) { return s.call("stats") }

func (s *simulator) call(what string) (simulatorStats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := fmt.Fprintln(s.in, what); err != nil {
		return simulatorStats{}, err
	}
	return s.answer()
}

func (s *simulator) answer() (simulatorStats, error) {
	var stats simulatorStats
	line, err := s.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &stats)
	}
	if err != nil {
		return stats, fmt.Errorf("simulator: %w", err)
	}
	return stats, nil
}

func (s *simulator) stop() {
	s.in.Close()
	_ = s.cmd.Wait() // it ends with its input; what it says then does not matter
}

// serve is the child: it reads a scene, serves it, and answers commands.
func serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return io.ErrUnexpectedEOF
	}
	var s scene
	if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var (
		mu    sync.Mutex
		times []int64
		since simulatorStats
	)
	environment := s.environment()
	server := mstrtest.NewServer(environment, s.options())
	if s.Times {
		server.OnRequest(func(int, *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			times = append(times, time.Now().UnixNano())
		})
	}
	h := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second, ConnState: server.ConnState}
	go h.Serve(listener)
	defer h.Close()
	defer server.Close()
	now := func() simulatorStats {
		return simulatorStats{
			URL: "http://" + listener.Addr().String() + server.PathPrefix(), Requests: server.Requests(),
			Connections: server.Connections(), Latency: server.MeasuredLatency(), CPU: ownCPU(),
		}
	}
	answer := json.NewEncoder(out)
	if err := answer.Encode(now()); err != nil {
		return err
	}
	for lines.Scan() {
		switch lines.Text() {
		case "reset":
			mu.Lock()
			times = nil
			mu.Unlock()
			since = now()
		case "restore":
			// No policy here changes anything else.
			stray := strayPrivilege()
			for _, u := range environment.Users {
				if slices.Contains(u.Privileges, stray) {
					if err := server.Grant(u.ID, stray); err != nil {
						return err
					}
				}
			}
			for _, g := range environment.Groups {
				if !slices.Contains(g.Privileges, stray) {
					if err := server.Revoke(g.ID, stray); err != nil {
						return err
					}
				}
			}
		}
		stats := now()
		stats.Requests -= since.Requests
		stats.Connections -= since.Connections
		stats.CPU -= since.CPU
		mu.Lock()
		stats.Times = slices.Sorted(slices.Values(times))
		mu.Unlock()
		if err := answer.Encode(stats); err != nil {
			return err
		}
	}
	return lines.Err()
}

// ownCPU returns the CPU time that this process took.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// privsync builds the program, once, and returns its path.
func (b *bench) privsync(ctx context.Context) (string, error) {
	if b.exe != "" {
		return b.exe, nil
	}
	exe := filepath.Join(b.dir, "privsync")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", exe, "privsync/cmd/privsync")
	cmd.Env = append(cleanEnvironment(), "CGO_ENABLED=0")
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go build: %w", err)
	}
	b.exe = exe
	return exe, nil
}

// usage is what a run of privsync took.
type usage struct {
	wall time.Duration
	cpu  time.Duration
	peak int64 // resident memory, in bytes
}

func (u usage) mib() float64 { return float64(u.peak) / (1 << 20) }

// invocation is one run of privsync.
type invocation struct {
	args []string
	url  string   // of the server; empty: none
	exit int      // expected
	out  *os.File // for stdout; nil: thrown away
	err  *os.File // for stderr; nil: shown if the exit is another
}

// launch runs privsync to its end.
func (b *bench) launch(ctx context.Context, v invocation) (usage, error) {
	exe, err := b.privsync(ctx)
	if err != nil {
		return usage{}, err
	}
	cmd := exec.CommandContext(ctx, exe, v.args...)
	cmd.Env = cleanEnvironment()
	if v.url != "" {
		cmd.Env = append(cmd.Env, "PRIVSYNC_URL="+v.url, "PRIVSYNC_USERNAME="+mstrtest.ServiceLogin, "PRIVSYNC_PASSWORD="+mstrtest.ServicePassword)
	}
	var text strings.Builder
	cmd.Stdout, cmd.Stderr = nil, &text
	if v.out != nil {
		cmd.Stdout = v.out
	}
	if v.err != nil {
		cmd.Stderr = v.err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return usage{}, err
	}
	polled := make(chan int64)
	ended := make(chan struct{})
	go func() { polled <- pollPeak(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	u := usage{wall: time.Since(start)}
	close(ended)
	u.peak = <-polled
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return u, err
	}
	if code := cmd.ProcessState.ExitCode(); code != v.exit {
		return u, fmt.Errorf("privsync %s: exit %d, want %d: %s", strings.Join(v.args, " "), code, v.exit, clip(text.String()))
	}
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	// The kernel's own maximum is exact, but it counts what this process had
	// when it started the other.
	if r, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok && r.Maxrss<<10 > peakOf(os.Getpid()) {
		u.peak = r.Maxrss << 10
	}
	return u, nil
}

func clip(s string) string {
	if len(s) > 2000 {
		s = "…" + s[len(s)-2000:]
	}
	return s
}

// pollPeak follows the peak resident memory of a process until ended.
func pollPeak(pid int, ended <-chan struct{}) int64 {
	var most int64
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ended:
			return most
		case <-ticker.C:
			most = max(most, peakOf(pid))
		}
	}
}

// peakOf returns the peak resident memory of a process in bytes; 0 where the
// process has ended.
func peakOf(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// file writes text to a file of its own and returns its path.
func (b *bench) file(name, text string) (string, error) {
	path := filepath.Join(b.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// applyArgs are the arguments of an unattended apply of a policy, or a plan.
func (b *bench) applyArgs(concurrency int, what ...string) []string {
	args := []string{
		"apply", "--yes", "--quiet", "--rate", "0", "--concurrency", strconv.Itoa(concurrency),
		"--state-dir", filepath.Join(b.dir, "state"), "--report", filepath.Join(b.dir, "report.json"),
	}
	return append(args, what...)
}

// planArgs are the arguments of a plan.
func (b *bench) planArgs(concurrency int, path string, more ...string) []string {
	args := []string{"plan", "--rate", "0", "--concurrency", strconv.Itoa(concurrency), "-f", path}
	return slices.Concat(args, more)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// screen is a terminal that a test types on and reads.
type screen struct {
	t    *testing.T
	ctrl *os.File
	tty  *os.File

	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // gets a value, if it has room, whenever text grows
	done chan struct{}
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	ctrl, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	n, err := unix.IoctlGetInt(int(ctrl.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ctrl.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}); err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, ctrl: ctrl, tty: tty, more: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		buf := make([]byte, 4096)
		for {
			n, err := ctrl.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			select {
			case s.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() { s.tty.Close(); s.ctrl.Close(); <-s.done })
	return s
}

func (s *screen) content() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until text is on the screen.
func (s *screen) await(text string) {
	s.t.Helper()
	timeout := time.After(patience)
	for !strings.Contains(s.content(), text) {
		select {
		case <-s.more:
		case <-timeout:
			s.t.Fatalf("%q does not appear on\n%s", text, s.content())
		}
	}
}

func (s *screen) typeLine(line string) { s.press(line + "\n") }

func (s *screen) press(keys string) {
	s.t.Helper()
	if _, err := s.ctrl.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// start runs the program on the screen.
func (s *screen) start(p *program, args ...string) *process {
	s.t.Helper()
	cmd, _, _ := p.command(args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.tty, s.tty, s.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

func TestApplyAsksOnATerminal(t *testing.T) {
	for _, tt := range []struct {
		answer string
		code   int
		writes bool
	}{{"yes", executor.ExitOK, true}, {"y", executor.ExitError, false}, {"YES", executor.ExitError, false}, {"", executor.ExitError, false}} {
		t.Run("answer "+tt.answer, func(t *testing.T) {
			t.Parallel()
			p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
			cmd := s.start(p, "apply", "-f", "policy.yaml", "--report", "report.json")
			s.await("Only 'yes' is accepted:")
			if !strings.Contains(s.content(), "Apply these changes to http://127.0.0.1:") {
				t.Errorf("the question does not name the server:\n%s", s.content())
			}
			if len(p.server.Writes()) != 0 {
				t.Error("written before the answer")
			}
			s.typeLine(tt.answer)
			if code := p.wait(cmd); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s", code, tt.code, s.content())
			}
			if got := len(p.server.Writes()) > 0; got != tt.writes {
				t.Errorf("written: %v, want %v", got, tt.writes)
			}
			if n := p.server.OpenSessions(); n != 0 {
				t.Errorf("%d sessions are left open", n)
			}
			p.report("report.json")
		})
	}
}

func TestInterruptAtTheQuestion(t *testing.T) {
	p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
	cmd := s.start(p, "apply", "-f", "policy.yaml", "--report", "report.json")
	s.await("Only 'yes' is accepted:")
	s.press("\x03") // Ctrl-C
	if code := p.wait(cmd); code != executor.ExitInterrupted {
		t.Errorf("exit code %d, want %d\n%s", code, executor.ExitInterrupted, s.content())
	}
	if len(p.server.Writes()) != 0 || p.server.OpenSessions() != 0 {
		t.Error("something was written, or a session left open")
	}
	p.report("report.json")
}

func TestPasswordIsAskedWithoutEcho(t *testing.T) {
	p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
	p.env = slices.DeleteFunc(p.env, func(v string) bool { return strings.HasPrefix(v, "PRIVSYNC_PASSWORD=") })
	cmd := s.start(p, "plan", "-f", "policy.yaml")
	s.await("Password of " + mstrtest.ServiceLogin + " at http://127.0.0.1:")
	before := len(s.content())
	s.typeLine(mstrtest.ServicePassword)
	if code := p.wait(cmd); code != executor.ExitOK {
		t.Errorf("exit code %d\n%s", code, s.content())
	}
	if echo, _, _ := strings.Cut(s.content()[before:], "Plan of policy"); strings.Contains(echo, mstrtest.ServicePassword) {
		t.Errorf("the password was echoed:\n%s", s.content())
	}
}

// The user's name in the prompt comes from outside, too.
func TestHostileNameInThePrompt(t *testing.T) {
	p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
	p.env = slices.DeleteFunc(p.env, func(v string) bool { return strings.HasPrefix(v, "PRIVSYNC_PASSWORD=") })
	cmd := s.start(p, "plan", "-f", "policy.yaml", "--username", strings.NewReplacer("\n", "", "\r", "").Replace(hostileName)) // a line end is refused before
	s.await("Password of evil")
	s.await(" at http://127.0.0.1:")
	s.press("\x03")
	if code := p.wait(cmd); code != executor.ExitInterrupted {
		t.Errorf("exit code %d\n%s", code, s.content())
	}
	for _, raw := range []string{"\x1b]0;", "\x1b[31m", "\u009b", "\u202e", "\u200b", "\nFAKE"} {
		if strings.Contains(s.content(), raw) {
			t.Errorf("%q is raw on the screen: %q", raw, s.content())
		}
	}
}

func TestInterruptAtThePassword(t *testing.T) {
	p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
	p.env = append(p.env, "PRIVSYNC_URL=http://127.0.0.1:1/M")
	p.env = slices.DeleteFunc(p.env, func(v string) bool { return strings.HasPrefix(v, "PRIVSYNC_PASSWORD=") })
	cmd := s.start(p, "plan", "-f", "policy.yaml")
	s.await("Password of ")
	s.press("\x03") // Ctrl-C
	if code := p.wait(cmd); code != executor.ExitInterrupted {
		t.Errorf("exit code %d, want %d\n%s", code, executor.ExitInterrupted, s.content())
	}
}

func TestColourOnlyOnATerminalThatWantsIt(t *testing.T) {
	const bold = "\x1b["
	for _, tt := range []struct {
		env  string
		want bool
	}{{"X=", true}, {"NO_COLOR=1", false}, {"NO_COLOR=", true}, {"TERM=dumb", false}} {
		p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
		p.env = append(p.env, tt.env)
		if code := p.wait(s.start(p, "plan", "-f", "policy.yaml", "--no-progress")); code != executor.ExitOK {
			t.Fatalf("exit code %d\n%s", code, s.content())
		}
		s.await("Plan: ")
		if got := strings.Contains(s.content(), bold); got != tt.want {
			t.Errorf("with %s: colour %v, want %v", tt.env, got, tt.want)
		}
	}
	p := newProgram(t, mstrtest.Options{})
	if _, stdout, stderr := p.run("plan", "-f", "policy.yaml"); strings.Contains(stdout+stderr, bold) {
		t.Error("colour where there is no terminal")
	}
}

func TestProgressBarOnATerminal(t *testing.T) {
	p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
	// Reading hangs until the bar was seen, so that it must be drawn.
	release := make(chan struct{})
	p.server.OnRequest(func(_ int, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/privileges") && strings.Contains(r.URL.Path, "/users/") {
			<-release
		}
	})
	cmd := s.start(p, "plan", "-f", "policy.yaml")
	s.await("/42")
	close(release)
	if code := p.wait(cmd); code != executor.ExitOK {
		t.Errorf("exit code %d\n%s", code, s.content())
	}
	s.await("Plan: ")
}

// As ssh does with hosts: a server that only a document names is asked about once,
// and a yes is remembered.
func TestServerIsAskedAboutOnce(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	var url string
	p.env = slices.DeleteFunc(p.env, func(v string) bool {
		name, value, _ := strings.Cut(v, "=")
		if name == urlVariable {
			url = value
		}
		return name == urlVariable
	})
	p.file("named.yaml", everybody+"environment: {url: '"+url+"'}\n")
	ask := func(answer string) int {
		s := newScreen(t)
		cmd := s.start(p, "plan", "-f", "named.yaml")
		s.await("Only 'yes' is accepted:")
		if text := s.content(); !strings.Contains(text, "names the server "+url) || strings.Contains(text, `\n`) || !strings.Contains(text, "/.config/privsync/servers") {
			t.Errorf("the question does not name the server and the file:\n%s", text)
		}
		if n := p.server.Requests(); n != 0 {
			t.Errorf("%d requests before the answer", n)
		}
		s.typeLine(answer)
		return p.wait(cmd)
	}
	if code := ask("y"); code != executor.ExitError || p.server.Requests() != 0 {
		t.Errorf("after no: exit code %d, %d requests", code, p.server.Requests())
	}
	if code := ask("yes"); code != executor.ExitOK {
		t.Errorf("after yes: exit code %d", code)
	}
	// From now on nobody is asked, and nobody need be there.
	if code, _, stderr := p.run("plan", "-f", "named.yaml"); code != executor.ExitOK {
		t.Errorf("exit code %d after it was remembered: %s", code, stderr)
	}
}

// TestChangesAboveTheQuestion: the changes stand right above the question, also where
// the plan itself went to a file, or is longer than the screen.
func TestChangesAboveTheQuestion(t *testing.T) {
	for _, tt := range []struct {
		name   string
		toFile bool
		rows   uint16
		recaps bool
	}{{"on the screen", false, 500, false}, {"longer than the screen", false, 12, true}, {"in a file", true, 60, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
			if err := unix.IoctlSetWinsize(int(s.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: tt.rows, Col: 120}); err != nil {
				t.Fatal(err)
			}
			cmd, _, _ := p.command("apply", "-f", "policy.yaml", "--report", "report.json")
			cmd.Stdin, cmd.Stderr = s.tty, s.tty
			if !tt.toFile {
				cmd.Stdout = s.tty
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			s.await("Only 'yes' is accepted:")
			above, _, _ := strings.Cut(s.content(), "Apply these changes")
			if got := strings.Contains(above, " to user "); got != tt.recaps {
				t.Errorf("the foremost changes are named above the question: %v, want %v\n%s", got, tt.recaps, above)
			}
			if !strings.Contains(above, "grant ") && !strings.Contains(above, "revoke ") {
				t.Errorf("no change stands above the question:\n%s", above)
			}
			if lines := strings.Split(above, "\n"); tt.recaps && !strings.Contains(strings.Join(lines[max(0, len(lines)-int(tt.rows)+2):], "\n"), " principals at http://") {
				t.Errorf("what is above the question does not fit on its screen:\n%s", above)
			}
			s.typeLine("no")
			p.wait(cmd)
		})
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
	"privsync/panics"
)

type panickingWriter struct{}

func (panickingWriter) Write([]byte) (int, error) { panic("hunter2") }

// TestAPanicIsAnError: wherever the program panics it ends with exit code 1 and one
// line, and with the report and the metrics of a run that has them.
func TestAPanicIsAnError(t *testing.T) {
	for _, args := range [][]string{
		{"version"},
		{"validate", "-f", "policy.yaml"},
		{"plan", "-f", "policy.yaml", "--detailed-exitcode"},
		{"audit", "-f", "policy.yaml", "--report", "report.json", "--metrics-file", "m.prom"},
		{"apply", "-f", "policy.yaml", "--yes", "--report", "report.json", "--metrics-file", "m.prom"},
	} {
		for _, level := range []string{"info", "debug"} {
			t.Run(args[0]+" "+level, func(t *testing.T) {
				p := newProgram(t, mstrtest.Options{})
				here := []string{}
				for _, a := range args {
					if strings.Contains(a, ".") {
						a = filepath.Join(p.dir, a)
					}
					here = append(here, a)
				}
				var stderr bytes.Buffer
				code := run(t.Context(), append(here, "--no-progress", "--log-level", level), strings.NewReader(""), panickingWriter{}, &stderr, p.variables())
				if code != executor.ExitError {
					t.Errorf("exit code %d, want %d", code, executor.ExitError)
				}
				out := stderr.String()
				if n := strings.Count(out, "please report it"); n != 1 || strings.Contains(out, "hint:") {
					t.Errorf("not one line that asks for a report:\n%s", out)
				}
				if told := strings.Contains(out, "hunter2"); told != (level == "debug") {
					t.Errorf("with --log-level %s the details are told: %t\n%s", level, told, out)
				}
				if args[0] != "apply" && args[0] != "audit" {
					return
				}
				if report := p.report("report.json"); report.Run.Command == "" {
					t.Error("the report is empty")
				}
				metrics, err := os.ReadFile(filepath.Join(p.dir, "m.prom"))
				if err != nil || !strings.Contains(string(metrics), "privsync_run_exit_code{command=\""+args[0]+"\",policy=\"everybody\"} 1") {
					t.Errorf("metrics: %v\n%s", err, metrics)
				}
			})
		}
	}
}

func TestNoEndingTurnsADefectIntoDrift(t *testing.T) {
	defect := panics.Catch(func() error { panic("x") })
	for _, err := range []error{
		defect, fmt.Errorf("around: %w", defect), also(exits(executor.ExitDrift), defect), also(defect, errors.New("x")),
		&ending{code: executor.ExitDrift, err: defect}, &ending{code: executor.ExitIncomplete, err: defect},
	} {
		if got := exitCode(err); got != executor.ExitError {
			t.Errorf("exitCode(%v) = %d, want %d", err, got, executor.ExitError)
		}
	}
}

// panicsAt passes on what is written, and panics where that holds text.
type panicsAt struct {
	bytes.Buffer
	text string
}

func (w *panicsAt) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(w.text)) {
		panic("hunter2")
	}
	return w.Buffer.Write(p)
}

// variables returns a lookup of the program's environment.
func (p *program) variables() lookup {
	return func(name string) (string, bool) {
		for _, v := range p.env {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

// TestAPanicAfterWrites: an apply that panics when it has written something ends with
// exit code 1, and leaves its metrics and either its report or a journal, which the
// next run or recover reports about.
func TestAPanicAfterWrites(t *testing.T) {
	start := func(t *testing.T, stdout, stderr io.Writer) (p *program, code int) {
		p = newProgram(t, mstrtest.Options{})
		args := []string{"apply", "-f", filepath.Join(p.dir, "policy.yaml"), "--yes", "--no-progress", "--log-level", "debug", "--concurrency", "1",
			"--report", filepath.Join(p.dir, "report.json"), "--metrics-file", filepath.Join(p.dir, "m.prom")}
		code = run(t.Context(), args, strings.NewReader(""), stdout, stderr, p.variables())
		if code != executor.ExitError {
			t.Errorf("exit code %d, want %d", code, executor.ExitError)
		}
		if len(p.server.Writes()) == 0 {
			t.Error("nothing was written before the panic")
		}
		metrics, err := os.ReadFile(filepath.Join(p.dir, "m.prom"))
		if err != nil || !strings.Contains(string(metrics), "privsync_run_exit_code{command=\""+args[0]+"\",policy=\"everybody\"} 1") {
			t.Errorf("metrics: %v\n%s", err, metrics)
		}
		if n := p.server.OpenSessions(); n != 0 {
			t.Errorf("%d sessions are left open", n)
		}
		return p, code
	}
	t.Run("in a worker", func(t *testing.T) {
		stderr := &panicsAt{text: "write answered"}
		p, _ := start(t, io.Discard, stderr)
		out := stderr.String()
		if !strings.Contains(out, "please report it") || !strings.Contains(out, "privsync recover") {
			t.Errorf("no hint at what to do:\n%s", out)
		}
		if _, err := os.Stat(filepath.Join(p.dir, "report.json")); err == nil {
			t.Error("there is a report of what nobody knows")
		}
		code, _, errs := p.run("recover", "--report", "recovered.json")
		if code != executor.ExitIncomplete && code != executor.ExitOK {
			t.Errorf("recover: exit code %d\n%s", code, errs)
		}
		report := p.report("recovered.json")
		if !report.Run.Recovered || report.Summary.Grants == 0 {
			t.Errorf("the recovered report tells of %d grants", report.Summary.Grants)
		}
	})
	t.Run("when the report is shown", func(t *testing.T) {
		var stderr bytes.Buffer
		p, _ := start(t, &panicsAt{text: "succeeded"}, &stderr)
		if n := strings.Count(stderr.String(), "please report it"); n != 1 {
			t.Errorf("not one line that asks for a report:\n%s", stderr.String())
		}
		if report := p.report("report.json"); report.Summary.Applied == 0 {
			t.Error("the report tells of no change")
		}
	})
}

// TestAPanicBesideTheRun: what shows the progress, waits for signals or asks on the
// terminal runs beside the run, and its panic is the end of the run all the same.
func TestAPanicBesideTheRun(t *testing.T) {
	newApp := func(stderr io.Writer) *app {
		a := &app{
			stderr: &sharedWriter{w: stderr}, stdin: panickingReader{}, env: func(string) (string, bool) { return "", false },
			now: func() time.Time { panic("hunter2") }, defect: new(atomic.Pointer[error]),
			logFormat: newChoice("text", "json"), logLevel: newChoice("info", "debug", "warn", "error"),
		}
		a.setLogger()
		return a
	}
	isDefect := func(t *testing.T, err error) {
		t.Helper()
		if _, ok := panics.Details(err); !ok || exitCode(err) != executor.ExitError {
			t.Errorf("the run ends with %v, exit code %d", err, exitCode(err))
		}
	}
	noted := func(t *testing.T, a *app) {
		t.Helper()
		if defect := a.defect.Load(); defect == nil {
			t.Error("the panic is not noted")
		} else {
			isDefect(t, *defect)
		}
		// A run that ends well otherwise ends with it.
		a.logLevel.value = "info"
		a.stdout = io.Discard
		a.stderr = &sharedWriter{w: io.Discard}
		isDefect(t, a.execute(t.Context(), []string{"version"}))
	}
	t.Run("progress", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newApp(io.Discard)
			p := a.startProgress(nil)
			p.mu.Lock()
			p.phase = "read"
			p.mu.Unlock()
			time.Sleep(2 * progressLogInterval)
			p.end()
			noted(t, a)
		})
	})
	t.Run("signals", func(t *testing.T) {
		a := newApp(panickingWriter{})
		i := catchInterrupts(t.Context(), a)
		if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-i.soft.Done()
		i.release()
		noted(t, a)
	})
	t.Run("question", func(t *testing.T) {
		a := newApp(io.Discard)
		a.interrupts = &interrupts{soft: t.Context(), hard: t.Context()}
		_, err := a.confirm("Go on?")
		isDefect(t, err)
	})
}

type panickingReader struct{}

func (panickingReader) Read([]byte) (int, error) { panic("hunter2") }

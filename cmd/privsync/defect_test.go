package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
				env := func(name string) (string, bool) {
					for _, v := range p.env {
						if value, ok := strings.CutPrefix(v, name+"="); ok {
							return value, true
						}
					}
					return "", false
				}
				here := []string{}
				for _, a := range args {
					if strings.Contains(a, ".") {
						a = filepath.Join(p.dir, a)
					}
					here = append(here, a)
				}
				var stderr bytes.Buffer
				code := run(t.Context(), append(here, "--no-progress", "--log-level", level), strings.NewReader(""), panickingWriter{}, &stderr, env)
				if code != exitError {
					t.Errorf("exit code %d, want %d", code, exitError)
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
				if err != nil || !strings.Contains(string(metrics), "privsync_run_exit_code{policy=\"everybody\"} 1") {
					t.Errorf("metrics: %v\n%s", err, metrics)
				}
			})
		}
	}
}

func TestNoEndingTurnsADefectIntoDrift(t *testing.T) {
	defect := panics.Catch(func() error { panic("x") })
	for _, err := range []error{
		defect, fmt.Errorf("around: %w", defect), also(exits(exitDrift), defect), also(defect, errors.New("x")),
		&ending{code: exitDrift, err: defect}, &ending{code: exitPartial, err: defect},
	} {
		if got := exitCode(err); got != exitError {
			t.Errorf("exitCode(%v) = %d, want %d", err, got, exitError)
		}
	}
}

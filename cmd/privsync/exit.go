package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/panics"
	"privsync/policy"
)

// ending is an error with an exit code. A nil err is a silent ending: what
// there is to say has been said in the results. Hint tells what to do; it may
// be empty.
type ending struct {
	code int
	err  error
	hint string
}

// Error returns the text of the error without the hint.
func (e *ending) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the error that the ending carries, or nil.
func (e *ending) Unwrap() error { return e.err }

// exits returns an ending that prints nothing, or nil for [executor.ExitOK].
func exits(code int) error {
	if code == executor.ExitOK {
		return nil
	}
	return &ending{code: code}
}

// hinted returns an error with exit code 1 and a hint that says what to do.
func hinted(err error, hint string) error {
	return &ending{code: executor.ExitError, err: err, hint: hint}
}

// refused returns an error with exit code 3.
func refused(err error, hint string) error {
	return &ending{code: executor.ExitRefused, err: err, hint: hint}
}

// also returns how a run ends that was about to end with err and, besides,
// could not do what e says: with exit code 1, unless it was interrupted.
func also(err, e error) error {
	if e == nil {
		return err
	}
	var before *ending
	if err == nil || errors.As(err, &before) && before.err == nil {
		return e
	}
	return hinted(errors.Join(err, e), hintOf(e))
}

// advice says what a person can do about err: what it says itself, or else what there
// is to say in general; "" for nothing.
func advice(err error) string { return cmp.Or(hintOf(err), hintFor(err)) }

// errInterrupted says that a signal ended the run.
var errInterrupted = errors.New("interrupted")

// exitCode maps how a command ended to the exit code of the process. It is the
// only place that does.
func exitCode(err error) int {
	var (
		e      *ending
		defect *panics.Error
	)
	switch {
	case err == nil:
		return executor.ExitOK
	case errors.As(err, &defect):
		return executor.ExitError
	case errors.Is(err, errInterrupted):
		return executor.ExitInterrupted
	case errors.As(err, &e):
		return e.code
	default:
		return executor.ExitError
	}
}

// printError writes err as "privsync: what: why" and, if there is one, a line
// "hint: …". A list of policy problems is written one per line, before the
// error that carries it. Everything in it may come from a server or a file, so
// each line is cleaned. An ending without an error prints nothing.
func printError(a *app, err error) {
	var e *ending
	if errors.As(err, &e) && e.err == nil {
		return
	}
	hint := advice(err)
	// One error, one line: a newline in it came from outside or from a list of
	// joined errors, and neither may look like a message of its own.
	text := strings.ReplaceAll(err.Error(), "\n", "; ")
	var problems policy.Problems
	if errors.As(err, &problems) {
		text = countProblems(problems)
		var broken brokenMap
		if errors.As(err, &broken) {
			text = "the licence map is not valid"
		}
		if hint == "" {
			hint = "correct the policy; nothing was sent to a server"
		}
	}
	if a.jsonLogs() {
		for _, p := range problems {
			a.notices.Error("policy problem", "file", p.Pos.File, "line", p.Pos.Line, "column", p.Pos.Column, "problem", p.Message, "hint", p.Hint)
		}
		attrs := []any{"hint", hint}
		if a.place != "" {
			attrs = append(attrs, "report", a.place)
		}
		a.notices.Error(text, attrs...)
		return
	}
	var b strings.Builder
	_ = render.ProblemsText(&b, problems, a.textOptions(a.stderr)) // a strings.Builder takes everything
	fmt.Fprintf(&b, "privsync: %s\n", render.Clean(text))
	if hint != "" {
		fmt.Fprintf(&b, "hint: %s\n", render.Clean(hint))
	}
	_, _ = io.WriteString(a.stderr, b.String()) // nowhere left to report a failure to
}

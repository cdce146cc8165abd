package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"privsync/cmd/privsync/internal/render"
	"privsync/mstrapi"
	"privsync/planner"
)

// defaultWidth is the width of text output that does not go to a terminal.
const defaultWidth = 100

// terminal returns the file behind a stream when it is a terminal, or nil.
func terminal(end any) *os.File {
	if w, ok := end.(io.Writer); ok {
		end = stream(w)
	}
	if f, ok := end.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// interactive reports whether a person can be asked: they see stderr and type
// into stdin.
func (a *app) interactive() bool { return terminal(a.stdin) != nil && terminal(a.stderr) != nil }

// dumbTerminal reports whether the terminal cannot move its cursor.
func (a *app) dumbTerminal() bool {
	kind, _ := a.env("TERM")
	return kind == "dumb"
}

// noColor reports whether the environment asks for text without colour
// (no-color.org, or a terminal that has none).
func (a *app) noColor() bool {
	value, _ := a.env("NO_COLOR")
	return value != "" || a.dumbTerminal()
}

// textOptions returns how text for w is rendered: colour only on a terminal.
func (a *app) textOptions(w io.Writer) render.Options {
	o := render.Options{Width: defaultWidth}
	if f := terminal(w); f != nil {
		o.Color = !a.noColor()
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			o.Width = width
		}
	}
	return o
}

// askPassword asks for a password on the terminal, without echo. Where nobody
// can be asked it says how to give one.
func (a *app) askPassword(prompt string) (mstrapi.Secret, error) {
	if !a.interactive() {
		return "", hinted(errors.New("no password given"),
			"set "+passwordVariable+" (empty for a blank password), or name a file that holds it with --password-file or PRIVSYNC_PASSWORD_FILE")
	}
	in := terminal(a.stdin)
	// Raw first, then the prompt: what is typed early must not be echoed either.
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	defer term.Restore(int(in.Fd()), state)
	text, err := awaitIn(a.interrupts.soft, func() (string, error) {
		return term.NewTerminal(struct {
			io.Reader
			io.Writer
		}{in, a.stderr}, "").ReadPassword(render.Clean(prompt))
	})
	switch {
	case errors.Is(err, io.EOF): // Ctrl-C or Ctrl-D: a raw terminal sends no signal
		return "", errInterrupted
	case err != nil && !errors.Is(err, errInterrupted):
		err = fmt.Errorf("read the password: %w", err)
	}
	return mstrapi.Secret(text), err
}

// confirm asks a yes-or-no question on the terminal; only the word yes is a
// yes, so that a stray key press is not.
func (a *app) confirm(question string) (bool, error) {
	fmt.Fprintf(a.stderr, "%s\nOnly 'yes' is accepted: ", render.Clean(question))
	line, err := awaitIn(a.interrupts.soft, func() (string, error) {
		return bufio.NewReader(io.LimitReader(a.stdin, 1<<10)).ReadString('\n')
	})
	switch {
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(a.stderr)
		return false, err
	case err != nil && !errors.Is(err, io.EOF):
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line) == "yes", nil
}

// insist is confirm whose no is an error: then nothing was done.
func (a *app) insist(question, done, do string) error {
	yes, err := a.confirm(question)
	if err == nil && !yes {
		err = hinted(fmt.Errorf("not confirmed: nothing was %s", done), "answer yes, in full, to "+do)
	}
	return err
}

// defaultHeight is the height of a terminal that does not tell.
const defaultHeight = 24

// questionLines is how many lines a question takes, and one above it.
const questionLines = 4

// shown says where a plan was shown to the person who is asked about it.
type shown struct {
	rows     int  // that it took
	terminal bool // they went to a terminal
}

// showAsked renders plan to w, and says how much of the screen it took.
func (a *app) showAsked(w io.Writer, plan *planner.Plan, v view) (shown, error) {
	rows := &rowCounter{w: w, width: a.textOptions(w).Width}
	o := a.textOptions(w)
	o.Guards, o.Verbose = v.guards, v.verbose
	err := render.Text(rows, plan, o)
	return shown{rows.n, terminal(w) != nil}, err
}

// recap shows the foremost of a plan right above a question, where what was shown
// before went to a file, or is too long for the screen.
func (a *app) recap(plan *planner.Plan, guards []planner.Guard, before shown) error {
	height := defaultHeight
	if f := terminal(a.stderr); f != nil {
		if _, h, err := term.GetSize(int(f.Fd())); err == nil && h > 0 {
			height = h
		}
	}
	if before.terminal && before.rows+questionLines <= height {
		return nil
	}
	o := a.textOptions(a.stderr)
	o.Guards = guards
	fmt.Fprintln(a.stderr)
	return render.Recap(a.stderr, plan, height-questionLines, o)
}

// rowCounter counts the rows that lines take on a screen, at least.
type rowCounter struct {
	w      io.Writer
	width  int
	n      int
	column int
}

func (c *rowCounter) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		c.column += len(line)
		if ended {
			c.n += 1 + max(c.column-1, 0)/c.width
			c.column = 0
		}
		rest = after
	}
	return c.w.Write(b)
}

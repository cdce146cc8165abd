package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"privsync/cmd/privsync/internal/render"
	"privsync/mstrapi"
	"privsync/panics"
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
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		var got answer
		got.err = panics.Catch(func() (err error) {
			t := term.NewTerminal(struct {
				io.Reader
				io.Writer
			}{in, a.stderr}, "")
			got.text, err = t.ReadPassword(render.Clean(prompt))
			return err
		})
		answers <- got
	}()
	select {
	case got := <-answers:
		switch {
		case errors.Is(got.err, io.EOF): // Ctrl-C or Ctrl-D: a raw terminal sends no signal
			return "", errInterrupted
		case got.err != nil:
			return "", fmt.Errorf("read the password: %w", got.err)
		}
		return mstrapi.Secret(got.text), nil
	case <-a.interrupts.soft.Done():
		return "", errInterrupted
	}
}

// confirm asks a yes-or-no question on the terminal; only the word yes is a
// yes, so that a stray key press is not.
func (a *app) confirm(question string) (bool, error) {
	fmt.Fprintf(a.stderr, "%s\nOnly 'yes' is accepted: ", render.Clean(question))
	type answer struct {
		line string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		var got answer
		got.err = panics.Catch(func() (err error) {
			got.line, err = bufio.NewReader(io.LimitReader(a.stdin, 1<<10)).ReadString('\n')
			return err
		})
		answers <- got
	}()
	select {
	case got := <-answers:
		if got.err != nil && !errors.Is(got.err, io.EOF) {
			return false, fmt.Errorf("read the answer: %w", got.err)
		}
		return strings.TrimSpace(got.line) == "yes", nil
	case <-a.interrupts.soft.Done():
		fmt.Fprintln(a.stderr)
		return false, errInterrupted
	}
}

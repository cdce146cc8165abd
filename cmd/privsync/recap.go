package main

import (
	"bytes"
	"fmt"
	"io"

	"golang.org/x/term"

	"privsync/cmd/privsync/internal/render"
	"privsync/planner"
)

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

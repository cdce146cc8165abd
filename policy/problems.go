package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// maxProblems is how many problems are reported; the rest is counted.
const maxProblems = 200

// keptProblems bounds what is remembered before sorting, so that a file that is
// wrong on every line costs no more memory than a right one.
const keptProblems = 50 * maxProblems

// Problem is one thing that is wrong with a policy. Hint, if not empty, says
// what to write instead. Neither holds a secret; both may hold names from the
// file, quoted.
type Problem struct {
	Pos     Position `json:"position"`
	Message string   `json:"message"`
	Hint    string   `json:"hint,omitempty"`
}

// String returns file:line:column: message; hint. A problem with a file as a
// whole (it does not exist, it is too large) has line 0 and no line and column
// in its text.
func (p Problem) String() string {
	where := p.Pos.String()
	if p.Pos.Line == 0 {
		where = p.Pos.File
	}
	if p.Hint == "" {
		return where + ": " + p.Message
	}
	return where + ": " + p.Message + "; " + p.Hint
}

// Problems is everything that is wrong with a policy, sorted by file, line and
// column: the error of [Load] and [Parse]. At most 200 problems are listed; if
// there are more, one last item says how many.
type Problems []Problem

// Error returns one problem per line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// collector gathers problems. The zero value is ready to use.
type collector struct {
	list    []Problem
	dropped int
}

func (c *collector) add(pos Position, hint, message string) {
	if len(c.list) >= keptProblems {
		c.dropped++
		return
	}
	c.list = append(c.list, Problem{pos, message, hint})
}

func (c *collector) count() int { return len(c.list) + c.dropped }

// full reports whether more problems are known than will be shown: then hints
// are no longer worth looking for.
func (c *collector) full() bool { return len(c.list) > maxProblems }

func (c *collector) join(d *collector) {
	for _, p := range d.list {
		c.add(p.Pos, p.Hint, p.Message)
	}
	c.dropped += d.dropped
}

// problems returns what was gathered, sorted and cut; nil if nothing was.
func (c *collector) problems() Problems {
	if len(c.list) == 0 {
		return nil
	}
	list := slices.Clone(c.list)
	slices.SortStableFunc(list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Message, b.Message))
	})
	list = slices.Compact(list)
	if len(list)+c.dropped <= maxProblems {
		return list
	}
	// What is the same may have been counted among those that were dropped.
	shown := min(len(list), maxProblems)
	more := len(list) + c.dropped - shown
	next := list[min(shown, len(list)-1)].Pos
	return append(list[:shown:shown],
		Problem{Pos: next, Message: fmt.Sprintf("from here on %d more problems are not shown", more)})
}

// error returns the problems as an error, or nil.
func (c *collector) error() error {
	if ps := c.problems(); ps != nil {
		return ps
	}
	return nil
}

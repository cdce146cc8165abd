package render

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
	"privsync/planner"
)

// DefaultMaxBytes is how long a Markdown view may be: GitHub refuses a comment
// of more than 65,536 characters, and the workflow adds a little of its own.
const DefaultMaxBytes = 60_000

// leastMaxBytes is the least that [MarkdownOptions].MaxBytes can ask for: the
// title, the totals and the frames always have room in it.
const leastMaxBytes = 16_384

// How much of one string from outside is shown, in runes. Display names on the
// server are at most 250 long; messages can be anything.
const (
	clipName    = 160
	clipMessage = 400
)

// MarkdownOptions are the settings of [Markdown]. The zero value is fit for a
// pull request comment.
type MarkdownOptions struct {
	// MaxBytes is the greatest length of the result, 0 for [DefaultMaxBytes].
	// Less than 16,384 is taken as 16,384.
	MaxBytes int

	// Guards are the guards that a plan exceeds: a plan does not hold them. For
	// a report they are taken from the report.
	Guards []planner.Guard

	// ShowHint is the command that shows the whole document; empty for
	// "privsync show plan.json", or report.json.
	ShowHint string

	// Links lead to the run that made a plan.
	Links Links
}

// Markdown writes doc, a *planner.Plan or an *executor.Report, as GitHub
// flavoured Markdown for a pull request: what is risky first (exceeded guards,
// errors, revokes, grants), then the totals, then the principals one by one.
// Strings from outside stand in code spans, so that no mention, link, image or
// HTML can arise from a display name.
//
// A *planner.Holders, a *history.Diff and a *history.Since are written whole. Otherwise the result is never longer than MaxBytes. Where not everything fits, whole
// principals and findings are left out, the totals stay exact, and the end says
// what is missing and how to see it. The error is the writer's, or says that
// doc is of another type or nil.
func Markdown(w io.Writer, doc any, o MarkdownOptions) error {
	if isNil(doc) {
		return errNilDocument
	}
	limit := max(cmp.Or(o.MaxBytes, DefaultMaxBytes), leastMaxBytes)
	var text string
	switch doc := doc.(type) {
	case *planner.Plan:
		text = markdownPlan(doc, o).fit(limit)
	case *executor.Report:
		text = markdownReport(doc, o).fit(limit)
	case *planner.Holders:
		text = markdownHolders(doc)
	case *history.Diff:
		text = markdownDiff(doc)
	case *history.Since:
		text = markdownHistory(doc)
	default:
		return unknownDocument(doc)
	}
	_, err := io.WriteString(w, text)
	return err
}

// markdown is a view before it is cut to its length.
type markdown struct {
	head     string
	sections []section
	foot     string // facts about the document
	hint     string // the command that shows all of it
	noun     string // plan, report
}

// section is a part of a view whose items can be left out.
type section struct {
	// open and close frame the items; they hold no string from outside.
	open, close string

	noun string // of one item
	n    int

	// item gives the i-th item, and a shorter form for when it is too long.
	item func(i int) (full, short string)

	// weight is the section's claim on the space, against the later ones'.
	weight int
}

// fit puts the view together in at most limit bytes. Heads, frames and the end
// are reserved first, as long as they could become; each section then gets its
// share of what is left, and passes on what it does not need.
func (m markdown) fit(limit int) string {
	left := make([]int, len(m.sections))
	space, claims := limit-len(m.head), 0
	for i, s := range m.sections {
		left[i] = s.n
		space -= len(s.open) + len(s.close) + len(more(s.n, s.noun))
		claims += s.weight
	}
	space -= len(m.end(left, true, limit))
	var b strings.Builder
	b.WriteString(m.head)
	shortened := false
	for i, s := range m.sections {
		budget := max(0, space*s.weight/max(1, claims))
		claims -= s.weight
		items, shown, short := s.fill(budget)
		b.WriteString(s.open)
		b.WriteString(items)
		left[i] = s.n - shown
		shortened = shortened || short
		if left[i] > 0 {
			b.WriteString(more(left[i], s.noun))
		}
		b.WriteString(s.close)
		space -= len(items)
	}
	b.WriteString(m.end(left, shortened, limit))
	return b.String()
}

// fill returns as many items as fit into budget bytes, how many they are, and
// whether one stands in its short form. If all fit, all are whole; if not, one
// item may take at most a quarter of the space before it is shortened.
func (s section) fill(budget int) (items string, shown int, shortened bool) {
	var b strings.Builder
	for shown = 0; shown < s.n; shown++ {
		full, _ := s.item(shown)
		if b.Len()+len(full) > budget {
			break
		}
		b.WriteString(full)
	}
	if shown == s.n {
		return b.String(), shown, false
	}
	b.Reset()
	for shown = 0; shown < s.n; shown++ {
		text, short := s.item(shown)
		if len(text) > budget/4 || b.Len()+len(text) > budget {
			text = short
		}
		if b.Len()+len(text) > budget {
			break
		}
		shortened = shortened || text == short
		b.WriteString(text)
	}
	return b.String(), shown, shortened
}

func more(n int, noun string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("- … and %s more, left out here\n", count(n, noun))
}

// end returns the last paragraph: what was left out, and the facts.
func (m markdown) end(left []int, shortened bool, limit int) string {
	var parts []string
	for i, n := range left {
		if n > 0 {
			parts = append(parts, count(n, m.sections[i].noun))
		}
	}
	var b strings.Builder
	b.WriteString("\n---\n\n")
	switch {
	case len(parts) > 0:
		fmt.Fprintf(&b, "**Cut to stay within %d bytes.** Left out: %s. The totals above are exact. ", limit, strings.Join(parts, ", "))
	case shortened:
		fmt.Fprintf(&b, "**Shortened to stay within %d bytes.** The totals above are exact. ", limit)
	}
	fmt.Fprintf(&b, "The whole %s: %s\n\n%s", m.noun, span(m.hint, clipMessage), m.foot)
	return b.String()
}

// add appends s unless it has no items.
func (m *markdown) add(s section) {
	if s.n > 0 {
		m.sections = append(m.sections, s)
	}
}

// text appends a part that is never left out; it must be short.
func (m *markdown) text(s string) { m.sections = append(m.sections, section{open: s}) }

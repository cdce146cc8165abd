package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"net/url"

	"privsync/clean"
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
	limit := max(cmp.Or(o.MaxBytes, DefaultMaxBytes), leastMaxBytes)
	var text string
	switch doc := present(doc).(type) {
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
	return fmt.Sprintf("- … and %s more, left out here\n", clean.Count(n, noun))
}

// end returns the last paragraph: what was left out, and the facts.
func (m markdown) end(left []int, shortened bool, limit int) string {
	var parts []string
	for i, n := range left {
		if n > 0 {
			parts = append(parts, clean.Count(n, m.sections[i].noun))
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

// Links are where a CI system shows the run that renders a document, and what it keeps
// of it. They are the CI system's own words, of this run, never a document's. Empty:
// not known.
type Links struct {
	Run       string
	Artifacts string
}

// markdown is a line of links, or "".
func (l Links) markdown() string {
	var parts []string
	for _, x := range []struct{ text, to string }{{"the run", l.Run}, {"its artifacts", l.Artifacts}} {
		if linkable(x.to) {
			parts = append(parts, "["+x.text+"]("+x.to+")")
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "\nMade by " + strings.Join(parts, ", ") + ".\n"
}

// linkable reports whether a text is a web address that ends no link of Markdown before
// its own end and hides no login.
func linkable(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~:/?#&=%+,", r)) {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && len(s) <= 2000
}

// longestFence is the longest run of backticks that a code span can have inside:
// parsers stop looking for longer fences (cmark at 80).
const longestFence = 16

// span puts s, clean and cut to at most n runes, into a code span, in which
// nothing but its own fence means anything.
func span(s string, n int) string {
	s = clip(Clean(s), n)
	if s == "" {
		return "(empty)"
	}
	run, longest := 0, 0
	for i := range len(s) {
		if s[i] != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	if longest > longestFence {
		s, longest = strings.ReplaceAll(s, "`", `\x60`), 0
	}
	fence := strings.Repeat("`", longest+1)
	// One space at both ends is taken away again by the parser, unless the span
	// is all spaces.
	if first, last := s[0], s[len(s)-1]; first == '`' || last == '`' || first == ' ' || last == ' ' {
		if strings.Trim(s, " ") != "" {
			s = " " + s + " "
		}
	}
	return fence + s + fence
}

// spanWho is a principal in a code span.
func spanWho(p planner.Principal) string { return names{}.span(p) }

// span is told in a code span.
func (n names) span(p planner.Principal) string {
	alike := n.alike(p)
	p.Name, p.Login, p.Tenant = clip(Clean(p.Name), clipName), clip(Clean(p.Login), clipName), clip(Clean(p.Tenant), clipName)
	short := who(p)
	if alike {
		short += " " + Clean(string(p.ID))
	}
	return span(short, 3*clipName+80)
}

func spanPrivilege(p planner.PrivilegeRef) string { return span(privilege(p), clipName) }

// ownWord is a word of a document as it is where it is one of ours.
func ownWord[S ~string](word S, ours ...S) string {
	if slices.Contains(ours, word) {
		return string(word)
	}
	return span(string(word), clipName)
}

func reasonWord(r planner.Reason) string {
	return ownWord(r, planner.ReasonListed, planner.ReasonNotListed, planner.ReasonForbidden, planner.ReasonExpired,
		planner.ReasonRedundant, planner.ReasonDependent, planner.ReasonUnlisted, planner.ReasonRollback)
}

package render

import (
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/cmd/privsync/internal/history"
)

// sinceWords says since when a privilege is held, or not.
func sinceWords(p *history.PrivilegeSince) string {
	verb := "held"
	if !p.Held {
		verb = "not held"
	}
	switch {
	case p.LastSeen.IsZero():
		return "no report speaks of it"
	case p.Since != nil:
		return fmt.Sprintf("%s since %s", verb, stamp(*p.Since))
	case !p.Held:
		return "not held in any report"
	}
	return "held since before the first report that speaks of it"
}

// seenWords say in how many reports the principal was seen.
func seenWords(d *history.Since) string {
	return fmt.Sprintf("in %s, from %s to %s", clean.Count(d.Looks, "report"), stamp(d.First), stamp(d.Last)) + when(d.Unknown > 0, "; not readable in %d", d.Unknown)
}

func historyCauses(d *history.Since) []*history.Cause {
	var out []*history.Cause
	for i := range d.Privileges {
		for j := range d.Privileges[i].Events {
			out = append(out, &d.Privileges[i].Events[j].Cause)
		}
	}
	return out
}

// eventTime says when something changed.
func eventTime(e *history.Event) string {
	switch {
	case e.By != nil:
		return stamp(e.By.StartedAt)
	case e.Until != nil:
		return "by " + stamp(*e.Until)
	}
	return "unknown"
}

// history writes since when a principal holds what.
func (t *textWriter) history(d *history.Since) {
	t.line(bold, "History of %s (%s)", who(d.Principal), Clean(string(d.Principal.ID)))
	t.field("server", Clean(d.Server))
	for _, c := range d.Chains {
		t.field("reports", chainWords(c))
	}
	t.field("seen", seenWords(d))
	if len(d.Privileges) == 0 {
		t.part(plain, "it held nothing in any report")
	}
	for i := range d.Privileges {
		p := &d.Privileges[i]
		t.part(bold, "%s: %s", numbered(p.PrivilegeRef), sinceWords(p))
		if p.Held {
			t.line(plain, "  now %s (seen last %s)", heldBy(p.Way, plainMark()), stamp(p.LastSeen))
		} else if !p.LastSeen.IsZero() {
			t.line(plain, "  seen last %s", stamp(p.LastSeen))
		}
		for j := range p.Events {
			e := &p.Events[j]
			t.para(plain, 6, fmt.Sprintf("  %s %s: %s, %s; %s", changeSign(e.What), eventTime(e), whatWords(e.What), heldBy(e.Way, plainMark()), causeWords(&e.Cause)))
		}
	}
	t.runs(runsOf(historyCauses(d)))
}

// markdownHistory is the view of a history, whole.
func markdownHistory(d *history.Since) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## History of %s\n\nServer %s. Seen %s.\n\n", spanWho(d.Principal), span(d.Server, clipName), seenWords(d))
	for _, c := range d.Chains {
		fmt.Fprintf(&b, "- reports: %s\n", span(chainWords(c), clipMessage))
	}
	for i := range d.Privileges {
		p := &d.Privileges[i]
		fmt.Fprintf(&b, "\n### %s: %s\n\n", span(numbered(p.PrivilegeRef), clipName), sinceWords(p))
		if p.Held {
			fmt.Fprintf(&b, "Now %s (seen last %s).\n\n", heldBy(p.Way, spanMark()), stamp(p.LastSeen))
		}
		for j := range p.Events {
			e := &p.Events[j]
			fmt.Fprintf(&b, "- **%s** %s: %s; %s\n", whatWords(e.What), eventTime(e), heldBy(e.Way, spanMark()), span(causeWords(&e.Cause), 4*clipMessage))
		}
	}
	b.WriteString(runsMarkdown(runsOf(historyCauses(d))))
	fmt.Fprintf(&b, "\n---\n\n%s\n", toolWords(d.Tool))
	return b.String()
}

// historyRows are the events of a history, and what is held without any, for [CSV].
func historyRows(d *history.Since, row func(...string)) {
	row(slices.Concat([]string{"kind", "id", "login", "name", "privilege", "privilege_name", "held_now", "since", "last_seen", "what", "way"}, causeHeads())...)
	for i := range d.Privileges {
		p := &d.Privileges[i]
		start := append(cellsOf(d.Principal), p.ID.String(), p.Name, yesNo(p.Held), timeCell(p.Since), timeCell(&p.LastSeen))
		if len(p.Events) == 0 {
			row(slices.Concat(start, []string{"", heldBy(p.Way, plainMark())}, causeCells(nil))...)
		}
		for j := range p.Events {
			e := &p.Events[j]
			row(slices.Concat(start, []string{string(e.What), heldBy(e.Way, plainMark())}, causeCells(&e.Cause))...)
		}
	}
}

package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/cmd/privsync/internal/history"
	"privsync/mstrapi"
	"privsync/planner"
)

// diffSummary says how much differs, in one sentence's worth of words.
func diffSummary(d *history.Diff) string {
	if d.Equal {
		return "nothing differs"
	}
	s := d.Summary
	words := fmt.Sprintf("%d gained, %d lost", s.Gained, s.Lost)
	switch d.Kind {
	case history.OfPlans:
		words = fmt.Sprintf("%d to be held in B only, %d in A only", s.Gained, s.Lost)
	case history.OfPolicies:
		words = fmt.Sprintf("%d permitted in B only, %d in A only", s.Gained, s.Lost)
	}
	return joined(", ", words, when(s.Other > 0, "%d otherwise", s.Other), when(len(d.Settings) > 0, "%s", clean.Count(len(d.Settings), "setting")), clean.Count(s.Principals, "principal")) +
		when(s.NotLookedAt > 0, "; %d not compared", s.NotLookedAt)
}

// changeSign is the sign before a difference.
func changeSign(w history.What) string {
	switch {
	case w.Gives():
		return "+"
	case w.Takes():
		return "-"
	}
	return "~"
}

// whatWords says what kind of difference it is.
func whatWords(w history.What) string { return strings.ReplaceAll(string(w), "-", " ") }

// numbered names a privilege of documents that need not know all names.
func numbered(p planner.PrivilegeRef) string {
	if p.Name == "" {
		return "privilege " + p.ID.String()
	}
	return privilege(p)
}

// subject names the principal or the selector.
func subject(p *planner.Principal, selector string) string {
	if p != nil {
		return who(*p)
	}
	return "selector: " + Clean(selector)
}

// heldBy says how a privilege is held; mark shows a name.
func heldBy(w *history.Way, mark namer) string {
	if w == nil {
		return "not held"
	}
	h := planner.Holding{Direct: w.Direct, Inherited: w.Inherited, Groups: w.Groups, Roles: w.Roles, Other: w.Other}
	words := waysOf(&h, mark)
	if w.Inherited && len(w.Groups) == 0 {
		words = append(words, "through a group")
	}
	return strings.Join(words, "; ")
}

// heldWords says what became of a privilege between two reports, or what two plans or
// policies say of it.
func heldWords(c *history.Change, mark namer, said func(string) string) string {
	before, after := "", ""
	if c.BeforeSaid != "" || c.AfterSaid != "" {
		if c.BeforeSaid != "" {
			before = said(c.BeforeSaid)
		}
		if c.AfterSaid != "" {
			after = said(c.AfterSaid)
		}
	} else {
		if c.Before != nil {
			before = "held " + heldBy(c.Before, mark)
		}
		if after = heldBy(c.After, mark); c.Before != nil && c.After == nil {
			after = ""
		}
	}
	switch {
	case before == "":
		return after
	case after == "":
		return "was " + before
	}
	return "was " + before + ", is now " + after
}

// runWords names a run, and who let it.
func runWords(r *history.Run) string {
	source := r.Source
	if r.PlanSource != nil {
		source = r.PlanSource // where what was reviewed came from
	}
	policy := joined(" ", when(r.Policy.Name != "", ", policy %s", Clean(r.Policy.Name)), Clean(shortDigest(r.Policy.Digest)))
	if r.Policy.Name == "" && policy != "" {
		policy = " " + policy
	}
	from, by := strings.Join(provenanceParts(source, "author"), ", "), strings.Join(approvers(r, Clean), ", ")
	return fmt.Sprintf("run %s (%s) of %s", Clean(r.ID), Clean(r.Command), stamp(r.StartedAt)) + policy + when(from != "", ", %s", from) +
		when(r.Comment != "", ", comment %s", Quote(r.Comment)) + when(len(r.Approvals) > 0, ", approved by %s", by) +
		when(r.Actor.Name != "" || r.Actor.ID != "", ", as %s", actor(r.Actor)) + when(r.Recovered, ", recovered")
}

// shortDigest is enough of a digest to find it again.
func shortDigest(d string) string {
	if name, hex, ok := strings.Cut(d, ":"); ok && len(hex) > 12 {
		return name + ":" + hex[:12]
	}
	return d
}

// causeWords says what made a difference; "" for a nil cause.
func causeWords(c *history.Cause) string {
	if c == nil {
		return ""
	}
	if c.By != nil {
		return fmt.Sprintf("by run %s (%s) of %s", Clean(c.By.ID), Clean(c.By.Command), stamp(c.By.StartedAt)) +
			when(c.Ticket != "", ", ticket %s", Quote(c.Ticket)) + when(len(c.Through) > 0, ", through %s", someOf(c.Through, plainMark().group))
	}
	s := "out-of-band: no run did it whose report is at hand"
	switch {
	case c.After != nil && c.Until != nil:
		s += fmt.Sprintf(", between %s and %s", stamp(*c.After), stamp(*c.Until))
	case c.Until != nil:
		s += ", before " + stamp(*c.Until)
	}
	return s
}

// unknownCause says that nothing is known of what made a difference between reports.
const unknownCause = "by whom is not known: no reports of the runs in between are at hand (--report-dir)"

// runsOf are the runs that causes name, in order of their start.
func runsOf(causes []*history.Cause) []*history.Run {
	var out []*history.Run
	known := make(map[string]bool)
	for _, c := range causes {
		if c != nil && c.By != nil && !known[c.By.Report] {
			known[c.By.Report] = true
			out = append(out, c.By)
		}
	}
	slices.SortStableFunc(out, func(a, b *history.Run) int { return a.StartedAt.Compare(b.StartedAt) })
	return out
}

func diffCauses(d *history.Diff) []*history.Cause {
	out := make([]*history.Cause, len(d.Changes))
	for i := range d.Changes {
		out[i] = d.Changes[i].Cause
	}
	return out
}

// runs writes what is known of runs.
func (t *textWriter) runs(list []*history.Run) {
	t.list("Runs", 6, len(list), func(i int) (style, string) { return plain, "  " + runWords(list[i]) })
}

func runsMarkdown(list []*history.Run) string {
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n### Runs\n\n")
	for _, r := range list {
		fmt.Fprintf(&b, "- %s\n", span(runWords(r), 4*clipMessage))
	}
	return b.String()
}

func sideWords(s history.Side) string {
	run := ""
	if s.Run != nil {
		run = ", " + Clean(s.Run.Command) + " " + Clean(s.Run.ID)
	}
	return Clean(s.File) + run + when(s.Policy != "", ", policy %s", Clean(s.Policy)) + when(!s.At.IsZero(), ", %s", stamp(s.At)) + ", " + Clean(shortDigest(s.Digest))
}

func chainWords(c history.Chain) string {
	return Clean(c.Name) + ": " + clean.Count(c.Reports, "report") + when(c.Pruned > 0, ", %d older ones were removed", c.Pruned) +
		when(len(c.Problems) > 0, ", NOT WHOLE: %s", andMore(c.Problems, 1, "", Clean))
}

// diff writes what differs.
func (t *textWriter) diff(d *history.Diff) {
	t.line(bold, "Difference of two %s: %s", Clean(string(d.Kind)), diffSummary(d))
	t.field("A", sideWords(d.A))
	t.field("B", sideWords(d.B))
	t.field("server", Clean(d.B.Server))
	t.field("scope", scopeWord(d.B.Scope))
	for _, c := range d.Chains {
		t.field("reports", chainWords(c))
	}
	if d.Kind == history.OfReports && len(d.Chains) > 0 {
		t.field("between", clean.Count(len(d.Runs), "run"))
	}
	last := ""
	for i := range d.Changes {
		c := &d.Changes[i]
		if name := subjectID(c.Principal, c.Selector); i == 0 || name != last {
			last = name
			t.part(bold, "%s", subject(c.Principal, c.Selector))
		}
		sign := changeSign(c.What)
		t.line(map[string]style{"+": green, "-": red, "~": yellow}[sign], "  %s %s: %s: %s", sign, numbered(c.Privilege), whatWords(c.What), heldWords(c, plainMark(), Clean))
		if words := causeWords(c.Cause); words != "" || d.Kind == history.OfReports {
			t.para(dim, 6, "      "+cmp.Or(words, unknownCause))
		}
	}
	t.runs(runsOf(diffCauses(d)))
	t.list("Settings", 0, len(d.Settings), func(i int) (style, string) {
		s, of := &d.Settings[i], ""
		if s.Principal != nil || s.Selector != "" {
			of = subject(s.Principal, s.Selector) + ": "
		}
		return yellow, fmt.Sprintf("  ~ %s%s: %s -> %s", of, Clean(s.Name), settingWord(s.Before), settingWord(s.After))
	})
	t.list("Not compared: "+clean.Count(len(d.NotLookedAt), "principal"), 0, len(d.NotLookedAt), func(i int) (style, string) {
		m := &d.NotLookedAt[i]
		return dim, fmt.Sprintf("  ? %s: not looked at in %s: %s", subject(m.Principal, m.Selector), inWords(m.In), Clean(m.Why))
	})
}

func inWords(in string) string {
	if in == "both" {
		return "A and B"
	}
	return strings.ToUpper(in)
}

func scopeWord(level string) string {
	if level == "" {
		return ""
	}
	return scope(planner.Scope{Level: mstrapi.Level(level)})
}

func settingWord(s string) string {
	if s == "" {
		return "(none)"
	}
	return Clean(s)
}

// subjectID tells principals apart that have the same name.
func subjectID(p *planner.Principal, selector string) string {
	if p != nil {
		return string(p.Kind) + "\x00" + string(p.ID) + "\x00" + p.Name + "\x00" + p.Login
	}
	return selector
}

// markdownDiff is the view of what differs, whole.
func markdownDiff(d *history.Diff) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## Difference of two %s: %s\n\n- A: %s\n- B: %s\n", d.Kind, diffSummary(d), span(sideWords(d.A), clipMessage), span(sideWords(d.B), clipMessage))
	for _, c := range d.Chains {
		fmt.Fprintf(&b, "- reports: %s\n", span(chainWords(c), clipMessage))
	}
	last := ""
	said := func(s string) string { return span(s, clipMessage) }
	for i := range d.Changes {
		c := &d.Changes[i]
		if name := subjectID(c.Principal, c.Selector); i == 0 || name != last {
			last = name
			fmt.Fprintf(&b, "\n### %s\n\n", span(subject(c.Principal, c.Selector), clipMessage))
		}
		fmt.Fprintf(&b, "- **%s** %s: %s", whatWords(c.What), span(numbered(c.Privilege), clipName), heldWords(c, spanMark(), said))
		switch words := causeWords(c.Cause); {
		case words != "":
			fmt.Fprintf(&b, "; %s", span(words, 4*clipMessage))
		case d.Kind == history.OfReports:
			b.WriteString("; by whom is not known")
		}
		b.WriteByte('\n')
	}
	b.WriteString(runsMarkdown(runsOf(diffCauses(d))))
	if len(d.Settings) > 0 {
		b.WriteString("\n### Settings\n\n")
		for _, s := range d.Settings {
			of := ""
			if s.Principal != nil || s.Selector != "" {
				of = span(subject(s.Principal, s.Selector), clipMessage) + ": "
			}
			fmt.Fprintf(&b, "- %s%s: %s → %s\n", of, span(s.Name, clipName), span(settingWord(s.Before), clipMessage), span(settingWord(s.After), clipMessage))
		}
	}
	if len(d.NotLookedAt) > 0 {
		fmt.Fprintf(&b, "\n### Not compared: %s\n\n", clean.Count(len(d.NotLookedAt), "principal"))
		for _, m := range d.NotLookedAt {
			fmt.Fprintf(&b, "- %s: not looked at in %s: %s\n", span(subject(m.Principal, m.Selector), clipMessage), inWords(m.In), span(m.Why, clipMessage))
		}
	}
	fmt.Fprintf(&b, "\n---\n\n%s\n", toolWords(d.Tool))
	return b.String()
}

// diffRows are what differs, for [CSV].
func diffRows(d *history.Diff, row func(...string)) {
	row(slices.Concat([]string{"what", "kind", "id", "login", "name", "selector", "privilege", "privilege_name", "before", "after"}, causeHeads())...)
	add := func(what string, p *planner.Principal, selector string, c *history.Cause, cells ...string) {
		of := []string{"", "", "", "", selector}
		if p != nil {
			of = append(cellsOf(*p), "")
		}
		row(slices.Concat([]string{what}, of, cells, causeCells(c))...)
	}
	for i := range d.Changes {
		c := &d.Changes[i]
		before, after := c.BeforeSaid, c.AfterSaid
		if before == "" && after == "" {
			before, after = heldBy(c.Before, plainMark()), heldBy(c.After, plainMark())
		}
		number := ""
		if c.Privilege.ID != 0 {
			number = c.Privilege.ID.String()
		}
		add(string(c.What), c.Principal, c.Selector, c.Cause, number, c.Privilege.Name, before, after)
	}
	for _, s := range d.Settings {
		add("setting", s.Principal, s.Selector, nil, "", s.Name, s.Before, s.After)
	}
	for _, m := range d.NotLookedAt {
		add("not-looked-at-in-"+m.In, m.Principal, m.Selector, nil, "", "", "", m.Why)
	}
}

// causeHeads name the columns of [causeCells].
func causeHeads() []string {
	return []string{"run", "command", "started", "policy", "policy_digest", "commit", "ticket", "approved_by", "through", "out_of_band", "changed_after", "changed_until"}
}

// causeCells tell the cause of a difference; all are empty for nil.
func causeCells(c *history.Cause) []string {
	out := make([]string, len(causeHeads()))
	if c == nil {
		return out
	}
	if r := c.By; r != nil {
		copy(out, []string{r.ID, r.Command, r.StartedAt.UTC().Format(time.RFC3339), r.Policy.Name, r.Policy.Digest})
		for _, s := range []*planner.Provenance{r.Source, r.PlanSource} {
			if s != nil && s.Commit != "" {
				out[5] = s.Commit
			}
		}
		out[6], out[7], out[8] = c.Ticket, strings.Join(approvers(r, itself), "; "), refsCell(c.Through)
	}
	out[9], out[10], out[11] = yesNo(c.OutOfBand), timeCell(c.After), timeCell(c.Until)
	return out
}

// approvers are who approved what a run did; show shows a name.
func approvers(r *history.Run, show func(string) string) []string {
	var by []string
	for _, a := range r.Approvals {
		by = append(by, show(a.By))
	}
	return by
}

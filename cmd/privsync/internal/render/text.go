package render

import (
	"bufio"
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// style is an ANSI colour sequence, written only when Options.Color is set.
type style string

const (
	plain  style = ""
	bold   style = "\x1b[1m"
	dim    style = "\x1b[2m"
	red    style = "\x1b[31m"
	green  style = "\x1b[32m"
	yellow style = "\x1b[33m"
	alarm  style = "\x1b[1;31m"
	reset  style = "\x1b[0m"
)

// tone is what a page calls a style.
func (s style) tone() string {
	switch s {
	case alarm:
		return "bad"
	case yellow:
		return "warn"
	}
	return "good"
}

// shownFindings is how many warnings or infos of one code are shown without
// Options.Verbose: a policy with `inherited: report` can give one for every
// user of a server.
const shownFindings = 20

// textWriter writes the lines of a text. Errors are kept by the bufio.Writer
// and come out of its Flush.
type textWriter struct {
	w *bufio.Writer
	o Options
}

func (t *textWriter) paint(s style, text string) string {
	if !t.o.Color || s == plain {
		return text
	}
	return string(s) + text + string(reset)
}

// line writes one line. The arguments must be clean.
func (t *textWriter) line(s style, format string, args ...any) {
	t.w.WriteString(t.paint(s, fmt.Sprintf(format, args...)))
	t.w.WriteByte('\n')
}

func (t *textWriter) blank() { t.w.WriteByte('\n') }

// part writes a blank line and then one.
func (t *textWriter) part(s style, format string, args ...any) {
	t.blank()
	t.line(s, format, args...)
}

// field writes one line of a header; nothing for an empty value.
func (t *textWriter) field(name, value string) {
	if value == "" {
		return
	}
	t.w.WriteString(t.paint(dim, fmt.Sprintf("  %-9s", name)))
	t.w.WriteString(value)
	t.w.WriteByte('\n')
}

// para writes text, whose continuation lines are indented by hang, wrapped at
// the width if there is one. A word longer than a line is not broken.
func (t *textWriter) para(s style, hang int, text string) {
	width := t.o.Width
	if width < 40 || utf8.RuneCountInString(text) <= width {
		t.line(s, "%s", text)
		return
	}
	indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
	line, column := indent, len(indent)
	empty := true
	for word := range strings.SplitSeq(strings.TrimLeft(text, " "), " ") {
		n := utf8.RuneCountInString(word)
		if !empty && column+1+n > width {
			t.line(s, "%s", line)
			line, column = strings.Repeat(" ", hang), hang
			empty = true
		}
		if !empty {
			line += " "
			column++
		}
		line += word
		column += n
		empty = false
	}
	t.line(s, "%s", line)
}

// list writes n lines below a head, each wrapped as para does, or never if hang is 0;
// nothing for none.
func (t *textWriter) list(head string, hang, n int, item func(i int) (style, string)) {
	if n == 0 {
		return
	}
	t.part(bold, "%s", head)
	for i := range n {
		s, text := item(i)
		if hang == 0 {
			t.line(s, "%s", text)
		} else {
			t.para(s, hang, text)
		}
	}
}

// few returns the first most of a list, or all with Options.Verbose, and how many it
// leaves out.
func few[T any](t *textWriter, list []T, most int) (show []T, more int) {
	if !t.o.Verbose && len(list) > most {
		return list[:most], len(list) - most
	}
	return list, 0
}

// guards writes the guards that are exceeded.
func (t *textWriter) guards(gs []planner.Guard) {
	if len(gs) == 0 {
		return
	}
	t.blank()
	for _, g := range gs {
		word, s := "REFUSED", alarm
		if g.Allowed {
			word, s = "ALLOWED", yellow
		}
		t.line(s, "%s by guard %s: %s, the limit is %s", word, Clean(g.Name), Clean(g.Actual), Clean(g.Limit))
		if g.Message != "" {
			t.para(plain, 4, "    "+Clean(g.Message))
		}
		for _, p := range g.Offenders {
			t.line(plain, "    %s", who(p))
		}
	}
}

// plan writes a plan.
func (t *textWriter) plan(p *planner.Plan) {
	t.line(bold, "Plan of policy %s: %s", policyName(p.Policy), headline(p, t.o.Guards, Clean))
	t.field("server", server(p.Environment))
	t.field("actor", actor(p.Actor))
	t.field("made", stamp(p.CreatedAt)+when(!p.ExpiresAt.IsZero(), ", valid until %s", stamp(p.ExpiresAt)))
	t.field("maker", Clean(p.Maker))
	t.field("source", provenanceWords(p.Source))
	t.field("scope", scope(p.Scope))
	t.field("digest", Clean(p.Digest))
	if !p.Complete {
		t.blank()
		t.para(alarm, 2, incompletePlan(p))
	}
	t.guards(t.o.Guards)
	if text := approvalNeeded(p); text != "" {
		t.blank()
		t.para(yellow, 2, Clean(text))
	}
	t.errorFindings(p.Findings)

	known := planNames(p)
	findings := byPrincipal(p.Findings)
	shown := make(map[mstrapi.ObjectID]bool, len(p.Changes))
	for _, c := range byWeight(p) {
		shown[c.Principal.ID] = true
		reaches := reach(c.Impact, c.Grant, c.Revoke)
		t.part(bold, "~ %s%s", known.told(c.Principal), when(reaches != "", "  (%s)", reaches))
		t.changes(c.Grant, c.Revoke, wordsOf(false), known, effectOf(plainName))
		t.ownFindings(findings[c.Principal.ID])
	}
	delete(shown, "")
	t.otherFindings(p.Findings, shown)
	t.list("At the end of the apply", 0, len(p.Commands), func(i int) (style, string) { return plain, "  > run command " + Clean(p.Commands[i]) })
	t.licences(p.Licences)
	t.blank()
	t.coverage(&p.Coverage, p.Rules)
	t.line(planVerdict(p), "%s", PlanSummary(p))
}

// coverage says how much was looked at, and which rules were judged.
func (t *textWriter) coverage(c *planner.Coverage, rules []planner.RuleResult) {
	if text := coverageText(c); text != "" {
		t.field("coverage", text)
	}
	if text := rulesText(c, rules); text != "" {
		t.field("rules", text)
	}
}

// changes writes grants and revokes.
func (t *textWriter) changes(grant, revoke []planner.PlannedPrivilege, words changeWords, known names, note noter) {
	for g, granted := range touched(grant, revoke) {
		s, sign := red, "-"
		if granted {
			s, sign = green, "+"
		}
		t.line(s, "  %s %-6s %s (%s)%s", sign, words.of(granted), privilege(g.PrivilegeRef), why(g, known, note(g, granted)), inBrackets(originWords(g.Origin)))
	}
}

func incompletePlan(p *planner.Plan) string {
	return fmt.Sprintf("INCOMPLETE: %s could not be read completely and get no changes. Applying this plan needs --allow-incomplete.",
		clean.Count(p.Summary.Unknown, "principal"))
}

func planVerdict(p *planner.Plan) style {
	switch {
	case !p.Complete, p.Summary.Findings.Error > 0:
		return alarm
	case p.Summary.Changed > 0:
		return bold
	}
	return green
}

// PlanSummary returns the one line that ends the text of a plan, for instance
// "Plan: 3 of 123 principals change: 2 grants, 1 revoke; 120 in sync; 0
// unknown; findings 0 errors, 1 warning, 0 infos.". Without changes it begins
// with "No changes.", or says why there is no plan.
func PlanSummary(p *planner.Plan) string {
	s := p.Summary
	end := fmt.Sprintf("%d in sync; %d unknown; findings %s.", s.InSync, s.Unknown, severities(s.Findings))
	if s.Changed == 0 && len(p.Changes) == 0 {
		head := cmp.Or(noPlan(p), when(!p.Complete, "No changes, but the plan is incomplete"), "No changes")
		return fmt.Sprintf("%s. %s: %s", head, clean.Count(s.Principals, "principal"), end)
	}
	verb := "change"
	if s.Changed == 1 {
		verb = "changes"
	}
	return fmt.Sprintf("Plan: %d of %s %s: %s, %s; %s", s.Changed, clean.Count(s.Principals, "principal"), verb, clean.Count(s.Grants, "grant"), clean.Count(s.Revokes, "revoke"), end)
}

package render

import (
	"bufio"
	"fmt"
	"strings"
	"unicode/utf8"

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

func severityStyle(s planner.Severity) style {
	switch s {
	case planner.SeverityError:
		return alarm
	case planner.SeverityWarning:
		return yellow
	}
	return dim
}

// finding writes one finding. named says that the principal is named already.
func (t *textWriter) finding(f planner.Finding, named bool) {
	t.para(severityStyle(f.Severity), 6, "  ! "+findingText(f, named))
}

func findingText(f planner.Finding, named bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", Clean(string(f.Severity)), Clean(string(f.Code)))
	if f.Principal != nil && !named {
		b.WriteString(" " + who(*f.Principal))
	}
	if f.Privilege != nil {
		b.WriteString(" " + privilege(*f.Privilege))
	}
	if f.Message != "" {
		b.WriteString(": " + Clean(f.Message))
	}
	if s := sourcesNotIn(f); len(s) > 0 {
		b.WriteString(" (from " + strings.Join(s, ", ") + ")")
	}
	if p := place(f.Position); p != "" {
		b.WriteString(" [" + p + "]")
	}
	return b.String()
}

// errorFindings writes the findings of severity error, which come before
// everything else.
func (t *textWriter) errorFindings(fs []planner.Finding) {
	n := planner.CountFindings(fs).Error
	if n == 0 {
		return
	}
	t.blank()
	t.line(alarm, "%s", count(n, "error finding"))
	for _, f := range fs {
		if f.Severity == planner.SeverityError {
			t.finding(f, false)
		}
	}
}

// ownFindings writes the findings of a principal inside its block. Errors stood
// at the top already, so they are only recalled.
func (t *textWriter) ownFindings(fs []planner.Finding) {
	for _, f := range fs {
		if t.folds(f) {
			continue
		}
		if f.Severity != planner.SeverityError {
			t.finding(f, true)
			continue
		}
		s := Clean(string(f.Code))
		if f.Privilege != nil {
			s += " " + privilege(*f.Privilege)
		}
		t.line(alarm, "  ! error %s (see above)", s)
	}
}

// otherFindings writes the warnings and infos that stand in no principal's
// block: shown holds the ids of the principals that have one. Infos are counted.
func (t *textWriter) otherFindings(fs []planner.Finding, shown map[mstrapi.ObjectID]bool) {
	var codes []planner.Code
	byCode := make(map[planner.Code][]planner.Finding)
	n := 0
	defer t.infos(fs)
	for _, f := range fs {
		if f.Severity == planner.SeverityError || f.Principal != nil && shown[f.Principal.ID] || t.folds(f) {
			continue
		}
		if byCode[f.Code] == nil {
			codes = append(codes, f.Code)
		}
		byCode[f.Code] = append(byCode[f.Code], f)
		n++
	}
	if n == 0 {
		return
	}
	t.blank()
	t.line(bold, "%s", count(n, "further finding"))
	for _, c := range codes {
		all := byCode[c]
		show := all
		if !t.o.Verbose && len(all) > shownFindings {
			show = all[:shownFindings]
		}
		for _, f := range show {
			t.finding(f, false)
		}
		if more := len(all) - len(show); more > 0 {
			t.line(dim, "  … and %d more of %s; --format json shows all", more, Clean(string(c)))
		}
	}
}

// plan writes a plan.
func (t *textWriter) plan(p *planner.Plan) {
	t.line(bold, "Plan of policy %s: %s", policyName(p.Policy), headline(p, t.o.Guards, Clean))
	t.field("server", server(p.Environment))
	t.field("actor", actor(p.Actor))
	when := stamp(p.CreatedAt)
	if !p.ExpiresAt.IsZero() {
		when += ", valid until " + stamp(p.ExpiresAt)
	}
	t.field("made", when)
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
		t.blank()
		head := "~ " + known.told(c.Principal)
		if r := reach(c.Impact, c.Grant, c.Revoke); r != "" {
			head += "  (" + r + ")"
		}
		t.line(bold, "%s", head)
		for _, g := range c.Grant {
			t.change(green, "+ grant ", g, known, effect(g.Impact, true, plainName))
		}
		for _, r := range c.Revoke {
			t.change(red, "- revoke", r, known, effect(r.Impact, false, plainName))
		}
		t.ownFindings(findings[c.Principal.ID])
	}
	delete(shown, "")
	t.otherFindings(p.Findings, shown)
	t.commandNames(p.Commands)
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

// change writes one grant or revoke. note, which may be empty, is put last.
func (t *textWriter) change(s style, sign string, g planner.PlannedPrivilege, known names, note string) {
	at := originWords(g.Origin)
	if at != "" {
		at = " [" + at + "]"
	}
	t.line(s, "  %s %s (%s)%s", sign, privilege(g.PrivilegeRef), why(g, known, note), at)
}

// why joins the reason of a change, whom it waits for and a note.
func why(g planner.PlannedPrivilege, known names, note string) string {
	parts := make([]string, 0, 4)
	if g.Administrative && g.Reason == planner.ReasonListed {
		parts = append(parts, "ADMINISTRATIVE")
	}
	if g.Reason != "" {
		parts = append(parts, Clean(string(g.Reason)))
	}
	if g.Until != "" {
		parts = append(parts, "until "+Clean(g.Until))
	}
	if g.Ticket != "" {
		parts = append(parts, clip(Clean(g.Ticket), clipMessage))
	}
	if r := known.relies(g.ReliesOn); r != "" {
		parts = append(parts, r)
	}
	if note != "" {
		parts = append(parts, note)
	}
	if len(parts) == 0 {
		return "no reason given"
	}
	return strings.Join(parts, "; ")
}

func (t *textWriter) commandNames(cs []string) {
	if len(cs) == 0 {
		return
	}
	t.blank()
	t.line(bold, "At the end of the apply")
	for _, c := range cs {
		t.line(plain, "  > run command %s", Clean(c))
	}
}

func incompletePlan(p *planner.Plan) string {
	return fmt.Sprintf("INCOMPLETE: %s could not be read completely and get no changes. Applying this plan needs --allow-incomplete.",
		count(p.Summary.Unknown, "principal"))
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
	if s.Changed == 0 && len(p.Changes) == 0 {
		head := "No changes."
		if why := noPlan(p); why != "" {
			head = why + "."
		} else if !p.Complete {
			head = "No changes, but the plan is incomplete."
		}
		return fmt.Sprintf("%s %s: %d in sync; %d unknown; findings %s.",
			head, count(s.Principals, "principal"), s.InSync, s.Unknown, severities(s.Findings))
	}
	verb := "change"
	if s.Changed == 1 {
		verb = "changes"
	}
	return fmt.Sprintf("Plan: %d of %s %s: %s, %s; %d in sync; %d unknown; findings %s.",
		s.Changed, count(s.Principals, "principal"), verb, count(s.Grants, "grant"), count(s.Revokes, "revoke"),
		s.InSync, s.Unknown, severities(s.Findings))
}

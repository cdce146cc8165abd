package render

import (
	"fmt"
	"strings"

	"privsync/planner"
)

// LicenceHeads are the heads of the table of licences.
func licenceHeads() []string {
	return []string{"product", "now", "after", "difference", "licences", "apart (?)"}
}

// licenceRows are the rows of the table of licences: the products that somebody
// consumes, or comes to.
func licenceRows(l *planner.Licences) [][]string {
	var rows [][]string
	if l == nil {
		return nil
	}
	for _, p := range l.Products {
		if p.Now+p.After+p.Apart == 0 && p.AtMost == nil {
			continue
		}
		least := ""
		if p.AtLeast {
			least = "≥ "
		}
		difference := fmt.Sprintf("%+d", p.Difference)
		if p.AtMost != nil {
			difference += fmt.Sprintf(" to %+d", *p.AtMost)
		}
		licences := "not known"
		switch {
		case p.Unlimited:
			licences = "no limit"
		case p.Entitled != nil:
			licences = fmt.Sprint(*p.Entitled)
		}
		apart := ""
		if p.Apart > 0 {
			apart = fmt.Sprint(p.Apart)
		}
		rows = append(rows, []string{Clean(p.Name), least + fmt.Sprint(p.Now), least + fmt.Sprint(p.After), difference, licences, apart})
	}
	return rows
}

// countedText says of how many users the numbers are.
func countedText(l *planner.Licences) string {
	text := count(l.Counted.Users, "user") + " counted"
	if l.Counted.Of != nil {
		text = fmt.Sprintf("%d of %s counted", l.Counted.Users, count(*l.Counted.Of, "user"))
	}
	if l.ComplianceTime != nil {
		return text + "; licences by the server's count of " + stamp(*l.ComplianceTime)
	}
	return text + "; how many licences there are is not known"
}

// licences writes the table of licences.
func (t *textWriter) licences(l *planner.Licences) {
	rows := licenceRows(l)
	if len(rows) == 0 {
		return
	}
	t.blank()
	t.line(bold, "Licences (%s):", countedText(l))
	all := append([][]string{licenceHeads()}, rows...)
	var widths [6]int
	for _, row := range all {
		for i, c := range row {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	for _, row := range all {
		var b strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(c)))
			if i == 0 {
				b.WriteString(c + pad)
			} else {
				b.WriteString("  " + pad + c)
			}
		}
		t.line(plain, "  %s", strings.TrimRight(b.String(), " "))
	}
}

// licencesMarkdown is the table of licences with its heading, or "".
func licencesMarkdown(l *planner.Licences) string {
	rows := licenceRows(l)
	if len(rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n### Licences\n\n| " + strings.Join(licenceHeads(), " | ") + " |\n|---|---:|---:|---:|---:|---:|\n")
	for _, row := range rows {
		// In a cell no code span may hold what divides cells or ends spans.
		row[0] = span(strings.NewReplacer("|", "¦", "`", "'", `\`, "/").Replace(row[0]), clipName)
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	fmt.Fprintf(&b, "\n%s.\n", span(countedText(l), clipMessage))
	return b.String()
}

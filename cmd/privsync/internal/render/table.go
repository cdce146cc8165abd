package render

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// table is what views show in rows. Its cells are clean. The first column is text, the
// others are numbers.
type table struct {
	Heads []string
	Rows  [][]string
}

// table writes a table with its columns in line.
func (t *textWriter) table(x table) {
	all := append([][]string{x.Heads}, x.Rows...)
	widths := make([]int, len(x.Heads))
	for _, row := range all {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range all {
		line := ""
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i == 0 {
				line = c + pad
			} else {
				line += "  " + pad + c
			}
		}
		t.line(plain, "  %s", strings.TrimRight(line, " "))
	}
}

// section is a table in Markdown below open; its first column stands in code spans.
func (x table) section(open, noun string, weight int) section {
	open += "| " + strings.Join(x.Heads, " | ") + " |\n|---" + strings.Repeat("|---:", len(x.Heads)-1) + "|\n"
	return lines(open, noun, weight, len(x.Rows), func(i int) string {
		cells := slices.Clone(x.Rows[i])
		// In a cell no code span may hold what divides cells or ends spans.
		cells[0] = span(strings.NewReplacer("|", "¦", "`", "'", `\`, "/").Replace(cells[0]), clipName)
		return "| " + strings.Join(cells, " | ") + " |\n"
	})
}

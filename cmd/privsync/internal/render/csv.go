package render

import (
	"encoding/csv"
	"io"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CSV writes rows, the first of which should name the columns, as comma-separated
// values: every cell is a [Cell], so that a row is a line and no name from outside
// is run as a formula by whoever opens the file. A column may hold texts of any
// kind; cells of one row that have nothing to say are "".
func CSV(w io.Writer, rows iter.Seq[[]string]) error {
	out := csv.NewWriter(w)
	for row := range rows {
		cells := make([]string, len(row))
		for i, text := range row {
			cells[i] = Cell(text)
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// formulaStarts begin a formula in a spreadsheet: the plain and the full-width forms.
const formulaStarts = "=+-@＝＋－＠"

// Cell returns text clean and such that no spreadsheet takes it for a formula: an
// apostrophe, which a spreadsheet takes for "this is text", stands before what would
// begin one. A semicolon ends a cell where a comma is the decimal point, so the same
// holds for what follows one. Cell(Cell(s)) equals Cell(s).
func Cell(text string) string {
	parts := strings.Split(Clean(text), ";")
	for i, part := range parts {
		start := strings.TrimLeftFunc(part, unicode.IsSpace)
		if first, _ := utf8.DecodeRuneInString(start); start != "" && strings.ContainsRune(formulaStarts, first) {
			parts[i] = part[:len(part)-len(start)] + "'" + start
		}
	}
	return strings.Join(parts, ";")
}

package render

import (
	"cmp"
	"encoding/csv"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// CSVDocument writes doc, an *executor.Report, a *planner.Holders, a
// *planner.LicenceUse, an *executor.HeldAt, a *history.Diff or a *history.Since, with
// [CSV]. The error is the writer's, or says that doc is of another type or nil.
func CSVDocument(w io.Writer, doc any) error {
	var rows func(row func(...string))
	switch doc := present(doc).(type) {
	case *executor.Report:
		rows = func(row func(...string)) { reportRows(doc, row) }
	case *planner.Holders:
		rows = func(row func(...string)) { holderRows(doc, row) }
	case *planner.LicenceUse:
		rows = func(row func(...string)) { seatRows(doc, row) }
	case *executor.HeldAt:
		rows = func(row func(...string)) { heldAtRows(doc, row) }
	case *history.Diff:
		rows = func(row func(...string)) { diffRows(doc, row) }
	case *history.Since:
		rows = func(row func(...string)) { historyRows(doc, row) }
	default:
		return unknownDocument(doc)
	}
	return CSV(w, rows)
}

// CSV writes the rows that rows gives to row, the first of which should name the columns,
// as comma-separated values: every cell is a [Cell], so that a row is a line and no name
// from outside is run as a formula by whoever opens the file. A column may hold texts of
// any kind; cells of one row that have nothing to say are "". The error is the writer's.
func CSV(w io.Writer, rows func(row func(cells ...string))) error {
	out := csv.NewWriter(w)
	rows(func(cells ...string) {
		cleaned := make([]string, len(cells))
		for i, text := range cells {
			cleaned[i] = Cell(text)
		}
		out.Write(cleaned) // it keeps its error
	})
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

// reportRows are what a report says of each principal: a row for each privilege that it
// holds at the end, lacks or is not to hold, and one for a principal of which none of
// that is known or there is.
func reportRows(r *executor.Report, row func(...string)) {
	row("kind", "id", "login", "name", "outcome", "privilege", "privilege_name", "holds", "direct", "groups", "roles", "other_source", "planned", "reason", "error")
	named := privilegeNames(r)
	words := wordsOf(isAudit(r))
	for i := range r.Principals {
		res := &r.Principals[i]
		failed := ""
		if res.Error != nil {
			failed = failure(res.Error)
		}
		rows := privilegeRows(res, named, words)
		if len(rows) == 0 {
			holds := "nothing"
			if res.After == nil {
				holds = "unknown"
			}
			rows = [][]string{{"", "", holds, "", "", "", "", "", ""}}
		}
		for _, cells := range rows {
			row(slices.Concat(cellsOf(res.Principal), []string{string(res.Outcome)}, cells, []string{failed})...)
		}
	}
}

// privilegeRows are the cells of one principal from the privilege on, by number.
func privilegeRows(res *executor.Result, named map[mstrapi.PrivilegeID]string, words changeWords) [][]string {
	planned := make(map[mstrapi.PrivilegeID][2]string)
	var all planner.Set
	for p, granted := range touched(res.Grant, res.Revoke) {
		planned[p.ID] = [2]string{words.of(granted), string(p.Reason)}
		all.Add(p.ID)
	}
	sources := make(map[mstrapi.PrivilegeID]*executor.PrivilegeSource)
	var held planner.Set
	if res.After != nil {
		held = res.After.Direct.Union(res.After.Inherited)
		for i := range res.After.Sources {
			s := &res.After.Sources[i]
			sources[s.Privilege] = s
			held.Add(s.Privilege)
		}
		all = all.Union(held)
	}
	rows := make([][]string, 0, all.Len())
	for id := range all.All() {
		row := []string{id.String(), named[id], "unknown", "", "", "", "", planned[id][0], planned[id][1]}
		if res.After != nil {
			row[2], row[3] = yesNo(held.Has(id)), yesNo(res.After.Direct.Has(id))
		}
		if s := sources[id]; s != nil {
			row[4], row[5], row[6] = refsCell(s.Groups), rolesCell(s.Roles), yesNo(s.Other)
		}
		rows = append(rows, row)
	}
	return rows
}

// cellsOf are the cells of a principal: its kind, id, login and name.
func cellsOf(p planner.Principal) []string {
	return []string{string(p.Kind), string(p.ID), p.Login, p.Name}
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// timeCell is a point in time; "" for nil or the zero time.
func timeCell(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// refsCell names objects in one cell, by name or, where the server does not tell it, by id.
func refsCell(refs []mstrapi.ObjectRef) string {
	names := make([]string, len(refs))
	for i, g := range refs {
		names[i] = cmp.Or(g.Name, string(g.ID))
	}
	return strings.Join(names, "; ")
}

func rolesCell(roles []mstrapi.RoleRef) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = refsCell([]mstrapi.ObjectRef{r.Role}) + " in " + refsCell([]mstrapi.ObjectRef{r.Project})
	}
	return strings.Join(names, "; ")
}

package render

import (
	"io"
	"iter"
	"slices"

	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// CSVDocument writes doc, an *executor.Report, a *planner.Holders, a
// *planner.LicenceUse, a *history.Diff or a *history.Since, with [CSV]. The error is the
// writer's, or says that doc is of another type or nil.
func CSVDocument(w io.Writer, doc any) error {
	var rows iter.Seq[[]string]
	switch doc := doc.(type) {
	case *executor.Report:
		if doc == nil {
			return errNilDocument
		}
		rows = reportRows(doc)
	case *planner.Holders:
		if doc == nil {
			return errNilDocument
		}
		rows = holderRows(doc)
	case *planner.LicenceUse:
		if doc == nil {
			return errNilDocument
		}
		rows = seatRows(doc)
	case *executor.HeldAt:
		if doc == nil {
			return errNilDocument
		}
		rows = heldAtRows(doc)
	case *history.Diff:
		if doc == nil {
			return errNilDocument
		}
		rows = diffRows(doc)
	case *history.Since:
		if doc == nil {
			return errNilDocument
		}
		rows = historyRows(doc)
	default:
		return unknownDocument(doc)
	}
	return CSV(w, rows)
}

// reportRows are what a report says of each principal: a row for each privilege that it
// holds at the end, lacks or is not to hold, and one for a principal of which none of
// that is known or there is.
func reportRows(r *executor.Report) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		if !yield([]string{"kind", "id", "login", "name", "outcome", "privilege", "privilege_name", "holds", "direct", "groups", "roles", "other_source", "planned", "reason", "error"}) {
			return
		}
		named := privilegeNames(r)
		words := [2]string{"grant", "revoke"}
		if isAudit(r) {
			words = [2]string{"missing", "surplus"}
		}
		for i := range r.Principals {
			res := &r.Principals[i]
			who := res.Principal
			start := []string{string(who.Kind), string(who.ID), who.Login, who.Name, string(res.Outcome)}
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
			for _, row := range rows {
				if !yield(slices.Concat(start, row, []string{failed})) {
					return
				}
			}
		}
	}
}

// privilegeRows are the cells of one principal from the privilege on, by number.
func privilegeRows(res *executor.Result, named map[mstrapi.PrivilegeID]string, words [2]string) [][]string {
	planned := make(map[mstrapi.PrivilegeID][2]string)
	var all planner.Set
	for i, list := range [][]planner.PlannedPrivilege{res.Grant, res.Revoke} {
		for _, p := range list {
			planned[p.ID] = [2]string{words[i], string(p.Reason)}
			all.Add(p.ID)
		}
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

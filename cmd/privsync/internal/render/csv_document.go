package render

import (
	"io"
	"iter"

	"privsync/planner"
)

// CSVDocument writes doc, a *planner.Holders, with [CSV]. The error is the writer's, or
// says that doc is of another type or nil.
func CSVDocument(w io.Writer, doc any) error {
	var rows iter.Seq[[]string]
	switch doc := doc.(type) {
	case *planner.Holders:
		if doc == nil {
			return errNilDocument
		}
		rows = holderRows(doc)
	default:
		return unknownDocument(doc)
	}
	return CSV(w, rows)
}

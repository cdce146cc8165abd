package main

import "privsync/cmd/privsync/internal/render"

// writeAnswer writes to stdout what was asked for, as json, csv, markdown or text; doc is
// one of the documents that [render.Text] knows. An interrupt ends it.
func (a *app) writeAnswer(doc any, format string) error {
	return a.awaitDone(func() error {
		switch format {
		case "json":
			return writeJSON(a.stdout, doc)
		case "csv":
			return render.CSVDocument(a.stdout, doc)
		case "markdown":
			return render.Markdown(a.stdout, doc, render.MarkdownOptions{})
		}
		return render.Text(a.stdout, doc, a.textOptions(a.stdout))
	})
}

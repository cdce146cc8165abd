package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/planner"
)

func newShow(a *app) *cobra.Command {
	var (
		verbose bool
		format  = newChoice("text", "json", "csv", "markdown", "html")
	)
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show a saved plan or report",
		Long: `Show a plan that was saved with --out, or a report, as text, Markdown, one
self-contained HTML page, the JSON itself, or, of a report, CSV. Whether FILE is a plan or a report
is told by the format inside; - means standard input. Its schema and its digest
are checked first: an edited document is not shown.

The guards that a saved plan exceeds are judged again from what it holds.`,
		Example: `  privsync show plan.json
  privsync show report.json --format html > report.html
  privsync plan -f policy.yaml --format json | privsync show - --format markdown`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			doc, err := a.readDocument(args[0])
			if err != nil {
				return fmt.Errorf("show %s: %w", args[0], err)
			}
			if _, isReport := doc.(*executor.Report); format.value == "csv" && !isReport {
				return hinted(fmt.Errorf("show %s: a plan has no CSV", args[0]), "CSV is of reports: what each principal holds; --format json has the plan's changes")
			}
			v := view{format: format.value, file: args[0], verbose: verbose}
			if plan, ok := doc.(*planner.Plan); ok {
				v.guards = planner.Guards(plan, planner.Overrides{})
			}
			return a.awaitDone(func() error { return a.render(a.stdout, doc, v) })
		},
		ValidArgsFunction: completeJSONFile,
	}
	addFormat(cmd, &format)
	addVerbose(cmd, &verbose)
	return cmd
}

// addVerbose registers --verbose.
func addVerbose(cmd *cobra.Command, verbose *bool) {
	cmd.Flags().BoolVar(verbose, "verbose", false, "text: show every finding, infos too, and every principal of an audit, also where there are very many")
}

// view says how a document is shown.
type view struct {
	format  string          // text, json, markdown, html or, of a report, csv; of a fresh plan github
	guards  []planner.Guard // that a plan exceeds; a report holds its own
	file    string          // where the document can be found; empty if it is not saved
	verbose bool
	links   render.Links // of the run that shows it, for Markdown
	// afterPlan says that the plan of a report has just been shown.
	afterPlan bool
}

// render writes doc, a *[planner.Plan] or an *[executor.Report], to w.
func (a *app) render(w io.Writer, doc any, v view) error {
	switch v.format {
	case "json":
		_, err := doc.(io.WriterTo).WriteTo(&jsonSafe{w: w})
		return err
	case "markdown":
		o := render.MarkdownOptions{Guards: v.guards, Links: v.links}
		_, isPlan := doc.(*planner.Plan)
		switch {
		case v.file != "" && v.file != "-":
			o.ShowHint = "privsync show " + v.file
		case isPlan && v.file == "":
			o.ShowHint = "privsync plan"
		}
		return render.Markdown(w, doc, o)
	case "github":
		return a.renderGitHub(w, doc.(*planner.Plan), v)
	case "csv":
		return render.CSVDocument(w, doc)
	case "html":
		return render.HTML(w, doc, render.HTMLOptions{Guards: v.guards})
	}
	o := a.textOptions(w)
	o.Guards, o.Verbose, o.AfterPlan = v.guards, v.verbose, v.afterPlan
	return render.Text(w, doc, o)
}

// completeJSONFile completes the one argument of a command as a JSON file.
func completeJSONFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
}

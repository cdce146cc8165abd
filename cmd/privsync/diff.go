package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

func newDiff(a *app) *cobra.Command {
	var (
		from    chainFlags
		env     string
		catalog string
		format  = newChoice("text", "json", "csv", "markdown")
	)
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Say what differs between two reports, two plans or two policies",
		Long: `Compare two documents of a kind, A the older, and say who gained and who lost what.

Two reports, of audits or of other runs: what everybody who is in both effectively
held at the end of each. Each difference names the run that made it, from the reports
of the runs in between, or says out-of-band: no run did it whose report is at hand.
These are looked for in the chains of reports that A and B lie in, and in each
--report-dir or else in the store (--state) or the state folder. Reports of one scope and one server can be
compared.

Two plans: what the one would do and the other would not.

Two policies, files or folders: what their entries list and forbid, sets expanded, and
other settings. Nothing is asked of a server; with --catalog a privilege's name and its
number are known to be the same.

Whoever is in only one of the two, or could not be read, is not compared: "not looked
at", which is no loss. Documents are checked first: an edited one is refused.

Exit codes: 0 nothing differs; 2 something differs, or somebody was looked at in only
one of them; 1 an error, such as documents of different kinds or a chain of reports
that is broken.`,
		Example: `  privsync diff audits/monday.json audits/friday.json
  privsync diff old.json new.json --report-dir reports/ --format csv > changes.csv
  privsync diff plan-1.json plan-2.json --format markdown
  privsync diff policies-main/ policies/ --catalog catalogue.json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := a.diff(cmd.Context(), args, env, catalog, &from)
			if err != nil {
				return err
			}
			if err := a.writeAnswer(doc, format.value); err != nil {
				return err
			}
			if err := brokenChains(doc.Chains); err != nil {
				return err
			}
			if doc.Equal {
				return nil
			}
			return exits(executor.ExitDrift)
		},
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return []string{"json", "yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	}
	addFormat(cmd, &format)
	from.register(cmd)
	cmd.Flags().StringVar(&env, "env", "", "policies: use the overlay `NAME` of both")
	cmd.Flags().StringVar(&catalog, "catalog", "", "policies: know privileges by the catalogue in `FILE` (privsync privileges --save)")
	return cmd
}

// diff reads both documents and compares them.
func (a *app) diff(ctx context.Context, files []string, env, catalog string, from *chainFlags) (*history.Diff, error) {
	if files[0] == "-" && files[1] == "-" {
		return nil, hinted(errors.New("only one of the two can be the standard input"), "name a file for the other")
	}
	var docs [2]any
	var kinds [2]string
	for i, file := range files {
		doc, err := a.readComparable(file, env)
		if err != nil {
			return nil, err
		}
		docs[i] = doc
		switch doc.(type) {
		case *executor.Report:
			kinds[i] = "report"
		case *planner.Plan:
			kinds[i] = "plan"
		default:
			kinds[i] = "policy"
		}
	}
	if kinds[0] != kinds[1] {
		return nil, hinted(fmt.Errorf("%s is a %s and %s is a %s", files[0], kinds[0], files[1], kinds[1]), "compare two reports, two plans or two policies")
	}
	if kinds[0] != "policy" {
		if env != "" || catalog != "" {
			return nil, hinted(errors.New("--env and --catalog are for policies"), "leave them out to compare "+kinds[0]+"s")
		}
	}
	if kinds[0] != "report" && from.given() {
		return nil, hinted(errors.New("--report-dir is for reports"), "runs lie between two reports only")
	}
	switch first := docs[0].(type) {
	case *executor.Report:
		return a.diffReports(ctx, history.ReportDoc{File: files[0], Report: first}, history.ReportDoc{File: files[1], Report: docs[1].(*executor.Report)}, from)
	case *planner.Plan:
		second := docs[1].(*planner.Plan)
		if first.Scope != second.Scope {
			return nil, scopesDiffer(first.Scope, second.Scope)
		}
		a.warnServers(first.Environment.URL, second.Environment.URL)
		return await(a, func() (*history.Diff, error) {
			return history.Plans(toolRef(), history.PlanDoc{File: files[0], Plan: first}, history.PlanDoc{File: files[1], Plan: second}), nil
		})
	}
	var known []policy.CataloguePrivilege
	if catalog != "" {
		var err error
		if known, err = await(a, func() ([]policy.CataloguePrivilege, error) { return readCatalogue(catalog) }); err != nil {
			return nil, err
		}
	}
	return await(a, func() (*history.Diff, error) {
		return history.Policies(toolRef(), history.PolicyDoc{File: files[0], Policy: docs[0].(*policy.Policy)},
			history.PolicyDoc{File: files[1], Policy: docs[1].(*policy.Policy)}, known), nil
	})
}

// readComparable reads a report, a plan or a policy.
func (a *app) readComparable(file, env string) (any, error) {
	info, err := os.Stat(file)
	isPolicy := err == nil && info.IsDir() || slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(filepath.Ext(file)))
	if !isPolicy {
		doc, err := a.readDocument(file)
		if err == nil {
			return doc, nil
		}
		if !errors.Is(err, errNotADocument) || file == "-" || strings.EqualFold(filepath.Ext(file), ".json") {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
	}
	pol := policyFlags{files: []string{file}, env: env}
	return pol.load(a)
}

func scopesDiffer(a, b planner.Scope) error {
	return hinted(fmt.Errorf("the scopes differ: %s and %s", a.Level, b.Level), "what only one of the two speaks of cannot be told from what changed: compare documents of one scope")
}

// warnServers warns where two documents are of two servers.
func (a *app) warnServers(first, second string) {
	if first != second {
		a.log.Warn("the two are of servers with different URLs", "a", first, "b", second)
	}
}

// diffReports compares two reports, with the runs between them.
func (a *app) diffReports(ctx context.Context, first, second history.ReportDoc, from *chainFlags) (*history.Diff, error) {
	if first.Report.Scope != second.Report.Scope {
		return nil, scopesDiffer(first.Report.Scope, second.Report.Scope)
	}
	url := second.Report.Environment.URL
	a.warnServers(first.Report.Environment.URL, url)
	same := sameServer(ctx, executor.Target{URL: url, Addresses: mstrapi.Addresses(ctx, mstrapi.Config{URL: url, AllowHTTP: true})})
	if !same(first.Report.Environment.URL) {
		return nil, hinted(fmt.Errorf("%s and %s are of two servers", first.File, second.File), "who gained and lost what can be said of one server only")
	}
	between := history.NewBetween(first, second, same)
	if first.Report.Run.FinishedAt.After(second.Report.Run.FinishedAt) {
		a.log.Warn("A is newer than B: what changed is told backwards, and no run is named for it", "a", first.File, "b", second.File)
		return await(a, func() (*history.Diff, error) { return between.Reports(toolRef()), nil })
	}
	sources, err := from.sources(a, first.File, second.File)
	if err != nil {
		return nil, err
	}
	return await(a, func() (*history.Diff, error) {
		if err := between.Read(ctx, sources); err != nil {
			return nil, err
		}
		return between.Reports(toolRef()), nil
	})
}

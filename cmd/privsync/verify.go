package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
)

func newVerifyReports(a *app) *cobra.Command {
	format := newChoice("text", "json")
	cmd := &cobra.Command{
		Use:   "verify-reports DIR",
		Short: "Check that no report in a folder was changed, removed or slipped in",
		Long: `Check the chain of reports in a folder that --report-dir wrote: each report names
the digest of the one before it, and chain.json names the newest. A report that
was edited, renamed, removed or slipped in breaks the chain, and is named.

Whoever can write to the folder can also rewrite the whole chain: keep the
newest digest, which this command prints, in another place (a ticket, a log).

Exit codes: 0 the chain is whole; 1 it is broken, or the folder cannot be read.`,
		Example: `  privsync verify-reports reports/
  privsync verify-reports reports/ --format json | jq '.links[] | select(.problem)'`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			links, err := executor.VerifyChain(args[0])
			if err != nil {
				return hinted(err, "name the folder that --report-dir names")
			}
			broken := executor.Broken(links)
			if format.value == "json" {
				if links == nil {
					links = []executor.ChainLink{}
				}
				err = writeJSON(a.stdout, struct {
					Sound bool                 `json:"sound"`
					Links []executor.ChainLink `json:"links"`
				}{len(broken) == 0, links})
			} else {
				err = a.showChain(links, broken)
			}
			if err != nil {
				return err
			}
			if len(broken) > 0 {
				return hinted(errors.New("the chain of reports is broken in "+plural(len(broken), "place", "places")),
					"compare with a copy of the reports that was kept elsewhere")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	addFormat(cmd, &format)
	return cmd
}

func (a *app) showChain(links, broken []executor.ChainLink) error {
	var b strings.Builder
	for _, l := range links {
		mark, when := "ok     ", ""
		if l.Problem != "" {
			mark = "BROKEN "
		}
		if !l.Started.IsZero() {
			when = "  " + l.Started.UTC().Format(time.DateTime)
		}
		file := l.File
		if file == "" {
			file = "(missing)"
		}
		fmt.Fprintf(&b, "%s%s%s\n", mark, render.Clean(file), when)
		if l.Problem != "" {
			fmt.Fprintf(&b, "       %s\n", render.Clean(l.Problem))
		}
	}
	if len(broken) == 0 {
		fmt.Fprintf(&b, "The chain is whole: %s.\n", plural(len(links), "report", "reports"))
		if n := len(links); n > 0 {
			fmt.Fprintf(&b, "newest digest: %s\n", render.Clean(links[n-1].Digest))
		}
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

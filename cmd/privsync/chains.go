package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
)

// chainFlags name the chains of reports that a command looks into.
type chainFlags struct {
	state stateFlags
	dirs  []string
}

func (c *chainFlags) register(cmd *cobra.Command) {
	c.state.register(cmd)
	cmd.Flags().StringArrayVar(&c.dirs, "report-dir", nil, "look into the chain of reports in `DIR`; may be repeated")
	_ = cmd.MarkFlagDirname("report-dir")
}

func (c *chainFlags) given() bool { return len(c.dirs) > 0 }

// sources returns the chains that the flags name, or else that of the state folder, and
// those that the files lie in, each once. Only those that are named must be there.
func (c *chainFlags) sources(a *app, files ...string) ([]history.Source, error) {
	var out []history.Source
	var known []os.FileInfo
	add := func(dir string) (bool, error) {
		info, err := os.Stat(filepath.Join(dir, executor.ChainFile))
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(known, func(k os.FileInfo) bool { return os.SameFile(k, info) }) {
			known = append(known, info)
			out = append(out, &history.Folder{Dir: dir})
		}
		return true, nil
	}
	for _, dir := range c.dirs {
		if _, err := add(dir); err != nil {
			return nil, hinted(fmt.Errorf("no chain of reports in %s: %w", dir, err), "name a folder that a run wrote to with --report-dir")
		}
	}
	if dir, err := c.state.find(a); err == nil && !c.given() {
		_, _ = add(executor.ReportsDir(dir))
	}
	for _, file := range files {
		if file != "-" {
			_, _ = add(filepath.Dir(file))
		}
	}
	return out, nil
}

// brokenChains returns the error that says which chains are not whole: what was said
// from their reports may lack something.
func brokenChains(chains []history.Chain) error {
	var broken []string
	for _, c := range chains {
		if len(c.Problems) > 0 {
			broken = append(broken, fmt.Sprintf("%s (%s)", c.Name, c.Problems[0]))
		}
	}
	if len(broken) == 0 {
		return nil
	}
	return hinted(fmt.Errorf("%s of reports is not whole: %s", plural(len(broken), "chain", "chains"), strings.Join(broken, "; ")),
		`what is said above may lack runs; look with "privsync verify-reports DIR"`)
}

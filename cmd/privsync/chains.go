package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
	"privsync/executor/pgstore"
)

// chainFlags name the chains of reports that a command looks into.
type chainFlags struct {
	state stateFlags
	dirs  []string
}

func (c *chainFlags) register(cmd *cobra.Command) {
	c.state.dirBeats = true
	c.state.register(cmd)
	cmd.Flags().StringArrayVar(&c.dirs, "report-dir", nil, "look into the chain of reports in `DIR`; may be repeated")
}

func (c *chainFlags) given() bool { return len(c.dirs) > 0 }

// sources returns the chains that the flags name, or else those of the store or of the
// state folder, and those that the files lie in, each once. Only what is named must be there.
func (c *chainFlags) sources(a *app, files ...string) ([]history.Source, error) {
	var out []history.Source
	var known []os.FileInfo
	add := func(dir string) error {
		info, err := os.Stat(filepath.Join(dir, executor.ChainFile))
		if err != nil {
			return nil // no chain there, and nobody said that there is one
		}
		if !slices.ContainsFunc(known, func(k os.FileInfo) bool { return os.SameFile(k, info) }) {
			known = append(known, info)
			dead, err := c.state.deadRuns(a, dir)
			if err != nil {
				return err
			}
			out = append(out, history.Folder(dir, dead))
		}
		return nil
	}
	for _, dir := range c.dirs {
		if _, err := os.Stat(filepath.Join(dir, executor.ChainFile)); err != nil {
			return nil, hinted(fmt.Errorf("no chain of reports in %s: %w", dir, err), "name a folder that a run wrote to with --report-dir")
		}
	}
	dirs := slices.Clone(c.dirs)
	switch {
	case c.given():
	case c.state.shared():
		stored, err := c.state.chains(a)
		if err != nil {
			return nil, err
		}
		out = append(out, stored...)
	default:
		if dir, err := c.state.find(a); err == nil {
			dirs = append(dirs, executor.ReportsDir(dir))
		}
	}
	for _, file := range files {
		if file != "-" {
			dirs = append(dirs, filepath.Dir(file))
		}
	}
	for _, dir := range dirs {
		if err := add(dir); err != nil {
			return nil, err
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
	return hinted(fmt.Errorf("%s of reports is not whole: %s", clean.Count(len(broken), "chain"), strings.Join(broken, "; ")),
		`what is said above may lack runs; look with "privsync verify-reports DIR"`)
}

// chains returns the chains in the store.
func (s *stateFlags) chains(a *app) ([]history.Source, error) {
	store, err := s.postgres(a, pgstore.Reading)
	if err != nil {
		return nil, err
	}
	names, err := store.Chains(a.context())
	if err != nil {
		return nil, storeError(err)
	}
	out := make([]history.Source, len(names))
	for i, name := range names {
		out[i] = history.Source{
			Name: store.String(),
			Verify: func(ctx context.Context) (*executor.Chain, error) {
				chain, err := store.Verify(ctx, name)
				return chain, storeError(err)
			},
			Report: func(ctx context.Context, l executor.ChainLink) (*executor.Report, error) {
				var report *executor.Report
				doc, _, err := store.Find(ctx, l.Digest)
				if err == nil {
					report, err = doc.Read()
				}
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", store, l.File, storeError(err))
				}
				return report, nil
			},
		}
	}
	return out, nil
}

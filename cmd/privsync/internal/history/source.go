package history

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"privsync/executor"
)

// Source is one chain of reports: [Folder] of what --report-dir wrote, or one that a
// store keeps. All fields must be set.
type Source struct {
	Name string // for messages
	// Verify checks the chain. An error means that there is none.
	Verify func(ctx context.Context) (*executor.Chain, error)
	// Report reads a report that Verify found no problem with.
	Report func(ctx context.Context, l executor.ChainLink) (*executor.Report, error)
}

// Folder returns the chain in the folder dir. Dead are the ids of runs whose journals
// explain that their reports stand after the newest that the folder names; nil: none.
func Folder(dir string, dead map[string]bool) Source {
	return Source{
		Name: dir,
		Verify: func(context.Context) (*executor.Chain, error) {
			return executor.VerifyChain(dir, func(id string) bool { return dead[id] })
		},
		Report: func(_ context.Context, l executor.ChainLink) (*executor.Report, error) {
			path := filepath.Join(dir, l.File)
			report, err := executor.ReadReportFile(path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			return report, nil
		},
	}
}

// read gives add the sealed reports of the chain, the oldest first, and returns what was
// found: a chain with problems is not whole, and what its reports say may lack something.
// Reports that a problem names are left out.
func (s Source) read(ctx context.Context, add func(*executor.Report)) (Chain, error) {
	found, err := s.Verify(ctx)
	if err != nil {
		return Chain{}, err
	}
	chain := Chain{Name: s.Name, Pruned: found.Pruned}
	for _, l := range found.Links {
		if l.Problem != "" {
			chain.Problems = append(chain.Problems, strings.TrimPrefix(l.File+": "+l.Problem, ": "))
			continue
		}
		if ctx.Err() != nil {
			return chain, context.Cause(ctx)
		}
		report, err := s.Report(ctx, l)
		if err != nil {
			return chain, err
		}
		chain.Reports++
		add(report)
	}
	return chain, nil
}

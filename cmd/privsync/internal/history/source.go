package history

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"strings"

	"privsync/executor"
)

// Source yields the reports of one chain.
type Source interface {
	// Open checks the chain, and returns what it found: a chain with problems is not
	// whole, and what its reports say may lack something. An error means that there is
	// no chain.
	Open(ctx context.Context) (Chain, error)
	// Reports yields the sealed reports, the oldest first, as the chain has them; those
	// that a problem of the chain names are left out. An error ends it. Open comes first.
	Reports(ctx context.Context) iter.Seq2[*executor.Report, error]
}

// Folder is the chain of reports in a folder: what --report-dir wrote.
type Folder struct {
	Dir string
	// Dead are the ids of runs whose journals explain that their reports stand after the
	// newest that the folder names; nil: none.
	Dead map[string]bool

	files []string
}

// Open implements [Source].
func (f *Folder) Open(context.Context) (Chain, error) {
	found, err := executor.VerifyChain(f.Dir, func(id string) bool { return f.Dead[id] })
	if err != nil {
		return Chain{}, err
	}
	chain, sound := ChainOf(f.Dir, found)
	f.files = f.files[:0]
	for _, l := range sound {
		f.files = append(f.files, l.File)
	}
	return chain, nil
}

// ChainOf says what was found in a chain of that name, and returns the links that have no
// problem.
func ChainOf(name string, found *executor.Chain) (chain Chain, sound []executor.ChainLink) {
	chain = Chain{Name: name, Pruned: found.Pruned}
	for _, l := range found.Links {
		if l.Problem == "" {
			sound = append(sound, l)
			continue
		}
		chain.Problems = append(chain.Problems, strings.TrimPrefix(l.File+": "+l.Problem, ": "))
	}
	chain.Reports = len(sound)
	return chain, sound
}

// Reports implements [Source].
func (f *Folder) Reports(ctx context.Context) iter.Seq2[*executor.Report, error] {
	return func(yield func(*executor.Report, error) bool) {
		for _, name := range f.files {
			if err := ctx.Err(); err != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			path := filepath.Join(f.Dir, name)
			report, err := executor.ReadReportFile(path)
			if err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
			if !yield(report, err) || err != nil {
				return
			}
		}
	}
}

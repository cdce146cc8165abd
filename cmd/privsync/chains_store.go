package main

import (
	"context"
	"fmt"
	"iter"

	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
	"privsync/executor/pgstore"
)

// storedChain is one chain of reports in a store.
type storedChain struct {
	store *pgstore.Store
	name  string
	sound []executor.ChainLink
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
		out[i] = &storedChain{store: store, name: name}
	}
	return out, nil
}

// Open implements [history.Source].
func (c *storedChain) Open(ctx context.Context) (history.Chain, error) {
	found, err := c.store.Verify(ctx, c.name)
	if err != nil {
		return history.Chain{}, storeError(err)
	}
	chain, sound := history.ChainOf(c.store.String(), found)
	c.sound = sound
	return chain, nil
}

// Reports implements [history.Source].
func (c *storedChain) Reports(ctx context.Context) iter.Seq2[*executor.Report, error] {
	return func(yield func(*executor.Report, error) bool) {
		for _, l := range c.sound {
			report, err := c.read(ctx, l.Digest)
			if err != nil {
				err = fmt.Errorf("%s %s: %w", c.store, l.File, storeError(err))
			}
			if !yield(report, err) || err != nil {
				return
			}
		}
	}
}

func (c *storedChain) read(ctx context.Context, digest string) (*executor.Report, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	doc, _, err := c.store.Find(ctx, digest)
	if err != nil {
		return nil, err
	}
	r, err := doc.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return executor.ReadReport(r)
}

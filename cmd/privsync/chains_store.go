package main

import (
	"context"
	"fmt"

	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
	"privsync/executor/pgstore"
)

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

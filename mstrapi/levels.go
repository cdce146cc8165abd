package mstrapi

import (
	"context"
	"fmt"
)

// resolveLevels gives the privileges whose level their answer does not tell that
// of the catalogue, and leaves out those of another level than the one asked for.
// One that the catalogue does not have makes the answer incomplete: whether it
// belongs there nobody knows.
func (r *Reader) resolveLevels(ctx context.Context, held []Held, level Level) ([]Held, error) {
	if r.c.levels.Load() == nil {
		if _, err := r.Catalogue(ctx); err != nil {
			return nil, fmt.Errorf("levels that an answer does not tell: catalogue of privileges: %w", err)
		}
	}
	known := *r.c.levels.Load()
	kept := held[:0]
	for _, h := range held {
		if h.Level == "" {
			l, ok := known[h.ID]
			if !ok {
				return nil, incompletef("neither the answer nor the catalogue tells the level of privilege %d", h.ID)
			}
			h.Level = l
		}
		if level == LevelAll || h.Level == level {
			kept = append(kept, h)
		}
	}
	return kept, nil
}

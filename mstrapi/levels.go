package mstrapi

import (
	"context"
	"fmt"
	"sync"
)

// levels are the levels of the privileges by the catalogue, once it was read.
type levels struct {
	mu    sync.Mutex
	known map[PrivilegeID]Level
}

func (l *levels) keep(catalogue []Privilege) {
	known := make(map[PrivilegeID]Level, len(catalogue))
	for _, p := range catalogue {
		known[p.ID] = p.Level()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = known
}

func (l *levels) get() map[PrivilegeID]Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.known
}

// resolveLevels gives the privileges whose level their answer does not tell that
// of the catalogue, and leaves out those of another level than the one asked for.
// One that the catalogue does not have makes the answer incomplete: whether it
// belongs there nobody knows.
func (r *Reader) resolveLevels(ctx context.Context, held []Held, level Level) ([]Held, error) {
	known := r.c.levels.get()
	if known == nil {
		if _, err := r.Catalogue(ctx); err != nil {
			return nil, fmt.Errorf("levels that an answer does not tell: catalogue of privileges: %w", err)
		}
		known = r.c.levels.get()
	}
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

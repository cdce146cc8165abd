package main

import (
	"context"
	"fmt"
	"strings"

	"privsync/executor/pgstore"
)

// state looks at the store, if one is named.
func (d *doctor) state(ctx context.Context, state *stateFlags) {
	if !state.shared() {
		return
	}
	cfg, err := state.config(d.app)
	var store *pgstore.Store
	if err == nil {
		store, err = pgstore.Open(ctx, cfg, pgstore.Writing)
	}
	if err != nil {
		d.fail("store", storeError(err))
		return
	}
	defer store.Close()
	loose, err := store.Loose(ctx)
	switch {
	case err != nil:
		d.fail("store", storeError(err))
	case len(loose) > 0:
		d.warn("store", fmt.Sprintf("let runs use a role of their own: privsync state init --state URL --writer ROLE, and no owner or superuser (%s)", strings.Join(loose, ", ")),
			"%s, schema version %d; the role could change or remove reports and journals, so they prove nothing against it", store, pgstore.Version)
	default:
		d.ok("store", "%s, schema version %d; the role may add rows, and change or remove none", store, pgstore.Version)
	}
}

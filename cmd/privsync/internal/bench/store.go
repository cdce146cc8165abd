//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"privsync/executor/pgstore"
	"privsync/executor/pgstore/pgtest"
)

// measureStore applies 10,000 changes with the journal in PostgreSQL, whose files wait for
// the disk as they do by default, and with the journal in a folder: the wall time of the
// one against that of the other.
func measureStore(ctx context.Context, b *bench) error {
	db, err := pgtest.Start("fsync=on", "synchronous_commit=on", "autovacuum=on")
	if errors.Is(err, pgtest.ErrMissing) {
		fmt.Fprintln(b.log, "  left out:", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer db.Stop()
	if _, err := pgstore.Init(ctx, pgstore.Config{URL: db.URL("postgres", "postgres")}, nil); err != nil {
		return err
	}
	const concurrency = 32
	n := b.scale(10_000, 200)
	s := scene{Users: n + 1, Stray: n, Latency: 20 * time.Millisecond}
	sim, err := startSimulator(ctx, s)
	if err != nil {
		return err
	}
	defer sim.stop()
	path, err := b.file("store.yaml", s.listPolicy(withSets))
	if err != nil {
		return err
	}
	if _, err := b.privsync(ctx); err != nil {
		return err
	}
	apply := func(more ...string) (time.Duration, error) {
		u, err := b.launch(ctx, invocation{url: sim.url, args: b.applyArgs(concurrency, append([]string{"-f", path}, more...)...)})
		return u.wall, errors.Join(err, sim.restore())
	}
	// Whatever else the machine does makes a run longer, never shorter; and it does not
	// do it to one kind only when they take turns.
	var folder, store time.Duration
	for range b.scale(3, 1) {
		dir, err := os.MkdirTemp(b.dir, "state")
		if err != nil {
			return err
		}
		inFolder, err := apply("--state-dir", filepath.Join(dir, "state"))
		if err != nil {
			return err
		}
		inStore, err := apply("--state", db.URL("postgres", "postgres"))
		if err != nil {
			return err
		}
		if folder == 0 || inFolder < folder {
			folder = inFolder
		}
		if store == 0 || inStore < store {
			store = inStore
		}
	}
	b.atMost(fmt.Sprintf("apply, C = %d, store against folder, best of 3", n), float64(store)/float64(folder), "×", 1.10,
		fmt.Sprintf("%s with the store in PostgreSQL, %s with a folder", seconds(store), seconds(folder)))
	return nil
}

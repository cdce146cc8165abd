package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"privsync/clean"
	"privsync/executor"
	"privsync/executor/pgstore"
	"privsync/mstrapi"
)

// endOf returns the moment that --at means: a time, or the end of a day in UTC, which for
// the present day is now.
func endOf(text string, now time.Time) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		end := day.AddDate(0, 0, 1).Add(-time.Millisecond)
		if end.After(now) && !day.After(now) {
			return now, nil
		}
		return end, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, hinted(fmt.Errorf("--at: %s is neither a date nor a time", clean.Quote(text)), "write it like 2026-03-03, which means the end of that day in UTC, or like 2026-03-03T12:00:00Z")
	}
	return at, nil
}

// whoAt says who held the privileges at a time, from the reports in the store.
func (a *app) whoAt(ctx context.Context, state *stateFlags, privileges []string, text, url, format string) error {
	at, err := endOf(text, a.now())
	if err != nil {
		return err
	}
	if at.After(a.now()) {
		return hinted(fmt.Errorf("--at: %s is yet to come", at.UTC().Format(time.RFC3339)), "without --at the server is asked for the present")
	}
	if !state.shared() {
		return hinted(errors.New("who --at reads the reports of a store, and none is named"), "name it with --state or PRIVSYNC_STATE; what one principal held tells privsync history, from a folder, too")
	}
	if url != "" {
		if url, err = mstrapi.BaseURL(url); err != nil {
			return err
		}
	}
	store, err := state.look(a)
	if err != nil {
		return err
	}
	database, ok := store.(*pgstore.Store)
	if !ok {
		return errors.New("this store has no history")
	}
	doc, err := await(a, func() (*executor.HeldAt, error) { return database.HeldAt(ctx, privileges, at, url) })
	if err != nil {
		return storeError(err)
	}
	doc.Tool = toolRef()
	return a.writeAnswer(doc, format)
}

package main

import (
	"context"
	"errors"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
)

// lockHolder says to others who holds a lock.
func (a *app) lockHolder(start time.Time) executor.Holder {
	h := executor.ThisProcess()
	h.RunID, h.Started = a.runID, start
	return h
}

// serverOf says which server cfg names, at r's normalised URL.
func serverOf(ctx context.Context, cfg mstrapi.Config, r *mstrapi.Reader) executor.Target {
	return executor.Target{URL: r.URL(), Addresses: mstrapi.Addresses(ctx, cfg)}
}

// sameServer returns a function that says of a URL, as journals and reports have
// them, whether it means server. It looks each up once, and is for one goroutine.
func sameServer(ctx context.Context, server executor.Target) func(url string) bool {
	known := map[string]bool{server.URL: true}
	return func(url string) bool {
		is, ok := known[url]
		if !ok {
			is = server.Is(executor.Target{URL: url, Addresses: mstrapi.Addresses(ctx, mstrapi.Config{URL: url, AllowHTTP: true})})
			known[url] = is
		}
		return is
	}
}

// releaseLock gives the lock back; the end of the process would as well.
func (a *app) releaseLock(l executor.Lock) {
	if err := l.Release(); err != nil {
		a.log.Warn("lock not released", "error", err)
	}
}

// lockError adds what to do when another run holds the lock.
func lockError(err error) error {
	err = storeError(err)
	var locked *executor.LockedError
	if errors.As(err, &locked) {
		hint := "wait for that run to end, or let this one wait with --lock-timeout"
		if locked.Holder.Server != "" && locked.Holder.Server != locked.URL {
			hint += "; if one proxy serves two servers at that address, give each its own --state-dir, or --schema of a store"
		}
		return hinted(err, hint)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"privsync/executor"
	"privsync/mstrapi"
)

// serverLockFlag says whether a run takes the server's own lock.
type serverLockFlag struct {
	on  bool
	cmd *cobra.Command
}

func (f *serverLockFlag) register(cmd *cobra.Command, beats string) {
	f.cmd = cmd
	cmd.Flags().BoolVar(&f.on, "server-lock", false, "take the server's own lock before the first change as well, against runs on other machines"+beats)
}

// wanted reports whether the lock is to be taken: the flag beats what the policy says.
func (f *serverLockFlag) wanted(byPolicy bool) bool {
	if f.cmd != nil && f.cmd.Flags().Changed("server-lock") {
		return f.on
	}
	return f.on || byPolicy
}

// takeServerLock takes the server's lock for all changes of w, and waits until the
// time for somebody else's. ended tells of runs whose lock may be removed.
func (a *app) takeServerLock(ctx context.Context, w *mstrapi.Writer, ended func(runID string) bool, until time.Time, patience time.Duration) (*executor.ServerLock, error) {
	o := executor.ServerLockOptions{
		Run: executor.LockRun{RunID: a.runID, PID: os.Getpid()}, Until: until, Patience: patience,
		Ended: ended, Tell: a.notice,
	}
	o.Run.Host, _ = os.Hostname() // unknown is better than no lock
	who, err := sessionUser(ctx, w.Reader)
	if err != nil {
		return nil, err
	}
	o.Account = who.ID
	lock, err := executor.TakeServerLock(ctx, w, o)
	if err != nil {
		return nil, serverLockError(err)
	}
	a.log.Debug("server lock taken")
	return lock, nil
}

// releaseServerLock gives the server's lock back, also after an interrupt.
func (a *app) releaseServerLock(ctx context.Context, l *executor.ServerLock) {
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logoutTime)
	defer cancel()
	switch err := l.Release(ctx); {
	case errors.Is(err, mstrapi.ErrLockLost):
		a.log.Warn("somebody took the server's lock away from this run: others may have changed the same at the same time", "error", err)
	case err != nil:
		a.log.Warn("the server's lock was not given back; it vanishes with the session", "error", err)
	}
}

// serverLockError adds what to do when the server's lock cannot be had.
func serverLockError(err error) error {
	var other *executor.ServerLockError
	switch {
	case errors.As(err, &other):
		hint := "nothing was written: wait for its holder, or let this run wait with --lock-timeout"
		if run, ok := executor.ParseLockID(other.Held.ID); ok {
			hint += fmt.Sprintf("; it names privsync's run %s, process %d on %s: if that one died, its session and the lock end by themselves when idle, and \"privsync recover\" there removes the lock at once", run.RunID, run.PID, run.Host)
		}
		return hinted(err, hint+`; "privsync unlock" shows it`)
	case errors.Is(err, executor.ErrNoServerLock):
		return hinted(err, "nothing was written: have the account get the right to lock the configuration, or run without --server-lock and safety.serverLock and see to it otherwise that one machine works on this server at a time")
	}
	return err
}

// endedRuns tells which runs on the server have surely ended: those whose journal in
// the store is closed, those just recovered, and those whose process died with the
// store's lock. The caller holds that lock.
func (a *app) endedRuns(ctx context.Context, store executor.Store, lock executor.Lock, recovered []*executor.Report) func(string) bool {
	return func(id string) bool {
		ended, err := store.Ended(ctx, id)
		if err != nil {
			a.log.Warn("it is not known whether the run that left the server's lock has ended", "run", id, "error", err)
		}
		return ended || slices.ContainsFunc(recovered, func(r *executor.Report) bool { return r.Run.ID == id }) ||
			slices.ContainsFunc(lock.Left(), func(h executor.Holder) bool { return h.ServerLock && h.RunID == id })
	}
}

// removeLeftLock removes the server's lock by its id if it is what a run left that has
// ended. What does not succeed is a warning: the lock goes with its session. Expected says
// that such a run is known; otherwise a lock that cannot be looked at is no matter.
func (a *app) removeLeftLock(ctx context.Context, r *mstrapi.Reader, ended func(runID string) bool, until time.Time, expected bool) error {
	who, err := sessionUser(ctx, r)
	if err != nil {
		return err
	}
	left, gone, err := executor.RemoveLeftLock(ctx, r, ended, who.ID, until)
	switch {
	case gone:
		a.notice("removed the server's lock of a run that has ended: " + executor.DescribeLock(*left))
	case left != nil && ctx.Err() == nil:
		a.log.Warn("the server's lock of a run that has ended is still there; it vanishes with that run's session", "lock", executor.DescribeLock(*left), "error", err)
	case err != nil && expected && ctx.Err() == nil:
		a.log.Warn("the server's lock of a run that has ended was not looked at", "error", err)
	}
	return ctx.Err()
}

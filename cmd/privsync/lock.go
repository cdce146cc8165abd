package main

import (
	"errors"
	"os"
	"os/user"
	"time"

	"privsync/executor"
)

// lockHolder says to others who holds a lock.
func (a *app) lockHolder(start time.Time) executor.Holder {
	h := executor.Holder{PID: os.Getpid(), RunID: a.runID, Started: start}
	h.Host, _ = os.Hostname() // unknown is better than no lock
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	return h
}

// releaseLock gives the lock back; the end of the process would as well.
func (a *app) releaseLock(l *executor.Lock) {
	if err := l.Release(); err != nil {
		a.log.Warn("lock not released", "error", err)
	}
}

// lockError adds what to do when another run holds the lock.
func lockError(err error) error {
	var locked *executor.LockedError
	if errors.As(err, &locked) {
		return hinted(err, "wait for that run to end, or let this one wait with --lock-timeout")
	}
	return err
}

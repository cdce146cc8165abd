package mstrapi

import (
	"context"
	"errors"
	"time"
)

// ErrStopped is matched by the error of a write that was not sent because the run
// that asked for it was stopped, see [WithStop].
var ErrStopped = errors.New("the run was stopped before this was sent")

// stopGrace is the longest wait that a server may ask of a read after the run was
// stopped: what was written is still to be read back.
const stopGrace = 2 * time.Second

type stopKey struct{}

// WithStop returns a context for the requests of a run that finishes what is in
// flight when stop is done, which may be long before ctx is. A write that waits then,
// for its turn, for a session, or because the server asked it to, is not sent any
// more: its error matches [ErrStopped]. A read goes on, but waits for no more than the
// time that one attempt may take. The server is not granted a wait that goes
// beyond stop's deadline.
func WithStop(ctx, stop context.Context) context.Context {
	return context.WithValue(ctx, stopKey{}, stop)
}

// stopOf returns the stop of a context that [WithStop] returned, or nil.
func stopOf(ctx context.Context) context.Context {
	stop, _ := ctx.Value(stopKey{}).(context.Context)
	return stop
}

// pauses returns the context for the waits of a request of the class: it ends with
// ctx, or when the run that asks for it was stopped. The caller calls the function
// when the waits are over.
func (c *client) pauses(ctx context.Context, class requestClass) (context.Context, func()) {
	stop := stopOf(ctx)
	if stop == nil {
		return ctx, func() {}
	}
	waiting, cancel := context.WithCancelCause(ctx)
	off := context.AfterFunc(stop, func() {
		if class != writeRequest && Sleep(waiting, c.cfg.Timeout) != nil {
			return
		}
		cancel(ErrStopped)
	})
	return waiting, func() {
		off()
		cancel(nil)
	}
}

// leftOfRun returns how long a request of the class may be told to wait, at most most.
func leftOfRun(ctx context.Context, class requestClass, most time.Duration) time.Duration {
	stop := stopOf(ctx)
	if stop == nil {
		return most
	}
	left := most
	if deadline, ok := stop.Deadline(); ok {
		left = min(left, time.Until(deadline))
	}
	if stop.Err() != nil {
		left = 0
	}
	if class != writeRequest {
		left = max(left, stopGrace)
	}
	return max(0, min(left, most))
}

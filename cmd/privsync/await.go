package main

import (
	"context"
	"errors"

	"privsync/panics"
)

// await returns what f returns, or an error as soon as the command has to end: what
// f reads may be a pipe into which nobody ever writes, or a lot of work. Then f goes
// on until the process ends, so it must not be a thing to finish.
func await[T any](a *app, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ctx := a.reading
	if ctx == nil && a.interrupts != nil {
		ctx = a.interrupts.soft
	}
	if ctx == nil {
		ctx = context.Background()
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = panics.Catch(func() (err error) {
			r.value, err = f()
			return err
		})
		done <- r
	}()
	var none T
	select {
	case r := <-done:
		if ctx.Err() == nil {
			return r.value, r.err
		}
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return none, hinted(errors.New("the deadline was over before everything was read"), "raise --deadline")
	}
	return none, errInterrupted
}

// awaitDone is [await] for work that has no result but its error.
func (a *app) awaitDone(f func() error) error {
	_, err := await(a, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// within limits the reading of files, and what runs with the context that it
// returns, to d; 0 means no limit. The caller calls the function when it has ended.
func (a *app) within(ctx context.Context, d span) (context.Context, context.CancelFunc) {
	if d.value <= 0 {
		return ctx, func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, d.value)
	a.reading = ctx
	return ctx, cancel
}

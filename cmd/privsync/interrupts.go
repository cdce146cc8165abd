package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"privsync/panics"
)

// interrupts turns SIGINT, SIGTERM and SIGHUP into two contexts. The first signal
// ends soft: start nothing new. The second ends hard, which is never done before soft:
// stop now. A third one kills the process, as without privsync. A SIGHUP is only ever
// the first: a terminal that closes sends more than one, and nobody is impatient.
type interrupts struct {
	soft    context.Context
	hard    context.Context
	release func()
}

// catchInterrupts starts to watch for signals; release ends that.
func catchInterrupts(ctx context.Context, a *app) *interrupts {
	hard, cancelHard := context.WithCancel(ctx)
	soft, cancelSoft := context.WithCancel(hard)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	hangups := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) { // nohup says to go on
		signal.Notify(hangups, syscall.SIGHUP)
	}
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-done:
			return
		case <-signals:
		case <-hangups:
		}
		// What cannot be told stops the run all the same.
		a.noteDefect(panics.Catch(func() error {
			a.notice("interrupted: finishing what is in flight; interrupt again to stop now")
			return nil
		}))
		cancelSoft()
		select {
		case <-done:
			return
		case <-signals:
		}
		a.noteDefect(panics.Catch(func() error { a.notice("interrupted again: stopping now"); return nil }))
		signal.Stop(signals)
		cancelHard()
	}()
	return &interrupts{soft: soft, hard: hard, release: func() {
		signal.Stop(signals)
		signal.Stop(hangups)
		close(done)
		<-finished
		cancelSoft()
		cancelHard()
	}}
}

// errOverdue says that the deadline ended a run before it had read everything.
var errOverdue = errors.New("the deadline was over before everything was read")

// await returns what f returns, or an error as soon as the command has to end: what
// f reads may be a pipe into which nobody ever writes, or a lot of work. Then f goes
// on until the process ends, so it must not be a thing to finish.
func await[T any](a *app, f func() (T, error)) (T, error) {
	ctx := a.reading
	if ctx == nil && a.interrupts != nil {
		ctx = a.interrupts.soft
	}
	if ctx == nil {
		ctx = context.Background()
	}
	return awaitIn(ctx, f)
}

// awaitIn is [await] until ctx is done.
func awaitIn[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
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
		return none, hinted(errOverdue, "raise --deadline")
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

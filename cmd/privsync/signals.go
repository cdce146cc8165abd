package main

import (
	"context"
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

// Package panics turns a panic into an error, so that a defect in one worker ends
// the program as any other error does: with its exit code, its report and its
// metrics. The runtime's own ending of a panic is exit code 2, which scripts take
// for drift.
//
// It knows nothing of the program; errors of the runtime that nothing can catch
// (a stack that overflows, no memory) are not its business.
package panics

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Error is a panic that was caught. Its text never holds the value: that may be
// anything, a secret too.
type Error struct {
	// Value is what was given to panic.
	Value any
	// Stack is where, as [debug.Stack] prints it.
	Stack []byte
}

// Error asks for a report.
func (e *Error) Error() string {
	return "internal error: this is a defect of privsync, please report it (--log-level debug shows where it is)"
}

// Catch calls f and returns its error, or an [Error] if it panics. An Error that
// is panicked with, as [Again] does, is returned as it is.
func Catch(f func() error) (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		var e *Error
		if again, ok := r.(error); ok && errors.As(again, &e) {
			err = e
			return
		}
		err = &Error{Value: r, Stack: debug.Stack()}
	}()
	return f()
}

// Group starts functions in goroutines of their own; golang.org/x/sync's
// errgroup.Group is one.
type Group interface{ Go(f func() error) }

// Go has g call f. A panic of f is f's error.
func Go(g Group, f func() error) { g.Go(func() error { return Catch(f) }) }

// Again panics with err if it is or wraps an [Error], for those who wait for
// workers that return no other errors.
func Again(err error) {
	var e *Error
	if errors.As(err, &e) {
		panic(e)
	}
}

// Details returns the value and the place of the panic in err, one text that may
// hold anything; false if err is none.
func Details(err error) (text string, ok bool) {
	var e *Error
	if !errors.As(err, &e) {
		return "", false
	}
	return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack), true
}

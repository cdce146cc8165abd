package main

import (
	"runtime/debug"

	"privsync/panics"
)

// neverExitLikeDrift sees to it that what no recover can catch (memory that ends, a
// stack that overflows, a panic in a goroutine of a library) does not end the
// process as the runtime does, with the exit code that means drift: the process
// dies of SIGABRT. It leaves no core: the password is in the memory.
func neverExitLikeDrift() {
	forbidCore()
	debug.SetTraceback("crash")
}

// noteDefect keeps the panic that err carries, for those whose work nobody waits for:
// the run goes on and ends as an error. It reports whether err carries one.
func (a *app) noteDefect(err error) bool {
	if _, ok := panics.Details(err); !ok {
		return false
	}
	a.defect.CompareAndSwap(nil, &err)
	return true
}

// tellDefect logs where a panic that err carries came from, for --log-level debug.
func (a *app) tellDefect(err error) {
	if details, ok := panics.Details(err); ok {
		a.log.Debug("internal error", "details", details)
	}
}

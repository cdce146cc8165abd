// Command privsync keeps the privileges of users and groups on a MicroStrategy
// Intelligence Server as a YAML policy describes them.
//
// This package is thin: it resolves flags, variables and the policy's own
// environment section into one configuration (flags.go, connect.go), calls the
// packages that do the work, chooses where their results go, and maps every
// ending to one exit code (exit.go). Each command stands in a file of its name.
//
// It decides nothing about privileges: that is the work of [privsync/planner];
// and it writes nothing to a server: that is the work of [privsync/executor].
package main

import (
	"context"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"privsync/panics"
)

// version is set by the linker (-X main.version=…); empty in a plain go build,
// where the build information of the binary is used instead.
var version string

func main() {
	// net/http tells what a server sends unasked through the standard logger, as
	// plain text, whatever --log-format says.
	log.SetOutput(io.Discard)
	neverExitLikeDrift()
	// Otherwise a write to a pipe that nobody reads any more kills the process, in
	// the middle of an apply; see keptOn.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

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

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
	"syscall"
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

//go:build unix

package main

import "syscall"

// forbidCore keeps the kernel from writing the memory of a process that dies into
// a file. A limit of one byte also holds for a core that goes into a pipe, for
// which 0 is no limit.
func forbidCore() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: 1, Max: 1}) // a container may forbid it
}

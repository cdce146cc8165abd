//go:build !linux

// Command bench measures privsync; it needs Linux, whose /proc says how much
// memory a process took.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: needs Linux")
	os.Exit(1)
}

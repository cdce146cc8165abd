//go:build !linux

package executor

// mountedReadOnly is not known here.
func mountedReadOnly(string) bool { return false }

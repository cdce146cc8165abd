package executor

import "syscall"

// mountedReadOnly reports whether nobody can write what is at path because of how its
// file system is mounted here.
func mountedReadOnly(path string) bool {
	const readOnly = 1 // ST_RDONLY of statfs(2)
	var s syscall.Statfs_t
	return syscall.Statfs(path, &s) == nil && s.Flags&readOnly != 0
}

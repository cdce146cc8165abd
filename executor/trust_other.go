//go:build !unix

package executor

import "io/fs"

// noFollow is nothing: a link is found by looking at the file first.
const noFollow = 0

// untrusted knows of no owner where the system has none of Unix's kind.
func untrusted(fs.FileInfo, bool) string { return "" }

func othersHave(fs.FileInfo, fs.FileMode) bool { return false }

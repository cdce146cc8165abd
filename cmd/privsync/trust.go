package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"privsync/executor"
	"privsync/policy"
)

// trusted returns nil if err is nil, or if it says that others may have written
// what steers this run and --insecure-permissions says to go on all the same; then
// that is a warning.
func (a *app) trusted(err error) error {
	var untrusted *executor.UntrustedError
	if !errors.As(err, &untrusted) {
		return err
	}
	if a.insecurePermissions {
		a.warnUntrusted(untrusted)
		return nil
	}
	return hinted(err, "find out who changed it and what is in it, then chown and chmod it so that only you (or root) can write it; --insecure-permissions goes on as it is")
}

// warnUntrusted warns once in a run of each path that others can write.
func (a *app) warnUntrusted(e *executor.UntrustedError) {
	if a.warnedOf[e.Path] {
		return
	}
	if a.warnedOf == nil {
		a.warnedOf = make(map[string]bool)
	}
	a.warnedOf[e.Path] = true
	a.log.Warn("others than you and root decide what this run does", "path", e.Path, "why", e.Why)
}

// warnPath warns if others can write the file or folder at path, as check tells.
func (a *app) warnPath(path string, check func(string) error) {
	var untrusted *executor.UntrustedError
	if errors.As(check(path), &untrusted) {
		a.warnUntrusted(untrusted)
	}
}

// warnPolicy warns of files and folders of a policy that others can write: it is
// about to be applied without a question.
func (a *app) warnPolicy(named []string, files []policy.File) {
	for _, path := range named {
		if path != "-" {
			a.warnPath(path, executor.CheckPolicy)
		}
	}
	for _, f := range files {
		if f.Path != "-" {
			a.warnPath(f.Path, executor.CheckPolicy)
		}
	}
}

// trustedFile judges an open file that holds a secret: an error if others may have
// written it, a warning if they can read it.
func (a *app) trustedFile(f *os.File) error {
	if err := a.trusted(executor.CheckTrustedFile(f)); err != nil {
		return err
	}
	a.warnReadable(f)
	return nil
}

// warnReadable warns if others can read an open file that holds a secret.
func (a *app) warnReadable(f *os.File) {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && executor.OthersCanRead(info) {
		a.log.Warn("secret file can be read by others than its owner", "file", f.Name(), "mode", info.Mode().Perm().String(), "do", "chmod 600")
	}
}

// checkState judges the state folder. It must be asked before anything in it is
// believed.
func (a *app) checkState(dir string) error {
	return a.trusted(executor.CheckState(dir))
}

// warnReportFolder warns if others can write into the folder of reports dir, or above
// it where it is not there yet.
func (a *app) warnReportFolder(dir string) {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
			continue
		}
		a.warnPath(at, executor.CheckTrusted)
		return
	}
}

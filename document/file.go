package document

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// WriteFile writes doc to path, whole or not at all: into a new file in the same
// folder, mode 0600, which takes the place of path when everything is on disk.
// Whatever goes wrong (a full disk, a crash) path stays as it was and no
// half-written file is left under its name.
//
// A symbolic link at path, or anything else that is not a plain file, is refused:
// it is neither followed nor replaced.
func WriteFile(path string, doc io.WriterTo) error { return WriteFileMode(path, doc, 0o600) }

// WriteFileMode is [WriteFile] for a file that others may use: mode is given to
// the new file before it has a name that anybody else knows, never to whatever is
// called path.
func WriteFileMode(path string, doc io.WriterTo, mode fs.FileMode) (err error) {
	f, err := createBeside(path)
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() {
		if err != nil {
			// Nothing more can be done for a file that cannot be closed or removed.
			_ = f.Close()
			_ = os.Remove(temp)
			err = fmt.Errorf("write file %s: %w", path, err)
		}
	}()
	if _, err := doc.WriteTo(f); err != nil {
		return err
	}
	if mode != 0o600 {
		if err := f.Chmod(mode); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// CheckFile returns the error that [WriteFile] would begin with: something is in
// the way, or the folder is not there or takes no file. It leaves nothing behind.
// Ask before work whose result must not be lost.
func CheckFile(path string) error {
	f, err := createBeside(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// createBeside makes the new file that is to take the place of path.
func createBeside(path string) (*os.File, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("write file: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("write file %s: there is a symbolic link, which is not followed; remove it or name another file", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("write file %s: there is something that is not a plain file", path)
	}
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp-"+rand.Text())
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write file: %w", err)
	}
	return f, nil
}

// SyncDir makes a rename in the folder dir durable. Windows has nothing of the kind.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

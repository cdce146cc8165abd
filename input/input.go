// Package input opens the files that the program is told to read. It knows what may
// be read at all; how much of it each reader says.
package input

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrKind says that something is neither a plain file nor a pipe: a device may have
// no end, and opening it may do something.
var ErrKind = errors.New("it is neither a plain file nor a pipe")

// Check returns [ErrKind] unless info is that of a plain file or a pipe.
func Check(info fs.FileInfo) error {
	if m := info.Mode(); m.IsRegular() || m&fs.ModeNamedPipe != 0 {
		return nil
	}
	return ErrKind
}

// Open opens the plain file or the pipe at path. It follows links: who names a path
// means what is there. A pipe is waited for until somebody writes into it.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := Check(info); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	// What has the name now may be another thing than what was looked at.
	if info, err = f.Stat(); err == nil {
		err = Check(info)
	}
	if err != nil {
		_ = f.Close()
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// Read returns what stands in the file at path, which [Open] opens, if that is not
// more than most bytes.
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it is larger than %d bytes", most)}
	}
	return data, nil
}

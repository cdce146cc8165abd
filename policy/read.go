package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"privsync/input"
)

// source reads the files of one policy.
type source struct {
	folders []string
	stdin   io.Reader
	left    int64 // bytes that may still be read
}

// folders returns those of paths that are folders.
func folders(paths []string) []string {
	var found []string
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			found = append(found, path)
		}
	}
	return found
}

// read returns what stands in a file. It refuses one that is too large before it
// is read whole, and a device, which may have no end.
func (in *source) read(path string) ([]byte, error) {
	if path == "-" {
		stdin := in.stdin
		if stdin == nil {
			stdin = os.Stdin
		}
		return in.take(stdin, 0)
	}
	f, err := in.open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := input.Check(info); err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Size() > in.left {
		return nil, in.tooLarge()
	}
	return in.take(f, info.Size())
}

// open opens a file. Of a folder that was given as a whole a link is followed only
// to what the folder holds itself: who may put a link there need not be one who may
// read what it points to, and messages quote what was read.
func (in *source) open(path string) (*os.File, error) {
	for _, folder := range in.folders {
		below, err := filepath.Rel(folder, path)
		if err != nil || below == ".." || strings.HasPrefix(below, ".."+string(filepath.Separator)) {
			continue
		}
		root, err := os.OpenRoot(folder)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		info, err := root.Stat(below)
		if err == nil {
			err = input.Check(info) // before it is opened: opening a device may do something
		}
		if err == nil {
			var f *os.File
			if f, err = root.Open(below); err == nil {
				return f, nil
			}
		}
		var inside *fs.PathError
		if _, e := os.Stat(path); e == nil && errors.As(err, &inside) && !errors.Is(err, fs.ErrPermission) {
			return nil, errors.New("it is a link that leads out of the folder, and is not followed: give the file itself with -f")
		}
		return nil, err
	}
	return input.Open(path)
}

func (in *source) tooLarge() error {
	return fmt.Errorf("the policy is larger than %d MiB", MaxSize>>20)
}

// take reads r, of about size bytes, to its end.
func (in *source) take(r io.Reader, size int64) ([]byte, error) {
	data := make([]byte, 0, size+512)
	limited := io.LimitReader(r, in.left+1)
	for {
		n, err := limited.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > in.left:
			return nil, in.tooLarge()
		case errors.Is(err, io.EOF):
			in.left -= int64(len(data))
			return data, nil
		case err != nil:
			return nil, err
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaxFileSize is how large a policy file may be, in bytes.
const MaxFileSize = 64 << 20

// Options say how to load a policy. The zero value is ready to use.
type Options struct {
	// EnvName selects the overlay of that name; empty selects none.
	EnvName string
	// Stdin is read where a path is "-"; nil means os.Stdin.
	Stdin io.Reader
}

// Load reads the files and folders, which make one policy together, and
// validates it. Of a folder it reads *.yaml and *.yml, sorted by name, without
// subfolders. The path "-" is the standard input, called <stdin>.
//
// An error is a [Problems] that holds everything that is wrong, files that
// cannot be read included.
func Load(paths []string, o Options) (*Policy, error) {
	out := &collector{}
	files := expand(paths, out)
	var docs []*document
	if out.count() > 0 {
		docs = append(docs, unread())
	}
	for _, path := range files {
		data, err := readFile(path, o.Stdin)
		if err != nil {
			out.add(Position{File: displayName(path)}, "", reason(err))
			docs = append(docs, unread())
			continue
		}
		docs = append(docs, parseFile(displayName(path), data, out))
	}
	p := assemble(docs, o.EnvName, out)
	if err := out.error(); err != nil {
		return nil, err
	}
	return p, nil
}

// Parse validates a policy of one file, whose name appears in positions. An
// error is a [Problems].
func Parse(name string, data []byte) (*Policy, error) {
	out := &collector{}
	p := assemble([]*document{parseFile(name, data, out)}, "", out)
	if err := out.error(); err != nil {
		return nil, err
	}
	return p, nil
}

// displayName is what a path is called in positions and in [Policy.Files].
func displayName(path string) string {
	if path == "-" {
		return "<stdin>"
	}
	return path
}

func parseFile(name string, data []byte, out *collector) *document {
	sum := sha256.Sum256(data)
	d := newParser(name, out).parse(data)
	d.file = File{name, "sha256:" + hex.EncodeToString(sum[:])}
	return d
}

// expand replaces folders by their files and reports what is given twice.
func expand(paths []string, out *collector) []string {
	var files []string
	var known []fs.FileInfo
	stdin := false
	add := func(path string, info fs.FileInfo) {
		for _, other := range known {
			if info.Mode().IsRegular() && os.SameFile(info, other) {
				out.add(Position{File: path}, "", "the file is given twice")
				return
			}
		}
		known = append(known, info)
		files = append(files, path)
	}
	if len(paths) == 0 {
		out.add(Position{File: "policy"}, "", "no file is given")
	}
	for _, path := range paths {
		if path == "-" {
			if stdin {
				out.add(Position{File: "<stdin>"}, "", "the standard input is given twice")
				continue
			}
			stdin = true
			files = append(files, path)
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			out.add(Position{File: path}, "", reason(err))
			continue
		}
		if !info.IsDir() {
			add(path, info)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			out.add(Position{File: path}, "", reason(err))
			continue
		}
		found := false
		for _, e := range entries {
			ext := filepath.Ext(e.Name())
			if ext != ".yaml" && ext != ".yml" || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			file := filepath.Join(path, e.Name())
			info, err := os.Stat(file)
			if err != nil {
				out.add(Position{File: file}, "", reason(err))
				found = true
				continue
			}
			if info.IsDir() {
				continue
			}
			found = true
			add(file, info)
		}
		if !found {
			out.add(Position{File: path}, "", "the folder holds no *.yaml and no *.yml file")
		}
	}
	return files
}

// reason is an error without the path, which the position names already.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

// readFile refuses a file that is too large before it is read whole.
func readFile(path string, stdin io.Reader) ([]byte, error) {
	tooLarge := fmt.Errorf("the file is larger than %d MiB", MaxFileSize>>20)
	if path == "-" {
		if stdin == nil {
			stdin = os.Stdin
		}
		return readAll(stdin, 0, tooLarge)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxFileSize {
		return nil, tooLarge
	}
	return readAll(f, info.Size(), tooLarge)
}

func readAll(r io.Reader, size int64, tooLarge error) ([]byte, error) {
	data := make([]byte, 0, size+512)
	limited := io.LimitReader(r, MaxFileSize+1)
	for {
		n, err := limited.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case len(data) > MaxFileSize:
			return nil, tooLarge
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, err
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

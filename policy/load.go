package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// MaxSize is how large a policy may be, all its files together, in bytes.
const MaxSize = 64 << 20

// Options say how to load a policy. The zero value is ready to use.
type Options struct {
	// EnvName selects the overlay of that name; empty selects none.
	EnvName string
	// Stdin is read where a path is "-"; nil means os.Stdin.
	Stdin io.Reader
}

// Load reads the files and folders, which make one policy together, and
// validates it. Of a folder and the folders below it reads *.yaml and *.yml, whatever
// their case, sorted by path; what it passes over is among the policy's Warnings. The
// path "-" is the standard input, called <stdin>.
//
// An error is a [Problems] that holds everything that is wrong, files that
// cannot be read included.
func Load(paths []string, o Options) (*Policy, error) {
	out := &collector{}
	warned := &collector{}
	files := expand(paths, out, warned)
	var docs []*document
	if out.count() > 0 {
		docs = append(docs, unread())
	}
	in := &source{folders: folders(paths), stdin: o.Stdin, left: MaxSize}
	account := newAccount()
	for _, path := range files {
		data, err := in.read(path)
		if err != nil {
			out.add(Position{File: displayName(path)}, "", reason(err))
			docs = append(docs, unread())
			continue
		}
		docs = append(docs, parseFile(displayName(path), data, account, out))
	}
	p := assemble(docs, o.EnvName, out, warned)
	if err := out.error(); err != nil {
		return nil, err
	}
	return p, nil
}

// Parse validates a policy of one file, whose name appears in positions. An
// error is a [Problems].
func Parse(name string, data []byte) (*Policy, error) {
	out := &collector{}
	p := assemble([]*document{parseFile(name, data, newAccount(), out)}, "", out, &collector{})
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

// parseFile reads one file; account is that of all of them.
func parseFile(name string, data []byte, account *account, out *collector) *document {
	sum := sha256.Sum256(data)
	p := newParser(name, out)
	p.account = account
	before := account.values
	d := p.parse(data)
	d.values = before - account.values
	d.warned = p.warned
	d.file = File{name, "sha256:" + hex.EncodeToString(sum[:])}
	return d
}

// Files returns the files that [Load] reads for the paths, as far as they can be
// found.
func Files(paths []string) []string { return expand(paths, &collector{}, &collector{}) }

// expand replaces folders by their files and reports what is given twice, and in
// warned what folders hold besides.
func expand(paths []string, out, warned *collector) []string {
	if len(paths) == 0 {
		out.add(Position{File: "policy"}, "", "no file is given")
	}
	l := fileList{out: out, warned: warned}
	for _, path := range paths {
		l.take(path)
	}
	return l.files
}

// fileList is what paths stand for.
type fileList struct {
	out, warned *collector
	files       []string
	known       []fs.FileInfo
	stdin       bool
}

// take adds what a path stands for.
func (l *fileList) take(path string) {
	if path == "-" {
		if l.stdin {
			l.out.add(Position{File: "<stdin>"}, "", "the standard input is given twice")
			return
		}
		l.stdin, l.files = true, append(l.files, path)
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.out.add(Position{File: path}, "", reason(err))
	case info.IsDir():
		for _, f := range readFolder(path, l.out, l.warned) {
			l.add(f.path, f.info)
		}
	default:
		l.add(path, info)
	}
}

// add adds a file, once.
func (l *fileList) add(path string, info fs.FileInfo) {
	if info.Mode().IsRegular() && slices.ContainsFunc(l.known, func(other fs.FileInfo) bool { return os.SameFile(info, other) }) {
		l.out.add(Position{File: path}, "", "the file is given twice")
		return
	}
	l.known, l.files = append(l.known, info), append(l.files, path)
}

// reason is an error without the path, which the position names already.
func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error()
	}
	return err.Error()
}

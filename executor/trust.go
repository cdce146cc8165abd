package executor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// UntrustedError says that somebody else than the user and root may have put a
// file or a folder where it is, or may change it.
type UntrustedError struct {
	Path string
	Why  string // "belongs to user 1001", "can be written by everybody"
}

// Error names the path and the reason.
func (e *UntrustedError) Error() string { return fmt.Sprintf("%s %s", e.Path, e.Why) }

// CheckTrusted returns an [*UntrustedError] unless the file or folder at path, and
// all above it, belong to the user or to root and nobody else can write them, as
// ssh demands it of its own files. Writable by a group that has no other member
// is fine, and so is a folder above that others may only add to (the sticky bit, as
// /tmp has it). Every link on the way is judged where it lies and where it leads.
// Another error says that path cannot be looked at: it matches [fs.ErrNotExist] if
// it is not there. Windows has no such owners: there it is nil.
func CheckTrusted(path string) error { return checkTrusted(path, lenience{}) }

// CheckPolicy is [CheckTrusted] for a file or a folder of a policy. A folder whose files
// are judged one by one may be one that others may add files to (the sticky bit), and
// what nobody can write because its file system is mounted read-only is fine: so
// Kubernetes mounts Secrets and ConfigMaps.
func CheckPolicy(path string) error {
	info, err := os.Stat(path)
	return checkTrusted(path, lenience{added: err == nil && info.IsDir(), mounted: true})
}

// lenience is what [CheckPolicy] lets pass.
type lenience struct {
	added   bool // others may add files to the folder
	mounted bool // others could write, were it not mounted read-only
}

func checkTrusted(path string, l lenience) error {
	at, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	root := filepath.VolumeName(at) + string(filepath.Separator)
	rest := strings.Split(strings.TrimPrefix(at, root), string(filepath.Separator))
	at = root
	for links := 0; ; {
		info, err := os.Lstat(at)
		if err != nil {
			return err
		}
		rest = skipEmpty(rest)
		link := info.Mode()&fs.ModeSymlink != 0
		why := untrusted(info, l.added || len(rest) > 0 || link)
		if why != "" && !(l.mounted && strings.HasPrefix(why, writable) && mountedReadOnly(at)) {
			return &UntrustedError{Path: at, Why: why}
		}
		switch {
		case link:
			if links++; links > maxLinks {
				return &UntrustedError{Path: at, Why: "leads through too many links"}
			}
			to, err := os.Readlink(at)
			if err != nil {
				return err
			}
			at = filepath.Dir(at)
			if filepath.IsAbs(to) {
				at, to = root, strings.TrimPrefix(to, root)
			}
			rest = append(strings.Split(to, string(filepath.Separator)), rest...)
		case len(rest) == 0:
			return nil
		}
		if rest = skipEmpty(rest); len(rest) == 0 {
			continue
		}
		// at holds no link, so ".." of a link's target is the folder above.
		at, rest = filepath.Join(at, rest[0]), rest[1:]
	}
}

// writable begins what is said of something that others can write.
const writable = "can be written by "

// maxLinks is how many links a path may lead through, as on Linux.
const maxLinks = 40

func skipEmpty(parts []string) []string {
	for len(parts) > 0 && (parts[0] == "" || parts[0] == ".") {
		parts = parts[1:]
	}
	return parts
}

// CheckTrustedFile is [CheckTrusted] for an open file: of the file itself, whatever
// has its name by now, and of the folders above it if it is a plain file. A pipe
// has none.
func CheckTrustedFile(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if why := untrusted(info, false); why != "" {
		return &UntrustedError{Path: f.Name(), Why: why}
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	return CheckTrusted(f.Name())
}

// OthersCanRead reports whether a user other than the owner and root can read the
// file that info describes.
func OthersCanRead(info fs.FileInfo) bool { return othersHave(info, 0o4) }

// CheckState is [CheckTrusted] for the state folder dir, for its folders, and for
// the journals and locks in it. What is not there cannot be wrong: a missing
// folder is no error. A link among them is one: none was made by privsync.
func CheckState(dir string) error {
	if err := CheckTrusted(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("state folder: %w", err)
	}
	for _, folder := range []string{dir, journalDir(dir)} {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			continue // whoever needs it says so
		}
		entries, err := os.ReadDir(folder)
		if err != nil {
			return fmt.Errorf("state folder: %w", err)
		}
		for _, e := range entries {
			if folder == dir && !steers(e.Name()) {
				continue
			}
			path := filepath.Join(folder, e.Name())
			info, err := os.Lstat(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue // another run has just put it away
			}
			if err != nil {
				return fmt.Errorf("state folder: %w", err)
			}
			why := untrusted(info, false)
			if why == "" && info.Mode()&fs.ModeSymlink != 0 {
				why = "is a link"
			}
			if why != "" {
				return fmt.Errorf("state folder: %w", &UntrustedError{Path: path, Why: why})
			}
		}
	}
	return nil
}

// steers reports whether the entry called name of the state folder decides what a
// run does. Reports are evidence, and whoever names a folder in which he keeps other
// things as well is not asked about these.
func steers(name string) bool {
	return name == filepath.Base(journalDir("")) || name == spentFolder || strings.HasPrefix(name, lockPrefix)
}

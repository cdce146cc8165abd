package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/gofrs/flock"

	"privsync/clean"
	"privsync/document"
	"privsync/mstrapi"
)

// lockPoll is the pause between two tries to take a lock.
const lockPoll = 100 * time.Millisecond

// lockPrefix begins the names of the files of a server's lock.
const lockPrefix = "server-"

// Holder says who holds a lock.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	User    string    `json:"user"`
	RunID   string    `json:"runId"`
	Started time.Time `json:"started"`
	Server  string    `json:"server,omitempty"` // its URL; set by [Store.Lock]

	// ServerLock says that the run takes the server's own lock as well.
	ServerLock bool `json:"serverLock,omitempty"`
}

// ThisProcess returns what this process says of itself; what cannot be found out is empty.
func ThisProcess() Holder {
	h := Holder{PID: os.Getpid()}
	h.Host, _ = os.Hostname() // unknown is better than no lock
	if u, err := user.Current(); err == nil {
		h.User = u.Username
	}
	return h
}

// String returns one line for an error message. Host and user are untrusted.
func (h Holder) String() string {
	if h == (Holder{}) {
		return "an unknown process"
	}
	return fmt.Sprintf("process %d of %s on %s, run %s, since %s", h.PID, clean.Quote(h.User), clean.Quote(h.Host), clean.Quote(h.RunID), h.Started.UTC().Format(time.RFC3339))
}

// Target is the server that a run works on. URL is its base URL, normalised;
// Addresses are what else tells that two URLs mean one server: where they lead
// ([mstrapi.Addresses]). Without them one URL is one server.
type Target struct {
	URL       string
	Addresses []string
}

// Is reports whether s and other are one server: they have the URL, or an address,
// in common.
func (s Target) Is(other Target) bool {
	return s.URL == other.URL || slices.ContainsFunc(s.Addresses, func(a string) bool { return slices.Contains(other.Addresses, a) })
}

// Keys returns what is locked for s, in a fixed order: its URL, and the addresses.
func (s Target) Keys() []string {
	keys := append([]string{s.URL}, s.Addresses...)
	slices.Sort(keys[1:])
	return slices.Compact(keys)
}

// LockedError is the error of [Store.Lock] when another process holds the lock.
// Holder is zero when it did not say who it is.
type LockedError struct {
	URL    string
	Path   string
	Holder Holder
}

// Error says who holds the lock, and that it is for another name of the server where
// it is.
func (e *LockedError) Error() string {
	on := e.URL
	if other := e.Holder.Server; other != "" && other != e.URL {
		on = fmt.Sprintf("%s, which has the same network address as %s", e.URL, clean.Quote(other))
	}
	return fmt.Sprintf("another run works on %s: %s holds the lock %s", on, e.Holder, e.Path)
}

// folderLock is the [Lock] of a [Folder].
type folderLock struct {
	held []lockFile
	left []Holder
}

// Left returns who is named by the lock's files as they were found.
func (l *folderLock) Left() []Holder { return l.left }

// A lockFile is the lock of one key of a server, and the file that says who holds it.
type lockFile struct {
	flock  *flock.Flock
	holder string
}

// Lock makes the folder if it does not exist. The lock is a file for the URL and one for
// each address, so that two names of one server exclude each other.
func (f *Folder) Lock(ctx context.Context, server Target, holder Holder, timeout time.Duration) (Lock, error) {
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	var files []lockFile
	for _, key := range server.Keys() {
		sum := sha256.Sum256([]byte(key))
		base := filepath.Join(f.dir, lockPrefix+hex.EncodeToString(sum[:8]))
		files = append(files, lockFile{flock: newFlock(base + ".lock"), holder: base + ".holder.json"})
	}
	err := WaitForLock(ctx, timeout, func() (*LockedError, error) {
		taken, err := tryAll(files)
		if taken == nil || err != nil {
			return nil, err
		}
		return &LockedError{URL: server.URL, Path: taken.flock.Path(), Holder: readHolder(taken.holder)}, nil
	})
	if err != nil {
		return nil, err
	}
	l := &folderLock{held: files}
	holder.Started, holder.Server = stamp(holder.Started), server.URL
	for _, f := range files {
		if before := readHolder(f.holder); before != (Holder{}) && !slices.Contains(l.left, before) {
			l.left = append(l.left, before)
		}
		if err := document.WriteFile(f.holder, document.Line{Value: holder}); err != nil {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), l.Release())
		}
	}
	return l, nil
}

// WaitForLock calls try until it returns neither who holds the lock nor an error, which
// ends the wait. It waits up to timeout (0: not at all) and then returns the
// [*LockedError] of the last try; ctx ends the wait early with its error and that one.
func WaitForLock(ctx context.Context, timeout time.Duration, try func() (*LockedError, error)) error {
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		switch held, err := try(); {
		case err != nil:
			return fmt.Errorf("lock: %w", err)
		case held == nil:
			return nil
		case timeout <= 0:
			return held
		case mstrapi.Sleep(waiting, lockPoll) == nil:
		case ctx.Err() != nil:
			return errors.Join(fmt.Errorf("lock: %w", ctx.Err()), held)
		default:
			return held
		}
	}
}

// tryAll takes all locks, or none; then it returns one that is taken.
func tryAll(files []lockFile) (taken *lockFile, err error) {
	for i := range files {
		ok, err := tryLock(files[i].flock)
		if ok {
			continue
		}
		for _, f := range files[:i] {
			_ = f.flock.Unlock()
		}
		return &files[i], err
	}
	return nil, nil
}

// newFlock returns the lock on the file at path, which is made if it does not exist
// and is no link.
func newFlock(path string) *flock.Flock {
	return flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|noFollow), flock.SetPermissions(0o600))
}

// tryLock takes l if it is free. Only a plain file is a lock: another thing in its
// place need not keep anybody out.
func tryLock(l *flock.Flock) (bool, error) {
	ok, err := l.TryLock()
	if err != nil || !ok {
		return ok, err
	}
	info, err := l.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a plain file", l.Path())
	}
	if err != nil {
		_ = l.Unlock()
		return false, err
	}
	return true, nil
}

// Release gives the lock back. The lock files stay: removing them would let two
// processes lock two files of the same name.
func (l *folderLock) Release() error {
	var errs []error
	for _, f := range l.held {
		if err := os.Remove(f.holder); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, f.flock.Unlock())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}

// readHolder reads who holds a lock; the zero Holder if that is not to be read.
func readHolder(path string) Holder {
	var h Holder
	text, err := readSmall(path)
	if err != nil || json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h.Clipped()
}

// Clipped bounds what a holder says of itself.
func (h Holder) Clipped() Holder {
	h.Host, h.User, h.RunID, h.Server = clean.Clip(h.Host, 200), clean.Clip(h.User, 200), clean.Clip(h.RunID, 200), clean.Clip(h.Server, 500)
	return h
}

// DefaultStateDir returns the folder for journals, locks and reports that have
// no other place: privsync in $XDG_STATE_HOME, or in ~/.local/state. getenv is
// os.Getenv, or a test's.
func DefaultStateDir(getenv func(string) string) (string, error) {
	// A relative path there is to be ignored, says the XDG specification.
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "privsync"), nil
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "privsync"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("state folder: %w; name one with --state-dir", err)
	}
	return filepath.Join(home, ".local", "state", "privsync"), nil
}

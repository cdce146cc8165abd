//go:build unix

package executor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// stranger is the id of a user and a group that no test machine has.
const stranger = 54321

// private returns a folder that is trusted: those of testing.T lie below it.
func private(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := CheckTrusted(dir); err != nil {
		t.Skipf("the folder for temporary files is not trusted itself: %v", err)
	}
	return dir
}

func mustChown(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	if err := os.Lchown(path, stranger, stranger); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestCheckTrusted(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, dir string) // dir/a/b/file is what is judged
		want string                         // part of the reason; "" for trusted
	}{
		{"all the user's", func(*testing.T, string) {}, ""},
		{"file of another user", func(t *testing.T, d string) { mustChown(t, d+"/a/b/file") }, "/a/b/file belongs to user 54321"},
		{"folder of another user", func(t *testing.T, d string) { mustChown(t, d+"/a/b") }, "/a/b belongs to user 54321"},
		{"folder above of another user", func(t *testing.T, d string) { mustChown(t, d+"/a") }, "/a belongs to user 54321"},
		{"file for everybody", func(t *testing.T, d string) { chmod(t, d+"/a/b/file", 0o666) }, "/a/b/file can be written by everybody"},
		{"folder for everybody", func(t *testing.T, d string) { chmod(t, d+"/a", 0o777) }, "/a can be written by everybody"},
		{"sticky folder above", func(t *testing.T, d string) { chmod(t, d+"/a", 0o777|os.ModeSticky) }, ""},
		{"readable by everybody", func(t *testing.T, d string) { chmod(t, d+"/a/b/file", 0o644) }, ""},
		{"group of nobody else", func(t *testing.T, d string) {
			if os.Geteuid() != 0 || accountsElsewhere() {
				t.Skip("only root can give files away, and groups must be files")
			}
			if err := os.Chown(d+"/a/b", 0, stranger); err != nil {
				t.Fatal(err)
			}
			chmod(t, d+"/a/b", 0o775)
		}, ""},
		{"group of others", func(t *testing.T, d string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			if err := os.Chown(d+"/a/b", 0, 1); err != nil { // the first primary group of a user that is not root
				t.Fatal(err)
			}
			if aloneIn(1) {
				t.Skip("group 1 has nobody here")
			}
			chmod(t, d+"/a/b", 0o775)
		}, "/a/b can be written by the group 1"},
		{"a link of another user", func(t *testing.T, d string) {
			if err := errors.Join(os.Rename(d+"/a/b", d+"/a/c"), os.Symlink("c", d+"/a/b")); err != nil {
				t.Fatal(err)
			}
			mustChown(t, d+"/a/b")
		}, "/a/b belongs to user 54321"},
		{"a link into a folder for everybody", func(t *testing.T, d string) {
			err := errors.Join(os.Mkdir(d+"/open", 0o755), os.Rename(d+"/a/b", d+"/open/b"), os.Symlink("../open/b", d+"/a/b"))
			if err != nil {
				t.Fatal(err)
			}
			chmod(t, d+"/open", 0o777)
		}, "/open can be written by everybody"},
		{"a link in good places", func(t *testing.T, d string) {
			if err := errors.Join(os.Rename(d+"/a/b", d+"/c"), os.Symlink("../c", d+"/a/b")); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"links in a ring", func(t *testing.T, d string) {
			if err := errors.Join(os.RemoveAll(d+"/a/b"), os.Symlink("c", d+"/a/b"), os.Symlink("b", d+"/a/c")); err != nil {
				t.Fatal(err)
			}
		}, "leads through too many links"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := private(t)
			path := filepath.Join(dir, "a", "b", "file")
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
			c.make(t, dir)
			err := CheckTrusted(path)
			if c.want == "" {
				if err != nil {
					t.Fatalf("CheckTrusted = %v, want nil", err)
				}
				return
			}
			var untrusted *UntrustedError
			if !errors.As(err, &untrusted) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("CheckTrusted = %v, want … %s …", err, c.want)
			}
		})
	}
}

func TestCheckStateLooksAtJournalsAndLocks(t *testing.T) {
	for name, file := range map[string]string{"journal": "journals/x.jsonl", "journals": "journals", "lock": "server-1.lock", "holder": "server-1.holder.json"} {
		t.Run(name, func(t *testing.T) {
			dir := private(t)
			if err := errors.Join(CheckState(dir), os.Mkdir(filepath.Join(dir, "journals"), 0o700)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, file)
			if name != "journals" {
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := CheckState(dir); err != nil {
				t.Fatalf("CheckState = %v, want nil", err)
			}
			chmod(t, path, 0o777)
			var untrusted *UntrustedError
			if err := CheckState(dir); !errors.As(err, &untrusted) || untrusted.Path != path {
				t.Errorf("CheckState = %v, want that %s can be written", err, path)
			}
			if err := errors.Join(os.RemoveAll(path), os.Symlink("/etc/hostname", path)); err != nil {
				t.Fatal(err)
			}
			if err := CheckState(dir); err == nil || !strings.Contains(err.Error(), "is a link") {
				t.Errorf("CheckState = %v, want that %s is a link", err, path)
			}
		})
	}
}

func TestLocksAndJournalsFollowNoLinkAndWaitForNoPipe(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	for name, plant := range map[string]func(path string) error{
		"link": func(path string) error { return os.Symlink(target, path) },
		"pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l, err := NewFolder(dir).Lock(context.Background(), Target{URL: "https://x/"}, Holder{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			lock := l.(*folderLock).held[0].flock.Path()
			if err := errors.Join(l.Release(), os.Remove(lock), plant(lock)); err != nil {
				t.Fatal(err)
			}
			if l, err := NewFolder(dir).Lock(context.Background(), Target{URL: "https://x/"}, Holder{}, time.Hour); err == nil {
				_ = l.Release()
				t.Errorf("a lock was taken on a %s", name)
			}
			journal := filepath.Join(dir, "journal")
			if err := plant(journal); err != nil {
				t.Fatal(err)
			}
			if _, err := readJournal(journal, nil); !errors.Is(err, errNotPlain) {
				t.Errorf("readJournal = %v, want %v", err, errNotPlain)
			}
			if _, err := os.Stat(target); err == nil {
				t.Error("the target of the link was made")
			}
		})
	}
}

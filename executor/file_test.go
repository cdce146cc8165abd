package executor

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

type text string

func (s text) WriteTo(w io.Writer) (int64, error) {
	n, err := io.WriteString(w, string(s))
	return int64(n), err
}

// full is a document that does not fit on the disk.
type full struct{}

func (full) WriteTo(w io.Writer) (int64, error) {
	n, _ := io.WriteString(w, "half")
	return int64(n), errors.New("no space left on device")
}

func onlyFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder holds %v, want %v", got, want)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, content := range []text{"one", "two"} {
		if err := WriteFile(path, content); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != string(content) {
			t.Errorf("file = %q, %v, want %q", got, err, content)
		}
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, want 0600", info.Mode())
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, text("three")); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode after replacing = %v, want 0600", info.Mode())
	}
	err := WriteFile(path, full{})
	if err == nil || !strings.Contains(err.Error(), "no space left") || !strings.Contains(err.Error(), path) {
		t.Errorf("WriteFile = %v, want the disk's error and the path", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "three" {
		t.Errorf("after a failure the file is %q, want what was there", got)
	}
	onlyFiles(t, dir, "f")
}

func TestWriteFileFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{target, filepath.Join(dir, "nothing")} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
		if err := WriteFile(link, text("x")); err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("WriteFile to a link = %v, want a refusal", err)
		}
		os.Remove(link)
	}
	if got, _ := os.ReadFile(target); string(got) != "precious" {
		t.Errorf("the link was followed: %q", got)
	}
	if err := WriteFile(dir, text("x")); err == nil {
		t.Error("WriteFile over a folder succeeded")
	}
	if err := WriteFile(filepath.Join(dir, "no", "f"), text("x")); err == nil {
		t.Error("WriteFile into no folder succeeded")
	}
	onlyFiles(t, dir, "target")
}

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "locks")
	me := Holder{PID: 7, Host: "h", User: "u", RunID: "r1", Started: time.Unix(0, 0)}
	first, err := NewFolder(dir).Lock(t.Context(), Target{URL: "https://a"}, me, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewFolder(dir).Lock(t.Context(), Target{URL: "https://a"}, Holder{PID: 8}, 0)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Holder.PID != 7 || !strings.Contains(err.Error(), `process 7 of "u" on "h", run "r1", since 1970-01-01T00:00:00Z`) {
		t.Errorf("second lock = %v, want who holds it", err)
	}
	other, err := NewFolder(dir).Lock(t.Context(), Target{URL: "https://b"}, me, 0)
	if err != nil {
		t.Fatalf("another server: %v", err)
	}
	if err := errors.Join(other.Release(), first.Release()); err != nil {
		t.Fatal(err)
	}
	again, err := NewFolder(dir).Lock(t.Context(), Target{URL: "https://a"}, me, 0)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	os.Remove(again.(*folderLock).held[0].holder)
	if _, err := NewFolder(dir).Lock(t.Context(), Target{URL: "https://a"}, me, 0); err == nil || !strings.Contains(err.Error(), "an unknown process") {
		t.Errorf("without a holder file: %v", err)
	}
	os.WriteFile(again.(*folderLock).held[0].holder, []byte("no json"), 0o600)
	if _, err := NewFolder(dir).Lock(t.Context(), Target{URL: "https://a"}, me, 0); err == nil || !strings.Contains(err.Error(), "an unknown process") {
		t.Errorf("with a foolish holder file: %v", err)
	}
	again.Release()
}

func TestLockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		first, err := NewFolder(dir).Lock(t.Context(), Target{URL: "https://a"}, Holder{PID: 1}, 0)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var locked *LockedError
		if _, err := NewFolder(dir).Lock(t.Context(), Target{URL: "https://a"}, Holder{}, 3*time.Second); !errors.As(err, &locked) || time.Since(began) != 3*time.Second {
			t.Errorf("lock = %v after %s, want LockedError after 3s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := NewFolder(dir).Lock(ctx, Target{URL: "https://a"}, Holder{}, time.Hour); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &locked) {
			t.Errorf("lock = %v, want the context's error and who holds it", err)
		}
		time.AfterFunc(2*time.Second, func() { first.Release() })
		second, err := NewFolder(dir).Lock(t.Context(), Target{URL: "https://a"}, Holder{PID: 2}, time.Hour)
		if err != nil {
			t.Fatalf("after the first gave it back: %v", err)
		}
		second.Release()
	})
}

func TestDefaultStateDir(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == k {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	for _, tt := range []struct {
		env  func(string) string
		want string
	}{
		{env("XDG_STATE_HOME", "/x", "HOME", "/h"), "/x/privsync"},
		{env("XDG_STATE_HOME", "rel", "HOME", "/h"), "/h/.local/state/privsync"},
		{env("HOME", "/h"), "/h/.local/state/privsync"},
	} {
		if got, err := DefaultStateDir(tt.env); err != nil || got != tt.want {
			t.Errorf("DefaultStateDir = %q, %v, want %q", got, err, tt.want)
		}
	}
}

// What WriteFile would refuse is known before there is anything to write.
func TestCheckFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("victim", filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	for _, test := range []struct {
		path string
		ok   bool
	}{{"new", true}, {"link", false}, {"no/folder/file", false}, {".", false}} {
		if err := CheckFile(filepath.Join(dir, test.path)); (err == nil) != test.ok {
			t.Errorf("CheckFile(%s) = %v, want ok = %v", test.path, err, test.ok)
		}
	}
	for _, d := range []Destination{{File: filepath.Join(dir, "link")}, {Dir: filepath.Join(dir, "link", "x")}} {
		if err := d.Check(); err == nil {
			t.Errorf("%+v.Check() = nil, want an error", d)
		}
	}
	if err := (Destination{Dir: filepath.Join(dir, "reports"), File: filepath.Join(dir, "r.json")}).Check(); err != nil {
		t.Error(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".*tmp*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// One lock for two names of one server, told by their address; servers without a
// common address do not exclude each other.
func TestLockOfTwoNames(t *testing.T) {
	dir := t.TempDir()
	name := Target{URL: "http://localhost:8080/x", Addresses: []string{"127.0.0.1:8080/x", "[::1]:8080/x"}}
	number := Target{URL: "http://127.0.0.1:8080/x", Addresses: []string{"127.0.0.1:8080/x"}}
	other := Target{URL: "http://127.0.0.1:8080/y", Addresses: []string{"127.0.0.1:8080/y"}}
	for _, order := range [][2]Target{{name, number}, {number, name}} {
		first, err := NewFolder(dir).Lock(t.Context(), order[0], Holder{PID: 7}, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewFolder(dir).Lock(t.Context(), order[1], Holder{PID: 8}, 0)
		var locked *LockedError
		if !errors.As(err, &locked) || locked.Holder.PID != 7 || !strings.Contains(err.Error(), "same network address as \""+order[0].URL) {
			t.Errorf("AcquireLock of %s beside %s = %v", order[1].URL, order[0].URL, err)
		}
		beside, err := NewFolder(dir).Lock(t.Context(), other, Holder{PID: 9}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(first.Release(), beside.Release()); err != nil {
			t.Error(err)
		}
	}
	if !name.Is(number) || name.Is(other) || !name.Is(Target{URL: name.URL}) {
		t.Error("Is does not tell the servers apart")
	}
}

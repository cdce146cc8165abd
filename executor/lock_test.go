package executor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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

// What Deliver would refuse is known before there is anything to write.
func TestCheckDestination(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("victim", filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	for _, d := range []Destination{{File: filepath.Join(dir, "link")}, {Dir: filepath.Join(dir, "link", "x")}} {
		if err := d.Check(); err == nil {
			t.Errorf("%+v.Check() = nil, want an error", d)
		}
	}
	if err := (Destination{Dir: filepath.Join(dir, "reports"), File: filepath.Join(dir, "r.json")}).Check(); err != nil {
		t.Error(err)
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

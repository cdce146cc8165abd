package document

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
	left, _ := filepath.Glob(filepath.Join(dir, ".*tmp*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

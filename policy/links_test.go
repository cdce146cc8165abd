package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLinksInAFolder: a ConfigMap's links are followed, those that lead out are not,
// and nothing of what they point to is told.
func TestLinksInAFolder(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "shadow")
	if err := os.WriteFile(outside, []byte("root:*:20228:0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "policies")
	data := filepath.Join(folder, "..2026_11_26")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "p.yaml"), []byte(zooHead+"principals: [{user: a, privileges: [x]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..2026_11_26", "..data")
	link("..data/p.yaml", "p.yaml")
	if p, err := Load([]string{folder}, Options{}); err != nil || len(p.Principals) != 1 {
		t.Fatalf("Load of a ConfigMap = %v", err)
	}
	for _, to := range []string{"../shadow", outside, "/dev/zero", "/dev/null"} {
		link(to, "evil.yaml")
		_, err := Load([]string{folder}, Options{})
		if err == nil || strings.Contains(err.Error(), "root:") || !strings.Contains(err.Error(), "evil.yaml: it is") {
			t.Errorf("Load with a link to %s = %v, want it refused", to, err)
		}
		if err := os.Remove(filepath.Join(folder, "evil.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load([]string{"/dev/zero"}, Options{}); err == nil || !strings.Contains(err.Error(), "neither a plain file nor a pipe") {
		t.Errorf("Load of a device = %v", err)
	}
	// A link that the command line names is what its user means.
	link(filepath.Join(data, "p.yaml"), "named.txt")
	if _, err := Load([]string{filepath.Join(folder, "named.txt")}, Options{}); err != nil {
		t.Errorf("Load of a named link = %v", err)
	}
}

// TestAllFilesTogether: the limits hold for the files of a policy together.
func TestAllFilesTogether(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.yaml", "b.yaml"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(MaxSize/2 + 1); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if _, err := Load([]string{dir}, Options{}); err == nil || !strings.Contains(err.Error(), "b.yaml: the policy is larger than 64 MiB") {
		t.Errorf("Load of two halves = %v", err)
	}
}

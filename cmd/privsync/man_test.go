//go:build man

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"privsync/executor"
)

// The build with manual pages writes one for every command.
func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pages")
	if code, _, stderr := invoke(t, nil, "man", dir); code != executor.ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	page, err := os.ReadFile(filepath.Join(dir, "privsync.1"))
	if err != nil || !strings.Contains(string(page), "privsync apply") {
		t.Errorf("privsync.1 lacks a command: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "privsync-verify-reports.1")); err != nil {
		t.Error(err)
	}
}

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"privsync/mstrapi/mstrtest"
	"privsync/policy"
)

// readmeBlocks returns the fenced blocks of the README in that language.
func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(data), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestReadmeQuickStart does what the README says to do on one's own server, on
// the example company: nothing in it goes wrong, and nothing is changed.
func TestReadmeQuickStart(t *testing.T) {
	env, err := loadEnvironment("")
	if err != nil {
		t.Fatal(err)
	}
	server, variables := serve(t, env, mstrtest.Options{})
	blocks := readmeBlocks(t, "sh")
	t.Chdir(t.TempDir())
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte(mstrtest.ServicePassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	delete(variables, passwordVariable)
	variables["PRIVSYNC_PASSWORD_FILE"] = secret
	variables["XDG_STATE_HOME"] = t.TempDir()
	var ran []string
	for _, block := range blocks {
		for line := range strings.Lines(block) {
			args := shellWords(line)
			if len(args) < 2 || args[0] != "privsync" {
				continue
			}
			if args[1] == "apply" {
				args = append(args, "--yes") // there is no terminal to ask on
			}
			if code, stdout, stderr := invoke(t, variables, args[1:]...); code != exitDone {
				t.Fatalf("%s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
			}
			ran = append(ran, args[1])
		}
	}
	if got := strings.Join(ran, " "); got != "doctor export plan apply" {
		t.Errorf("the README runs %q", got)
	}
	if n := len(server.Writes()); n != 0 {
		t.Errorf("%d writes: an export that is applied changes nothing", n)
	}
}

// TestReadmePolicy: the policy that the README shows is one.
func TestReadmePolicy(t *testing.T) {
	blocks := readmeBlocks(t, "yaml")
	if len(blocks) != 1 {
		t.Fatalf("%d policies in the README, want 1", len(blocks))
	}
	if _, err := policy.Parse("README.md", []byte(blocks[0])); err != nil {
		t.Error(err)
	}
}

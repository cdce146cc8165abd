package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"privsync/cmd/privsync/internal/topics"
	"privsync/executor"
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
			if code, stdout, stderr := invoke(t, variables, args[1:]...); code != executor.ExitOK {
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

// TestReadmeIsNotOlderThanTheCode: every command, topic and finding stands in the
// README, and every flag and command in it is one.
func TestReadmeIsNotOlderThanTheCode(t *testing.T) {
	data, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	// sha256sum's own flags are not ours.
	readme := regexp.MustCompile("(?m)^sha256sum .*$").ReplaceAllString(string(data), "")
	root := newTestRoot(t)
	flags := map[string]bool{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		for _, set := range []*pflag.FlagSet{c.LocalFlags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) { flags[f.Name] = true })
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	_, table, _ := strings.Cut(readme, "| command | does |")
	table, _, _ = strings.Cut(table, "\n\n")
	words := map[string]bool{}
	for _, m := range regexp.MustCompile("`([a-z-]+)").FindAllStringSubmatch(table, -1) {
		words[m[1]] = true
	}
	for _, c := range root.Commands() {
		if c.Runnable() && !c.Hidden && !words[c.Name()] {
			t.Errorf("the command table of the README lacks %s", c.Name())
		}
		if c.IsAdditionalHelpTopicCommand() && !strings.Contains(readme, "`"+c.Name()+"`") {
			t.Errorf("the README does not name the topic %s", c.Name())
		}
		delete(words, c.Name())
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)").FindAllStringSubmatch(table, -1) {
		if words[m[1]] {
			t.Errorf("the command table of the README has %s, which is no command", m[1])
		}
	}
	for _, m := range regexp.MustCompile("[ `(]--([a-z][a-z-]+)").FindAllStringSubmatch(readme, -1) {
		if !flags[m[1]] {
			t.Errorf("the README names the flag --%s, which no command has", m[1])
		}
	}
	code, err := os.ReadFile("../../planner/plan.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile(`\sCode = "([a-z-]+)"`).FindAllStringSubmatch(string(code), -1)
	if len(codes) < 25 {
		t.Fatalf("only %d codes of findings were found", len(codes))
	}
	formats, err := topics.Text("formats")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range codes {
		for where, text := range map[string]string{"the README": readme, "help formats": formats} {
			if !strings.Contains(text, "`"+m[1]+"`") {
				t.Errorf("%s does not name the finding %s", where, m[1])
			}
		}
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

// TestArchitectureNamesFiles: every source file that ARCHITECTURE.md names is there.
func TestArchitectureNamesFiles(t *testing.T) {
	text, err := os.ReadFile("../../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	err = filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		for rest := filepath.ToSlash(path); err == nil && !d.IsDir() && rest != ""; {
			known[rest] = true
			_, rest, _ = strings.Cut(rest, "/")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`([a-z_/-]+\\.(?:go|md|schema\\.json))`").FindAllStringSubmatch(string(text), -1) {
		if !known[m[1]] {
			t.Errorf("ARCHITECTURE.md names %s, which is not there", m[1])
		}
	}
}

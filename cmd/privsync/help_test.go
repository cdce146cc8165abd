package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// newTestRoot returns the command tree, writing nowhere.
func newTestRoot(t *testing.T) *cobra.Command {
	t.Helper()
	a := &app{stdout: io.Discard, stderr: &sharedWriter{w: io.Discard}, env: func(string) (string, bool) { return "", false },
		logFormat: newChoice("text", "json"), logLevel: newChoice("info", "debug", "warn", "error")}
	root, err := newRoot(a)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestHelpTeaches: every command has a text and examples, and each example is a
// command line that the program takes.
func TestHelpTeaches(t *testing.T) {
	lines := 0
	for _, c := range newTestRoot(t).Commands() {
		if !c.Runnable() || c.Hidden || c.Name() == "help" {
			continue
		}
		if c.Short == "" || len(c.Long) < 80 || c.Example == "" {
			t.Errorf("%s: the help has no text or no examples", c.Name())
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			for _, part := range strings.FieldsFunc(line, func(r rune) bool { return r == '|' || r == '&' }) {
				words := shellWords(part)
				if len(words) == 0 || words[0] != "privsync" {
					continue
				}
				root := newTestRoot(t) // flags keep what they were set to
				cmd, rest, err := root.Find(words[1:])
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err == nil && cmd.Args != nil {
					err = cmd.Args(cmd, cmd.Flags().Args())
				}
				if err != nil || cmd == root {
					t.Errorf("%s: the example %q is not a command line: %v", c.Name(), part, err)
				}
				lines++
			}
		}
	}
	if lines < 30 {
		t.Errorf("only %d examples were looked at", lines)
	}
}

// shellWords splits a line as a shell does, as far as the examples need it; it
// stops where the output is redirected or a comment begins.
func shellWords(line string) []string {
	var words []string
	word, in, quote := "", false, rune(0)
	flush := func() {
		if in {
			words = append(words, word)
		}
		word, in = "", false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, in = r, true
		case quote == 0 && (r == '>' || r == '#' && !in):
			flush()
			return words
		case quote == 0 && r == ' ':
			flush()
		default:
			word, in = word+string(r), true
		}
	}
	flush()
	return words
}

// TestCompletionOffersNoFilesInVain: where an argument names no file, a shell
// offers none.
func TestCompletionOffersNoFilesInVain(t *testing.T) {
	takesFile := map[string]bool{"approve": true, "diff": true, "show": true, "apply": true, "rollback": true, "verify-reports": true, "man": true}
	for _, c := range newTestRoot(t).Commands() {
		if !c.Runnable() || takesFile[c.Name()] || c.Name() == "completion" || c.Name() == "help" {
			continue
		}
		_, stdout, _ := invoke(t, nil, "__complete", c.Name(), "")
		if !strings.HasSuffix(strings.TrimSpace(stdout), ":4") {
			t.Errorf("%s: the completion is\n%s", c.Name(), stdout)
		}
	}
}

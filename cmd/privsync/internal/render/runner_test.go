package render

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"privsync/policy"
)

// runnerCommand returns the first line of a log in which the runner of GitHub,
// Azure or GitLab finds a command, or "".
func runnerCommand(log string) string {
	for line := range strings.Lines(log) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "::"), strings.Contains(line, "##["), strings.Contains(strings.ToLower(line), "##vso["),
			strings.Contains(line, "section_start:"), strings.Contains(line, "section_end:"):
			return line
		}
	}
	return ""
}

// annotation is a workflow command as GitHubPlan writes it, with its title and message.
var annotation = regexp.MustCompile(`^::(?:error|warning|notice) (?:file=[^,:]*,)?(?:line=[0-9]+,)?(?:col=[0-9]+,)?title=(privsync [^,:]*)::(.*)$`)

// Whatever the names are, nothing that is meant for a log commands the runner that
// reads it.
func TestNoViewCommandsARunner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := hostileStrings(t)
		n := rapid.IntRange(1, 2).Draw(t, "elements")
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
		width := rapid.SampledFrom([]int{0, 40, 100}).Draw(t, "width")
		verbose := rapid.Bool().Draw(t, "verbose")
		plan, report := hostilePlan(n, next), hostileReport(n, next)
		if rapid.Bool().Draw(t, "ours") {
			ours(plan, pick)
			ours(report, pick)
		}
		guards := hostileGuards(n, next)
		var annotations strings.Builder
		if err := GitHubPlan(&annotations, plan, guards, filepath.Clean); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(annotations.String(), "\n"), "\n")
		for i, line := range lines {
			rest := line
			if i < len(lines)-1 {
				m := annotation.FindStringSubmatch(line)
				if m == nil {
					t.Fatalf("line %d is no annotation of ours: %q", i+1, line)
				}
				rest = m[1] + m[2]
			}
			if command := runnerCommand(rest); command != "" {
				t.Fatalf("an annotation commands a runner: %q", line)
			}
		}
		for _, doc := range []any{plan, report} {
			var text, markdown strings.Builder
			if err := Text(&text, doc, Options{Width: width, Verbose: verbose, Guards: guards}); err != nil {
				t.Fatal(err)
			}
			if err := Markdown(&markdown, doc, MarkdownOptions{Guards: guards}); err != nil {
				t.Fatal(err)
			}
			if line := runnerCommand(text.String()); line != "" {
				t.Fatalf("text commands a runner: %q", line)
			}
			if line := runnerCommand(markdown.String()); line != "" {
				t.Fatalf("Markdown commands a runner: %q", line)
			}
		}
	})
}

func TestNoProblemCommandsARunner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ps policy.Problems
		fill(reflect.ValueOf(&ps).Elem(), 3, hostileStrings(t))
		var text, github, document strings.Builder
		if ProblemsText(&text, ps, Options{}) != nil || GitHub(&github, ps, ps, filepath.Clean) != nil || ProblemsJSON(&document, ps, ps) != nil {
			t.Fatal("a strings.Builder takes everything")
		}
		if line := runnerCommand(text.String()); line != "" {
			t.Fatalf("text commands a runner: %q", line)
		}
		if line := runnerCommand(document.String()); line != "" {
			t.Fatalf("JSON commands a runner: %q", line)
		}
		var back struct{ Problems []struct{ Message string } }
		if err := json.Unmarshal([]byte(document.String()), &back); err != nil || back.Problems[0].Message != string([]rune(ps[0].Message)) {
			t.Fatalf("JSON holds %q, %v, want %q", back.Problems, err, ps[0].Message)
		}
		// Its own command begins every line, and is the only one there.
		for line := range strings.Lines(github.String()) {
			rest, own := strings.CutPrefix(line, "::error ")
			if !own {
				rest, own = strings.CutPrefix(line, "::warning ")
			}
			if !own || runnerCommand(rest) != "" {
				t.Fatalf("a line of GitHub is not one command of ours: %q", line)
			}
		}
	})
}

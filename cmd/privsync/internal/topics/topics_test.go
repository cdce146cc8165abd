package topics

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"privsync/schema"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestEveryTopicHasTextAndSummary(t *testing.T) {
	for _, name := range Names() {
		text, err := Text(name)
		if err != nil {
			t.Errorf("Text(%q): %v", name, err)
			continue
		}
		if !strings.HasPrefix(text, "# ") || !strings.HasSuffix(text, "\n") || strings.HasSuffix(text, "\n\n") {
			t.Errorf("Text(%q) does not begin with a heading and end with one newline", name)
		}
		if s := Summary(name); s == "" || strings.HasSuffix(s, ".") || len(s) > 60 {
			t.Errorf("Summary(%q) = %q, want a few words", name, s)
		}
	}
}

// Every page is embedded by hand-written name; a file that nobody lists would
// be in the binary and out of reach.
func TestEveryPageIsATopic(t *testing.T) {
	entries, err := pages.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".md"); e.Name() != keys && !slices.Contains(Names(), name) {
			t.Errorf("%s is no topic", e.Name())
		}
	}
}

func TestUnknownTopicNamesTheKnownOnes(t *testing.T) {
	_, err := Text("polcy")
	if err == nil || !strings.Contains(err.Error(), "exit-codes") {
		t.Errorf("Text(polcy) = %v, want an error that lists the topics", err)
	}
	if got := Summary("polcy"); got != "" {
		t.Errorf("Summary(polcy) = %q, want empty", got)
	}
}

// Pages are read in terminals. Tables and indented code keep their lines.
func TestPagesFitATerminal(t *testing.T) {
	for _, name := range Names() {
		text, err := Text(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range strings.Split(text, "\n") {
			limit := 96
			if strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "|") {
				limit = 120
			}
			if n := utf8.RuneCountInString(line); n > limit {
				t.Errorf("%s line %d has %d columns: %s", name, i+1, n, line)
			}
			if strings.ContainsRune(line, '\t') || strings.TrimRight(line, " ") != line {
				t.Errorf("%s line %d has a tab or trailing blanks", name, i+1)
			}
		}
	}
}

func TestReferenceGolden(t *testing.T) {
	text, err := schema.Text("policy")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Reference(text)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(keys, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(keys)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the reference differs from %s (renew it with -update):\n%s", keys, diff)
	}
}

// Every key that the schema knows anywhere must be in the reference.
func TestReferenceIsComplete(t *testing.T) {
	text, err := schema.Text("policy")
	if err != nil {
		t.Fatal(err)
	}
	reference, err := Reference(text)
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	keys := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok && v["examples"] != nil || v["additionalProperties"] == false {
				for k := range properties {
					keys++
					if !strings.Contains(reference, "- `"+k+"`: ") {
						t.Errorf("the reference does not describe %q", k)
					}
				}
			}
			for _, child := range v {
				walk(child)
			}
		case []any:
			for _, child := range v {
				walk(child)
			}
		}
	}
	walk(doc)
	if keys < 40 {
		t.Errorf("found only %d keys in the schema: the test looks in the wrong place", keys)
	}
}

func TestReferenceRefusesWhatItHasNoWordsFor(t *testing.T) {
	for _, c := range []struct{ name, schema, want string }{
		{"not JSON", `{`, "EOF"},
		{"not an object", `[]`, "not a JSON object"},
		{"two documents", `{} {}`, "after the document"},
		{"duplicate key", `{"type":"object","type":"object"}`, "stands twice"},
		{"unknown keyword", `{"properties":{"a":{"type":"string","description":"d","contains":{}}}}`, `"contains"`},
		{"no description", `{"properties":{"a":{"type":"string"}}}`, "no description"},
		{"no type", `{"properties":{"a":{"description":"d"}}}`, "no type"},
		{"unknown type", `{"properties":{"a":{"description":"d","type":"null"}}}`, `"null"`},
		{"dangling ref", `{"properties":{"a":{"$ref":"#/$defs/b"}}}`, "leads nowhere"},
		{"list of itself", `{"properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"type":"array","description":"d","items":{"$ref":"#/$defs/b"}}}}`, "too deeply"},
		{"circle", `{"properties":{"a":{"$ref":"#/$defs/b"}},"$defs":{"b":{"$ref":"#/$defs/b"}}}`, "in a circle"},
		{"strange oneOf", `{"oneOf":[{"type":"string"}],"properties":{}}`, "no words for this oneOf"},
		{"strange not", `{"not":{"required":["a"]},"properties":{}}`, "no words for the condition on a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Reference([]byte(c.schema))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Reference = %v, want an error with %q", err, c.want)
			}
		})
	}
}

// The page on formats must name every finding code, and no code that is none.
func TestFormatsNamesEveryFindingCode(t *testing.T) {
	page, err := Text("formats")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../../../planner/plan.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := submatches(regexp.MustCompile(`(?m)^\tCode\w+ +Code = "([a-z-]+)"`), string(source))
	if !slices.Contains(codes, "rule-violation") {
		t.Fatalf("found only the codes %v in package planner", codes)
	}
	_, section, _ := strings.Cut(page, "## Finding codes")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := submatches(regexp.MustCompile("(?m)^- `([a-z-]+)` \\("), section)
	if diff := cmp.Diff(codes, listed); diff != "" {
		t.Errorf("codes of package planner and of the page differ:\n%s", diff)
	}
}

func submatches(re *regexp.Regexp, text string) []string {
	var out []string
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	slices.Sort(out)
	return out
}

// Package topics holds the pages that privsync help TOPIC shows and from which
// the manual pages of section 7 are made.
//
// [Names] lists them in the order in which they are worth reading, [Summary]
// says in a few words what a page is about, and [Text] returns it as Markdown
// that can be read in a terminal of 88 columns. The second half of the page
// policy, [keys], is made from the JSON Schema by a test, which fails where it differs
// from what privsync accepts.
//
// The package formats nothing for a terminal and knows no commands: whether a
// page is true is checked by its tests and those of the examples.
package topics

import (
	"embed"
	"fmt"
	"strings"

	"privsync/clean"
)

//go:embed *.md
var pages embed.FS

// keys is the page with every key of a policy: make golden renews it.
const keys = "policy-keys.md"

type topic struct{ name, summary string }

var all = [...]topic{
	{"policy", "What a policy says and what each of its keys means"},
	{"exit-codes", "What an exit code means and what stops what"},
	{"guards", "What refuses an apply, and how to allow it"},
	{"formats", "Plans, reports and metrics for other programs"},
	{"recovery", "After a crash, an interruption or a mistake"},
	{"security", "What privsync can do, its account, secrets, threats"},
	{"scaling", "Many principals, many servers, what a run costs"},
}

// Names returns the names of all topics in the order in which they are worth
// reading.
func Names() []string {
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.name
	}
	return names
}

// Summary returns a few words about a topic, without a full stop; empty for a
// name that is not a topic.
func Summary(name string) string {
	for _, t := range all {
		if t.name == name {
			return t.summary
		}
	}
	return ""
}

// Text returns the page of a topic as Markdown that ends with a newline. The
// error for a name that is not a topic lists those that are.
func Text(name string) (string, error) {
	if Summary(name) == "" {
		return "", fmt.Errorf("unknown topic %s: known are %s", clean.Quote(name), strings.Join(Names(), ", "))
	}
	page, err := pages.ReadFile(name + ".md")
	if err != nil {
		return "", fmt.Errorf("topic %s: %w", name, err)
	}
	if name != "policy" {
		return string(page), nil
	}
	reference, err := pages.ReadFile(keys)
	if err != nil {
		return "", fmt.Errorf("topic %s: %w", name, err)
	}
	return string(page) + "\n" + string(reference), nil
}

package render

import (
	"fmt"
	"strings"

	"privsync/planner"
)

// coverageText says how much of the server a document speaks of; "" where the
// document does not say.
func coverageText(c *planner.Coverage) string {
	if c == nil || *c == (planner.Coverage{}) {
		return ""
	}
	known := "of an unknown number"
	if c.Known != nil {
		known = fmt.Sprintf("of %d on the server", *c.Known)
	}
	return fmt.Sprintf("%s covered, %d looked at, %s", count(c.Covered, "principal"), c.LookedAt, known)
}

// rulesText says which rules were judged and how many people break each; "" for
// none. Whom the rules did not look at is said as well.
func rulesText(c *planner.Coverage, rules []planner.RuleResult) string {
	if len(rules) == 0 {
		return ""
	}
	parts := make([]string, len(rules))
	everybody := true
	for i, r := range rules {
		parts[i] = fmt.Sprintf("%s: %s", Clean(r.Name), count(r.Violations, "violation"))
		everybody = everybody && r.Complete
	}
	text := strings.Join(parts, ", ")
	switch {
	case everybody:
		return text + "; everybody was judged"
	case c != nil && c.Known != nil && *c.Known >= c.LookedAt:
		return fmt.Sprintf("%s; %s not looked at", text, count(*c.Known-c.LookedAt, "principal"))
	}
	return text + "; not everybody was looked at"
}

// coverageMarkdown is a paragraph of both, or "".
func coverageMarkdown(c *planner.Coverage, rules []planner.RuleResult) string {
	var b strings.Builder
	if text := coverageText(c); text != "" {
		fmt.Fprintf(&b, "\nCoverage: %s.\n", text)
	}
	if text := rulesText(c, rules); text != "" {
		fmt.Fprintf(&b, "\nRules: %s.\n", span(text, clipMessage))
	}
	return b.String()
}

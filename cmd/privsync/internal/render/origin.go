package render

import (
	"strings"

	"privsync/planner"
)

// originWords says where in a policy a planned privilege comes from: its place, and the
// set or the selector. A principal's own entry is named by the principal.
func originWords(o *planner.Origin) string {
	if o == nil {
		return ""
	}
	var parts []string
	if at := place(&o.Position); at != "" {
		parts = append(parts, clip(at, clipMessage))
	}
	if o.Set != "" {
		parts = append(parts, "set "+Quote(clip(Clean(o.Set), clipName)))
	}
	if o.Selector != "" {
		parts = append(parts, "selector "+clip(Clean(o.Selector), clipName))
	}
	return strings.Join(parts, ", ")
}

// provenanceWords says where a document comes from; "" where that is not known.
func provenanceWords(p *planner.Provenance) string {
	if p == nil {
		return ""
	}
	var parts []string
	for _, f := range [][2]string{{"commit ", p.Commit}, {"ref ", p.Ref}, {"pull request ", p.PullRequest}, {"by ", p.Author}, {"build ", p.Build}} {
		if f[1] != "" {
			parts = append(parts, f[0]+clip(Clean(f[1]), clipMessage))
		}
	}
	return strings.Join(parts, ", ")
}

// fromMarkdown is a line of a footer; nothing for an empty text.
func fromMarkdown(what, text string) string {
	if text == "" {
		return ""
	}
	return "\n" + what + ": " + span(text, 2*clipMessage) + "\n"
}

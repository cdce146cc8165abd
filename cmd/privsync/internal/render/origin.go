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
	parts := provenanceParts(p, "by")
	for i := range parts {
		parts[i] = clip(parts[i], clipMessage)
	}
	return strings.Join(parts, ", ")
}

// provenanceParts are what is known of where a document comes from; by is what goes before
// its author.
func provenanceParts(p *planner.Provenance, by string) []string {
	var parts []string
	if p != nil {
		for _, f := range [][2]string{{"commit", p.Commit}, {"ref", p.Ref}, {"pull request", p.PullRequest}, {by, p.Author}, {"build", p.Build}} {
			if f[1] != "" {
				parts = append(parts, f[0]+" "+Clean(f[1]))
			}
		}
	}
	return parts
}

// fromMarkdown is a line of a footer; nothing for an empty text.
func fromMarkdown(what, text string) string {
	if text == "" {
		return ""
	}
	return "\n" + what + ": " + span(text, 2*clipMessage) + "\n"
}

package render

import (
	"net/url"
	"strings"
)

// Links are where a CI system shows the run that renders a document, and what it keeps
// of it. They are the CI system's own words, of this run, never a document's. Empty:
// not known.
type Links struct {
	Run       string
	Artifacts string
}

// markdown is a line of links, or "".
func (l Links) markdown() string {
	var parts []string
	for _, x := range []struct{ text, to string }{{"the run", l.Run}, {"its artifacts", l.Artifacts}} {
		if linkable(x.to) {
			parts = append(parts, "["+x.text+"]("+x.to+")")
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "\nMade by " + strings.Join(parts, ", ") + ".\n"
}

// linkable reports whether a text is a web address that ends no link of Markdown before
// its own end and hides no login.
func linkable(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~:/?#&=%+,", r)) {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && len(s) <= 2000
}

package render

import (
	"unicode/utf8"

	"privsync/clean"
)

// Clean is [clean.Text]: text from outside, safe to show in a terminal and in the log
// of a CI system.
func Clean(s string) string { return clean.Text(s) }

// Quote is [clean.Quote].
func Quote(s string) string { return clean.Quote(s) }

// clip cuts s, which must be clean, to at most n runes; a cut ends in "…".
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	count := 0
	for i := range s {
		if count == n-1 && utf8.RuneCountInString(s[i:]) > 1 {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

// Package clean makes text from outside safe to show: names, file names, reasons,
// what a server or a page says. [Text] is the one function that does; [Quote] puts
// its result into quotes, so that a name looks the same wherever it stands. [Clip] and
// [Count] are the two other things that messages do alike everywhere.
//
// It does not escape for Markdown, HTML or JSON: the views do that, with what
// comes from here.
package clean

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with everything that a terminal, a reader's eye or a parser
// could be tricked with made visible as an escape: control characters of both
// sets (\n, \t, \x1b, \u009b), line and paragraph separators (\u2028), marks
// that change the reading direction (\u202e), zero-width and other invisible
// format characters (\u200b), and bytes that are not UTF-8 (\xff). The result
// is one line of valid UTF-8.
//
// Nor does it hold anything that the runner of a CI system takes for a command
// when it reads a log: a second # in a row (GitHub and Azure look for ##[ and
// ##vso[ anywhere in a line) becomes \x23, a second colon at the start or after
// white space (GitHub's :: at the start of a line, which wrapping can make of any
// word) \x3a, and the colon of a section mark of GitLab (section_start:) too. What
// holds for the result holds for each line that it is wrapped into at white space.
//
// A backslash stays as it is (DOMAIN\user is an ordinary login), so the result
// is for reading, not for decoding. Text(Text(s)) equals Text(s).
func Text(s string) string {
	i := firstUnsafe(s)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < 0x80 && command(s, i):
			fmt.Fprintf(&b, `\x%02x`, r)
		case !Unsafe(r):
			b.WriteString(s[i : i+size])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		i += size
	}
	return b.String()
}

// Clip returns s cut to at most n bytes of whole characters; a cut ends in "…".
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// Count returns n with its noun, in the plural unless n is 1: "1 entry", "2 entries".
// many is the plural where that is not the noun's own: that of "user is".
func Count[N int | int64](n N, noun string, many ...string) string {
	switch {
	case n == 1:
	case len(many) > 0:
		noun = many[0]
	case strings.HasSuffix(noun, "y") && !strings.HasSuffix(noun, "day"):
		noun = strings.TrimSuffix(noun, "y") + "ies"
	default:
		noun += "s"
	}
	return strconv.FormatInt(int64(n), 10) + " " + noun
}

// Quote returns s clean and in double quotes, so that its ends can be seen.
func Quote(s string) string {
	return `"` + strings.ReplaceAll(Text(s), `"`, `\"`) + `"`
}

// Commands is [Text] for lines that are safe but for commands of runners: those of
// a log handler that quotes what is not printable. It leaves everything else as it is.
func Commands(s string) string {
	var b strings.Builder
	from := 0
	for i := range len(s) {
		if command(s, i) {
			fmt.Fprintf(&b, `%s\x%02x`, s[from:i], s[i])
			from = i + 1
		}
	}
	if from == 0 {
		return s
	}
	return b.String() + s[from:]
}

// firstUnsafe returns the index of the first byte that Text would change, or -1.
func firstUnsafe(s string) int {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < 0x20 || c == 0x7f || (c == '#' || c == ':') && command(s, i) {
				return i
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || Unsafe(r) {
			return i
		}
		i += size
	}
	return -1
}

// command reports whether a command of a runner could begin with what ends in s[i]:
// a second #, the second colon of a word, the colon of a section mark.
func command(s string, i int) bool {
	switch s[i] {
	case '#':
		return i > 0 && s[i-1] == '#'
	case ':':
		if SectionMark(s[:i]) {
			return true
		}
		if i == 0 || s[i-1] != ':' {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(s[:i-1])
		// What is invisible becomes visible in front of it, and then is no white space;
		// but a colon stays, whatever stands before it.
		return i == 1 || unicode.IsSpace(before)
	}
	return false
}

// SectionMark reports whether s ends in what becomes one of GitLab's section marks
// with a colon.
func SectionMark(s string) bool {
	return strings.HasSuffix(s, "section_start") || strings.HasSuffix(s, "section_end")
}

// Unsafe reports whether r acts on the display without being seen. The
// format characters (Cf) include all of U+200B-F, U+202A-E, U+2060-4,
// U+2066-9, U+FEFF, the Arabic letter mark and the tag characters.
func Unsafe(r rune) bool {
	switch {
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
		return true
	case r == 0x2065: // unassigned, inside the range that is promised
		return true
	case r == 0x034f, r == 0x115f, r == 0x1160, r == 0x17b4, r == 0x17b5, r == 0x3164, r == 0xffa0:
		return true // letters and marks that are defined to be blank
	}
	return false
}

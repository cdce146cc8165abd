package render

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"Demo User", "Demo User"},
		{`CORP\demo`, `CORP\demo`},
		{"Zoë Ångström 東京 مرحبا", "Zoë Ångström 東京 مرحبا"},
		{"a\nb\tc\rd", `a\nb\tc\rd`},
		{"\x1b[2Jx", `\x1b[2Jx`},
		{"\x00\x07\x7f", `\x00\x07\x7f`},
		{"\u0085\u009b31m", `\u0085\u009b31m`},
		{"a\u2028b\u2029c", `a\u2028b\u2029c`},
		{"\u200b\u200f", `\u200b\u200f`},
		{"\u202a\u202e", `\u202a\u202e`},
		{"\u2060\u2065\u2069", `\u2060\u2065\u2069`},
		{"\ufeffx", `\ufeffx`},
		{"\u00ad\u061c\u115f\u3164", `\u00ad\u061c\u115f\u3164`},
		{"\U000e0041", `\U000e0041`},
		{"a\xffb\xc3", `a\xffb\xc3`},
		{"\xed\xa0\x80", `\xed\xa0\x80`},
		{"\ufffd", "\ufffd"},
	} {
		if got := Clean(c.in); got != c.want {
			t.Errorf("Clean(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// promised reports whether the design names r as one that must not get through.
func promised(r rune) bool {
	return r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 || r >= 0x200b && r <= 0x200f ||
		r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x2069 || r == 0xfeff
}

func TestCleanEveryRune(t *testing.T) {
	for r := range rune(utf8.MaxRune + 1) {
		if got := Clean(string(r)); promised(r) && strings.ContainsFunc(got, promised) {
			t.Errorf("Clean(%U) = %q lets it through", r, got)
		}
	}
}

func TestCleanProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "string")
		got := Clean(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, promised) {
			t.Fatalf("Clean(%q) = %q is not clean", s, got)
		}
		if again := Clean(got); again != got {
			t.Fatalf("Clean(Clean(%q)) = %q, want %q", s, again, got)
		}
		if s != "" && got == "" {
			t.Fatalf("Clean(%q) is empty", s)
		}
	})
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 3, "äöü"}, {"äöüß", 3, "äö…"}, {"", 3, ""},
	} {
		if got := clip(c.in, c.n); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

package clean

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestText(t *testing.T) {
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
		{"##[error]x", `#\x23[error]x`},
		{"a ##[group]", `a #\x23[group]`},
		{"a##vso[task.complete]", `a#\x23vso[task.complete]`},
		{"####", `#\x23\x23\x23`},
		{"# a #1", "# a #1"},
		{"::error::x", `:\x3aerror::x`},
		{"a ::add-mask::x", `a :\x3aadd-mask::x`},
		{"\u00a0::error::x", "\u00a0:\\x3aerror::x"},
		{"\n::error::x", `\n:\x3aerror::x`},
		{":::x", `:\x3a:x`},
		{"http://[::1]:8080/ a::b: c", "http://[::1]:8080/ a::b: c"},
		{"section_start:1:a\r\x1b[0K", `section_start\x3a1:a\r\x1b[0K`},
		{"xsection_end:1:a", `xsection_end\x3a1:a`},
		{"section_started:", "section_started:"},
	} {
		if got := Text(c.in); got != c.want {
			t.Errorf("Text(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// promised reports whether the design names r as one that must not get through.
func promised(r rune) bool {
	return r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 || r >= 0x200b && r <= 0x200f ||
		r >= 0x202a && r <= 0x202e || r >= 0x2060 && r <= 0x2069 || r == 0xfeff
}

func TestTextOfEveryRune(t *testing.T) {
	for r := range rune(utf8.MaxRune + 1) {
		if got := Text(string(r)); promised(r) && strings.ContainsFunc(got, promised) {
			t.Errorf("Text(%U) = %q lets it through", r, got)
		}
	}
}

func TestTextProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "string")
		s += strings.Join(rapid.SliceOf(rapid.SampledFrom(pieces)).Draw(t, "pieces"), "")
		got := Text(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, promised) {
			t.Fatalf("Text(%q) = %q is not clean", s, got)
		}
		if line, found := commandIn(got); found {
			t.Fatalf("Text(%q) = %q holds a command in the line %q", s, got, line)
		}
		if again := Text(got); again != got {
			t.Fatalf("Text(Text(%q)) = %q, want %q", s, again, got)
		}
		if s != "" && got == "" {
			t.Fatalf("Text(%q) is empty", s)
		}
	})
}

// pieces are what commands of runners are made of.
var pieces = []string{"#", "##", "##[", "##vso[", ":", "::", "::error::", " ", "\t", "\n", "\r", "\u00a0", "\u3000", "\u2028", "\u200b", "\ufeff", "\x1b[0K", "section_start", "section_end", ":1:x", "x", "[", "]", "\"", "\xff"}

// commandIn returns a line that one of the three runners would take for a command,
// however s is wrapped at white space, or false.
func commandIn(s string) (string, bool) {
	for i, r := range s {
		if i > 0 && !unicode.IsSpace(r) {
			continue
		}
		if line := strings.TrimSpace(s[i:]); strings.HasPrefix(line, "::") {
			return line, true
		}
	}
	for _, mark := range []string{"##", "section_start:", "section_end:"} {
		if at := strings.Index(s, mark); at >= 0 {
			return s[at:], true
		}
	}
	return "", false
}

func TestCommands(t *testing.T) {
	for in, want := range map[string]string{
		"time=1 msg=x name=##[error]x\n": "time=1 msg=x name=#\\x23[error]x\n",
		`msg="a ::error::b" file=\a`:     `msg="a :\x3aerror::b" file=\a`,
		"plain":                          "plain",
		"":                               "",
	} {
		if got := Commands(in); got != want {
			t.Errorf("Commands(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	if got, want := Quote("CORP\\a\"b\x07::"), `"CORP\a\"b\x07::"`; got != want {
		t.Errorf("Quote = %s, want %s", got, want)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range append(pieces, "##[error]x", "::error::x", "section_start:1:x\r\x1b[0K", "Demo User") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if line, found := commandIn(got); found || !utf8.ValidString(got) || strings.ContainsFunc(got, promised) {
			t.Errorf("Text(%q) = %q is not clean: %q", s, got, line)
		}
		if again := Text(got); again != got {
			t.Errorf("Text(%q) = %q, want it unchanged", got, again)
		}
		if commands := Commands(s); s == "" != (commands == "") || strings.Contains(commands, "##") {
			t.Errorf("Commands(%q) = %q", s, commands)
		}
	})
}

func TestCount(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0, "principal"), "0 principals"},
		{Count(1, "principal"), "1 principal"},
		{Count(int64(2), "retry"), "2 retries"},
		{Count(-1, "retry"), "-1 retries"},
		{Count(2, "day"), "2 days"},
		{Count(1, "user is", "users are"), "1 user is"},
		{Count(3, "user is", "users are"), "3 users are"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

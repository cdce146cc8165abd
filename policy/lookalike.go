package policy

import (
	"cmp"
	"fmt"
	"iter"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"privsync/clean"
)

// plainName reports whether a name holds nothing that could be mistaken: printable
// ASCII without a blank at an end.
func plainName(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[len(s)-1] != ' '
}

// oddity says what in a name cannot be seen or is easily taken for something else;
// "" for nothing.
func oddity(s string) string {
	if plainName(s) {
		return ""
	}
	if r, _ := utf8.DecodeRuneInString(s); unicode.IsSpace(r) {
		return "begins with " + runeName(r)
	}
	if r, _ := utf8.DecodeLastRuneInString(s); unicode.IsSpace(r) {
		return "ends with " + runeName(r)
	}
	n := 0
	for _, r := range s {
		n++
		if r != ' ' && (unicode.IsSpace(r) || unicode.Is(unicode.Mn, r) || invisible(r)) {
			return fmt.Sprintf("holds %s as its character %d", runeName(r), n)
		}
	}
	return ""
}

// invisible reports whether a character cannot be seen, or is not known to be seen.
func invisible(r rune) bool { return clean.Unsafe(r) || !unicode.IsPrint(r) }

// runeName names a character that a person could not see or tell.
func runeName(r rune) string {
	name := ""
	switch {
	case r == 0:
		return "nothing"
	case r == ' ':
		name = "a blank"
	case r == '\t':
		name = "a tab"
	case r == '\b':
		name = "a backspace"
	case r == '\n' || r == '\r':
		name = "a line end"
	case r == 0xA0 || r == 0x202F || r == 0x2007:
		name = "a no-break space"
	case unicode.IsSpace(r):
		name = "an unusual blank"
	case unicode.Is(unicode.Mn, r):
		name = "an accent that is a character of its own"
	case unicode.IsControl(r):
		name = "a control character"
	case invisible(r):
		name = "an invisible character"
	default:
		name = clean.Quote(string(r))
	}
	return fmt.Sprintf("%s (U+%04X)", name, r)
}

// skeleton is what is left of a name for the eye: without case, accents, invisible
// characters and blanks at its ends, every other blank the same. Names that look the
// same have the same skeleton.
func skeleton(s string) string {
	if plainName(s) {
		return FoldLogin(s)
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case unicode.Is(unicode.Mn, r), invisible(r):
		default:
			b.WriteRune(cmp.Or(accented[r], r))
		}
	}
	return strings.TrimSpace(FoldLogin(b.String()))
}

// accented lists the letters with an accent that are one character, by their letter.
var accented = func() map[rune]rune {
	m := map[rune]rune{}
	for base, list := range map[rune]string{
		'a': "àáâãäåāăą", 'A': "ÀÁÂÃÄÅĀĂĄ", 'c': "çćĉċč", 'C': "ÇĆĈĊČ", 'd': "ď", 'D': "Ď", 'e': "èéêëēĕėęě", 'E': "ÈÉÊËĒĔĖĘĚ",
		'g': "ĝğġģ", 'G': "ĜĞĠĢ", 'i': "ìíîïĩīĭį", 'I': "ÌÍÎÏĨĪĬĮİ", 'l': "ĺļľ", 'L': "ĹĻĽ", 'n': "ñńņň", 'N': "ÑŃŅŇ", 'o': "òóôõöōŏő", 'O': "ÒÓÔÕÖŌŎŐ",
		'r': "ŕŗř", 'R': "ŔŖŘ", 's': "śŝşš", 'S': "ŚŜŞŠ", 't': "ţť", 'T': "ŢŤ", 'u': "ùúûüũūŭůűų", 'U': "ÙÚÛÜŨŪŬŮŰŲ", 'y': "ýÿ", 'Y': "ÝŸ", 'z': "źżž", 'Z': "ŹŻŽ",
	} {
		for _, r := range list {
			m[r] = base
		}
	}
	return m
}()

// LookAlike returns the first of candidates that a person could take for name, or "".
func LookAlike(name string, candidates []string) string {
	bare := skeleton(name)
	for _, c := range candidates {
		if c != name && skeleton(c) == bare {
			return c
		}
	}
	return ""
}

// Difference says where two names differ that a person could take for one: in case,
// in blanks, in characters that cannot be seen. It returns "" for names that are equal
// or that anybody can tell apart.
func Difference(a, b string) string {
	if a == b || skeleton(a) != skeleton(b) {
		return ""
	}
	x, y := []rune(a), []rune(b)
	for i := range max(len(x), len(y)) {
		var r, s rune
		if i < len(x) {
			r = x[i]
		}
		if i < len(y) {
			s = y[i]
		}
		if r != s {
			return fmt.Sprintf("they differ in character %d: %s, and %s", i+1, runeName(r), runeName(s))
		}
	}
	return ""
}

// checkName warns of a name that is probably not what its writer sees.
func (p *parser) checkName(n *yaml.Node, what, name string) {
	if odd := oddity(name); odd != "" {
		hint := "write the name as it stands on the server"
		if strings.ContainsRune(name, '\b') {
			hint = `in double quotes a backslash needs another one, in single quotes none: 'CORP\bob'`
		}
		p.warned.add(p.pos(n), hint, fmt.Sprintf("%s %s %s", what, clean.Quote(cut(name)), odd))
	}
	if c := n.LineComment; !quoted(n) && len(c) > 1 && c[0] == '#' && c[1] != '#' && c[1] != ' ' && c[1] != '\t' && !allDigits(name) {
		text, _, _ := strings.Cut(c, "\n")
		p.warned.add(p.pos(n), fmt.Sprintf("quote it if %s is meant, write a blank after # if it is a comment", clean.Quote(cut(name+" "+text))),
			fmt.Sprintf("%s is %s: what follows from %s on is a comment", what, clean.Quote(cut(name)), clean.Quote(cut(text))))
	}
}

// lookAlikes warns of names of the policy that differ only in what a person does not
// see or does not mind. Logins match without regard to case.
func (a *assembler) lookAlikes(p *Policy, warned *collector) {
	seen := make(map[string]PrincipalRef, len(p.Principals))
	for r := range p.Named(time.Time{}) {
		key := string(r.Kind) + skeleton(r.Name)
		other, known := seen[key]
		switch {
		case !known:
			seen[key] = r
		case other.Name == r.Name, r.Kind == User && strings.EqualFold(other.Name, r.Name):
		default:
			warned.add(r.Pos, "write both in one way if one is meant", fmt.Sprintf("%s looks like %s at %s: %s", describe(r), describe(other), other.Pos, Difference(r.Name, other.Name)))
		}
	}
}

// Named yields every principal that the policy names, but for those of exceptions that
// have expired at now.
func (p *Policy) Named(now time.Time) iter.Seq[PrincipalRef] {
	return func(yield func(PrincipalRef) bool) {
		more := true
		name := func(r *PrincipalRef) { more = more && yield(*r) }
		var chosen func(s *Selector)
		chosen = func(s *Selector) {
			if group := s.Group(); group.Name != "" {
				name(&group)
			}
			for i := range s.Except {
				switch x := &s.Except[i]; {
				case x.Expired(now):
				case x.Principal != nil:
					name(x.Principal)
				default:
					chosen(x.Selector)
				}
			}
		}
		for i := range p.Principals {
			if e := &p.Principals[i]; e.Principal != nil {
				name(e.Principal)
			} else {
				chosen(e.Selector)
			}
		}
		if p.Safety != nil {
			for i := range p.Safety.Protected {
				name(&p.Safety.Protected[i])
			}
			for _, s := range p.Safety.ProtectedBy {
				chosen(s)
			}
		}
		for i := range p.Rules {
			for j := range p.Rules[i].Except {
				if x := &p.Rules[i].Except[j]; !x.Expired(now) {
					name(&x.PrincipalRef)
				}
			}
		}
	}
}

package mstrapi

import (
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// shortCookie is the length from which the value of a cookie is cut out wherever it
	// stands, like other secrets. Not all cookies are secrets, and a language or a flag
	// would be found by chance: a shorter one must be a whole word.
	shortCookie = 8
	// keptNames and keptValues bound how many cookies are remembered, and how many
	// values of each: some servers send a new one with every answer.
	keptNames, keptValues = 2 * mostCookies, 4
)

// sentCookie is a cookie as it may come back in a text, with its last values.
type sentCookie struct {
	name   string
	values []string
}

// keepCookies remembers the values of an answer's cookies as keepSecret does.
func (c *client) keepCookies(resp *http.Response) {
	lines := resp.Header["Set-Cookie"]
	if len(lines) == 0 {
		return
	}
	c.secretsMu.Lock()
	defer c.secretsMu.Unlock()
	for _, line := range lines {
		got, _, ok := parseCookie(line, time.Time{})
		if !ok || got.value == "" {
			continue
		}
		kept := sentCookie{name: got.name}
		if i := slices.IndexFunc(c.cookies, func(k sentCookie) bool { return k.name == got.name }); i >= 0 {
			kept = c.cookies[i]
			c.cookies = slices.Delete(c.cookies, i, i+1)
		}
		for _, value := range []string{got.value, strings.Trim(got.value, `"`)} {
			if value != "" && !slices.Contains(kept.values, value) {
				kept.values = append(kept.values, value)
			}
		}
		if n := len(kept.values); n > 2*keptValues {
			kept.values = slices.Delete(kept.values, 0, n-2*keptValues)
		}
		c.cookies = append(c.cookies, kept)
	}
	if n := len(c.cookies); n > keptNames {
		c.cookies = slices.Delete(c.cookies, 0, n-keptNames)
	}
}

// cutOut returns text without the cookie's values, the short ones only where words is
// set: in a document they might be one of its words.
func (k *sentCookie) cutOut(text string, words bool) string {
	for _, value := range k.values {
		for _, form := range secretForms(value) {
			switch {
			case len(value) >= shortCookie:
				text = cutOut(text, form)
			case !words:
			case len(value) >= shortSecret:
				text = cutWord(text, form, func(string) bool { return true })
			default:
				text = cutWord(text, form, k.named)
			}
		}
	}
	return text
}

// named reports whether text ends in the cookie's name and what stands between a name
// and its value in a header, a query or a document: = or ": ".
func (k *sentCookie) named(text string) bool {
	return strings.HasSuffix(strings.TrimSuffix(strings.TrimRight(text, `=: "'\`), "%3D"), k.name)
}

// cutWord returns text without the words that are secret and stand after what before
// accepts.
func cutWord(text, secret string, before func(string) bool) string {
	var b strings.Builder
	from := 0
	for at := 0; ; {
		i := strings.Index(text[at:], secret)
		if i < 0 {
			break
		}
		start, end := at+i, at+i+len(secret)
		left, _ := utf8.DecodeLastRuneInString(text[:start])
		right, _ := utf8.DecodeRuneInString(text[end:])
		whole := !inWord(right) && (!inWord(left) || strings.HasSuffix(text[:start], "%3D")) // %3D: = in a URL
		if !whole || !before(text[:start]) {
			at = start + 1
			continue
		}
		b.WriteString(text[from:start] + redacted)
		at, from = end, end
	}
	return b.String() + text[from:]
}

// inWord reports whether a secret that r touches is only part of a word.
func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }

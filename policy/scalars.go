package policy

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"privsync/clean"
	"privsync/mstr"
)

const (
	maxNameRunes = 1024
	maxTextRunes = 4096
	maxURLBytes  = 2048

	maxLimit = 1_000_000_000
)

func quoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && !quoted(n) && n.Style&yaml.TaggedStyle == 0
}

// shapeName says what a node is, for messages.
func shapeName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return "a single value"
}

func (p *parser) wrongType(n *yaml.Node, what, want string) {
	p.problem(n, "", "%s must be %s, not %s", what, want, shapeName(n))
	p.searchSecrets(n)
}

// scalar returns a scalar's own text. The text counts, whatever YAML takes it
// for: no, on, 0123 and 1E10 are words like any other; only nothing at all is
// an error.
func (p *parser) scalar(n *yaml.Node, what string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		p.wrongType(n, what, "a single value")
	case n.Style&yaml.TaggedStyle != 0:
		p.problem(n, "leave it out: the text as written counts", "tag %s is not part of the policy language", clean.Quote(cut(n.Tag)))
	case isNull(n) && n.Value != "":
		p.problem(n, fmt.Sprintf("quote it if %s is really meant", clean.Quote(n.Value)), "%s is empty: %s means nothing in YAML", what, n.Value)
	case strings.TrimSpace(n.Value) == "":
		p.problem(n, "", "%s is empty", what)
	default:
		return n.Value, true
	}
	return "", false
}

func (p *parser) sized(n *yaml.Node, what string, limit int) (string, bool) {
	text, ok := p.scalar(n, what)
	if !ok {
		return "", false
	}
	if len(text) > limit && utf8.RuneCountInString(text) > limit {
		p.problem(n, "", "%s is longer than %d characters", what, limit)
		return "", false
	}
	return p.intern(text), true
}

func (p *parser) name(n *yaml.Node, what string) (string, bool) {
	name, ok := p.sized(n, what, maxNameRunes)
	if ok {
		p.checkName(n, what, name)
	}
	return name, ok
}

func (p *parser) text(n *yaml.Node, what string) (string, bool) {
	return p.sized(n, what, maxTextRunes)
}

// oneOf returns one of the allowed words.
func oneOf[T ~string](p *parser, n *yaml.Node, what string, allowed ...T) (T, bool) {
	text, ok := p.scalar(n, what)
	if !ok {
		return "", false
	}
	words := make([]string, len(allowed))
	for i, w := range allowed {
		if words[i] = string(w); words[i] == text {
			return w, true
		}
	}
	p.problem(n, didYouMean(text, words), "%s is %s, must be %s", what, clean.Quote(cut(text)), orList(words))
	return "", false
}

func orList(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (p *parser) boolean(n *yaml.Node, what string) (bool, bool) {
	text, ok := p.scalar(n, what)
	if !ok {
		return false, false
	}
	if n.Tag == "!!bool" {
		return strings.EqualFold(text, "true"), true
	}
	hint := ""
	switch strings.ToLower(text) {
	case "yes", "on", "y", "1", "true":
		hint = "write true"
	case "no", "off", "n", "0", "false":
		hint = "write false"
	}
	p.problem(n, hint, "%s must be true or false", what)
	return false, false
}

func (p *parser) integer(n *yaml.Node, what string, least, most int) (int, bool) {
	text, ok := p.scalar(n, what)
	if !ok {
		return 0, false
	}
	v, ok := decimal(text, most)
	switch {
	case quoted(n):
		p.problem(n, "", "%s must be a number without quotes", what)
	case !ok || v < least:
		p.problem(n, "", "%s must be a whole number from %d to %d", what, least, most)
	default:
		return v, true
	}
	return 0, false
}

// decimal reads decimal digits without a leading zero, at most most.
func decimal(text string, most int) (int, bool) {
	if !allDigits(text) || len(text) > 1 && text[0] == '0' || len(text) > 10 {
		return 0, false
	}
	v, err := strconv.Atoi(text)
	return v, err == nil && v <= most
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// limit reads a number or, if percent is allowed, a percent.
func (p *parser) limit(n *yaml.Node, what string, percent bool) (*Limit, bool) {
	text, ok := p.scalar(n, what)
	if !ok {
		return nil, false
	}
	l, err := ParseLimit(text)
	l.Pos = p.pos(n)
	switch {
	case err == nil && l.Number <= maxLimit && (percent || !l.Percent && !quoted(n)):
		return &l, true
	case percent:
		p.problem(n, "", `%s must be a whole number such as 25, or a percent such as "10%%"`, what)
	default:
		p.problem(n, "", "%s must be a whole number from 0 to %d, without quotes", what, maxLimit)
	}
	return nil, false
}

// objectID returns 32 upper-case hexadecimal digits.
func (p *parser) objectID(n *yaml.Node, what string) (string, bool) {
	text, ok := p.scalar(n, what)
	if !ok {
		return "", false
	}
	if len(text) != 32 || strings.Trim(text, "0123456789abcdefABCDEF") != "" {
		hint := ""
		if strings.Count(text, "-") == 4 && len(text) == 36 {
			hint = "leave out the hyphens"
		}
		p.problem(n, hint, "%s must be 32 hexadecimal digits", what)
		return "", false
	}
	return strings.ToUpper(text), true
}

// date returns midnight UTC of a day.
func (p *parser) date(n *yaml.Node, what string) (time.Time, bool) {
	text, ok := p.scalar(n, what)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(time.DateOnly, text)
	switch {
	case len(text) != len(time.DateOnly) || strings.Trim(text, "0123456789-") != "" || text[4] != '-' || text[7] != '-':
		p.problem(n, "", "%s must be a day written YYYY-MM-DD", what)
	case err != nil:
		p.problem(n, "", "%s is %s, a day that does not exist", what, text)
	case t.Year() < 2000 || t.Year() > 2999:
		p.problem(n, "", "%s is %s, must be in the years 2000 to 2999", what, text)
	default:
		return t, true
	}
	return time.Time{}, false
}

// ref returns a privilege by number or name.
func (p *parser) ref(n *yaml.Node, what string) (Ref, bool) {
	text, ok := p.name(n, what)
	if !ok {
		return Ref{}, false
	}
	if !allDigits(text) {
		return Ref{Name: text, Pos: p.pos(n)}, true
	}
	id, ok := decimal(text, mstr.MaxPrivilege)
	if ok && id > 0 {
		return Ref{ID: id, Pos: p.pos(n)}, true
	}
	hint := ""
	if id, ok := decimal(strings.TrimLeft(text, "0"), mstr.MaxPrivilege); ok {
		hint = fmt.Sprintf("write %d", id)
	}
	p.problem(n, hint, "%s %s is not a privilege number: 1 to %d, without a leading zero", what, cut(text), mstr.MaxPrivilege)
	return Ref{}, false
}

// serverURL checks a base URL. No message repeats it: it may hold a password by
// mistake.
func (p *parser) serverURL(n *yaml.Node, what string) (string, bool) {
	text, ok := p.scalar(n, what)
	if !ok {
		return "", false
	}
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURLBytes:
		p.problem(n, "", "%s is longer than %d bytes", what, maxURLBytes)
	case err == nil && u.User != nil:
		p.problem(n, secretAdvice, "%s holds a user or a password", what)
	case strings.ContainsAny(text, "?#"):
		p.problem(n, "", "%s must not have a query or a fragment", what)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Contains(u.Host, "@"):
		p.problem(n, "write it like https://bi.example.com/MicroStrategyLibrary", "%s is not an http or https URL", what)
	default:
		return text, true
	}
	return "", false
}

// cut shortens untrusted text for a message.
func cut(s string) string { return clean.Clip(s, 80) }

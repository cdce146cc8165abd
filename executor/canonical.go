package executor

import (
	"errors"
	"slices"
	"strings"

	"github.com/gowebpki/jcs"
)

// canonicalizer writes JSON text in canonical form (RFC 8785). What privsync
// itself writes (plain integers, strings and names of ASCII) it does in one pass;
// everything else goes to package jcs. Reading a report on 100,000 principals
// takes seconds so, and not half a minute.
//
// The text has passed encoding/json, so its syntax is right.
type canonicalizer struct {
	in  []byte
	pos int
	out []byte
}

// appendCanonicalText appends the canonical form of text, which is one valid JSON
// value, to out.
func appendCanonicalText(out, text []byte) ([]byte, error) {
	c := canonicalizer{in: text, out: out}
	err := c.value()
	return c.out, err
}

var errJSON = errors.New("not valid JSON")

// next skips white space and returns the byte after it without taking it, 0 at
// the end.
func (c *canonicalizer) next() byte {
	for c.pos < len(c.in) {
		switch b := c.in[c.pos]; b {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return b
		}
	}
	return 0
}

func (c *canonicalizer) value() error {
	switch c.next() {
	case '{':
		return c.object()
	case '[':
		return c.array()
	case '"':
		return c.token(c.stringEnd())
	case 0:
		return errJSON
	}
	end := c.pos
	for end < len(c.in) && !strings.ContainsRune(",]} \t\n\r", rune(c.in[end])) {
		end++
	}
	return c.token(end, plainScalar(c.in[c.pos:end]))
}

// token takes the text up to end: as it is if it is canonical already.
func (c *canonicalizer) token(end int, plain bool) error {
	text := c.in[c.pos:end]
	c.pos = end
	if plain {
		c.out = append(c.out, text...)
		return nil
	}
	canonical, err := jcs.Transform(text)
	c.out = append(c.out, canonical...)
	return err
}

// stringEnd returns where the string that begins here ends, and whether it is
// printable ASCII without escapes.
func (c *canonicalizer) stringEnd() (end int, plain bool) {
	plain = true
	for i := c.pos + 1; i < len(c.in); i++ {
		switch b := c.in[i]; {
		case b == '"':
			return i + 1, plain
		case b == '\\':
			plain = false
			i++
		case b < 0x20 || b >= 0x7f:
			plain = false
		}
	}
	return len(c.in), false
}

// plainScalar reports whether s is a literal or an integer that every reader
// holds exactly.
func plainScalar(s []byte) bool {
	switch string(s) {
	case "true", "false", "null", "0":
		return true
	}
	digits := s
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 15 || digits[0] == '0' {
		return false
	}
	for _, d := range digits {
		if d < '0' || d > '9' {
			return false
		}
	}
	return true
}

func (c *canonicalizer) array() error {
	c.pos++
	c.out = append(c.out, '[')
	for n := 0; ; n++ {
		switch c.next() {
		case ']':
			c.pos++
			c.out = append(c.out, ']')
			return nil
		case ',':
			c.pos++
			c.out = append(c.out, ',')
		}
		if err := c.value(); err != nil {
			return err
		}
	}
}

func (c *canonicalizer) object() error {
	type span struct {
		key        string
		start, end int // of the whole member in out
	}
	begin, first := c.pos, len(c.out)
	c.pos++
	var members []span
	for {
		switch c.next() {
		case '}':
			c.pos++
			order := slices.Clone(members)
			slices.SortFunc(order, func(a, b span) int { return strings.Compare(a.key, b.key) })
			written := slices.Clone(c.out[first:])
			c.out = append(c.out[:first], '{')
			for i, m := range order {
				if i > 0 {
					if m.key == order[i-1].key {
						return errors.New("a member stands twice")
					}
					c.out = append(c.out, ',')
				}
				c.out = append(c.out, written[m.start-first:m.end-first]...)
			}
			c.out = append(c.out, '}')
			return nil
		case ',':
			c.pos++
			continue
		case '"':
		default:
			return errJSON
		}
		end, plain := c.stringEnd()
		if !plain {
			// Such names sort by UTF-16: leave the whole object to jcs.
			c.pos = begin
			c.out = c.out[:first]
			return c.token(c.objectEnd(), false)
		}
		m := span{key: string(c.in[c.pos:end]), start: len(c.out)}
		if err := c.token(end, true); err != nil {
			return err
		}
		if c.next() != ':' {
			return errJSON
		}
		c.pos++
		c.out = append(c.out, ':')
		if err := c.value(); err != nil {
			return err
		}
		m.end = len(c.out)
		members = append(members, m)
	}
}

// objectEnd returns where the object that begins here ends.
func (c *canonicalizer) objectEnd() int {
	depth := 0
	in := canonicalizer{in: c.in, pos: c.pos}
	for in.pos < len(in.in) {
		switch in.in[in.pos] {
		case '"':
			in.pos, _ = in.stringEnd()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return in.pos + 1
			}
		}
		in.pos++
	}
	return len(c.in)
}

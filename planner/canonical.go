package planner

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"unicode/utf16"

	"github.com/gowebpki/jcs"
)

// AppendCanonical appends the canonical form (RFC 8785) of text, which is one
// valid JSON value, to out. An object in which a member stands twice is an error.
//
// What privsync itself writes (plain integers, strings of ASCII) it does in one
// pass; other numbers and strings go to package jcs. For a document on 100,000
// principals that is the difference between a second and half a minute.
func AppendCanonical(out, text []byte) ([]byte, error) {
	c := canonicalizer{in: text, out: out}
	err := c.value()
	return c.out, err
}

// canonical returns the canonical JSON of a value.
func canonical(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return AppendCanonical(nil, text)
}

// canonicalizer writes the canonical form of a text whose syntax is right, for it
// has passed encoding/json.
type canonicalizer struct {
	in      []byte
	pos     int
	out     []byte
	members []memberSpan // of all objects that are open, the innermost last
	scratch []byte
}

// memberSpan is a member of an object: its name, and where it stands in out,
// from its name to the end of its value.
type memberSpan struct {
	name       []byte
	start, end int
}

var (
	errJSON  = errors.New("not valid JSON")
	errTwice = errors.New("a member stands twice")
)

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
	end := c.scalarEnd()
	return c.token(end, plainScalar(c.in[c.pos:end]))
}

// scalarEnd returns where the number or literal that begins here ends.
func (c *canonicalizer) scalarEnd() int {
	for end := c.pos; end < len(c.in); end++ {
		switch c.in[end] {
		case ',', ']', '}', ' ', '\t', '\n', '\r':
			return end
		}
	}
	return len(c.in)
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
	for {
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
	first, base := len(c.out), len(c.members)
	sorted := true
	c.pos++
	c.out = append(c.out, '{')
	for {
		switch c.next() {
		case '}':
			c.pos++
			c.out = append(c.out, '}')
			if !sorted {
				return c.sortMembers(first, base)
			}
			c.members = c.members[:base]
			return nil
		case ',':
			c.pos++
			c.out = append(c.out, ',')
			continue
		case '"':
		default:
			return errJSON
		}
		end, plain := c.stringEnd()
		m := memberSpan{start: len(c.out)}
		if plain {
			m.name = c.in[c.pos+1 : end-1]
		} else {
			var name string
			if err := json.Unmarshal(c.in[c.pos:end], &name); err != nil {
				return err
			}
			m.name = []byte(name)
		}
		if len(c.members) > base {
			order := compareNames(c.members[len(c.members)-1].name, m.name)
			if order == 0 {
				return errTwice
			}
			sorted = sorted && order < 0
		}
		if err := c.token(end, plain); err != nil {
			return err
		}
		c.out = append(c.out, ':')
		if c.next() != ':' {
			return errJSON
		}
		c.pos++
		if err := c.value(); err != nil {
			return err
		}
		m.end = len(c.out)
		c.members = append(c.members, m)
	}
}

// sortMembers puts the members of the object at the end of out in order: those
// from base on, whose text begins at first.
func (c *canonicalizer) sortMembers(first, base int) error {
	members := c.members[base:]
	slices.SortFunc(members, func(a, b memberSpan) int { return compareNames(a.name, b.name) })
	c.scratch = append(c.scratch[:0], c.out[first:]...)
	c.out = c.out[:first+1]
	for i, m := range members {
		if i > 0 {
			if bytes.Equal(m.name, members[i-1].name) {
				return errTwice
			}
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, c.scratch[m.start-first:m.end-first]...)
	}
	c.out = append(c.out, '}')
	c.members = c.members[:base]
	return nil
}

// compareNames compares as RFC 8785 sorts: by UTF-16 code units, which is byte
// order but for characters from U+E000 on.
func compareNames(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			if a[i] < 0xee || b[i] < 0xee {
				return cmp.Compare(a[i], b[i])
			}
			return slices.Compare(utf16.Encode([]rune(string(a))), utf16.Encode([]rune(string(b))))
		}
	}
	return cmp.Compare(len(a), len(b))
}

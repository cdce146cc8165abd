package mstrapi

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a document.
const maxDepth = 100

// A scanner reads one JSON document, validates all of it and copies only what it
// is asked for: most of a privilege answer is descriptions that nobody reads. It
// is strict where encoding/json is not: keys are compared exactly.
//
// The first error sticks in err; from then on every method returns its zero
// value, so that loops end and callers check once.
type scanner struct {
	b     []byte
	i     int
	depth int
	err   error
}

// reset begins a new document.
func (s *scanner) reset(b []byte) { *s = scanner{b: b} }

// fail records the first error and returns false.
func (s *scanner) fail(what string) bool {
	if s.err == nil {
		if s.i >= len(s.b) {
			what = "the document ends early"
			if len(s.b) == 0 {
				what = "empty body"
			}
		}
		s.err = incompletef("%s, at byte %d", what, s.i)
	}
	s.i = len(s.b)
	return false
}

// peek returns the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) && s.b[s.i] > ' ' {
		return s.b[s.i]
	}
	return s.peekOverSpace()
}

func (s *scanner) peekOverSpace() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// take consumes c, which must come next.
func (s *scanner) take(c byte) bool {
	if s.peek() != c || s.i >= len(s.b) {
		return s.fail("expected " + strconv.QuoteRune(rune(c)))
	}
	s.i++
	return true
}

// open consumes the start of an object or an array.
func (s *scanner) open(c byte) bool {
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deeply")
	}
	return s.take(c)
}

// more reports whether another member or element follows, and consumes the comma
// before it or the end of the object or array. first is true before the first.
func (s *scanner) more(first *bool, end byte) bool {
	if s.err != nil {
		return false
	}
	c := s.peek()
	if c == end {
		s.i++
		s.depth--
		return false
	}
	if *first {
		*first = false
		return true
	}
	if c != ',' {
		return s.fail("expected a comma or the end")
	}
	s.i++
	return true
}

// key returns the next member's key, without escapes, and consumes the colon.
func (s *scanner) key() []byte {
	k := s.str().bytes()
	if s.i < len(s.b) && s.b[s.i] == ':' {
		s.i++
	} else if s.err == nil {
		s.take(':')
	}
	return k
}

// rawString is a string as it stands in a document, with its quotes. The zero
// value is the empty string. It is valid as long as the document's buffer.
type rawString struct {
	quoted  []byte
	escaped bool // it has escapes
	wide    bool // it may have bytes beyond ASCII
}

// plain returns the text between the quotes.
func (r rawString) plain() []byte {
	if len(r.quoted) < 2 {
		return nil
	}
	return r.quoted[1 : len(r.quoted)-1]
}

// bytes returns the string's value; it may share the document's buffer.
func (r rawString) bytes() []byte {
	p := r.plain()
	if !r.escaped && (!r.wide || utf8.Valid(p)) {
		return p
	}
	return []byte(r.String())
}

// String returns the string's value. Invalid UTF-8 and lone surrogates become
// U+FFFD, as in encoding/json.
func (r rawString) String() string {
	p := r.plain()
	if !r.escaped && (!r.wide || utf8.Valid(p)) {
		return string(p)
	}
	var text string
	if json.Unmarshal(r.quoted, &text) != nil {
		return "" // cannot be: the scanner has validated it
	}
	return text
}

const (
	everyByte = 0x0101010101010101
	highBits  = 0x8080808080808080
)

// str consumes a string.
func (s *scanner) str() rawString {
	if s.i < len(s.b) && s.b[s.i] == '"' {
		s.i++
	} else if !s.take('"') {
		return rawString{}
	}
	b, i, start := s.b, s.i, s.i-1
	escaped, wide := false, false
	for i < len(b) {
		// Eight bytes at a time until one of them is a quote, a backslash or a
		// control character: subtracting borrows out of exactly such bytes, and
		// out of none before the first of them.
		for len(b)-i >= 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			quote, slash := w^everyByte*'"', w^everyByte*'\\'
			hit := ((quote-everyByte)&^quote | (slash-everyByte)&^slash | (w-everyByte*0x20)&^w) & highBits
			if hit != 0 {
				wide = wide || w&highBits&(hit&-hit-1) != 0
				i += bits.TrailingZeros64(hit) / 8
				break
			}
			wide = wide || w&highBits != 0
			i += 8
		}
		if i >= len(b) {
			break
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return rawString{b[start:s.i], escaped, wide}
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				s.i = i
				s.fail("invalid escape in a string")
				return rawString{}
			}
			escaped = true
			i += n
		case c < 0x20:
			s.i = i
			s.fail("control character in a string")
			return rawString{}
		case c >= utf8.RuneSelf:
			wide = true
			i++
		default:
			i++
		}
	}
	s.i = len(b)
	s.fail("")
	return rawString{}
}

// escapeLen returns the length of the escape that b begins with, 0 if it is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !isHex(c) {
				return 0
			}
		}
		return 6
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// number consumes a number and returns its text.
func (s *scanner) number() []byte {
	s.peek()
	b, i := s.b, s.i
	digits := func() bool {
		from := i
		for i < len(b) && '0' <= b[i] && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	ok := true
	if i < len(b) && b[i] == '0' {
		i++
	} else {
		ok = digits()
	}
	if ok && i < len(b) && b[i] == '.' {
		i++
		ok = digits()
	}
	if ok && i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		ok = digits()
	}
	if !ok {
		s.i = i
		s.fail("invalid value")
		return nil
	}
	text := b[s.i:i]
	s.i = i
	return text
}

// word consumes true, false or null.
func (s *scanner) word(w string) bool {
	s.peek()
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail("invalid value")
	}
	s.i += len(w)
	return true
}

// null consumes null if it comes next, and reports whether it did.
func (s *scanner) null() bool { return s.peek() == 'n' && s.word("null") }

// boolean consumes true or false.
func (s *scanner) boolean() bool {
	switch s.peek() {
	case 't':
		return s.word("true")
	case 'f':
		s.word("false")
		return false
	}
	s.fail("expected true or false")
	return false
}

// skip consumes any value.
func (s *scanner) skip() {
	first := true
	switch s.peek() {
	case '"':
		s.str()
	case '{':
		s.open('{')
		for s.more(&first, '}') {
			s.str()
			if s.err != nil {
				return
			}
			s.take(':')
			s.skip()
		}
	case '[':
		s.open('[')
		for s.more(&first, ']') {
			s.skip()
		}
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.number()
	}
}

// end checks that nothing but white space is left, and returns the first error.
func (s *scanner) end() error {
	if s.err == nil {
		s.peek()
		if s.i < len(s.b) {
			s.fail("text after the document")
		}
	}
	return s.err
}

// once records that a key was seen; a second time is an error: which of the two
// counts is anyone's guess. bit tells the keys of one object apart.
func (s *scanner) once(seen *uint, bit uint) bool {
	if *seen&(1<<bit) != 0 {
		return s.fail("a key stands twice")
	}
	*seen |= 1 << bit
	return true
}

// privilegeID consumes the number of a privilege, a string or an integer.
func (s *scanner) privilegeID() PrivilegeID {
	var text []byte
	if s.peek() == '"' {
		text = s.str().bytes()
	} else {
		text = s.number()
	}
	if s.err != nil {
		return 0
	}
	id, ok := parsePrivilegeID(text)
	if !ok {
		s.fail("invalid number of a privilege")
	}
	return id
}

// parsePrivilegeID returns the number that text spells in decimal digits.
func parsePrivilegeID(text []byte) (PrivilegeID, bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	id := PrivilegeID(0)
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		id = id*10 + PrivilegeID(c-'0')
	}
	return id, id >= 1 && id <= MaxPrivilegeID
}

// parseObjectID returns text in upper case if it is 32 hexadecimal digits.
func parseObjectID(text []byte) (ObjectID, bool) {
	if len(text) != 32 {
		return "", false
	}
	var id [32]byte
	for i, c := range text {
		if !isHex(c) {
			return "", false
		}
		if c >= 'a' {
			c -= 'a' - 'A'
		}
		id[i] = c
	}
	return ObjectID(id[:]), true
}

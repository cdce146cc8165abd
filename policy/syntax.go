package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// readable reports bytes that are no text at all, before the YAML parser can
// give a stranger answer.
func (p *parser) readable(data []byte) bool {
	at := func(i int) Position { return p.byteAt(data, i) }
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")):
		p.out.add(at(0), "save it as UTF-8", "the file is UTF-16, must be UTF-8")
		return false
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		p.out.add(at(0), "", "the file is compressed, must be YAML text")
		return false
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		p.out.add(at(i), "", "the file is not text: it holds a zero byte")
		return false
	}
	for i := 0; i < len(data); {
		if b := data[i]; b >= ' ' && b < utf8.RuneSelf-1 || b == '\n' {
			i++
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			p.out.add(at(i), "save it as UTF-8", "invalid UTF-8")
			return false
		case unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\u0085':
			p.out.add(at(i), "write it as an escape in double quotes if it is meant", fmt.Sprintf("control character %U", r))
			return false
		}
		i += n
	}
	return true
}

// byteAt is the position of the byte at offset i.
func (p *parser) byteAt(data []byte, i int) Position {
	line := 1
	for rest := data; ; line++ {
		text, next, more := cutLine(rest)
		begin := len(data) - len(rest)
		if !more || i < len(data)-len(next) {
			return Position{p.file, line, utf8.RuneCount(text[:min(len(text), i-begin)]) + 1}
		}
		rest = next
	}
}

// cutLine returns the first line of data without its break, and what follows.
// It knows the breaks that YAML knows: editors agree on lines only where a file
// has no others than these.
func cutLine(data []byte) (line, rest []byte, more bool) {
	for i := 0; i < len(data); i++ {
		n := 0
		switch {
		case data[i] == '\n':
			n = 1
		case data[i] == '\r':
			if n = 1; i+1 < len(data) && data[i+1] == '\n' {
				n = 2
			}
		case data[i] == 0xc2 && i+1 < len(data) && data[i+1] == 0x85:
			n = 2
		case data[i] == 0xe2 && i+2 < len(data) && data[i+1] == 0x80 && data[i+2]|1 == 0xa9:
			n = 3
		}
		if n > 0 {
			return data[:i], data[i+n:], true
		}
	}
	return data, nil, false
}

// decode parses exactly one YAML document. A nil node without an error is an
// empty document.
func decode(data []byte) (root *yaml.Node, extra *yaml.Node, err error) {
	// yaml.v3 panics with "internal error: … (please report)" on some malformed
	// input: to a policy that is a syntax error like any other.
	defer func() {
		if r := recover(); r != nil {
			root, extra, err = nil, nil, fmt.Errorf("yaml: %v", r)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var first, second yaml.Node
	if err := dec.Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil, nil
		}
		return nil, nil, err
	}
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, nil, err
	default:
		extra = &second
	}
	if len(first.Content) != 1 {
		return nil, extra, nil
	}
	return first.Content[0], extra, nil
}

var (
	yamlLine      = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxProblem reports what the YAML parser said. It tells a line at best, and
// of a few mistakes only where the mapping or list began.
func (p *parser) syntaxProblem(data []byte, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = m[2]
	}
	switch message {
	case "did not find expected key", "did not find expected '-' indicator":
		line = firstLineWith(data, err.Error(), line)
	case "did not find expected ',' or ']'", "did not find expected ',' or '}'", "did not find expected node content", "did not find expected <document start>":
		// yaml.v3 counts the lines of these from 0.
		line++
	}
	_, line = lineOf(data, line)
	pos := Position{p.file, line, 1}
	hint := ""
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		if i := bytes.Index(data, []byte("*"+m[1])); i >= 0 {
			pos = p.byteAt(data, i)
		}
		hint = fmt.Sprintf("quote a name that begins with *, or write &%s where the alias should point", cut(m[1]))
	}
	text, _ := lineOf(data, pos.Line)
	indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
	switch i := bytes.IndexByte(indent, '\t'); {
	case i >= 0:
		pos.Column = i + 1
		hint = "indent with spaces, YAML does not allow tabs"
	case strings.HasPrefix(message, "mapping values are not allowed"):
		hint = "quote a name that holds a colon, or check the indentation"
	case strings.HasPrefix(message, "found character that cannot start any token"):
		hint = "quote a name that begins with %, @ or `"
	}
	p.out.add(pos, hint, "not valid YAML: "+cut(message))
}

// firstLineWith finds the line whose arrival makes the parser fail: it names
// the beginning of the enclosing mapping or list, which may be far above.
func firstLineWith(data []byte, message string, reported int) int {
	const affordable = 1 << 20
	if len(data) > affordable {
		return reported
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	fails := func(n int) bool {
		_, _, err := decode(bytes.Join(lines[:n], nil))
		return err != nil && err.Error() == message
	}
	low, high := 0, len(lines)
	if !fails(high) {
		return reported
	}
	for low+1 < high {
		if mid := (low + high) / 2; fails(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// lineOf returns a line and its number, the last line if there are fewer.
func lineOf(data []byte, line int) ([]byte, int) {
	for n := 1; ; n++ {
		text, rest, more := cutLine(data)
		if n >= line || !more {
			return text, n
		}
		data = rest
	}
}

// Package document writes, seals and reads the JSON documents that privsync keeps:
// plans, reports, and the small files beside them.
//
// A document is a struct: its fields are the members, in their order, with the names
// and omissions of their json tags. [Write] gives each member a line of its own, and
// each element of a list of objects. [Digest] is what seals it. [Read] takes back what
// was written, and nothing that a person or another program could read differently.
// [WriteFile] puts it into a file, whole or not at all.
//
// It does not know what stands in a document.
package document

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"privsync/clean"
)

// encoding is how every value is written. Text that is no UTF-8 is mended: what a run
// did must be told, whatever a name holds.
var encoding = json.JoinOptions(
	jsonv1.OmitEmptyWithLegacySemantics(true), // false and 0 are left out, too
	jsontext.AllowInvalidUTF8(true), jsontext.EscapeForJS(true), json.Deterministic(true),
)

// member is one member of a document, or of an element that has a line for each.
type member struct {
	name  string
	value reflect.Value
	list  bool // of objects, each of which gets a line
	lines bool // each of which gets a line for each of its members, too
}

// members yields the members of v, a struct, that are written.
func members(v reflect.Value) iter.Seq[member] {
	return func(yield func(member) bool) {
		for f, value := range v.Fields() {
			name, omit, _ := strings.Cut(f.Tag.Get("json"), ",")
			list := value.Kind() == reflect.Slice
			switch {
			case name == "" || name == "-", omit != "" && value.IsZero(), omit == "omitempty" && list && value.Len() == 0:
				continue
			}
			list = list && value.Type().Elem().Kind() == reflect.Struct
			if !yield(member{name, value, list, f.Tag.Get("document") == "lines"}) {
				return
			}
		}
	}
}

// Write writes doc, a pointer to a struct, indented so that it can be read and compared
// line by line, and returns the number of bytes. It never holds more than one element
// of a list. Lists with the tag `document:"lines"` have a line for each member of their
// elements. A nil list is written as an empty one, and characters that [clean.Unsafe]
// names as \u escapes. The options change how values are written.
func Write(w io.Writer, doc any, options ...json.Options) (int64, error) {
	p := &printer{out: bufio.NewWriterSize(w, 64<<10), options: json.JoinOptions(encoding, json.JoinOptions(options...))}
	p.object(reflect.ValueOf(doc).Elem(), "")
	p.text("\n")
	if p.err == nil {
		p.err = p.out.Flush()
	}
	return p.n, p.err
}

// printer writes a document piece by piece. Its first error stays.
type printer struct {
	out     *bufio.Writer
	options json.Options
	buf     bytes.Buffer
	n       int64
	err     error
}

func (p *printer) object(v reflect.Value, indent string) {
	sep := "{"
	for m := range members(v) {
		p.text(sep, "\n", indent, `  "`, m.name, `": `)
		sep = ","
		if m.list {
			p.list(m, indent+"  ")
		} else {
			p.value(m.value)
		}
	}
	p.text("\n", indent, "}")
}

func (p *printer) list(m member, indent string) {
	n := m.value.Len()
	p.text("[")
	for i := range n {
		if i > 0 {
			p.text(",")
		}
		p.text("\n", indent, "  ")
		if m.lines {
			p.object(m.value.Index(i), indent+"  ")
		} else {
			p.value(m.value.Index(i))
		}
	}
	if n > 0 {
		p.text("\n", indent)
	}
	p.text("]")
}

func (p *printer) text(parts ...string) {
	for _, s := range parts {
		if p.err == nil {
			var n int
			n, p.err = p.out.WriteString(s)
			p.n += int64(n)
		}
	}
}

func (p *printer) value(v reflect.Value) {
	if p.err != nil {
		return
	}
	p.buf.Reset()
	if p.err = json.MarshalWrite(&p.buf, v.Addr().Interface(), p.options); p.err != nil {
		return
	}
	n, err := p.out.Write(visible(p.buf.Bytes()))
	p.n += int64(n)
	p.err = err
}

// visible returns JSON text with escapes for the characters that act on a display
// without being seen. They can only stand inside its strings.
func visible(text []byte) []byte {
	at := 0
	for at < len(text) && text[at] < 0x7f {
		at++
	}
	if at == len(text) {
		return text
	}
	out := append([]byte(nil), text[:at]...)
	for text = text[at:]; len(text) > 0; {
		c, size := utf8.DecodeRune(text)
		if clean.Unsafe(c) {
			out = AppendEscape(out, c)
		} else {
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}

// AppendEscape appends c as JSON escapes it: \uXXXX, twice beyond U+FFFF.
func AppendEscape(b []byte, c rune) []byte {
	for _, unit := range utf16.AppendRune(nil, c) {
		b = fmt.Appendf(b, `\u%04x`, unit)
	}
	return b
}

// Line is a small document on one line.
type Line struct{ Value any }

// WriteTo writes the value as JSON and a newline.
func (l Line) WriteTo(w io.Writer) (int64, error) {
	text, err := json.Marshal(l.Value, encoding)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(visible(text), '\n'))
	return int64(n), err
}

package mstrapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// encodeJSON returns v as JSON without HTML escapes; v must be encodable.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("mstrapi: " + err.Error()) // types of this package only
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// lenientText takes text that is no UTF-8 with U+FFFD for what is wrong in it: a
// name that somebody typed in long ago makes no answer unreadable.
func lenientText() jsontext.Options { return jsontext.AllowInvalidUTF8(true) }

// lenient is lenientText for answers in whose members versions of the server differ
// by case. One that stands twice is refused all the same.
func lenient() jsontext.Options {
	return jsonv2.JoinOptions(lenientText(), jsonv2.MatchCaseInsensitiveNames(true),
		jsonv1.MatchCaseSensitiveDelimiter(true)) // else user_name and userName are the same, too
}

// acceptJSON returns an accept function that decodes one JSON document into v
// and then asks check whether everything needed is there.
func acceptJSON[T any](v *T, check func() error) func([]byte, http.Header) error {
	return func(body []byte, _ http.Header) error {
		var fresh T
		*v = fresh // an attempt before may have left something
		if err := jsonv2.Unmarshal(body, &fresh, lenient()); err != nil {
			return decodeError(body, err)
		}
		*v = fresh // of a broken document nothing counts
		return check()
	}
}

// decodeError says why a body is not the document it should be.
func decodeError(body []byte, err error) error {
	var (
		syntax   *jsontext.SyntacticError
		semantic *jsonv2.SemanticError
	)
	what, at := err, int64(len(body))
	switch {
	case errors.Is(err, ErrIncomplete):
		return err
	case len(bytes.TrimSpace(body)) == 0:
		return incompletef("empty body")
	case errors.Is(err, io.ErrUnexpectedEOF):
		what = errors.New("the document ends early")
	case errors.As(err, &syntax):
		what, at = syntax.Err, syntax.ByteOffset
	case errors.As(err, &semantic):
		what, at = cmp.Or(semantic.Err, fmt.Errorf("unexpected %s", semantic.JSONKind)), semantic.ByteOffset
	}
	return incompletef("%s, at byte %d", clip(what.Error(), 200), at)
}

// A document is JSON that is read token by token: most of a long answer is
// descriptions that nobody reads. Members are compared exactly, and none may stand
// twice.
//
// The first error sticks; from then on every method returns its zero value, so
// that loops end and callers check once, with end. Begin with reset.
type document struct {
	body []byte
	d    jsontext.Decoder
	err  error
}

// reset begins a new document.
func (d *document) reset(body []byte) {
	d.body, d.err = body, nil
	d.d.Reset(bytes.NewBuffer(body), lenientText())
}

// fail records the first error.
func (d *document) fail(what string) { d.note(incompletef("%s, at byte %d", what, d.d.InputOffset())) }

func (d *document) note(err error) {
	if d.err == nil {
		d.err = err
	}
}

// open consumes the start of an object or an array.
func (d *document) open(kind jsontext.Kind) {
	if t := d.token(); t.Kind() != kind {
		d.fail("expected " + strconv.QuoteRune(rune(kind)))
	}
}

// more reports whether another member or element follows, and consumes the end of
// the object or array if none does.
func (d *document) more() bool {
	switch d.peek() {
	case 0, ']', '}':
		d.token()
		return false
	}
	return d.err == nil
}

// peek returns the kind of what comes next; 0 where that is no JSON.
func (d *document) peek() jsontext.Kind {
	if d.err != nil {
		return 0
	}
	return d.d.PeekKind()
}

func (d *document) token() jsontext.Token {
	if d.err != nil {
		return jsontext.Token{}
	}
	t, err := d.d.ReadToken()
	d.note(err)
	return t
}

// value returns the next value as it stands in the document, valid until the next
// one is asked for.
func (d *document) value() jsontext.Value {
	if d.err != nil {
		return nil
	}
	v, err := d.d.ReadValue()
	d.note(err)
	return v
}

// text returns the next value, a string, without quotes and escapes, valid as
// long as value's.
func (d *document) text() []byte {
	v := d.value()
	if d.err == nil && v.Kind() != '"' {
		d.fail("expected a JSON string")
	}
	return scalarText(v)
}

// null consumes null if it comes next, and reports whether it did.
func (d *document) null() bool { return d.peek() == 'n' && d.value() != nil }

// decode consumes the next value into v.
func (d *document) decode(v any) {
	if d.err == nil {
		d.note(jsonv2.UnmarshalDecode(&d.d, v))
	}
}

// end checks that nothing but white space is left, and returns the first error.
func (d *document) end() error {
	if d.err == nil {
		if _, err := d.d.ReadToken(); err == nil {
			d.fail("text after the document")
		} else if err != io.EOF {
			d.err = err
		}
	}
	if d.err == nil {
		return nil
	}
	return decodeError(d.body, d.err)
}

// given is a member that must be there, be it as null.
type given[T any] struct {
	there bool
	value T
}

// UnmarshalJSONFrom implements [jsonv2.UnmarshalerFrom].
func (g *given[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	g.there = true
	return jsonv2.UnmarshalDecode(d, &g.value)
}

// anyPrivilegeID decodes the number of a privilege, a string or an integer.
type anyPrivilegeID PrivilegeID

// UnmarshalJSONFrom implements [jsonv2.UnmarshalerFrom].
func (id *anyPrivilegeID) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	v, err := d.ReadValue()
	if err != nil {
		return err
	}
	number, ok := parsePrivilegeID(scalarText(v))
	if !ok {
		return errors.New("invalid number of a privilege")
	}
	*id = anyPrivilegeID(number)
	return nil
}

// scalarText returns a string without quotes and escapes, or a number as it stands;
// nil for anything else. It may share v's memory, and have bytes that are no UTF-8.
func scalarText(v jsontext.Value) []byte {
	switch v.Kind() {
	case '0':
		return v
	case '"':
		if bytes.IndexByte(v, '\\') < 0 {
			return v[1 : len(v)-1]
		}
		text, _ := jsontext.AppendUnquote(nil, v) // the error tells of U+FFFD alone: v is a JSON string
		return text
	}
	return nil
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
func parseObjectID(text string) (ObjectID, bool) {
	if id := ObjectID(strings.ToUpper(text)); id.Valid() {
		return id, true
	}
	return "", false
}

package planner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/gowebpki/jcs"
)

// digestKey is the member of a document that holds its digest, and that the
// digest does not cover.
const digestKey = "digest"

// DigestOf returns the digest of a document: "sha256:" and the SHA-256 of its
// canonical JSON (RFC 8785) without the top-level member digest. doc is a
// struct, or a pointer to one, that becomes a JSON object. Its lists are
// digested element by element, so that a large document is never in memory as a
// whole.
func DigestOf(doc any) (string, error) {
	v := reflect.Indirect(reflect.ValueOf(doc))
	if v.Kind() != reflect.Struct {
		return "", fmt.Errorf("digest of a %T: want a struct", doc)
	}
	members, err := structMembers(v)
	if err != nil {
		return "", err
	}
	return digestMembers(members)
}

// DigestJSON returns the digest of a document as it stands in data: every
// member counts, known or not, but for the top-level digest. A member that
// stands twice is an error.
func DigestJSON(data []byte) (string, error) {
	raw, err := topLevel(data)
	if err != nil {
		return "", err
	}
	members := make([]member, 0, len(raw))
	for key, value := range raw {
		members = append(members, member{key, func(w io.Writer) error { return writeRaw(w, value) }})
	}
	return digestMembers(members)
}

// member is one top-level member of a document and how to write its canonical
// value.
type member struct {
	key   string
	write func(io.Writer) error
}

func digestMembers(members []member) (string, error) {
	slices.SortFunc(members, func(a, b member) int {
		// RFC 8785 sorts by UTF-16 code units.
		return slices.Compare(utf16.Encode([]rune(a.key)), utf16.Encode([]rune(b.key)))
	})
	h := sha256.New()
	sep := "{"
	for _, m := range members {
		if m.key == digestKey {
			continue
		}
		key, err := canonical(m.key)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s%s:", sep, key)
		if err := m.write(h); err != nil {
			return "", fmt.Errorf("%s: %w", m.key, err)
		}
		sep = ","
	}
	if sep == "{" {
		io.WriteString(h, sep)
	}
	io.WriteString(h, "}")
	return sumText(h), nil
}

func sumText(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// structMembers returns the members that encoding/json makes of a struct.
func structMembers(v reflect.Value) ([]member, error) {
	var out []member
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag := field.Tag.Get("json")
		if field.Anonymous && tag == "" {
			return nil, fmt.Errorf("digest: embedded field %s", field.Name)
		}
		if tag == "-" || !field.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" {
			name = field.Name
		}
		value := v.Field(i)
		if strings.Contains(options, "omitempty") && isEmptyValue(value) || strings.Contains(options, "omitzero") && value.IsZero() {
			continue
		}
		out = append(out, member{name, func(w io.Writer) error {
			if changes, ok := value.Interface().([]Change); ok && changes != nil {
				return writeChanges(w, changes)
			}
			if value.Kind() == reflect.Slice && !value.IsNil() && value.Type().Elem().Kind() != reflect.Uint8 {
				return writeList(w, value)
			}
			return writeValue(w, value.Interface())
		}})
	}
	return out, nil
}

// isEmptyValue is what omitempty leaves out.
func isEmptyValue(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func writeList(w io.Writer, list reflect.Value) error {
	sep := "["
	for i := range list.Len() {
		io.WriteString(w, sep)
		if err := writeValue(w, list.Index(i).Interface()); err != nil {
			return err
		}
		sep = ","
	}
	if sep == "[" {
		io.WriteString(w, sep)
	}
	_, err := io.WriteString(w, "]")
	return err
}

func writeValue(w io.Writer, value any) error {
	text, err := canonical(value)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}

// writeRaw is writeValue for JSON text; a list goes element by element.
func writeRaw(w io.Writer, raw json.RawMessage) error {
	if len(raw) == 0 || raw[0] != '[' {
		return writeValue(w, raw)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return err
	}
	sep := "["
	for dec.More() {
		var element json.RawMessage
		if err := dec.Decode(&element); err != nil {
			return err
		}
		io.WriteString(w, sep)
		if err := writeValue(w, element); err != nil {
			return err
		}
		sep = ","
	}
	if sep == "[" {
		io.WriteString(w, sep)
	}
	_, err := io.WriteString(w, "]")
	return err
}

// canonical returns the canonical JSON of a value. The library takes lists and
// objects only, so the value goes into a list and out again.
func canonical(value any) ([]byte, error) {
	text, err := json.Marshal([]any{value})
	if err != nil {
		return nil, err
	}
	text, err = jcs.Transform(text)
	if err != nil {
		return nil, err
	}
	return text[1 : len(text)-1], nil
}

// topLevel returns the members of the object in data.
func topLevel(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, fmt.Errorf("the document is no JSON object")
	}
	out := make(map[string]json.RawMessage)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := t.(string)
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("the member %q stands twice", key)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		out[key] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("there is text after the document")
	}
	return out, nil
}

package document

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"reflect"
	"slices"
	"unicode/utf16"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// digestKey is the member of a document that holds its digest, and that the digest
// does not cover.
const digestKey = "digest"

// Digest returns the digest of doc, a pointer to a struct: "sha256:" and the SHA-256 of
// its canonical JSON (RFC 8785) without the member digest. It is computed element by
// element, so a large document is never in memory as a whole.
func Digest(doc any) (string, error) {
	var parts []part
	for m := range members(reflect.ValueOf(doc).Elem()) {
		parts = append(parts, part{m.name, func(w io.Writer) error { return m.canonical(w) }})
	}
	return digest(parts)
}

// part is a top-level member of a document: its name, and what writes the canonical
// form of its value.
type part struct {
	name  string
	write func(io.Writer) error
}

// digest hashes the members in the order of RFC 8785: by UTF-16 code units.
func digest(parts []part) (string, error) {
	slices.SortFunc(parts, func(a, b part) int {
		return slices.Compare(utf16.Encode([]rune(a.name)), utf16.Encode([]rune(b.name)))
	})
	h := sha256.New()
	sep := "{"
	for _, p := range parts {
		if p.name == digestKey {
			continue
		}
		name, err := jsontext.AppendQuote(nil, p.name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s%s:", sep, name)
		if err := p.write(h); err != nil {
			return "", fmt.Errorf("%s: %w", p.name, err)
		}
		sep = ","
	}
	if sep == "{" {
		io.WriteString(h, sep)
	}
	io.WriteString(h, "}")
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// canonical writes the canonical form of the member's value.
func (m member) canonical(w io.Writer) error {
	var buf bytes.Buffer
	write := func(sep string, v reflect.Value) error {
		buf.Reset()
		if err := json.MarshalWrite(&buf, v.Addr().Interface(), encoding); err != nil {
			return err
		}
		text := jsontext.Value(buf.Bytes())
		if err := text.Canonicalize(); err != nil {
			return err
		}
		_, err := fmt.Fprintf(w, "%s%s", sep, text)
		return err
	}
	if !m.list {
		return write("", m.value)
	}
	sep := "["
	for i := range m.value.Len() {
		if err := write(sep, m.value.Index(i)); err != nil {
			return err
		}
		sep = ","
	}
	_, err := io.WriteString(w, []string{"[]", "]"}[min(m.value.Len(), 1)])
	return err
}

package planner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"privsync/clean"
)

// digestKey is the member of a document that holds its digest, and that the
// digest does not cover.
const digestKey = "digest"

// Member is one top-level member of a document: its name, and how to write the
// canonical form of its value (see [AppendCanonical]). Write is called once.
type Member struct {
	Name  string
	Write func(io.Writer) error
}

// DigestMembers returns the digest of the document that has these members, in
// whatever order: "sha256:" and the SHA-256 of its canonical JSON (RFC 8785)
// without the member digest. Members are hashed as they are written, so a large
// document is never in memory as a whole. An error is that of a member's Write.
func DigestMembers(members []Member) (string, error) {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int { return compareNames([]byte(a.Name), []byte(b.Name)) })
	h := sha256.New()
	sep := "{"
	for _, m := range members {
		if m.Name == digestKey {
			continue
		}
		name, err := canonical(m.Name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s%s:", sep, name)
		if err := m.Write(h); err != nil {
			return "", fmt.Errorf("%s: %w", m.Name, err)
		}
		sep = ","
	}
	if sep == "{" {
		io.WriteString(h, sep)
	}
	io.WriteString(h, "}")
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// ListMember is a member whose value is a list of n elements. It is written
// element by element; element appends the i-th, as JSON of any form, to b. Write
// returns its errors, and that a member of an object stands twice.
func ListMember(name string, n int, element func(b []byte, i int) ([]byte, error)) Member {
	return Member{name, func(w io.Writer) error {
		list := listWriter{w: w}
		var text []byte
		var err error
		for i := range n {
			if text, err = element(text[:0], i); err != nil {
				return err
			}
			if err := list.add(text); err != nil {
				return err
			}
		}
		return list.end()
	}}
}

// RawMember is a member whose value is JSON text of any form; of a list no more
// than one element is in memory twice. Write returns an error where raw is not
// JSON, or a member of an object stands twice.
func RawMember(name string, raw json.RawMessage) Member {
	return Member{name, func(w io.Writer) error {
		if len(raw) == 0 || raw[0] != '[' {
			text, err := AppendCanonical(nil, raw)
			if err == nil {
				_, err = w.Write(text)
			}
			return err
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		if _, err := dec.Token(); err != nil {
			return err
		}
		list := listWriter{w: w}
		var element json.RawMessage
		for dec.More() {
			if err := dec.Decode(&element); err != nil {
				return err
			}
			if err := list.add(element); err != nil {
				return err
			}
		}
		return list.end()
	}}
}

// listWriter writes the canonical form of a list.
type listWriter struct {
	w   io.Writer
	buf []byte
	n   int
}

// add writes one element, which is JSON text.
func (l *listWriter) add(text []byte) error {
	l.buf = append(l.buf[:0], "[,"[min(l.n, 1)])
	l.n++
	var err error
	if l.buf, err = AppendCanonical(l.buf, text); err != nil {
		return err
	}
	_, err = l.w.Write(l.buf)
	return err
}

func (l *listWriter) end() error {
	_, err := io.WriteString(l.w, []string{"[]", "]"}[min(l.n, 1)])
	return err
}

// DigestJSON returns the digest of a document as it stands in data: every
// member counts, known or not, but for the top-level digest. A member that
// stands twice is an error.
func DigestJSON(data []byte) (string, error) {
	raw, err := topLevel(data)
	if err != nil {
		return "", err
	}
	members := make([]Member, 0, len(raw))
	for name, value := range raw {
		members = append(members, RawMember(name, value))
	}
	return DigestMembers(members)
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
			return nil, fmt.Errorf("the member %s stands twice", clean.Quote(key))
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

package document

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
)

// element and sample have one of each kind of member.
type element struct {
	Name  string    `json:"name"`
	Parts []element `json:"parts,omitempty"`
	Not   int       `json:"-"`
}

type sample struct {
	Format  string         `json:"format"`
	Elided  int            `json:"elided,omitempty"`
	Never   []element      `json:"never,omitempty"`
	Nil     []element      `json:"nil,omitzero"`
	Flat    []element      `json:"flat"`
	Lines   []element      `json:"lines" document:"lines"`
	Words   []string       `json:"words"`
	Counts  map[string]int `json:"counts"`
	Pointer *element       `json:"pointer"`
	Digest  string         `json:"digest"`
	hidden  []element
}

func TestWrite(t *testing.T) {
	doc := &sample{
		Format: "a<&>\u2028\u202e\x7f\U000e0041\xff", Never: []element{}, Flat: []element{{Name: "x", Not: 1}, {Name: "y", Parts: []element{{}}}},
		Lines: []element{{Name: "z"}, {Name: "é", Parts: []element{{Name: "p"}, {Name: "q"}}}}, Counts: map[string]int{"b": 1, "a": 2}, hidden: []element{{}},
	}
	want := `{
  "format": "a<&>\u2028\u202e\u007f\udb40\udc41` + "\ufffd" + `",
  "flat": [
    {"name":"x"},
    {"name":"y","parts":[{"name":""}]}
  ],
  "lines": [
    {
      "name": "z"
    },
    {
      "name": "é",
      "parts": [
        {"name":"p"},
        {"name":"q"}
      ]
    }
  ],
  "words": [],
  "counts": {"a":2,"b":1},
  "pointer": null,
  "digest": ""
}
`
	var b strings.Builder
	if n, err := Write(&b, doc); err != nil || n != int64(b.Len()) || b.String() != want {
		t.Errorf("Write = %d, %v, %d bytes:\n%s\nwant\n%s", n, err, b.Len(), b.String(), want)
	}
	b.Reset()
	if _, err := Write(&b, doc, jsontext.EscapeForHTML(true)); err != nil || !strings.Contains(b.String(), `"a\u003c\u0026\u003e\u2028`) {
		t.Errorf("Write for HTML = %v:\n%s", err, b.String())
	}
	b.Reset()
	if _, err := (Line{element{Name: "a<\u200b"}}).WriteTo(&b); err != nil || b.String() != `{"name":"a<\u200b"}`+"\n" {
		t.Errorf("Line = %q, %v", b.String(), err)
	}
	full := errors.New("disk full")
	if _, err := Write(writer(func([]byte) (int, error) { return 0, full }), doc); !errors.Is(err, full) {
		t.Errorf("Write to a full disk = %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// The digest of any text is that of its canonical form by RFC 8785: the examples are
// the RFC's, and what package jcs, which was used before, made of them.
func TestDigestIsOfTheCanonicalForm(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `{}`, " {\n} ": `{}`, `{"digest":"x"}`: `{}`, `{"b":1,"digest":{},"a":[ ]}`: `{"a":[],"b":1}`,
		`{"n":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001,1e21,1e20,-0,-0.0,1e-6,1e-7,5e-324,1e23,9007199254740993,123456789012345678901234567890]}`:
		/**/ `{"n":[333333333.3333333,1e+30,4.5,0.002,1e-27,1e+21,100000000000000000000,0,0,0.000001,1e-7,5e-324,1e+23,9007199254740992,1.2345678901234568e+29]}`,
		`{"s":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/\u007f\u2028<"}`:          "{\"s\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\x7f\u2028<\"}",
		`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`: "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\ufb33\":3}",
		`{"z":{"\uffff":1,"\ud800\udc00":2,"\ue000":{"b":true,"a":null}}}`:            "{\"z\":{\"\U00010000\":2,\"\ue000\":{\"a\":null,\"b\":true},\"\uffff\":1}}",
	} {
		if got, err := ReadPart(strings.NewReader(text), 1<<20, new(struct{})); err != nil || got != sumOf(want) {
			t.Errorf("digest of %s = %s, %v; want that of %s", text, got, err, want)
		}
	}
	doc := &sample{Format: "f\xff", Flat: []element{{Name: "é\u2028"}, {Name: "<"}}, Counts: map[string]int{"b": 1, "\U00010000": 2, "\uffff": 3}}
	want := sumOf("{\"counts\":{\"b\":1,\"\U00010000\":2,\"\uffff\":3},\"flat\":[{\"name\":\"é\u2028\"},{\"name\":\"<\"}],\"format\":\"f\ufffd\",\"lines\":[],\"pointer\":null,\"words\":[]}")
	if got, err := Digest(doc); err != nil || got != want {
		t.Errorf("Digest = %s, %v; want %s", got, err, want)
	}
}

func TestReadLongLists(t *testing.T) {
	doc := &sample{Format: "f", Flat: []element{{Name: "x"}}, Lines: []element{{Name: "y", Parts: []element{{Name: "p"}}}}, Words: []string{"w"}, Counts: map[string]int{"a": 1}}
	var err error
	if doc.Digest, err = Digest(doc); err != nil {
		t.Fatal(err)
	}
	for range 70_000 { // more than one piece
		doc.Flat = append(doc.Flat, element{Name: "one of many elements"})
	}
	if doc.Digest, err = Digest(doc); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := Write(&b, doc); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	got, seen := new(sample), 0
	digest, err := Read(strings.NewReader(text), int64(len(text)), got, func(v any) {
		if _, ok := v.(*element); ok {
			seen++
		}
	})
	if err != nil || digest != doc.Digest || len(got.Flat) != 70_001 || seen != 70_002 || got.Lines[0].Parts[0].Name != "p" || got.Never != nil || len(got.Words) != 1 {
		t.Errorf("Read = %s, %v: %d elements, %d seen, %+v", digest, err, len(got.Flat), seen, got.Lines)
	}
	// Whoever wants nothing of a long list holds no more than its canonical form.
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if digest, err := ReadPart(strings.NewReader(text), 1<<30, new(struct{})); err != nil || digest != doc.Digest {
		t.Errorf("ReadPart = %s, %v", digest, err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4*uint64(len(text)) {
		t.Errorf("reading %d bytes allocates %d", len(text), got)
	}
	if _, err := Read(strings.NewReader(text), int64(len(text))-1, new(sample), nil); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("Read of too much = %v", err)
	}
	lost := errors.New("connection lost")
	if digest, err := Read(io.MultiReader(strings.NewReader(text[:9]), iotest.ErrReader(lost)), 1<<30, new(sample), nil); !errors.Is(err, lost) || digest != "" {
		t.Errorf("Read of a broken reader = %q, %v", digest, err)
	}
}

// What could be read in two ways is no document; what has no place is told beside the digest.
func TestReadRefuses(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		digest     bool
	}{
		{``, "it is empty", false},
		{"hello", "it is not a JSON object", false},
		{`{"format":"f"`, "unexpected EOF", false},
		{"\ufeff{}", "it is not a JSON object", false},
		{`[]`, "not a JSON object", false},
		{`{} {}`, "there is text after the document", false},
		{`{"format":"f","format":"f"}`, `the member "format" stands twice, at byte 14`, false},
		{`{"flat":[{},{"name":"","name":""}]}`, `the member "name" stands twice, in flat/1, at byte 23`, false},
		{`{"flat":[{"name":"\ud800"}]}`, "flat/0/name", false},
		{"{\"format\":\"\xff\"}", "invalid UTF-8, in format", false},
		{`{"format":"f",}`, "invalid character", false},
		{`{"Format":"f"}`, `unknown member "Format"`, true},
		{`{"x\u202e":"f"}`, `unknown member "x\u202e"`, true},
		{`{"flat":[{"name":"a"},{"Name":"b"}]}`, `unknown member "Name", in flat/1, at byte 23`, true},
		{`{"flat":[{"name":7}]}`, "a number does not fit here, in flat/0/name, at byte 17", true},
		{`{"lines":[{"parts":[{"name":{}}]}]}`, "an object does not fit here, in lines/0/parts/0/name, at byte 28", true},
		{`{"format":true}`, "true or false does not fit here, in format, at byte 10", true},
		{`{"flat":{}}`, "flat is not a list", true},
		{`{"flat":null}`, "flat is not a list", true},
		{`{"x":[{},{"a":1,"a":2}]}`, `the member "a" stands twice, in x/1`, false},
		{`{"hidden":[]}`, `unknown member "hidden"`, true},
		{`{"":1}`, `unknown member ""`, true},
		{`{"-":1}`, `unknown member "-"`, true},
		{strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000), "depth", false},
	} {
		digest, err := Read(strings.NewReader(tt.text), 1<<20, new(sample), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || (digest != "") != tt.digest {
			t.Errorf("Read(%.80s) = %q, %v; want %s", tt.text, digest, err, tt.want)
		}
		if _, err := ReadPart(strings.NewReader(tt.text), 1<<20, new(struct{})); (err == nil) != tt.digest {
			t.Errorf("ReadPart(%.80s) = %v, want an error: %t", tt.text, err, !tt.digest)
		}
	}
	if err := Unmarshal([]byte(`{"name":"a","x":1}`), new(element)); err == nil || !strings.Contains(err.Error(), `unknown member "x"`) {
		t.Errorf("Unmarshal = %v", err)
	}
}

func TestWalk(t *testing.T) {
	names := ""
	err := Walk(strings.NewReader(`{"a":1,"list":[1,2],"b":{}, "stop":1, broken`), 1<<10, func(name string, dec *jsontext.Decoder) error {
		names += name + " "
		switch name {
		case "list":
			return Each(dec, func() error {
				v, err := dec.ReadValue()
				names += fmt.Sprintf("<%s> ", v)
				return err
			})
		case "stop":
			return ErrStop
		}
		return dec.SkipValue()
	})
	if err != nil || names != "a list <1> <2> b stop " {
		t.Errorf("Walk = %v, saw %s", err, names)
	}
	err = Walk(strings.NewReader(`{"list":7}`), 1<<10, func(_ string, dec *jsontext.Decoder) error { return Each(dec, nil) })
	if err == nil || err.Error() != "list is not a list" {
		t.Errorf("Walk over no list = %v", err)
	}
}

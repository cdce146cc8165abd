package executor

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"
)

// drawJSON draws JSON text with odd white space, numbers, names and strings.
func drawJSON(rt *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r\n"})
	text := rapid.Custom(func(t *rapid.T) string {
		s := rapid.OneOf(rapid.StringMatching("[a-zA-Z]{0,3}"), rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\\x01\x7fé\u2028😀")), 0, 4, -1)).Draw(t, "s")
		b, _ := json.Marshal(s)
		if rapid.Bool().Draw(t, "escaped") {
			return strings.Replace(string(b), "a", `\u0061`, 1)
		}
		return string(b)
	})
	kind := rapid.IntRange(0, 3).Draw(rt, "kind")
	if depth == 0 && kind > 1 {
		kind -= 2
	}
	sp := func() string { return space.Draw(rt, "space") }
	var parts []string
	switch kind {
	case 0:
		return sp() + text.Draw(rt, "text") + sp()
	case 1:
		return sp() + rapid.SampledFrom([]string{"true", "false", "null", "0", "-0", "7", "-12", "1.50", "1e3", "-2.5E-3", "123456789012345678", "999999999999999"}).Draw(rt, "scalar") + sp()
	case 2:
		for range rapid.IntRange(0, 3).Draw(rt, "n") {
			parts = append(parts, drawJSON(rt, depth-1))
		}
		return sp() + "[" + strings.Join(parts, ",") + sp() + "]"
	}
	for range rapid.IntRange(0, 4).Draw(rt, "n") {
		parts = append(parts, sp()+text.Draw(rt, "name")+sp()+":"+drawJSON(rt, depth-1))
	}
	return sp() + "{" + strings.Join(parts, ",") + sp() + "}"
}

// TestCanonicalFormIsThatOfJCS compares with the library: the same text, and an
// error for the same documents (a member that stands twice).
func TestCanonicalFormIsThatOfJCS(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := drawJSON(rt, 3)
		if !json.Valid([]byte(text)) {
			rt.Fatalf("not JSON: %s", text)
		}
		want, wantErr := jcs.Transform([]byte(text))
		got, err := appendCanonicalText([]byte("x"), []byte(text))
		if (err != nil) != (wantErr != nil) || err == nil && string(got) != "x"+string(want) {
			rt.Fatalf("canonical form of %s\n= %s, %v\nwant %s, %v", text, got, err, want, wantErr)
		}
	})
}

func FuzzReadReport(f *testing.F) {
	r := plainReport()
	if err := r.Seal(); err != nil {
		f.Fatal(err)
	}
	var b strings.Builder
	if _, err := r.WriteTo(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.String())
	f.Add(`{"format":"privsync/report/v1","principals":[{}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ReadReport(strings.NewReader(text))
		if err != nil {
			return
		}
		// What is accepted says of itself what it is, and can be written again.
		digest := got.Digest
		if err := got.Seal(); err != nil || got.Digest != digest {
			t.Errorf("a report with digest %s was accepted, its content has %s (%v)", digest, got.Digest, err)
		}
		var again strings.Builder
		if _, err := got.WriteTo(&again); err != nil {
			t.Error(err)
		}
		if _, err := ReadReport(strings.NewReader(again.String())); err != nil {
			t.Error(fmt.Errorf("what was written again is refused: %w", err))
		}
	})
}

package planner

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"

	"privsync/mstrapi"
)

// drawJSON draws JSON text with odd white space, numbers, names and strings.
func drawJSON(rt *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r\n"})
	text := rapid.Custom(func(t *rapid.T) string {
		s := rapid.OneOf(rapid.StringMatching("[a-zA-Z !#]{0,3}"), rapid.StringOfN(rapid.RuneFrom([]rune("ab\"\\\x01\x7fé\u2028\ue000\uffff😀")), 0, 4, -1)).Draw(t, "s")
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
		got, err := AppendCanonical([]byte("x"), []byte(text))
		if (err != nil) != (wantErr != nil) || err == nil && string(got) != "x"+string(want) {
			rt.Fatalf("canonical form of %s\n= %s, %v\nwant %s, %v", text, got, err, want, wantErr)
		}
	})
}

// TestOddNamesCostNoMore: an object whose names are no plain ASCII is not gone
// through once more for every object around it.
func TestOddNamesCostNoMore(t *testing.T) {
	cost := func(depth int) float64 {
		text := []byte(strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat(`,"é":0}`, depth))
		return testing.AllocsPerRun(1, func() {
			if _, err := AppendCanonical(nil, text); err != nil {
				t.Fatal(err)
			}
		})
	}
	if once, twice := cost(200), cost(400); twice > 3*once {
		t.Errorf("%v allocations for 200 objects, %v for 400", once, twice)
	}
}

// The digest of a plan is that of its document, for whatever names a server has.
func TestPlanDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]*`), rapid.SampledFrom([]string{"", "<&>", "\u2028", "\x7f", "a\xffb", "\\", `"`, "é", "\x00\b\t\n\f\r\x1f", "😀"}))
		set := func() Set {
			var s Set
			for _, id := range rapid.SliceOfN(rapid.IntRange(1, 300), 0, 5).Draw(t, "set") {
				s.Add(mstrapi.PrivilegeID(id))
			}
			return s
		}
		planned := rapid.Custom(func(t *rapid.T) PlannedPrivilege {
			p := PlannedPrivilege{PrivilegeRef: PrivilegeRef{ID: mstrapi.PrivilegeID(rapid.IntRange(0, 65535).Draw(t, "id")), Name: text.Draw(t, "privilege")}, Reason: Reason(text.Draw(t, "reason"))}
			for range rapid.IntRange(0, 2).Draw(t, "relies") {
				p.ReliesOn = append(p.ReliesOn, mstrapi.ObjectID(text.Draw(t, "on")))
			}
			return p
		})
		changes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Change {
			return Change{
				Principal: Principal{Kind: mstrapi.Kind(text.Draw(t, "kind")), ID: mstrapi.ObjectID(text.Draw(t, "id")), Name: text.Draw(t, "name"), Login: text.Draw(t, "login")},
				Grant:     rapid.SliceOfN(planned, 0, 3).Draw(t, "grant"),
				Revoke:    rapid.SliceOfN(planned, 0, 3).Draw(t, "revoke"),
				Observed:  ObservedSets{Direct: set(), Inherited: set()},
				Impact:    Impact{Members: rapid.IntRange(0, 1<<30).Draw(t, "members")},
			}
		}), 0, 3).Draw(t, "changes")
		plan := &Plan{Format: PlanFormat, Changes: changes, Commands: []string{text.Draw(t, "command")}}
		plan.Findings = append(plan.Findings, Finding{Code: CodeReadFailed, Message: text.Draw(t, "message")})
		if err := plan.Seal(); err != nil {
			t.Fatal(err)
		}
		var document bytes.Buffer
		if _, err := plan.WriteTo(&document); err != nil {
			t.Fatal(err)
		}
		if got, err := DigestJSON(document.Bytes()); err != nil || got != plan.Digest {
			t.Fatalf("DigestJSON() = %s, %v; the plan's digest is %s", got, err, plan.Digest)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(document.Bytes(), &members); err != nil {
			t.Fatal(err)
		}
		delete(members, "digest")
		rest, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := jcs.Transform(rest)
		if err != nil {
			t.Fatal(err)
		}
		if want := sumOf(canonical); plan.Digest != want {
			t.Fatalf("digest %s, the library says %s", plan.Digest, want)
		}
	})
}

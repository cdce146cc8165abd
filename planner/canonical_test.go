package planner

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"privsync/mstrapi"
)

// The canonical form that is written by hand must be that of the library, for
// whatever names a server has.
func TestChangesAreCanonical(t *testing.T) {
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
		if len(changes) > 0 && rapid.Bool().Draw(t, "null") {
			changes[0].Grant = nil
		}
		var got bytes.Buffer
		if err := writeChanges(&got, changes); err != nil {
			t.Fatal(err)
		}
		want := []byte("[")
		for i, c := range changes {
			text, err := canonical(c)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				want = append(want, ',')
			}
			want = append(want, text...)
		}
		if want = append(want, ']'); !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("by hand:  %s\nlibrary: %s", got.Bytes(), want)
		}
	})
}

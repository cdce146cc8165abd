package executor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"privsync/clean"
	"privsync/document"
	"privsync/mstrapi"
	"privsync/planner"
)

// TestResultsAreWrittenAsEncodingJSONWouldDo draws results with arbitrary names:
// what is written means what encoding/json would write.
func TestResultsAreWrittenAsEncodingJSONWouldDo(t *testing.T) {
	ids := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) mstrapi.PrivilegeID {
		return mstrapi.PrivilegeID(rapid.IntRange(1, 300).Draw(t, "id"))
	}), func(id mstrapi.PrivilegeID) mstrapi.PrivilegeID { return id })
	nasty := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("a<&\"\\\b\t\n\f\r\x00\x1b\x7f\u0085\u2028\u202e\ufeff😀"))),
		rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) }))
	rapid.Check(t, func(rt *rapid.T) {
		sets := func(label string) *Sets {
			if rapid.Bool().Draw(rt, label+" unknown") {
				return nil
			}
			s := &Sets{Direct: planner.SetOf(ids.Draw(rt, label)...), Inherited: planner.SetOf(ids.Draw(rt, label)...)}
			for range rapid.IntRange(0, 2).Draw(rt, "sources") {
				s.Sources = append(s.Sources, PrivilegeSource{Privilege: 3, Groups: []mstrapi.ObjectRef{{ID: "A", Name: nasty.Draw(rt, "group")}}})
			}
			return s
		}
		p := Result{
			Principal: planner.Principal{Kind: mstrapi.User, ID: mstrapi.ObjectID(nasty.Draw(rt, "id")), Name: nasty.Draw(rt, "name"), Login: nasty.Draw(rt, "login")},
			Outcome:   Applied, Grant: []planner.PlannedPrivilege{}, Revoke: []planner.PlannedPrivilege{},
			Granted: ids.Draw(rt, "granted"), Before: sets("before"), After: sets("after"),
			StartedAt: stamp(time.UnixMilli(rapid.Int64Range(0, 1<<40).Draw(rt, "at"))), DurationMs: rapid.Int64Range(0, 1<<40).Draw(rt, "ms"),
		}
		for range rapid.IntRange(0, 2).Draw(rt, "planned") {
			p.Revoke = append(p.Revoke, planner.PlannedPrivilege{PrivilegeRef: planner.PrivilegeRef{ID: 4, Name: nasty.Draw(rt, "privilege")}})
		}
		if rapid.Bool().Draw(rt, "error") {
			p.Error = &Error{Message: nasty.Draw(rt, "message")}
		}
		doc := struct {
			Principals []Result `json:"principals"`
		}{[]Result{p}}
		plain, err := json.Marshal(doc)
		if err != nil {
			rt.Fatal(err)
		}
		var written bytes.Buffer
		if _, err := document.Write(&written, &doc); err != nil {
			rt.Fatal(err)
		}
		for _, c := range written.String() {
			if c != '\n' && clean.Unsafe(c) {
				rt.Fatalf("the document holds %U", c)
			}
		}
		want, got := jsontext.Value(plain), jsontext.Value(written.Bytes())
		if err := errors.Join(want.Canonicalize(), got.Canonicalize()); err != nil || string(got) != string(want) {
			rt.Fatalf("document = %s, %v\nmeans      %s", got, err, want)
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
		// With the right digest the contents alone decide.
		if digest, err := document.ReadPart(strings.NewReader(text), 1<<40, new(struct{})); err == nil {
			var members map[string]json.RawMessage
			if json.Unmarshal([]byte(text), &members) == nil && members != nil {
				members["digest"], _ = json.Marshal(digest)
				sealed, _ := json.Marshal(members)
				text = string(sealed)
			}
		}
		got, err := ReadReport(strings.NewReader(text))
		if err != nil {
			return
		}
		// What is accepted can be written again.
		if err := got.Seal(); err != nil {
			t.Error(err)
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

// TestReadReportSets: what a principal held is read strictly, is shared where it
// is the same, and a list of any length has its digest.
func TestReadReportSets(t *testing.T) {
	sources := []PrivilegeSource{{Privilege: 3, Groups: []mstrapi.ObjectRef{{ID: oid("g"), Name: "Finance"}}}}
	looked := &Sets{Direct: planner.SetOf(1), Inherited: planner.SetOf(3), Sources: sources}
	r := plainReport()
	r.Principals = nil
	for i := range 1_200 { // more than any buffer holds
		p := Result{
			Principal: planner.Principal{Kind: mstrapi.User, ID: oid(fmt.Sprintf("u%d", i)), Name: fmt.Sprintf("User %d", i)}, Outcome: InSync,
			Grant: []planner.PlannedPrivilege{}, Revoke: []planner.PlannedPrivilege{}, Before: looked, After: looked,
		}
		switch i {
		case 1:
			p.After = &Sets{Direct: planner.SetOf(1, 2), Inherited: planner.SetOf(3), Sources: sources}
		case 2:
			p.Before, p.After = nil, nil
		case 3:
			p.After = nil
		}
		r.Principals = append(r.Principals, p)
	}
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() < 256<<10 {
		t.Fatalf("the report has only %d bytes", b.Len())
	}
	got, err := ReadReport(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		was, is := r.Principals[i], got.Principals[i]
		want, _ := json.Marshal([]*Sets{was.Before, was.After})
		if have, _ := json.Marshal([]*Sets{is.Before, is.After}); string(have) != string(want) {
			t.Errorf("principal %d: before and after %s, want %s", i, have, want)
		}
		if shared := is.Before == is.After; shared != (was.Before == was.After) {
			t.Errorf("principal %d: before and after are shared: %t", i, shared)
		}
	}
	if _, err := ReadReport(strings.NewReader(strings.Replace(b.String(), "User 1199", "User 119X", 1))); !errors.Is(err, ErrEdited) {
		t.Errorf("an edited name near the end: %v, want ErrEdited", err)
	}
	twice := strings.Replace(b.String(), `"before":{`, `"BEFORE":{"secret":1},"before":{`, 1)
	if _, err := ReadReport(strings.NewReader(twice)); err == nil || !strings.Contains(err.Error(), `unknown member "BEFORE"`) {
		t.Errorf("before in two spellings: %v, want that one is unknown", err)
	}
	for _, change := range [][2]string{{`"before":{"direct"`, `"before":{"secret":1,"direct"`}, {`"after":{"direct"`, `"after":{"secret":1,"direct"`}, {`"groups":[{"id"`, `"groups":[{"secret":1,"id"`}} {
		_, err := ReadReport(strings.NewReader(strings.Replace(b.String(), change[0], change[1], 1)))
		if err == nil || !strings.Contains(err.Error(), "secret") {
			t.Errorf("with %s: %v, want that the member is unknown", change[1], err)
		}
	}
}

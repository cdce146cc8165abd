package planner

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"privsync/document"
	"privsync/mstrapi"
	"privsync/policy"
)

// samplePlan has something in every part of the document.
func samplePlan(t *testing.T) *Plan {
	m := newModel()
	top := m.group("Top <&> \u2028", ids(1, 2))
	m.user("demo", ids(3), top)
	m.actor = m.user("session", ids(managerID)).row.ID
	e := entry(policy.User, "demo", policy.Authoritative, listed(1), listed(4), until(5, testNow()))
	e.Forbid = []policy.Listed{{Ref: policy.Ref{ID: 2}}}
	pol := sketch(entry(policy.Group, "Top <&> \u2028", policy.Authoritative, listed(2)), e)
	pol.Safety = &policy.Safety{MaxRevokes: &policy.Limit{Number: 10, Percent: true}, Protected: []policy.PrincipalRef{{Kind: policy.User, Name: "session"}}}
	pol.Commands = []policy.Command{{Name: "assign-watch-kpi-insight"}}
	plan := planFor(t, m, parsed(pol))
	if err := plan.Seal(); err != nil {
		t.Fatal(err)
	}
	return plan
}

func written(t testing.TB, plan *Plan) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := plan.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo() = %d, %v, want %d bytes", n, err, b.Len())
	}
	return b.Bytes()
}

func TestPlanDocument(t *testing.T) {
	plan := samplePlan(t)
	text := written(t, plan)
	back, err := ReadPlan(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("ReadPlan() error: %v\n%s", err, text)
	}
	ignore := cmpopts.IgnoreFields(Change{}, "ObservedAt")
	if diff := cmp.Diff(plan, back, ignore, cmpopts.IgnoreUnexported(Plan{}, Finding{}), cmpopts.EquateEmpty(), cmp.Comparer(Set.Equal)); diff != "" {
		t.Errorf("plan read back differs:\n%s", diff)
	}
	if again := written(t, back); !bytes.Equal(text, again) {
		t.Errorf("plan written again differs:\n%s", cmp.Diff(string(text), string(again)))
	}
	if bytes.Contains(text, []byte("null")) {
		t.Errorf("the document has a null:\n%s", text)
	}
	if n := bytes.Count(text, []byte("\n")); n < 25 {
		t.Errorf("the document has %d lines, want one for each thing:\n%s", n, text)
	}
	// An independent way to the same digest.
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	delete(doc, "digest")
	whole, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := (*jsontext.Value)(&whole).Canonicalize(); err != nil {
		t.Fatal(err)
	}
	if got := sumOf(whole); got != plan.Digest {
		t.Errorf("digest = %s, want %s", plan.Digest, got)
	}
}

func TestEmptyPlanDocument(t *testing.T) {
	plan := &Plan{Format: PlanFormat, CreatedAt: testNow(), ExpiresAt: testNow(), Scope: Scope{Level: mstrapi.LevelServer}}
	if err := plan.Seal(); err != nil {
		t.Fatal(err)
	}
	text := written(t, plan)
	if bytes.Contains(text, []byte("null")) {
		t.Errorf("the document has a null:\n%s", text)
	}
	if _, err := ReadPlan(bytes.NewReader(text)); err != nil {
		t.Errorf("ReadPlan() error: %v", err)
	}
	if _, err := plan.WriteTo(brokenWriter{}); !errors.Is(err, errWriter) {
		t.Errorf("WriteTo() of a broken writer: error = %v, want its", err)
	}
}

var errWriter = errors.New("disk full")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errWriter }

// reseal gives an edited document the digest that fits it.
func reseal(t *testing.T, text string) string {
	t.Helper()
	digest, err := document.ReadPart(strings.NewReader(text), 1<<40, new(struct{}))
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(text, `"digest": "sha256:`) + len(`"digest": "`)
	return text[:at] + digest + text[at+len(digest):]
}

func TestReadPlanRefuses(t *testing.T) {
	good := string(written(t, samplePlan(t)))
	replace := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				t.Fatalf("%q is not in the document", old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	tests := []struct {
		name    string
		edit    func(string) string
		resealt bool
		refused bool // else it is no plan
		text    string
	}{
		{"a privilege edited", replace(`"reason":"listed"`, `"reason":"expired"`), false, true, "changed after it was made"},
		{"a key added", replace(`"format"`, `"extra": 1, "format"`), false, true, "changed after it was made"},
		{"a key added and sealed", replace(`"format"`, `"extra": 1, "format"`), true, true, "extra"},
		{"digest taken out", replace(`"digest": "sha256:`, `"digest": "`), false, true, ""},
		{"digest empty", func(s string) string { return s[:strings.LastIndex(s, `"digest"`)] + "\"digest\": \"\"\n}\n" }, false, true, "no digest"},
		{"newer format", replace(PlanFormat, "privsync/plan/v2"), true, true, "v2"},
		{"a report", replace(PlanFormat, "privsync/report/v1"), true, false, "report"},
		{"not JSON", func(string) string { return "kind: Policy" }, false, false, "not a plan"},
		{"a list", func(string) string { return "[]" }, false, false, "not a JSON object"},
		{"empty", func(string) string { return "" }, false, false, ""},
		{"cut off", func(s string) string { return s[:len(s)/2] }, false, false, ""},
		{"two documents", func(s string) string { return s + s }, false, false, "after the document"},
		{"a key twice", replace(`"complete"`, `"complete": false, "complete"`), false, false, "twice"},
		{"an id that is a path", replace(`"principal": {"kind":"user","id":"BB`, `"principal": {"kind":"user","id":"/B`), true, true, "id"},
		{"a kind", replace(`"principal": {"kind":"user"`, `"principal": {"kind":"robot"`), true, true, "kind"},
		{"a number out of range", replace(`{"id":4,`, `{"id":400000,`), true, true, "400000"},
		{"granted and revoked", replace(`{"id":4,`, `{"id":3,`), true, true, "granted and revoked"},
		{"observed out of range", replace(`"direct":[3]`, `"direct":[0]`), true, true, "0"},
		{"no scope", replace(`{"level":"server"}`, `{"level":""}`), true, true, "scope"},
		{"no dates", replace(`"2026-06-15T12:00:00Z"`, `"0001-01-01T00:00:00Z"`), true, true, "createdAt"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := test.edit(good)
			if test.resealt {
				text = reseal(t, text)
			}
			_, err := ReadPlan(strings.NewReader(text))
			if err == nil {
				t.Fatalf("ReadPlan() accepts it")
			}
			if errors.Is(err, ErrPlanRefused) != test.refused {
				t.Errorf("ReadPlan() error = %q, matches ErrPlanRefused %v, want %v", err, !test.refused, test.refused)
			}
			contains(t, err.Error(), test.text)
		})
	}
	// Space between the values is no change.
	if _, err := ReadPlan(strings.NewReader(strings.ReplaceAll(good, "\n", "\n\t"))); err != nil {
		t.Errorf("ReadPlan() of the same document with other indents: %v", err)
	}
}

func TestCheckSaved(t *testing.T) {
	plan := samplePlan(t)
	url := plan.Environment.URL
	tests := []struct {
		name string
		url  string
		now  time.Time
		text string // "": accepted
	}{
		{"at once", url, testNow(), ""},
		{"an hour later", url, testNow().Add(time.Hour), ""},
		{"just in time", url, testNow().Add(24*time.Hour - time.Second), ""},
		{"a day later", url, testNow().Add(24 * time.Hour), "expired"},
		{"clock a little behind", url, testNow().Add(-5 * time.Minute), ""},
		{"a preview", url, testNow().AddDate(0, -1, 0), "has not come yet"},
		{"another server", "https://other.example.com", testNow(), "other.example.com"},
	}
	for _, test := range tests {
		err := plan.CheckSaved(test.url, test.now, 0)
		if (err == nil) != (test.text == "") || err != nil && (!errors.Is(err, ErrPlanRefused) || !strings.Contains(err.Error(), test.text)) {
			t.Errorf("%s: CheckSaved() = %v, want %q", test.name, err, test.text)
		}
	}
	plan.Format = "privsync/plan/v0"
	if err := plan.CheckSaved(url, testNow(), 0); !errors.Is(err, ErrPlanRefused) {
		t.Errorf("CheckSaved() of an old format = %v, want a refusal", err)
	}
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// FuzzReadPlan: whatever the bytes are, there is a plan that fits its digest, or
// an error; never a panic.
func FuzzReadPlan(f *testing.F) {
	f.Add([]byte(`{"format":"privsync/plan/v1","digest":""}`))
	f.Add([]byte(`{"format":"privsync/plan/v1","changes":[{"principal":{}}],"digest":"sha256:00"}`))
	f.Add([]byte(`[1]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if digest, err := document.ReadPart(bytes.NewReader(data), 1<<40, new(struct{})); err == nil {
			// With the right digest the contents alone decide.
			var members map[string]json.RawMessage
			_ = json.Unmarshal(data, &members)
			members["digest"], _ = json.Marshal(digest)
			data, _ = json.Marshal(members)
		}
		plan, err := ReadPlan(bytes.NewReader(data))
		if err != nil {
			return
		}
		if err := plan.Seal(); err != nil {
			t.Fatalf("Seal() of a plan that was read: %v", err)
		}
		for _, c := range plan.Changes {
			if !c.Principal.ID.Valid() || len(c.Grant)+len(c.Revoke) == 0 {
				t.Fatalf("ReadPlan() accepts %+v", c)
			}
		}
	})
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
		var written bytes.Buffer
		if _, err := plan.WriteTo(&written); err != nil {
			t.Fatal(err)
		}
		if got, err := document.ReadPart(bytes.NewReader(written.Bytes()), 1<<40, new(struct{})); err != nil || got != plan.Digest {
			t.Fatalf("digest of what stands there = %s, %v; the plan's digest is %s", got, err, plan.Digest)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(written.Bytes(), &members); err != nil {
			t.Fatal(err)
		}
		delete(members, "digest")
		rest, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if err := (*jsontext.Value)(&rest).Canonicalize(); err != nil {
			t.Fatal(err)
		}
		if want := sumOf(rest); plan.Digest != want {
			t.Fatalf("digest %s, that of the whole is %s", plan.Digest, want)
		}
	})
}

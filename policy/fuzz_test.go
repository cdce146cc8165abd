package policy

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"privsync/mstr"
)

// yamlLines splits data as YAML does.
func yamlLines(data string) []string {
	data = strings.TrimPrefix(data, "\ufeff")
	data = strings.ReplaceAll(data, "\r\n", "\n")
	return strings.Split(strings.NewReplacer("\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(data), "\n")
}

// bounded runs parse and fails if that takes more than 5 s or 1 GiB: what is allocated
// in all is more than what is in memory at once.
func bounded(t *testing.T, parse func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	parse()
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if bytes := after.TotalAlloc - before.TotalAlloc; took > 5*time.Second || bytes > zooMemory {
		t.Fatalf("it took %s and %d MiB", took, bytes>>20)
	}
}

// FuzzParse: whatever the bytes, there is within bounds either a list of problems, each
// at a place in the file, or a policy that keeps the promises of its types.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"design.yaml", "wrong.yaml"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, seed := range []string{
		zoo["aliases of mistakes"](0)[:1800] + strings.Repeat(", *a", 60) + "]\n", zoo["nested aliases"](0)[:2000], zoo["alias of itself"](0),
		"", "a", "---\n", "- x\n", "\xff\xfe", header + "unlisted: report\n", header + "principals:\n- user: a\n  privileges: [1]\n- user: b\n  forbid: [2]\n",
		header + "principals:\n- &a {user: a, forbid: [*a]}\n", header + "principals:\n- user:\n  forbid:\n  -\n", header + "overlays: {dev: {defaults: {mode: additive}}}\ncommands: [assign-watch-kpi-insight]\n",
		header + "principals:\n- users: {enabled: false}\n  privileges: [{privilege: 1, until: 2026-01-01}]\n", "\ufeff" + header, "a: 'b\u2028\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p *Policy
		var err error
		bounded(t, func() { p, err = Parse("p.yaml", data) })
		again, errAgain := Parse("p.yaml", data)
		if diff := cmp.Diff(problemLines(err), problemLines(errAgain)); diff != "" {
			t.Fatalf("parsed twice (-first +second):\n%s", diff)
		}
		if diff := cmp.Diff(p, again); diff != "" {
			t.Fatalf("parsed twice (-first +second):\n%s", diff)
		}
		inChunks, chunksErr, _ := parseWith(data, 1)
		if diff := cmp.Diff(problemLines(err), problemLines(chunksErr)); diff != "" {
			t.Fatalf("problems (-whole +chunks):\n%s", diff)
		}
		if err != nil {
			checkProblems(t, data, err)
			return
		}
		inChunks.Files, inChunks.Digest = p.Files, p.Digest
		if diff := cmp.Diff(p, inChunks); diff != "" {
			t.Fatalf("policy (-whole +chunks):\n%s", diff)
		}
		checkPolicy(t, p)
		if !judge(t, data) {
			t.Fatal("what was accepted is refused")
		}
	})
}

func checkProblems(t *testing.T, data []byte, err error) {
	t.Helper()
	var ps Problems
	if !errors.As(err, &ps) || len(ps) == 0 {
		t.Fatalf("error is a %T: %v", err, err)
	}
	lines := yamlLines(string(data))
	for i, problem := range ps {
		pos := problem.Pos
		if pos.File != "p.yaml" || pos.Line < 1 || pos.Line > len(lines) || pos.Column < 1 || utf8.Valid(data) && pos.Column > utf8.RuneCountInString(lines[pos.Line-1])+2 {
			t.Fatalf("%s: not a place in the file", problem)
		}
		if i > 0 && (pos.Line < ps[i-1].Pos.Line || pos.Line == ps[i-1].Pos.Line && pos.Column < ps[i-1].Pos.Column) {
			t.Fatalf("%s: stands after %s", problem, ps[i-1])
		}
		if problem.Message == "" || strings.Contains(problem.String(), "\n") {
			t.Fatalf("problem %q is not one line", problem.String())
		}
	}
}

func checkPolicy(t *testing.T, p *Policy) {
	t.Helper()
	if p.Name == "" || p.Scope == "" || p.Unlisted == "" || p.Defaults.Mode == "" {
		t.Fatalf("fields without a value: %+v", p)
	}
	ref := func(r Ref) {
		if (r.ID == 0) == (r.Name == "") || r.ID < 0 || r.ID > mstr.MaxPrivilege || r.Pos.Line == 0 {
			t.Fatalf("privilege %+v", r)
		}
	}
	for _, e := range p.Principals {
		if (e.Principal == nil) == (e.Selector == nil) {
			t.Fatalf("entry with principal %v and selector %v", e.Principal, e.Selector)
		}
		if s := e.Settings; s.Mode == "" || s.SatisfiedBy == "" || s.Redundant == "" || s.Inherited == "" || s.restless() {
			t.Fatalf("settings %+v", s)
		}
		if e.Principal != nil && (e.Principal.Name == "" || len(e.Principal.ID)%32 != 0 || e.Principal.ID != strings.ToUpper(e.Principal.ID)) {
			t.Fatalf("principal %+v", e.Principal)
		}
		if e.Listed.Len() == 0 && len(e.Forbid) == 0 && e.Stated.Mode != Authoritative {
			t.Fatalf("entry that wants nothing: %+v", e)
		}
		for l := range e.Listed.All() {
			ref(l.Ref)
		}
		for _, r := range e.Forbid {
			ref(r.Ref)
		}
	}
	for _, r := range p.Rules {
		kinds := 0
		for _, refs := range [][]Ref{r.Deny, r.Conflict, r.Require} {
			if len(refs) > 0 {
				kinds++
			}
			for _, x := range refs {
				ref(x)
			}
		}
		if kinds != 1 || r.Name == "" || (len(r.Require) > 0) != (r.AtLeast > 0) {
			t.Fatalf("rule %+v", r)
		}
	}
}

// FuzzScalar: a name, a number or an id means the same with and without quotes,
// whatever YAML takes it for without them.
func FuzzScalar(f *testing.F) {
	for _, s := range []string{"54", "054", "0", "65536", "no", "on", "null", "~", "1E10", "0x1F", "1_000", "2026-01-01", "6C9DFE134D0F8764893B469525E38EB0",
		"12345678901234567890123456789012", "1E101234567890123456789012345678", "6c9dfe134d0f8764893b469525e38eb0", ".inf", "a b", "é", "5.0", "+5", "0o7", "0b1", "1:2:3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var root yaml.Node
		if !utf8.ValidString(s) || yaml.Unmarshal([]byte("- "+s+"\n"), &root) != nil || len(root.Content) != 1 || len(root.Content[0].Content) != 1 {
			return
		}
		n := root.Content[0].Content[0]
		if n.Kind != yaml.ScalarNode || n.Style != 0 || n.Value != s || n.Anchor != "" {
			return // not a plain scalar: quotes would change it
		}
		quoted, err := json.Marshal(s)
		if err != nil || strings.ContainsAny(s, "<>&") {
			return // json writes these as escapes that mean the same, but longer
		}
		for _, body := range []string{
			"principals:\n- user: %\n  forbid: [1]\n", "principals:\n- group: %\n  forbid: [1]\n", "principals:\n- user: x\n  id: %\n  forbid: [1]\n",
			"principals:\n- user: x\n  forbid:\n  - %\n", "principals:\n- user: x\n  privileges:\n  - privilege: %\n", "principals:\n- users:\n    memberOf: %\n  forbid: [1]\n",
		} {
			plain, plainErr := Parse("p.yaml", []byte(header+strings.ReplaceAll(body, "%", s)))
			same, sameErr := Parse("p.yaml", []byte(header+strings.ReplaceAll(body, "%", string(quoted))))
			if isNull(n) {
				if plainErr == nil || !strings.Contains(plainErr.Error(), "is empty") {
					t.Errorf("%q in %q: %v, want an error", s, body, plainErr)
				}
				continue
			}
			if (plainErr == nil) != (sameErr == nil) {
				t.Fatalf("%q in %q: plain: %v, quoted: %v", s, body, plainErr, sameErr)
			}
			if plainErr != nil {
				continue
			}
			for _, p := range []*Policy{plain, same} {
				p.Files, p.Digest = nil, ""
			}
			if diff := cmp.Diff(plain, same); diff != "" {
				t.Fatalf("%q in %q (-plain +quoted):\n%s", s, body, diff)
			}
			e := plain.Principals[0]
			switch {
			case strings.Contains(body, "user: %") || strings.Contains(body, "group: %"):
				if e.Principal.Name != s {
					t.Fatalf("the name is %q, want %q", e.Principal.Name, s)
				}
			case strings.Contains(body, "id: %"):
				if e.Principal.ID != strings.ToUpper(s) {
					t.Fatalf("the id is %q, want %q", e.Principal.ID, s)
				}
			}
		}
	})
}

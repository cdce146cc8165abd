package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What an environment may say for itself does not change the base digest; everything
// that is decided by does.
func TestBaseDigest(t *testing.T) {
	const base = `apiVersion: privsync/v1
kind: Policy
metadata: {name: one, environment: test}
environment: {url: "https://test.example.com/MicroStrategyLibrary"}
principals:
  - user: demo
    privileges: [53, &p 54]
  - user: other
    privileges: [*p]
overlays:
  test: {safety: {maxRevokes: 5}}
`
	digestOf := func(text, env string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "policy.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		pol, err := Load([]string{path}, Options{EnvName: env})
		if err != nil {
			t.Fatal(err)
		}
		return pol.BaseDigest
	}
	want := digestOf(base, "")
	edit := func(old, new string) string {
		if !strings.Contains(base, old) {
			t.Fatalf("no %q in the policy", old)
		}
		return strings.Replace(base, old, new, 1)
	}
	tests := []struct {
		name, text, env string
		same            bool
	}{
		{"the overlay chosen", base, "test", true},
		{"another overlay", edit("maxRevokes: 5", "maxRevokes: 6"), "", true},
		{"no overlays", base[:strings.Index(base, "overlays:")], "", true},
		{"another environment", edit("environment: test", "environment: prod"), "", true},
		{"no environment", edit(", environment: test", ""), "", true},
		{"another server", edit("https://test", "https://prod"), "", true},
		{"a comment", edit("kind: Policy\n", "kind: Policy # it is\n"), "", true},
		{"without the alias", edit("*p", "54"), "", true},
		{"a privilege more", edit("[53,", "[53, 55,"), "", false},
		{"an entry less", edit("  - user: other\n    privileges: [*p]\n", ""), "", false},
		{"another name", edit("name: one", "name: two"), "", false},
		{"a limit of the base", edit("principals:", "safety: {maxRevokes: 5}\nprincipals:"), "", false},
		{"through an alias", edit("&p 54", "&p 55"), "", false},
		{"an overlay's value that the base uses", edit("maxRevokes: 5", "maxRevokes: &m 5"), "", true},
	}
	for _, tt := range tests {
		if got := digestOf(tt.text, tt.env); (got == want) != tt.same {
			t.Errorf("%s: base digest %s, that of the base is %s, want them equal: %v", tt.name, got, want, tt.same)
		}
	}
}

// Files that are read in chunks have the digest that they have as a whole.
func TestBaseDigestOfChunks(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: many}\nprincipals:\n")
	for i := range 200 {
		fmt.Fprintf(&b, "  - user: u%d\n    privileges: [%d]\n", i, i+1)
	}
	digest := func(size int) string {
		out := &collector{}
		p := newParser("many.yaml", out)
		p.account = newAccount()
		p.chunkSize = size
		d := p.parse([]byte(b.String()))
		if err := out.error(); err != nil {
			t.Fatal(err)
		}
		return baseDigest([]*document{d})
	}
	if whole, chunked := digest(1<<20), digest(500); whole != chunked {
		t.Errorf("base digest in chunks %s, as a whole %s", chunked, whole)
	}
}

func TestEnvironmentName(t *testing.T) {
	pol, err := Parse("p.yaml", []byte("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: one, environment: test}\nprincipals: [{user: a, privileges: [1]}]\n"))
	if err != nil || pol.EnvironmentName != "test" || pol.EnvironmentSelected != "" {
		t.Errorf("Parse = %+v, %v, want the environment test", pol, err)
	}
	_, err = Parse("p.yaml", []byte("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: one}\nprincipals: [{user: a, privileges: [1]}]\noverlays: {prod: {metadata: {environment: other}}}\n"))
	if err == nil || !strings.Contains(err.Error(), "the environment of an overlay is the overlay's name") {
		t.Errorf("an environment in an overlay: %v", err)
	}
}

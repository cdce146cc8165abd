package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"privsync/examples"
	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestSameInputSameBytes runs plan, apply and audit twice, each time on a new
// server of which nothing but the address differs. The documents are the same to
// the byte but for times, the ids of runs, durations, requests, retries, and the
// digests that cover them.
func TestSameInputSameBytes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"policy.yaml", "policies/contractors.yaml", "policies/rules.yaml", "policies/unlisted.yaml", "policies/teams"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first map[string]string
			for _, concurrency := range []string{"8", "8", "3"} {
				p := newProgram(t, mstrtest.Options{})
				if err := os.CopyFS(filepath.Join(p.dir, "examples"), examples.Files); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join("examples", filepath.FromSlash(name))
				for _, args := range [][]string{
					{"plan", "-f", file, "--out", "plan.json"},
					{"apply", "-f", file, "--yes", "--report", "apply.json"},
					{"audit", "-f", file, "--report", "audit.json", "--covered-only"}, // others break the example's rules
				} {
					if code, stdout, stderr := p.run(append(args, "--concurrency", concurrency)...); code != executor.ExitOK {
						t.Fatalf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
					}
				}
				got := map[string]string{}
				for _, file := range []string{"plan.json", "apply.json", "audit.json"} {
					got[file] = timeless(t, filepath.Join(p.dir, file), p.host())
				}
				if first == nil {
					first = got
				}
				if diff := cmp.Diff(first, got); diff != "" {
					t.Errorf("with concurrency %s (-first +again):\n%s", concurrency, diff)
				}
			}
		})
	}
}

// host is the server's address, which differs from server to server.
func (p *program) host() string {
	for _, v := range p.env {
		if url, ok := strings.CutPrefix(v, "PRIVSYNC_URL=http://"); ok {
			host, _, _ := strings.Cut(url, "/")
			return host
		}
	}
	p.t.Fatal("the program has no server")
	return ""
}

// timeless returns a document with what may differ from run to run masked.
func timeless(t *testing.T, file, host string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Digest string
		Run    struct{ ID string }
		Plan   struct{ Digest string }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(data), host, "HOST")
	for _, value := range []string{doc.Digest, doc.Run.ID, doc.Plan.Digest} {
		if value != "" {
			text = strings.ReplaceAll(text, strconv.Quote(value), `"masked"`)
		}
	}
	for pattern, masked := range map[string]string{
		`"(createdAt|expiresAt|startedAt|finishedAt|date|queueId)": ?"[^"]*"`:                   `"$1":"masked"`,
		`"(durationMs|requests|retries)": ?[0-9]+`:                                              `"$1":0`,
		`("after": ?\{\s*"direct": ?\[[^]]*\],\s*"inherited": ?)\[[^]]*\](\s*\}|,\s*"sources")`: `$1[]$2`,
	} {
		text = regexp.MustCompile(pattern).ReplaceAllString(text, masked)
	}
	return text
}

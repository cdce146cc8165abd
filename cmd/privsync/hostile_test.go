package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"privsync/clean"
	"privsync/mstrapi/mstrtest"
)

// hostileName is a name that would repaint a terminal, turn text around, hide
// characters, and start a line of its own.
const hostileName = "evil\x1b]0;owned\x07\x1b[31m\u009b1m\u202e\u2066\u200b\ufeff\u2028\x7f\r\nFAKE: all is well"

// rawMarks returns what of an output must not stand in it raw.
func rawMarks(out string) (marks []string) {
	for _, r := range out {
		if r != '\n' && clean.Unsafe(r) {
			marks = append(marks, string(r))
		}
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(strings.TrimSpace(line), "FAKE") {
			marks = append(marks, line)
		}
	}
	return marks
}

// TestHostileText: whatever stands in file names, flags, files and the server's
// answers, no output holds a raw control character or a line that is not
// privsync's own.
func TestHostileText(t *testing.T) {
	t.Parallel()
	p := newProgram(t, mstrtest.Options{})
	quoted, err := json.Marshal(hostileName)
	if err != nil {
		t.Fatal(err)
	}
	name := func(ending string) string { return hostileName + ending }
	policy := strings.Replace(everybody, "{name: everybody}", `{name: `+string(quoted)+`, owner: `+string(quoted)+`}`, 1)
	p.file(name(".yaml"), policy)
	p.file("keys.yaml", strings.Replace(everybody, "metadata:", string(quoted)+": 1\nmetadata:", 1))
	p.file("names.yaml", strings.Replace(everybody, "Monitor Projects", string(quoted)+", "+string(quoted), 1))
	p.file("users.yaml", everybody+"  - user: "+string(quoted)+"\n    id: "+string(quoted)+"\n    privileges: [53]\n  - user: "+string(quoted)+"\n    privileges: [53]\n")
	p.file("unknown.yaml", everybody+"  - user: "+string(quoted)+"\n    privileges: ["+string(quoted)+", 53]\n")
	p.file("rules.yaml", everybody+"rules:\n  - {name: "+string(quoted)+", conflict: [Monitor Projects, Monitor Cluster]}\n")
	p.file("raw.yaml", everybody+"# "+hostileName+"\n"+hostileName)
	p.file("broken.json", `{"format": `+string(quoted)+`, `+string(quoted)+`: 1}`)
	p.file("odd.json", `{"format": "privsync/plan/v1", `+string(quoted)+`: `+string(quoted)+`}`)
	p.file("report.json", `{"format": "privsync/report/v1", `+string(quoted)+`: `+string(quoted)+`}`)
	p.file("secret", "line one\nline two\n")
	if err := os.Mkdir(filepath.Join(p.dir, name("")), 0o700); err != nil {
		t.Fatal(err)
	}
	runs := [][]string{
		{"validate", "-f", name(".yaml")},
		{"validate", "-f", name("-missing.yaml")},
		{"validate", "-f", name("")},
		{"validate", "-f", name(".yaml"), "--catalog", name(".json")},
		{"validate", "-f", "policy.yaml", "--catalog", "broken.json"},
		{"validate", "-f", "policy.yaml", "--env", hostileName},
		{"plan", "-f", name(".yaml"), "--out", name("plan.json")},
		{"plan", "-f", name(".yaml"), "--out", name("/no/plan.json")},
		{"plan", "-f", "unknown.yaml"},
		{"plan", "-f", "rules.yaml"},
		{"plan", "-f", name(".yaml"), "--format", "json"},
		{"plan", "-f", name(".yaml"), "--format", "markdown"},
		{"plan", "-f", name(".yaml"), "--format", "github"},
		{"apply", "-f", name(".yaml"), "--yes", "--report", name("report.json"), "--html", name(".html"), "--metrics-file", name(".prom"), "--comment", hostileName},
		{"apply", "-f", name(".yaml"), "--yes", "--report-dir", name("reports"), "--state-dir", name("state")},
		{"apply", "-f", name(".yaml"), "--yes", "--report", name("/no/report.json"), "--html", name("/no/x.html"), "--metrics-file", name("/no/x.prom")},
		{"apply", name("plan.json"), "--yes"},
		{"apply", name("none.json"), "--yes"},
		{"apply", "broken.json", "--yes"},
		{"apply", "odd.json", "--yes"},
		{"show", name("plan.json")},
		{"show", name("report.json")},
		{"show", name("report.json"), "--format", "markdown"},
		{"show", name("report.json"), "--format", "github"},
		{"show", "broken.json"},
		{"show", "report.json"},
		{"rollback", name("report.json"), "--out", name("undo.json")},
		{"rollback", "report.json", "--out", "x.json"},
		{"verify-reports", name("reports")},
		{"verify-reports", name("none")},
		{"audit", "-f", name(".yaml"), "--report", name("audit.json")},
		{"audit", "-f", "rules.yaml", "--format", "markdown"},
		{"explain", "user", hostileName},
		{"explain", "group", hostileName},
		{"explain", "user", "demo", hostileName},
		{"export", hostileName},
		{"privileges", "--save", name("catalogue.json")},
		{"privileges", "--save", name("/no/catalogue.json")},
		{"command", hostileName},
		{"schema", hostileName},
		{"help", hostileName},
		{hostileName},
		{"plan", "--" + hostileName},
		{"plan", "-f", "policy.yaml", "--rate", hostileName},
		{"plan", "-f", "policy.yaml", "--format", hostileName},
		{"plan", "-f", "policy.yaml", "--now", hostileName},
		{"plan", "-f", "policy.yaml", "--url", hostileName},
		{"plan", "-f", "policy.yaml", "--url", "http://" + hostileName + "/x"},
		{"plan", "-f", "policy.yaml", "--username", hostileName},
		{"plan", "-f", "policy.yaml", "--password-file", name(".none")},
		{"plan", "-f", "policy.yaml", "--ca-file", name(".none")},
		{"doctor", "--username", hostileName},
		{"doctor", "--ca-file", name(".none")},
		{"recover", "--state-dir", name("state")},
		{"sim", "--environment", name(".none")},
		{"sim", "--listen", hostileName},
	}
	for _, file := range []string{"keys.yaml", "names.yaml", "users.yaml", "raw.yaml"} {
		for _, format := range []string{"text", "json", "github"} {
			runs = append(runs, []string{"validate", "-f", file, "--format", format})
		}
	}
	for _, logs := range []string{"text", "json"} {
		for _, args := range runs {
			args := append(append([]string{}, args...), "--log-level", "debug", "--log-format", logs)
			code, stdout, stderr := p.run(args...)
			if marks := rawMarks(stdout); marks != nil {
				t.Errorf("%q: raw on stdout: %q\n%q", args, marks, stdout)
			}
			if marks := rawMarks(stderr); marks != nil {
				t.Errorf("%q: raw on stderr: %q\n%q", args, marks, stderr)
			}
			if code == -1 || strings.Contains(stderr, "goroutine ") {
				t.Errorf("%q: exit code %d\n%s", args, code, stderr)
			}
		}
	}
}

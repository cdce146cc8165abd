package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// folder writes files into a new folder and goes there.
func folder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, data := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

const start = "apiVersion: privsync/v1\nkind: Policy\n"

func problemLines(err error) []string {
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

func TestSeveralFiles(t *testing.T) {
	folder(t, map[string]string{
		"main.yaml":         start + "metadata: {name: all, owner: o}\nsafety: {maxRevokes: 5}\n",
		"teams/b.yml":       start + "metadata: {name: all, description: d}\nprincipals:\n- group: B\n  sets: [shared]\n",
		"teams/a.yaml":      start + "privilegeSets: {shared: {privileges: [7]}}\nprincipals:\n- group: A\n  sets: [shared]\n",
		"teams/.hid.yaml":   "not: read\n",
		"teams/README.md":   "not read",
		"teams/seats.json":  "{\n  \"format\": \"privsync/licences/v1\"}",
		"teams/other.json":  "{\"format\": \"privsync/plan/v1\"}",
		"teams/sub/x.yaml~": "not: read\n",
		"teams/folder.yaml": "", // replaced below
	})
	if err := os.Remove("teams/folder.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("teams/folder.yaml", 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := Load([]string{"main.yaml", "teams"}, Options{})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	var paths, groups []string
	for _, f := range p.Files {
		paths = append(paths, f.Path)
	}
	for _, e := range p.Principals {
		groups = append(groups, e.Principal.Name+":"+e.Listed.Items()[0].String())
	}
	if diff := cmp.Diff([]string{"main.yaml", "teams/a.yaml", "teams/b.yml"}, paths); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"A:7", "B:7"}, groups); diff != "" {
		t.Errorf("principals (-want +got):\n%s", diff)
	}
	left := []string{`teams: not read: ".hid.yaml" (hidden), "README.md" (other ending), "other.json" (other ending), "sub/x.yaml~" (other ending)`}
	if diff := cmp.Diff(left, problemLines(p.Warnings)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if p.Name != "all" || p.Owner != "o" || p.Description != "d" || p.Safety.MaxRevokes.Number != 5 {
		t.Errorf("policy = %+v", p)
	}

	other, err := Load([]string{"./teams/b.yml", "../" + filepath.Base(mustWd(t)) + "/teams/a.yaml", "main.yaml"}, Options{})
	if err != nil {
		t.Fatalf("Load in another order: %v", err)
	}
	if other.Digest != p.Digest {
		t.Errorf("the digest depends on how the files are given: %s, %s", other.Digest, p.Digest)
	}
	if err := os.WriteFile("main.yaml", []byte(start+"metadata: {name: all, owner: other}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	changed, err := Load([]string{"main.yaml", "teams"}, Options{})
	if err != nil || changed.Digest == p.Digest {
		t.Errorf("the digest of a changed file is the same (%v)", err)
	}
}

func mustWd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestProblemsAcrossFiles(t *testing.T) {
	folder(t, map[string]string{
		"a.yaml": start + `metadata: {name: a}
scope: {level: all}
defaults: {mode: additive}
safety: {maxRevokes: 1}
environment: {loginMode: ldap}
unlisted: report
privilegeSets: {s: {privileges: [1]}}
principals:
- user: demo
  sets: [s]
rules: [{name: r, deny: [1]}]
commands: [assign-watch-kpi-insight]
overlays: {dev: {safety: {maxRevokes: 2}, defaults: {mode: additive}}}
`,
		"b.yaml": start + `metadata: {name: b}
scope: {level: all}
defaults: {mode: additive}
safety: {maxRevokes: 1}
environment: {loginMode: ldap}
unlisted: report
privilegeSets: {s: {privileges: [2]}}
principals:
- user: DEMO
  sets: [t]
rules: [{name: r, deny: [2]}]
commands: [assign-watch-kpi-insight]
overlays: {dev: {safety: {maxRevokes: 2}, metadata: {owner: x}, environment: {loginMode: ldap}}}
`,
	})
	_, err := Load([]string{"a.yaml", "b.yaml"}, Options{})
	want := []string{
		`b.yaml:3:18: metadata.name is "b" here and "a" at a.yaml:3:18`,
		`b.yaml:4:1: scope is given twice: first at a.yaml:4:1; one file has it for all`,
		`b.yaml:5:1: defaults is given twice: first at a.yaml:5:1; one file has it for all`,
		`b.yaml:6:1: safety is given twice: first at a.yaml:6:1; one file has it for all`,
		`b.yaml:7:1: environment is given twice: first at a.yaml:7:1; one file has it for all`,
		`b.yaml:8:1: unlisted is given twice: first at a.yaml:8:1; one file has it for all`,
		`b.yaml:9:17: set "s" is given twice: first at a.yaml:9:17`,
		`b.yaml:11:9: user "DEMO" has an entry already: at a.yaml:11:9; make one entry of both`,
		`b.yaml:12:10: unknown set "t"`,
		`b.yaml:13:16: rule "r" is given twice: first at a.yaml:13:16`,
		`b.yaml:14:12: command "assign-watch-kpi-insight" is given twice: first at a.yaml:14:12`,
		`b.yaml:15:18: safety of overlay "dev" is given twice: first at a.yaml:15:18`,
	}
	if diff := cmp.Diff(want, problemLines(err)); diff != "" {
		t.Errorf("Load problems (-want +got):\n%s", diff)
	}
}

func TestUnreadableFiles(t *testing.T) {
	folder(t, map[string]string{
		"a.yaml":       start + "principals:\n- user: a\n  sets: [s]\n  mode: x\n",
		"empty/x.txt":  "",
		"dead/ok.yaml": start + "metadata: {name: n}\n",
	})
	if err := os.Symlink("nowhere", "dead/link.yaml"); err != nil {
		t.Fatal(err)
	}
	large, err := os.Create("large.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := large.Truncate(MaxSize + 1); err != nil {
		t.Fatal(err)
	}
	large.Close()
	// The unknown set and the missing name may be in what could not be read.
	_, err = Load([]string{"a.yaml", "missing.yaml", "empty", "large.yaml", "./a.yaml", "dead", "-", "-"}, Options{Stdin: iotest.ErrReader(errors.New("broken pipe"))})
	want := []string{
		`./a.yaml: the file is given twice`,
		`<stdin>: broken pipe`,
		`<stdin>: the standard input is given twice`,
		`a.yaml:6:9: mode is "x", must be additive or authoritative`,
		`dead/link.yaml: no such file or directory`,
		`empty: the folder holds no *.yaml and no *.yml file`,
		`large.yaml: the policy is larger than 64 MiB`,
		`missing.yaml: no such file or directory`,
	}
	if diff := cmp.Diff(want, problemLines(err)); diff != "" {
		t.Errorf("Load problems (-want +got):\n%s", diff)
	}
	if _, err := Load(nil, Options{}); err == nil || err.Error() != "policy: no file is given" {
		t.Errorf("Load(nil) = %v", err)
	}
	if _, err := Load([]string{"dead/link.yaml"}, Options{}); err == nil {
		t.Error("Load(dangling link) = nil")
	}
}

func TestUnreadableFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	folder(t, map[string]string{"d/a.yaml": "", "f.yaml": ""})
	for name, want := range map[string]string{"d": "d: permission denied", "f.yaml": "f.yaml: permission denied"} {
		if err := os.Chmod(name, 0); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(name, 0o700)
		if _, err := Load([]string{name}, Options{}); err == nil || err.Error() != want {
			t.Errorf("Load(%s) = %v, want %s", name, err, want)
		}
	}
}

func TestStdin(t *testing.T) {
	p, err := Load([]string{"-"}, Options{Stdin: iotest.OneByteReader(strings.NewReader(header + "unlisted: report\n"))})
	if err != nil || p.Files[0].Path != "<stdin>" {
		t.Errorf("Load(-) = %v, %v", p, err)
	}
	_, err = Load([]string{"-"}, Options{Stdin: strings.NewReader(header + "unlisted: x\n")})
	if diff := cmp.Diff([]string{`<stdin>:4:11: unlisted is "x", must be ignore, report or revoke`}, problemLines(err)); diff != "" {
		t.Errorf("Load(-) problems (-want +got):\n%s", diff)
	}
	_, err = Load([]string{"-"}, Options{Stdin: endless{}})
	if diff := cmp.Diff([]string{`<stdin>: the policy is larger than 64 MiB`}, problemLines(err)); diff != "" {
		t.Errorf("Load(endless) problems (-want +got):\n%s", diff)
	}
}

// endless is a reader that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestOverlays(t *testing.T) {
	folder(t, map[string]string{
		"a.yaml": start + `metadata: {name: base, owner: o}
environment: {url: "https://prod/x", loginMode: ldap}
defaults: {mode: authoritative, expiringWithinDays: 7}
safety: {maxRevokes: 1, maxChangedPrincipals: 2, protected: [{user: a}]}
overlays:
  dev: {environment: {url: "http://dev/x"}}
principals:
- user: u
  privileges: [1]
`,
		"b.yaml": start + `overlays:
  dev:
    metadata: {name: dev}
    defaults: {mode: additive, satisfiedBy: direct, redundant: keep, inherited: report}
    safety: {maxRevokes: 100%, protected: [{group: g}]}
  qa: {safety: {maxRevokes: 3, maxChangedPrincipals: 4}, defaults: {expiringWithinDays: 1}, metadata: {owner: q, description: d}, environment: {loginMode: apiToken}}
`,
	})
	load := func(env string) *Policy {
		p, err := Load([]string{"a.yaml", "b.yaml"}, Options{EnvName: env})
		if err != nil {
			t.Fatalf("Load(%s): %v", env, err)
		}
		return p
	}
	text := func(p *Policy) string {
		s := p.Name + " " + p.Owner + " " + p.Environment.URL + " " + p.Environment.LoginMode + " " + string(p.Principals[0].Settings.Mode) + " " +
			string(p.Defaults.SatisfiedBy) + " " + string(p.Defaults.Inherited) + " " + p.Safety.MaxRevokes.String() + " " + p.Safety.MaxChangedPrincipals.String() + " " + p.Safety.Protected[0].Name
		for _, more := range p.Safety.Protected[1:] {
			s += "+" + more.Name
		}
		return s + strings.Repeat(" day", p.ExpiringWithinDays)
	}
	days := func(n int) string { return strings.Repeat(" day", n) }
	for env, want := range map[string]string{
		"":    "base o https://prod/x ldap authoritative effective allow 1 2 a" + days(7),
		"dev": "dev o http://dev/x ldap additive direct report 100% 2 a+g" + days(7),
		"qa":  "base q https://prod/x apiToken authoritative effective allow 3 4 a" + days(1),
	} {
		p := load(env)
		if got := text(p); got != want {
			t.Errorf("Load(%q) = %s, want %s", env, got, want)
		}
		if p.EnvironmentSelected != env {
			t.Errorf("EnvironmentSelected = %q, want %q", p.EnvironmentSelected, env)
		}
	}
	if load("").Digest == load("dev").Digest {
		t.Error("the digest does not tell which overlay is in force")
	}
	_, err := Load([]string{"a.yaml", "b.yaml"}, Options{EnvName: "dve"})
	if diff := cmp.Diff([]string{`a.yaml:1:1: unknown environment "dve": the policy has overlays for "dev", "qa"; did you mean "dev"?`}, problemLines(err)); diff != "" {
		t.Errorf("Load(dve) problems (-want +got):\n%s", diff)
	}
	if err := os.WriteFile("c.yaml", []byte(header+"unlisted: report\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load([]string{"c.yaml"}, Options{EnvName: "dev"})
	if diff := cmp.Diff([]string{`c.yaml:1:1: unknown environment "dev": the policy has no overlays`}, problemLines(err)); diff != "" {
		t.Errorf("Load(no overlays) problems (-want +got):\n%s", diff)
	}
	_, err = Load([]string{"a.yaml", "nothing.yaml"}, Options{EnvName: "prod"})
	if diff := cmp.Diff([]string{`nothing.yaml: no such file or directory`}, problemLines(err)); diff != "" {
		t.Errorf("Load(unread overlays) problems (-want +got):\n%s", diff)
	}
}

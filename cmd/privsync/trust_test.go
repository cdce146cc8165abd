//go:build unix

package main

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// stranger is a user and a group that no test machine has.
const stranger = 54321

// plant writes a journal with right checksums, of a run on the server that died and
// whose report is to go over victim.
func (p *program) plant(victim string) string {
	p.t.Helper()
	url := ""
	for _, v := range p.env {
		if after, ok := strings.CutPrefix(v, "PRIVSYNC_URL="); ok {
			url = after
		}
	}
	line := func(record string) string {
		return fmt.Sprintf(`{"crc":"%08x","record":%s}`+"\n", crc32.Checksum([]byte(record), crc32.MakeTable(crc32.Castagnoli)), record)
	}
	at := `"at":"2026-01-01T00:00:00Z"`
	text := line(`{"seq":1,"type":"begin",`+at+`,"begin":{"format":"privsync/journal/v1","run":{"id":"planted","command":"apply","startedAt":"2026-01-01T00:00:00Z","finishedAt":"2026-01-01T00:00:00Z","outcome":"failed"},`+
		`"tool":{"name":"privsync","version":"x"},"environment":{"url":"`+url+`","iServerVersion":"","webVersion":""},"actor":{"id":"","name":""},"policy":{"name":"x","digest":"sha256:`+strings.Repeat("0", 64)+`","files":[]},"scope":{"level":"server"},`+
		`"planDigest":"","guards":[],"commands":[],"destination":{"file":"`+victim+`"}}}`) +
		line(`{"seq":2,"type":"ready",`+at+`,"ready":{"changes":0,"findings":0}}`)
	path := filepath.Join(p.dir, "state", "privsync", "journals", "20260101T000000Z-planted.jsonl")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// A journal that somebody else planted steers nothing: the apply stops, and with
// --insecure-permissions its report goes into the state folder and not over a file
// of the planter's choosing.
func TestPlantedJournal(t *testing.T) {
	for name, plant := range map[string]func(journal string) error{
		"journal of another user": func(j string) error { return os.Chown(j, stranger, stranger) },
		"folder of another user":  func(j string) error { return os.Chown(filepath.Dir(j), stranger, stranger) },
		"state of another user":   func(j string) error { return os.Chown(filepath.Dir(filepath.Dir(j)), stranger, stranger) },
		"folder for everybody":    func(j string) error { return os.Chmod(filepath.Dir(j), 0o777) },
		"journal for everybody":   func(j string) error { return os.Chmod(j, 0o666) },
	} {
		t.Run(name, func(t *testing.T) {
			if os.Geteuid() != 0 && strings.Contains(name, "another user") {
				t.Skip("only root can give files away")
			}
			p := newProgram(t, mstrtest.Options{})
			victim := filepath.Join(p.dir, "victim")
			if err := os.WriteFile(victim, []byte("precious\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := plant(p.plant(victim)); err != nil {
				t.Fatal(err)
			}
			check := func() {
				t.Helper()
				if text, err := os.ReadFile(victim); err != nil || string(text) != "precious\n" {
					t.Fatalf("the file was overwritten: %q, %v", text, err)
				}
			}
			code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report", "mine.json")
			check()
			if code != executor.ExitError || !strings.Contains(stderr, "state folder: ") || !strings.Contains(stderr, "--insecure-permissions") || len(p.server.Writes()) != 0 {
				t.Errorf("apply: exit code %d, %d writes\n%s", code, len(p.server.Writes()), stderr)
			}
			code, _, stderr = p.run("apply", "-f", "policy.yaml", "--yes", "--report", "mine.json", "--insecure-permissions")
			check()
			if code != executor.ExitOK || !strings.Contains(stderr, "recovered the report of run planted") || !strings.Contains(stderr, "it goes to where reports without one go") {
				t.Errorf("apply --insecure-permissions: exit code %d\n%s", code, stderr)
			}
		})
	}
}

// Even a journal of the user's own replaces no file that is no report.
func TestRecoveredReportReplacesOnlyReports(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	victim := filepath.Join(p.dir, "victim")
	if err := os.WriteFile(victim, []byte(`{"format":"something/else"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p.plant(victim)
	code, _, stderr := p.run("recover")
	if text, err := os.ReadFile(victim); err != nil || !strings.Contains(string(text), "something/else") {
		t.Fatalf("the file was overwritten: %q, %v", text, err)
	}
	if code != executor.ExitOK || !strings.Contains(stderr, "is no report and is not replaced") {
		t.Errorf("recover: exit code %d\n%s", code, stderr)
	}
}

// A secret that others may have written is none; one that they can read is one with a
// warning.
func TestSecretsOfOthers(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	p.env = append(p.env, "PRIVSYNC_PASSWORD=")
	file := filepath.Join(p.dir, "password")
	if err := os.WriteFile(file, []byte(mstrtest.ServicePassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want int, text string, flags ...string) {
		t.Helper()
		code, _, stderr := p.run(append([]string{"plan", "-f", "policy.yaml", "--password-file", "password"}, flags...)...)
		if code != want || text != "" && !strings.Contains(stderr, text) || text == "" && strings.Contains(stderr, "WARN") {
			t.Errorf("plan: exit code %d, want %d and %q\n%s", code, want, text, stderr)
		}
	}
	run(executor.ExitOK, "")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	run(executor.ExitOK, "can be read by others")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	run(executor.ExitError, "can be written by everybody")
	run(executor.ExitOK, "can be written by everybody", "--insecure-permissions")
	if os.Geteuid() != 0 {
		return
	}
	if err := errors.Join(os.Chmod(file, 0o600), os.Chown(file, stranger, stranger)); err != nil {
		t.Fatal(err)
	}
	run(executor.ExitError, "belongs to user 54321")
}

// The policy and the folder of reports are looked at with a warning.
func TestPolicyAndReportsOfOthers(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	if err := errors.Join(os.Mkdir(filepath.Join(p.dir, "reports"), 0o777), os.Chmod(filepath.Join(p.dir, "reports"), 0o777),
		os.Chmod(filepath.Join(p.dir, "policy.yaml"), 0o666)); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report-dir", "reports")
	for _, want := range []string{"/reports", "/policy.yaml"} {
		if !strings.Contains(stderr, want+` why="can be written by everybody"`) {
			t.Errorf("no warning of %s (exit code %d)\n%s", want, code, stderr)
		}
	}
	if code != executor.ExitOK {
		t.Errorf("apply: exit code %d", code)
	}
	if code, _, stderr := p.run("plan", "-f", "policy.yaml"); code != executor.ExitOK || strings.Contains(stderr, "WARN") {
		t.Errorf("plan: exit code %d\n%s", code, stderr)
	}
}

// While metrics are written another user of their folder exchanges the file for a
// link, as fast as he can: what it points to keeps its mode.
func TestMetricsGiveNoModeByName(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	secret, file := filepath.Join(p.dir, "secret"), filepath.Join(p.dir, "privsync.prom")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	var exchange sync.Mutex // no link of one round may be left for the next
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			exchange.Lock()
			if info, err := os.Lstat(file); err == nil && info.Mode().IsRegular() {
				_ = os.Remove(file)
				_ = os.Symlink(secret, file)
			}
			exchange.Unlock()
		}
	}()
	for range 3 {
		if code, _, stderr := p.run("audit", "-f", "policy.yaml", "--metrics-file", "privsync.prom", "--report", "r.json"); code != executor.ExitDrift {
			t.Errorf("audit: exit code %d\n%s", code, stderr)
		}
		if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("the secret has mode %v, %v", info.Mode(), err)
		}
		exchange.Lock()
		_ = os.Remove(file)
		exchange.Unlock()
	}
	close(stop)
	<-done
}

// A report that chain.json does not know is explained by the journal of its run, and
// then the next run goes on. A journal that others can have written explains nothing.
func TestJournalExplainsReportAfterTheNewest(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	audit := func(want int) {
		t.Helper()
		if code, _, stderr := p.run("audit", "-f", "policy.yaml", "--report-dir", "reports"); code != want {
			t.Fatalf("audit: exit code %d, want %d\n%s", code, want, stderr)
		}
	}
	audit(executor.ExitDrift)
	chain := filepath.Join(p.dir, "reports", "chain.json")
	before, err := os.ReadFile(chain)
	if err != nil {
		t.Fatal(err)
	}
	known, _ := filepath.Glob(filepath.Join(p.dir, "reports", "2*.json"))
	audit(executor.ExitDrift)
	all, _ := filepath.Glob(filepath.Join(p.dir, "reports", "2*.json"))
	newest := all[0]
	if newest == known[0] {
		newest = all[1]
	}
	_, id, _ := strings.Cut(strings.TrimSuffix(filepath.Base(newest), ".json"), "-")
	if err := os.WriteFile(chain, before, 0o600); err != nil {
		t.Fatal(err)
	}
	audit(executor.ExitError)
	journal := p.plant("x")
	text, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	_, record, _ := strings.Cut(strings.TrimSuffix(lines[0], "}\n"), `"record":`)
	record = strings.Replace(strings.Replace(record, `"id":"planted"`, `"id":"`+id+`"`, 1), `"file":"x"`, `"dir":"`+filepath.Join(p.dir, "reports")+`"`, 1)
	lines[0] = fmt.Sprintf(`{"crc":"%08x","record":%s}`+"\n", crc32.Checksum([]byte(record), crc32.MakeTable(crc32.Castagnoli)), record)
	if err := errors.Join(os.WriteFile(journal, []byte(strings.Join(lines, "")), 0o600), os.Chmod(journal, 0o666)); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := p.run("verify-reports", "reports"); code != executor.ExitError || !strings.Contains(stderr, "explains nothing") {
		t.Errorf("verify-reports: exit code %d\n%s", code, stderr)
	}
	if err := os.Chmod(journal, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := p.run("verify-reports", "reports"); code != executor.ExitOK || !strings.Contains(stdout, "newer  ") {
		t.Errorf("verify-reports: exit code %d\n%s%s", code, stdout, stderr)
	}
	audit(executor.ExitDrift)
	if code, stdout, stderr := p.run("verify-reports", "reports", "--min-reports", "3"); code != executor.ExitOK {
		t.Errorf("verify-reports: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// Kubernetes mounts a ConfigMap or a Secret as a folder that everybody may add to, or
// read-only, with a link ..data to the files: nothing of that is worth a warning every
// night. What others can write really is.
func TestMountedPolicyWarnsOfNothing(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	mount := filepath.Join(p.dir, "mounted")
	data := filepath.Join(mount, "..2026_01_01")
	text, err := os.ReadFile(filepath.Join(p.dir, "policy.yaml"))
	err = errors.Join(err, os.MkdirAll(data, 0o755), os.WriteFile(filepath.Join(data, "policy.yaml"), text, 0o644),
		os.Symlink("..2026_01_01", filepath.Join(mount, "..data")), os.Symlink("..data/policy.yaml", filepath.Join(mount, "policy.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		mode os.FileMode
		warn bool
	}{{0o777 | os.ModeSticky, false}, {0o755, false}, {0o777, true}} {
		if err := os.Chmod(mount, c.mode); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := p.run("apply", "-f", "mounted", "--yes", "--report", "r.json")
		if code != executor.ExitOK || strings.Contains(stderr, "others than you") != c.warn {
			t.Errorf("folder with mode %v: exit code %d, warned of it, want %v:\n%s", c.mode, code, c.warn, stderr)
		}
	}
	if err := exec.Command("unshare", "--mount", "true").Run(); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	script := `mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"`
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script, mount, "privsync", "apply", "-f", "mounted", "--yes", "--report", "r.json")
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "others than you") {
		t.Errorf("mounted read-only: %v:\n%s", err, out)
	}
}

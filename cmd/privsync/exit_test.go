package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"privsync/clean"
	"privsync/executor"
	"privsync/policy"
)

func TestExitCode(t *testing.T) {
	plain := errors.New("x")
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{plain, 1},
		{exits(executor.ExitOK), 0},
		{exits(executor.ExitDrift), 2},
		{hinted(plain, "do"), 1},
		{refused(plain, "do"), 3},
		{fmt.Errorf("around: %w", refused(plain, "do")), 3},
		{errInterrupted, 130},
		{fmt.Errorf("read: %w", errInterrupted), 130},
		{policy.Problems{{Message: "x"}}, 1},
	} {
		if got := exitCode(tt.err); got != tt.want {
			t.Errorf("exitCode(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestAlso(t *testing.T) {
	full := hinted(errors.New("disk full"), "make room")
	for _, tt := range []struct {
		name string
		err  error
		code int
		text string
	}{
		{"nothing was wrong", nil, 1, "disk full"},
		{"drift", exits(executor.ExitDrift), 1, "disk full"},
		{"refused", refused(errors.New("refused"), "look"), 1, "refused\ndisk full"},
		{"interrupted", errInterrupted, 130, "interrupted\ndisk full"},
	} {
		got := also(tt.err, full)
		if exitCode(got) != tt.code || got.Error() != tt.text {
			t.Errorf("%s: exit code %d, %q, want %d, %q", tt.name, exitCode(got), got, tt.code, tt.text)
		}
		if also(tt.err, nil) != tt.err {
			t.Errorf("%s: changed although nothing else went wrong", tt.name)
		}
	}
}

func TestErrorsAreOneCleanLine(t *testing.T) {
	a, stderr := testApp(nil)
	printError(a, hinted(errors.New("the server says \x1b[2Jgone\nprivsync: all is well\u202e"), "look"))
	got := stderr.String()
	if strings.ContainsAny(got, "\x1b\u202e") || strings.Count(got, "\n") != 2 || !strings.HasPrefix(got, "privsync: the server says ") || !strings.HasSuffix(got, "\nhint: look\n") {
		t.Errorf("printed %q", got)
	}
}

func TestJSONSafeKeepsTheDocument(t *testing.T) {
	hostile := "a\u0085b\u2028c\u202ed\ufeffe\x7ff\u00ad\u3164\U000e0041 日本 é 😀"
	text, err := json.Marshal(map[string]string{hostile: hostile})
	if err != nil {
		t.Fatal(err)
	}
	// One byte at a time: characters are torn between two writes.
	var out bytes.Buffer
	safe := &jsonSafe{w: &out}
	for i := range text {
		if n, err := safe.Write(text[i : i+1]); n != 1 || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	for _, r := range out.String() {
		if r != utf8.RuneError && (r < 0x20 || r == 0x7f || clean.Unsafe(r)) {
			t.Errorf("%U came through", r)
		}
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back[hostile] != hostile {
		t.Errorf("read back %q, %v", back, err)
	}
	if !strings.Contains(out.String(), "日本 é 😀") {
		t.Errorf("harmless characters were changed: %s", out.String())
	}
	var written bytes.Buffer
	if err := yaml.NewEncoder(&jsonSafe{w: &written, yaml: true}).Encode(scalar(hostile)); err != nil {
		t.Fatal(err)
	}
	name := ""
	if err := yaml.Unmarshal(written.Bytes(), &name); err != nil || name != hostile || strings.ContainsFunc(strings.TrimSpace(written.String()), clean.Unsafe) {
		t.Errorf("as YAML %s, read back %q, %v", written.String(), name, err)
	}
	if _, err := (&jsonSafe{w: failingWriter{}}).Write([]byte("{}")); err == nil {
		t.Error("the writer's error was lost")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestLimitFlag(t *testing.T) {
	for _, tt := range []struct {
		text      string
		percentOK bool
		want      string // empty: an error
	}{
		{"25", true, "25"}, {"0", false, "0"}, {"10%", true, "10%"}, {"10%", false, ""}, {"101%", true, ""},
		{"-1", true, ""}, {"1.5", true, ""}, {"01", true, ""}, {"", true, ""}, {"%", true, ""},
	} {
		l := limit{percentOK: tt.percentOK}
		err := l.Set(tt.text)
		if got := l.String(); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("Set(%q) = %q, %v, want %q", tt.text, got, err, tt.want)
		}
	}
}

func TestNowFlag(t *testing.T) {
	for text, want := range map[string]string{
		"2026-12-31": "2026-12-31T00:00:00Z", "2026-12-31T23:30:00+02:00": "2026-12-31T21:30:00Z", "tomorrow": "", "2026-13-01": "",
	} {
		var i instant
		err := i.Set(text)
		if got := i.String(); got != want || (err == nil) != (want != "") {
			t.Errorf("Set(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestURLWithoutUserInfo(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:p@h/M":     "https://h/M",
		"https://h/M@x":       "https://h/M@x",
		"https://u:p@@h":      "https://h",
		"u:p@h/M":             "h/M",
		"https://bi.corp/Lib": "https://bi.corp/Lib",
	} {
		if got := withoutUserInfo(in); got != want {
			t.Errorf("withoutUserInfo(%q) = %q, want %q", in, got, want)
		}
	}
}

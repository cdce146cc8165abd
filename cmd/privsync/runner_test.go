package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"privsync/mstrapi"
	"privsync/policy"
)

// runnerCommand returns the first line of a log in which the runner of GitHub,
// Azure or GitLab finds a command, or "".
func runnerCommand(log string) string {
	for line := range strings.Lines(log) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "::"), strings.Contains(line, "##["), strings.Contains(strings.ToLower(line), "##vso["),
			strings.Contains(line, "section_start:"), strings.Contains(line, "section_end:"):
			return line
		}
	}
	return ""
}

// commandPieces are what commands of runners are made of.
var commandPieces = []string{
	"##[error]", "##", "#", "[x]", "##vso[task.complete]", "::error::x", "::", ":", " ", "\n", "\r\n", "\u00a0", "\u2028", "\x1b[0K",
	"section_start:1:x", "section_end:1:x\r\x1b[0K", "section_start", "section_", "end", ":1", "name", `"`, `\`, "\xff", "%0A", "=",
}

func hostileText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(commandPieces), 0, 12).Draw(t, "pieces"), "")
	})
}

// Nothing on stderr commands the runner that keeps it as a log, whatever a server,
// a policy or a file name says: log lines of both formats, notices and errors.
func TestNoLineOnStderrCommandsARunner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func() string { return hostileText().Draw(t, "text") }
		for _, format := range []string{"text", "json"} {
			var stderr bytes.Buffer
			a := &app{
				stderr: &sharedWriter{w: &stderr}, logFormat: newChoice("text", "json"), logLevel: newChoice("debug"),
				env: func(string) (string, bool) { return "", false },
			}
			a.logFormat.value = format
			a.setLogger()
			a.log.Warn("constant", "name", text(), "error", errors.New(text()), "path", &fs.PathError{Op: "open", Path: text(), Err: errors.New(text())})
			a.log.With("run", text()).WithGroup("g").Info(text(), "list", []string{text(), text()}, text(), 1)
			a.say("report: %s", text())
			a.notice(text())
			printError(a, hinted(fmt.Errorf("%s: %w", text(), errors.Join(errors.New(text()), errors.New(text()))), text()))
			printError(a, &mstrapi.Error{Method: "GET", Path: text(), Status: 500, Code: text(), Message: text(), TicketID: text()})
			printError(a, policy.Problems{{Pos: policy.Position{File: text(), Line: 1, Column: 2}, Message: text(), Hint: text()}})
			if line := runnerCommand(stderr.String()); line != "" {
				t.Fatalf("--log-format %s commands a runner: %q", format, line)
			}
			if format == "json" {
				for line := range strings.Lines(stderr.String()) {
					if !json.Valid([]byte(line)) {
						t.Fatalf("not JSON: %q", line)
					}
				}
			}
		}
	})
}

// JSON on stdout may be in a log, too. The document stays equal, however its writes
// are cut.
func TestNoJSONCommandsARunner(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{"section_start": hostileText().Draw(t, "a"), hostileText().Draw(t, "key"): hostileText().Draw(t, "b")}
		data, err := json.MarshalIndent(want, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := &jsonSafe{w: &out}
		for rest := data; len(rest) > 0; {
			n := rapid.IntRange(1, min(len(rest), 20)).Draw(t, "n")
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if line := runnerCommand(out.String()); line != "" {
			t.Fatalf("JSON commands a runner: %q", line)
		}
		var before, after map[string]string
		if json.Unmarshal(data, &before) != nil || json.Unmarshal(out.Bytes(), &after) != nil || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Fatalf("%s became %s", data, out.String())
		}
	})
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
)

// rough is a run of the command, in this process, against a server with faults.
type rough struct {
	server *mstrtest.Server
	exit   int
	stderr string
	report *executor.Report
}

func roughRun(t *testing.T, faults []mstrtest.Fault, args ...string) *rough {
	t.Helper()
	env, text := crashWorld()
	r := &rough{server: mstrtest.NewServer(env, mstrtest.Options{})}
	for _, f := range faults {
		if err := r.server.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	listener := httptest.NewServer(r.server)
	t.Cleanup(func() { r.server.Close(); listener.Close() })
	dir := t.TempDir()
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{
		"HOME": dir, "XDG_STATE_HOME": dir, "PRIVSYNC_URL": listener.URL + r.server.PathPrefix(), "PRIVSYNC_RATE": "2000",
		"PRIVSYNC_USERNAME": mstrtest.ServiceLogin, "PRIVSYNC_PASSWORD": mstrtest.ServicePassword,
	}
	report := filepath.Join(dir, "report.json")
	var stdout, stderr bytes.Buffer
	r.exit = run(context.Background(), append([]string{"apply", "-f", file, "--yes", "--report", report}, args...), strings.NewReader(""), &stdout, &stderr,
		func(name string) (string, bool) { v, ok := variables[name]; return v, ok })
	r.stderr = stderr.String()
	written, err := os.Open(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	defer written.Close()
	if r.report, err = executor.ReadReport(written); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestRetriesAreVisible: at level debug every retry is one record that says what
// was sent again, why, and after which wait; and the report counts them.
func TestRetriesAreVisible(t *testing.T) {
	t.Parallel()
	r := roughRun(t, []mstrtest.Fault{
		{Kind: mstrtest.TooManyRequests, Skip: 5, Times: 2},
		{Kind: mstrtest.Unavailable, Method: http.MethodGet, Skip: 10, Times: 1},
		{Kind: mstrtest.ServerError, Method: http.MethodGet, Skip: 15, Times: 2},
		{Kind: mstrtest.BadGateway, Method: http.MethodGet, Skip: 20, Times: 1},
		{Kind: mstrtest.ResetAfter, Method: http.MethodGet, Path: "/privileges$", Skip: 25, Times: 1},
		{Kind: mstrtest.CutJSON, Method: http.MethodGet, Path: "/privileges$", Skip: 30, Times: 1},
		{Kind: mstrtest.ExpireSession, Skip: 40, Times: 1},
		{Kind: mstrtest.ServerError, Method: http.MethodPatch, Times: 2},
		{Kind: mstrtest.ResetAfter, Method: http.MethodPatch, Times: 1},
	}, "--log-level", "debug", "--log-format", "json")
	if r.exit != executor.ExitOK {
		t.Fatalf("exit code %d, want 0\n%s", r.exit, r.stderr)
	}
	reasons := make(map[string]int)
	retries, again := int64(0), 0
	for s := bufio.NewScanner(strings.NewReader(r.stderr)); s.Scan(); {
		var record map[string]any
		if json.Unmarshal(s.Bytes(), &record) != nil {
			continue // the command's own words
		}
		switch record["msg"] {
		case "retrying request":
			retries++
			reason, _ := record["reason"].(string)
			reasons[reason]++
			for _, key := range []string{"method", "path", "attempt", "status", "code", "wait", "reason"} {
				if _, ok := record[key]; !ok {
					t.Errorf("a retry without %s: %s", key, s.Text())
				}
			}
			if record["level"] != "DEBUG" || record["attempt"].(float64) < 1 {
				t.Errorf("a retry says %s", s.Text())
			}
		case "write answered":
			if record["attempt"].(float64) > 1 {
				again++
			}
			if record["principal"] == nil || record["wave"] == nil {
				t.Errorf("a write says %s", s.Text())
			}
		}
	}
	if retries+int64(again) != r.report.Summary.Retries || retries == 0 {
		t.Errorf("the log tells of %d retries and %d repeated writes, the report counts %d", retries, again, r.report.Summary.Retries)
	}
	for reason, least := range map[string]int{"too many requests": 2, "service unavailable": 1, "server error": 2, "gateway": 1, "connection closed": 1, "incomplete answer": 1, "session lost": 1} {
		if reasons[reason] < least {
			t.Errorf("reason %q %d times, want at least %d: %v", reason, reasons[reason], least, reasons)
		}
	}
	// Two writes were sent again because reading showed that they were not done;
	// the third was done, though its answer was lost.
	attempts, writes := 0, 0
	for _, p := range r.report.Principals {
		attempts += p.Attempts
	}
	for _, q := range r.server.Log() {
		if q.Method == http.MethodPatch && q.Applied {
			writes++
		}
	}
	if again != 2 || attempts != writes+2 {
		t.Errorf("%d writes repeated by the log, %d attempts by the report, %d writes done; want 2 more attempts than writes", again, attempts, writes)
	}
	var sent int64 // but for the logouts, of sessions that were given up as well, which come after the report
	for _, q := range r.server.Log() {
		if !strings.HasSuffix(q.Path, "/api/auth/logout") {
			sent++
		}
	}
	if r.report.Summary.Requests != sent {
		t.Errorf("the report counts %d requests, the server %d", r.report.Summary.Requests, sent)
	}
	if strings.Contains(r.stderr, `"`+mstrtest.ServicePassword+`"`) {
		t.Error("the log holds the password")
	}
}

// TestLyingWrites: writes that answer 200 and do nothing are unverified, exit 4;
// not one of them counts as applied.
func TestLyingWrites(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0.25, 1} {
		r := roughRun(t, []mstrtest.Fault{{Kind: mstrtest.LyingWrite, Rate: rate, Seed: 11}}, "--concurrency", "32", "--verify-timeout", "300ms")
		if r.exit != executor.ExitIncomplete {
			t.Errorf("exit code %d, want %d\n%s", r.exit, executor.ExitIncomplete, r.stderr)
		}
		lied := make(map[string]bool)
		for _, q := range r.server.Log() {
			if q.Fault == mstrtest.LyingWrite {
				lied[q.Path[strings.LastIndexByte(q.Path, '/')+1:]] = true
			}
		}
		s := r.report.Summary
		if len(lied) == 0 || s.Unverified == 0 || rate == 1 && s.Applied > 0 {
			t.Errorf("rate %v: %d lies, %+v", rate, len(lied), s)
		}
		for _, p := range r.report.Principals {
			now := planner.SetOf(r.server.Direct(p.Principal.ID)...)
			for _, q := range p.Grant {
				if p.Outcome == executor.Applied && !now.Has(q.ID) {
					t.Errorf("%s is applied without %d", p.Principal.ID, q.ID)
				}
			}
			for _, q := range p.Revoke {
				if p.Outcome == executor.Applied && now.Has(q.ID) {
					t.Errorf("%s is applied with %d", p.Principal.ID, q.ID)
				}
			}
			if lied[string(p.Principal.ID)] && p.Outcome != executor.Unverified {
				t.Errorf("%s was lied about and is %s", p.Principal.ID, p.Outcome)
			}
		}
	}
}

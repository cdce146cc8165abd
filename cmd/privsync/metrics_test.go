package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/planner"
)

// The metrics are what Prometheus' own parser reads, whatever the policy is called,
// and the next run finds in them what it needs.
func TestMetricsAreTheTextFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "privsync.prom")
	rapid.Check(t, func(t *rapid.T) {
		name := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", `"`, `\`, "\n", "} 1", "{", ",", "é", "\xff", "n", "\r", "#"})).Draw(t, "name"), "")
		end := time.Unix(rapid.Int64Range(1, 4e9).Draw(t, "end"), 123e6)
		report := &executor.Report{
			Run:      executor.Run{Command: "apply", StartedAt: end.Add(-1500 * time.Millisecond), FinishedAt: end},
			Policy:   planner.PolicyRef{Name: name},
			Summary:  executor.Summary{Grants: 3, Revokes: 100000000, InSync: 7, HeldBack: 2, Requests: 11},
			Findings: []planner.Finding{{Severity: "warning"}, {Severity: "warning"}, {Severity: "error"}},
		}
		var b bytes.Buffer
		if _, err := newMetrics(report, executor.ExitOK, path).WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		got := map[string]float64{}
		known := strings.ToValidUTF8(name, "\ufffd")
		for family, f := range families {
			for _, m := range f.GetMetric() {
				key, policy, command := strings.TrimPrefix(family, "privsync_"), "", ""
				for _, l := range m.GetLabel() {
					switch l.GetName() {
					case "policy":
						policy = l.GetValue()
					case "command":
						command = l.GetValue()
					default:
						key += " " + l.GetValue()
					}
				}
				if policy != known || command != "apply" || f.GetHelp() == "" || f.GetType().String() != "GAUGE" {
					t.Fatalf("%s is of the policy %q, want %q:\n%s", family, policy, known, b.String())
				}
				got[key] = m.GetGauge().GetValue()
			}
		}
		seconds := unixSeconds(end)
		want := map[string]float64{
			"last_run_timestamp_seconds": seconds, "last_success_timestamp_seconds": seconds, "run_duration_seconds": 1.5, "run_exit_code": 0,
			"grants": 3, "revokes": 1e8, "requests": 11, "retries": 0, "findings error": 1, "findings warning": 2, "findings info": 0,
			"principals in-sync": 7, "principals held-back": 2, "principals drifted": 0, "principals applied": 0, "principals failed": 0,
			"build_info " + runtime.Version() + " " + toolVersion(): 1,
			"principals stale": 0, "principals unverified": 0, "principals not-attempted": 0, "principals unknown": 0,
		}
		if !maps.Equal(got, want) {
			t.Fatalf("metrics = %v, want %v", got, want)
		}
		if last := lastSuccesses(path); len(last) != 1 || last[series{"apply", known}] != seconds {
			t.Fatalf("the next run reads %v, want %q at %v", last, known, seconds)
		}
	})
	// A file of a version that did not note the command counts for each.
	if err := os.WriteFile(path, []byte("privsync_last_success_timestamp_seconds{policy=\"a\"} 7\nprivsync_last_success_timestamp_seconds{command=\"audit\",policy=\"a\"} 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for command, want := range map[string]float64{"apply": 7, "audit": 9} {
		if got := lastSuccess(path, command, "a"); got != want {
			t.Errorf("lastSuccess(%s) = %v, want %v", command, got, want)
		}
	}
	if err := os.WriteFile(path, []byte("privsync_last_success_timestamp_seconds{policy=\"a\"} NaN\nprivsync_last_success_timestamp_seconds{policy=\"b\nx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if last := lastSuccesses(path); len(last) != 0 {
		t.Errorf("a file that is none holds %v", last)
	}
}

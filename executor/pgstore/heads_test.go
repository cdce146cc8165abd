package pgstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"privsync/executor"
	"privsync/planner"
)

// TestHeads: the rows tell of the reports what their documents say, newest first, and a
// report that a superuser removed is missed.
func TestHeads(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.open()
	base := "sha256:" + strings.Repeat("a", 64)
	begin := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	add := func(id, environment string, outcome executor.RunOutcome, at time.Time) string {
		t.Helper()
		r := &executor.Report{
			Format: executor.ReportFormat, Run: executor.Run{ID: id, Command: "apply", StartedAt: at, FinishedAt: at.Add(time.Minute), Outcome: outcome},
			Environment: planner.Environment{URL: target.URL}, Policy: planner.PolicyRef{Name: "one", Environment: environment, Digest: base, BaseDigest: base},
			Summary:  executor.Summary{Principals: 3, InSync: 2, Failed: 1},
			Findings: []planner.Finding{{Code: "read-failed", Severity: planner.SeverityError, Message: "no"}},
		}
		if _, err := s.Deliver(t.Context(), r, executor.Destination{}, nil); err != nil {
			t.Fatal(err)
		}
		return r.Digest
	}
	add("r1", "test", executor.RunSucceeded, begin)
	second := add("r2", "prod", executor.RunPartial, begin.Add(time.Hour))
	reader := d.open()
	heads, problems, err := reader.Heads(t.Context())
	if err != nil || len(problems) > 0 || len(heads) != 2 {
		t.Fatalf("Heads = %v, %v, %v, want two sound reports", heads, problems, err)
	}
	h := heads[0]
	if h.Digest != second || h.Run.ID != "r2" || h.Run.Outcome != executor.RunPartial || h.Server != target.URL || h.Policy.BaseDigest != base || h.Summary.Failed != 1 || !h.Run.StartedAt.Equal(begin.Add(time.Hour)) {
		t.Errorf("the newest is %+v", h)
	}
	findings, err := reader.Findings(t.Context(), h)
	if err != nil || len(findings) != 1 || findings[0].Code != "read-failed" {
		t.Errorf("Findings = %v, %v", findings, err)
	}
	sources := []executor.ReportSource{reader}
	if found, err := executor.CheckApplied(t.Context(), sources, "test", base); err != nil || found.Run.ID != "r1" {
		t.Errorf("CheckApplied in test = %v, %v, want r1", found, err)
	}
	if _, err := executor.CheckApplied(t.Context(), sources, "prod", base); !errors.Is(err, executor.ErrNotApplied) {
		t.Errorf("CheckApplied in prod = %v, want ErrNotApplied", err)
	}
	fleet, err := executor.MakeFleet(t.Context(), sources, executor.FleetOptions{Now: begin.Add(2 * time.Hour), MaxAge: 24 * time.Hour})
	if err != nil || fleet.Summary.OK != 0 || fleet.Summary.Drift != 2 {
		t.Errorf("MakeFleet = %+v, %v, want two with drift", fleet, err)
	}
	if _, err := d.admin.Exec(t.Context(), "DELETE FROM privsync.report WHERE digest = '"+second+"'"); err != nil {
		t.Fatal(err)
	}
	if _, problems, err = reader.Heads(t.Context()); err != nil || len(problems) != 1 || !strings.Contains(problems[0], "the newest report") {
		t.Errorf("after a deletion: problems %v, %v", problems, err)
	}
	if _, err := executor.CheckApplied(t.Context(), sources, "test", base); !errors.Is(err, executor.ErrNotApplied) {
		t.Errorf("CheckApplied of a broken chain = %v, want ErrNotApplied", err)
	}
}

package executor

import (
	"testing"

	"privsync/planner"
)

// TestGroupCycleIsPartial: what groups that contain themselves hand down nobody
// can vouch for, so a run that saw them never ends with 0.
func TestGroupCycleIsPartial(t *testing.T) {
	r := &Report{Run: Run{Command: "apply"}, Findings: []planner.Finding{{Code: planner.CodeGroupCycle, Severity: planner.SeverityError}}}
	r.judge(0)
	if r.Run.Outcome != RunPartial || ExitCode(r) != ExitIncomplete {
		t.Errorf("outcome %s, exit code %d; want partial, 4", r.Run.Outcome, ExitCode(r))
	}
	r.Findings = nil
	if r.judge(0); r.Run.Outcome != RunInSync {
		t.Errorf("outcome without the finding = %s, want in-sync", r.Run.Outcome)
	}
}

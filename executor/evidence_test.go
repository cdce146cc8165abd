package executor_test

import (
	"slices"
	"strings"
	"testing"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
	"privsync/policy"
)

// audit makes the report of an audit of the stage.
func (s *stage) audit(t *testing.T, text string, judging planner.Judging) *executor.Report {
	t.Helper()
	pol, err := policy.Parse("p.yaml", []byte("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: p, owner: o}\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	state, err := planner.Observe(t.Context(), s.w, pol, planner.ObserveOptions{URL: worldURL, Judging: judging})
	if err != nil {
		t.Fatal(err)
	}
	plan := planner.Make(pol, state, planner.MakeOptions{})
	if err := plan.Seal(); err != nil {
		t.Fatal(err)
	}
	r := executor.Audit(state, plan, executor.Options{RunID: "a"})
	reportBytes(t, r)
	return r
}

func violations(r *executor.Report) (n int) {
	for _, rule := range r.Rules {
		n += rule.Violations
	}
	return n
}

// TestAuditJudgesWhatIsThere: rules in an audit judge what is held now, by
// everybody.
func TestAuditJudgesWhatIsThere(t *testing.T) {
	const rule = "rules: [{name: no61, deny: [61]}]\n"
	holds := func(user int) func(*mstrtest.Environment) {
		return func(e *mstrtest.Environment) { e.Users[user].Privileges = []mstrapi.PrivilegeID{61} }
	}
	for _, tt := range []struct {
		name, text string
		edit       func(*mstrtest.Environment)
		judging    planner.Judging
		violations int
		outcome    executor.RunOutcome
		exit       int
	}{
		{"held now, and to be revoked", "principals: [{user: w, mode: authoritative, privileges: []}]\n", holds(2), planner.JudgeEverybody, 1, executor.RunDrifted, 2},
		{"listed, and not held now", "principals: [{user: w, privileges: [61]}]\n", nil, planner.JudgeEverybody, 0, executor.RunDrifted, 2},
		{"held by somebody whom nobody covers", "principals: [{user: w, privileges: []}, {user: u, forbid: [9]}]\n", holds(1), planner.JudgeEverybody, 1, executor.RunDrifted, 2},
		{"the same, looking at the covered only", "principals: [{user: u, forbid: [9]}]\n", holds(1), planner.JudgeCovered, 0, executor.RunInSync, 0},
		{"nobody", "principals: [{user: u, forbid: [9]}]\n", nil, planner.JudgeEverybody, 0, executor.RunInSync, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, mstrtest.Options{}, tt.edit)
			text := strings.Replace(tt.text, "{user: w, privileges: []}, ", "", 1)
			r := s.audit(t, text+rule, tt.judging)
			if got := violations(r); got != tt.violations || r.Run.Outcome != tt.outcome || executor.ExitCode(r) != tt.exit {
				t.Errorf("%d violations, %s, exit %d; want %d, %s, %d: %+v", got, r.Run.Outcome, executor.ExitCode(r), tt.violations, tt.outcome, tt.exit, r.Findings)
			}
			if c := r.Coverage; c == nil || c.Known == nil || *c.Known != 5 || (tt.judging == planner.JudgeEverybody) != (c.LookedAt == 5) || r.Rules[0].Complete != (c.LookedAt == 5) {
				t.Errorf("coverage = %+v, rules = %+v", r.Coverage, r.Rules)
			}
		})
	}
}

// TestOneFindingForMany: a rule that many break through a group is one finding
// with their number, and as many violations as there are people.
func TestOneFindingForMany(t *testing.T) {
	s := newStage(t, mstrtest.Options{}, func(e *mstrtest.Environment) { e.Groups[0].Privileges = []mstrapi.PrivilegeID{61} })
	r := s.audit(t, "principals: [{user: w, forbid: [9]}]\nrules: [{name: no61, deny: [61]}]\n", planner.JudgeEverybody)
	var broken []planner.Finding
	for _, f := range r.Findings {
		if f.Code == planner.CodeRuleViolation {
			broken = append(broken, f)
		}
	}
	// The group itself, and its two members together.
	if len(broken) != 2 || violations(r) != 2 {
		t.Fatalf("%d findings, %d violations: %+v", len(broken), violations(r), broken)
	}
	i := slices.IndexFunc(broken, func(f planner.Finding) bool { return f.Count == 2 })
	if i < 0 || broken[i].Principal == nil || broken[i].Principal.ID != idG || !strings.Contains(broken[i].Message, `user "u" and user "v"`) {
		t.Errorf("findings = %+v", broken)
	}
}

// TestUnjudgedIsUnknown: who could not be judged is never in sync.
func TestUnjudgedIsUnknown(t *testing.T) {
	state := func(r *executor.Report, id mstrapi.ObjectID) executor.Outcome {
		for _, p := range r.Principals {
			if p.Principal.ID == id {
				return p.Outcome
			}
		}
		return ""
	}
	for _, tt := range []struct {
		name, text string
		fault      *mstrtest.Fault
		who        mstrapi.ObjectID
	}{
		{"a misspelled privilege", "principals: [{user: w, privileges: [No Such Privilege]}]\n", nil, idW},
		{"a misspelled forbidden privilege", "principals: [{user: w, forbid: [No Such Privilege]}]\n", nil, idW},
		{"entries that contradict each other", "principals: [{user: u, privileges: [5]}, {users: {memberOf: g}, forbid: [5]}]\n", nil, idU},
		{"a selector that cannot be read", "principals: [{user: w, forbid: [5]}, {users: {memberOf: g}, privileges: [6]}]\n",
			&mstrtest.Fault{Kind: mstrtest.Forbidden, Path: "/members$"}, idW},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStage(t, mstrtest.Options{}, nil)
			if tt.fault != nil {
				if err := s.sim.Inject(*tt.fault); err != nil {
					t.Fatal(err)
				}
			}
			r := s.audit(t, tt.text, planner.JudgeEverybody)
			if got := state(r, tt.who); got != executor.UnknownState || r.Run.Outcome != executor.RunPartial || executor.ExitCode(r) != 1 || r.Summary.Unknown == 0 {
				t.Errorf("%s, run %s, exit %d: %+v", got, r.Run.Outcome, executor.ExitCode(r), r.Findings)
			}
			_, plan := s.plan(t, tt.text)
			if plan.Summary.Unknown == 0 || plan.Summary.InSync+plan.Summary.Changed+plan.Summary.Unknown != plan.Summary.Principals {
				t.Errorf("the plan counts %+v", plan.Summary)
			}
		})
	}
}

// TestAuditNamesTheUnlisted: whom `unlisted: revoke` would change, and what.
func TestAuditNamesTheUnlisted(t *testing.T) {
	s := newStage(t, mstrtest.Options{}, func(e *mstrtest.Environment) { e.Users[1].Privileges = []mstrapi.PrivilegeID{7} })
	r := s.audit(t, "principals: [{user: w, forbid: [9]}, {user: svc_privsync, privileges: [50]}]\nunlisted: revoke\n", planner.JudgeEverybody)
	i := slices.IndexFunc(r.Principals, func(p executor.Result) bool { return p.Principal.ID == idV })
	if i < 0 || r.Principals[i].Outcome != executor.Drifted || len(r.Principals[i].Revoke) != 1 || r.Principals[i].Revoke[0].ID != 7 {
		t.Errorf("principals = %+v", r.Principals)
	}
	if *r.Summary.Surplus != 1 || *r.Summary.Missing != 0 {
		t.Errorf("summary = %+v", r.Summary)
	}
}

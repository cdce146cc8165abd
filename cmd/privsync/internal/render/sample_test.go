package render

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

var update = flag.Bool("update", false, "write the golden files under testdata/")

// golden compares got with testdata/name, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (run the test with -update to write it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}

func text(t *testing.T, doc any, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Text(&b, doc, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func day(hour, minute, second int) time.Time {
	return time.Date(2026, 8, 1, hour, minute, second, 0, time.UTC)
}

func oid(n int) mstrapi.ObjectID { return mstrapi.ObjectID(fmt.Sprintf("%032X", 0xA0000+n)) }

func user(n int, login, name string) planner.Principal {
	return planner.Principal{Kind: mstrapi.User, ID: oid(n), Name: name, Login: login}
}

func group(n int, name string) planner.Principal {
	return planner.Principal{Kind: mstrapi.Group, ID: oid(n), Name: name}
}

// catalogue holds some of the vendor's privileges by their names.
func catalogue() map[mstrapi.PrivilegeID]string {
	return map[mstrapi.PrivilegeID]string{
		1: "Create application objects", 2: "Create configuration objects", 4: "Create schema objects",
		5: "Bypass all object security access checks", 14: "Use User Manager", 31: "Assign security roles",
		47: "Administer caches", 53: "Monitor Database Connections", 54: "Monitor Jobs",
		55: "Monitor User Connections", 70: "Web administration", 96: "Create and edit users and groups",
	}
}

func priv(id mstrapi.PrivilegeID) planner.PrivilegeRef {
	return planner.PrivilegeRef{ID: id, Name: catalogue()[id]}
}

func planned(id mstrapi.PrivilegeID, r planner.Reason, relies ...mstrapi.ObjectID) planner.PlannedPrivilege {
	return planner.PlannedPrivilege{PrivilegeRef: priv(id), Reason: r, ReliesOn: relies}
}

func at(line, column int) *policy.Position {
	return &policy.Position{File: "policy.yaml", Line: line, Column: column}
}

func reaching(p planner.PlannedPrivilege, members int, e planner.Effect) planner.PlannedPrivilege {
	p.Impact = &planner.Impact{Members: members, Effect: &e}
	return p
}

func administrative(p planner.PlannedPrivilege) planner.PlannedPrivilege {
	p.Administrative = true
	return p
}

// told is p with what a policy says of it.
func told(p planner.PlannedPrivilege, ticket, until string, o planner.Origin) planner.PlannedPrivilege {
	p.Ticket, p.Until, p.Origin = ticket, until, &o
	return p
}

func sampleSource() *planner.Provenance {
	return &planner.Provenance{Commit: "5f2c1e9", Ref: "refs/pull/42/merge", PullRequest: "42", Build: "https://ci.example.com/builds/977", Author: "mreyes"}
}

// samplePlan is a plan of a believable night.
func samplePlan() *planner.Plan {
	night, contractors := group(1, "Night Shift"), group(2, "Contractors")
	demo, mreyes := user(10, "demo", "Demo User"), user(11, `CORP\mreyes`, "Maria Reyes")
	svc := user(12, "svc_export", "Export Service")
	ref := func(p planner.Principal) *planner.Principal { return &p }
	pr := func(id mstrapi.PrivilegeID) *planner.PrivilegeRef { r := priv(id); return &r }
	return &planner.Plan{
		Format:    planner.PlanFormat,
		Tool:      planner.Tool{Name: "privsync", Version: "1.0.0"},
		CreatedAt: day(2, 0, 0), ExpiresAt: day(2, 0, 0).AddDate(0, 0, 1),
		Environment: planner.Environment{URL: "https://bi.example.com/MicroStrategyLibrary", IServerVersion: "11.4.0600.0000", WebVersion: "11.4.0600.0000"},
		Actor:       planner.Actor{ID: oid(99), Name: "svc_privsync"},
		Policy: planner.PolicyRef{Name: "production", Environment: "prod", Digest: "sha256:" + strings.Repeat("5e", 32),
			Files: []policy.File{{Path: "policy.yaml", Digest: "sha256:" + strings.Repeat("c4", 32)}}},
		Scope:    planner.Scope{Level: mstrapi.LevelServer},
		Complete: true,
		Summary: planner.Summary{Principals: 123, InSync: 118, Changed: 5, Grants: 4, Revokes: 5,
			Findings: planner.FindingCounts{Error: 1, Warning: 2, Info: 1}},
		Changes: []planner.Change{
			{Principal: contractors, Revoke: []planner.PlannedPrivilege{reaching(planned(70, planner.ReasonForbidden), 214, planner.Effect{Lose: 3, Through: []planner.Keeping{
				{Source: planner.ThroughGroup, ID: oid(8), Name: "Everyone", Users: 211}}})},
				Observed: planner.ObservedSets{Direct: planner.SetOf(53, 70)}, Impact: planner.Impact{Members: 214, Effect: &planner.Effect{Lose: 3}}},
			{Principal: night, Grant: []planner.PlannedPrivilege{
				reaching(planned(53, planner.ReasonListed), 1, planner.Effect{Unknown: 1}), planned(54, planner.ReasonListed)},
				Observed: planner.ObservedSets{Direct: planner.SetOf(55)}, Impact: planner.Impact{Members: 1, Effect: &planner.Effect{Unknown: 1}}},
			{Principal: demo, Grant: []planner.PlannedPrivilege{told(administrative(planned(2, planner.ReasonListed)), "CHG-1234", "2026-08-10",
				planner.Origin{Position: *at(22, 9), Entry: `user "demo"`})},
				Revoke:   []planner.PlannedPrivilege{planned(53, planner.ReasonNotListed, night.ID)},
				Observed: planner.ObservedSets{Direct: planner.SetOf(53, 55), Inherited: planner.SetOf(4, 55)}},
			{Principal: svc, Revoke: []planner.PlannedPrivilege{told(planned(47, planner.ReasonExpired), "CHG-7: the old export", "2026-07-31",
				planner.Origin{Position: *at(40, 9), Selector: `every user with a login like "svc_*"`}), planned(999, planner.ReasonUnlisted)},
				Observed: planner.ObservedSets{Direct: planner.SetOf(47, 999)}},
			{Principal: mreyes, Grant: []planner.PlannedPrivilege{told(planned(54, planner.ReasonListed), "", "",
				planner.Origin{Position: *at(12, 20), Entry: `user "CORP\mreyes"`, Set: "monitoring"})},
				Revoke:   []planner.PlannedPrivilege{planned(5, planner.ReasonForbidden)},
				Observed: planner.ObservedSets{Direct: planner.SetOf(5), Inherited: planner.SetOf(5, 1)}},
		},
		Findings: []planner.Finding{
			{Code: planner.CodeInheritedForbidden, Severity: planner.SeverityError, Principal: ref(mreyes), Privilege: pr(5),
				Message:  `the policy forbids a privilege that arrives through groups`,
				Sources:  []planner.Source{{Kind: mstrapi.Group, ID: oid(7), Name: "System Administrators"}},
				Position: at(31, 14)},
			{Code: planner.CodeExpiredEntry, Severity: planner.SeverityWarning, Principal: ref(svc), Privilege: pr(47),
				Message: "the entry ended on 2026-07-31", Position: at(40, 9)},
			{Code: planner.CodeExpiringSoon, Severity: planner.SeverityInfo, Principal: ref(demo), Privilege: pr(2),
				Message: "the entry ends on 2026-08-10", Position: at(22, 9)},
			{Code: planner.CodeDisabledUser, Severity: planner.SeverityWarning, Principal: ref(user(13, "old one", "Left Long Ago")),
				Message: "the user is disabled on the server", Position: at(55, 5)},
		},
		Commands: []string{"assign-watch-kpi-insight"},
		Source:   sampleSource(),
		Digest:   "sha256:" + strings.Repeat("d1", 32),
	}
}

func sampleGuards() []planner.Guard {
	return []planner.Guard{
		{Name: "maxRevokes", Actual: "5", Limit: "3", Message: "the plan revokes 5 grants, safety.maxRevokes allows 3; allow it once with --max-revokes 5, or raise it at policy.yaml:8:15",
			Offenders: []planner.Principal{user(12, "svc_export", "Export Service"), group(2, "Contractors")}},
		{Name: "maxChangedPrincipals", Actual: "5", Limit: "4", Message: "5 principals change, 4 may", Allowed: true},
	}
}

func sets(direct, inherited planner.Set) *executor.Sets {
	return &executor.Sets{Direct: direct, Inherited: inherited}
}

// sampleReport is the report of an apply in which everything happened.
func sampleReport() *executor.Report {
	p := samplePlan()
	result := func(i int, o executor.Outcome, after *executor.Sets) executor.Result {
		c := p.Changes[i]
		return executor.Result{Principal: c.Principal, Outcome: o, Grant: c.Grant, Revoke: c.Revoke,
			Before: sets(c.Observed.Direct, c.Observed.Inherited), After: after, Attempts: 1, StartedAt: day(2, 0, 5), DurationMs: 148}
	}
	none := planner.Set{}
	r := &executor.Report{
		Format: executor.ReportFormat,
		Run: executor.Run{ID: "20260801T020000Z-7f3a", Command: "apply", StartedAt: day(2, 0, 0),
			FinishedAt: day(2, 1, 12).Add(350 * time.Millisecond), Outcome: executor.RunPartial,
			Comment: "nightly run for CHG-1234", Source: &planner.Provenance{Commit: "77ab01c", Ref: "main"}},
		Tool: p.Tool, Environment: p.Environment, Actor: p.Actor, Policy: p.Policy, Scope: p.Scope,
		Plan: &executor.PlanRef{Digest: p.Digest, Source: p.Source},
		Summary: executor.Summary{Principals: 123, InSync: 117, Applied: 1, Failed: 1, Stale: 1, HeldBack: 1, Unverified: 1, Unknown: 1,
			Grants: 3, Revokes: 1, Requests: 412, Retries: 1},
		Principals: []executor.Result{
			result(0, executor.Failed, sets(planner.SetOf(53, 70), none)),
			result(1, executor.Applied, sets(planner.SetOf(53, 54, 55), none)),
			result(2, executor.HeldBack, sets(planner.SetOf(2, 53, 55), planner.SetOf(4, 55))),
			result(3, executor.Stale, sets(planner.SetOf(47), none)),
			result(4, executor.Unverified, nil),
			{Principal: user(20, "asmith", "Anna Smith"), Outcome: executor.InSync, Before: sets(planner.SetOf(54), none), After: sets(planner.SetOf(54), none)},
			{Principal: user(21, "gone", "Read Failed"), Outcome: executor.UnknownState,
				Error: &executor.Error{Message: "GET /api/users/X/privileges: incomplete answer"}},
		},
		Findings: p.Findings,
		Guards:   []planner.Guard{sampleGuards()[1]},
		Commands: []executor.CommandResult{{Name: "assign-watch-kpi-insight", QueueID: "Q1", Status: 3, Progress: 100, Outcome: "succeeded"}},
		Digest:   "sha256:" + strings.Repeat("ab", 32),
	}
	r.Principals[0].Error = &executor.Error{Status: 403, Code: "ERR017", IServerCode: -2147214568, Message: "insufficient permission", TicketID: "6d0c51"}
	r.Principals[1].Granted = []mstrapi.PrivilegeID{53, 54}
	r.Principals[2].Granted = []mstrapi.PrivilegeID{2}
	r.Principals[2].HeldBack = []planner.PrivilegeRef{priv(53)}
	r.Principals[3].Attempts = 0
	return r
}

// sampleAudit is the report of an audit, with sources.
func sampleAudit() *executor.Report {
	r := sampleReport()
	r.Run.Command, r.Run.Outcome = "audit", executor.RunDrifted
	known := 4211
	r.Coverage = &planner.Coverage{Covered: 6, Known: &known, LookedAt: 6}
	r.Rules = []planner.RuleResult{{Name: "bypass-only-for-admins", Severity: planner.SeverityError, Violations: 2}}
	r.Plan, r.Guards, r.Commands = nil, nil, nil
	enabled := false
	r.Exceptions = []planner.Exception{
		{From: planner.FromRule, Rule: "bypass-only-for-admins", Who: planner.ProtectedRef{Group: "System Administrators", ID: string(oid(7))},
			Privileges: []planner.PrivilegeRef{priv(5)}, State: planner.ExceptionInForce, Position: at(52, 14)},
		{From: planner.FromRule, Rule: "bypass-only-for-admins", Who: planner.ProtectedRef{User: "mig_robot"}, Until: "2026-07-31", Reason: "CHG-9",
			Description: "migration", Privileges: []planner.PrivilegeRef{priv(5)}, State: planner.ExceptionExpired, Position: at(53, 14)},
		{From: planner.FromForbid, Selector: `every user in group "Contractors" at any depth`, Until: "2026-08-09", Reason: "CHG-10",
			Who:        planner.ProtectedRef{Users: &planner.ProtectedSelector{Conditions: policy.Conditions{MemberOf: "Robots", Nested: true, Enabled: &enabled}}},
			Privileges: []planner.PrivilegeRef{priv(70), {Name: "Unknown one"}}, State: planner.ExceptionExpiring, Position: at(61, 30)},
	}
	r.Summary = executor.Summary{Principals: 6, InSync: 1, Drifted: 5, Requests: 40}
	for _, id := range []mstrapi.PrivilegeID{1, 2, 4, 5, 47, 53, 54, 55, 70} {
		r.Privileges = append(r.Privileges, priv(id))
	}
	r.Principals = slices.Clone(r.Principals[:6])
	for i := range r.Principals {
		p := &r.Principals[i]
		p.Error, p.HeldBack, p.Attempts, p.DurationMs = nil, nil, 0, 0
		if p.Outcome != executor.InSync {
			p.Outcome = executor.Drifted
		}
		b := *p.Before
		for id := range b.Direct.Union(b.Inherited).All() {
			s := executor.PrivilegeSource{Privilege: id, Direct: b.Direct.Has(id)}
			if b.Inherited.Has(id) {
				s.Groups = []mstrapi.ObjectRef{{ID: oid(7), Name: "System Administrators"}, {ID: oid(8), Name: "Everyone"}}
			}
			b.Sources = append(b.Sources, s)
		}
		p.Before, p.After = &b, &b
	}
	return r
}

// emptyPlan changes nothing.
func emptyPlan() *planner.Plan {
	p := samplePlan()
	p.Changes, p.Findings, p.Commands = nil, nil, nil
	p.Summary = planner.Summary{Principals: 123, InSync: 123}
	return p
}

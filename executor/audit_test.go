package executor

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"privsync/mstrapi"
	"privsync/planner"
)

func auditedUser(short string, held ...mstrapi.Held) seen {
	s := seen{&planner.Observed{Principal: planner.Principal{Kind: mstrapi.User, ID: oid(short), Name: short, Login: short}, At: time.Unix(9, 0)}, slices.Values(held)}
	for _, h := range held {
		if h.Direct {
			s.Direct.Add(h.ID)
		}
		if h.Inherited() {
			s.Inherited.Add(h.ID)
		}
	}
	return s
}

func TestAudit(t *testing.T) {
	f := newFake()
	group := []mstrapi.ObjectRef{{ID: oid("g1"), Name: "Night Shift"}}
	p := func(short string) *planner.Principal {
		return &planner.Principal{Kind: mstrapi.User, ID: oid(short), Name: short}
	}
	all := []seen{
		auditedUser("u1", mstrapi.Held{ID: 2, Groups: group}, mstrapi.Held{ID: 3, Direct: true}),
		auditedUser("u2", mstrapi.Held{ID: 2, Groups: group}, mstrapi.Held{ID: 3, Direct: true}),
		auditedUser("u3"), auditedUser("u4"), auditedUser("u5"),
	}
	all[4].Err = errors.New("503")
	tests := []struct {
		name string
		plan func(plan *planner.Plan)
		all  []seen
		want string
		exit int
	}{
		{"in sync", func(*planner.Plan) {}, all[:2], "in-sync; u1 in-sync; u2 in-sync", ExitOK},
		{"change", func(plan *planner.Plan) { plan.Changes = []planner.Change{f.change("u1 +4")} }, all[:2], "drifted; u1 drifted; u2 in-sync", ExitDrift},
		{"forbidden and rule", func(plan *planner.Plan) {
			plan.Findings = []planner.Finding{
				{Code: planner.CodeInheritedForbidden, Severity: planner.SeverityError, Principal: p("u2")},
				{Code: planner.CodeRuleViolation, Severity: planner.SeverityError, Principal: p("u3")},
				{Code: planner.CodeRuleViolation, Severity: planner.SeverityWarning, Principal: p("u4")},
			}
		}, all[:4], "drifted; u1 in-sync; u2 drifted; u3 drifted; u4 in-sync", ExitDrift},
		{"rule about nobody covered", func(plan *planner.Plan) {
			plan.Findings = []planner.Finding{{Code: planner.CodeRuleViolation, Severity: planner.SeverityError}}
		}, all[:1], "drifted; u1 in-sync", ExitDrift},
		{"unknown", func(plan *planner.Plan) { plan.Complete = false }, all[3:], "partial; u4 in-sync; u5 unknown", ExitError},
		{"nobody of that name", func(plan *planner.Plan) {
			plan.Findings = []planner.Finding{{Code: planner.CodeUnknownPrincipal, Severity: planner.SeverityError}}
		}, all[:1], "partial; u1 in-sync", ExitError},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := f.plan()
			tt.plan(plan)
			r := audit(slices.Values(tt.all), plan, Options{})
			if got := sketch(r); got != tt.want || ExitCode(r) != tt.exit {
				t.Errorf("audit = %s, exit %d\nwant    %s, exit %d", got, ExitCode(r), tt.want, tt.exit)
			}
			if len(f.log) > 0 || len(f.reads) > 0 {
				t.Error("the audit talked to the server")
			}
		})
	}
	r := audit(slices.Values(all), f.plan(), Options{})
	one := of(t, r, "u1")
	if s := one.Before.Sources; len(s) != 2 || s[0].Groups[0].Name != "Night Shift" || s[0].Direct || !s[1].Direct || s[1].Groups == nil {
		t.Errorf("sources = %+v", s)
	}
	if two := of(t, r, "u2"); &two.Before.Sources[0] != &one.Before.Sources[0] {
		t.Error("equal lists of sources are not shared")
	}
	if five := of(t, r, "u5"); five.Before != nil || five.After != nil || five.Error == nil {
		t.Errorf("u5 = %+v, want null sets and why", five)
	}
}

func TestAuditExitCodeWhenStopped(t *testing.T) {
	if got := ExitCode(&Report{Run: Run{Command: "audit", Outcome: RunInterrupted}}); got != ExitInterrupted {
		t.Errorf("ExitCode = %d, want 130", got)
	}
}

// TestDigestIsOverTheCanonicalForm checks the streamed digest against the plain
// way to compute it.
func TestDigestIsOverTheCanonicalForm(t *testing.T) {
	r := plainReport()
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	d := json.NewDecoder(&b)
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	delete(doc, "digest")
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if err := (*jsontext.Value)(&text).Canonicalize(); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256(text)); r.Digest != want {
		t.Errorf("Seal = %s, want %s", r.Digest, want)
	}
}

// BenchmarkReport seals and writes a report on 100,000 principals.
func BenchmarkReport(b *testing.B) {
	r := &Report{Format: ReportFormat}
	sets := &Sets{}
	for i := range 60 {
		sets.Direct.Add(mstrapi.PrivilegeID(i*5 + 1))
	}
	for i := range 100_000 {
		r.Principals = append(r.Principals, Result{
			Principal: planner.Principal{Kind: mstrapi.User, ID: oid(fmt.Sprintf("u%d", i)), Name: fmt.Sprintf("User %d", i), Login: fmt.Sprintf("user%d", i)},
			Outcome:   InSync, Before: sets, After: sets,
		})
	}
	var m runtime.MemStats
	b.ResetTimer()
	for b.Loop() {
		if err := r.Seal(); err != nil {
			b.Fatal(err)
		}
		if _, err := r.WriteTo(discard{}); err != nil {
			b.Fatal(err)
		}
	}
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-sys")
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

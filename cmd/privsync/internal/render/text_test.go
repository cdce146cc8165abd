package render

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

func TestTextGolden(t *testing.T) {
	incomplete := emptyPlan()
	incomplete.Complete = false
	incomplete.Summary = planner.Summary{Principals: 123, InSync: 121, Unknown: 2, Findings: planner.FindingCounts{Error: 1}}
	incomplete.Findings = []planner.Finding{{Code: planner.CodeReadFailed, Severity: planner.SeverityError, Message: "2 users could not be read"}}

	refused := sampleReport()
	refused.Run.Outcome, refused.Principals = executor.RunRefused, nil
	refused.Guards = sampleGuards()
	refused.Summary = executor.Summary{Principals: 123, InSync: 118, NotAttempted: 5, Requests: 130}
	refused.Error = &executor.Error{Message: "a guard was exceeded"}
	refused.Commands = []executor.CommandResult{{Name: "assign-watch-kpi-insight", Outcome: "not-attempted"}}

	recovered := sampleReport()
	recovered.Run.Recovered = true
	recovered.Principals = recovered.Principals[1:2]

	for _, c := range []struct {
		name string
		doc  any
		o    Options
	}{
		{"plan.txt", samplePlan(), Options{Guards: sampleGuards()}},
		{"plan-wrapped-color.txt", samplePlan(), Options{Guards: sampleGuards(), Color: true, Width: 72}},
		{"plan-empty.txt", emptyPlan(), Options{}},
		{"plan-incomplete.txt", incomplete, Options{}},
		{"report.txt", sampleReport(), Options{}},
		{"report-after-plan.txt", sampleReport(), Options{AfterPlan: true}},
		{"report-refused.txt", refused, Options{}},
		{"report-recovered.txt", recovered, Options{}},
		{"audit.txt", sampleAudit(), Options{}},
	} {
		t.Run(c.name, func(t *testing.T) { golden(t, c.name, []byte(text(t, c.doc, c.o))) })
	}
}

func TestTextRefusesOtherDocuments(t *testing.T) {
	for _, doc := range []any{nil, (*planner.Plan)(nil), (*executor.Report)(nil), planner.Plan{}, "plan"} {
		if err := Text(&bytes.Buffer{}, doc, Options{}); err == nil {
			t.Errorf("Text(%T) gave no error", doc)
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken pipe")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestTextReturnsTheWritersError(t *testing.T) {
	for _, doc := range []any{samplePlan(), sampleReport()} {
		if err := Text(brokenWriter{}, doc, Options{}); !errors.Is(err, errBroken) {
			t.Errorf("Text(%T) = %v, want %v", doc, err, errBroken)
		}
	}
}

// TestTextColorOnlyAddsSequences: without the sequences a coloured text is the
// plain one, so nothing is told by colour alone.
func TestTextColorOnlyAddsSequences(t *testing.T) {
	sequence := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, doc := range []any{samplePlan(), sampleReport(), sampleAudit()} {
		plain, color := text(t, doc, Options{}), text(t, doc, Options{Color: true})
		if plain == color {
			t.Errorf("%T: Color changes nothing", doc)
		}
		if got := sequence.ReplaceAllString(color, ""); got != plain {
			t.Errorf("%T: coloured text says something else:\n%s", doc, got)
		}
		if strings.ContainsRune(plain, 0x1b) {
			t.Errorf("%T: plain text holds an escape", doc)
		}
	}
}

func TestTextShowsEveryChangeAndError(t *testing.T) {
	p := emptyPlan()
	for i := range 3000 {
		u := user(1000+i, fmt.Sprintf("u%04d", i), "")
		p.Changes = append(p.Changes, planner.Change{Principal: u, Grant: []planner.PlannedPrivilege{planned(54, planner.ReasonListed)}})
		p.Findings = append(p.Findings,
			planner.Finding{Code: planner.CodeReadFailed, Severity: planner.SeverityError, Message: fmt.Sprintf("error %04d", i)},
			planner.Finding{Code: planner.CodeUnlistedPrincipal, Severity: planner.SeverityWarning, Message: fmt.Sprintf("warning %04d", i)},
			planner.Finding{Code: planner.CodeRedundantDirect, Severity: planner.SeverityInfo, Privilege: &planner.PrivilegeRef{ID: 1}, Message: fmt.Sprintf("info %04d", i)})
	}
	got := text(t, p, Options{})
	for i := range 3000 {
		if !strings.Contains(got, fmt.Sprintf("~ user u%04d\n", i)) || !strings.Contains(got, fmt.Sprintf("error %04d", i)) {
			t.Fatalf("principal or error %d is missing", i)
		}
	}
	if n := strings.Count(got, "! warning"); n != shownFindings {
		t.Errorf("%d warnings shown, want %d", n, shownFindings)
	}
	if !strings.Contains(got, "and 2980 more of unlisted-principal") {
		t.Error("the text does not say how many warnings it leaves out")
	}
	if !strings.Contains(got, "\n3000 redundant direct grants (redundant-direct); --verbose lists them\n") || strings.Contains(got, "! info") {
		t.Error("infos are not counted on one line")
	}
	if n := strings.Count(text(t, p, Options{Verbose: true}), "! info"); n != 3000 {
		t.Errorf("with Verbose %d infos shown, want 3000", n)
	}
	if strings.Index(got, "error 2999") > strings.Index(got, "~ user u0000") {
		t.Error("errors come after the changes")
	}
}

func TestTextWrapsAtWidth(t *testing.T) {
	p := samplePlan()
	p.Findings[0].Message = strings.Repeat("word ", 60)
	for line := range strings.Lines(text(t, p, Options{Width: 60, Guards: sampleGuards()})) {
		if strings.Contains(line, "word") && len(strings.TrimSuffix(line, "\n")) > 60 {
			t.Errorf("line is %d columns wide: %q", len(line)-1, line)
		}
	}
}

func TestReportOfUnknownOutcomeIsNotLost(t *testing.T) {
	r := sampleReport()
	r.Principals[1].Outcome = "from-a-later-version"
	if got := text(t, r, Options{}); !strings.Contains(got, `group "Night Shift": from-a-later-version`) {
		t.Errorf("principal with an unknown outcome is missing:\n%s", got)
	}
}

func TestPlanSummary(t *testing.T) {
	p := samplePlan()
	p.Summary = planner.Summary{Principals: 123, InSync: 120, Changed: 3, Grants: 2, Revokes: 1, Findings: planner.FindingCounts{Warning: 1}}
	want := "Plan: 3 of 123 principals change: 2 grants, 1 revoke; 120 in sync; 0 unknown; findings 0 errors, 1 warning, 0 infos."
	if got := PlanSummary(p); got != want {
		t.Errorf("PlanSummary = %q, want %q", got, want)
	}
}

func TestWho(t *testing.T) {
	for _, c := range []struct {
		p    planner.Principal
		want string
	}{
		{user(1, "demo", "Demo User"), `user demo "Demo User"`},
		{user(1, "demo", "demo"), `user demo`},
		{user(1, "", "Demo User"), `user "Demo User"`},
		{user(1, "jo hn", `J "x" D`), `user "jo hn" "J \"x\" D"`},
		{user(1, `CORP\ann`, ""), `user CORP\ann`},
		{group(1, "Night Shift"), `group "Night Shift"`},
		{planner.Principal{Kind: mstrapi.User, ID: "AB"}, `user AB`},
		{planner.Principal{Kind: mstrapi.User}, `user (no name)`},
		{planner.Principal{}, `(no name)`},
		{user(1, "a\nb", "x\x1b[31m"), `user a\nb "x\x1b[31m"`},
	} {
		if got := who(c.p); got != c.want {
			t.Errorf("who(%+v) = %s, want %s", c.p, got, c.want)
		}
	}
}

// TestTextHostile: whatever stands in a document, the text holds no control
// character but the ends of its own lines, and no line more than with tame
// strings.
func TestTextHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hostileString().Draw(t, "string")
		render := func(next func() string) string {
			var b bytes.Buffer
			p, r := hostilePlan(2, next), hostileReport(2, next)
			ours(p, func(int) int { return 1 })
			ours(r, func(int) int { return 1 })
			for _, doc := range []any{p, r} {
				if err := Text(&b, doc, Options{Guards: hostileGuards(2, next)}); err != nil {
					t.Fatal(err)
				}
			}
			return b.String()
		}
		got, tame := render(func() string { return s }), render(func() string { return "x" })
		if strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && promised(r) }) || !utf8.ValidString(got) {
			t.Fatalf("text holds control characters: %q", got)
		}
		if g, w := strings.Count(got, "\n"), strings.Count(tame, "\n"); g != w {
			t.Fatalf("text has %d lines, want %d:\n%s", g, w, got)
		}
	})
}

// TestTextOfAnAuditShowsWhatEverybodyHolds: also those that are in sync, of whom
// very many are counted unless all are asked for.
func TestTextOfAnAuditShowsWhatEverybodyHolds(t *testing.T) {
	r := sampleAudit()
	got := text(t, r, Options{})
	for i := range r.Principals {
		res := &r.Principals[i]
		if !strings.Contains(got, who(res.Principal)+": "+string(res.Outcome)+"\n") {
			t.Errorf("no verdict on %s", who(res.Principal))
		}
		for _, s := range res.After.Sources {
			for _, g := range s.Groups {
				if want := fmt.Sprintf(`      through group %q: `, g.Name); !strings.Contains(got, want) {
					t.Errorf("the source %q of privilege %d is not shown", g.Name, s.Privilege)
				}
			}
		}
	}
	if want := "      through group \"Everyone\": 4 Create schema objects, 55 Monitor User Connections\n"; !strings.Contains(got, want) {
		t.Errorf("the text lacks %q", want)
	}
	calm := r.Principals[5]
	for len(r.Principals) < 1000 {
		r.Principals = append(r.Principals, calm)
	}
	const block = "= user asmith \"Anna Smith\": in-sync\n    holds 1 privilege, 1 directly\n      directly: 54 Monitor Jobs\n"
	got = text(t, r, Options{})
	if n := strings.Count(got, block); n != 200 || !strings.Contains(got, "… and 795 more; ") {
		t.Errorf("%d of 995 principals in sync are shown, want 200 and the number of the others", n)
	}
	if n := strings.Count(text(t, r, Options{Verbose: true}), block); n != 995 {
		t.Errorf("with Verbose %d principals in sync are shown, want 995", n)
	}
}

// TestVerdictOfAnAudit: the verdict is the report's own word.
func TestVerdictOfAnAudit(t *testing.T) {
	for _, want := range []executor.RunOutcome{executor.RunInSync, executor.RunDrifted, executor.RunPartial} {
		r := sampleAudit()
		r.Run.Outcome = want
		if got := runOutcome(r); got != string(want) {
			t.Errorf("the verdict is %q, want %q", got, want)
		}
	}
}

// TestReportSummary: every outcome is counted, in one order whatever is urgent.
func TestReportSummary(t *testing.T) {
	r := &executor.Report{Run: executor.Run{Command: "apply", Outcome: executor.RunPartial}, Summary: executor.Summary{
		Principals: 45, InSync: 1, Applied: 2, Drifted: 3, Failed: 4, Unverified: 5, Stale: 6, HeldBack: 7, NotAttempted: 8, Unknown: 9, Grants: 1, Requests: 1}}
	want := "Apply partial: 45 principals: 1 in sync, 2 applied, 3 drifted, 4 failed, 5 unverified, 6 stale, 7 held back, 8 not attempted, 9 unknown; " +
		"1 grant and 0 revokes verified; findings 0 errors, 0 warnings, 0 infos; 1 request, 0 retries; an unknown time."
	if got := ReportSummary(r); got != want {
		t.Errorf("ReportSummary = %q, want %q", got, want)
	}
}

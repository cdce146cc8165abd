package render

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	gmtext "github.com/yuin/goldmark/text"
	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

func markdownOf(t interface {
	Helper()
	Fatal(...any)
}, doc any, o MarkdownOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := Markdown(&b, doc, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMarkdownGolden(t *testing.T) {
	big := samplePlan()
	for i := range 40 {
		u := user(1000+i, fmt.Sprintf("u%02d", i), "Some User")
		big.Changes = append(big.Changes, planner.Change{Principal: u, Grant: []planner.PlannedPrivilege{planned(54, planner.ReasonListed)}})
		big.Findings = append(big.Findings, planner.Finding{Code: planner.CodeDisabledUser, Severity: planner.SeverityWarning, Principal: &u, Message: "the user is disabled on the server"})
	}
	big.Summary.Changed, big.Summary.Grants, big.Summary.Findings.Warning = 45, 44, 42
	incomplete := emptyPlan()
	incomplete.Complete, incomplete.Summary.Unknown = false, 2
	refused := sampleReport()
	refused.Run.Outcome, refused.Run.Recovered, refused.Principals = executor.RunRefused, true, nil
	refused.Guards, refused.Error = sampleGuards(), &executor.Error{Message: "a guard was exceeded"}
	for _, c := range []struct {
		name string
		doc  any
		o    MarkdownOptions
	}{
		{"plan.md", samplePlan(), MarkdownOptions{Guards: sampleGuards(), ShowHint: "privsync show night.json"}},
		{"plan-folded.md", big, MarkdownOptions{Guards: sampleGuards()[1:]}},
		{"plan-empty.md", emptyPlan(), MarkdownOptions{}},
		{"plan-incomplete.md", incomplete, MarkdownOptions{}},
		{"report.md", sampleReport(), MarkdownOptions{}},
		{"report-refused.md", refused, MarkdownOptions{}},
		{"audit.md", sampleAudit(), MarkdownOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := markdownOf(t, c.doc, c.o)
			assertHarmless(t, got)
			golden(t, c.name, []byte(got))
		})
	}
}

// ourHTML is all the HTML that a view may hold.
var ourHTML = regexp.MustCompile(`^(<details><summary>Show [a-z0-9 ]+</summary>|</details>)\n?$`)

// assertHarmless parses a view as GitHub does and fails if anything in it could
// act: a link, an image, HTML that is not ours, a mention, a table that is not
// ours, or text from outside that is not in a code span.
func assertHarmless(t interface {
	Helper()
	Fatalf(string, ...any)
	Fatal(...any)
}, view string) {
	t.Helper()
	if !utf8.ValidString(view) || strings.ContainsFunc(view, func(r rune) bool { return r != '\n' && promised(r) }) {
		t.Fatalf("view holds control characters:\n%q", view)
	}
	source := []byte(view)
	root := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(gmtext.NewReader(source))
	tables := 0
	err := ast.Walk(root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.CodeSpan:
			return ast.WalkSkipChildren, nil
		case *ast.Link, *ast.AutoLink, *ast.Image, *ast.RawHTML, *ast.CodeBlock, *ast.FencedCodeBlock, *ast.Blockquote, *extast.Strikethrough, *extast.TaskCheckBox:
			return ast.WalkStop, fmt.Errorf("a %s arises", n.Kind())
		case *extast.Table:
			tables++
		case *ast.HTMLBlock:
			for i := range n.Lines().Len() {
				at := n.Lines().At(i)
				if line := string(at.Value(source)); !ourHTML.MatchString(line) {
					return ast.WalkStop, fmt.Errorf("HTML %q arises", line)
				}
			}
		case *ast.Text:
			s := string(n.Segment.Value(source))
			if strings.Contains(s, "ZQ") || strings.ContainsAny(s, "@<>`$|\\[]") {
				return ast.WalkStop, fmt.Errorf("text from outside stands outside a code span: %q", s)
			}
		}
		return ast.WalkContinue, nil
	})
	if err == nil && tables > 2 { // the summary and the licences
		err = errors.New("more than two tables")
	}
	if err != nil {
		t.Fatalf("%v in:\n%s", err, view)
	}
}

func TestMarkdownHostile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := hostileStrings(t)
		n := rapid.IntRange(1, 2).Draw(t, "elements")
		var doc any
		if rapid.Bool().Draw(t, "plan") {
			doc = hostilePlan(n, next)
		} else {
			doc = hostileReport(n, next)
		}
		if rapid.Bool().Draw(t, "ours") {
			ours(doc, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "enum") })
		}
		o := MarkdownOptions{Guards: hostileGuards(n, next), ShowHint: next()}
		if rapid.Bool().Draw(t, "small") {
			o.MaxBytes = 1
		}
		got := markdownOf(t, doc, o)
		limit := DefaultMaxBytes
		if o.MaxBytes == 1 {
			limit = leastMaxBytes
		}
		if len(got) > limit {
			t.Fatalf("%d bytes, want at most %d", len(got), limit)
		}
		assertHarmless(t, got)
	})
}

// TestMarkdownEachPayload goes through every payload by itself, in each place.
func TestMarkdownEachPayload(t *testing.T) {
	for _, payload := range payloads() {
		for _, s := range []string{payload, payload + marker, marker + payload, "`" + payload + marker, payload + marker + "`", "x\n" + payload} {
			next := func() string { return s }
			p, r := hostilePlan(1, next), hostileReport(1, next)
			ours(p, func(int) int { return 0 })
			ours(r, func(int) int { return 0 })
			for _, doc := range []any{p, r} {
				assertHarmless(t, markdownOf(t, doc, MarkdownOptions{Guards: hostileGuards(1, next), ShowHint: s}))
			}
		}
	}
}

// hugePlan has n changed principals, m changes and a warning each, and errors.
func hugePlan(n, m, errorCount int) *planner.Plan {
	p := emptyPlan()
	p.Summary = planner.Summary{Principals: n, Changed: n, Grants: n * m, Revokes: n * m, Findings: planner.FindingCounts{Error: errorCount, Warning: n}}
	for i := range n {
		u := user(1000+i, fmt.Sprintf("u%06d", i), fmt.Sprintf("User With A Name %d", i))
		c := planner.Change{Principal: u}
		for j := range m {
			c.Grant = append(c.Grant, planner.PlannedPrivilege{PrivilegeRef: planner.PrivilegeRef{ID: mstrapi.PrivilegeID(1000 + j), Name: fmt.Sprintf("Privilege %d", j)}, Reason: planner.ReasonListed})
			c.Revoke = append(c.Revoke, planned(53, planner.ReasonNotListed))
		}
		p.Changes = append(p.Changes, c)
		p.Findings = append(p.Findings, planner.Finding{Code: planner.CodeDisabledUser, Severity: planner.SeverityWarning, Principal: &u, Message: "disabled"})
	}
	for i := range errorCount {
		p.Findings = append(p.Findings, planner.Finding{Code: planner.CodeReadFailed, Severity: planner.SeverityError, Message: fmt.Sprintf("error %d", i)})
	}
	return p
}

func TestMarkdownCutsAtWholeItems(t *testing.T) {
	for _, c := range []struct{ n, m, errors int }{{5000, 1, 0}, {5000, 1, 9000}, {3, 3000, 10}, {1, 5000, 0}, {20_000, 2, 1}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			p := hugePlan(c.n, c.m, c.errors)
			got := markdownOf(t, p, MarkdownOptions{Guards: sampleGuards()})
			if len(got) > DefaultMaxBytes {
				t.Fatalf("%d bytes, want at most %d", len(got), DefaultMaxBytes)
			}
			assertHarmless(t, got)
			if !strings.Contains(got, PlanSummary(p)) {
				t.Error("the exact totals are missing")
			}
			if !strings.Contains(got, "to stay within 60000 bytes") || !strings.Contains(got, "The whole plan: `privsync show plan.json`") {
				t.Errorf("the view does not say that it was cut and how to see all:\n%s", got[len(got)-1500:])
			}
			if strings.Count(got, "<details>") != strings.Count(got, "</details>") {
				t.Error("a <details> is left open")
			}
			shown := strings.Count(got, "\n- `user u")
			leftOut := 0
			for _, m := range regexp.MustCompile(`… and (\d+) principals? more`).FindAllStringSubmatch(got, -1) {
				var k int
				fmt.Sscan(m[1], &k)
				leftOut += k
			}
			if c.n > 1 && shown+leftOut < c.n {
				t.Errorf("%d shown and %d left out, want at least %d together", shown, leftOut, c.n)
			}
		})
	}
}

// TestMarkdownUsesItsSpace: a view is cut because it must be, not before.
func TestMarkdownUsesItsSpace(t *testing.T) {
	got := markdownOf(t, hugePlan(5000, 1, 0), MarkdownOptions{})
	if len(got) < DefaultMaxBytes*9/10 {
		t.Errorf("cut to %d bytes, though %d may be used", len(got), DefaultMaxBytes)
	}
	all := markdownOf(t, hugePlan(100, 1, 3), MarkdownOptions{})
	if strings.Contains(all, "Left out") || !strings.Contains(all, "u000099") {
		t.Errorf("a view of %d bytes was cut", len(all))
	}
}

func TestMarkdownErrors(t *testing.T) {
	for _, doc := range []any{nil, (*planner.Plan)(nil), (*executor.Report)(nil), 7} {
		if err := Markdown(&bytes.Buffer{}, doc, MarkdownOptions{}); err == nil {
			t.Errorf("Markdown(%T) gave no error", doc)
		}
	}
	if err := Markdown(brokenWriter{}, samplePlan(), MarkdownOptions{}); !errors.Is(err, errBroken) {
		t.Errorf("Markdown = %v, want %v", err, errBroken)
	}
}

func TestSpan(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"demo", "`demo`"},
		{"", "(empty)"},
		{" ", "` `"},
		{" x", "`  x `"},
		{"a`b", "``a`b``"},
		{"`", "`` ` ``"},
		{"```", "```` ``` ````"},
		{strings.Repeat("`", 17), "`" + strings.Repeat(`\x60`, 17) + "`"},
		{"a\nb", "`a\\nb`"},
		{strings.Repeat("x", 30), "`" + strings.Repeat("x", 19) + "…`"},
	} {
		if got := span(c.in, 20); got != c.want {
			t.Errorf("span(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

// TestMarkdownOfALargeAuditIsCut: what everybody holds gives way to what differs.
func TestMarkdownOfALargeAuditIsCut(t *testing.T) {
	r := believable(24, 4976, 60)
	got := markdownOf(t, r, MarkdownOptions{})
	if len(got) > DefaultMaxBytes || len(got) < DefaultMaxBytes*9/10 {
		t.Errorf("%d bytes, want nearly %d", len(got), DefaultMaxBytes)
	}
	assertHarmless(t, got)
	if !strings.Contains(got, "| **covered** | **5000** |") || !strings.Contains(got, "<summary>Show the holdings of 5000 principals</summary>") {
		t.Error("the totals are not exact")
	}
	if strings.Count(got, "<details>") != strings.Count(got, "</details>") {
		t.Error("a <details> is left open")
	}
}

package render

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"privsync/mstrapi"
	"privsync/planner"
)

// planThatMatters has, in the order of its document, a group's harmless grant, a wide
// revoke, a narrow one, an administrative grant to one user and, last, one to everybody.
func planThatMatters() *planner.Plan {
	p := emptyPlan()
	one := func(n int, name string, members int, grant, revoke *planner.PlannedPrivilege) {
		c := planner.Change{Principal: group(n, name), Impact: planner.Impact{Members: members, Effect: &planner.Effect{}}}
		if members == 0 {
			c.Principal, c.Impact.Effect = user(n, name, ""), &planner.Effect{Gain: 1}
		}
		if grant != nil {
			c.Grant, p.Summary.Grants = append(c.Grant, *grant), p.Summary.Grants+1
		}
		if revoke != nil {
			c.Revoke, p.Summary.Revokes = append(c.Revoke, *revoke), p.Summary.Revokes+1
		}
		p.Changes, p.Summary.Changed = append(p.Changes, c), p.Summary.Changed+1
	}
	plannedTo := func(id mstrapi.PrivilegeID, why planner.Reason, members int, e planner.Effect) *planner.PlannedPrivilege {
		g := reaching(planned(id, why), members, e)
		return &g
	}
	one(1, "Harmless", 300, plannedTo(53, planner.ReasonListed, 300, planner.Effect{Gain: 1}), nil)
	one(2, "Wide revoke", 300, nil, plannedTo(54, planner.ReasonNotListed, 300, planner.Effect{Lose: 299}))
	one(3, "Narrow revoke", 300, nil, plannedTo(54, planner.ReasonNotListed, 300, planner.Effect{Lose: 2}))
	one(4, "Vague", 20, plannedTo(53, planner.ReasonListed, 20, planner.Effect{Unknown: 20}), nil)
	admin := planned(5, planner.ReasonListed)
	admin.Administrative = true
	one(5, "solo", 0, &admin, nil)
	all := plannedTo(5, planner.ReasonListed, 2014, planner.Effect{Gain: 61})
	all.Administrative = true
	one(6, "Everyone", 2014, all, nil)
	p.Summary.Principals = 10
	p.Summary.Impact = &planner.Impact{Members: 2014, Effect: &planner.Effect{Gain: 62, Lose: 300, Unknown: 20}}
	return p
}

// TestWhatMattersFirst: administrative grants, then the widest effect, then revokes by
// effect, in text, Markdown and what is said above a question; the first line counts.
func TestWhatMattersFirst(t *testing.T) {
	p := planThatMatters()
	order := func(what, got string, pattern string, want ...string) {
		t.Helper()
		var names []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(got, -1) {
			names = append(names, m[1])
		}
		if fmt.Sprint(names) != fmt.Sprint(want) {
			t.Errorf("%s: order = %q, want %q", what, names, want)
		}
	}
	got := text(t, p, Options{})
	order("text", got, `(?m)^~ (?:group |user )"?([^"(\n]+)"?`, "Everyone", "solo", "Vague", "Harmless", "Wide revoke", "Narrow revoke")
	first, _, _ := strings.Cut(got, "\n")
	if want := "Plan of policy production (environment prod): 4 grants, 2 revokes on 6 of 10 principals at https://bi.example.com/MicroStrategyLibrary; reaches 2014 users: at least 62 gain, at least 300 lose, 20 not known; no guard exceeded"; first != want {
		t.Errorf("first line = %s\nwant %s", first, want)
	}
	if !strings.Contains(got, "+ grant  5 Bypass all object security access checks (ADMINISTRATIVE; listed; 2014 members, 61 gain it, 1953 have it already)") {
		t.Errorf("the administrative grant does not stand out:\n%s", got)
	}
	var b bytes.Buffer
	if err := Markdown(&b, p, MarkdownOptions{}); err != nil {
		t.Fatal(err)
	}
	md := b.String()
	if first, _, _ := strings.Cut(md, "\n"); !strings.HasPrefix(first, "**privsync plan for `production (environment prod)`: 4 grants, 2 revokes on 6 of 10 principals at `https://bi.example.com/MicroStrategyLibrary`; reaches 2014 users") {
		t.Errorf("the comment begins with %s", first)
	}
	order("headings", md, `(?m)^### \S+ (.+)`, "2 grants of administrative privileges", "2 other grants", "2 revokes", "by principal")
	above, folded, _ := strings.Cut(md, "<details>")
	order("Markdown", above, "`(?:group|user) \"?([^\"`]+)\"?`", "Everyone", "solo", "Vague", "Harmless", "Wide revoke", "Narrow revoke")
	order("folded", folded, "(?m)^- `(?:group|user) \"?([^\"`]+)\"?`", "Everyone", "solo", "Vague", "Harmless", "Wide revoke", "Narrow revoke")

	b.Reset()
	if err := Recap(&b, p, 6, Options{}); err != nil {
		t.Fatal(err)
	}
	order("recap", b.String(), `(?m)^  [+-] .* (?:group |user )"?([^"(\n]+)"? \(`, "Everyone", "solo", "Vague")
	if lines := strings.Count(b.String(), "\n"); lines > 6 || !strings.Contains(b.String(), "… and 3 more") {
		t.Errorf("recap = %d lines:\n%s", lines, b.String())
	}
}

// TestHeadline: what guards, rules and licences say stands on the first line, and what
// cannot be resolved comes before everything.
func TestHeadline(t *testing.T) {
	least := 12
	for _, c := range []struct {
		change func(p *planner.Plan)
		guards []planner.Guard
		want   string
	}{
		{func(*planner.Plan) {}, nil, "no changes at U; no guard exceeded"},
		{func(p *planner.Plan) { p.Complete = false }, nil, "no changes, but not everything could be read at U; no guard exceeded"},
		{func(p *planner.Plan) {
			p.Findings = []planner.Finding{{Code: planner.CodeUnknownPrincipal}, {Code: planner.CodeUnknownPrivilege}}
		}, nil, "No plan: 2 names cannot be resolved at U; no guard exceeded"},
		{func(p *planner.Plan) { p.Findings = []planner.Finding{{Code: planner.CodeConflictingEntries}} }, nil, "No plan: 1 contradiction in the policy at U; no guard exceeded"},
		{func(p *planner.Plan) {
			p.Rules = []planner.RuleResult{{Name: "a", Violations: 3}, {Name: "b"}}
			p.Commands = []string{"x"}
			p.Licences = &planner.Licences{Products: []planner.ProductForecast{{Name: "WEB", Difference: 3}, {Name: "MOBILE", AtMost: &least}, {Name: "NONE"}}}
		}, []planner.Guard{{Name: "maxRevokes"}, {Name: "x", Allowed: true}},
			"no changes at U; 1 command; REFUSED by 1 guard: maxRevokes; 1 of 2 rules broken (3 violations); licences: +3 WEB, +0 to +12 MOBILE"},
		{func(p *planner.Plan) {
			p.Rules = []planner.RuleResult{{Name: "a"}}
			p.Licences = &planner.Licences{}
		}, []planner.Guard{{Name: "x", Allowed: true}}, "no changes at U; guards: x allowed by a flag; 1 rule kept; licences: no difference"},
	} {
		p := emptyPlan()
		p.Environment.URL = "U"
		c.change(p)
		if got := headline(p, c.guards, Clean); got != c.want {
			t.Errorf("headline = %s\nwant %s", got, c.want)
		}
	}
	p := emptyPlan()
	p.Findings = []planner.Finding{{Code: planner.CodeUnknownPrincipal}}
	if got := PlanSummary(p); !strings.HasPrefix(got, "No plan: 1 name cannot be resolved. ") {
		t.Errorf("summary = %s", got)
	}
}

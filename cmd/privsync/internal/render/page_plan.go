package render

import (
	"cmp"
	"strings"

	"privsync/executor"
	"privsync/planner"
)

// pageOfPlan makes the page of a plan.
func pageOfPlan(doc *planner.Plan, o HTMLOptions) *page {
	b := newPageBuilder("plan", doc.Findings, planNames(doc), o)
	p := b.page
	p.Title = "Plan for " + policyName(doc.Policy)
	p.Sentence = PlanSummary(doc)
	s := doc.Summary
	switch {
	case !doc.Complete:
		p.Verdict, p.Tone = "Incomplete", "bad"
		b.alarm(alarm, "Incomplete", strings.TrimPrefix(incompletePlan(doc), "INCOMPLETE: "))
	case s.Findings.Error > 0:
		p.Verdict, p.Tone = count(s.Findings.Error, "error"), "bad"
	case s.Changed > 0:
		p.Verdict, p.Tone = count(s.Changed, "principal")+" to change", "warn"
	default:
		p.Verdict, p.Tone = "No changes", "good"
	}
	p.Facts = facts(nil, []fact{
		{"Server", doc.Environment.URL}, {"Observed by", cmp.Or(doc.Actor.Name, string(doc.Actor.ID))}, {"Made", stamp(doc.CreatedAt)},
		{"Maker", doc.Maker}, {"Valid until", stamp(doc.ExpiresAt)}, {"Scope", scope(doc.Scope)}, {"Coverage", coverageText(&doc.Coverage)}, {"Rules", rulesText(&doc.Coverage, doc.Rules)},
		{"Source", provenanceWords(doc.Source)},
	}...)
	p.Evidence = facts(nil, fact{"Plan digest", doc.Digest})
	b.evidence(doc.Tool, doc.Environment, doc.Actor, doc.Policy)
	p.Tiles = []tile{
		{"principals", "", int64(s.Principals)}, {"in sync", "good", int64(s.InSync)}, {"to change", "warn", int64(s.Changed)},
		{"grants", "grant", int64(s.Grants)}, {"revokes", "revoke", int64(s.Revokes)}, {"unknown", "bad", int64(s.Unknown)},
		{"errors", "bad", int64(s.Findings.Error)}, {"warnings", "warn", int64(s.Findings.Warning)},
	}
	p.Guards = o.Guards
	if text := approvalNeeded(doc); text != "" {
		b.alarm(yellow, "Approval", Clean(text))
	}
	p.Licences = seatsOf(doc.Licences)
	reasons, holding := b.principals(len(doc.Changes), o.MaxPrincipals, func(i int) toldPrincipal {
		c := &doc.Changes[i]
		return toldPrincipal{c.Principal, &executor.Sets{Direct: c.Observed.Direct, Inherited: c.Observed.Inherited}, c.Grant, c.Revoke, wordsOf(false), effectOf(plainName), false, func(e *entry) {
			e.Outcome, e.Said, e.Tone, e.Reach = "to change", "differs from the policy", "warn", reach(c.Impact, c.Grant, c.Revoke)
			for range (weighed{Change: c}).each(administrativeGrants) {
				e.administrative++
			}
		}}
	})
	b.notes(doc.Findings)
	b.foremost(doc)
	b.matrix()
	p.Charts = charts(
		stacked("Principals", []bar{{"in sync", "good", s.InSync}, {"to change", "warn", s.Changed}, {"unknown", "bad", s.Unknown}}),
		reasons.chart("Changes by reason"),
		findingChart(doc.Findings),
		holding.chart("Privileges most held by the principals that change", b.label),
	)
	for _, c := range doc.Commands {
		p.Commands = append(p.Commands, toned{"", Clean(c) + ", at the end of the apply"})
	}
	return p
}

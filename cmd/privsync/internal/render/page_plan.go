package render

import (
	"cmp"
	"strings"

	"privsync/planner"
)

// pageOfPlan makes the page of a plan.
func pageOfPlan(doc *planner.Plan, o HTMLOptions) *page {
	b := newPageBuilder(doc.Findings, o)
	b.known = planNames(doc)
	p := b.page
	p.Noun, p.Title = "plan", "Plan for "+policyName(doc.Policy)
	p.Sentence = PlanSummary(doc)
	s := doc.Summary
	switch {
	case !doc.Complete:
		p.Verdict, p.Tone = "Incomplete", "bad"
		p.Alarms = append(p.Alarms, alarmed{"bad", "Incomplete", strings.TrimPrefix(incompletePlan(doc), "INCOMPLETE: ")})
	case s.Findings.Error > 0:
		p.Verdict, p.Tone = count(s.Findings.Error, "error"), "bad"
	case s.Changed > 0:
		p.Verdict, p.Tone = count(s.Changed, "principal")+" to change", "warn"
	default:
		p.Verdict, p.Tone = "No changes", "good"
	}
	p.Facts = facts([]fact{
		{"Server", doc.Environment.URL}, {"Observed by", cmp.Or(doc.Actor.Name, string(doc.Actor.ID))}, {"Made", stamp(doc.CreatedAt)},
		{"Maker", doc.Maker}, {"Valid until", stamp(doc.ExpiresAt)}, {"Scope", scope(doc.Scope)}, {"Coverage", coverageText(&doc.Coverage)}, {"Rules", rulesText(&doc.Coverage, doc.Rules)},
		{"Source", provenanceWords(doc.Source)},
	})
	p.Evidence = evidence(doc.Tool, doc.Environment, doc.Actor, doc.Policy, fact{"Plan digest", doc.Digest})
	p.Tiles = []tile{
		{"principals", "", int64(s.Principals)}, {"in sync", "good", int64(s.InSync)}, {"to change", "warn", int64(s.Changed)},
		{"grants", "grant", int64(s.Grants)}, {"revokes", "revoke", int64(s.Revokes)}, {"unknown", "bad", int64(s.Unknown)},
		{"errors", "bad", int64(s.Findings.Error)}, {"warnings", "warn", int64(s.Findings.Warning)},
	}
	b.guards(o.Guards)
	if text := approvalNeeded(doc); text != "" {
		p.Alarms = append(p.Alarms, alarmed{"warn", "Approval", Clean(text)})
	}
	p.Licences = seatsOf(doc.Licences)
	reasons := newTally()
	holding := newHoldings()
	chosen := choose(len(doc.Changes), o.MaxPrincipals, func(int) bool { return false })
	for i, at := range chosen {
		b.anchor(i, doc.Changes[at].Principal.ID)
	}
	for i := range doc.Changes {
		c := &doc.Changes[i]
		for g, granted := range touched(c.Grant, c.Revoke) {
			b.learn(g.PrivilegeRef)
			reasons.add(g, granted)
		}
		holding.add(c.Observed.Direct, c.Observed.Inherited)
	}
	for i, at := range chosen {
		c := &doc.Changes[at]
		e := b.entry(c.Principal, &c.Observed, c.Grant, c.Revoke)
		e.Anchor = b.anchor(i, c.Principal.ID)
		e.Outcome, e.Said, e.Tone, e.Reach = "to change", "differs from the policy", "warn", reach(c.Impact, c.Grant, c.Revoke)
		b.changes(e, c.Grant, c.Revoke, wordsOf(false), effectOf(plainName))
		for range (weighed{Change: c}).each(administrativeGrants) {
			e.administrative++
		}
		b.sources(e, nil)
		b.add(e)
	}
	p.Left = left(len(doc.Changes) - len(chosen))
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

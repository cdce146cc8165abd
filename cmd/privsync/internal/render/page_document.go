package render

import (
	"cmp"
	"fmt"

	"strings"

	"privsync/clean"
	"privsync/executor"
	"privsync/planner"
)

// pageOfReport makes the page of a report.
func pageOfReport(doc *executor.Report, o HTMLOptions) *page {
	b := newPageBuilder("report", doc.Findings, reportNames(doc), o)
	for _, named := range doc.Privileges {
		b.learn(named)
	}
	b.reportHead(doc)
	p := b.page
	p.WholeReport = true
	p.Guards, p.Licences = doc.Guards, seatsOf(doc.Licences)
	reasons, holding := b.principals(len(doc.Principals), o.MaxPrincipals, func(i int) toldPrincipal { return resultOf(doc, &doc.Principals[i]) })
	b.notes(doc.Findings)
	b.exceptions(doc.Exceptions)
	b.worst()
	b.matrix()
	changesTitle := "Planned changes by reason"
	if isAudit(doc) {
		changesTitle = "Differences by reason"
	}
	p.Charts = charts(
		b.outcomes(doc),
		reasons.chart(changesTitle),
		findingChart(doc.Findings),
		holding.chart("Privileges most held", b.label),
	)
	for i, c := range doc.Commands {
		p.Commands = append(p.Commands, toned{commandStyle(&doc.Commands[i]).tone(), commandText(c)})
	}
	return p
}

// reportHead adds the title and what stands below it.
func (b *pageBuilder) reportHead(doc *executor.Report) {
	p := b.page
	p.Title = capital(Clean(doc.Run.Command)) + " " + withWhat("of ", doc.Policy, itself)
	p.Sentence, p.Verdict, p.Tone = ReportSummary(doc), capital(runOutcome(doc)), runStyle(doc.Run.Outcome).tone()
	if doc.Run.Recovered {
		b.alarm(yellow, "Recovered", recoveredWords)
	}
	if doc.Error != nil {
		b.alarm(alarm, "Ended early", failure(doc.Error))
	}
	p.Facts = facts(nil, []fact{
		{"Server", doc.Environment.URL}, {"Session's user", cmp.Or(doc.Actor.Name, string(doc.Actor.ID))}, {"Started", stamp(doc.Run.StartedAt)},
		{"Took", runTook(doc)}, {"Scope", scope(doc.Scope)}, {"Coverage", coverageText(doc.Coverage)}, {"Rules", rulesText(doc.Coverage, doc.Rules)},
		{"Source", provenanceWords(doc.Run.Source)}, {"Comment", clip(Clean(doc.Run.Comment), clipMessage)},
		{"Requests", fmt.Sprintf("%d, %s", doc.Summary.Requests, clean.Count(doc.Summary.Retries, "retry"))},
	}...)
	p.Evidence = facts(nil, fact{"Run", doc.Run.ID})
	if plan := doc.Plan; plan != nil {
		p.Facts = facts(p.Facts, fact{"Plan's maker", plan.Maker})
		for _, a := range plan.Approvals {
			p.Facts = facts(p.Facts, fact{"Approved by", a.By + " with key " + a.Key})
		}
		p.Evidence = facts(p.Evidence, fact{"Plan digest", plan.Digest}, fact{"Plan made from", provenanceWords(plan.Source)})
	}
	p.Evidence = facts(p.Evidence, fact{"Report digest", doc.Digest}, fact{"Previous report", doc.Previous})
	b.evidence(doc.Tool, doc.Environment, doc.Actor, doc.Policy)
}

// outcomes adds the numbers of a report, and returns the chart of its outcomes.
func (b *pageBuilder) outcomes(doc *executor.Report) chart {
	s, found := doc.Summary, planner.CountFindings(doc.Findings)
	tiles := []tile{{"principals", "", int64(s.Principals)}}
	var bars []bar
	for _, c := range outcomeCounts(s) {
		bars = append(bars, bar{c.word(), c.style.tone(), c.n})
		if c.n > 0 || c.Outcome == executor.InSync {
			tiles = append(tiles, tile{c.word(), c.style.tone(), int64(c.n)})
		}
	}
	grants, revokes := tile{"grants done", "grant", int64(s.Grants)}, tile{"revokes done", "revoke", int64(s.Revokes)}
	if s.Drifted > 0 || isAudit(doc) {
		missing, surplus := drift(doc)
		grants, revokes = tile{"missing", "warn", int64(missing)}, tile{"surplus", "warn", int64(surplus)}
	}
	b.page.Tiles = append(tiles, grants, revokes, tile{"errors", "bad", int64(found.Error)}, tile{"warnings", "warn", int64(found.Warning)})
	return stacked("Principals by outcome", bars)
}

// resultOf is what a report says of a principal.
func resultOf(doc *executor.Report, r *executor.Result) toldPrincipal {
	return toldPrincipal{r.Principal, lastRead(r), r.Grant, r.Revoke, wordsOf(r.Outcome == executor.Drifted), becameOf(r), r.Outcome == executor.InSync, func(e *entry) {
		view := viewOf(doc, r.Outcome)
		e.Outcome, e.Said, e.Tone = Clean(string(r.Outcome)), view.said, view.style.tone()
		e.Effort = when(r.Attempts > 0, "%s, %s", clean.Count(r.Attempts, "write"), spent(r))
		if r.Error != nil {
			e.Error = failure(r.Error)
		}
	}}
}

// lastRead is what a principal held when it was last read, nil for unknown.
func lastRead(r *executor.Result) *executor.Sets {
	if r.After != nil {
		return r.After
	}
	// After a write, what was there before says nothing about what is there.
	if r.Attempts > 0 {
		return nil
	}
	return r.Before
}

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
		p.Verdict, p.Tone = clean.Count(s.Findings.Error, "error"), "bad"
	case s.Changed > 0:
		p.Verdict, p.Tone = clean.Count(s.Changed, "principal")+" to change", "warn"
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

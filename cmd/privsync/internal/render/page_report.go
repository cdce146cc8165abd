package render

import (
	"cmp"
	"fmt"
	"time"

	"privsync/executor"
	"privsync/planner"
)

// pageOfReport makes the page of a report.
func pageOfReport(doc *executor.Report, o HTMLOptions) *page {
	b := newPageBuilder(doc.Findings, o)
	b.known = reportNames(doc)
	for _, named := range doc.Privileges {
		b.learn(named)
	}
	p := b.page
	p.Noun, p.WholeReport = "report", true
	p.Title = capital(Clean(doc.Run.Command)) + " of " + policyName(doc.Policy)
	if withoutPolicy(doc.Policy) {
		p.Title = capital(Clean(doc.Run.Command)) + " without a policy"
	}
	p.Sentence = ReportSummary(doc)
	p.Verdict = capital(runOutcome(doc))
	p.Tone = runStyle(doc.Run.Outcome).tone()
	if doc.Run.Recovered {
		p.Alarms = append(p.Alarms, alarmed{"warn", "Recovered", "the run died; this report was written later, from its journal and from what the server says now."})
	}
	if doc.Error != nil {
		p.Alarms = append(p.Alarms, alarmed{"bad", "Ended early", failure(doc.Error)})
	}
	p.Facts = facts([]fact{
		{"Server", doc.Environment.URL}, {"Session's user", cmp.Or(doc.Actor.Name, string(doc.Actor.ID))}, {"Started", stamp(doc.Run.StartedAt)},
		{"Took", runTook(doc)}, {"Scope", scope(doc.Scope)}, {"Coverage", coverageText(doc.Coverage)}, {"Rules", rulesText(doc.Coverage, doc.Rules)},
		{"Source", provenanceWords(doc.Run.Source)}, {"Comment", clip(Clean(doc.Run.Comment), clipMessage)},
		{"Requests", fmt.Sprintf("%d, %s", doc.Summary.Requests, count(doc.Summary.Retries, "retry"))},
	})
	var plan, from string
	if doc.Plan != nil {
		from = provenanceWords(doc.Plan.Source)
		plan = doc.Plan.Digest
		p.Facts = append(p.Facts, facts([]fact{{"Plan's maker", doc.Plan.Maker}})...)
		for _, a := range doc.Plan.Approvals {
			p.Facts = append(p.Facts, facts([]fact{{"Approved by", a.By + " with key " + a.Key}})...)
		}
	}
	p.Evidence = evidence(doc.Tool, doc.Environment, doc.Actor, doc.Policy, fact{"Run", doc.Run.ID}, fact{"Plan digest", plan}, fact{"Plan made from", from},
		fact{"Report digest", doc.Digest}, fact{"Previous report", doc.Previous})
	found := planner.CountFindings(doc.Findings)
	s := doc.Summary
	p.Tiles = []tile{{"principals", "", int64(s.Principals)}}
	var outcomes []bar
	for _, c := range outcomeCounts(s) {
		outcomes = append(outcomes, bar{c.word(), c.style.tone(), c.n})
		if c.n > 0 || c.Outcome == executor.InSync {
			p.Tiles = append(p.Tiles, tile{c.word(), c.style.tone(), int64(c.n)})
		}
	}
	grants, revokes := tile{"grants done", "grant", int64(s.Grants)}, tile{"revokes done", "revoke", int64(s.Revokes)}
	if s.Drifted > 0 || isAudit(doc) {
		missing, surplus := drift(doc)
		grants, revokes = tile{"missing", "warn", int64(missing)}, tile{"surplus", "warn", int64(surplus)}
	}
	p.Tiles = append(p.Tiles, grants, revokes,
		tile{"errors", "bad", int64(found.Error)}, tile{"warnings", "warn", int64(found.Warning)})
	b.guards(doc.Guards)
	p.Licences = seatsOf(doc.Licences)

	reasons, holding := newTally(), newHoldings()
	chosen := choose(len(doc.Principals), o.MaxPrincipals, func(i int) bool { return doc.Principals[i].Outcome == executor.InSync })
	for i, at := range chosen {
		b.anchor(i, doc.Principals[at].Principal.ID)
	}
	for i := range doc.Principals {
		r := &doc.Principals[i]
		for g, granted := range touched(r.Grant, r.Revoke) {
			b.learn(g.PrivilegeRef)
			reasons.add(g, granted)
		}
		if now := lastRead(r); now != nil {
			holding.add(now.Direct, now.Inherited)
		}
	}
	for i, at := range chosen {
		r := &doc.Principals[at]
		now := lastRead(r)
		var sets *planner.ObservedSets
		var from []executor.PrivilegeSource
		if now != nil {
			sets, from = &planner.ObservedSets{Direct: now.Direct, Inherited: now.Inherited}, now.Sources
		}
		e := b.entry(r.Principal, sets, r.Grant, r.Revoke)
		e.Anchor = b.anchor(i, r.Principal.ID)
		view := viewOf(doc, r.Outcome)
		e.Outcome, e.Said, e.Tone = Clean(string(r.Outcome)), view.said, view.style.tone()
		e.InSync = r.Outcome == executor.InSync
		if r.Attempts > 0 {
			e.Effort = count(r.Attempts, "write") + ", " + took(time.Duration(r.DurationMs)*time.Millisecond)
		}
		if r.Error != nil {
			e.Error = failure(r.Error)
		}
		b.changes(e, r.Grant, r.Revoke, wordsOf(r.Outcome == executor.Drifted), becameOf(r))
		b.sources(e, from)
		b.add(e)
	}
	p.Left = left(len(doc.Principals) - len(chosen))
	changesTitle := "Planned changes by reason"
	if isAudit(doc) {
		changesTitle = "Differences by reason"
	}
	b.notes(doc.Findings)
	b.exceptions(doc.Exceptions)
	b.worst()
	b.matrix()
	p.Charts = charts(
		stacked("Principals by outcome", outcomes),
		reasons.chart(changesTitle),
		findingChart(doc.Findings),
		holding.chart("Privileges most held", b.label),
	)
	for _, c := range doc.Commands {
		tone := "bad"
		if c.Outcome == executor.CommandSucceeded {
			tone = "good"
		}
		p.Commands = append(p.Commands, toned{tone, commandText(c)})
	}
	return p
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

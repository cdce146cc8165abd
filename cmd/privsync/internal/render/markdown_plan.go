package render

import (
	"cmp"
	"fmt"
	"strings"

	"privsync/clean"
	"privsync/planner"
)

// markdownPlan is the view of a plan.
func markdownPlan(p *planner.Plan, o MarkdownOptions) markdown {
	known := planNames(p)
	changes := byWeight(p)
	var head strings.Builder
	fmt.Fprintf(&head, "**privsync plan for %s: %s**\n\n", span(policyName(p.Policy), clipName), headline(p, o.Guards, spanName))
	if !p.Complete {
		fmt.Fprintf(&head, "⛔ **%s**\n\n", incompletePlan(p))
	}
	if text := approvalNeeded(p); text != "" {
		fmt.Fprintf(&head, "✍️ **Needs approval**: %s\n\n", span(text, clipMessage))
	}
	reached, infos := mostReached(p), infoCounts(p.Findings, spanName)
	summary := "**" + PlanSummary(p) + "**\n" + when(reached > 0, "\nThe change with the widest reach is on a group of %s.\n", clean.Count(reached, "user")) +
		when(infos != "", "\nℹ️ %s; `--verbose` lists them.\n", infos) + coverageMarkdown(&p.Coverage, p.Rules)
	m := markdown{head: head.String(), noun: "plan", hint: cmp.Or(o.ShowHint, "privsync show plan.json")}
	m.add(licenceTable(p.Licences))
	m.add(guardSection(o.Guards))
	m.add(findingSection(p.Findings, planner.SeverityError))
	administrative := administrativeSection(changes)
	grants := clean.Count(p.Summary.Grants, "grant")
	if administrative.n > 0 {
		grants = clean.Count(p.Summary.Grants-administrative.n, "other grant")
	}
	m.add(administrative)
	m.add(overviewSection("➕ "+grants, "privilege to grant", changes, otherGrants))
	m.add(overviewSection("➖ "+clean.Count(p.Summary.Revokes, "revoke"), "privilege to revoke", changes, revokes))
	m.text("\n### Summary\n\n" + summary)
	m.add(changeSection(changes, known))
	m.add(licenceSection(p.Licences))
	m.add(findingSection(p.Findings, planner.SeverityWarning))
	m.add(lines("\n### Commands at the end of the apply\n\n", "command", 1, len(p.Commands), func(i int) string {
		return "- " + span(p.Commands[i], clipMessage) + "\n"
	}))
	m.foot = fmt.Sprintf("Made %s by %s, valid until %s. Server %s. Scope: %s. Digest %s. %s\n",
		stamp(p.CreatedAt), span(actor(p.Actor), clipName), stamp(p.ExpiresAt), span(server(p.Environment), clipMessage),
		span(scope(p.Scope), clipName), span(p.Digest, clipName), toolWords(p.Tool)) + fromMarkdown("Source", provenanceWords(p.Source))
	m.foot += o.Links.markdown()
	return m
}

func toolWords(t planner.Tool) string {
	return "Written by " + span(t.Name+" "+t.Version, clipName) + "."
}

// mostReached is the greatest number of users that one group's change reaches.
func mostReached(p *planner.Plan) int {
	n := 0
	for _, c := range p.Changes {
		n = max(n, c.Impact.Members)
	}
	return n
}

// approvalNeeded says how many people must sign the plan, and why; nothing if nobody.
func approvalNeeded(p *planner.Plan) string {
	n, why := p.Safety.Approval.Needed(p)
	if n == 0 {
		return ""
	}
	people := "1 person"
	if n > 1 {
		people = fmt.Sprintf("%d people", n)
	}
	return "needs approval by " + people + ": " + why
}

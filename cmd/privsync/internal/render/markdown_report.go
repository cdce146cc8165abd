package render

import (
	"cmp"
	"fmt"
	"strings"

	"privsync/clean"
	"privsync/executor"
	"privsync/planner"
)

// markdownReport is the view of a report.
func markdownReport(r *executor.Report, o MarkdownOptions) markdown {
	known := reportNames(r)
	sign := map[style]string{green: "✅", yellow: "⚠️", alarm: "⛔"}[runStyle(r.Run.Outcome)]
	var head strings.Builder
	by := withWhat("with ", r.Policy, spanName)
	fmt.Fprintf(&head, "## %s privsync %s %s on %s: %s\n\n", sign, span(r.Run.Command, clipName),
		by, span(r.Environment.URL, clipName), span(runOutcome(r), clipName))
	head.WriteString(when(r.Run.Recovered, "⚠️ **Recovered:** %s\n\n", recoveredWords))
	if r.Error != nil {
		fmt.Fprintf(&head, "⛔ **Ended early:** %s\n\n", span(failure(r.Error), clipMessage))
	}
	m := markdown{head: head.String(), noun: "report", hint: cmp.Or(o.ShowHint, "privsync show report.json")}
	m.add(licenceTable(r.Licences))
	m.add(guardSection(r.Guards))
	m.add(findingSection(r.Findings, planner.SeverityError))
	groups := byOutcome(r)
	for _, o := range occurring(groups) {
		if o != executor.InSync && o != executor.Applied {
			m.add(outcomeSection(r, o, groups[o], known))
		}
	}
	m.add(lines("\n### Commands\n\n", "command", 1, len(r.Commands), func(i int) string {
		return "- " + span(commandText(r.Commands[i]), clipMessage) + "\n"
	}))
	m.text("\n### Summary\n\n" + reportTotals(r))
	if len(groups[executor.Applied]) > 0 {
		m.add(outcomeSection(r, executor.Applied, groups[executor.Applied], known))
	}
	m.add(licenceSection(r.Licences))
	m.add(findingSection(r.Findings, planner.SeverityWarning))
	m.add(findingSection(r.Findings, planner.SeverityInfo))
	m.add(exceptionSection(r))
	if isAudit(r) {
		m.add(holdingSection(r))
	}
	m.foot = fmt.Sprintf("Run %s by %s, started %s, took %s. Server %s. Scope: %s. Digest %s. %s\n",
		span(r.Run.ID, clipName), span(actor(r.Actor), clipName), stamp(r.Run.StartedAt), runTook(r),
		span(server(r.Environment), clipMessage), span(scope(r.Scope), clipName), span(r.Digest, clipName), toolWords(r.Tool)) + fromMarkdown("Source", provenanceWords(r.Run.Source)) + fromMarkdown("Comment", r.Run.Comment)
	if r.Plan != nil {
		m.foot += fromMarkdown("The plan was made from", provenanceWords(r.Plan.Source))
	}
	return m
}

// reportTotals is the table of a report's numbers.
func reportTotals(r *executor.Report) string {
	var b strings.Builder
	b.WriteString("| | principals |\n|---|---:|\n")
	word := "covered"
	if withoutPolicy(r.Policy) {
		word = "listed"
	}
	fmt.Fprintf(&b, "| **%s** | **%d** |\n", word, r.Summary.Principals)
	for _, c := range outcomeCounts(r.Summary) {
		if c.n > 0 || c.Outcome == executor.InSync {
			fmt.Fprintf(&b, "| %s | %d |\n", c.word(), c.n)
		}
	}
	fmt.Fprintf(&b, "\n%s. Findings: %s. %s, %s.\n", changeTotals(r), severities(planner.CountFindings(r.Findings)), clean.Count(r.Summary.Requests, "request"), clean.Count(r.Summary.Retries, "retry"))
	b.WriteString(coverageMarkdown(r.Coverage, r.Rules))
	return b.String()
}

// outcomeSection lists the principals with one outcome.
func outcomeSection(r *executor.Report, o executor.Outcome, at []int, known names) section {
	s := section{noun: "principal", n: len(at), weight: 6}
	view := viewOf(r, o)
	heading := clean.Count(len(at), "principal") + " of another outcome"
	if view.said != "" {
		heading = clean.Count(len(at), "principal") + " " + view.word() + ": " + view.said
	}
	if o == executor.Applied {
		s.weight = 3
	}
	s.open, s.close = fold(heading, "Show the principals", s.n)
	s.item = func(i int) (string, string) {
		res := &r.Principals[at[i]]
		words := wordsOf(res.Outcome == executor.Drifted)
		short := "- " + known.span(res.Principal) + when(view.said == "", " %s", span(string(res.Outcome), clipName)) + ": " + words.count(res.Grant, res.Revoke) +
			when(res.Attempts > 0, ", %s in %s", clean.Count(res.Attempts, "write"), spent(res)) + "\n"
		if res.Error != nil {
			short += "  - " + span(failure(res.Error), clipMessage) + "\n"
		}
		full := short + changeLines(res.Grant, res.Revoke, known, words, becameOf(res))
		if full != short {
			short += "  - (changes too long to list here)\n"
		}
		return full, short
	}
	return s
}

// holdingSection says what everybody holds, and from where.
func holdingSection(r *executor.Report) section {
	named := privilegeNames(r)
	s := section{noun: "principal", n: len(r.Principals), weight: 4}
	s.open, s.close = folded("Who holds what", "Show the holdings of "+clean.Count(s.n, "principal"))
	s.item = func(i int) (string, string) {
		res := &r.Principals[i]
		head := "- " + spanWho(res.Principal) + " "
		if viewOf(r, res.Outcome).said != "" {
			head += "**" + string(res.Outcome) + "**: "
		} else {
			head += span(string(res.Outcome), clipName) + ": "
		}
		if res.After == nil {
			head += "not known\n"
			return head, head
		}
		short := head + holdingTotals(res.After) + "\n"
		full := short
		for _, h := range heldBySource(res.After) {
			full += "  - " + sourceWords(h) + ": " + h.list(named, spanName) + "\n"
		}
		return full, short
	}
	return s
}

// sourceWords is the source with the group in a code span.
func sourceWords(h heldFrom) string {
	if h.group {
		return "through " + span(h.source, clipName)
	}
	return h.source
}

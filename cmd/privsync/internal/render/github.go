package render

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/planner"
	"privsync/policy"
)

// maxAnnotations is how many annotations of one kind are written: GitHub shows ten of a
// step, and the log stays readable.
const maxAnnotations = 50

// GitHubPlan writes a plan as GitHub Actions workflow commands, which make the workflow
// show them at the policy's lines: errors, exceeded guards and grants of administrative
// privileges first, then warnings, then the other changes; of each kind the most
// important ones. The last line is that of [PlanSummary]. See [GitHub] for the form and for
// inRepository. The error is the writer's.
func GitHubPlan(w io.Writer, p *planner.Plan, guards []planner.Guard, inRepository func(file string) string) error {
	b := bufio.NewWriter(w)
	write := func(level string, at *policy.Position, title, message string) {
		annotate(b, level, at, "privsync "+title, message, inRepository)
	}
	// several writes as many as are shown, and says how many are not.
	several := func(level, noun string, all []noted) {
		for _, a := range all[:min(len(all), maxAnnotations)] {
			write(level, a.at, a.title, a.message)
		}
		if n := len(all) - maxAnnotations; n > 0 {
			write(level, nil, "left out", clean.Count(n, noun)+" more; the plan has all")
		}
	}
	findings := func(severity planner.Severity) (all []noted) {
		for _, f := range p.Findings {
			if f.Severity == severity {
				all = append(all, noted{f.Position, string(f.Code), f.Message})
			}
		}
		return all
	}
	if !p.Complete {
		write("error", nil, "incomplete", strings.TrimPrefix(incompletePlan(p), "INCOMPLETE: "))
	}
	for _, g := range guards {
		level := "error"
		if g.Allowed {
			level = "warning"
		}
		write(level, nil, "guard "+g.Name, fmt.Sprintf("%s, the limit is %s: %s", g.Actual, g.Limit, g.Message))
	}
	several("error", "error", findings(planner.SeverityError))
	changes, known := byWeight(p), planNames(p)
	touches := func(kind int, title, verb string) (all []noted) {
		for _, h := range hitsOf(changes, kind) {
			var at *policy.Position
			if h.g.Origin != nil {
				at = &h.g.Origin.Position
			}
			all = append(all, noted{at, title, touchText(verb, h.c.Principal, h.g, kind != revokes, known)})
		}
		return all
	}
	several("warning", "administrative grant", touches(administrativeGrants, "administrative grant", "grant"))
	several("warning", "warning", findings(planner.SeverityWarning))
	several("notice", "grant", touches(otherGrants, "grant", "grant"))
	several("notice", "revoke", touches(revokes, "revoke", "revoke"))
	if text := infoCounts(p.Findings, Clean); text != "" {
		write("notice", nil, "infos", text)
	}
	b.WriteString(PlanSummary(p) + "\n")
	return b.Flush()
}

// GitHub writes one GitHub Actions workflow command per problem, which makes
// the workflow show it at its line of the file:
//
//	::error file=policy.yaml,line=12,col=7,title=privsync::message
//
// The annotation finds its place only if the file is relative to the root of the
// repository, which inRepository makes of the file that the problem names. A problem
// without a file annotates the run. The error is the writer's.
// Warnings become ::warning commands.
func GitHub(w io.Writer, ps, warnings policy.Problems, inRepository func(file string) string) error {
	b := bufio.NewWriter(w)
	for i, p := range slices.Concat(ps, warnings) {
		level := "error"
		if i >= len(ps) {
			level = "warning"
		}
		annotate(b, level, &p.Pos, "privsync", p.Message+when(p.Hint != "", " (%s)", p.Hint), inRepository)
	}
	return b.Flush()
}

// noted is what a workflow command says, and of which line; nil: of the run.
type noted struct {
	at             *policy.Position
	title, message string
}

// annotate writes one workflow command.
func annotate(b *bufio.Writer, level string, at *policy.Position, title, message string, inRepository func(file string) string) {
	b.WriteString("::" + level + " ")
	if at != nil && at.File != "" {
		fmt.Fprintf(b, "file=%s,", commandProperty(inRepository(at.File)))
		if at.Line > 0 {
			fmt.Fprintf(b, "line=%d,", at.Line)
		}
		if at.Column > 0 {
			fmt.Fprintf(b, "col=%d,", at.Column)
		}
	}
	fmt.Fprintf(b, "title=%s::%s\n", commandProperty(title), commandData(message))
}

// commandData and commandProperty escape as the runner's own toolkit does
// (actions/toolkit, packages/core/src/command.ts). Line ends are escapes of
// Clean by then; the runner's are kept for what Clean may one day let through.
func commandData(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(Clean(s))
}

func commandProperty(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(Clean(s))
}

package render

import (
	"bufio"
	"fmt"
	"io"
	"strings"

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
		fmt.Fprintf(b, "title=%s::%s\n", commandProperty("privsync "+title), commandData(message))
	}
	// several writes as many as are shown, and says how many are not.
	several := func(level, noun string, each func(show func(at *policy.Position, title, message string))) {
		n := 0
		each(func(at *policy.Position, title, message string) {
			if n++; n <= maxAnnotations {
				write(level, at, title, message)
			}
		})
		if n > maxAnnotations {
			write(level, nil, "left out", count(n-maxAnnotations, noun)+" more; the plan has all")
		}
	}
	findings := func(severity planner.Severity) func(func(*policy.Position, string, string)) {
		return func(show func(at *policy.Position, title, message string)) {
			for _, f := range p.Findings {
				if f.Severity == severity {
					show(f.Position, string(f.Code), f.Message)
				}
			}
		}
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
	touches := func(kind int) func(func(*policy.Position, string, string)) {
		return func(show func(at *policy.Position, title, message string)) {
			for _, c := range changes {
				for _, g := range kindOf(c.Change, kind) {
					var at *policy.Position
					if g.Origin != nil {
						at = &g.Origin.Position
					}
					title, verb, to := "grant", "grant", "to"
					switch kind {
					case administrativeGrants:
						title = "administrative grant"
					case revokes:
						title, verb, to = "revoke", "revoke", "from"
					}
					show(at, title, fmt.Sprintf("%s %s %s %s (%s)", verb, privilege(g.PrivilegeRef), to, who(c.Principal),
						why(*g, known, effect(g.Impact, kind != revokes, plainName))))
				}
			}
		}
	}
	several("warning", "administrative grant", touches(administrativeGrants))
	several("warning", "warning", findings(planner.SeverityWarning))
	several("notice", "grant", touches(otherGrants))
	several("notice", "revoke", touches(revokes))
	if text := infoCounts(p.Findings, Clean); text != "" {
		write("notice", nil, "infos", text)
	}
	b.WriteString(PlanSummary(p) + "\n")
	return b.Flush()
}

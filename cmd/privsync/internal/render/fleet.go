package render

import (
	"cmp"
	_ "embed" // the page's template
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"privsync/clean"
	"privsync/executor"
	"privsync/planner"
)

//go:embed page/fleet.tmpl
var fleetTemplate string

// fleet writes the overview of many environments.
func (t *textWriter) fleet(f *executor.Fleet) {
	t.line(bold, "Fleet: %s", fleetSentence(f))
	for _, s := range f.Sources {
		t.field("reports", fmt.Sprintf("%d in %s", s.Reports, Clean(s.Name)))
		for _, p := range s.Problems {
			t.para(alarm, 4, "  BROKEN CHAIN "+Clean(p))
		}
	}
	for i := range f.Environments {
		e := &f.Environments[i]
		t.part(fleetStyle(e.State), "%-8s %s", strings.ToUpper(string(e.State)), fleetName(e))
		for _, l := range fleetLines(e, f.CreatedAt) {
			t.field(l.Name, l.Value)
		}
	}
}

func fleetSentence(f *executor.Fleet) string {
	s := f.Summary
	n := func(n int, what executor.FleetState) string { return when(n > 0, "%d %s", n, what) }
	states := joined(", ", n(s.OK, executor.StateOK), n(s.Drift, executor.StateDrift), n(s.Failing, executor.StateFailing), n(s.Late, executor.StateLate), n(s.Never, executor.StateNever))
	return clean.Count(s.Environments, "environment") + ": " + joined(", ", cmp.Or(states, "no report"), when(s.Pending > 0, "%s waiting", clean.Count(s.Pending, "plan")))
}

func fleetStyle(s executor.FleetState) style {
	switch s {
	case executor.StateOK:
		return green
	case executor.StateLate:
		return yellow
	}
	return alarm
}

// fleetName says which environment it is.
func fleetName(e *executor.FleetEnvironment) string {
	return joined(", ", cmp.Or(Clean(e.Environment), "(no name)"), when(e.Policy != "", "policy %s", Clean(e.Policy)), Clean(e.Server))
}

// fleetLines says what is known of an environment: names and values.
func fleetLines(e *executor.FleetEnvironment, now time.Time) []fact {
	var lines []fact
	add := func(name, format string, args ...any) {
		lines = append(lines, fact{name, fmt.Sprintf(format, args...)})
	}
	run := func(r *executor.FleetRun) string {
		return fmt.Sprintf("%s (%s), %s %s, run %s: %s", r.FinishedAt.UTC().Format("2006-01-02 15:04"), ago(now.Sub(r.FinishedAt)), Clean(r.Command), Clean(string(r.Outcome)), Clean(r.ID), Clean(r.Report))
	}
	if e.LastSuccess != nil {
		add("success", "%s", run(e.LastSuccess))
	} else {
		add("success", "never, as far as the reports tell")
	}
	if e.LastRun != nil && (e.LastSuccess == nil || e.LastRun.Digest != e.LastSuccess.Digest) {
		add("last run", "%s", run(e.LastRun))
	}
	if e.Drift != nil {
		add("drift", "%s not as the policy wants (run %s)", clean.Count(e.Drift.Principals, "principal"), Clean(e.Drift.Run))
	} else {
		add("drift", "unknown: no run has looked")
	}
	for _, p := range e.Pending {
		state := "until " + p.ExpiresAt.UTC().Format("2006-01-02 15:04")
		if p.Expired {
			state = "EXPIRED"
		}
		add("pending", "%s: %s, %s, %s, of %s, %s", Clean(p.File), clean.Count(p.Principals, "principal"), clean.Count(p.Grants, "grant"), clean.Count(p.Revokes, "revoke"), p.CreatedAt.UTC().Format("2006-01-02 15:04"), state)
	}
	if c := e.Findings; c.Error+c.Warning+c.Info > 0 {
		var codes []string
		for _, n := range c.Codes {
			codes = append(codes, fmt.Sprintf("%s %d", Clean(n.Code), n.Count))
		}
		add("findings", "%s: %s", severities(planner.FindingCounts{Error: c.Error, Warning: c.Warning, Info: c.Info}), strings.Join(codes, ", "))
	}
	return lines
}

// ago is a duration in one unit, as people say it.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "in the future"
	case d < 2*time.Hour:
		return clean.Count(int(d.Minutes()), "minute") + " ago"
	case d < 48*time.Hour:
		return clean.Count(int(d.Hours()), "hour") + " ago"
	}
	return clean.Count(int(d.Hours()/24), "day") + " ago"
}

// FleetHTML writes f as one self-contained page, as [HTML] does for one document. The
// error is the writer's.
func FleetHTML(w io.Writer, f *executor.Fleet) error {
	type row struct {
		State, Name string
		Facts       []fact
	}
	page := struct {
		Style                  template.HTML
		Policy, Sentence, AsOf string
		Broken                 []string
		Environments           []row
	}{
		Style: template.HTML("<style>" + pageStyle + "</style>"), Policy: contentPolicy(pageStyle, ""),
		Sentence: fleetSentence(f), AsOf: f.CreatedAt.UTC().Format(time.RFC3339),
	}
	for _, s := range f.Sources {
		for _, p := range s.Problems {
			page.Broken = append(page.Broken, Clean(p))
		}
	}
	for i := range f.Environments {
		e := &f.Environments[i]
		page.Environments = append(page.Environments, row{string(e.State), fleetName(e), fleetLines(e, f.CreatedAt)})
	}
	return writePage(w, fleetTemplate, page)
}

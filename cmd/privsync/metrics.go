package main

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"privsync/document"
	"privsync/executor"
	"privsync/planner"
)

// metricsDocument writes the metrics of one run in Prometheus' text format, for
// the node exporter's textfile collector.
type metricsDocument struct {
	report      *executor.Report
	exit        int
	lastSuccess float64 // Unix seconds; 0: never, as far as is known
}

// newMetrics describes a run that ends with exit. A run that did not succeed
// keeps the time of the last one that did, from the file that it replaces.
func newMetrics(report *executor.Report, exit int, path string) *metricsDocument {
	m := &metricsDocument{report: report, exit: exit}
	if succeeded(exit) {
		m.lastSuccess = unixSeconds(report.Run.FinishedAt)
	} else {
		m.lastSuccess = lastSuccess(path, report.Run.Command, report.Policy.Name)
	}
	return m
}

// succeeded reports whether a run with this exit code did its work: an audit
// that found drift did.
func succeeded(exit int) bool { return exit == executor.ExitOK || exit == executor.ExitDrift }

// A sample is one value of a metric, for one value of its second label.
type sample struct {
	label string // empty: the metric has no second label
	value float64
}

// WriteTo writes the metrics in the text format of Prometheus' exposition
// (prometheus.io/docs/instrumenting/exposition_formats), by name and then by label.
func (m *metricsDocument) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	command, policy := label("command", m.report.Run.Command), label("policy", m.report.Policy.Name)
	gauge := func(name, help, second string, samples ...sample) {
		fmt.Fprintf(&b, "# HELP privsync_%s %s\n# TYPE privsync_%s gauge\n", name, help, name)
		slices.SortFunc(samples, func(a, b sample) int { return strings.Compare(a.label, b.label) })
		for _, s := range samples {
			all := []string{command, policy}
			if second != "" {
				all = append(all, label(second, s.label))
			}
			if name == buildInfoMetric {
				all = append(all, label("goversion", runtime.Version()), label("version", toolVersion()))
			}
			slices.Sort(all)
			labels := strings.Join(all, ",")
			fmt.Fprintf(&b, "privsync_%s{%s} %s\n", name, labels, strconv.FormatFloat(s.value, 'g', -1, 64))
		}
	}
	one := func(name, help string, value float64) { gauge(name, help, "", sample{"", value}) }
	r := m.report
	findings := map[string]float64{"error": 0, "warning": 0, "info": 0}
	for _, f := range r.Findings {
		findings[string(f.Severity)]++
	}
	var severities []sample
	for severity, n := range findings {
		severities = append(severities, sample{severity, n})
	}
	one(buildInfoMetric, "The program that wrote these metrics: 1.", 1)
	gauge("findings", "Findings of the last run by severity.", "severity", severities...)
	one("grants", "Privileges that the last run granted and verified.", float64(r.Summary.Grants))
	one("last_run_timestamp_seconds", "When the last run ended.", unixSeconds(r.Run.FinishedAt))
	one(lastSuccessMetric, "When the last run ended that did all its work.", m.lastSuccess)
	writeLicences(&b, command+","+policy, r.Licences)
	s := r.Summary
	gauge("principals", "Principals of the last run by outcome.", "outcome",
		sample{string(executor.InSync), float64(s.InSync)}, sample{string(executor.Drifted), float64(s.Drifted)},
		sample{string(executor.Applied), float64(s.Applied)}, sample{string(executor.Failed), float64(s.Failed)},
		sample{string(executor.Stale), float64(s.Stale)}, sample{string(executor.HeldBack), float64(s.HeldBack)},
		sample{string(executor.Unverified), float64(s.Unverified)}, sample{string(executor.NotAttempted), float64(s.NotAttempted)},
		sample{string(executor.UnknownState), float64(s.Unknown)})
	one("requests", "Requests that the last run sent.", float64(r.Summary.Requests))
	one("retries", "Requests of the last run that were repetitions.", float64(r.Summary.Retries))
	one("revokes", "Privileges that the last run revoked and verified.", float64(r.Summary.Revokes))
	one("run_duration_seconds", "How long the last run took.", r.Run.FinishedAt.Sub(r.Run.StartedAt).Seconds())
	one("run_exit_code", "The exit code of the last run.", float64(m.exit))
	return b.WriteTo(w)
}

// lastSuccessMetric is the one that the next run reads again.
const lastSuccessMetric = "last_success_timestamp_seconds"

// buildInfoMetric tells of the program, not of the run.
const buildInfoMetric = "build_info"

func label(name, value string) string { return name + `="` + escapeLabel(value) + `"` }

// escapeLabel writes a label's value as it stands between its quotes.
func escapeLabel(s string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(s, "\ufffd"))
}

// failEarly is for a run that ends with err and has no report, because there is no
// policy or plan to report about yet, or because of a defect: the metrics say that it
// was there and how it ended. Without a policy they keep the label of the file that
// they replace, so that the alerts name the same policy as ever; without one it is
// empty.
func (r *reportFlags) failEarly(a *app, command string, start time.Time, policyName string, err error) error {
	a.logEnd(command, "", err)
	if r.metrics == "" {
		return err
	}
	report := &executor.Report{
		Run:    executor.Run{Command: command, StartedAt: start, FinishedAt: a.now()},
		Policy: planner.PolicyRef{Name: cmp.Or(policyName, lastPolicy(r.metrics))},
	}
	return also(err, r.writeMetrics(report, err))
}

// writeMetrics writes the metrics of a run that ends with err.
func (r *reportFlags) writeMetrics(report *executor.Report, err error) error {
	// The node exporter that reads it is another user, and it holds nothing but counts.
	if e := document.WriteFileMode(r.metrics, newMetrics(report, exitCode(err), r.metrics), 0o644); e != nil {
		return fmt.Errorf("write the metrics: %w", e)
	}
	return nil
}

// lastSuccess reads the time of the last success of the command with the policy from the
// metrics file at path; 0 where there is none. A file of a version that did not note the
// command counts for each.
func lastSuccess(path, command, policyName string) float64 {
	known := lastSuccesses(path)
	for _, c := range []string{command, ""} {
		if t, ok := known[series{c, policyName}]; ok {
			return t
		}
	}
	return 0
}

// series is one line of the metric of the last success.
type series struct{ command, policy string }

// lastPolicy reads the policy that the metrics file at path is about; "" where
// there is none, or more than one.
func lastPolicy(path string) string {
	known := lastSuccesses(path)
	if len(known) != 1 {
		return ""
	}
	for s := range known {
		return s.policy
	}
	return ""
}

// lastSuccesses reads the times of the last success from the metrics file at path. What is no line of [metricsDocument.WriteTo] counts as absent.
func lastSuccesses(path string) map[series]float64 {
	f, err := executor.OpenPlain(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	known := make(map[series]float64)
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "privsync_"+lastSuccessMetric+"{")
		if !ok {
			continue
		}
		var of series
		if more, ok := strings.CutPrefix(rest, `command="`); ok {
			if of.command, rest, ok = cutLabel(more, `",`); !ok {
				continue
			}
		}
		if rest, ok = strings.CutPrefix(rest, `policy="`); !ok {
			continue
		}
		name, value, found := cutLabel(rest, `"} `)
		if !found {
			continue
		}
		of.policy = name
		if seconds, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(seconds) && !math.IsInf(seconds, 0) {
			known[of] = seconds
		}
	}
	return known
}

// cutLabel takes the value of a label off the beginning of a line, up to end, which
// begins with the closing quote.
func cutLabel(s, end string) (label, rest string, found bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			rest, found = strings.CutPrefix(s[i:], end)
			return b.String(), rest, found
		case s[i] == '\\' && i+1 < len(s):
			i++
			if s[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// writeLicences writes how many users consume each product, by number of the product.
// What is not known and what has no limit is left out.
func writeLicences(b *bytes.Buffer, labels string, l *planner.Licences) {
	if l == nil || len(l.Products) == 0 {
		return
	}
	fmt.Fprint(b, "# HELP privsync_licences Users who consume a product, now and after the run, and licences.\n# TYPE privsync_licences gauge\n")
	for _, p := range l.Products {
		line := func(state string, n int) {
			fmt.Fprintf(b, "privsync_licences{%s,product=\"%s\",state=\"%s\"} %d\n", labels, escapeLabel(p.Name), state, n)
		}
		line("after", p.After)
		if p.Entitled != nil {
			line("entitled", *p.Entitled)
		}
		line("now", p.Now)
	}
}

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"regexp"
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

// gauges writes metrics in the text format of Prometheus' exposition
// (prometheus.io/docs/instrumenting/exposition_formats). The zero value is ready.
type gauges struct{ bytes.Buffer }

// begin begins the metric called name.
func (g *gauges) begin(name, help string) {
	fmt.Fprintf(g, "# HELP privsync_%s %s\n# TYPE privsync_%s gauge\n", name, help, name)
}

// put adds a value to the metric called name.
func (g *gauges) put(name string, value float64, labels ...string) {
	slices.Sort(labels)
	fmt.Fprintf(g, "privsync_%s{%s} %s\n", name, strings.Join(labels, ","), strconv.FormatFloat(value, 'g', -1, 64))
}

// WriteTo writes the metrics by name and then by label.
func (m *metricsDocument) WriteTo(w io.Writer) (int64, error) {
	var g gauges
	command, policy := label("command", m.report.Run.Command), label("policy", m.report.Policy.Name)
	one := func(name, help string, value float64, more ...string) {
		g.begin(name, help)
		g.put(name, value, append(more, command, policy)...)
	}
	type sample struct {
		label string
		n     int
	}
	several := func(name, help, second string, samples ...sample) {
		g.begin(name, help)
		for _, s := range samples {
			g.put(name, float64(s.n), command, policy, label(second, s.label))
		}
	}
	r := m.report
	one(buildInfoMetric, "The program that wrote these metrics: 1.", 1, label("goversion", runtime.Version()), label("version", toolVersion()))
	f := planner.CountFindings(r.Findings)
	several("findings", "Findings of the last run by severity.", "severity",
		sample{string(planner.SeverityError), f.Error}, sample{string(planner.SeverityInfo), f.Info}, sample{string(planner.SeverityWarning), f.Warning})
	one("grants", "Privileges that the last run granted and verified.", float64(r.Summary.Grants))
	one("last_run_timestamp_seconds", "When the last run ended.", unixSeconds(r.Run.FinishedAt))
	one(lastSuccessMetric, "When the last run ended that did all its work.", m.lastSuccess)
	if l := r.Licences; l != nil && len(l.Products) > 0 {
		// By number of the product; what is not known and what has no limit is left out.
		g.begin("licences", "Users who consume a product, now and after the run, and licences.")
		for _, p := range l.Products {
			put := func(state string, n int) {
				g.put("licences", float64(n), command, policy, label("product", p.Name), label("state", state))
			}
			put("after", p.After)
			if p.Entitled != nil {
				put("entitled", *p.Entitled)
			}
			put("now", p.Now)
		}
	}
	s := r.Summary
	several("principals", "Principals of the last run by outcome.", "outcome",
		sample{string(executor.Applied), s.Applied}, sample{string(executor.Drifted), s.Drifted}, sample{string(executor.Failed), s.Failed},
		sample{string(executor.HeldBack), s.HeldBack}, sample{string(executor.InSync), s.InSync}, sample{string(executor.NotAttempted), s.NotAttempted},
		sample{string(executor.Stale), s.Stale}, sample{string(executor.UnknownState), s.Unknown}, sample{string(executor.Unverified), s.Unverified})
	one("requests", "Requests that the last run sent.", float64(s.Requests))
	one("retries", "Requests of the last run that were repetitions.", float64(s.Retries))
	one("revokes", "Privileges that the last run revoked and verified.", float64(s.Revokes))
	one("run_duration_seconds", "How long the last run took.", r.Run.FinishedAt.Sub(r.Run.StartedAt).Seconds())
	one("run_exit_code", "The exit code of the last run.", float64(m.exit))
	return g.Buffer.WriteTo(w)
}

// lastSuccessMetric is the one that the next run reads again.
const lastSuccessMetric = "last_success_timestamp_seconds"

// buildInfoMetric tells of the program, not of the run.
const buildInfoMetric = "build_info"

func label(name, value string) string {
	return name + `="` + strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(strings.ToValidUTF8(value, "\ufffd")) + `"`
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
	line := regexp.MustCompile(`^privsync_` + lastSuccessMetric + `\{(?:command="((?:[^"\\]|\\.)*)",)?policy="((?:[^"\\]|\\.)*)"\} (\S+)$`)
	unescape := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\"`, `"`)
	known := make(map[series]float64)
	lines := bufio.NewScanner(io.LimitReader(f, 1<<20))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := line.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if seconds, err := strconv.ParseFloat(m[3], 64); err == nil && !math.IsNaN(seconds) && !math.IsInf(seconds, 0) {
			known[series{unescape.Replace(m[1]), unescape.Replace(m[2])}] = seconds
		}
	}
	return known
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

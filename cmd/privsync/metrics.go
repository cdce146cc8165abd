package main

import (
	"fmt"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

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
		m.lastSuccess = lastSuccess(path, report.Policy.Name)
	}
	return m
}

// succeeded reports whether a run with this exit code did its work: an audit
// that found drift did.
func succeeded(exit int) bool { return exit == exitDone || exit == exitDrift }

// WriteTo writes the metrics.
func (m *metricsDocument) WriteTo(w io.Writer) (int64, error) {
	registry := prometheus.NewRegistry()
	labels := prometheus.Labels{"policy": m.report.Policy.Name}
	gauge := func(name, help string, value float64) {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "privsync_" + name, Help: help, ConstLabels: labels})
		g.Set(value)
		registry.MustRegister(g)
	}
	r := m.report
	gauge("last_run_timestamp_seconds", "When the last run ended.", unixSeconds(r.Run.FinishedAt))
	gauge("last_success_timestamp_seconds", "When the last run ended that did all its work.", m.lastSuccess)
	gauge("run_duration_seconds", "How long the last run took.", r.Run.FinishedAt.Sub(r.Run.StartedAt).Seconds())
	gauge("run_exit_code", "The exit code of the last run.", float64(m.exit))
	gauge("grants", "Privileges that the last run granted and verified.", float64(r.Summary.Grants))
	gauge("revokes", "Privileges that the last run revoked and verified.", float64(r.Summary.Revokes))
	gauge("requests", "Requests that the last run sent.", float64(r.Summary.Requests))
	gauge("retries", "Requests of the last run that were repetitions.", float64(r.Summary.Retries))
	principals := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "privsync_principals", Help: "Principals of the last run by outcome.", ConstLabels: labels,
	}, []string{"outcome"})
	s := r.Summary
	for outcome, n := range map[executor.Outcome]int{
		executor.InSync: s.InSync, executor.Drifted: s.Drifted, executor.Applied: s.Applied, executor.Failed: s.Failed,
		executor.Stale: s.Stale, executor.HeldBack: s.HeldBack, executor.Unverified: s.Unverified,
		executor.NotAttempted: s.NotAttempted, executor.UnknownState: s.Unknown,
	} {
		principals.WithLabelValues(string(outcome)).Set(float64(n))
	}
	findings := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "privsync_findings", Help: "Findings of the last run by severity.", ConstLabels: labels,
	}, []string{"severity"})
	for _, severity := range []string{"error", "warning", "info"} {
		findings.WithLabelValues(severity).Set(0)
	}
	for _, f := range r.Findings {
		findings.WithLabelValues(string(f.Severity)).Inc()
	}
	registry.MustRegister(principals, findings)
	families, err := registry.Gather()
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, family := range families {
		n, err := expfmt.MetricFamilyToText(w, family)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// failEarly is for a run that ends with err before there is a policy or a plan to
// report about: it has no report, but the metrics say that it was there and how it
// ended. They keep the label of the file that they replace, so that the alerts
// name the same policy as ever; without one it is empty.
func (r *reportFlags) failEarly(a *app, start time.Time, err error) error {
	if r.metrics == "" {
		return err
	}
	report := &executor.Report{
		Run:    executor.Run{StartedAt: start, FinishedAt: a.now()},
		Policy: planner.PolicyRef{Name: lastPolicy(r.metrics)},
	}
	return also(err, r.writeMetrics(report, err))
}

// writeMetrics writes the metrics of a run that ends with err.
func (r *reportFlags) writeMetrics(report *executor.Report, err error) error {
	// The node exporter that reads it is another user, and it holds nothing but counts.
	if e := executor.WriteFileMode(r.metrics, newMetrics(report, exitCode(err), r.metrics), 0o644); e != nil {
		return fmt.Errorf("write the metrics: %w", e)
	}
	return nil
}

// lastSuccess reads the time of the last success of the policy from the metrics file
// at path; 0 where there is none.
func lastSuccess(path, policyName string) float64 { return lastSuccesses(path)[policyName] }

// lastPolicy reads the policy that the metrics file at path is about; "" where
// there is none, or more than one.
func lastPolicy(path string) string {
	known := lastSuccesses(path)
	if len(known) != 1 {
		return ""
	}
	for name := range known {
		return name
	}
	return ""
}

// lastSuccesses reads the times of the last success by policy from the metrics
// file at path. A file that is none counts as empty.
func lastSuccesses(path string) map[string]float64 {
	f, err := executor.OpenPlain(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil
	}
	known := make(map[string]float64)
	for _, metric := range families["privsync_last_success_timestamp_seconds"].GetMetric() {
		for _, label := range metric.GetLabel() {
			if label.GetName() == "policy" {
				known[label.GetValue()] = metric.GetGauge().GetValue() + metric.GetUntyped().GetValue()
			}
		}
	}
	return known
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/render"
	"privsync/document"
	"privsync/executor"
	"privsync/planner"
)

// defaultFleetAge is how old the last success of a nightly job may be.
const defaultFleetAge = 26 * time.Hour

func newFleet(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Look at many environments at once",
		Long: `Look at many environments at once: privsync has no scheduler of its own, each
environment is one job of an engine that exists (see examples/fleet).`,
		Example: "  privsync fleet status --report-dir reports",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFleetStatus(a))
	return cmd
}

// fleetFlags are the flags of fleet status.
type fleetFlags struct {
	state   stateFlags
	dirs    []string
	plans   []string
	expect  []string
	maxAge  span
	metrics string
	exit    bool
	format  choice
}

func newFleetStatus(a *app) *cobra.Command {
	f := fleetFlags{maxAge: span{value: defaultFleetAge, zeroOK: true}, format: newChoice("text", "json", "html")}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how each environment is: last success, drift, plans that wait, open findings",
		Long: `Read the reports that the jobs of many environments left, and say of each environment
(policy, server and the name that --env or metadata.environment gives it) when everything
was last as the policy wants it, how many principals were not when a run last looked,
which saved plans wait to be applied, and which findings are open. No server is asked.

The reports come from the folders that --report-dir names, or else from the state: the
store that --state names (PRIVSYNC_STATE), or the state folder. Their
chains are verified; with a broken one only what is sound in it counts, and it says so.
Saved plans come from the files and folders that --plans names; one that a report shows
as applied does not wait any more.

  ok       the last run did its work and left nothing apart, not too long ago
  late     the last success is older than --max-age
  drift    something is not as the policy wants it
  failing  the last run did not do its work
  never    --expect names the environment, and there is no report of it

Exit codes: 0; 1 error, or a chain of reports is broken; with --detailed-exitcode 2 if an
environment is not ok.`,
		Example: `  privsync fleet status --report-dir /srv/reports/test --report-dir /srv/reports/prod
  privsync fleet status --report-dir reports --expect prod --format html > fleet.html
  PRIVSYNC_STATE=postgres://privsync@db/privsync privsync fleet status --expect prod
  privsync fleet status --report-dir reports --metrics-file fleet.prom --detailed-exitcode`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.fleetStatus(cmd.Context(), &f) },
	}
	f.state.dirBeats = true
	f.state.register(cmd)
	addFormat(cmd, &f.format)
	fs := cmd.Flags()
	fs.StringArrayVar(&f.dirs, "report-dir", nil, "read the chain of reports in `DIR`; may be repeated (default: the reports of the state)")
	fs.StringArrayVar(&f.plans, "plans", nil, "look for saved plans that wait in `FILE` or folder; may be repeated")
	fs.StringArrayVar(&f.expect, "expect", nil, "environment `NAME` that must have a report; may be repeated")
	fs.Var(&f.maxAge, "max-age", "a last success that is older is late; 0 means that none is")
	fs.StringVar(&f.metrics, "metrics-file", "", "write the overview in Prometheus' text format to `FILE`")
	fs.BoolVar(&f.exit, "detailed-exitcode", false, "exit with 2 if an environment is not ok")
	return cmd
}

// reportSources returns where reports are read: in the folders, which must be there, or
// if there are none in the store.
func (a *app) reportSources(dirs []string, state *stateFlags) ([]executor.ReportSource, error) {
	var sources []executor.ReportSource
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			err = fmt.Errorf("%s is not a folder", dir)
		}
		if err != nil {
			return nil, hinted(fmt.Errorf("reports: %w", err), "name the folder that --report-dir of the jobs names")
		}
		sources = append(sources, executor.NewReportFolder(dir))
	}
	if len(sources) > 0 {
		return sources, nil
	}
	store, err := state.look(a)
	if err != nil {
		return nil, err
	}
	return []executor.ReportSource{storeReports(store)}, nil
}

// storeReports is the source of the reports that the store keeps.
func storeReports(store executor.Store) executor.ReportSource {
	if source, ok := store.(executor.ReportSource); ok {
		return source
	}
	return executor.NewReportFolder(store.Fallback().Dir)
}

func (a *app) fleetStatus(ctx context.Context, f *fleetFlags) error {
	if f.metrics != "" {
		if err := document.CheckFile(f.metrics); err != nil {
			return err
		}
	}
	sources, err := a.reportSources(f.dirs, &f.state)
	if err != nil {
		return err
	}
	plans, err := a.savedPlans(f.plans)
	if err != nil {
		return err
	}
	fleet, err := await(a, func() (*executor.Fleet, error) {
		return executor.MakeFleet(ctx, sources, executor.FleetOptions{Tool: toolRef(), Now: a.now(), MaxAge: f.maxAge.value, Plans: plans, Expect: f.expect})
	})
	if err != nil {
		return err
	}
	var ending error
	if f.metrics != "" {
		ending = also(ending, document.WriteFileMode(f.metrics, fleetMetrics{fleet}, 0o644))
	}
	ending = also(ending, a.awaitDone(func() error {
		switch f.format.value {
		case "json":
			return writeJSON(a.stdout, fleet)
		case "html":
			return render.FleetHTML(a.stdout, fleet)
		}
		return render.Text(a.stdout, fleet, a.textOptions(a.stdout))
	}))
	if ending != nil {
		return ending
	}
	if slices.ContainsFunc(fleet.Sources, func(s executor.FleetSource) bool { return len(s.Problems) > 0 }) {
		return hinted(errors.New("a chain of reports is broken: what is missing in it is not known"), `"privsync verify-reports DIR" says what is wrong with it`)
	}
	if f.exit && fleet.Summary.OK < fleet.Summary.Environments {
		return exits(executor.ExitDrift)
	}
	return nil
}

// savedPlans reads the plans in the files and folders; of a folder whatever is no plan
// is passed over.
func (a *app) savedPlans(paths []string) ([]executor.SavedPlan, error) {
	var plans []executor.SavedPlan
	for _, path := range paths {
		files, folder := []string{path}, false
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			folder = true
			entries, err := os.ReadDir(path)
			if err != nil {
				return nil, fmt.Errorf("plans: %w", err)
			}
			files = nil
			for _, e := range entries {
				if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".json") {
					files = append(files, filepath.Join(path, e.Name()))
				}
			}
		}
		for _, file := range files {
			doc, err := a.readDocument(file)
			plan, ok := doc.(*planner.Plan)
			switch {
			case err == nil && ok:
				plans = append(plans, executor.SavedPlan{File: file, Plan: plan})
			case folder && (err == nil || errors.Is(err, errNotADocument)):
			case folder && !errors.Is(err, errInterrupted):
				a.log.Warn("a file among the plans cannot be read as one", "file", file, "error", err)
			case err != nil:
				return nil, fmt.Errorf("plan %s: %w", file, err)
			default:
				return nil, hinted(fmt.Errorf("plan %s: it is a report, not a plan", file), `name a file written by "privsync plan --out"`)
			}
		}
	}
	return plans, nil
}

// fleetMetrics writes an overview in Prometheus' text format.
type fleetMetrics struct{ fleet *executor.Fleet }

// WriteTo writes the metrics by name, and then in the order of the environments.
func (m fleetMetrics) WriteTo(w io.Writer) (int64, error) {
	var g gauges
	gauge := func(name, help string, each func(e *executor.FleetEnvironment, put func(value float64, more ...string))) {
		g.begin("fleet_"+name, help)
		for i := range m.fleet.Environments {
			e := &m.fleet.Environments[i]
			each(e, func(value float64, more ...string) {
				g.put("fleet_"+name, value, append(more, label("environment", e.Environment), label("policy", e.Policy), label("server", e.Server))...)
			})
		}
	}
	type put = func(value float64, more ...string)
	gauge("drifted_principals", "Principals that are not as the policy wants them, as the run saw that looked last.", func(e *executor.FleetEnvironment, put put) {
		if e.Drift != nil {
			put(float64(e.Drift.Principals))
		}
	})
	gauge("findings", "Open findings by severity.", func(e *executor.FleetEnvironment, put put) {
		put(float64(e.Findings.Error), label("severity", string(planner.SeverityError)))
		put(float64(e.Findings.Info), label("severity", string(planner.SeverityInfo)))
		put(float64(e.Findings.Warning), label("severity", string(planner.SeverityWarning)))
	})
	gauge("last_run_timestamp_seconds", "When the last run ended.", func(e *executor.FleetEnvironment, put put) {
		if e.LastRun != nil {
			put(unixSeconds(e.LastRun.FinishedAt))
		}
	})
	gauge(lastSuccessMetric, "When everything was last as the policy wants it; 0: never.", func(e *executor.FleetEnvironment, put put) {
		if e.LastSuccess == nil {
			put(0)
			return
		}
		put(unixSeconds(e.LastSuccess.FinishedAt))
	})
	gauge("ok", "1 if the environment is ok, otherwise 0.", func(e *executor.FleetEnvironment, put put) {
		if e.State == executor.StateOK {
			put(1)
			return
		}
		put(0)
	})
	gauge("pending_plans", "Saved plans that wait to be applied.", func(e *executor.FleetEnvironment, put put) { put(float64(len(e.Pending))) })
	return g.WriteTo(w)
}

package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/panics"
	"privsync/planner"
	"privsync/policy"
)

func newAudit(a *app) *cobra.Command {
	var (
		covered  bool
		verbose  bool
		all      bool
		scope    = newChoice("server", "project", "all")
		pol      policyFlags
		conn     connectionFlags
		state    stateFlags
		reports  reportFlags
		licences licenceFlags
		source   sourceFlag
		deadline = span{value: defaultDeadline, zeroOK: true}
		format   = newChoice("text", "json", "csv", "markdown", "html")
	)
	cmd := &cobra.Command{
		Use:   "audit {-f FILE… | --all}",
		Short: "Report what every covered principal holds, and why; changes nothing",
		Long: `Read every principal that the policy covers, and report what it effectively
holds with every source, what differs from the policy, and a verdict for each
and for all. Nothing is changed on the server.

--all reads and lists every user and group of the server. It needs no policy: then
the report says who holds what of the server-level privileges, or of those that
--scope names, and nothing is wanted of anybody. With a policy whoever no entry covers
is in sync unless a rule of severity error is broken.

Rules judge what is there now. They say "nobody", so everybody is judged: if a
rule denies something, all users and groups of the server are read, one request
each, also those that no entry covers. --covered-only judges only those whom an
entry covers, and the report says so (coverage, rules).

The report is JSON, like that of apply: on stdout with --format json, in a file
with --report, and with --report-dir as the next link of a chain in which a later
change to a report shows ("privsync verify-reports DIR"). Without either it goes
into the state folder; the last line on stderr names it.

Exit codes: 0 everything is as the policy says, or no policy was given; 2 drift;
1 something could not be read or found. With --all a server that gives no list of
its users, but only the members of the group Everyone, was not read completely.`,
		Example: `  privsync audit -f policy.yaml
  privsync audit --all --scope all --format csv > everybody.csv
  privsync audit -f policies/ --report-dir audits/ --html audit.html
  privsync audit -f policy.yaml --format json | jq '.principals[] | select(.outcome == "drifted")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, done := a.within(cmd.Context(), deadline)
			defer done()
			start := a.now()
			var p *policy.Policy
			err := panics.Catch(func() (err error) {
				p, err = auditPolicy(a, &pol, all, scope.value, cmd.Flags().Changed)
				return err
			})
			if err != nil {
				return reports.failEarly(a, "audit", start, "", err)
			}
			dest, err := reports.destination(a, &state)
			var report *executor.Report
			if err == nil {
				err = panics.Catch(func() (err error) {
					report, err = a.audit(ctx, p, &conn, &licences, auditOptions(a, ctx, start, &source), pol.at(a), whom(covered, all))
					return err
				})
				if report == nil {
					report, err = a.failedReport(ctx, plainPlan(p, conn.url, pol.at(a)), auditOptions(a, ctx, start, &source), err)
				}
			} else {
				report, err = a.failedReport(ctx, plainPlan(p, conn.url, pol.at(a)), auditOptions(a, ctx, start, &source), err)
			}
			failed := err != nil
			if !failed {
				err = reportEnding(report)
			}
			show := func() error {
				if failed && format.value != "json" {
					return nil // the error says it all
				}
				return a.render(a.stdout, report, view{format: format.value, verbose: verbose})
			}
			_, err = a.deliver(ctx, report, dest, &state, &reports, show, err)
			return err
		},
	}
	pol.register(cmd)
	conn.register(cmd)
	state.register(cmd)
	reports.register(cmd)
	licences.register(cmd)
	source.register(cmd)
	addFormat(cmd, &format)
	cmd.Flags().BoolVar(&covered, "covered-only", false, "let rules judge only the principals that an entry covers: fewer requests")
	cmd.Flags().BoolVar(&all, "all", false, "read and list every user and group of the server; needs no policy")
	cmd.Flags().Var(&scope, "scope", "with --all and without a policy: the `LEVEL` of the privileges, server, project or all")
	_ = cmd.RegisterFlagCompletionFunc("scope", scope.complete)
	addDeadline(cmd, &deadline)
	addVerbose(cmd, &verbose)
	return cmd
}

// auditPolicy returns the policy that an audit judges by: without one, and with all,
// an empty one of that scope, which wants nothing of anybody.
func auditPolicy(a *app, pol *policyFlags, all bool, scope string, changed func(flag string) bool) (*policy.Policy, error) {
	given := len(pol.files) > 0
	switch {
	case all && changed("covered-only"):
		return nil, hinted(errors.New("--all and --covered-only contradict each other"), "choose one of them")
	case changed("scope") && (given || !all):
		return nil, hinted(errors.New("--scope is for --all without a policy"), "a policy states its own scope")
	case !given && !all:
		_, err := pol.load(a)
		return nil, hinted(err, hintOf(err)+"; without one, --all lists what everybody holds")
	case given:
		return pol.load(a)
	case changed("env"):
		return nil, hinted(errors.New("--env chooses an overlay, and no policy is given"), "name the policy's file or folder with -f")
	}
	return policy.Nothing(policy.Level(scope)), nil
}

// audience is whom an audit reads besides those whom the policy covers.
type audience int

const (
	readJudged    audience = iota // whom its rules judge
	readCovered                   // --covered-only
	readEverybody                 // --all
)

func whom(covered, all bool) audience {
	switch {
	case covered:
		return readCovered
	case all:
		return readEverybody
	}
	return readJudged
}

func auditOptions(a *app, ctx context.Context, start time.Time, source *sourceFlag) executor.Options {
	return executor.Options{Command: "audit", RunID: a.runID, StartedAt: start, Tool: toolRef(), Stop: ctx, Logger: a.log, Source: source.of(a)}
}

// audit observes and judges. It returns a report however it ends.
func (a *app) audit(ctx context.Context, p *policy.Policy, conn *connectionFlags, licences *licenceFlags, o executor.Options, at time.Time, whom audience) (*executor.Report, error) {
	plan := plainPlan(p, conn.url, at)
	in, err := licences.readMap(a, p)
	if err != nil {
		return a.failedReport(ctx, plan, o, err)
	}
	cfg, err := conn.config(a, p.Environment)
	if err != nil {
		return a.failedReport(ctx, plan, o, err)
	}
	r, err := a.openReader(ctx, cfg)
	if err != nil {
		return a.failedReport(ctx, plan, o, err)
	}
	defer a.logout(ctx, r)
	o.Stats = r.Stats
	plan.Environment.URL = r.URL()
	judging := planner.JudgeEverybody
	if whom == readCovered {
		judging = planner.JudgeCovered
	}
	if in, err = licences.count(ctx, a, r, in); err != nil {
		return a.failedReport(ctx, plan, o, err)
	}
	state, err := a.observe(ctx, r, p, planner.ObserveOptions{Concurrency: cfg.Concurrency, Now: at, Judging: judging, Everybody: whom == readEverybody, Licences: in})
	if err != nil {
		return a.failedReport(ctx, plan, o, err)
	}
	plan, guards, err := a.decide(p, state, planner.MakeOptions{}, planner.Overrides{})
	if err != nil {
		return a.failedReport(ctx, plainPlan(p, r.URL(), at), o, err)
	}
	o.Guards = guards
	return executor.Audit(state, plan, o), nil
}

// plainPlan is what a report can say of a run that has no plan yet.
// Dates in the policy would have been compared with at.
func plainPlan(p *policy.Policy, url string, at time.Time) *planner.Plan {
	return &planner.Plan{
		Tool:        toolRef(),
		Environment: planner.Environment{URL: withoutUserInfo(cmp.Or(url, p.Environment.URL))},
		Policy:      planner.RefOf(p, at),
		Scope:       planner.Scope{Level: mstrapi.Level(p.Scope)},
	}
}

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
			o := executor.Options{Command: "audit", RunID: a.runID, StartedAt: start, Tool: toolRef(), Stop: ctx, Logger: a.log, Source: source.of(a)}
			plan := plainPlan(p, conn.url, pol.at(a))
			dest, err := reports.destination(a, &state)
			var report *executor.Report
			if err == nil {
				err = panics.Catch(func() (err error) {
					report, err = a.audit(ctx, p, plan, &conn, &licences, &o, planner.ObserveOptions{Now: pol.at(a), Judging: judging(covered), Everybody: all})
					return err
				})
			}
			if report == nil {
				report, err = a.failedReport(ctx, plan, o, err)
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

// judging says whom the rules judge.
func judging(covered bool) planner.Judging {
	if covered {
		return planner.JudgeCovered
	}
	return planner.JudgeEverybody
}

// audit observes and judges. What a report can say if it does not succeed stands in plan
// and o then.
func (a *app) audit(ctx context.Context, p *policy.Policy, plan *planner.Plan, conn *connectionFlags, licences *licenceFlags, o *executor.Options, look planner.ObserveOptions) (*executor.Report, error) {
	in, err := licences.readMap(a, p)
	if err != nil {
		return nil, err
	}
	r, cfg, err := conn.reader(ctx, a, p.Environment)
	if err != nil {
		return nil, err
	}
	o.Stats, plan.Environment.URL = r.Stats, r.URL()
	if look.Licences, err = licences.count(ctx, a, r, in); err != nil {
		return nil, err
	}
	look.Concurrency = cfg.Concurrency
	state, made, guards, err := a.planOf(ctx, r, p, look, planner.MakeOptions{}, planner.Overrides{})
	if err != nil {
		return nil, err
	}
	o.Guards = guards
	return executor.Audit(state, made, *o), nil
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

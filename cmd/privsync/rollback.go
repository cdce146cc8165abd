package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

func newRollback(a *app) *cobra.Command {
	var (
		state  stateFlags
		maker  makerFlag
		source sourceFlag
		pol    policyFlags
		conn   connectionFlags
		out    string
		ttl    = span{value: planner.DefaultTTL, most: planner.MaxPlanTTL}
		format = newChoice("text", "json", "markdown")
	)
	cmd := &cobra.Command{
		Use:   "rollback REPORT.json --out PLAN.json",
		Short: "Make the plan that undoes what a report says was done",
		Long: `Make a plan that undoes a run: what it granted is revoked, what it revoked is
granted. Only what the report says was done by that run counts, and what others
have changed since is passed over with a finding each. Nothing is changed on the
server: review the plan, then apply it.

With -f the policy's guards and protected principals judge the plan and go into it;
without, only the guard of the session's own privileges holds. Names in the report are
compared with the server, and it is said whether the report belongs to a whole chain.

With --state or PRIVSYNC_STATE the report may be one of the store, named as stderr named
it, by its digest or by the id of its run; a file of that name comes first.`,
		Example: `  privsync rollback report.json --out undo.json
  privsync rollback report.json -f policy.yaml --out undo.json
  privsync apply undo.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			report, err := a.reportToUndo(ctx, &state, args[0])
			if err != nil {
				return err
			}
			var judging *policy.Policy
			if len(pol.files) > 0 {
				if judging, err = pol.load(a); err != nil {
					return err
				}
			}
			r, cfg, err := conn.reader(ctx, a, policy.Environment{URL: report.Environment.URL, URLPos: policy.Position{File: args[0]}})
			if err != nil {
				return err
			}
			if r.URL() != report.Environment.URL {
				return refused(fmt.Errorf("the report is of %s, not of %s", report.Environment.URL, r.URL()), "roll back on the server that the run changed")
			}
			actor, err := sessionUser(ctx, r)
			if err != nil {
				return err
			}
			ids, findings, err := checkReportNames(ctx, r, actor.ID, report, cfg.Concurrency)
			if err != nil {
				return err
			}
			p := a.startProgress(r.Pace)
			defer p.end()
			plan, err := executor.Rollback(ctx, r, report, executor.RollbackOptions{
				Tool: toolRef(), Actor: actor, Now: a.now, TTL: ttl.value,
				Concurrency: cfg.Concurrency, Progress: p.report, Logger: a.log,
				Impact: func(ctx context.Context, group mstrapi.ObjectID) (int, error) { return countMembers(ctx, r, group) },
			})
			p.end()
			if err != nil {
				return err
			}
			leaveMisnamed(plan, ids, findings)
			if judging == nil {
				a.say("judged by the defaults: no limits, nothing protected; give the policy with -f to judge it by that")
			} else if err := a.judgeRollback(ctx, r, cfg.Concurrency, judging, pol.at(a), plan); err != nil {
				return err
			}
			plan.MarkAdministrative(judging)
			plan.Maker, plan.Source = maker.of(a), source.of(a)
			if err := plan.Seal(); err != nil {
				return fmt.Errorf("plan: %w", err)
			}
			guards, err := judge(ctx, r, plan, judging, actor, planner.Overrides{})
			if err != nil {
				return err
			}
			if err := a.presentPlan(plan, view{format: format.value, guards: guards, file: out}); err != nil {
				return err
			}
			if out == "" && len(plan.Changes) > 0 {
				a.say("not saved: run it again with --out FILE, then apply FILE")
			}
			if err := planEnding(plan, guards, false, false); err != nil || len(findings) == 0 {
				return err
			}
			return &ending{code: executor.ExitIncomplete, err: fmt.Errorf("%s left alone: the server names them otherwise than the report", clean.Count(len(findings), "principal was", "principals were")),
				hint: "the findings name-mismatch say which names; the plan undoes the rest"}
		},
		ValidArgsFunction: completeJSONFile,
	}
	pol.register(cmd)
	conn.register(cmd)
	state.registerStore(cmd)
	addFormat(cmd, &format)
	fs := cmd.Flags()
	maker.register(cmd, makerUsage)
	source.register(cmd)
	fs.StringVarP(&out, "out", "o", "", "save the plan as JSON in `FILE`")
	fs.Var(&ttl, "plan-ttl", "how long the saved plan may be applied; at most 720h, which is 30 days")
	return cmd
}

// reportToUndo reads the report that name names: a file, or else one of the store.
func (a *app) reportToUndo(ctx context.Context, state *stateFlags, name string) (*executor.Report, error) {
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) && state.shared() && name != "-" {
		return a.storedReport(ctx, state, name)
	}
	doc, err := a.readDocument(name)
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", name, err)
	}
	report, ok := doc.(*executor.Report)
	if !ok {
		return nil, hinted(fmt.Errorf("%s is a plan, not a report", name), "name the report of the apply that is to be undone")
	}
	a.sayChain(name, report)
	return report, nil
}

// countMembers returns how many users belong to the group at any depth. The
// count header of one small page tells it; where it is missing the members are
// read.
func countMembers(ctx context.Context, r *mstrapi.Reader, group mstrapi.ObjectID) (int, error) {
	members := r.Members(group, true)
	page, err := members.Page(ctx, 0, 1)
	if err != nil {
		return 0, err
	}
	users := 0
	for _, row := range page.Rows {
		if row.Kind == mstrapi.User {
			users++
		}
	}
	// Groups in the answer mean that the count is not one of users.
	if page.Total >= 0 && users == len(page.Rows) {
		return page.Total, nil
	}
	rows, err := members.All(ctx)
	count := 0
	for _, row := range rows {
		if row.Kind == mstrapi.User {
			count++
		}
	}
	if errors.Is(err, mstrapi.ErrIncomplete) {
		return 0, fmt.Errorf("members of %s: %w", group, err)
	}
	return count, err
}

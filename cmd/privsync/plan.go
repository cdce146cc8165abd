package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"privsync/document"
	"privsync/executor"
	"privsync/planner"
)

func newPlan(a *app) *cobra.Command {
	var (
		pol      policyFlags
		conn     connectionFlags
		guards   guardFlags
		maker    makerFlag
		source   sourceFlag
		licences licenceFlags
		out      string
		ttl      = span{value: planner.DefaultTTL, most: planner.MaxPlanTTL}
		detailed bool
		verbose  bool
		deadline = span{value: defaultDeadline, zeroOK: true}
		format   = newChoice("text", "json", "markdown", "github")
		state    stateFlags
		reports  string
	)
	cmd := &cobra.Command{
		Use:   "plan -f FILE…",
		Short: "Show what apply would change; writes nothing to the server",
		Long: `Read from the server what the policy's principals effectively have, and show
the grants and revokes that would close the difference. A plan has nothing to
write with: it sends GET requests, one login and one logout.

With --out the plan is saved, and "privsync apply PLAN.json" applies exactly
that, after a review: what changed in between is left alone and reported. A plan
that exceeds a guard is shown and saved too.

What the report of the policy's last run shows as done, and this plan would undo, is
told (oscillation), and so is what that granted and no entry lists any more
(no-longer-listed). The reports are looked for in the state folder and in --report-dir.

--format markdown is for the comment of a pull request: what matters first, with links
to the run and its artifacts where the CI system names them. --format github annotates
the policy's lines in a workflow of GitHub, and appends the Markdown to the file that
GITHUB_STEP_SUMMARY names.

Exit codes: 0; with --detailed-exitcode 2 if there is drift; 1 if a name of the
policy cannot be resolved or something could not be read; 3 if a guard is
exceeded or a rule broken.`,
		Example: `  privsync plan -f policy.yaml
  privsync plan -f policies/ --env prod --out plan.json --detailed-exitcode
  privsync plan -f policy.yaml --format markdown > comment.md
  privsync plan -f policy.yaml --now 2026-12-31   # what will have expired by then?`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, done := a.within(cmd.Context(), deadline)
			defer done()
			p, err := pol.load(a)
			if err != nil && format.value == "github" {
				return a.noPolicy(err)
			}
			if err != nil {
				return err
			}
			in, err := licences.readMap(a, p)
			if err != nil {
				return err
			}
			if err := state.checkURL(); err != nil {
				return err
			}
			r, cfg, err := conn.reader(ctx, a, p.Environment)
			if err != nil {
				return overdue(ctx, err)
			}
			if in, err = licences.count(ctx, a, r, in); err != nil {
				return overdue(ctx, err)
			}
			now := pol.at(a)
			_, plan, over, err := a.planOf(ctx, r, p, planner.ObserveOptions{
				Concurrency: cfg.Concurrency, Now: now,
				Past: a.past(ctx, serverOf(ctx, cfg, r), p, executor.Destination{Dir: reports}, &state, now), Licences: in,
			}, planner.MakeOptions{TTL: ttl.value, Maker: maker.of(a), Source: source.of(a)}, guards.overrides())
			if err != nil {
				return overdue(ctx, err)
			}
			if err := a.presentPlan(plan, view{format: format.value, guards: over, file: out, verbose: verbose, links: a.ciLinks()}); err != nil {
				return err
			}
			return planEnding(plan, over, false, detailed)
		},
	}
	pol.register(cmd)
	conn.register(cmd)
	guards.register(cmd)
	maker.register(cmd, makerUsage)
	source.register(cmd)
	licences.register(cmd)
	addFormat(cmd, &format)
	addVerbose(cmd, &verbose)
	fs := cmd.Flags()
	fs.StringVarP(&out, "out", "o", "", "save the plan as JSON in `FILE`, readable by its owner only")
	addDeadline(cmd, &deadline)
	fs.Var(&ttl, "plan-ttl", "how long the saved plan may be applied; at most 720h, which is 30 days")
	fs.BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 if the server differs from the policy")
	fs.StringVar(&reports, "report-dir", "", "look in `DIR`, too, for the report of the policy's last run, to tell what this plan would undo")
	fs.StringVar(&state.dir, "state-dir", "", "look in `DIR` for reports of earlier runs (default: privsync in the XDG state folder)")
	state.registerStore(cmd)
	return cmd
}

// defaultDeadline is how long a command that only reads may take: far longer than
// any server takes that works.
const defaultDeadline = time.Hour

// addDeadline registers --deadline for a command that only reads.
func addDeadline(cmd *cobra.Command, d *span) {
	cmd.Flags().Var(d, "deadline", "give up after this time; 0 means no limit")
}

// overdue says that it was the deadline that ended a command with err, if it was.
func overdue(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, errOverdue) {
		return err
	}
	return hinted(fmt.Errorf("the deadline was over: %w", err), "raise --deadline")
}

// presentPlan saves plan in the file that v names, if it names one, and shows it.
func (a *app) presentPlan(plan *planner.Plan, v view) error {
	if v.file != "" {
		if err := document.WriteFile(v.file, plan); err != nil {
			return hinted(fmt.Errorf("save the plan: %w", err), "name a file that can be written with --out")
		}
	}
	if err := a.awaitDone(func() error { return a.render(a.stdout, plan, v) }); err != nil {
		return err
	}
	if v.file != "" {
		a.say("plan: %s", v.file)
	}
	return nil
}

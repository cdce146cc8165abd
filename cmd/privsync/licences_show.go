package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"privsync/executor"
	"privsync/planner"
	"privsync/policy"
)

func newLicencesShow(a *app) *cobra.Command {
	var (
		pol      policyFlags
		conn     connectionFlags
		licences licenceFlags
		deadline = span{value: defaultDeadline, zeroOK: true}
		format   = newChoice("text", "json", "csv")
	)
	cmd := &cobra.Command{
		Use:   "show -f FILE…",
		Short: "Show who consumes which product, and by which privileges",
		Long: `Read what the users hold whom the policy covers, and show who consumes a licence of
which product: by which privileges, and from where these come. Users that are disabled
consume nothing. Nothing is changed, and the server is not asked to count.

The licence map is that of the policy (licences: {map: FILE}), or --licences FILE; make
one with "privsync licences learn". CSV has a row for each user and product. JSON is
described by "privsync schema licence-use".

Exit codes: 0; 1 if somebody could not be found or read, or there is no map.`,
		Example: `  privsync licences show -f policy.yaml
  privsync licences show -f policy.yaml --format csv > seats.csv
  privsync licences show -f policy.yaml --format json | jq '.products[] | {name, users, entitled}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, done := a.within(cmd.Context(), deadline)
			defer done()
			p, err := pol.load(a)
			if err != nil {
				return err
			}
			use, err := a.licenceUse(ctx, p, &conn, &licences, pol.at(a))
			if err != nil {
				return overdue(ctx, err)
			}
			if err := a.writeAnswer(use, format.value); err != nil {
				return err
			}
			if !use.Complete {
				return &ending{code: executor.ExitError, err: errors.New("not everybody could be found or read: somebody may be missing"),
					hint: "the findings marked error say what and why"}
			}
			return nil
		},
	}
	pol.register(cmd)
	conn.register(cmd)
	licences.registerFile(cmd)
	addFormat(cmd, &format)
	addDeadline(cmd, &deadline)
	return cmd
}

// licenceUse reads who consumes which product of those whom the policy covers.
func (a *app) licenceUse(ctx context.Context, p *policy.Policy, conn *connectionFlags, licences *licenceFlags, at time.Time) (*planner.LicenceUse, error) {
	const learn = "learn a map with privsync licences learn, and name it with --licences FILE or licences: {map: FILE} in the policy"
	start := a.now()
	in, err := licences.readMap(a, p)
	switch {
	case err != nil:
		return nil, err
	case in == nil:
		return nil, hinted(errors.New("no licence map is named: it tells which privileges consume which product"), learn)
	case in.Map == nil:
		return nil, hinted(fmt.Errorf("licence map: %w", in.Err), learn)
	}
	cfg, err := conn.config(a, p.Environment)
	if err != nil {
		return nil, err
	}
	r, err := a.openReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer a.logout(ctx, r)
	if in, err = licences.count(ctx, a, r, in); err != nil {
		return nil, err
	}
	state, err := a.observe(ctx, r, p, planner.ObserveOptions{Concurrency: cfg.Concurrency, Now: at, Judging: planner.JudgeCovered, Licences: in})
	if err != nil {
		return nil, err
	}
	plan, _, err := a.decide(p, state, planner.MakeOptions{}, planner.Overrides{})
	if err != nil {
		return nil, err
	}
	return plan.LicenceUse(start), nil
}

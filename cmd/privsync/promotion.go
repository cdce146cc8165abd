package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"privsync/executor"
)

// promotionFlags say where a policy must have been applied before.
type promotionFlags struct {
	environments []string
	dirs         []string
}

func (f *promotionFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVar(&f.environments, "require-applied", nil, "apply only what a report shows as applied and verified in the environment `NAME`: the same policy but for its overlays; may be repeated")
	fs.StringArrayVar(&f.dirs, "applied-in", nil, "look for that report in the chain in `DIR` as well as in the state and --report-dir; may be repeated")
}

// check refuses a policy, told by its base digest, that was not applied and
// verified where the flags say that it has to be.
func (f *promotionFlags) check(ctx context.Context, a *app, store executor.Store, to executor.Destination, baseDigest string) error {
	if len(f.environments) == 0 {
		if len(f.dirs) > 0 {
			return hinted(errors.New("--applied-in without --require-applied"), "name the environment with --require-applied")
		}
		return nil
	}
	var sources []executor.ReportSource
	if len(f.dirs) > 0 {
		var err error
		if sources, err = a.reportSources(f.dirs, nil); err != nil {
			return err
		}
	}
	own := storeReports(store)
	sources = append(sources, own)
	if to.Dir != "" && to.Dir != own.String() {
		sources = append(sources, executor.NewReportFolder(to.Dir))
	}
	for _, name := range f.environments {
		found, err := await(a, func() (*executor.ReportHead, error) {
			return executor.CheckApplied(ctx, sources, name, baseDigest)
		})
		if errors.Is(err, executor.ErrNotApplied) {
			return refused(fmt.Errorf("the policy is %w", err), "apply it there first; --applied-in names the folder of its reports. The policies count as the same if they differ in overlays, environment and metadata.environment only")
		}
		if err != nil {
			return err
		}
		a.say("applied and verified in %s before: run %s, %s", name, found.Run.ID, found.Report)
	}
	return nil
}

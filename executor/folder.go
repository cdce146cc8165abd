package executor

import (
	"context"
	"errors"
	"fmt"

	"privsync/planner"
)

// Folder is the [Store] in a folder of this machine, the state folder: locks, journals,
// and reports that have no other place. Make one with [NewFolder].
type Folder struct {
	dir string
}

// NewFolder returns the store in the state folder dir, which need not be there.
func NewFolder(dir string) *Folder { return &Folder{dir} }

// String returns the folder's path.
func (f *Folder) String() string { return f.dir }

// Fallback is the folder for reports in it.
func (f *Folder) Fallback() Destination { return Destination{Dir: ReportsDir(f.dir)} }

// OpenJournal makes the folder if it does not exist. The zero Destination means Fallback.
func (f *Folder) OpenJournal(_ context.Context, plan *planner.Plan, o Options, to Destination) (*Journal, error) {
	if to == (Destination{}) {
		to = f.Fallback()
	}
	return NewJournal(plan, o, to, func(run Run) (JournalWriter, error) { return newFileJournal(f.dir, run) })
}

// Finish writes the report where d.Destination lacks it, and puts the journal aside.
func (f *Folder) Finish(ctx context.Context, d *DeadRun, remake func() (*Report, error), s Signer) (*Report, []string, error) {
	if d.Destination == (Destination{}) {
		return nil, nil, errors.New("no destination for its report")
	}
	if err := d.mendChain(ctx, s); err != nil {
		return nil, nil, fmt.Errorf("report folder: %w", err)
	}
	report, missing, paths := d.delivered()
	if report == nil {
		var err error
		if report, err = remake(); err != nil {
			return nil, nil, err
		}
	}
	if missing != (Destination{}) {
		written, err := report.Deliver(ctx, missing, s)
		if err != nil {
			return nil, nil, err
		}
		paths = append(paths, written...)
	}
	if err := putAside(d.Path); err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	return report, paths, nil
}

// Ended reports whether a journal of the run was put aside.
func (f *Folder) Ended(_ context.Context, runID string) (bool, error) {
	if runID == "" || lockWord(runID, 80) != runID {
		return false, nil
	}
	found, err := journalFiles(f.dir, "-"+runID+journalSuffix+closedSuffix)
	return len(found) > 0, err
}

// Check checks the destination, and mends the chain in its folder where the journal of a
// run that died explains it.
func (f *Folder) Check(ctx context.Context, to Destination, s Signer) error {
	dead := map[string]bool{}
	if to.Dir != "" {
		var err error
		if dead, err = DeadRunIDs(f.dir, to.Dir); err != nil {
			return err
		}
	}
	return to.CheckChain(ctx, func(id string) bool { return dead[id] }, s)
}

// Deliver is [Report.Deliver].
func (f *Folder) Deliver(ctx context.Context, report *Report, to Destination, s Signer) ([]string, error) {
	return report.Deliver(ctx, to, s)
}

// Past is [FindPast], in the folder and at to.
func (f *Folder) Past(_ context.Context, to Destination, same func(url string) bool, ref planner.PolicyRef) (planner.Past, error) {
	return FindPast([]Destination{to, f.Fallback()}, same, ref)
}

// Close does nothing.
func (f *Folder) Close() error { return nil }

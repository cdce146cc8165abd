package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/document"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/panics"
	"privsync/planner"
)

// reportFlags say what a run leaves behind besides its output.
type reportFlags struct {
	file    string
	dir     string
	html    string
	metrics string
	key     signKeyFlag

	signer executor.Signer // set by destination; nil: nobody signs
}

func (r *reportFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&r.file, "report", "", "write the JSON report to `FILE`")
	fs.StringVar(&r.dir, "report-dir", "", "add the JSON report to the chain of reports in `DIR` (see verify-reports)")
	fs.StringVar(&r.html, "html", "", "write the report as one self-contained page to `FILE` as well")
	fs.StringVar(&r.metrics, "metrics-file", "", "write metrics of the run in Prometheus' text format to `FILE`")
	r.key.register(cmd, "sign the report, and the head of the chain that it goes into, with the SSH key in `FILE`")
}

// destination returns where the report goes: where the flags say, otherwise
// into the state folder. If something that the run is to write has no place where
// the flags want it, the error says so, and the destination is the state folder:
// better known before a server is changed than after.
func (r *reportFlags) destination(a *app, state *stateFlags) (executor.Destination, error) {
	store, stateErr := state.open(a)
	var fallback executor.Destination
	if stateErr == nil {
		fallback = store.Fallback()
	}
	to := executor.Destination{File: r.file, Dir: r.dir}
	lost := stateErr != nil && state.shared()
	if lost {
		var e error
		if fallback, e = fallbackDestination(a, state); e != nil && to == (executor.Destination{}) {
			return to, also(stateErr, e)
		}
	}
	if to == (executor.Destination{}) {
		if stateErr != nil && !lost {
			return to, stateErr
		}
		to = fallback
	}
	if to.Dir != "" {
		a.warnReportFolder(to.Dir)
	}
	var err error
	var e error
	if r.signer, e = r.key.signer(a); e == nil {
		e = checkPlace(to, store, r.signer)
	}
	if e != nil {
		err = hinted(e, cmp.Or(hintOf(e), "name another place with --report or --report-dir"))
		if stateErr == nil {
			to = fallback
		}
	}
	if lost {
		err = also(err, stateErr)
	}
	for _, file := range []*string{&r.html, &r.metrics} {
		if *file == "" {
			continue
		}
		if e := document.CheckFile(*file); e != nil {
			err = also(err, e)
			*file = "" // nothing can be written there
		}
	}
	return to, err
}

// checkPlace returns why the report cannot be delivered to to. A report in a chain
// there that its head does not know is explained by the journal of the run that died, if
// store is not nil.
func checkPlace(to executor.Destination, store executor.Store, s executor.Signer) error {
	var err error
	if store != nil {
		err = store.Check(context.Background(), to, s)
	} else {
		err = to.CheckChain(context.Background(), func(string) bool { return false }, s)
	}
	dir := to.Dir
	hint := "look at the report, and if it is what a run wrote that died take it in with \"privsync verify-reports --accept-newer\"; otherwise take it out of the folder and find out who wrote it"
	switch {
	case errors.Is(err, executor.ErrUnsigned):
		hint = unsignedHint
	case errors.Is(err, executor.ErrChainDamaged) && errors.Is(err, fs.ErrNotExist):
		hint = "put chain.json back from a copy; without one look at the reports that are there, and if all are what runs wrote begin chain.json anew with \"privsync verify-reports --accept-newer\", or begin another folder with --report-dir"
	case errors.Is(err, executor.ErrChainDamaged):
		hint = "compare the folder with a copy (privsync verify-reports) and put chain.json back from there, or begin another folder with --report-dir"
	case !errors.Is(err, executor.ErrBeyondHead):
		return err
	}
	return hinted(fmt.Errorf("nothing is added to the chain of reports in %s: %w", dir, err), hint)
}

// hintOf returns the hint that err carries, or "".
func hintOf(err error) string {
	var e *ending
	if errors.As(err, &e) {
		return e.hint
	}
	return ""
}

// fallbackDestination is the place for reports in the state folder.
func fallbackDestination(a *app, state *stateFlags) (executor.Destination, error) {
	dir, err := state.path(a)
	return reportsIn(dir), err
}

// reportsIn is the place for reports in the state folder dir.
func reportsIn(dir string) executor.Destination {
	return executor.Destination{Dir: executor.ReportsDir(dir)}
}

// deliver writes the report to its place, shows it, and writes what the flags
// ask for besides: all of it, also when a part does not succeed. The run ends
// with err so far; the error that comes back says in addition what could not be
// written. The last line on stderr will name the report.
//
// A report that cannot be written to its place goes into the state folder; if its place
// is a store in a database, delivered is false then: the journal there stays open.
func (a *app) deliver(ctx context.Context, report *executor.Report, to executor.Destination, state *stateFlags, flags *reportFlags, show func() error, err error) (delivered bool, end error) {
	ctx = context.WithoutCancel(ctx)
	paths, delivered, e := a.writeReport(ctx, report, to, state, flags.signer)
	err = also(err, e)
	if report.Digest == "" { // no place has taken it; it is shown all the same
		err = also(err, report.Seal())
	}
	if len(paths) > 0 {
		a.place = strings.Join(paths, ", ")
		a.finish = "report: " + a.place
	}
	err = also(err, panics.Catch(show))
	if flags.html != "" {
		page := writerTo(func(w *countingWriter) error { return render.HTML(w, report, render.HTMLOptions{}) })
		if e := document.WriteFile(flags.html, page); e != nil {
			err = also(err, fmt.Errorf("write the page: %w", e))
		}
	}
	if flags.metrics != "" {
		err = also(err, flags.writeMetrics(report, err))
	}
	err = afterWrites(report, err)
	a.logAttention(report, a.place)
	a.logCommands(report, a.place)
	a.logEnd(report.Run.Command, report.Run.Outcome, err)
	return delivered, err
}

// writeReport writes the report to its place, or else to another, and says where it is.
// Delivered says that it is where a recovery would put it.
func (a *app) writeReport(ctx context.Context, report *executor.Report, to executor.Destination, state *stateFlags, s executor.Signer) (paths []string, delivered bool, err error) {
	var e error
	database := state.shared() && state.store != nil
	if state.store != nil {
		paths, e = state.store.Deliver(ctx, report, to, s)
	} else {
		paths, e = report.Deliver(ctx, to, s)
	}
	switch {
	case e == nil:
		return paths, true, nil
	case errors.Is(e, executor.ErrUnsigned):
		return paths, true, hinted(fmt.Errorf("sign the report: %w", e), "the report is written; "+unsignedHint)
	}
	err = hinted(fmt.Errorf("write the report: %w", e), cmp.Or(hintOf(storeError(e)), "make room, or name another place with --report or --report-dir"))
	if database && len(paths) > 0 {
		return paths, true, err // the store has it
	}
	if database && to != (executor.Destination{}) {
		paths, e = report.Deliver(ctx, to, s)
		delivered = e == nil || errors.Is(e, executor.ErrUnsigned)
	}
	if other, e := fallbackDestination(a, state); e == nil && other != to && !delivered {
		more, e := report.Deliver(ctx, other, s)
		paths, delivered = append(paths, more...), e == nil || errors.Is(e, executor.ErrUnsigned)
	}
	// The chain there may be the one that takes no report: then beside it.
	if dir, e := state.path(a); e == nil && !delivered {
		more, e := report.Deliver(ctx, executor.Destination{File: filepath.Join(dir, "report-"+executor.ReportFileName(report.Run))}, s)
		paths, delivered = append(paths, more...), e == nil || errors.Is(e, executor.ErrUnsigned)
	}
	return paths, delivered && !database, err
}

// afterWrites keeps the promise that exit code 1 makes: a run that wrote and could
// not do the rest, its report included, ends with 4, and says how far it came.
func afterWrites(report *executor.Report, err error) error {
	if exitCode(err) != executor.ExitError || !report.Wrote() {
		return err
	}
	s := report.Summary
	undone := s.Principals - s.Applied - s.InSync
	hint := cmp.Or(hintOf(err), "mend the cause")
	if undone > 0 {
		hint += "; then apply again: it reads what is there and does the rest"
	}
	return &ending{
		code: executor.ExitIncomplete,
		err:  fmt.Errorf("%s written and verified, %d not as planned: %w", clean.Count(s.Applied, "principal was", "principals were"), undone, err),
		hint: hint,
	}
}

// failedReport returns the report of a run that ends with err before it wrote
// anything, and the error to print: whatever the interrupted step says, a run that
// a signal ended says that it was interrupted.
func (a *app) failedReport(ctx context.Context, plan *planner.Plan, o executor.Options, err error) (*executor.Report, error) {
	stopped := errors.Is(err, errInterrupted)
	switch {
	case stopped, ctx.Err() == nil:
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = hinted(fmt.Errorf("the deadline was over before anything was written: %w", err), "raise --deadline")
	default:
		stopped, err = true, errInterrupted
	}
	why := errorOf(err)
	if exitCode(err) == executor.ExitRefused {
		why.Code = executor.CodePlanRefused
	}
	report := executor.Refuse(plan, o, why)
	if stopped {
		report.Run.Outcome = executor.RunInterrupted
	}
	return report, err
}

// errorOf turns an error into what a report says of it.
func errorOf(err error) *executor.Error {
	e := &executor.Error{Message: err.Error()}
	var api *mstrapi.Error
	if errors.As(err, &api) {
		e.Status, e.Code, e.IServerCode, e.TicketID = api.Status, api.Code, api.IServerCode, api.TicketID
	}
	return e
}

package main

import (
	"cmp"
	"context"
	"crypto/sha512"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/panics"
	"privsync/planner"
	"privsync/policy"
)

// maxNowOffset is how far --now of an apply may be from the clock.
const maxNowOffset = 24 * time.Hour

// applyFlags are the flags of apply.
type applyFlags struct {
	policy   policyFlags
	conn     connectionFlags
	guards   guardFlags
	licences licenceFlags
	state    stateFlags
	reports  reportFlags
	signers  signerFlags
	maker    makerFlag
	source   sourceFlag

	yes             bool
	verbose         bool
	allowIncomplete bool
	comment         string
	commentGiven    bool
	deadline        span
	maxAge          span
	maxStaleness    span
	lockTimeout     span
	serverLock      serverLockFlag
	promoted        promotionFlags
	commandTimeout  span
	verifyTimeout   span
	format          choice
}

func newApply(a *app) *cobra.Command {
	f := applyFlags{
		deadline:       span{zeroOK: true},
		maxAge:         span{zeroOK: true},
		maxStaleness:   span{value: executor.DefaultMaxStaleness, zeroOK: true},
		lockTimeout:    span{zeroOK: true},
		commandTimeout: span{value: executor.DefaultCommandTimeout},
		verifyTimeout:  span{value: executor.DefaultVerifyTimeout, zeroOK: true},
		format:         newChoice("text", "json"),
	}
	cmd := &cobra.Command{
		Use:   "apply {-f FILE… | PLAN.json [-f FILE…]}",
		Short: "Change the server as the policy, or a saved plan, says",
		Long: `Plan, show the plan, ask, change the server, read every change back, and write a
report. With PLAN.json exactly the saved plan is applied: its digest, format,
server and age are checked, and what changed on the server since is left alone.
A saved plan that was applied before goes on with what is left of it; it is refused
where a later run, such as the apply of a rollback, took back what it did. Reports and
journals in the state folder, --report-dir and --report tell of such runs.

Work is done in an order in which nobody loses, in passing, what they are meant
to keep: grants on groups, then users, then revokes on groups. One principal
that cannot be changed never stops the others.

Without a terminal --yes is needed. The first interrupt finishes what is in
flight, reads it back and reports; a second one stops at once.

With --server-lock, or safety.serverLock of the policy, the server's own lock on its
configuration is taken after the login and given back at the end: it keeps runs on
other machines apart, which the lock in the state folder cannot. Somebody else's is
waited for as --lock-timeout says (see "privsync help recovery" and "privsync unlock").

With --require-applied test nothing is sent unless a report shows that the same policy,
but for its overlays, was applied in the environment test and everything was verified.

A report is written on every ending, mode 0600: to --report, into --report-dir,
or into the state folder; the last line on stderr names it.

With PLAN.json and -f the policy judges the plan as it is now: its guards, protected
principals and rules, and what it would not plan any more is refused. Without -f the
guards are those that the plan itself holds. Names in the plan are compared with the
server: a principal that the server names otherwise is left alone.

With --approvals N, or as safety.approval of the policy says, a saved plan needs the
signatures of N different people who stand in the file --allowed-signers, none of them
the plan's maker (see "privsync approve" and "privsync help security"). They are
checked before anything is sent, and count for one run.

Exit codes: 0 done and verified, or nothing to do; 1 error, nothing written;
3 refused by a guard, a rule or because the saved plan is stale, nothing
written; 4 applied, but not all of it is verified; 130 interrupted.`,
		Example: `  privsync apply -f policy.yaml
  privsync apply plan.json -f policy.yaml --yes --report-dir reports/
  privsync apply -f policies/ --env prod --yes --max-revokes 10% --metrics-file privsync.prom`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.commentGiven = cmd.Flags().Changed("comment")
			switch {
			case len(args) == 0 && len(f.policy.files) == 0:
				return hinted(errors.New("nothing to apply given"), "give a policy with -f FILE, or the file of a saved plan")
			case !f.yes && !a.interactive():
				hint := "review the plan first, then apply it with --yes"
				if len(args) == 1 && mayBePolicy(args[0]) {
					hint = fmt.Sprintf("a policy is given with -f: did you mean -f %s? If so %s", args[0], hint)
				}
				return hinted(errors.New("apply needs a yes, and there is no terminal to ask on"), hint)
			}
			if off := f.policy.at(a).Sub(a.now()).Abs(); off > maxNowOffset {
				return hinted(fmt.Errorf("--now is %s away from the clock, and apply decides about real revokes: more than %s is refused, nothing was written", off.Round(time.Minute), maxNowOffset),
					"look at another day with plan --now, and apply without it; if the clock is wrong, set it")
			}
			r := &applyRun{app: a, f: &f, start: a.now()}
			_, done := a.within(cmd.Context(), f.deadline)
			defer done()
			if err := panics.Catch(func() error { return r.load(args) }); err != nil {
				return f.reports.failEarly(a, "apply", r.start, "", err)
			}
			return r.run(cmd.Context())
		},
		ValidArgsFunction: completeJSONFile,
	}
	f.policy.register(cmd)
	f.conn.register(cmd)
	f.guards.register(cmd)
	f.licences.register(cmd)
	f.state.register(cmd)
	f.reports.register(cmd)
	f.signers.register(cmd)
	f.maker.register(cmd, "also take `NAME` for the maker of the saved plan, whose approval does not count; several names of one person are separated by commas")
	f.source.register(cmd)
	addFormat(cmd, &f.format)
	fs := cmd.Flags()
	fs.BoolVarP(&f.yes, "yes", "y", false, "apply without asking")
	addVerbose(cmd, &f.verbose)
	fs.BoolVar(&f.allowIncomplete, "allow-incomplete", false, "apply the rest when some principals could not be read (then exit 4)")
	fs.StringVar(&f.comment, "comment", "", "`TEXT` for the report, and for the server's change journal where its version takes one (default there: policy, digest and run)")
	allowEmpty(fs, "comment") // no comment at all
	fs.Var(&f.deadline, "deadline", "start nothing new after this time; 0 means no limit")
	fs.Var(&f.maxStaleness, "max-staleness", "read a principal again before its write when it was observed longer ago than this")
	fs.Var(&f.maxAge, "max-plan-age", "refuse a saved plan that was made longer ago than this; 0 means that its own expiry decides")
	fs.Var(&f.lockTimeout, "lock-timeout", "wait this long for another run on the same server to end, and for the server's lock")
	f.serverLock.register(cmd, "; beats safety.serverLock")
	f.promoted.register(cmd)
	fs.Var(&f.commandTimeout, "command-timeout", "how long a metadata command is followed")
	registerVerifyTimeout(cmd, &f.verifyTimeout)
	return cmd
}

// registerVerifyTimeout adds the flag that says how long readings may lag behind
// writes.
func registerVerifyTimeout(cmd *cobra.Command, v *span) {
	cmd.Flags().Var(v, "verify-timeout", "how long a reading may lag behind a write before the write counts as unverified; 0: one reading decides")
}

// verifyTimeout is v as the executor takes it: 0 means the default to it.
func verifyTimeout(v span) time.Duration {
	if v.value == 0 {
		return -1
	}
	return v.value
}

// applyRun is one apply on its way to a report.
type applyRun struct {
	*app
	f     *applyFlags
	start time.Time

	policy *policy.Policy // nil for a saved plan without -f
	plan   *planner.Plan  // at first no more than what the report must say: policy, server, scope
	saved  bool
	file   string            // the saved plan's
	sum    [sha512.Size]byte // of the saved plan's bytes
	signed approvals
	guards []planner.Guard
	actor  planner.Actor
	states *planner.State // nil for a saved plan

	named    []mstrapi.Privilege                  // the catalogue, by number, that a saved plan was compared with
	earlier  *executor.Earlier                    // runs of the saved plan
	before   shown                                // what the person who is asked has seen
	shown    *planner.Plan                        // a saved plan in its own words, for the person who is asked; nil: plan
	findings []planner.Finding                    // of a saved plan's principals and policy
	misnamed map[mstrapi.ObjectID]*executor.Error // of a saved plan, left alone
	writer   *mstrapi.Writer
	dest     executor.Destination

	noPlace error // what the flags name cannot be written, so nothing is begun

	store    executor.Store
	lock     executor.Lock
	onServer *executor.ServerLock // nil: not wanted, or not taken
	server   executor.Target
	journal  *executor.Journal // nil: nothing was about to be written
	changed  bool              // the executor was asked to change the server
}

// load reads the policy or the plan. From here on every ending has a report.
func (r *applyRun) load(args []string) error {
	if len(r.f.policy.files) > 0 {
		p, err := r.f.policy.load(r.app)
		if err != nil {
			return err
		}
		r.policy = p
		if r.f.yes {
			r.warnPolicy(r.f.policy.files, p.Files)
		}
		r.plan = plainPlan(p, r.f.conn.url, r.f.policy.at(r.app))
	}
	if len(args) > 0 {
		plan, sum, err := r.readPlan(args[0])
		if err != nil {
			return err
		}
		r.plan, r.saved, r.file, r.sum = plan, true, args[0], sum
	}
	r.dest, r.noPlace = r.f.reports.destination(r.app, &r.f.state)
	if r.dest == (executor.Destination{}) && r.f.state.store == nil {
		return r.noPlace
	}
	return nil
}

// readPlan reads a saved plan, and returns a digest of the file's bytes. One that was edited or has another format is
// refused; a file that cannot be read or is no plan at all is an error.
func (a *app) readPlan(path string) (*planner.Plan, [sha512.Size]byte, error) {
	var sum [sha512.Size]byte
	hash := sha512.New()
	doc, err := a.readDocumentInto(path, hash)
	switch {
	case err == nil:
	case errors.Is(err, errNotADocument), errors.As(err, new(*fs.PathError)): // a device, a folder, nothing at all
		hint := `name a file written by "privsync plan --out"`
		if mayBePolicy(path) {
			hint = fmt.Sprintf("a policy is given with -f: did you mean -f %s?", path)
		}
		return nil, sum, hinted(fmt.Errorf("plan %s: %w", path, err), hint)
	case errors.Is(err, planner.ErrPlanRefused):
		return nil, sum, refused(fmt.Errorf("%s: %w", path, err), newPlanHint)
	default:
		return nil, sum, refused(fmt.Errorf("%s: plan refused: %w", path, err), newPlanHint)
	}
	plan, ok := doc.(*planner.Plan)
	if !ok {
		return nil, sum, hinted(fmt.Errorf("plan %s: it is a report, not a plan", path), `to undo what a report says was done, make a plan with "privsync rollback"`)
	}
	hash.Sum(sum[:0])
	return plan, sum, nil
}

// run does the work and reports about it, even if a defect of the program ends it.
// Only then, and only if something may have been written, is there no report: what
// was done is known to the journal alone, which the next run reports about.
func (r *applyRun) run(ctx context.Context) error {
	var report *executor.Report
	var ending error
	defect := panics.Catch(func() error {
		report, ending = r.execute(ctx)
		return nil
	})
	if defect != nil && !r.changed {
		report, ending = r.failed(ctx, defect)
		return r.end(ctx, report, ending)
	}
	if defect == nil {
		defect = panics.Catch(func() error {
			ending = r.end(ctx, report, ending)
			return nil
		})
	}
	if defect == nil {
		return ending
	}
	r.leaveServer(ctx)
	r.putAway(r.journal.Abandon)
	if r.changed {
		defect = hinted(defect, `what was written stands in the journal: "privsync recover" looks at the server and reports it`)
	}
	return r.f.reports.failEarly(r.app, "apply", r.start, r.plan.Policy.Name, defect)
}

// leaveServer gives the server's lock back and logs out.
func (r *applyRun) leaveServer(ctx context.Context) {
	if r.writer != nil {
		r.releaseServerLock(ctx, r.onServer)
		r.logout(ctx, r.writer)
	}
}

// putAway closes the journal or leaves it to the next run, and lets other runs begin.
func (r *applyRun) putAway(journal func() error) {
	if err := journal(); err != nil {
		r.log.Warn("journal not put away; the next run looks at this one again", "error", err)
	}
	if r.lock != nil {
		r.releaseLock(r.lock)
	}
}

// execute does the work. It returns a report however it ends, and the error
// to print, if the report's own words are not enough.
func (r *applyRun) execute(ctx context.Context) (*executor.Report, error) {
	if d := r.f.deadline.value; d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, r.start.Add(d))
		defer cancel()
	}
	steps := func(list ...func(context.Context) error) error {
		for _, step := range list {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	if err := steps(r.checkPlaces, r.connect, r.lockServer, r.decidePlan, r.checkEarlier, r.show); err != nil {
		return r.failed(ctx, err)
	}
	if why := r.refusal(); why != nil {
		// The executor sees the same reasons and writes the report that names them.
		return executor.Apply(ctx, r.writer, r.plan, r.options(ctx)), why
	}
	if err := steps(r.ask, r.prepare); err != nil {
		return r.failed(ctx, err)
	}
	return r.change(ctx), nil
}

// checkPlaces refuses a run whose documents have no place, and what was not applied
// where --require-applied says that it has to be first.
func (r *applyRun) checkPlaces(ctx context.Context) (err error) {
	if r.noPlace != nil {
		return r.noPlace
	}
	if r.store, err = r.f.state.open(r.app); err != nil {
		return err
	}
	return r.f.promoted.check(ctx, r.app, r.store, r.dest, r.plan.Policy.BaseDigest)
}

// lockServer keeps other runs on the server out, and writes the reports of those that died.
func (r *applyRun) lockServer(ctx context.Context) (err error) {
	patience := r.f.lockTimeout.value
	holder, until := r.lockHolder(r.start), r.now().Add(patience)
	holder.ServerLock = r.wantsServerLock()
	if r.lock, err = r.store.Lock(ctx, r.server, holder, patience); err != nil {
		return lockError(err)
	}
	recovered, err := r.recoverDead(ctx, r.writer.Reader, r.server, &r.f.state, r.lock, time.Time{}, executor.Destination{}, executor.RecoverOptions{VerifyTimeout: verifyTimeout(r.f.verifyTimeout), Signer: r.f.reports.signer})
	if err == nil && holder.ServerLock {
		// Before anything is read that decides: whoever had the lock may have changed it.
		r.onServer, err = r.takeServerLock(ctx, r.writer, r.endedRuns(ctx, r.store, r.lock, recovered), until, patience)
	}
	return err
}

// connect checks a saved plan as far as that needs no server, and logs in.
func (r *applyRun) connect(ctx context.Context) error {
	environment := policy.Environment{URL: r.plan.Environment.URL, URLPos: policy.Position{File: r.file}}
	if r.policy != nil && !r.saved {
		environment = r.policy.Environment
	}
	if r.saved {
		// Before a password is sent anywhere.
		if err := r.plan.CheckSaved(r.plan.Environment.URL, r.now(), r.f.maxAge.value); err != nil {
			return refused(err, newPlanHint)
		}
	}
	if err := r.checkApprovals(ctx); err != nil {
		return err
	}
	cfg, err := r.f.conn.config(r.app, environment)
	if err != nil {
		return err
	}
	if base, err := mstrapi.BaseURL(cfg.URL); r.saved && err == nil && base != r.plan.Environment.URL {
		return refused(r.plan.CheckSaved(base, r.now(), r.f.maxAge.value), newPlanHint)
	}
	w, err := r.openWriter(ctx, cfg)
	if err != nil {
		return err
	}
	r.writer, r.server = w, serverOf(ctx, cfg, w.Reader)
	if r.saved {
		if err := r.plan.CheckSaved(w.URL(), r.now(), r.f.maxAge.value); err != nil {
			r.logout(ctx, w)
			return refused(err, newPlanHint)
		}
	} else {
		r.plan.Environment.URL = w.URL()
	}
	return nil
}

// newPlanHint says what to do about a plan that is refused.
const newPlanHint = `make a new plan with "privsync plan --out", review it, and apply that`

// wantsServerLock reports whether the flag, the policy or the saved plan asks for the
// server's lock.
func (r *applyRun) wantsServerLock() bool {
	by := r.plan.Safety.ServerLock
	if r.policy != nil && r.policy.Safety != nil {
		by = by || r.policy.Safety.ServerLock
	}
	return r.f.serverLock.wanted(by)
}

// decidePlan plans, or takes the saved plan, and judges its guards.
func (r *applyRun) decidePlan(ctx context.Context) error {
	if r.saved {
		return r.judgeSaved(ctx)
	}
	now := r.f.policy.at(r.app)
	in, err := r.f.licences.readMap(r.app, r.policy)
	if err == nil {
		in, err = r.f.licences.count(ctx, r.app, r.writer.Reader, in)
	}
	if err != nil {
		return err
	}
	state, plan, guards, err := r.planOf(ctx, r.writer.Reader, r.policy, planner.ObserveOptions{
		Concurrency: r.f.conn.concurrency.value, Now: now, Past: r.past(ctx, r.server, r.policy, r.dest, &r.f.state, now), Licences: in,
	}, planner.MakeOptions{Maker: r.maker()}, r.f.guards.overrides())
	if err != nil {
		return err
	}
	// From here on the plan says what is wanted; 100,000 principals' worth of
	// policy would be in memory for nothing.
	state.Trim()
	r.policy, r.states, r.plan, r.guards = nil, state, plan, guards
	return nil
}

// judgeSaved judges a saved plan for the user who applies it: by the policy at hand,
// or by what the plan says of its own.
func (r *applyRun) judgeSaved(ctx context.Context) error {
	var err error
	if r.actor, err = sessionUser(ctx, r.writer.Reader); err != nil {
		return err
	}
	if err := r.checkNames(ctx); err != nil {
		return err
	}
	if r.policy == nil {
		if err := r.recount(ctx); err != nil {
			return err
		}
	}
	judged := r.plan
	if r.policy == nil {
		err = r.unjudged(ctx)
	} else {
		judged, err = r.judgedBy(ctx, r.policy)
	}
	if err != nil {
		return err
	}
	pol := r.policy
	r.policy = nil
	if err := r.stillApproved(judged.Safety.Approval); err != nil {
		return err
	}
	r.guards, err = judge(ctx, r.writer.Reader, judged, pol, r.actor, r.f.guards.overrides())
	return err
}

// show shows the plan: on stdout, or, where stdout is for the JSON report, to
// the person who will be asked.
func (r *applyRun) show(context.Context) error {
	plan := r.onScreen()
	v := view{format: "text", guards: r.guards, verbose: r.f.verbose}
	var err error
	switch {
	case r.nothingToSay():
	case r.f.format.value == "text":
		r.before, err = r.showAsked(r.stdout, plan, v)
	case !r.f.yes:
		r.before, err = r.showAsked(r.stderr, plan, v)
	}
	return err
}

// onScreen is the plan as a person is shown it.
func (r *applyRun) onScreen() *planner.Plan {
	if r.shown != nil {
		return r.shown
	}
	return r.plan
}

// nothingToSay reports whether --quiet leaves the plan out: it changes nothing, and
// nobody has to know anything. A document that was asked for is written all the same.
func (r *applyRun) nothingToSay() bool {
	return r.f.format.value == "text" && r.quietNight()
}

// quietNight reports whether --quiet leaves out all that nobody asked for.
func (r *applyRun) quietNight() bool {
	f := r.plan.Summary.Findings
	return r.quiet && len(r.plan.Changes) == 0 && r.plan.Complete &&
		len(r.guards) == 0 && f.Error+f.Warning == 0
}

// refusal returns why the plan must not be applied, or nil.
func (r *applyRun) refusal() error {
	return planEnding(r.plan, r.guards, r.f.allowIncomplete, false)
}

// ask asks for a yes unless --yes was given or there is nothing to do.
func (r *applyRun) ask(context.Context) error {
	if err := r.stillApproved(r.plan.Safety.Approval); err != nil || r.f.yes || !r.works() {
		return err
	}
	if err := r.recap(r.onScreen(), r.guards, r.before); err != nil {
		return err
	}
	return r.insist(fmt.Sprintf("Apply these changes to %s?", r.writer.URL()), "written", "apply")
}

// works reports whether the plan has anything to do.
func (r *applyRun) works() bool { return len(r.plan.Changes)+len(r.plan.Commands) > 0 }

// prepare opens the journal, if there is anything to do.
func (r *applyRun) prepare(ctx context.Context) error {
	if !r.works() {
		return nil
	}
	if err := r.spend(ctx); err != nil {
		return err
	}
	journal, err := r.store.OpenJournal(ctx, r.plan, r.options(ctx), r.dest)
	if err != nil {
		return hinted(err, cmp.Or(hintOf(storeError(err)), "make room in the state folder, or name another with --state-dir; nothing was written"))
	}
	r.journal = journal
	return nil
}

// change writes, under the journal.
func (r *applyRun) change(ctx context.Context) *executor.Report {
	p := r.startProgress(r.writer.Pace)
	defer p.end()
	o := r.options(ctx)
	o.Journal, o.Progress = r.journal, p.report
	r.changed = true
	return executor.Apply(r.interrupts.hard, r.writer, r.plan, o)
}

// options are the executor's settings for this run; ctx ends when nothing new
// may be started.
func (r *applyRun) options(ctx context.Context) executor.Options {
	o := executor.Options{
		Command: "apply", RunID: r.runID, StartedAt: r.start, Tool: toolRef(), Actor: r.actor, Guards: r.guards,
		Concurrency: r.f.conn.concurrency.value, Stop: ctx, Logger: r.log,
		AllowIncomplete: r.f.allowIncomplete, Saved: r.saved,
		MaxStaleness: max(r.f.maxStaleness.value, 1), // 0 means the default to the executor, and "always" to us
		MaxAttempts:  r.f.conn.maxAttempts.value, CommandTimeout: r.f.commandTimeout.value,
		VerifyTimeout: verifyTimeout(r.f.verifyTimeout),
		Comment:       r.comment,
		ServerLock:    r.onServer != nil,
		Maker:         r.maker(), Approvals: r.signed.counted,
		Source: r.f.source.of(r.app),
	}
	if r.f.commentGiven {
		o.Said = clean.Text(r.f.comment)
	}
	if r.writer != nil {
		o.Stats = r.writer.Stats
	}
	o.Misnamed, o.Earlier = r.misnamed, r.earlier
	o.Findings, o.Catalogue = r.findings, r.named
	if r.states != nil {
		o.InSync = executor.InSyncOf(r.states, r.plan)
		o.Catalogue = r.states.Catalogue
	}
	return o
}

// comment returns the change-journal comment for principals of the kind, or ""
// where the server's version takes none. It is one line: whoever reads the journal
// must not take part of a policy's name for an entry.
func (r *applyRun) comment(kind mstrapi.Kind) string {
	if !mstrapi.SupportsComment(kind, r.plan.Environment.IServerVersion) {
		return ""
	}
	if r.f.commentGiven {
		return clean.Text(r.f.comment)
	}
	return clean.Text(fmt.Sprintf("privsync: policy %s, digest %s, run %s", r.plan.Policy.Name, r.plan.Policy.Digest, r.runID))
}

// failed returns the report of a run that ends with err before it wrote
// anything, and the error to print.
func (r *applyRun) failed(ctx context.Context, err error) (*executor.Report, error) {
	return r.failedReport(ctx, r.plan, r.options(ctx), err)
}

// end logs out, shows and delivers the report, and returns how the run ends.
// The journal is closed only when the report is written, and the lock is held
// until then: a journal that is open while the lock is free is that of a run
// that died.
func (r *applyRun) end(ctx context.Context, report *executor.Report, err error) error {
	r.leaveServer(ctx)
	if err == nil {
		err = reportEnding(report)
	}
	if errors.Is(err, errInterrupted) {
		err = &ending{code: executor.ExitInterrupted, err: errInterrupted, hint: r.interruptedHint(report)}
	}
	delivered, err := r.deliver(ctx, report, r.dest, &r.f.state, &r.f.reports, func() error { return r.showReport(report) }, err)
	if err == nil && r.quietNight() && r.idle(report) {
		r.finish = ""
	}
	if delivered {
		r.putAway(func() error { return r.journal.Close(r.now()) })
	} else {
		r.putAway(r.journal.Abandon)
	}
	return err
}

// interruptedHint says how what a signal left undone is done.
func (r *applyRun) interruptedHint(report *executor.Report) string {
	what := "apply again does the rest: it reads what is there first"
	switch {
	case !report.Wrote():
		what = "nothing was written; apply again does all of it"
	case r.signed.needed > 0:
		what = "the approvals counted for this run: plan again for the rest, and have that plan approved"
	case r.saved:
		what = "apply again does the rest: the same plan goes on with what is left of it"
	}
	return what + "; the report says what was done"
}

// showReport writes the report to stdout: as JSON always, as text when there is
// more to say than the plan and the error have said.
func (r *applyRun) showReport(report *executor.Report) error {
	if r.f.format.value == "json" {
		return r.render(r.stdout, report, view{format: "json"})
	}
	if !r.changed || !r.works() && report.Run.Outcome == executor.RunInSync {
		return nil
	}
	if r.nothingToSay() {
		if r.idle(report) {
			return nil
		}
		return r.render(r.stdout, report, view{format: "text"})
	}
	if _, err := fmt.Fprintln(r.stdout); err != nil {
		return err
	}
	return r.render(r.stdout, report, view{format: "text", afterPlan: true})
}

// idle reports whether a run had no work but the commands of every night, all went
// well, and nobody has to know anything.
func (r *applyRun) idle(report *executor.Report) bool {
	return executor.ExitCode(report) == executor.ExitOK && !slices.ContainsFunc(report.Findings, func(f planner.Finding) bool { return f.Severity != planner.SeverityInfo })
}

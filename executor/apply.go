package executor

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// Server is what [Apply] needs of a server. [*mstrapi.Writer] implements it.
// All methods may be called concurrently; they retry by themselves what is safe
// to retry, so an error of theirs is final but for [mstrapi.OutcomeUnknown].
type Server interface {
	PrincipalServer
	CommandServer
	// Members returns the list of a group's members; flat asks for those at any
	// depth, which an older server may ignore.
	Members(group mstrapi.ObjectID, flat bool) *mstrapi.Listing
	// PatchPrivileges sends one change of direct grants.
	PatchPrivileges(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, p mstrapi.PrivilegePatch) error
}

// PrincipalServer reads principals. [*mstrapi.Reader] implements it.
type PrincipalServer interface {
	planner.PrincipalReader
	// Principal reads one user or group.
	Principal(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (mstrapi.PrincipalRow, error)
}

// Options are the settings of a run. The zero value applies a fresh plan with
// the defaults that the fields name, without journal, log and progress.
type Options struct {
	Command     string               // apply (default) or audit
	RunID       string               // names the run in report, journal and log
	StartedAt   time.Time            // when the run began; zero: when the executor was called
	Tool        planner.Tool         // zero: the plan's
	Actor       planner.Actor        // whose session writes; zero: the plan's
	Findings    []planner.Finding    // beyond the plan's
	Guards      []planner.Guard      // exceeded; one that is not allowed refuses the run
	Catalogue   []mstrapi.Privilege  // names the privileges that the report holds; nil: it holds numbers only
	InSync      iter.Seq[Result]     // covered principals without a change, for the report; nil: none
	Concurrency int                  // principals at once; below 1: [mstrapi.DefaultConcurrency]
	Now         func() time.Time     // the clock, which the observations were made by; nil: time.Now
	Stop        context.Context      // done: start nothing new, finish what is in flight; nil: never
	Logger      *slog.Logger         // nil: none
	Stats       func() mstrapi.Stats // requests of the whole run; nil: not counted

	// Progress is told how far a phase has come, one call at a time: "apply" counts
	// principals and their waves, each with its verification, "command" is a
	// percent. Nil: nobody is told.
	Progress func(phase string, done, total int)

	// AllowIncomplete applies a plan although principals could not be read.
	AllowIncomplete bool
	// Maker and Approvals are what the report says of who made and approved the plan.
	Maker     string
	Approvals []Approval
	// Source is where the run came from, and Said what the user says about it, for the
	// report.
	Source *planner.Provenance
	Said   string
	// Misnamed are principals of the plan that are left alone, each with why: the
	// server names them otherwise than the plan (Code [CodeMisnamed]: they are stale),
	// or does not say how (they have failed).
	Misnamed map[mstrapi.ObjectID]*Error

	// Saved says that the plan was read from a file: every principal is read
	// again just before its write.
	Saved bool
	// Earlier is what runs did that applied the saved plan before: what they did is
	// taken as done, and what was taken back since is not done again. Nil: nothing.
	Earlier *Earlier
	// MaxStaleness is how old an observation may be when its principal is written
	// without reading it again. Zero: [DefaultMaxStaleness]; negative: no observation is too old.
	MaxStaleness time.Duration
	// MaxAttempts bounds the PATCH requests to one principal in one wave, where
	// the outcome of one was unknown and reading showed that it was not done.
	// Below 1: [mstrapi.DefaultMaxAttempts].
	MaxAttempts int
	// PrincipalTimeout bounds the time that one principal may take in all its
	// waves: once it is over nothing more is sent to change it, and what was sent is
	// still read back. Zero: 15 minutes.
	PrincipalTimeout time.Duration
	// VerifyTimeout is how long a reading may lag behind a write (a cluster's other
	// node, a cache): until then a reading that does not show a write is no proof,
	// and another one is made. Zero: [DefaultVerifyTimeout]; negative: one reading
	// decides.
	VerifyTimeout time.Duration
	// Comment is the change-journal comment for a kind of principal; empty where
	// the server's version takes none. Nil: no comment.
	Comment func(mstrapi.Kind) string
	// ServerLock says that the run has the server's lock; the journal notes it.
	ServerLock bool
	// Journal gets every intent before its write and every outcome after it. When
	// it cannot be written no further write is started.
	Journal *Journal

	// CommandTimeout is how long one metadata command is followed. Zero:
	// [DefaultCommandTimeout].
	CommandTimeout time.Duration
}

const (
	// DefaultVerifyTimeout is how long a reading may lag behind a write.
	DefaultVerifyTimeout = 15 * time.Second

	// DefaultMaxStaleness is how old an observation may be when its principal is written
	// without reading it again.
	DefaultMaxStaleness = time.Minute
	// DefaultCommandTimeout is how long one metadata command is followed.
	DefaultCommandTimeout = 10 * time.Minute

	// defaultPrincipalTimeout is generous: a server may ask each request to wait
	// for minutes.
	defaultPrincipalTimeout = 15 * time.Minute
)

// run is how the report and the journal name the run.
func (o *Options) run() Run {
	return Run{ID: o.RunID, Command: o.Command, StartedAt: o.StartedAt, Comment: o.Said, Source: o.Source}
}

// withDefaults returns o with every zero replaced by its meaning.
func (o Options) withDefaults(plan *planner.Plan) Options {
	o.Command = cmp.Or(o.Command, "apply")
	if o.Concurrency < 1 {
		o.Concurrency = mstrapi.DefaultConcurrency
	}
	if o.MaxAttempts < 1 {
		o.MaxAttempts = mstrapi.DefaultMaxAttempts
	}
	o.MaxStaleness = cmp.Or(o.MaxStaleness, DefaultMaxStaleness)
	o.PrincipalTimeout = cmp.Or(o.PrincipalTimeout, defaultPrincipalTimeout)
	o.CommandTimeout = cmp.Or(o.CommandTimeout, DefaultCommandTimeout)
	o.VerifyTimeout = cmp.Or(o.VerifyTimeout, DefaultVerifyTimeout)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StartedAt.IsZero() {
		o.StartedAt = o.Now()
	}
	if o.Stop == nil {
		o.Stop = context.Background()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(string, int, int) {}
	}
	if o.Stats == nil {
		o.Stats = func() mstrapi.Stats { return mstrapi.Stats{} }
	}
	if o.Comment == nil {
		o.Comment = func(mstrapi.Kind) string { return "" }
	}
	if plan != nil {
		o.Tool = cmp.Or(o.Tool, plan.Tool)
		o.Actor = cmp.Or(o.Actor, plan.Actor)
	}
	return o
}

// Apply carries out plan and returns what came of it; it always returns a
// sealed report.
//
// It writes in three waves with a barrier between them:
//
//	wave 1   groups   grants
//	wave 2   users    grants and revokes, one request each
//	wave 3   groups   revokes
//
// A revoke that relies on a grant ([planner.PlannedPrivilege]) is left out and
// reported as held back unless that grant was seen on the server before its
// wave began, and is still there: what takes the place of a direct grant is read
// just before the grant is revoked. Principals are independent otherwise: a
// failure of one never stops another. At most one PATCH is sent to a principal in
// a wave, more only after a lost answer and a reading that does not show it.
//
// Once the waves and the commands are done, whoever may have been touched after
// the last reading is read again, and every principal is judged by what the
// policy wants of it ([planner.Wanted]): one that lacks what is listed, or holds
// what it must not, is [Drifted], whoever brought that about.
//
// When the server stops answering ([mstrapi.ErrUnreachable]) nothing new is
// started, and the report's Error says so ([CodeUnreachable]).
//
// When o.Stop is done nothing new is started, what is in flight is finished and
// verified; a write that waits to be sent is not in flight. When ctx is done requests in flight are given up: what they did is
// then unverified. plan is not changed.
//
// Apply refuses (see [RunRefused]) a plan with blocking findings, a broken rule,
// an incomplete reading that was not allowed, a guard in o.Guards that was not
// allowed, or principals that contradict each other.
func Apply(ctx context.Context, s Server, plan *planner.Plan, o Options) *Report {
	o = o.withDefaults(plan)
	if e := Refusal(plan, o.Guards, o.AllowIncomplete); e != nil {
		return Refuse(plan, o, e)
	}
	r := newRun(ctx, s, plan, o)
	for _, w := range []wave{groupGrants, users, groupRevokes} {
		r.wave(w)
	}
	commands := r.commands()
	r.lookAgain(commands)
	r.conclude()
	report := r.report(nil)
	report.Commands = commands
	return r.finish(report)
}

// Refuse returns the report of a run that wrote nothing because of why, whose
// Code is one of [CodeGuard] and its neighbours. For another reason than a
// refusal (no connection, no login) give an Error with another Code: the run's
// outcome is then failed. plan may be nil.
func Refuse(plan *planner.Plan, o Options, why *Error) *Report {
	o = o.withDefaults(plan)
	if plan == nil {
		plan = &planner.Plan{}
	}
	r := newRun(context.Background(), nil, plan, o)
	report := r.report(why)
	for _, name := range plan.Commands {
		report.Commands = append(report.Commands, CommandResult{Name: name, Outcome: CommandNotAttempted})
	}
	report = r.finish(report)
	switch why.Code {
	case CodeGuard, CodeRule, CodePlanRefused, CodeBlocking, CodeIncomplete:
		report.Run.Outcome = RunRefused
	default:
		report.Run.Outcome = RunFailed
	}
	return report
}

// wave is one of the three steps of an apply.
type wave int

const (
	groupGrants  wave = 1
	users        wave = 2
	groupRevokes wave = 3
)

// part returns what of c belongs to w; both are empty where nothing does.
func (w wave) part(c *planner.Change) (grant, revoke []planner.PlannedPrivilege) {
	group := c.Principal.Kind == mstrapi.Group
	switch {
	case w == groupGrants && group:
		return c.Grant, nil
	case w == users && !group:
		return c.Grant, c.Revoke
	case w == groupRevokes && group:
		return nil, c.Revoke
	}
	return nil, nil
}

// last reports whether w is the last wave in which c is written.
func (w wave) last(c *planner.Change) bool {
	return c.Principal.Kind == mstrapi.User || w == groupRevokes || len(c.Revoke) == 0
}

// run is one apply under way.
type run struct {
	ctx   context.Context
	s     Server          // nil: nothing may be written
	look  PrincipalServer // nil: nothing may be read
	level mstrapi.Level
	died  bool // it is put together from the journal of a run that died
	plan  *planner.Plan
	o     Options
	tasks []*task // in the order of the report
	byID  map[mstrapi.ObjectID]*task
	again map[mstrapi.ObjectID]*visit // who was read again when the waves were done

	unreached map[mstrapi.ObjectID]planner.Set // what groups were granted and did not reach who awaits it

	touches touched        // what the waves changed for others, once they are done
	ran     bool           // a metadata command may have run
	broken  map[string]int // how many were found at the end to break a rule, by its name

	progress *counter

	repeated atomic.Int64 // writes that were sent again after a lost answer

	mu        sync.Mutex // guards what follows
	fatal     *Error     // the journal failed or the server is gone: start no further write
	lastWrite time.Time  // when the latest PATCH or command was answered, or given up
	findings  []planner.Finding
}

// task is one principal of the plan. Between two waves only the run touches it,
// within a wave only the one worker that has it.
type task struct {
	change *planner.Change
	res    Result

	verified planner.Set // planned grants that were seen on the server
	expected planner.Set // what it should hold directly by now: what was read before it was written, and what was written
	seen     *Sets       // the latest reading; nil: none, or not to be relied on
	seenAt   time.Time
	seenIn   wave        // the wave of that reading; 0: before the run
	relied   planner.Set // revoked because it was inherited as well
	begun    bool        // a wave has reached it
	wrote    bool        // a PATCH was sent in an earlier wave
	ended    bool        // no wave has anything more to do with it
	stopped  bool        // what it lacks is lacking because the run was stopped
	gone     bool        // the server does not have it any more
	why      string      // why revokes were held back that nothing else explains
	spent    time.Duration
	workedAt time.Time // when the wave under way began with it
}

func newRun(ctx context.Context, s Server, plan *planner.Plan, o Options) *run {
	r := &run{
		ctx: mstrapi.WithStop(ctx, o.Stop), s: s, level: plan.Scope.Level, plan: plan, o: o,
		byID: make(map[mstrapi.ObjectID]*task, len(plan.Changes)), again: make(map[mstrapi.ObjectID]*visit),
	}
	if s != nil {
		r.look = s
	}
	total := 0
	for i := range plan.Changes {
		c := &plan.Changes[i]
		t := &task{change: c, res: Result{
			Principal: c.Principal, Outcome: NotAttempted,
			Grant: orEmpty(c.Grant), Revoke: orEmpty(c.Revoke),
			Before: &Sets{Direct: c.Observed.Direct, Inherited: c.Observed.Inherited},
		}}
		// An observation of this run is evidence; one from a file is not.
		if !o.Saved && !c.ObservedAt.IsZero() {
			t.seen, t.seenAt = t.res.Before, c.ObservedAt
			t.res.After = t.res.Before
		}
		if why := o.Misnamed[c.Principal.ID]; why != nil {
			t.ended, t.res.Outcome, t.res.Error, t.res.Before = true, Failed, why, nil
			if why.Code == CodeMisnamed {
				t.res.Outcome = Stale
			}
		}
		r.tasks = append(r.tasks, t)
		r.byID[c.Principal.ID] = t
		for _, w := range []wave{groupGrants, users, groupRevokes} {
			if grant, revoke := w.part(c); len(grant)+len(revoke) > 0 {
				total++ // a principal counts once for each of its waves
			}
		}
	}
	r.progress = newCounter(func(n int) { o.Progress("apply", n, total) })
	slices.SortStableFunc(r.tasks, func(a, b *task) int {
		return a.change.Principal.Compare(&b.change.Principal)
	})
	return r
}

// halted reports whether nothing new may be started.
func (r *run) halted() bool {
	if r.ctx.Err() != nil || r.o.Stop.Err() != nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fatal != nil
}

// stopped reports whether somebody stopped the run, as opposed to its journal
// or an outage.
func (r *run) stopped() bool { return r.ctx.Err() != nil || r.o.Stop.Err() != nil }

// deadlineOver reports whether the run was stopped because its time was over.
func (r *run) deadlineOver() bool {
	for _, c := range []context.Context{r.ctx, r.o.Stop} {
		if c.Err() != nil {
			return errors.Is(context.Cause(c), context.DeadlineExceeded)
		}
	}
	return false
}

// fail ends the run because of e, and reports whether it is the first to do so.
func (r *run) fail(e *Error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fatal != nil {
		return false
	}
	r.fatal = e
	return true
}

// job is the work of one principal in one wave.
type job struct {
	t             *task
	w             wave
	grant, revoke []planner.PlannedPrivilege
	held          bool // a revoke was taken out
}

// leaveOut holds revokes of j back.
func (j *job) leaveOut(held planner.Set) {
	j.revoke = slices.DeleteFunc(slices.Clone(j.revoke), func(p planner.PlannedPrivilege) bool {
		if !held.Has(p.ID) {
			return false
		}
		j.t.res.HeldBack = append(j.t.res.HeldBack, p.PrivilegeRef)
		j.held = true
		return true
	})
}

// wave does the work of w and returns when all of it has ended.
func (r *run) wave(w wave) {
	if w == groupRevokes {
		r.checkRelied()
		r.checkAwaiting()
	}
	// What relies on what is decided for all before any of them starts, so that
	// the result does not depend on who is faster.
	var jobs []*job
	for _, t := range r.tasks {
		grant, revoke := w.part(t.change)
		if len(grant)+len(revoke) == 0 {
			continue
		}
		if t.ended {
			r.progress.add()
			continue
		}
		j := &job{t: t, w: w, grant: grant, revoke: revoke}
		j.leaveOut(r.unreliable(revoke))
		jobs = append(jobs, j)
	}
	concurrently(r.o.Concurrency, slices.Values(jobs), func(j *job) {
		r.work(j)
		r.progress.add()
	})
	if err := r.o.Journal.sync(); err != nil {
		r.journalFailed(err)
	}
}

// unreliable returns the revokes that have to be held back: those that rely on
// what is not verified, and those of what these need, for the server would revoke
// them along.
func (r *run) unreliable(revoke []planner.PlannedPrivilege) planner.Set {
	var held planner.Set
	for _, p := range revoke {
		if !r.reliable(p) {
			held.Add(p.ID)
		}
	}
	if held.IsEmpty() {
		return held
	}
	out := held
	for _, pre := range r.plan.Prerequisites {
		if held.Has(pre.Privilege.ID) {
			for _, q := range pre.Needs {
				out = out.Union(planner.SetOf(q.ID))
			}
		}
	}
	return out
}

// reliable reports whether every grant that revoking p relies on is verified.
func (r *run) reliable(p planner.PlannedPrivilege) bool {
	for _, id := range p.ReliesOn {
		if t := r.byID[id]; t == nil || !t.verified.Has(p.ID) || r.unreached[id].Has(p.ID) {
			return false
		}
	}
	return true
}

func (r *run) journalFailed(err error) {
	// Every worker meets the same failure.
	if r.fail(&Error{Code: CodeJournal, Message: clean.Clip(err.Error(), maxErrorText)}) {
		r.o.Logger.Error("journal failed, so nothing more is written", "error", err)
	}
}

// noteOutage ends the run when err says that the server is gone, or that its lock is
// somebody else's: what was not begun is not attempted.
func (r *run) noteOutage(err error) {
	switch {
	case errors.Is(err, mstrapi.ErrUnreachable):
		r.fail(&Error{Code: CodeUnreachable, Message: clean.Clip(err.Error(), maxErrorText)})
	case errors.Is(err, mstrapi.ErrLockLost):
		if r.fail(&Error{Code: CodeServerLock, Message: clean.Clip(err.Error(), maxErrorText)}) {
			r.o.Logger.Error("the server's lock is lost, so nothing more is written", "error", err)
		}
	}
}

// report puts together what is known of every principal.
func (r *run) report(why *Error) *Report {
	report := newReport(r.plan, r.o)
	report.Error = why
	if r.plan.Digest != "" {
		report.Plan = &PlanRef{Digest: r.plan.Digest, Maker: r.o.Maker, Approvals: r.o.Approvals, Source: r.plan.Source}
	}
	switch {
	case r.o.InSync != nil:
		report.Principals = r.unchanged(why)
	case why == nil:
		report.Principals = append(report.Principals, r.bystanders()...)
	}
	for _, t := range r.tasks {
		if t.gone {
			continue
		}
		if t.res.StartedAt.IsZero() {
			t.res.StartedAt = r.o.Now()
		}
		t.res.DurationMs = t.spent.Milliseconds()
		report.Principals = append(report.Principals, t.res)
	}
	if len(r.plan.Rules) > 0 {
		report.Rules = r.rules(r.plan.Rules) // once everybody is judged
	}
	slices.SortStableFunc(report.Principals, func(a, b Result) int { return a.Principal.Compare(&b.Principal) })
	slices.SortStableFunc(r.findings, compareFindings)
	report.Findings = joinFindings(report.Findings, r.findings)
	return report
}

// newReport returns the report of a run on plan as far as nothing that it does changes
// it; the licences are those of the plan until it is known what was verified.
func newReport(plan *planner.Plan, o Options) *Report {
	report := &Report{
		Format: ReportFormat, Run: o.run(), Tool: o.Tool, Environment: plan.Environment, Actor: o.Actor, Policy: plan.Policy, Scope: plan.Scope,
		Licences: plan.Licences, Principals: []Result{}, Findings: joinFindings(plan.Findings, o.Findings), Guards: orEmpty(slices.Clone(o.Guards)), Commands: []CommandResult{},
	}
	if c := plan.Coverage; c != (planner.Coverage{}) {
		report.Coverage = &c
	}
	if report.Scope.Level == "" {
		report.Scope.Level = mstrapi.LevelServer // as a policy without a scope means
	}
	return report
}

// unchanged returns what became of the covered principals that the plan does not change.
func (r *run) unchanged(why *Error) []Result {
	n := len(r.tasks)
	if !r.o.Saved { // a number from a file proves nothing
		n = max(n, r.plan.Summary.Principals)
	}
	out := make([]Result, 0, n) // the report adds the tasks
	watched := r.watched()
	for p := range r.o.InSync {
		if _, changed := r.byID[p.Principal.ID]; changed {
			continue
		}
		if p.StartedAt.IsZero() {
			p.StartedAt = r.o.StartedAt
		}
		if w := watched[p.Principal.ID]; why != nil && p.Outcome == InSync && w != nil && len(w.Awaits) > 0 {
			p.Outcome = NotAttempted
			p.Error = &Error{Message: "a grant on a group was to give it " + nameAwaited(w.Awaits)}
		}
		if v := r.again[p.Principal.ID]; v == nil || v.conclude(r, &p) {
			out = append(out, p)
		}
	}
	return out
}

// bystanders returns what became of those who were only read when the run was
// done.
func (r *run) bystanders() []Result {
	var out []Result
	for _, v := range r.again {
		if _, changed := r.byID[v.principal.ID]; changed {
			continue
		}
		res := v.result(r.o.StartedAt)
		if v.conclude(r, &res) {
			out = append(out, res)
		}
	}
	return out
}

// finish judges the report. It is sealed where it is delivered, which may add to it.
func (r *run) finish(report *Report) *Report {
	if report.Error == nil {
		report.Error = r.fatal
	}
	left := 0
	for _, t := range r.tasks {
		if t.stopped {
			left++
		}
	}
	for _, v := range r.again {
		if v.stopped {
			left++
		}
	}
	for _, c := range report.Commands {
		if c.Outcome == CommandInterrupted || c.Outcome == CommandNotAttempted && r.stopped() {
			left++
		}
	}
	if left > 0 && report.Error == nil && r.deadlineOver() {
		report.Error = &Error{Code: CodeDeadline, Message: "the run's time was over"}
	}
	report.Licences = verifiedLicences(report.Licences, r.plan, report.Principals)
	report.count(r.o, r.repeated.Load())
	report.judge(left)
	return report
}

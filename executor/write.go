package executor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"privsync/mstrapi"
	"privsync/planner"
)

// errStopped is the cause of what was not started because the run was stopped.
var errStopped = errors.New("the run was stopped")

// firstLook and lastLook bound the growing pause between two readings that wait
// for a write to be seen.
const (
	firstLook = 100 * time.Millisecond
	lastLook  = 3 * time.Second
)

// work does j and leaves the task's outcome so far in its result.
func (r *run) work(j *job) {
	t := j.t
	if r.halted() {
		r.skip(j)
		return
	}
	began := r.o.Now()
	t.workedAt = began
	if !t.begun {
		t.begun = true
		t.res.StartedAt = began
	}
	defer func() { t.spent += r.o.Now().Sub(began) }()

	switch {
	case len(j.grant)+len(j.revoke) == 0:
		// Everything was held back: what is there is what was there.
		r.end(t, HeldBack, nil)
	case r.mustRead(j) && !r.precondition(j):
	case !r.write(j):
		return
	}
	if err := r.o.Journal.outcome(j, r.o.Now()); err != nil {
		r.journalFailed(err)
	}
}

// skip ends a task whose wave does not begin because nothing may be started.
func (r *run) skip(j *job) {
	t := j.t
	t.stopped = r.stopped()
	if !t.wrote {
		t.res.HeldBack = nil
		r.end(t, NotAttempted, nil)
		return
	}
	t.holdBack(j.revoke)
	r.end(t, HeldBack, &Error{Message: errStopped.Error()})
}

// holdBack adds revokes to those that were held back.
func (t *task) holdBack(revoke []planner.PlannedPrivilege) {
	for _, p := range revoke {
		t.res.HeldBack = append(t.res.HeldBack, p.PrivilegeRef)
	}
}

// end gives the task its last word.
func (r *run) end(t *task, outcome Outcome, e *Error) {
	t.ended = true
	t.res.Outcome = outcome
	t.res.Error = e
}

// mustRead reports whether the principal must be read before it is written.
func (r *run) mustRead(j *job) bool {
	t := j.t
	if here, byRun := j.justified(); r.o.Saved || t.seen == nil || !here.Union(byRun).IsEmpty() {
		return true
	}
	return r.o.MaxStaleness >= 0 && r.o.Now().Sub(t.seenAt) > r.o.MaxStaleness
}

// justified returns the revokes that only take away what is inherited as well:
// inherited already, or by a grant of this run.
func (j *job) justified() (already, byRun planner.Set) {
	user := j.t.change.Principal.Kind == mstrapi.User
	for _, p := range j.revoke {
		switch {
		case p.Reason != planner.ReasonRedundant && (!user || len(p.ReliesOn) == 0):
		case len(p.ReliesOn) > 0:
			byRun.Add(p.ID)
		default:
			already.Add(p.ID)
		}
	}
	return already, byRun
}

// precondition reads the principal and reports whether it is as the plan
// expects it, so that it may be written. Otherwise it ends the task. Revokes that
// the reading does not justify are taken out.
func (r *run) precondition(j *job) bool {
	t := j.t
	already, byRun := j.justified()
	granted := t.verified
	ctx, done := untilStopped(r.ctx, r.o.Stop)
	defer done()
	sets, err := r.readUntil(ctx, t, j.w, func(s *Sets) bool {
		// What this run did may take a moment to be seen here; what it did not do is
		// not waited for.
		return byRun.Minus(s.Inherited).IsEmpty() && (!t.wrote || granted.Minus(s.Direct).IsEmpty())
	})
	if err != nil {
		if ctx.Err() != nil {
			r.skip(j)
			return false
		}
		if r.left(t, err) {
			return false
		}
		t.res.After = nil
		if t.wrote {
			t.holdBack(j.revoke)
			r.end(t, HeldBack, reportError("read before write", err))
		} else {
			t.res.HeldBack = nil // the outcome says everything
			r.end(t, Failed, reportError("read before write", err))
		}
		return false
	}
	last := t.res.After
	t.res.After = sets
	if !t.wrote {
		t.res.Before = sets
	}
	return r.asPlanned(j, last) && r.stillInherited(j, already, byRun)
}

// asPlanned reports whether what was just read is what the plan, or this run's own
// writes, let expect, and something is left to do. Otherwise it ends the task. last is
// the reading before it; nil: none.
func (r *run) asPlanned(j *job, last *Sets) bool {
	t, sets := j.t, j.t.res.After
	grants, revokes := planned(t.change.Grant), planned(t.change.Revoke)
	expected := t.change.Observed.Direct
	earlier := r.o.Earlier.of(t)
	switch {
	case t.wrote && !r.o.Saved && last != nil:
		// As it was read back, with what the server did beside; it is judged when the
		// run ends.
		expected = last.Direct
	case t.wrote:
		// A plan from a file was reviewed with this state in mind, and with what the
		// policy says that the server does by itself.
		expected = t.expected.Union(r.needed(grants).Intersect(sets.Direct))
	case earlier != nil:
		if back := earlier.TakenBack(sets.Direct); !back.IsEmpty() {
			t.res.HeldBack = nil
			r.end(t, Stale, &Error{Message: fmt.Sprintf("run %s applied this plan to it before, and that was taken back since: %s", earlier.Run.ID, r.names(back))})
			return false
		}
		// What is there of the plan is there because of an earlier run, as far as it
		// goes: the answers to its writes may be lost.
		expected = expected.Union(grants.Intersect(sets.Direct)).Minus(revokes.Minus(sets.Direct))
	}
	target := t.change.Observed.Direct.Union(grants).Minus(revokes)
	switch {
	case sets.Direct.Equal(target):
		t.verified = grants
		t.expected = target
		t.res.HeldBack = nil
		if t.wrote {
			// Somebody else did what was left to do.
			r.end(t, Applied, nil)
		} else {
			r.end(t, InSync, nil)
		}
		return false
	case !sets.Direct.Equal(expected) && t.wrote:
		t.holdBack(j.revoke)
		r.end(t, HeldBack, &Error{Message: "direct grants changed between the waves: " + difference(expected, sets.Direct)})
		return false
	case !sets.Direct.Equal(expected):
		t.res.HeldBack = nil
		r.end(t, Stale, &Error{Message: "direct grants differ from the plan's observation: " + difference(expected, sets.Direct)})
		return false
	case earlier != nil && !t.continues(j, sets):
		if j.held {
			r.end(t, HeldBack, nil)
		}
		return false
	}
	return true
}

// stillInherited takes the revokes out of j of what is inherited no more, or not yet,
// and reports whether anything is left. Otherwise it ends the task.
func (r *run) stillInherited(j *job, already, byRun planner.Set) bool {
	t, sets := j.t, j.t.res.After
	gone := already.Union(byRun).Minus(sets.Inherited).Intersect(planned(j.revoke))
	switch {
	case gone.IsEmpty():
		return true
	case r.o.Saved && !t.wrote && !gone.Intersect(already).IsEmpty():
		t.res.HeldBack = nil
		r.end(t, Stale, &Error{Message: "not inherited any more, so that the direct grant is needed: " + r.names(gone.Intersect(already))})
		return false
	}
	j.leaveOut(gone)
	t.why = "not inherited, so that the direct grant is needed: " + r.names(gone)
	if len(j.grant)+len(j.revoke) == 0 {
		r.end(t, HeldBack, &Error{Message: t.why})
		return false
	}
	return true
}

// continues leaves of j what an earlier run of the plan did not do, and reports
// whether that is anything. What is done of it counts as verified by this reading.
func (t *task) continues(j *job, sets *Sets) bool {
	t.verified = t.verified.Union(planned(j.grant).Intersect(sets.Direct))
	done := func(there bool) func(planner.PlannedPrivilege) bool {
		return func(p planner.PlannedPrivilege) bool { return sets.Direct.Has(p.ID) == there }
	}
	j.grant = slices.DeleteFunc(slices.Clone(j.grant), done(true))
	j.revoke = slices.DeleteFunc(slices.Clone(j.revoke), done(false))
	return len(j.grant)+len(j.revoke) > 0
}

// needed returns what the server grants along with the privileges, as the policy
// says.
func (r *run) needed(granted planner.Set) planner.Set {
	var out planner.Set
	for _, p := range r.plan.Prerequisites {
		if granted.Has(p.Privilege.ID) {
			for _, q := range p.Needs {
				out.Add(q.ID)
			}
		}
	}
	return out
}

// readUntil reads the principal, and reads it again until ok is satisfied or no
// reading can lag behind the run's latest write any more. It returns the last
// reading, or, when ctx ended the wait for a better one, its error.
func (r *run) readUntil(ctx context.Context, t *task, w wave, ok func(*Sets) bool) (sets *Sets, err error) {
	enough := false
	r.patiently(ctx, func() bool {
		sets, err = r.read(ctx, t, w)
		enough = err != nil || ok(sets)
		return enough
	})
	if !enough && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return sets, err
}

// patiently calls look until it has seen enough, no reading can lag behind the
// run's latest write any more, or ctx is done.
func (r *run) patiently(ctx context.Context, look func() (enough bool)) {
	for pause := firstLook; !look() && r.worthAnother(ctx, r.lagUntil(), pause); pause = min(2*pause, lastLook) {
	}
}

// lagUntil returns the moment from which on no reading can lag behind a write of
// the run any more.
func (r *run) lagUntil() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lastWrite.IsZero() {
		return r.lastWrite
	}
	return r.lastWrite.Add(max(r.o.VerifyTimeout, 0))
}

// wrote notes that a write was answered, or given up, just now.
func (r *run) wrote() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastWrite = r.o.Now()
}

// worthAnother waits for the pause, or for until if that is earlier, and reports
// whether another reading may tell more than the last one.
func (r *run) worthAnother(ctx context.Context, until time.Time, pause time.Duration) bool {
	left := until.Sub(r.o.Now())
	return left > 0 && mstrapi.Sleep(ctx, min(pause, left)) == nil
}

// read reads the principal and remembers what it saw.
func (r *run) read(ctx context.Context, t *task, w wave) (*Sets, error) {
	t.seen = nil
	at := r.o.Now()
	o, err := planner.ReadPrincipal(ctx, r.look, t.change.Principal.Kind, t.change.Principal.ID, r.level)
	if err != nil {
		r.noteOutage(err)
		return nil, err
	}
	t.seen, t.seenAt, t.seenIn = r.sets(o), at, w
	return t.seen, nil
}

// left reports whether the reading that ended with err failed because the server
// does not have the principal any more; then it ends the task.
func (r *run) left(t *task, err error) bool {
	if !isGone(r.ctx, r.look, r.o.Actor, t.change.Principal, err) {
		return false
	}
	t.gone, t.ended = true, true
	r.tell(goneFinding(t.change.Principal, t.res.Attempts))
	return true
}

func setsOf(o planner.Observation) *Sets { return &Sets{Direct: o.Direct, Inherited: o.Inherited} }

// sets is setsOf for a reading that may name groups which give something only
// through a security role of theirs, and so in one project only: whether they hand
// it down everywhere is read from the groups. Where that cannot be read, they do.
func (r *run) sets(o planner.Observation) *Sets {
	out := setsOf(o)
	for i := range o.Held {
		if h := &o.Held[i]; h.Inherited() && h.Elsewhere() && !r.handedDown(h, map[mstrapi.ObjectID]bool{}) {
			out.Inherited = out.Inherited.Minus(planner.SetOf(h.ID))
		}
	}
	return out
}

// handedDown reports whether a group that h names holds the privilege directly or
// inherits it from one that does.
func (r *run) handedDown(h *mstrapi.Held, seen map[mstrapi.ObjectID]bool) bool {
	for _, g := range h.Groups {
		if seen[g.ID] {
			continue
		}
		seen[g.ID] = true
		held, err := r.look.Held(r.ctx, mstrapi.Group, g.ID, r.level)
		if err != nil {
			return true
		}
		for i := range held {
			if e := &held[i]; e.ID == h.ID && (e.Direct || e.Inherited() && (!e.Elsewhere() || r.handedDown(e, seen))) {
				return true
			}
		}
	}
	return false
}

// done reports whether what was to be added and removed is so now.
func done(now, add, remove planner.Set) bool {
	return add.Minus(now).IsEmpty() && remove.Intersect(now).IsEmpty()
}

// write sends the one PATCH of j and finds out what it did. It reports false,
// with the task skipped, if it sent nothing and announced nothing.
//
//	answer            readings     verdict
//	success           as planned   applied
//	success           otherwise    unverified: the server said yes and did not do it
//	refused, unsent   any          failed; after a lost answer as for "lost"
//	lost              as planned   applied
//	lost              otherwise    sent again; after the last attempt unverified
//	any but refused   unreadable   unverified, after is null
//
// A lost request is never reported as not done: it may wait in a proxy or in the
// server, and nothing that the API offers tells when it can no longer be carried
// out. Carried out late it does what was asked for and nothing else.
func (r *run) write(j *job) bool {
	t := j.t
	add, remove := planned(j.grant), planned(j.revoke)
	before := t.seen.Direct
	if !t.wrote {
		t.expected = before
	}
	patch := mstrapi.PrivilegePatch{Add: add.IDs(), Remove: remove.IDs(), Comment: r.o.Comment(t.change.Principal.Kind)}
	pause := newPause()
	var lost error // what became of an earlier attempt that may have been, or may still be, done
	for attempt := 1; ; attempt++ {
		if attempt == 1 && r.halted() {
			r.skip(j)
			return false
		}
		if err := r.o.Journal.intent(j, patch, before, r.o.Now()); err != nil {
			r.journalFailed(err)
			if attempt == 1 {
				r.skip(j)
				return false
			}
			r.verify(j, before, lost)
			return true
		}
		if attempt == 1 && r.ctx.Err() != nil {
			// Announced, but surely not sent.
			r.skip(j)
			return true
		}
		hadWritten := t.wrote
		if attempt > 1 {
			r.repeated.Add(1)
		}
		err := r.send(j, patch, attempt)
		if patch.Comment != "" && badRequest(err) {
			// Its version should take comments; the change is worth more than the comment.
			patch.Comment = ""
			r.repeated.Add(1)
			err = r.send(j, patch, attempt)
		}
		if (errors.Is(err, mstrapi.ErrStopped) || errors.Is(err, mstrapi.ErrLockLost)) && lost == nil {
			t.wrote = hadWritten
			r.noteOutage(err)
			r.skip(j)
			if t.res.Attempts > 0 && t.res.Error == nil {
				t.res.Error = reportError("", err)
			}
			return true
		}
		r.wrote()
		r.noteOutage(err)
		switch {
		case err == nil:
			r.verify(j, before, nil)
			return true
		case !mstrapi.OutcomeUnknown(err) && lost == nil:
			r.unsuccessful(j, before, err)
			return true
		case !mstrapi.OutcomeUnknown(err):
			r.verify(j, before, errors.Join(err, lost))
			return true
		}
		lost = err
		sets, readErr := r.read(r.ctx, t, j.w)
		switch {
		case readErr != nil && r.left(t, readErr):
			return true
		case readErr != nil:
			r.unreadable(j, reportError(unknownWhetherDone, errors.Join(lost, fmt.Errorf("reading what it did: %w", readErr))))
			return true
		case done(sets.Direct, add, remove):
			r.settle(j, before, sets, nil)
			return true
		case attempt >= r.o.MaxAttempts || r.overdue(t):
			r.verify(j, before, lost)
			return true
		case r.halted() || !r.rest(pause.NextBackOff()) || r.halted():
			t.stopped = r.stopped()
			r.verify(j, before, lost)
			return true
		}
	}
}

// send sends one PATCH, and counts it if a request was made.
func (r *run) send(j *job, patch mstrapi.PrivilegePatch, attempt int) error {
	t := j.t
	err := r.s.PatchPrivileges(r.ctx, t.change.Principal.Kind, t.change.Principal.ID, patch)
	r.log(j, attempt, err)
	if e, ok := errors.AsType[*mstrapi.Error](err); !ok || !e.Unsent || e.Attempts > 0 {
		t.res.Attempts++
		t.wrote = true
	}
	return err
}

// unknownWhetherDone is how report and text speak of a write whose answer is not
// known and that was not seen.
const unknownWhetherDone = "unknown whether done"

// badRequest reports whether the server refused the form of a request.
func badRequest(err error) bool {
	e, ok := errors.AsType[*mstrapi.Error](err)
	return ok && e.Status == http.StatusBadRequest
}

// overdue reports whether t has had its time.
func (r *run) overdue(t *task) bool {
	return t.spent+r.o.Now().Sub(t.workedAt) >= r.o.PrincipalTimeout
}

// verify reads back until the write is seen, or no reading can lag behind it any
// more. lost says why its answer is not known; nil: the server said yes.
func (r *run) verify(j *job, before planner.Set, lost error) {
	add, remove := planned(j.grant), planned(j.revoke)
	until := r.o.Now().Add(max(r.o.VerifyTimeout, 0))
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		sets, err := r.read(r.ctx, j.t, j.w)
		switch {
		case err != nil && r.left(j.t, err):
			return
		case err != nil && lost != nil:
			r.unreadable(j, reportError(unknownWhetherDone, errors.Join(lost, fmt.Errorf("reading what it did: %w", err))))
			return
		case err != nil:
			r.unreadable(j, reportError("the server answered with success, and reading back", err))
			return
		case done(sets.Direct, add, remove):
			r.settle(j, before, sets, nil)
			return
		}
		if r.worthAnother(r.ctx, until, pause) {
			continue
		}
		why := &Error{Message: "the server answered with success, but the direct grants are not as written: " +
			difference(before.Union(add).Minus(remove), sets.Direct)}
		if lost != nil {
			why = reportError(unknownWhetherDone, lost)
		}
		if r.ctx.Err() != nil {
			// A reading that contradicts the answer proves nothing if it may be old.
			r.unreadable(j, why)
			return
		}
		r.settle(j, before, sets, why)
		return
	}
}

// unsuccessful ends a write that the server refused, or that was not sent.
func (r *run) unsuccessful(j *job, before planner.Set, err error) {
	t := j.t
	sets, readErr := r.read(r.ctx, t, j.w)
	if readErr != nil && r.left(t, readErr) {
		return
	}
	if readErr != nil {
		t.stopped = t.stopped || r.ctx.Err() != nil
	}
	if sets != nil && done(sets.Direct, planned(j.grant), planned(j.revoke)) {
		// Refused, and it is so all the same.
		r.settle(j, before, sets, nil)
		return
	}
	t.res.After = sets
	t.holdBackRest(j)
	r.end(t, Failed, reportError("", err))
}

// unreadable ends a write whose effect could not be read.
func (r *run) unreadable(j *job, why *Error) {
	j.t.res.After = nil
	j.t.holdBackRest(j)
	j.t.stopped = j.t.stopped || r.ctx.Err() != nil
	r.end(j.t, Unverified, why)
}

// settle ends a write by what was read after it; why is not nil if that is not
// all that was written.
func (r *run) settle(j *job, before planner.Set, sets *Sets, why *Error) {
	t := j.t
	add, remove := planned(j.grant), planned(j.revoke)
	t.res.After = sets
	t.expected = t.expected.Union(add).Minus(remove)
	t.verified = t.verified.Union(add.Intersect(sets.Direct))
	t.res.Granted = append(t.res.Granted, add.Intersect(sets.Direct).Minus(before).IDs()...)
	t.res.Revoked = append(t.res.Revoked, remove.Intersect(before).Minus(sets.Direct).IDs()...)
	already, byRun := j.justified()
	t.relied = t.relied.Union(already).Union(byRun).Minus(sets.Direct)
	switch {
	case why != nil:
		t.holdBackRest(j)
		r.end(t, Unverified, why)
	case j.held:
		if t.why != "" {
			why = &Error{Message: t.why}
		}
		r.end(t, HeldBack, why)
	case j.w.last(t.change):
		r.end(t, Applied, nil)
	default:
		// Between its waves: the word stands if there is no further one.
		t.res.Outcome = HeldBack
	}
}

// holdBackRest adds the revokes of waves that will not come.
func (t *task) holdBackRest(j *job) {
	if j.w == groupGrants {
		t.holdBack(t.change.Revoke)
	}
}

func (r *run) log(j *job, attempt int, err error) {
	l := r.o.Logger.With("principal", string(j.t.change.Principal.ID), "kind", string(j.t.change.Principal.Kind),
		"wave", int(j.w), "attempt", attempt)
	if err != nil {
		l.Debug("write answered", "error", err, "outcomeUnknown", mstrapi.OutcomeUnknown(err))
		return
	}
	l.Debug("write answered")
}

// planned returns the numbers of list.
func planned(list []planner.PlannedPrivilege) planner.Set {
	var s planner.Set
	for _, p := range list {
		s.Add(p.ID)
	}
	return s
}

// difference says how got differs from want: +1 +2 -3, at most ten of each.
func difference(want, got planner.Set) string {
	var b strings.Builder
	list := func(sign string, s planner.Set) {
		n := 0
		for id := range s.All() {
			if n++; n > 10 {
				fmt.Fprintf(&b, " and %d more", s.Len()-10)
				return
			}
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(sign + id.String())
		}
	}
	list("+", got.Minus(want))
	list("-", want.Minus(got))
	return b.String()
}

// newPause returns the growing, jittered times between two attempts.
func newPause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.Multiplier = 2
	b.MaxInterval = 30 * time.Second
	return b
}

// rest pauses and reports whether it came to its end: false when the run was stopped.
func (r *run) rest(d time.Duration) bool {
	ctx, done := untilStopped(r.ctx, r.o.Stop)
	defer done()
	return mstrapi.Sleep(ctx, d) == nil
}

// untilStopped returns a context that ends with ctx, or when stop is done. The caller
// calls the function when it needs it no more.
func untilStopped(ctx, stop context.Context) (context.Context, func()) {
	both, cancel := context.WithCancelCause(ctx)
	off := context.AfterFunc(stop, func() { cancel(context.Cause(stop)) })
	return both, func() {
		off()
		cancel(nil)
	}
}

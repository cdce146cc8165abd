package executor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"privsync/mstrapi"
	"privsync/planner"
)

// verifyReads bounds the readings after a write that was answered with success
// and is not to be seen: a cluster's other node may need a moment.
const verifyReads = 2

// errStopped is the cause of what was not started because the run was stopped.
var errStopped = errors.New("the run was stopped")

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
	case r.mustRead(t) && !r.precondition(j):
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

// mustRead reports whether t must be read before it is written.
func (r *run) mustRead(t *task) bool {
	if r.o.Saved || t.seen == nil {
		return true
	}
	return r.o.MaxStaleness >= 0 && r.o.Now().Sub(t.seenAt) > r.o.MaxStaleness
}

// precondition reads the principal and reports whether it is as the plan
// expects it, so that it may be written. Otherwise it ends the task.
func (r *run) precondition(j *job) bool {
	t := j.t
	sets, err := r.read(t)
	if err != nil {
		t.res.After = nil
		t.stopped = t.stopped || r.ctx.Err() != nil
		if t.wrote {
			t.holdBack(j.revoke)
			r.end(t, HeldBack, reportError("read before write", err))
		} else {
			t.res.HeldBack = nil // the outcome says everything
			r.end(t, Failed, reportError("read before write", err))
		}
		return false
	}
	t.res.After = sets
	if !t.wrote {
		t.res.Before = sets
	}
	grants, revokes := planned(t.change.Grant), planned(t.change.Revoke)
	expected := t.change.Observed.Direct
	if t.wrote {
		expected = expected.Union(grants)
	}
	target := t.change.Observed.Direct.Union(grants).Minus(revokes)
	switch {
	case sets.Direct.Equal(target):
		t.verified = grants
		t.res.HeldBack = nil
		if t.wrote {
			// Somebody else did what was left to do.
			r.end(t, Applied, nil)
		} else {
			r.end(t, InSync, nil)
		}
		return false
	case sets.Direct.Equal(expected):
		return true
	case t.wrote:
		t.holdBack(j.revoke)
		r.end(t, HeldBack, &Error{Message: "direct grants changed between the waves: " + difference(expected, sets.Direct)})
	default:
		t.res.HeldBack = nil
		r.end(t, Stale, &Error{Message: "direct grants differ from the plan's observation: " + difference(expected, sets.Direct)})
	}
	return false
}

// read reads the principal and remembers what it saw.
func (r *run) read(t *task) (*Sets, error) {
	t.seen = nil
	at := r.o.Now()
	o, err := planner.ReadPrincipal(r.ctx, r.s, t.change.Principal.Kind, t.change.Principal.ID, r.plan.Scope.Level)
	if err != nil {
		r.noteOutage(err)
		return nil, err
	}
	t.seen, t.seenAt = setsOf(o), at
	return t.seen, nil
}

func setsOf(o planner.Observation) *Sets { return &Sets{Direct: o.Direct, Inherited: o.Inherited} }

// verdict is what a reading after a write says about it.
type verdict int

const (
	undone verdict = iota // nothing of what was planned is there
	partly
	complete // everything planned is there
)

// compare judges a reading by what was to be added and removed since before.
func compare(before, now, add, remove planner.Set) verdict {
	missing := add.Minus(now).Len() + remove.Intersect(now).Len()
	already := add.Intersect(before).Len() + remove.Minus(before).Len()
	switch {
	case missing == 0:
		return complete
	case missing == add.Len()+remove.Len()-already:
		return undone
	}
	return partly
}

// write sends the one PATCH of j and finds out what it did. It reports false,
// with the task skipped, if it sent nothing and announced nothing.
//
//	answer            reading      verdict
//	success           as planned   applied
//	success           otherwise    unverified: the server said yes and did not do it
//	refused, unsent   any          failed; after a lost answer as for "lost"
//	lost              as planned   applied
//	lost              otherwise    sent again; after the last attempt failed or unverified
//	any but refused   unreadable   unverified, after is null
func (r *run) write(j *job) bool {
	t := j.t
	add, remove := planned(j.grant), planned(j.revoke)
	before := t.res.Before.Direct
	if t.wrote && t.seen != nil {
		before = t.seen.Direct
	}
	kind, id := t.change.Principal.Kind, t.change.Principal.ID
	patch := mstrapi.PrivilegePatch{Add: add.IDs(), Remove: remove.IDs(), Comment: r.o.Comment(kind)}
	pause := newPause()
	lost := false // an earlier attempt may have been, or may still be, done
	for attempt := 1; ; attempt++ {
		if attempt == 1 && r.halted() {
			r.skip(j)
			return false
		}
		if err := r.o.Journal.intent(j, patch, r.o.Now()); err != nil {
			r.journalFailed(err)
			if attempt == 1 {
				r.skip(j)
				return false
			}
			r.unsuccessful(j, before, lost, err)
			return true
		}
		if attempt == 1 && r.ctx.Err() != nil {
			// Announced, but surely not sent.
			r.skip(j)
			return true
		}
		t.res.Attempts++
		if attempt > 1 {
			r.repeated.Add(1)
		}
		t.wrote = true
		err := r.s.PatchPrivileges(r.ctx, kind, id, patch)
		r.log(j, attempt, err)
		if patch.Comment != "" && badRequest(err) {
			// Its version should take comments; the change is worth more than the comment.
			patch.Comment = ""
			t.res.Attempts++
			r.repeated.Add(1)
			err = r.s.PatchPrivileges(r.ctx, kind, id, patch)
			r.log(j, attempt, err)
		}
		r.noteOutage(err)
		if err == nil {
			r.verify(j, before, pause)
			return true
		}
		if !mstrapi.OutcomeUnknown(err) {
			r.unsuccessful(j, before, lost, err)
			return true
		}
		lost = true
		sets, readErr := r.read(t)
		if readErr != nil {
			r.unreadable(j, errors.Join(err, fmt.Errorf("reading what it did: %w", readErr)))
			return true
		}
		if compare(before, sets.Direct, add, remove) == complete {
			r.settle(j, before, sets, complete, nil)
			return true
		}
		if attempt >= r.o.MaxAttempts || r.overdue(t) {
			r.unsuccessful(j, before, lost, err)
			return true
		}
		if r.halted() || !pause.wait(r.ctx, r.o.Stop) || r.halted() {
			t.stopped = r.stopped()
			r.unsuccessful(j, before, lost, err)
			return true
		}
	}
}

// badRequest reports whether the server refused the form of a request.
func badRequest(err error) bool {
	var e *mstrapi.Error
	return errors.As(err, &e) && e.Status == http.StatusBadRequest
}

// overdue reports whether t has had its time.
func (r *run) overdue(t *task) bool {
	return t.spent+r.o.Now().Sub(t.workedAt) >= r.o.PrincipalTimeout
}

// verify reads back after a PATCH that was answered with success.
func (r *run) verify(j *job, before planner.Set, pause *pause) {
	add, remove := planned(j.grant), planned(j.revoke)
	for reading := 1; ; reading++ {
		sets, err := r.read(j.t)
		if err != nil {
			r.unreadable(j, fmt.Errorf("reading back: %w", err))
			return
		}
		v := compare(before, sets.Direct, add, remove)
		if v == complete {
			r.settle(j, before, sets, v, nil)
			return
		}
		lie := errors.New("the server answered with success, but the direct grants are not as written: " +
			difference(before.Union(add).Minus(remove), sets.Direct))
		if reading >= verifyReads {
			r.settle(j, before, sets, v, lie)
			return
		}
		if !pause.wait(r.ctx, nil) {
			// A single reading that contradicts the answer proves nothing.
			r.unreadable(j, lie)
			return
		}
	}
}

// unsuccessful ends a write whose last PATCH was refused or lost. lost says that
// an attempt may have been done all the same: then a reading decides.
func (r *run) unsuccessful(j *job, before planner.Set, lost bool, err error) {
	t := j.t
	sets, readErr := r.read(t)
	if readErr != nil {
		if lost {
			r.unreadable(j, errors.Join(err, fmt.Errorf("reading what it did: %w", readErr)))
			return
		}
		t.res.After = nil
		t.holdBackRest(j)
		t.stopped = t.stopped || r.ctx.Err() != nil
		r.end(t, Failed, reportError("", err))
		return
	}
	if v := compare(before, sets.Direct, planned(j.grant), planned(j.revoke)); lost && v != undone {
		r.settle(j, before, sets, v, err)
		return
	}
	t.res.After = sets
	t.holdBackRest(j)
	r.end(t, Failed, reportError("", err))
}

// unreadable ends a write whose effect could not be read.
func (r *run) unreadable(j *job, err error) {
	j.t.res.After = nil
	j.t.holdBackRest(j)
	j.t.stopped = j.t.stopped || r.ctx.Err() != nil
	r.end(j.t, Unverified, reportError("", err))
}

// settle ends a write by what was read after it.
func (r *run) settle(j *job, before planner.Set, sets *Sets, v verdict, err error) {
	t := j.t
	add, remove := planned(j.grant), planned(j.revoke)
	t.res.After = sets
	t.verified = t.verified.Union(add.Intersect(sets.Direct))
	t.res.Granted = append(t.res.Granted, add.Intersect(sets.Direct).Minus(before).IDs()...)
	t.res.Revoked = append(t.res.Revoked, remove.Intersect(before).Minus(sets.Direct).IDs()...)
	switch {
	case v != complete:
		t.holdBackRest(j)
		r.end(t, Unverified, reportError("", err))
	case j.held:
		r.end(t, HeldBack, nil)
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

// pause is the growing, jittered time between two attempts.
type pause struct{ b *backoff.ExponentialBackOff }

func newPause() *pause {
	b := backoff.NewExponentialBackOff()
	b.Multiplier = 2
	b.MaxInterval = 30 * time.Second
	return &pause{b}
}

// wait pauses and reports whether it came to its end: false when ctx or stop,
// which may be nil, was done first.
func (p *pause) wait(ctx, stop context.Context) bool {
	return sleep(ctx, stop, p.b.NextBackOff())
}

func sleep(ctx, stop context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var stopped <-chan struct{}
	if stop != nil {
		stopped = stop.Done()
	}
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-stopped:
	}
	return false
}

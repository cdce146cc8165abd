package main

import (
	"context"
	"fmt"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// observe reads from the server what pol is about. Where to, progress and log
// are added to o.
func (a *app) observe(ctx context.Context, r *mstrapi.Reader, pol *policy.Policy, o planner.ObserveOptions) (*planner.State, error) {
	p := a.startProgress(r.Pace)
	defer p.end()
	o.URL, o.Progress, o.Logger = r.URL(), p.report, a.log
	state, err := planner.Observe(ctx, r, pol, o)
	if err != nil {
		return nil, fmt.Errorf("read from %s: %w", r.URL(), err)
	}
	return state, nil
}

// past returns what the reports of earlier runs of pol on server say: those
// where this run's report goes, and those in the state folder. It is evidence for a
// person, so what cannot be read is told and no more.
func (a *app) past(ctx context.Context, server executor.Target, pol *policy.Policy, to executor.Destination, state *stateFlags, now time.Time) planner.Past {
	var past planner.Past
	same, ref := sameServer(ctx, server), planner.RefOf(pol, now)
	store, err := state.look(a)
	if err == nil {
		past, err = store.Past(ctx, to, same, ref)
	} else {
		if state.shared() {
			a.log.Warn("the store could not be read, so this run is not compared with the policy's last run", "error", err)
		}
		past, err = executor.FindPast([]executor.Destination{to}, same, ref)
	}
	if err != nil {
		a.log.Warn("the report of the policy's last run could not be read, so this run is not compared with it", "error", err)
	}
	return past
}

// planOf reads what pol is about, makes its plan and judges it, at the state's moment. An
// interrupt ends it.
func (a *app) planOf(ctx context.Context, r *mstrapi.Reader, pol *policy.Policy, look planner.ObserveOptions, make planner.MakeOptions, over planner.Overrides) (*planner.State, *planner.Plan, []planner.Guard, error) {
	state, err := a.observe(ctx, r, pol, look)
	if err != nil {
		return nil, nil, nil, err
	}
	make.Tool = toolRef()
	plan, err := await(a, func() (*planner.Plan, error) {
		plan := planner.Make(pol, state, make)
		if err := plan.Seal(); err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		return plan, nil
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return state, plan, planner.Guards(plan, over), nil
}

// sessionUser returns whose session r has; the zero Actor where the server's
// version does not tell.
func sessionUser(ctx context.Context, r *mstrapi.Reader) (planner.Actor, error) {
	who, err := r.SessionUser(ctx)
	if err != nil && !mstrapi.IsRouteMissing(err) {
		return planner.Actor{}, fmt.Errorf("read who is logged in: %w", err)
	}
	return planner.Actor{ID: who.ID, Name: who.FullName}, nil
}

// judge judges a plan that was not made in this run with actor in mind, by pol or,
// if that is nil, by what the plan says.
func judge(ctx context.Context, r *mstrapi.Reader, plan *planner.Plan, pol *policy.Policy, actor planner.Actor, o planner.Overrides) ([]planner.Guard, error) {
	judged, err := planner.JudgeFor(ctx, r, plan, pol, actor)
	if err != nil {
		return nil, fmt.Errorf("what the session's user would lose: %w", err)
	}
	return planner.Guards(judged, o), nil
}

// isGone is [planner.IsGone] for r's session. The error ends the run: the session's
// user could not be asked for.
func isGone(ctx context.Context, r *mstrapi.Reader, kind mstrapi.Kind, id mstrapi.ObjectID, err error) (bool, error) {
	if !mstrapi.IsNotFound(err) {
		return false, nil
	}
	self, asked := sessionUser(ctx, r)
	if asked != nil {
		return false, asked
	}
	gone, _ := planner.IsGone(ctx, r, self.ID, kind, id, err)
	return gone, nil
}

// lookAt is [planner.ReadPrincipal]; gone says that the principal does not exist. One
// answer that it does not, about one that is there, is not the last word.
func lookAt(ctx context.Context, r *mstrapi.Reader, p planner.Principal, level mstrapi.Level) (seen planner.Observation, gone bool, err error) {
	seen, err = planner.ReadPrincipal(ctx, r, p.Kind, p.ID, level)
	if !mstrapi.IsNotFound(err) {
		return seen, false, err
	}
	if gone, fatal := isGone(ctx, r, p.Kind, p.ID, err); gone || fatal != nil {
		return seen, gone, fatal
	}
	seen, err = planner.ReadPrincipal(ctx, r, p.Kind, p.ID, level)
	return seen, false, err
}

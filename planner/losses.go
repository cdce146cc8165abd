package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"privsync/mstrapi"
	"privsync/policy"
)

// actorLoses returns what the session's user works with and would lose by the changes.
func actorLoses(p *projection, changes []Change) Set {
	fromGroup := p.work.Intersect(p.lossy.Union(p.spared)) // what some group loses
	o := p.actor
	switch {
	case p.st.Actor.ID == "":
		// Whose privileges would have to be projected is not known: it may be anybody.
		var revoked Set
		for i := range changes {
			revoked = revoked.Union(changes[i].revoked())
		}
		return p.work.Intersect(revoked)
	case o == nil && fromGroup.IsEmpty():
		return Set{}
	case o == nil:
		needActor(p)
		return Set{}
	case o.Err != nil:
		return fromGroup
	}
	direct, inherited := p.heldAfter(o, false)
	return p.work.Intersect(o.Direct.Union(o.Inherited)).Minus(direct.Union(inherited))
}

// actorRisks returns the session's user and the groups above it from which something
// is revoked, where it is not known what that user works with: it may be that.
func actorRisks(p *projection, changes []Change) []Principal {
	if p.st.work.identified {
		return nil
	}
	var risks []Principal
	for i := range changes {
		c := &changes[i]
		switch {
		case len(c.Revoke) == 0:
			continue
		case p.st.Actor.ID == "" || c.Principal.ID == p.st.Actor.ID:
		case c.Principal.Kind == mstrapi.User:
			continue
		case p.actor == nil:
			needActor(p)
			return nil
		case p.actor.Err == nil && !p.kin.above(c.Principal.ID, p.actor):
			continue
		}
		risks = append(risks, c.Principal)
	}
	slices.SortFunc(risks, func(a, b Principal) int { return a.Compare(&b) })
	return risks
}

func needActor(p *projection) {
	p.needs.principals = append(p.needs.principals, mstrapi.PrincipalRow{Kind: mstrapi.User, ID: p.st.Actor.ID, Name: p.st.Actor.Name})
}

// JudgeFor returns the plan as [Guards] must judge it when actor applies it to
// the server as it is now: a plan that was saved, or that undoes a report. It
// reads what it takes to know whether that user would lose what it works with,
// nothing where the plan revokes nothing that could be that. The plan does not
// change, and the result is for judging only, for its digest is still that of
// the plan.
//
// pol is the policy at hand, nil if there is none. Then the privileges that the
// plan says its policy names as those that this user works with count beside the
// known ones, not instead of them, and identify nothing: the plan may say anything.
//
// An error means that it cannot be judged, so that it must not be applied; see
// [Observe].
func JudgeFor(ctx context.Context, r Reader, p *Plan, pol *policy.Policy, actor Actor) (*Plan, error) {
	judged := *p
	judged.Actor, judged.Safety.ActorLoses, judged.Safety.ActorRisks = actor, []PrivilegeRef{}, nil
	concerns := func(c *Change) bool {
		return len(c.Revoke) > 0 && (actor.ID == "" || c.Principal.ID == actor.ID || c.Principal.Kind == mstrapi.Group)
	}
	var revoked Set
	for i := range p.Changes {
		if c := &p.Changes[i]; concerns(c) {
			revoked = revoked.Union(c.revoked())
		}
	}
	if revoked.IsEmpty() {
		return &judged, nil
	}
	list, err := r.Catalogue(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalogue of privileges: %w", err)
	}
	work, err := workToJudge(ctx, r, p, pol, actor, list)
	if err != nil {
		return nil, err
	}
	j := judge{r: r, plan: p, actor: actor}
	if !work.identified {
		if err := j.climb(ctx, nil); err != nil {
			return nil, err
		}
		for i := range p.Changes {
			if c := &p.Changes[i]; concerns(c) && (c.Principal.Kind == mstrapi.User || actor.ID == "" || j.above[c.Principal.ID]) {
				judged.Safety.ActorRisks = append(judged.Safety.ActorRisks, c.Principal)
			}
		}
	}
	lost, err := j.loses(ctx, work.privileges.Intersect(revoked))
	if err != nil {
		return nil, err
	}
	judged.Safety.ActorLoses = orEmpty(newPrivilegeIndex(list, mstrapi.LevelAll).refs(lost))
	return &judged, nil
}

// workToJudge identifies what actor works with for [JudgeFor].
func workToJudge(ctx context.Context, r Reader, p *Plan, pol *policy.Policy, actor Actor, list []mstrapi.Privilege) (work, error) {
	if pol != nil {
		var named []policy.Ref
		if pol.Safety != nil {
			named = pol.Safety.OwnPrivileges
		}
		return identifyWork(ctx, r, actor, list, named)
	}
	known, err := identifyWork(ctx, r, actor, list, nil)
	claimed := p.Policy.ownPrivileges()
	if len(claimed) == 0 {
		return known, err
	}
	if err != nil && !errors.Is(err, ErrNotAllowed) { // the claimed ones may be what it works with
		return work{}, err
	}
	more, err := identifyWork(ctx, r, actor, list, claimed)
	if err != nil {
		return work{}, err
	}
	known.privileges = known.privileges.Union(more.privileges)
	return known, nil
}

// ownPrivileges returns the privileges that the policy names as those that the
// session's user works with.
func (p *PolicyRef) ownPrivileges() []policy.Ref {
	if p.InForce == nil || p.InForce.Safety == nil {
		return nil
	}
	var out []policy.Ref
	for _, text := range p.InForce.Safety.OwnPrivileges {
		if n, err := strconv.ParseUint(text, 10, 16); err == nil {
			out = append(out, policy.Ref{ID: int(n)})
		} else {
			out = append(out, policy.Ref{Name: text})
		}
	}
	return out
}

// judge finds out what a plan leaves to one user.
type judge struct {
	r     Reader
	plan  *Plan
	actor Actor
	above map[mstrapi.ObjectID]bool // groups above the user, as far as they were met
}

// loses returns which of the privileges the user holds now and not after the
// plan.
func (j *judge) loses(ctx context.Context, work Set) (Set, error) {
	if work.IsEmpty() || j.actor.ID == "" {
		return work, nil // it may be anybody
	}
	seen, err := ReadPrincipal(ctx, j.r, mstrapi.User, j.actor.ID, j.plan.Scope.Level)
	if err != nil {
		return Set{}, fmt.Errorf("what the session's user holds: %w", err)
	}
	lost := work.Intersect(seen.Direct.Union(seen.Inherited)).Minus(j.after(j.actor.ID, seen.Direct))
	if lost.IsEmpty() {
		return lost, nil
	}
	err = j.climb(ctx, func(group mstrapi.ObjectID) (bool, error) {
		seen, err := ReadPrincipal(ctx, j.r, mstrapi.Group, group, j.plan.Scope.Level)
		if err != nil {
			return false, fmt.Errorf("what a group above the session's user holds: %w", err)
		}
		lost = lost.Minus(j.after(group, seen.Direct))
		return !lost.IsEmpty(), nil
	})
	return lost, err
}

// after returns what a principal holds directly once the plan is done.
func (j *judge) after(id mstrapi.ObjectID, direct Set) Set {
	i := slices.IndexFunc(j.plan.Changes, func(c Change) bool { return c.Principal.ID == id })
	if i < 0 {
		return direct
	}
	return j.plan.Changes[i].after(direct)
}

// climb meets every group above the user, each once, until visit, if there is
// one, wants no more.
func (j *judge) climb(ctx context.Context, visit func(mstrapi.ObjectID) (more bool, err error)) error {
	j.above = make(map[mstrapi.ObjectID]bool)
	if j.actor.ID == "" {
		return nil
	}
	if visit == nil {
		j.above[mstrapi.EveryoneGroup] = true // not every server lists it among a user's groups
	}
	type step struct {
		kind mstrapi.Kind
		id   mstrapi.ObjectID
	}
	todo := []step{{mstrapi.User, j.actor.ID}}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		refs, err := j.r.Memberships(ctx, at.kind, at.id)
		if err != nil {
			return fmt.Errorf("where the session's user belongs: %w", err)
		}
		for _, ref := range refs {
			if j.above[ref.ID] {
				continue
			}
			j.above[ref.ID] = true
			todo = append(todo, step{mstrapi.Group, ref.ID})
			if visit == nil {
				continue
			}
			if more, err := visit(ref.ID); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

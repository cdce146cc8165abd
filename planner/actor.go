package planner

import (
	"slices"

	"privsync/mstrapi"
)

// MustJudge reports whether [Plan.JudgedFor] has to be asked before actor
// applies the plan: it revokes, from anybody, the privilege that the session
// needs for the work, and was not made with this user in mind (another user
// made it, or it undoes a report).
func (p *Plan) MustJudge(actor Actor) bool {
	return slices.ContainsFunc(p.managerRevokes(), func(r managerRevoke) bool {
		return actor.ID != p.Actor.ID || r.reason == ReasonRollback
	})
}

// JudgedFor returns the plan as [Guards] must judge it when another user
// applies it than the one who made it: seen is what that user holds now. The
// receiver does not change, and the result is for judging only, for its digest
// is still that of the receiver.
//
// A saved plan does not say which groups the user belongs to, so the answer is
// on the safe side: the user counts as losing the privilege unless it is held
// directly, or through a named group, and that very grant stays.
func (p *Plan) JudgedFor(actor Actor, seen Observation) *Plan {
	judged := *p
	judged.Actor, judged.Safety.ActorLoses = actor, []PrivilegeRef{}
	revokes := p.managerRevokes()
	if len(revokes) == 0 {
		return &judged
	}
	ref := revokes[0].privilege
	if actor.ID == "" {
		judged.Safety.ActorLoses = []PrivilegeRef{ref} // it may be anybody
		return &judged
	}
	i := slices.IndexFunc(seen.Held, func(h mstrapi.Held) bool { return h.ID == ref.ID })
	if i < 0 {
		return &judged // there is nothing to lose
	}
	lost := func(id mstrapi.ObjectID) bool {
		return slices.ContainsFunc(revokes, func(r managerRevoke) bool { return r.principal.ID == id })
	}
	fromGroup := slices.ContainsFunc(revokes, func(r managerRevoke) bool { return r.principal.Kind == mstrapi.Group })
	held := seen.Held[i]
	// A source may be the parent through which the privilege arrives, so that no
	// named group is a proof while any group loses it.
	if held.Direct && !lost(actor.ID) || held.Inherited() && !fromGroup {
		return &judged
	}
	judged.Safety.ActorLoses = []PrivilegeRef{ref}
	return &judged
}

type managerRevoke struct {
	principal Principal
	privilege PrivilegeRef
	reason    Reason
}

func (p *Plan) managerRevokes() []managerRevoke {
	var out []managerRevoke
	for _, c := range p.Changes {
		for _, r := range c.Revoke {
			if r.Name == ManagerPrivilege {
				out = append(out, managerRevoke{c.Principal, r.PrivilegeRef, r.Reason})
			}
		}
	}
	return out
}

package executor

import (
	"maps"
	"slices"

	"privsync/mstrapi"
	"privsync/planner"
)

// checkRelied reads the grants again that revokes on groups rely on: somebody may
// have taken back what was verified. Those of users are read again only if their
// last reading is too old.
func (r *run) checkRelied() {
	relied := make(map[*task]planner.Set)
	for _, t := range r.tasks {
		if t.ended || t.change.Principal.Kind != mstrapi.Group {
			continue
		}
		for _, p := range t.change.Revoke {
			for _, id := range p.ReliesOn {
				on := r.byID[id]
				if on == nil || on.gone || !on.verified.Has(p.ID) {
					continue
				}
				if on.change.Principal.Kind == mstrapi.User && r.o.MaxStaleness >= 0 && r.o.Now().Sub(on.seenAt) <= r.o.MaxStaleness {
					continue
				}
				relied[on] = relied[on].Union(planner.SetOf(p.ID))
			}
		}
	}
	concurrently(r.o.Concurrency, maps.Keys(relied), func(t *task) {
		if r.halted() {
			return
		}
		needed := relied[t]
		sets, err := r.readUntil(r.ctx, t, groupRevokes, func(s *Sets) bool { return needed.Minus(s.Direct).IsEmpty() })
		if err != nil {
			r.o.Logger.Warn("a grant that revokes rely on could not be read again, so they are held back", "principal", string(t.change.Principal.ID), "error", err)
			t.verified = t.verified.Minus(needed)
			return
		}
		t.verified = t.verified.Minus(needed.Minus(sets.Direct))
		t.res.After = sets
	})
}

// checkAwaiting reads those who await a group's grant that a revoke on another
// group relies on: where the server does not hand the grant down to them, the
// revoke would take away what they have.
func (r *run) checkAwaiting() {
	relied := make(map[mstrapi.ObjectID]planner.Set)
	losers := make(map[mstrapi.ObjectID]planner.Set)
	for _, t := range r.tasks {
		if t.ended || t.change.Principal.Kind != mstrapi.Group {
			continue
		}
		losers[t.change.Principal.ID] = planned(t.change.Revoke)
		for _, p := range t.change.Revoke {
			for _, id := range p.ReliesOn {
				relied[id] = relied[id].Union(planner.SetOf(p.ID))
			}
		}
	}
	if len(relied) == 0 {
		return
	}
	r.unreached = make(map[mstrapi.ObjectID]planner.Set)
	type waiting struct {
		planner.Principal
		needed planner.Set
		awaits []planner.Awaited
	}
	var list []waiting
	for i := range r.plan.Watch {
		w := &r.plan.Watch[i]
		var needed planner.Set
		for _, a := range w.Awaits {
			if slices.ContainsFunc(a.Grants, func(id mstrapi.ObjectID) bool { return relied[id].Has(a.Privilege.ID) }) {
				needed.Add(a.Privilege.ID)
			}
		}
		for _, p := range w.Principals {
			if !needed.IsEmpty() {
				list = append(list, waiting{p, needed, w.Awaits})
			}
		}
	}
	concurrently(r.o.Concurrency, slices.Values(list), func(p waiting) {
		lacks := r.lacks(p.Principal, p.needed, losers)
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, a := range p.awaits {
			if lacks.Has(a.Privilege.ID) {
				for _, id := range a.Grants {
					r.unreached[id] = r.unreached[id].Union(planner.SetOf(a.Privilege.ID))
				}
			}
		}
	})
}

// lacks reads the principal until it holds what is needed otherwise than through
// the groups that are about to lose it, or no reading can lag behind any more, and
// returns what it does not hold then. Who left lacks nothing; who cannot be read
// lacks everything.
func (r *run) lacks(p planner.Principal, needed planner.Set, losers map[mstrapi.ObjectID]planner.Set) planner.Set {
	lacks := needed
	r.patiently(r.ctx, func() bool {
		lacks = needed
		if r.halted() {
			return true
		}
		o, err := planner.ReadPrincipal(r.ctx, r.look, p.Kind, p.ID, r.level)
		if err != nil {
			r.noteOutage(err)
			if isGone(r.ctx, r.look, r.o.Actor, p, err) {
				lacks = planner.Set{}
			} else {
				r.o.Logger.Warn("a principal that awaits a group's grant could not be read, so revokes that rely on the grant are held back", "principal", string(p.ID), "error", err)
			}
			return true
		}
		lacks = needed.Minus(o.Direct).Minus(r.handedByOthers(o.Held, losers))
		return lacks.IsEmpty()
	})
	return lacks
}

// handedByOthers returns what groups hand down that are not about to lose it.
func (r *run) handedByOthers(held []mstrapi.Held, losers map[mstrapi.ObjectID]planner.Set) (out planner.Set) {
	for i := range held {
		h := &held[i]
		losing := make(map[mstrapi.ObjectID]bool)
		others := false
		for _, g := range h.Groups {
			losing[g.ID] = losers[g.ID].Has(h.ID)
			others = others || !losing[g.ID]
		}
		if others && (!h.Elsewhere() || r.handedDown(h, losing)) {
			out.Add(h.ID)
		}
	}
	return out
}

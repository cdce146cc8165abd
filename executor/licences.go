package executor

import (
	"slices"

	"privsync/mstrapi"
	"privsync/planner"
)

// verifiedLicences returns a plan's forecast with what was verified in place of what
// was foretold: a gain counts if a grant that makes it was seen, a free if every
// revoke was that it takes. It is incomplete unless everything planned was verified.
func verifiedLicences(forecast *planner.Licences, plan *planner.Plan, results []Result) *planner.Licences {
	if forecast == nil {
		return nil
	}
	v := make(outcomes, len(results))
	for i := range results {
		v[results[i].Principal.ID] = &results[i]
	}
	out := *forecast
	out.Products = slices.Clone(forecast.Products)
	for i := range plan.Changes {
		if !settled(v[plan.Changes[i].Principal.ID]) {
			out.Complete = false
		}
	}
	for i := range out.Products {
		p := &out.Products[i]
		p.Gains = slices.DeleteFunc(slices.Clone(p.Gains), func(c planner.Consumer) bool { return !v.gained(c.Through) })
		p.Frees = slices.DeleteFunc(slices.Clone(p.Frees), func(c planner.Consumer) bool { return !v.lost(c.Through) })
		for _, e := range p.Exchanges {
			if v.lost(e.Loses) && !v.gained(e.Gains) {
				p.Frees = append(p.Frees, planner.Consumer{Principal: e.Principal, Through: e.Loses})
			}
		}
		slices.SortFunc(p.Frees, func(a, b planner.Consumer) int { return a.Principal.Compare(&b.Principal) })
		after := p.Now + len(p.Gains) - len(p.Frees)
		if p.AtMost != nil {
			most := *p.AtMost - p.Difference + after - p.Now
			p.AtMost = &most
		}
		p.After, p.Difference = after, after-p.Now
	}
	return &out
}

// outcomes are the results of a run by principal.
type outcomes map[mstrapi.ObjectID]*Result

// settled reports whether everything that was planned for a principal was seen.
func settled(r *Result) bool { return r != nil && (r.Outcome == Applied || r.Outcome == InSync) }

// gained reports whether a grant was seen by which any of the privileges is held.
func (v outcomes) gained(through []planner.Through) bool {
	return slices.ContainsFunc(through, func(t planner.Through) bool {
		return slices.ContainsFunc(t.Changes, func(id mstrapi.ObjectID) bool {
			r := v[id]
			return settled(r) || r != nil && slices.Contains(r.Granted, t.Privilege.ID)
		})
	})
}

// lost reports whether all revokes were seen that take the privileges.
func (v outcomes) lost(through []planner.Through) bool {
	return !slices.ContainsFunc(through, func(t planner.Through) bool {
		return slices.ContainsFunc(t.Changes, func(id mstrapi.ObjectID) bool {
			r := v[id]
			return !settled(r) && (r == nil || !slices.Contains(r.Revoked, t.Privilege.ID))
		})
	})
}

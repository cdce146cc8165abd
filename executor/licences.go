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
	byID := make(map[mstrapi.ObjectID]*Result, len(results))
	for i := range results {
		byID[results[i].Principal.ID] = &results[i]
	}
	settled := func(r *Result) bool { return r != nil && (r.Outcome == Applied || r.Outcome == InSync) }
	granted := func(id mstrapi.ObjectID, q mstrapi.PrivilegeID) bool {
		r := byID[id]
		return settled(r) || r != nil && slices.Contains(r.Granted, q)
	}
	revoked := func(id mstrapi.ObjectID, q mstrapi.PrivilegeID) bool {
		r := byID[id]
		return settled(r) || r != nil && slices.Contains(r.Revoked, q)
	}
	out := *forecast
	out.Products = slices.Clone(forecast.Products)
	for i := range plan.Changes {
		if !settled(byID[plan.Changes[i].Principal.ID]) {
			out.Complete = false
		}
	}
	for i := range out.Products {
		p := &out.Products[i]
		p.Gains = slices.DeleteFunc(slices.Clone(p.Gains), func(c planner.Consumer) bool {
			return !slices.ContainsFunc(c.Through, func(t planner.Through) bool {
				return slices.ContainsFunc(t.Changes, func(id mstrapi.ObjectID) bool { return granted(id, t.Privilege.ID) })
			})
		})
		p.Frees = slices.DeleteFunc(slices.Clone(p.Frees), func(c planner.Consumer) bool {
			return slices.ContainsFunc(c.Through, func(t planner.Through) bool {
				return slices.ContainsFunc(t.Changes, func(id mstrapi.ObjectID) bool { return !revoked(id, t.Privilege.ID) })
			})
		})
		after := p.Now + len(p.Gains) - len(p.Frees)
		if p.AtMost != nil {
			most := *p.AtMost - p.Difference + after - p.Now
			p.AtMost = &most
		}
		p.After, p.Difference = after, after-p.Now
	}
	return &out
}

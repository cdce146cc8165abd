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
	out := forecast.Done(v.given, v.taken)
	for i := range plan.Changes {
		if !settled(v[plan.Changes[i].Principal.ID]) {
			out.Complete = false
		}
	}
	return out
}

// outcomes are the results of a run by principal.
type outcomes map[mstrapi.ObjectID]*Result

// settled reports whether everything that was planned for a principal was seen.
func settled(r *Result) bool { return r != nil && (r.Outcome == Applied || r.Outcome == InSync) }

// given reports whether a grant was seen.
func (v outcomes) given(who mstrapi.ObjectID, privilege mstrapi.PrivilegeID) bool {
	r := v[who]
	return settled(r) || r != nil && slices.Contains(r.Granted, privilege)
}

// taken reports whether a revoke was seen.
func (v outcomes) taken(who mstrapi.ObjectID, privilege mstrapi.PrivilegeID) bool {
	r := v[who]
	return settled(r) || r != nil && slices.Contains(r.Revoked, privilege)
}

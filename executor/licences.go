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
	of := make(map[mstrapi.ObjectID]*Result, len(results))
	for i := range results {
		of[results[i].Principal.ID] = &results[i]
	}
	out := forecast.Done(func(who mstrapi.ObjectID, privilege mstrapi.PrivilegeID) bool {
		return settled(of[who]) || of[who] != nil && slices.Contains(of[who].Granted, privilege)
	}, func(who mstrapi.ObjectID, privilege mstrapi.PrivilegeID) bool {
		return settled(of[who]) || of[who] != nil && slices.Contains(of[who].Revoked, privilege)
	})
	for i := range plan.Changes {
		if !settled(of[plan.Changes[i].Principal.ID]) {
			out.Complete = false
		}
	}
	return out
}

// settled reports whether everything that was planned for a principal was seen.
func settled(r *Result) bool { return r != nil && (r.Outcome == Applied || r.Outcome == InSync) }

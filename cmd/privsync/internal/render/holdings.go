package render

import (
	"cmp"
	"fmt"
	"slices"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// heldFrom is what a principal holds from one source.
type heldFrom struct {
	source     string // clean
	group      bool   // the source is one group, and its name is the server's
	privileges []mstrapi.PrivilegeID
}

// String says how the privileges are held.
func (h heldFrom) String() string {
	if h.group {
		return "through " + h.source
	}
	return h.source
}

// heldBySource lists what a principal holds by source: its direct grants first, then
// each group that the server names, then what no group is named for.
func heldBySource(sets *executor.Sets) []heldFrom {
	var out []heldFrom
	if !sets.Direct.IsEmpty() {
		out = append(out, heldFrom{"directly", false, sets.Direct.IDs()})
	}
	byGroup := make(map[mstrapi.ObjectRef][]mstrapi.PrivilegeID)
	var told planner.Set
	for _, s := range sets.Sources {
		for _, g := range s.Groups {
			byGroup[g] = append(byGroup[g], s.Privilege)
			told.Add(s.Privilege)
		}
	}
	groups := make([]mstrapi.ObjectRef, 0, len(byGroup))
	for g := range byGroup {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b mstrapi.ObjectRef) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	for _, g := range groups {
		ids := byGroup[g]
		slices.Sort(ids)
		out = append(out, heldFrom{who(planner.Principal{Kind: mstrapi.Group, ID: g.ID, Name: g.Name}), true, slices.Compact(ids)})
	}
	if rest := sets.Inherited.Minus(told); !rest.IsEmpty() {
		from := "inherited through groups"
		if len(groups) > 0 {
			from = "inherited from elsewhere"
		}
		out = append(out, heldFrom{from, false, rest.IDs()})
	}
	return out
}

// holdingTotals says how much a principal holds.
func holdingTotals(sets *executor.Sets) string {
	all := sets.Direct.Union(sets.Inherited).Len()
	if all == 0 {
		return "holds nothing"
	}
	return fmt.Sprintf("holds %s, %d directly", count(all, "privilege"), sets.Direct.Len())
}

// heldPrivilege names one of them; named holds what the report names.
func heldPrivilege(id mstrapi.PrivilegeID, named map[mstrapi.PrivilegeID]string) string {
	if name := named[id]; name != "" {
		return privilege(planner.PrivilegeRef{ID: id, Name: name})
	}
	return "privilege " + id.String()
}

// privilegeNames are the names by which a report knows the numbers that it holds.
func privilegeNames(r *executor.Report) map[mstrapi.PrivilegeID]string {
	known := make(map[mstrapi.PrivilegeID]string, len(r.Privileges))
	for _, p := range r.Privileges {
		known[p.ID] = p.Name
	}
	for i := range r.Principals {
		for _, all := range [][]planner.PlannedPrivilege{r.Principals[i].Grant, r.Principals[i].Revoke} {
			for _, p := range all {
				if known[p.ID] == "" {
					known[p.ID] = p.Name
				}
			}
		}
	}
	return known
}

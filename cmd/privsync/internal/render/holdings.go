package render

import (
	"cmp"
	"fmt"
	"slices"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// heldFrom is what a principal holds from one source.
type heldFrom struct {
	source     string // clean
	group      bool   // the source is one group or role, and its name is the server's
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
// each group that the server names, then what no group is named for, then what
// security roles give in one project each.
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
	return append(out, heldByRole(sets.Sources)...)
}

// heldByRole lists what security roles give, by name, and what comes from
// elsewhere.
func heldByRole(sources []executor.PrivilegeSource) []heldFrom {
	byRole := make(map[mstrapi.RoleRef][]mstrapi.PrivilegeID)
	var other []mstrapi.PrivilegeID
	for _, s := range sources {
		for _, r := range s.Roles {
			byRole[r] = append(byRole[r], s.Privilege)
		}
		if s.Other {
			other = append(other, s.Privilege)
		}
	}
	var out []heldFrom
	for r, ids := range byRole {
		slices.Sort(ids)
		out = append(out, heldFrom{fmt.Sprintf("security role %s in project %s", named(r.Role), named(r.Project)), true, slices.Compact(ids)})
	}
	slices.SortFunc(out, func(a, b heldFrom) int { return cmp.Compare(a.source, b.source) })
	if len(other) > 0 {
		slices.Sort(other)
		out = append(out, heldFrom{"from a source that is neither a group nor a security role", false, slices.Compact(other)})
	}
	return out
}

// named is an object's name, clean and quoted, or its id where the server does
// not tell its name.
func named(ref mstrapi.ObjectRef) string {
	return clean.Quote(cmp.Or(ref.Name, string(ref.ID), "(not named)"))
}

// holdingTotals says how much a principal holds.
func holdingTotals(sets *executor.Sets) string {
	all := sets.Direct.Union(sets.Inherited)
	total := all.Len()
	var roles planner.Set
	for _, s := range sets.Sources {
		if (len(s.Roles) > 0 || s.Other) && !all.Has(s.Privilege) {
			roles.Add(s.Privilege)
		}
	}
	if total == 0 && roles.IsEmpty() {
		return "holds nothing"
	}
	text := fmt.Sprintf("holds %s, %d directly", count(total, "privilege"), sets.Direct.Len())
	if !roles.IsEmpty() {
		text += fmt.Sprintf(", and %s in one project only", count(roles.Len(), "privilege"))
	}
	return text
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

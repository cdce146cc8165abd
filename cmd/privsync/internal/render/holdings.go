package render

import (
	"cmp"
	"fmt"
	"maps"
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

// list names the privileges, as show shows them; named holds what the report names.
func (h heldFrom) list(named map[mstrapi.PrivilegeID]string, show func(string) string) string {
	return andMore(h.privileges, len(h.privileges), "", func(id mstrapi.PrivilegeID) string {
		return show(numbered(planner.PrivilegeRef{ID: id, Name: named[id]}))
	})
}

// heldBySource lists what a principal holds by source: its direct grants first, then
// each group that the server names, then what no group is named for, then what
// security roles give in one project each, by name, and what comes from elsewhere.
func heldBySource(sets *executor.Sets) []heldFrom {
	byGroup, byRole := make(map[mstrapi.ObjectRef]planner.Set), make(map[mstrapi.RoleRef]planner.Set)
	var told, other planner.Set
	for _, s := range sets.Sources {
		for _, g := range s.Groups {
			addTo(byGroup, g, s.Privilege)
			told.Add(s.Privilege)
		}
		for _, r := range s.Roles {
			addTo(byRole, r, s.Privilege)
		}
		if s.Other {
			other.Add(s.Privilege)
		}
	}
	var out []heldFrom
	add := func(source string, group bool, held planner.Set) {
		if !held.IsEmpty() {
			out = append(out, heldFrom{source, group, held.IDs()})
		}
	}
	byName := func(a, b mstrapi.ObjectRef) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) }
	add("directly", false, sets.Direct)
	for _, g := range slices.SortedFunc(maps.Keys(byGroup), byName) {
		add(who(groupOf(g)), true, byGroup[g])
	}
	from := "inherited through groups"
	if len(byGroup) > 0 {
		from = "inherited from elsewhere"
	}
	add(from, false, sets.Inherited.Minus(told))
	for _, r := range slices.SortedFunc(maps.Keys(byRole), func(a, b mstrapi.RoleRef) int {
		return cmp.Or(cmp.Compare(roleSource(a), roleSource(b)), byName(a.Role, b.Role), byName(a.Project, b.Project))
	}) {
		add(roleSource(r), true, byRole[r])
	}
	add(fromElsewhere, false, other)
	return out
}

func addTo[K comparable](sets map[K]planner.Set, key K, id mstrapi.PrivilegeID) {
	s := sets[key]
	s.Add(id)
	sets[key] = s
}

// fromElsewhere is said of what comes from a source that the server does not explain.
const fromElsewhere = "from a source that is neither a group nor a security role"

func roleSource(r mstrapi.RoleRef) string {
	return fmt.Sprintf("security role %s in project %s", named(r.Role), named(r.Project))
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
	return fmt.Sprintf("holds %s, %d directly", clean.Count(total, "privilege"), sets.Direct.Len()) +
		when(!roles.IsEmpty(), ", and %s in one project only", clean.Count(roles.Len(), "privilege"))
}

// privilegeNames are the names by which a report knows the numbers that it holds.
func privilegeNames(r *executor.Report) map[mstrapi.PrivilegeID]string {
	known := make(map[mstrapi.PrivilegeID]string, len(r.Privileges))
	for _, p := range r.Privileges {
		known[p.ID] = p.Name
	}
	for i := range r.Principals {
		for p := range touched(r.Principals[i].Grant, r.Principals[i].Revoke) {
			known[p.ID] = cmp.Or(known[p.ID], p.Name)
		}
	}
	return known
}

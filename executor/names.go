package executor

import (
	"privsync/mstrapi"
	"privsync/planner"
)

// namePrivileges lists the names of the privileges that the results hold before
// or after, as far as the catalogue, sorted by number, has them.
func (r *Report) namePrivileges(catalogue []mstrapi.Privilege) {
	if len(catalogue) == 0 {
		return
	}
	var held planner.Set
	for i := range r.Principals {
		for _, s := range []*Sets{r.Principals[i].Before, r.Principals[i].After} {
			if s == nil {
				continue
			}
			for _, part := range []planner.Set{s.Direct, s.Inherited} {
				if !part.Minus(held).IsEmpty() {
					held = held.Union(part)
				}
			}
			for i := range s.Sources {
				if from := &s.Sources[i]; len(from.Roles) > 0 || from.Other {
					held.Add(from.Privilege)
				}
			}
		}
	}
	for _, p := range catalogue {
		if held.Has(p.ID) {
			r.Privileges = append(r.Privileges, planner.PrivilegeRef{ID: p.ID, Name: p.Name})
		}
	}
}

//go:build linux

package main

import (
	"slices"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
)

// withLicences are the shapes once more with a licence map: it may cost no request
// for each principal, but the pages of Everyone, which tell who is enabled, and those
// of the members of groups that are granted something.
func withLicences(all []shape) []shape {
	out := slices.Clone(all)
	for _, sh := range all {
		bounds := sh.bounds
		sh.name += ", with a licence map"
		sh.licences = true
		sh.bounds = func(s scene, plan *planner.Plan) []bound {
			more := bound{[]mstrtest.Endpoint{mstrtest.GroupMembers}, 1 + pages(s.allUsers(), s.PageCap), "P of Everyone + P of groups that gain + 1", 0}
			for _, c := range plan.Changes {
				if c.Principal.Kind == mstrapi.Group && len(c.Grant) > 0 {
					more.limit += pages(c.Impact.Members, s.PageCap)
				}
			}
			list := bounds(s, plan)
			for i := range list {
				if slices.Contains(list[i].endpoints, mstrtest.GroupMembers) {
					list[i].limit += more.limit
					list[i].formula += " + " + more.formula
					return list
				}
			}
			return append(list, more)
		}
		out = append(out, sh)
	}
	return out
}

// licenceInput is a licence map of the generated catalogue: every other privilege, and
// the one that the policies change, consumes a product.
func licenceInput(env *mstrtest.Environment) *planner.LicenceInput {
	m := &planner.LicenceMap{Format: planner.LicenceMapFormat}
	web := planner.MappedProduct{ID: 2, Name: "CLIENT_WEB"}
	for i, p := range env.Catalogue {
		ref := planner.PrivilegeRef{ID: p.ID, Name: p.Name}
		if i%2 == 0 || p.ID == strayPrivilege() {
			web.Privileges = append(web.Privileges, ref)
		} else {
			m.NoProduct = append(m.NoProduct, ref)
		}
	}
	m.Products = []planner.MappedProduct{web}
	return &planner.LicenceInput{Map: m}
}

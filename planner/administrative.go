package planner

import (
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// administrativeNames are the vendor's names of the privileges by which people give
// themselves or others more, pass over what protects objects and data, run the server,
// or hide that they did. By the vendor's administration reference; Object Manager is
// among them because it grants full control over all objects along with it.
func administrativeNames() []string {
	return []string{
		ManagerPrivilege,
		"Administer environment",
		"Assign security filters",
		"Assign security roles",
		"Bypass all object access checks",
		"Bypass all object security access checks",
		"Configure change journaling",
		"Configure group membership",
		"Configure security settings",
		"Configure server basic",
		"Create and edit security filters",
		"Create and edit security roles",
		"Create and edit users",
		"Create and edit users and groups",
		"Enable Intelligence Server administration from Web",
		"Enable user",
		"Grant/Revoke privilege",
		"Grant/Revoke privileges",
		"Link users to external accounts",
		"Reset user password",
		"Reset user passwords",
		"Use Command Manager",
		"Use Object Manager",
		"Use Security Filter Manager",
		"Use Security Role Manager",
		"Web administration",
	}
}

// MarkAdministrative marks the privileges of the plan that count as administrative:
// those that pol names in safety.administrative, or by the vendor's names where it
// names none or is nil. It has to come before [Plan.Seal].
func (p *Plan) MarkAdministrative(pol *policy.Policy) {
	var refs []policy.Ref
	if pol != nil && pol.Safety != nil {
		refs = pol.Safety.Administrative
	}
	if refs == nil {
		for _, name := range administrativeNames() {
			refs = append(refs, policy.Ref{Name: name})
		}
	}
	known := make(map[mstrapi.PrivilegeID]bool)
	is := func(p PrivilegeRef) bool {
		yes, ok := known[p.ID]
		if !ok {
			yes = slices.ContainsFunc(refs, func(ref policy.Ref) bool { return means(PrivilegeRef{mstrapi.PrivilegeID(ref.ID), ref.Name}, p) })
			known[p.ID] = yes
		}
		return yes
	}
	for i := range p.Changes {
		for _, list := range [][]PlannedPrivilege{p.Changes[i].Grant, p.Changes[i].Revoke} {
			for j := range list {
				list[j].Administrative = is(list[j].PrivilegeRef)
			}
		}
	}
}

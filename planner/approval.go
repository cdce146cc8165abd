package planner

import (
	"fmt"
	"slices"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// Approval is what the policy demands: that Required people, none of them the plan's
// maker, have signed the plan.
type Approval struct {
	Required int            `json:"required"`
	Above    *ApprovalAbove `json:"above,omitempty"` // nil: every plan that changes something
}

// ApprovalAbove chooses the plans that need approval. A privilege without a number
// is meant by its name.
type ApprovalAbove struct {
	Revokes  *int           `json:"revokes,omitempty"` // more than this many
	GrantsOf []PrivilegeRef `json:"grantsOf,omitempty"`
}

// ApprovalOf returns what pol demands, with privileges as it writes them; nil for
// nothing.
func ApprovalOf(pol *policy.Policy) *Approval {
	if pol == nil || pol.Safety == nil || pol.Safety.Approval == nil {
		return nil
	}
	return approvalOf(pol.Safety.Approval, nil)
}

// approvalOf returns a with its privileges as cat has them; nil leaves them as written.
func approvalOf(a *policy.Approval, cat *privilegeIndex) *Approval {
	out := &Approval{Required: a.Required}
	if a.Above == nil {
		return out
	}
	out.Above = &ApprovalAbove{}
	if a.Above.Revokes != nil {
		n := a.Above.Revokes.Number
		out.Above.Revokes = &n
	}
	for _, ref := range a.Above.GrantsOf {
		if cat == nil {
			out.Above.GrantsOf = append(out.Above.GrantsOf, PrivilegeRef{ID: mstrapi.PrivilegeID(ref.ID), Name: ref.Name})
			continue
		}
		for _, id := range cat.own(ref) {
			out.Above.GrantsOf = append(out.Above.GrantsOf, cat.ref(id))
		}
	}
	slices.SortFunc(out.Above.GrantsOf, func(a, b PrivilegeRef) int { return int(a.ID) - int(b.ID) })
	out.Above.GrantsOf = slices.Compact(out.Above.GrantsOf)
	return out
}

// Needed returns how many people must have signed p, and why: judged by what the plan
// does, not by what it says of itself. A nil Approval needs none, and so does a plan
// that changes nothing.
func (a *Approval) Needed(p *Plan) (people int, why string) {
	if a == nil || len(p.Changes)+len(p.Commands) == 0 {
		return 0, ""
	}
	if a.Above == nil {
		return a.Required, "the policy wants it of every plan"
	}
	if limit, n := a.Above.Revokes, p.revokes(); limit != nil && n > *limit {
		return a.Required, fmt.Sprintf("it has %s, and the policy wants it above %d", clean.Count(n, "revoke"), *limit)
	}
	for i := range p.Changes {
		for _, g := range p.Changes[i].Grant {
			if slices.ContainsFunc(a.Above.GrantsOf, func(ref PrivilegeRef) bool { return means(ref, g.PrivilegeRef) }) {
				return a.Required, fmt.Sprintf("it grants %d %s, of which the policy wants it", g.ID, clean.Quote(g.Name))
			}
		}
	}
	return 0, ""
}

// means reports whether a policy that writes ref means the privilege p.
func means(ref, p PrivilegeRef) bool {
	if ref.ID != 0 {
		return ref.ID == p.ID
	}
	return policy.SameName(ref.Name, p.Name)
}

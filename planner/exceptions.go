package planner

import (
	"cmp"
	"slices"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// Exception is one exception that a policy makes, for who audits it: somebody whom a
// rule does not judge, or whom a selector that forbids passes over.
type Exception struct {
	From     ExceptionFrom `json:"from"`
	Rule     string        `json:"rule,omitempty"`     // of FromRule: its name
	Selector string        `json:"selector,omitempty"` // of FromForbid: whom it chooses, in words
	// Who is excepted, as the policy writes it; a group means it and its members. ID is
	// that of the server where it is known.
	Who ProtectedRef `json:"who"`
	// Privileges are those that the rule denies, or the entry forbids; by name alone where
	// the catalogue does not have them.
	Privileges  []PrivilegeRef   `json:"privileges"`
	Until       string           `json:"until,omitempty"` // last day in UTC (2006-01-02); empty: no end
	Reason      string           `json:"reason,omitempty"`
	Description string           `json:"description,omitempty"`
	State       ExceptionState   `json:"state"`
	Position    *policy.Position `json:"position,omitempty"`
}

// ExceptionFrom is what an exception is from.
type ExceptionFrom string

const (
	FromRule   ExceptionFrom = "rule"
	FromForbid ExceptionFrom = "forbid"
)

// ExceptionState says whether an exception counts.
type ExceptionState string

const (
	ExceptionInForce  ExceptionState = "in-force"
	ExceptionExpiring ExceptionState = "expiring" // soon: see [policy.Policy.ExpiringWithinDays]
	ExceptionExpired  ExceptionState = "expired"  // it excepts nobody any more
)

// Exceptions is the register of the exceptions of the plan's policy, in its order:
// those from rules, then those from selectors that forbid. Nil for a plan that was read
// from a file.
func (p *Plan) Exceptions() []Exception { return p.exceptions }

func (c *compiled) exceptions(st *State) []Exception {
	out := []Exception{}
	for i := range c.pol.Rules {
		r := &c.pol.Rules[i]
		for j := range r.Except {
			x := &r.Except[j]
			e := c.exception(FromRule, x.Terms, x.Pos, r.Deny)
			e.Rule, e.Who = r.Name, refTo(x.PrincipalRef)
			e.Who.ID = cmp.Or(e.Who.ID, string(st.except[[2]int{i, j}].ID))
			out = append(out, e)
		}
	}
	for i := range c.pol.Principals {
		p := &c.pol.Principals[i]
		if p.Selector == nil || len(p.Forbid) == 0 {
			continue
		}
		refs := make([]policy.Ref, 0, len(p.Forbid))
		for _, l := range p.Forbid {
			if !l.Expired(c.now) {
				refs = append(refs, l.Ref)
			}
		}
		for j := range p.Selector.Except {
			x := &p.Selector.Except[j]
			e := c.exception(FromForbid, x.Terms, x.Pos, refs)
			// The others stand beside it.
			alone := *p.Selector
			alone.Except = nil
			e.Selector = clean.Clip(alone.String(), maxOriginWords)
			if x.Principal != nil {
				e.Who = refTo(*x.Principal)
			} else {
				e.Who = selectorTo(x.Selector)
			}
			out = append(out, e)
		}
	}
	return out
}

func (c *compiled) exception(from ExceptionFrom, t policy.Terms, pos policy.Position, refs []policy.Ref) Exception {
	e := Exception{
		From: from, Reason: t.Reason, Description: t.Description, State: ExceptionInForce, Position: position(pos),
		Privileges: make([]PrivilegeRef, 0, len(refs)),
	}
	for _, ref := range refs {
		named := PrivilegeRef{Name: ref.Name}
		if id := c.idOf(ref); id > 0 && id <= mstrapi.MaxPrivilegeID {
			named = c.cat.ref(id)
		}
		e.Privileges = append(e.Privileges, named)
	}
	slices.SortFunc(e.Privileges, func(a, b PrivilegeRef) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Name, b.Name)) })
	if t.Until.IsZero() {
		return e
	}
	e.Until = t.Until.UTC().Format(day)
	if f, ok := c.ending(t, pos, ""); ok {
		e.State = map[Code]ExceptionState{CodeExpiredEntry: ExceptionExpired, CodeExpiringSoon: ExceptionExpiring}[f.Code]
	}
	return e
}

// refTo names a principal as a policy does.
func refTo(p policy.PrincipalRef) ProtectedRef {
	if mstrapi.Kind(p.Kind) == mstrapi.Group {
		return ProtectedRef{Group: p.Name, ID: p.ID}
	}
	return ProtectedRef{User: p.Name, ID: p.ID}
}

// selectorTo writes a selector as a policy does, but for its exceptions.
func selectorTo(by *policy.Selector) ProtectedRef {
	selector := &ProtectedSelector{by.Conditions, len(by.Except)}
	selector.MemberOfID = "" // documents name the group alone
	if mstrapi.Kind(by.Kind) == mstrapi.Group {
		return ProtectedRef{Groups: selector}
	}
	return ProtectedRef{Users: selector}
}

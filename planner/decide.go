package planner

import (
	"privsync/mstrapi"
	"privsync/policy"
)

// decision is what one principal needs: what to grant, and what to revoke by
// reason. The sets are disjoint. Inherited is what it will inherit once the
// plan's group changes are done, as far as anything depends on it.
type decision struct {
	grant     Set
	forbidden Set
	expired   Set
	notListed Set
	redundant Set
	dependent Set // it needs another one that is revoked
	inherited Set
}

func (d *decision) revoke() Set {
	return d.forbidden.Union(d.expired).Union(d.notListed).Union(d.redundant).Union(d.dependent)
}

// isEmpty reports whether there is nothing to do.
func (d *decision) isEmpty() bool {
	return d.grant.IsEmpty() && d.forbidden.IsEmpty() && d.expired.IsEmpty() && d.notListed.IsEmpty() && d.redundant.IsEmpty() &&
		d.dependent.IsEmpty()
}

// direct returns what the principal holds directly once d is done.
func (d *decision) direct(observed Set) Set { return observed.Union(d.grant).Minus(d.revoke()) }

// reasonOf says why p is revoked. The zero value: it is not.
func (d *decision) reasonOf(p mstrapi.PrivilegeID, w *want) Reason {
	switch {
	case d.forbidden.Has(p):
		return ReasonForbidden
	case d.expired.Has(p):
		return ReasonExpired
	case d.redundant.Has(p):
		return ReasonRedundant
	case d.dependent.Has(p):
		return ReasonDependent
	case d.notListed.Has(p) && w.unlisted:
		return ReasonUnlisted
	case d.notListed.Has(p):
		return ReasonNotListed
	}
	return ""
}

// decide applies the table. L is listed, F forbidden, X expired and not in L, D
// observed direct, I' inherited after the plan's own group changes. What is
// undecided (listed here, forbidden there) is left alone.
//
//	situation               additive            authoritative
//	L, not D, not I'        grant               grant
//	L, not D, I'            satisfied, or grant with satisfiedBy: direct
//	L, D, I'                keep, or revoke with redundant: revoke
//	D, F                    revoke (forbidden)  revoke (forbidden)
//	D, X                    revoke (expired)    revoke (expired)
//	D, not L                leave alone         revoke (not-listed)
//	I', not L               nothing             nothing
func decide(w *want, direct, inherited Set) decision {
	d := decision{inherited: inherited}
	d.grant = w.listed.Minus(direct)
	if w.settings.SatisfiedBy != policy.Direct && !d.grant.IsEmpty() {
		d.grant = d.grant.Minus(inherited)
	}
	d.own(w, direct)
	// Together with satisfiedBy: direct it could never come to rest.
	if w.settings.Redundant == policy.RedundantRevoke && w.settings.SatisfiedBy != policy.Direct {
		d.redundant = w.listed.Intersect(direct).Intersect(inherited)
		d.keepNeeded(w, direct)
	}
	return d
}

// own fills the revokes that do not depend on what is inherited.
func (d *decision) own(w *want, direct Set) {
	if !w.forbidden.IsEmpty() {
		d.forbidden = direct.Intersect(w.forbidden)
	}
	if !w.expired.IsEmpty() {
		d.expired = direct.Intersect(w.expired).Minus(w.forbidden)
	}
	if w.settings.Mode == policy.Authoritative {
		d.notListed = direct.Minus(w.listed)
		if !d.notListed.IsEmpty() {
			d.notListed = d.notListed.Minus(w.forbidden).Minus(w.expired).Minus(w.undecided).Minus(w.spared)
		}
	}
	d.depend(w, direct)
}

// spare takes the privileges in s, and what they need, out of the revokes that
// the policy itself asks for. What is redundant stays: nobody loses it.
func (d *decision) spare(s Set, w *want, direct Set) {
	if w.needs != nil {
		s = s.Union(w.needs.need(s.Intersect(direct)))
	}
	d.keep(w, s)
	d.dependent = Set{}
	d.depend(w, direct)
	d.keepNeeded(w, direct)
}

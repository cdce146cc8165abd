package planner

import (
	"slices"

	"privsync/mstrapi"
)

// Recounted returns the forecast with what another licence count of the server tells
// in place of the one that it was made with.
func (l *Licences) Recounted(last mstrapi.Compliance) *Licences {
	out := *l
	out.Products = slices.Clone(l.Products)
	out.entitle(last)
	return &out
}

// Did reports whether a principal's direct grant of a privilege was given, or taken
// away.
type Did func(who mstrapi.ObjectID, privilege mstrapi.PrivilegeID) bool

// Done returns the forecast of no more than what was done of it: a user gains a
// product if one of the grants was given by which it would, and frees it if all were
// taken that it held it by.
func (l *Licences) Done(given, taken Did) *Licences {
	gained := func(through []Through) bool {
		return slices.ContainsFunc(through, func(t Through) bool {
			return slices.ContainsFunc(t.Changes, func(id mstrapi.ObjectID) bool { return given(id, t.Privilege.ID) })
		})
	}
	lost := func(through []Through) bool {
		return !slices.ContainsFunc(through, func(t Through) bool {
			return slices.ContainsFunc(t.Changes, func(id mstrapi.ObjectID) bool { return !taken(id, t.Privilege.ID) })
		})
	}
	out := *l
	out.Products = slices.Clone(l.Products)
	for i := range out.Products {
		p := &out.Products[i]
		p.Gains = slices.DeleteFunc(slices.Clone(p.Gains), func(c Consumer) bool { return !gained(c.Through) })
		p.Frees = slices.DeleteFunc(slices.Clone(p.Frees), func(c Consumer) bool { return !lost(c.Through) })
		for _, e := range p.Exchanges {
			if lost(e.Loses) && !gained(e.Gains) {
				p.Frees = append(p.Frees, Consumer{Principal: e.Principal, Through: e.Loses})
			}
		}
		slices.SortFunc(p.Frees, func(a, b Consumer) int { return a.Principal.Compare(&b.Principal) })
		after := p.Now + len(p.Gains) - len(p.Frees)
		if p.AtMost != nil {
			most := *p.AtMost - p.Difference + after - p.Now
			p.AtMost = &most
		}
		p.After, p.Difference = after, after-p.Now
	}
	return &out
}

// plannedBy returns the forecast of no more than what the changes do of it.
func (l *Licences) plannedBy(changes []Change) *Licences {
	if l == nil {
		return nil
	}
	byID := make(map[mstrapi.ObjectID]*Change, len(changes))
	for i := range changes {
		byID[changes[i].Principal.ID] = &changes[i]
	}
	return l.Done(
		func(who mstrapi.ObjectID, q mstrapi.PrivilegeID) bool { return byID[who].granted().Has(q) },
		func(who mstrapi.ObjectID, q mstrapi.PrivilegeID) bool { return byID[who].revoked().Has(q) },
	)
}

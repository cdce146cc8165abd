package planner

import (
	"cmp"
	"slices"
	"time"

	"privsync/mstrapi"
)

// Licences is what a plan comes to in licences: who consumes which product now and
// afterwards. One privilege of a product is enough to consume it, wherever it comes
// from; disabled users do not.
type Licences struct {
	Map            MapRef     `json:"map"`
	ComplianceTime *time.Time `json:"complianceTime"` // of the server's last count; nil: none is known
	// Complete: the numbers of users are exact, because everybody was counted, and with
	// a map of this server's version that knows what all that they hold consumes.
	Complete bool              `json:"complete"`
	Counted  CountedUsers      `json:"counted"`
	Products []ProductForecast `json:"products"` // by number
	// UnknownGrants are the planned grants of privileges of which the map does not
	// know what they consume, NotRead the products that it could not ask about.
	UnknownGrants []PrivilegeRef   `json:"unknownGrants,omitempty"`
	NotRead       []LicenceProduct `json:"notRead,omitempty"`
}

// MapRef names the licence map that a forecast is made with.
type MapRef struct {
	Digest         string `json:"digest"`
	IServerVersion string `json:"iServerVersion"`
}

// CountedUsers says of how many users it is known what they consume, and how many
// the server has; nil where it does not tell.
type CountedUsers struct {
	Users int  `json:"users"`
	Of    *int `json:"of"`
}

// ProductForecast is what becomes of one product. Now and After are lower bounds
// where AtLeast is set: the server has users who were not counted, or some hold
// what the map does not know. AtMost is the difference if everything that is not
// known for sure costs a licence: if all users gain the product whom a group's
// grant reaches and whose own privileges nobody read, and if what the map does not
// know is of the product; nil where there is nothing of the kind.
type ProductForecast struct {
	ID         int    `json:"id"`
	Name       string `json:"name"`
	Now        int    `json:"now"`
	After      int    `json:"after"`
	Difference int    `json:"difference"`
	AtMost     *int   `json:"atMost,omitempty"`
	AtLeast    bool   `json:"atLeast"`
	// Entitled is how many licences there are by the server's last count; nil where
	// that is not known, and where there is no limit.
	Entitled  *int `json:"entitled"`
	Unlimited bool `json:"unlimited"`
	// LastUsage is how many users that count found; nil: not known.
	LastUsage *int `json:"lastUsage,omitempty"`
	// Apart counts users who hold privileges of the product and for whom the server's
	// own audits show no licence: the built-in administrator and service accounts. They
	// are in no number.
	Apart int        `json:"apart,omitempty"`
	Gains []Consumer `json:"gains"`
	Frees []Consumer `json:"frees"`
	// Exchanges are the users who go on to consume the product, but by nothing that
	// they hold now.
	Exchanges []Exchange `json:"exchanges,omitempty"`
	// Consumers, Cheapest and ApartUsers are told by an audit only: everybody who
	// consumes the product, those of them who do by one privilege alone, and who is
	// counted apart.
	Consumers  []Consumer `json:"consumers,omitempty"`
	Cheapest   []Consumer `json:"cheapest,omitempty"`
	ApartUsers []Consumer `json:"apartUsers,omitempty"`
}

// Consumer is a user with the privileges by which it consumes a product, will, or
// does no more. Also are other products that giving the same up would free.
type Consumer struct {
	Principal Principal `json:"principal"`
	Through   []Through `json:"through"`
	Also      []string  `json:"also,omitempty"`
}

// Exchange is a user who loses every privilege by which it consumes a product and
// comes to hold others.
type Exchange struct {
	Principal Principal `json:"principal"`
	Loses     []Through `json:"loses"`
	Gains     []Through `json:"gains"`
}

// Through is one privilege and one way in which it is held. Groups are those that
// the server names, or that the plan grants it to. Of a gain or a free Changes are
// the principals whose change makes it so.
type Through struct {
	Privilege PrivilegeRef        `json:"privilege"`
	Source    string              `json:"source"` // direct, group, role or other
	Groups    []mstrapi.ObjectRef `json:"groups,omitempty"`
	Changes   []mstrapi.ObjectID  `json:"changes,omitempty"`
}

// The ways of [Through].
const (
	ThroughDirect = "direct"
	ThroughGroup  = "group"
	ThroughRole   = "role"
	ThroughOther  = "other"
)

// entitle joins the products with the server's last count, by number.
func (l *Licences) entitle(last mstrapi.Compliance) {
	l.ComplianceTime = nil
	if t := last.Time; !t.IsZero() {
		t = t.UTC().Truncate(time.Second)
		l.ComplianceTime = &t
	}
	for i := range l.Products {
		p := &l.Products[i]
		p.LastUsage, p.Entitled, p.Unlimited = nil, nil, false
		k, ok := slices.BinarySearchFunc(last.Products, p.ID, func(u mstrapi.ProductUsage, id int) int { return cmp.Compare(u.ID, id) })
		if !ok {
			continue
		}
		u := last.Products[k]
		p.LastUsage = u.Current
		if u.Max != nil && *u.Max == mstrapi.Unlimited {
			p.Unlimited = true
		} else {
			p.Entitled = u.Max
		}
	}
}

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

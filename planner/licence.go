package planner

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
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

// LicenceInput is what [Observe] needs to count licences.
type LicenceInput struct {
	// Map is nil where the map that Missing names is not there; why says Err.
	Map     *LicenceMap
	Missing string
	Err     error
	// Compliance is the server's last count. ComplianceErr says why it is not known,
	// ScanErr why there is no new one although one was asked for.
	Compliance    mstrapi.Compliance
	ComplianceErr error
	ScanErr       error
	Position      *policy.Position // where the policy names the map

	products  map[int]Set
	consuming Set
	known     Set
}

// prepare completes the input for counting.
func (in *LicenceInput) prepare() *LicenceInput {
	if in == nil {
		return nil
	}
	out := *in
	if out.Map != nil {
		out.products, out.consuming, out.known = out.Map.sets()
	}
	return &out
}

// counts reports whether there is a map to count with.
func (in *LicenceInput) counts() bool { return in != nil && in.Map != nil }

// matters reports whether what the privilege costs is a question: it consumes a
// licence, or nobody knows.
func (in *LicenceInput) matters(q mstrapi.PrivilegeID) bool {
	return in.consuming.Has(q) || !in.known.Has(q)
}

// beyond is what a principal holds outside the scope of the policy, of the
// privileges that may consume licences.
type beyond struct {
	direct Set
	held   *profile
}

func (b *beyond) all() Set {
	if b.held == nil {
		return b.direct
	}
	return b.direct.Union(b.held.inherited).Union(b.held.elsewhere)
}

// level is the level that principals are read at: with a licence map everything,
// in the same request.
func (ob *observer) level() mstrapi.Level {
	if ob.st.licences.counts() {
		return mstrapi.LevelAll
	}
	return ob.st.Level
}

// splitBeyond takes what lies outside the scope and may consume licences out of held.
func (ob *observer) splitBeyond(held []mstrapi.Held) []mstrapi.Held {
	if !ob.st.licences.counts() || ob.st.Level == mstrapi.LevelAll {
		return nil
	}
	var out []mstrapi.Held
	for _, h := range held {
		if h.Level != "" && h.Level != ob.st.Level && ob.st.licences.matters(h.ID) {
			if !h.Direct && !h.Inherited() && !h.Elsewhere() {
				h.Other = true
			}
			out = append(out, h)
		}
	}
	return out
}

// fetchMemberRows reads who the users below groups are, without what they hold.
func (ob *observer) fetchMemberRows(ctx context.Context, groups []*Observed) error {
	return ob.work(ctx, len(groups), func(ctx context.Context, i int) error {
		id := groups[i].Principal.ID
		rows := []mstrapi.PrincipalRow{}
		m, err := ob.allMembers(ctx, id, func(row mstrapi.PrincipalRow) {
			row.Kind, row.Memberships = mstrapi.User, nil
			rows = append(rows, row)
		})
		if err != nil && ob.isFatal(ctx, err) {
			return err
		}
		ob.mu.Lock()
		defer ob.mu.Unlock()
		if err != nil {
			rows = nil // how many there are is asked for below, as without a map
		} else {
			ob.st.members[id] = m
		}
		ob.st.memberRows[id] = rows
		return nil
	})
}

// wantsRows reports whether the forecast needs to know who is below a group that is
// granted something that may consume licences.
func (d *draft) wantsRows(g *Observed) bool {
	if !d.st.licences.counts() || d.st.expanded[g.Principal.ID] || g.Principal.ID == "" {
		return false
	}
	if _, read := d.st.memberRows[g.Principal.ID]; read {
		return false
	}
	for q := range d.p.decisions[g].grant.All() {
		if d.st.licences.matters(q) {
			return true
		}
	}
	return false
}

// licensing is the forecast in the making.
type licensing struct {
	*draft
	in      *LicenceInput
	changed map[mstrapi.ObjectID]*Change
	granted Set // by anybody
	unknown Set // of which the map does not know what they consume
	perhaps map[int]int
	counts  struct{ unsure, doubtful int } // see count
}

// forecast counts who consumes what now and after the plan; nil without a map.
func (d *draft) forecast() *Licences {
	in := d.st.licences
	if !in.counts() {
		return nil
	}
	l := &licensing{draft: d, in: in, changed: make(map[mstrapi.ObjectID]*Change, len(d.changes)), perhaps: make(map[int]int)}
	for _, p := range d.st.Catalogue {
		if !in.known.Has(p.ID) {
			l.unknown.Add(p.ID)
		}
	}
	for i := range d.changes {
		c := &d.changes[i]
		l.changed[c.Principal.ID] = c
		l.granted = l.granted.Union(c.granted())
	}
	out := &Licences{
		Map:     MapRef{Digest: in.Map.Digest, IServerVersion: in.Map.Environment.IServerVersion},
		NotRead: in.Map.NotRead, Products: []ProductForecast{},
	}
	out.UnknownGrants = d.c.cat.refs(l.granted.Minus(in.known))
	index := make(map[int]*ProductForecast)
	for _, p := range in.Map.Products {
		out.Products = append(out.Products, ProductForecast{ID: p.ID, Name: p.Name, Gains: []Consumer{}, Frees: []Consumer{}})
	}
	slices.SortFunc(out.Products, func(a, b ProductForecast) int { return cmp.Compare(a.ID, b.ID) })
	for i := range out.Products {
		index[out.Products[i].ID] = &out.Products[i]
	}
	out.entitle(in.Compliance)
	l.count(out, index)
	l.boundGains(index)
	if of, ok := d.st.known[mstrapi.User]; ok {
		for _, who := range d.st.gone {
			if who.Kind == mstrapi.User {
				of--
			}
		}
		of = max(of, out.Counted.Users)
		out.Counted.Of = &of
	}
	everybody := out.Counted.Of != nil && out.Counted.Users >= *out.Counted.Of
	for i := range out.Products {
		p := &out.Products[i]
		p.Difference = p.After - p.Now
		p.AtLeast = !everybody || l.counts.doubtful > 0
		if n := l.perhaps[p.ID]; n > 0 {
			most := p.Difference + n
			p.AtMost = &most
		}
	}
	out.Complete = everybody && in.Map.Doubt(l.st.Environment.IServerVersion) == "" && l.counts.unsure+l.counts.doubtful+len(out.UnknownGrants)+len(out.NotRead) == 0
	l.doubts(out)
	return out
}

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

// counted reports whether it is known what o consumes; otherwise o is no user, was
// not read, or nobody knows whether it is enabled.
func counted(o *Observed) bool {
	return o.Principal.Kind == mstrapi.User && !o.gone && o.Err == nil && (o.Enabled == mstrapi.No || o.held != nil && o.Enabled == mstrapi.Yes)
}

// count counts the users that were read, and notes how many were read and not
// counted, because nobody knows whether they are enabled (unsure), and how many hold
// what the map does not know (doubtful).
func (l *licensing) count(out *Licences, index map[int]*ProductForecast) {
	var users []*Observed
	for _, o := range l.st.byID {
		switch {
		case counted(o):
			out.Counted.Users++
			if o.Enabled == mstrapi.Yes {
				users = append(users, o)
			}
		case o.Principal.Kind == mstrapi.User && !o.gone && o.Err == nil && o.held != nil:
			l.counts.unsure++
		}
	}
	slices.SortFunc(users, compareObserved)
	for _, o := range users {
		before, after := l.before(o, l.in.consuming), l.after(o, l.in.consuming)
		doubtBefore, doubtAfter := l.before(o, l.unknown), l.after(o, l.unknown)
		apart := l.st.apart[o.Principal.ID]
		if !apart && !doubtBefore.Union(doubtAfter).IsEmpty() {
			l.counts.doubtful++
		}
		for id, s := range l.in.products {
			p := index[id]
			had, has := before.Intersect(s), after.Intersect(s)
			if apart {
				if !had.IsEmpty() || !has.IsEmpty() {
					p.Apart++
					l.auditedApart(p, o, had)
				}
				continue
			}
			if !had.IsEmpty() {
				p.Now++
			}
			if !has.IsEmpty() {
				p.After++
			}
			switch {
			case had.IsEmpty() && !has.IsEmpty():
				p.Gains = append(p.Gains, Consumer{Principal: o.Principal, Through: l.gained(o, has)})
			case has.IsEmpty() && !had.IsEmpty():
				p.Frees = append(p.Frees, Consumer{Principal: o.Principal, Through: l.freed(o, had)})
				if !doubtAfter.IsEmpty() {
					l.perhaps[id]++
				}
			case had.IsEmpty() && !doubtAfter.Minus(doubtBefore).IsEmpty():
				l.perhaps[id]++
			case !had.IsEmpty() && had.Intersect(has).IsEmpty():
				p.Exchanges = append(p.Exchanges, Exchange{o.Principal, l.freed(o, had), l.gained(o, has)})
			}
			l.audited(p, o, had, before)
		}
	}
}

// before returns which of the privileges o holds.
func (l *licensing) before(o *Observed, of Set) Set {
	return o.effective().Union(o.beyond.all()).Intersect(of)
}

// after returns which of them o will hold.
func (l *licensing) after(o *Observed, of Set) Set {
	if of.IsEmpty() {
		return Set{}
	}
	held := l.changed[o.Principal.ID].after(o.Direct).Union(o.elsewhere()).Union(o.beyond.all()).Intersect(of)
	touched := l.p.lossy.Union(l.p.gaining)
	inherited := o.Inherited.Intersect(of)
	held = held.Union(inherited.Minus(touched))
	for q := range inherited.Union(l.p.gaining.Intersect(of)).Intersect(touched).Minus(held).All() {
		if o.Inherited.Has(q) && (!l.p.lossy.Has(q) || l.p.keeps(o, q)) || l.p.gains(o, q) {
			held.Add(q)
		}
	}
	return held
}

// gained says by what o comes to hold the privileges.
func (l *licensing) gained(o *Observed, has Set) []Through {
	out := []Through{}
	c := l.changed[o.Principal.ID]
	for q := range has.All() {
		if c != nil && slices.ContainsFunc(c.Grant, func(p PlannedPrivilege) bool { return p.ID == q }) {
			out = append(out, Through{Privilege: l.c.cat.ref(q), Source: ThroughDirect, Changes: []mstrapi.ObjectID{o.Principal.ID}})
		}
		if above := l.p.gainersAbove(o, q); len(above) > 0 {
			t := Through{Privilege: l.c.cat.ref(q), Source: ThroughGroup, Changes: idsOf(above)}
			for _, g := range above {
				t.Groups = append(t.Groups, mstrapi.ObjectRef{ID: g.Principal.ID, Name: g.Principal.Name})
			}
			slices.SortFunc(t.Groups, compareRefs)
			out = append(out, t)
		}
	}
	return out
}

// freed says by what o holds no privilege of a product any more.
func (l *licensing) freed(o *Observed, had Set) []Through {
	out := []Through{}
	for q := range had.All() {
		if o.Direct.Has(q) {
			out = append(out, Through{Privilege: l.c.cat.ref(q), Source: ThroughDirect, Changes: []mstrapi.ObjectID{o.Principal.ID}})
		}
		if !o.Inherited.Has(q) {
			continue
		}
		t := Through{Privilege: l.c.cat.ref(q), Source: ThroughGroup}
		var losing []*Observed
		for _, g := range l.p.kin.trace(o, q).groups {
			if slices.Contains(l.p.cut[q], g) {
				losing = append(losing, g)
				t.Groups = append(t.Groups, mstrapi.ObjectRef{ID: g.Principal.ID, Name: g.Principal.Name})
			}
		}
		t.Changes = idsOf(losing)
		slices.SortFunc(t.Groups, compareRefs)
		out = append(out, t)
	}
	return out
}

// auditedApart notes what an audit tells of a user who is counted apart.
func (l *licensing) auditedApart(p *ProductForecast, o *Observed, had Set) {
	if l.st.judging != JudgeProjected && !had.IsEmpty() {
		p.ApartUsers = append(p.ApartUsers, Consumer{Principal: o.Principal, Through: l.st.through(o, had, l.c.cat)})
	}
}

// audited notes what an audit tells of a user who consumes a product.
func (l *licensing) audited(p *ProductForecast, o *Observed, had, all Set) {
	if l.st.judging == JudgeProjected || had.IsEmpty() {
		return
	}
	c := Consumer{Principal: o.Principal, Through: l.st.through(o, had, l.c.cat)}
	p.Consumers = append(p.Consumers, c)
	if had.Len() > 1 {
		return
	}
	for _, other := range l.in.Map.Products {
		if other.ID != p.ID && all.Intersect(l.in.products[other.ID]).Equal(had) {
			c.Also = append(c.Also, other.Name)
		}
	}
	p.Cheapest = append(p.Cheapest, c)
}

// through returns every way in which o holds the privileges.
func (s *State) through(o *Observed, held Set, cat *catalogue) []Through {
	out := []Through{}
	for q := range held.All() {
		ref := cat.ref(q)
		if o.Direct.Has(q) || o.beyond.direct.Has(q) {
			out = append(out, Through{Privilege: ref, Source: ThroughDirect})
		}
		for _, f := range []*profile{o.held, o.beyond.held} {
			if f == nil {
				continue
			}
			var groups []mstrapi.ObjectRef
			for _, i := range f.sources(q).groups() {
				groups = append(groups, s.refs.list[i])
			}
			if len(groups) > 0 {
				slices.SortFunc(groups, compareRefs)
				out = append(out, Through{Privilege: ref, Source: ThroughGroup, Groups: groups})
			}
			others := f.others[q]
			if len(others.roles) > 0 {
				var roles []mstrapi.ObjectRef
				for _, r := range others.roles {
					roles = append(roles, r.Role)
				}
				out = append(out, Through{Privilege: ref, Source: ThroughRole, Groups: roles})
			}
			if others.other {
				out = append(out, Through{Privilege: ref, Source: ThroughOther})
			}
		}
	}
	return out
}

// boundGains adds, per product, the users whom a group's grant reaches and whose
// own privileges nobody knows.
func (l *licensing) boundGains(index map[int]*ProductForecast) {
	for _, id := range productIDs(l.in.products) {
		own := l.in.products[id]
		s := own.Union(l.unknown)
		reached := make(map[mstrapi.ObjectID]bool)
		unread := false
		for q := range l.p.gaining.Intersect(s).All() {
			for _, g := range l.p.gainers[q] {
				rows, asked := l.st.memberRows[g.Principal.ID]
				if asked && rows == nil {
					unread = true
				}
				for _, row := range rows {
					if o := l.st.byID[row.ID]; row.Enabled != mstrapi.No && !l.st.apart[row.ID] && (o == nil || !counted(o)) {
						reached[row.ID] = true
					}
				}
			}
		}
		for _, o := range l.st.byID {
			if o.Principal.Kind == mstrapi.User && !counted(o) && o.Err == nil && o.held != nil && !o.gone && !l.st.apart[o.Principal.ID] &&
				l.before(o, own).IsEmpty() && !l.after(o, s).Minus(l.before(o, s)).IsEmpty() {
				reached[o.Principal.ID] = true
			}
		}
		n := len(reached)
		if unread {
			// Whom the grant reaches is not known: as many as the server has.
			n = max(n, l.st.known[mstrapi.User])
			l.doubt(nil, fmt.Sprintf("product %s: the members of a group that is granted a privilege of it could not be read, so how many users gain it is not known", index[id].Name))
		}
		l.perhaps[id] += n
	}
}

// doubt adds a finding about a number that is not known for sure.
func (l *licensing) doubt(privilege *PrivilegeRef, message string) {
	l.findings = append(l.findings, Finding{
		Code: CodeLicenceUncertain, Severity: SeverityWarning, Privilege: privilege, Message: message, Position: l.in.Position,
	})
}

// staleCompliance is the age from which a count is said to be old: the server counts
// once a night.
const staleCompliance = 24 * time.Hour

// doubts tells of everything that makes a number uncertain.
func (l *licensing) doubts(out *Licences) {
	in := l.in
	names := make([]string, len(out.Products))
	for i, p := range out.Products {
		names[i] = p.Name
	}
	all := strings.Join(names, ", ")
	if doubt := in.Map.Doubt(l.st.Environment.IServerVersion); doubt != "" {
		l.doubt(nil, fmt.Sprintf("products %s: %s", all, doubt))
	}
	if in.ScanErr != nil {
		l.doubt(nil, fmt.Sprintf("the server did not count its licences anew, so its last count is taken for %s: %v", all, in.ScanErr))
	}
	switch {
	case in.ComplianceErr != nil:
		l.doubt(nil, fmt.Sprintf("how many licences there are of %s is not known: the server's last licence count could not be read: %v", all, in.ComplianceErr))
	case in.Compliance.Time.IsZero():
		l.doubt(nil, fmt.Sprintf("how many licences there are of %s is not known: the server has no result of a licence count (none was made, or the licence key mixes kinds of licences)", all))
	default:
		if age := l.st.Now.Sub(in.Compliance.Time); age > staleCompliance {
			l.doubt(nil, fmt.Sprintf("the server's last licence count is of %s, older than a day: how many licences there are of %s may have changed", in.Compliance.Time.UTC().Format(time.RFC3339), all))
		}
		var untold []string
		for _, p := range out.Products {
			if p.Entitled == nil && !p.Unlimited && (p.Now+p.After > 0 || p.AtMost != nil) {
				untold = append(untold, p.Name)
			}
		}
		if len(untold) > 0 {
			l.doubt(nil, fmt.Sprintf("the server's last licence count does not tell how many licences there are of %s", strings.Join(untold, ", ")))
		}
	}
	for _, p := range in.Map.NotRead {
		l.doubt(nil, fmt.Sprintf("product %s: which privileges belong to it is not known, because the map could not ask about it", p.Name))
	}
	for _, ref := range out.UnknownGrants {
		l.doubt(&ref, fmt.Sprintf("the plan grants privilege %s, and the licence map does not know what it consumes", l.c.cat.label(ref.ID)))
	}
	if n := l.counts.doubtful; n > 0 {
		l.doubt(nil, fmt.Sprintf("%s privileges of which the licence map does not know what they consume (%s), so the numbers of %s are lower bounds",
			plural(n, "user holds", "users hold"), l.c.cat.some(l.unknown), all))
	}
	if unsure := l.counts.unsure; unsure > 0 {
		l.doubt(nil, fmt.Sprintf("whether %s enabled is not known, so they are counted for no product (%s)", plural(unsure, "user is", "users are"), all))
	}
	l.doubtApart(out)
	l.doubtRoles(out)
}

// doubtApart says of which products users are counted apart.
func (l *licensing) doubtApart(out *Licences) {
	var names []string
	for _, p := range out.Products {
		if p.Apart > 0 {
			names = append(names, p.Name)
		}
	}
	if len(names) > 0 {
		l.doubt(nil, fmt.Sprintf("the built-in administrator and service accounts hold privileges of %s and are counted apart: the vendor's sample of an audit shows no licences for them (?)", strings.Join(names, ", ")))
	}
	if err := l.st.apartErr; err != nil {
		l.doubt(nil, fmt.Sprintf("who the service accounts are could not be read, so they are counted like everybody else: %v", err))
	}
}

// doubtRoles says where security roles give what consumes licences: whether a
// reading without a level tells of all of them no document says.
func (l *licensing) doubtRoles(out *Licences) {
	users := make(map[int]int)
	for _, o := range l.st.byID {
		if o.Principal.Kind != mstrapi.User || o.Err != nil || o.Enabled == mstrapi.No {
			continue
		}
		var roles Set
		for _, f := range []*profile{o.held, o.beyond.held} {
			if f != nil {
				for q, others := range f.others {
					if len(others.roles) > 0 {
						roles.Add(q)
					}
				}
			}
		}
		if roles.IsEmpty() {
			continue
		}
		for id, s := range l.in.products {
			if !roles.Intersect(s).IsEmpty() {
				users[id]++
			}
		}
	}
	for _, p := range out.Products {
		if n := users[p.ID]; n > 0 {
			l.doubt(nil, fmt.Sprintf("product %s: %s it through security roles; whether the server tells of all roles in such a reading is not documented (?)", p.Name, plural(n, "user holds", "users hold")))
		}
	}
}

// missingMap tells of a map that is named and not there.
func (s *State) missingMap() []Finding {
	in := s.licences
	if in == nil || in.Map != nil || in.Missing == "" {
		return nil
	}
	return []Finding{{
		Code: CodeLicenceUncertain, Severity: SeverityWarning, Position: in.Position,
		Message: fmt.Sprintf("what the plan costs in licences is not known: the licence map %s is not there: learn one with privsync licences learn", clean.Quote(in.Missing)),
	}}
}

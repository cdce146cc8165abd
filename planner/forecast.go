package planner

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
)

// wantsRows reports whether the forecast needs to know who is below a group that is
// granted something that may consume licences.
func (s *State) wantsRows(g *Observed, grant Set) bool {
	in := s.licences
	if !in.counts() || s.expanded[g.Principal.ID] || g.Principal.ID == "" {
		return false
	}
	_, read := s.memberRows[g.Principal.ID]
	return !read && !grant.Minus(in.known.Minus(in.consuming)).IsEmpty()
}

// forecast is what a plan comes to in licences, in the making.
type forecast struct {
	c       *compiled
	st      *State
	p       *projection
	in      *LicenceInput
	changed map[mstrapi.ObjectID]*Change
	unknown Set // of which the map does not know what they consume

	out      *Licences
	index    map[int]*ProductForecast
	perhaps  map[int]int // users who may gain a product, or not free it
	unsure   int         // users who were read and not counted: nobody knows whether they are enabled
	doubtful int         // users who hold what the map does not know
	findings []Finding
}

// forecastOf counts who consumes what now and after the changes; nil without a map.
func forecastOf(p *projection, changes []Change) (*Licences, []Finding) {
	in := p.st.licences
	if !in.counts() {
		return nil, nil
	}
	out := &Licences{
		Map:     MapRef{Digest: in.Map.Digest, IServerVersion: in.Map.Environment.IServerVersion},
		NotRead: in.Map.NotRead, Products: []ProductForecast{},
	}
	f := &forecast{
		c: p.c, st: p.st, p: p, in: in, changed: make(map[mstrapi.ObjectID]*Change, len(changes)),
		out: out, index: make(map[int]*ProductForecast), perhaps: make(map[int]int),
	}
	for _, q := range p.st.Catalogue {
		if !in.known.Has(q.ID) {
			f.unknown.Add(q.ID)
		}
	}
	var granted Set
	for i := range changes {
		f.changed[changes[i].Principal.ID] = &changes[i]
		granted = granted.Union(changes[i].granted())
	}
	out.UnknownGrants = p.c.cat.refs(granted.Minus(in.known))
	for _, q := range in.Map.Products {
		out.Products = append(out.Products, ProductForecast{ID: q.ID, Name: q.Name, Gains: []Consumer{}, Frees: []Consumer{}})
	}
	slices.SortFunc(out.Products, func(a, b ProductForecast) int { return cmp.Compare(a.ID, b.ID) })
	for i := range out.Products {
		f.index[out.Products[i].ID] = &out.Products[i]
	}
	out.entitle(in.Compliance)
	f.count()
	f.boundGains()
	f.sum()
	f.doubts()
	return out, f.findings
}

// sum completes the numbers, once everybody is counted.
func (f *forecast) sum() {
	out := f.out
	if of, ok := f.st.existing(mstrapi.User); ok {
		of = max(of, out.Counted.Users)
		out.Counted.Of = &of
	}
	everybody := out.Counted.Of != nil && out.Counted.Users >= *out.Counted.Of
	for i := range out.Products {
		q := &out.Products[i]
		q.Difference = q.After - q.Now
		q.AtLeast = !everybody || f.doubtful > 0
		if n := f.perhaps[q.ID]; n > 0 {
			most := q.Difference + n
			q.AtMost = &most
		}
	}
	out.Complete = everybody && f.in.Map.Doubt(f.st.Environment.IServerVersion) == "" && f.unsure+f.doubtful+len(out.UnknownGrants)+len(out.NotRead) == 0
}

// counted reports whether it is known what o consumes; otherwise o is no user, was
// not read, or nobody knows whether it is enabled.
func counted(o *Observed) bool {
	return o.Principal.Kind == mstrapi.User && !o.gone && o.Err == nil && (o.Enabled == mstrapi.No || o.held != nil && o.Enabled == mstrapi.Yes)
}

// uncounted reports whether o is a user who was read all the same.
func uncounted(o *Observed) bool {
	return o.Principal.Kind == mstrapi.User && !o.gone && o.Err == nil && o.held != nil && !counted(o)
}

// count counts the users that were read.
func (f *forecast) count() {
	var users []*Observed
	for _, o := range f.st.byID {
		switch {
		case counted(o):
			f.out.Counted.Users++
			if o.Enabled == mstrapi.Yes {
				users = append(users, o)
			}
		case uncounted(o):
			f.unsure++
		}
	}
	slices.SortFunc(users, compareObserved)
	for _, o := range users {
		before, after := f.before(o, f.in.consuming), f.after(o, f.in.consuming)
		doubtBefore, doubtAfter := f.before(o, f.unknown), f.after(o, f.unknown)
		apart := f.st.apart[o.Principal.ID]
		if !apart && !doubtBefore.Union(doubtAfter).IsEmpty() {
			f.doubtful++
		}
		for id, s := range f.in.products {
			q := f.index[id]
			had, has := before.Intersect(s), after.Intersect(s)
			f.audited(q, o, had, before)
			switch {
			case had.IsEmpty() && has.IsEmpty():
				if !apart && !doubtAfter.Minus(doubtBefore).IsEmpty() {
					f.perhaps[id]++
				}
			case apart:
				q.Apart++
			default:
				f.seat(q, o, had, has)
				if has.IsEmpty() && !doubtAfter.IsEmpty() {
					f.perhaps[id]++
				}
			}
		}
	}
}

// seat counts a user who holds had of the privileges of a product, and will hold has.
func (f *forecast) seat(q *ProductForecast, o *Observed, had, has Set) {
	if !had.IsEmpty() {
		q.Now++
	}
	if !has.IsEmpty() {
		q.After++
	}
	switch {
	case had.IsEmpty():
		q.Gains = append(q.Gains, Consumer{Principal: o.Principal, Through: f.gained(o, has)})
	case has.IsEmpty():
		q.Frees = append(q.Frees, Consumer{Principal: o.Principal, Through: f.freed(o, had)})
	case had.Intersect(has).IsEmpty():
		q.Exchanges = append(q.Exchanges, Exchange{o.Principal, f.freed(o, had), f.gained(o, has)})
	}
}

// before returns which of the privileges o holds.
func (f *forecast) before(o *Observed, of Set) Set {
	return o.effective().Union(o.beyond.all()).Intersect(of)
}

// after returns which of them o will hold.
func (f *forecast) after(o *Observed, of Set) Set {
	if of.IsEmpty() {
		return Set{}
	}
	direct := o.Direct
	if c := f.changed[o.Principal.ID]; c != nil {
		direct = c.after(direct)
	}
	held := direct.Union(o.elsewhere()).Union(o.beyond.all()).Intersect(of)
	return held.Union(f.p.inheritedOf(o, of.Intersect(f.p.touched()).Minus(held)).Intersect(of))
}

// gained says by what o comes to hold the privileges.
func (f *forecast) gained(o *Observed, has Set) []Through {
	out := []Through{}
	granted := f.changed[o.Principal.ID].granted()
	for q := range has.All() {
		if granted.Has(q) {
			out = append(out, f.directly(o, q))
		}
		if above := f.p.gainersAbove(o, q); len(above) > 0 {
			out = append(out, f.throughGroups(q, above))
		}
	}
	return out
}

// freed says by what o holds no privilege of a product any more.
func (f *forecast) freed(o *Observed, had Set) []Through {
	out := []Through{}
	for q := range had.All() {
		if o.Direct.Has(q) {
			out = append(out, f.directly(o, q))
		}
		if o.Inherited.Has(q) {
			stays := func(g *Observed) bool { return !slices.Contains(f.p.cut[q], g) }
			out = append(out, f.throughGroups(q, slices.DeleteFunc(slices.Clone(f.p.kin.trace(o, q).groups), stays)))
		}
	}
	return out
}

func (f *forecast) directly(o *Observed, q mstrapi.PrivilegeID) Through {
	return Through{Privilege: f.c.cat.ref(q), Source: ThroughDirect, Changes: []mstrapi.ObjectID{o.Principal.ID}}
}

func (f *forecast) throughGroups(q mstrapi.PrivilegeID, groups []*Observed) Through {
	return Through{Privilege: f.c.cat.ref(q), Source: ThroughGroup, Changes: idsOf(groups), Groups: refsOf(groups)}
}

// audited notes what an audit tells of a user who holds had of the privileges of a
// product, and all of those that consume anything.
func (f *forecast) audited(q *ProductForecast, o *Observed, had, all Set) {
	if f.st.judging == JudgeProjected || had.IsEmpty() {
		return
	}
	c := Consumer{Principal: o.Principal, Through: f.st.through(o, had, f.c.cat)}
	if f.st.apart[o.Principal.ID] {
		q.ApartUsers = append(q.ApartUsers, c)
		return
	}
	q.Consumers = append(q.Consumers, c)
	if had.Len() > 1 {
		return
	}
	for _, other := range f.in.Map.Products {
		if other.ID != q.ID && all.Intersect(f.in.products[other.ID]).Equal(had) {
			c.Also = append(c.Also, other.Name)
		}
	}
	q.Cheapest = append(q.Cheapest, c)
}

// through returns every way in which o holds the privileges.
func (s *State) through(o *Observed, held Set, cat *privilegeIndex) []Through {
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
			if groups := s.groupsOf(f, q); len(groups) > 0 {
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
func (f *forecast) boundGains() {
	for _, product := range f.out.Products {
		own := f.in.products[product.ID]
		s := own.Union(f.unknown)
		reached := make(map[mstrapi.ObjectID]bool)
		unread := false
		for q := range f.p.gaining.Intersect(s).All() {
			for _, g := range f.p.gainers[q] {
				rows, asked := f.st.memberRows[g.Principal.ID]
				unread = unread || asked && rows == nil
				for _, row := range rows {
					if o := f.st.byID[row.ID]; row.Enabled != mstrapi.No && !f.st.apart[row.ID] && (o == nil || !counted(o)) {
						reached[row.ID] = true
					}
				}
			}
		}
		for id, o := range f.st.byID {
			if uncounted(o) && !f.st.apart[id] && f.before(o, own).IsEmpty() && !f.after(o, s).Minus(f.before(o, s)).IsEmpty() {
				reached[id] = true
			}
		}
		n := len(reached)
		if unread {
			// Whom the grant reaches is not known: as many as the server has.
			n = max(n, f.st.known[mstrapi.User])
			f.doubt("product %s: the members of a group that is granted a privilege of it could not be read, so how many users gain it is not known", product.Name)
		}
		f.perhaps[product.ID] += n
	}
}

// doubt adds a finding about a number that is not known for sure.
func (f *forecast) doubt(format string, args ...any) *Finding {
	f.findings = append(f.findings, finding(CodeLicenceUncertain, SeverityWarning, format, args...).at(f.in.Position))
	return &f.findings[len(f.findings)-1]
}

// staleCompliance is the age from which a count is said to be old: the server counts
// once a night.
const staleCompliance = 24 * time.Hour

// doubts tells of everything that makes a number uncertain.
func (f *forecast) doubts() {
	in, out := f.in, f.out
	names := make([]string, len(out.Products))
	for i, p := range out.Products {
		names[i] = p.Name
	}
	all := strings.Join(names, ", ")
	if doubt := in.Map.Doubt(f.st.Environment.IServerVersion); doubt != "" {
		f.doubt("products %s: %s", all, doubt)
	}
	if in.ScanErr != nil {
		f.doubt("the server did not count its licences anew, so its last count is taken for %s: %v", all, in.ScanErr)
	}
	switch {
	case in.ComplianceErr != nil:
		f.doubt("how many licences there are of %s is not known: the server's last licence count could not be read: %v", all, in.ComplianceErr)
	case in.Compliance.Time.IsZero():
		f.doubt("how many licences there are of %s is not known: the server has no result of a licence count (none was made, or the licence key mixes kinds of licences)", all)
	default:
		if age := f.st.Now.Sub(in.Compliance.Time); age > staleCompliance {
			f.doubt("the server's last licence count is of %s, older than a day: how many licences there are of %s may have changed", in.Compliance.Time.UTC().Format(time.RFC3339), all)
		}
		var untold []string
		for _, p := range out.Products {
			if p.Entitled == nil && !p.Unlimited && (p.Now+p.After > 0 || p.AtMost != nil) {
				untold = append(untold, p.Name)
			}
		}
		if len(untold) > 0 {
			f.doubt("the server's last licence count does not tell how many licences there are of %s", strings.Join(untold, ", "))
		}
	}
	for _, p := range in.Map.NotRead {
		f.doubt("product %s: which privileges belong to it is not known, because the map could not ask about it", p.Name)
	}
	for _, ref := range out.UnknownGrants {
		f.doubt("the plan grants privilege %s, and the licence map does not know what it consumes", f.c.cat.label(ref.ID)).Privilege = &ref
	}
	if f.doubtful > 0 {
		f.doubt("%s privileges of which the licence map does not know what they consume (%s), so the numbers of %s are lower bounds",
			clean.Count(f.doubtful, "user holds", "users hold"), f.c.cat.some(f.unknown), all)
	}
	if f.unsure > 0 {
		f.doubt("whether %s enabled is not known, so they are counted for no product (%s)", clean.Count(f.unsure, "user is", "users are"), all)
	}
	f.doubtApart()
	f.doubtRoles()
}

// doubtApart says of which products users are counted apart.
func (f *forecast) doubtApart() {
	var names []string
	for _, p := range f.out.Products {
		if p.Apart > 0 {
			names = append(names, p.Name)
		}
	}
	if len(names) > 0 {
		f.doubt("the built-in administrator and service accounts hold privileges of %s and are counted apart: the vendor's sample of an audit shows no licences for them (?)", strings.Join(names, ", "))
	}
	if err := f.st.apartErr; err != nil {
		f.doubt("who the service accounts are could not be read, so they are counted like everybody else: %v", err)
	}
}

// doubtRoles says where security roles give what consumes licences: whether a
// reading without a level tells of all of them no document says.
func (f *forecast) doubtRoles() {
	users := make(map[int]int)
	for _, o := range f.st.byID {
		if o.Principal.Kind != mstrapi.User || o.Err != nil || o.Enabled == mstrapi.No {
			continue
		}
		var roles Set
		for _, from := range []*profile{o.held, o.beyond.held} {
			if from == nil {
				continue
			}
			for q, others := range from.others {
				if len(others.roles) > 0 {
					roles.Add(q)
				}
			}
		}
		if roles.IsEmpty() {
			continue
		}
		for id, s := range f.in.products {
			if !roles.Intersect(s).IsEmpty() {
				users[id]++
			}
		}
	}
	for _, p := range f.out.Products {
		if n := users[p.ID]; n > 0 {
			f.doubt("product %s: %s it through security roles; whether the server tells of all roles in such a reading is not documented (?)", p.Name, clean.Count(n, "user holds", "users hold"))
		}
	}
}

// missingMap tells of a map that is named and not there.
func missingMap(in *LicenceInput) []Finding {
	if in == nil || in.Map != nil || in.Missing == "" {
		return nil
	}
	return []Finding{finding(CodeLicenceUncertain, SeverityWarning,
		"what the plan costs in licences is not known: the licence map %s is not there: learn one with privsync licences learn", clean.Quote(in.Missing)).at(in.Position)}
}

package planner

import (
	"cmp"
	"slices"

	"privsync/mstrapi"
)

// Impact says whom a change reaches. Members are the users who belong to the
// group at any depth; 0 for a user. Effect is what becomes of them; nil where
// nobody worked it out, as in a rollback.
type Impact struct {
	Members int `json:"members"`
	*Effect
}

// Effect is what a change comes to for the users it reaches: what they hold directly
// or through groups before the plan, against after the whole plan. Of a user's own
// change it is about that user alone.
//
// A user may gain one privilege and lose another. Unknown counts those of whom not
// all is known, because what they hold was not read, or not everything that it comes
// from: unless it is 0, Gain and Lose are the least that it can be.
type Effect struct {
	Gain    int `json:"gain"` // users who gain at least one of the privileges
	Lose    int `json:"lose"` // users who lose at least one of them
	Unknown int `json:"unknown,omitempty"`
	// Through, of one privilege that is revoked from a group, is what lets members keep
	// it: the most important ways, most users first.
	Through []Keeping `json:"through,omitempty"`
}

// Keeping is one way in which members of a group keep a privilege that it loses:
// directly, or through another group.
type Keeping struct {
	Source string           `json:"source"` // direct or group
	ID     mstrapi.ObjectID `json:"id,omitempty"`
	Name   string           `json:"name,omitempty"`
	Users  int              `json:"users"` // who keep it in this way, and perhaps in others
}

// maxKeeping is how many ways of keeping a privilege are told.
const maxKeeping = 3

// placing is how many users whose place is not known make up for one more page of
// members.
const placing = 100

// effects works out what the changes come to for users. It decides nothing and
// reads nothing about single principals: what is not known is counted as that.
type effects struct {
	c     *compiled
	st    *State
	needs *needs
	p     *projection

	users   map[idKey]*Observed // who was read
	list    []*Observed         // the same in report order
	changed map[mstrapi.ObjectID]*Change
	sources map[*profile]map[int]struct{} // by number in the table of groups
	kept    map[traceKey]fate
	gained  map[mstrapi.PrivilegeID]*gained
	vague   Set // what a group may hold through a security role alone, for all that was asked
}

// fate says whether a privilege is inherited after the plan, as far as it is known,
// and from which groups. Everyone, which is above nobody but users and hands down only
// what it is granted itself, may be one of them without having been read.
type fate struct {
	held     mstrapi.Tri
	from     []*Observed
	everyone bool
}

// gained are the users below the groups that are granted one privilege.
type gained struct {
	byUser map[*Observed][]*Observed
	loose  []*Observed // groups of which not all members are known
}

// measure fills in the effect of every change, once all are decided, and returns that of
// all together.
func measure(p *projection, changes []Change) *Impact {
	if p.st.judging != JudgeProjected || len(changes) == 0 || !p.needs.isEmpty() {
		return nil
	}
	e := &effects{
		c: p.c, st: p.st, needs: p.needs, p: p, changed: make(map[mstrapi.ObjectID]*Change, len(changes)),
		sources: make(map[*profile]map[int]struct{}), kept: make(map[traceKey]fate), gained: make(map[mstrapi.PrivilegeID]*gained),
	}
	if p.st.Level != mstrapi.LevelServer && !p.st.everybody {
		e.vague = p.c.cat.projectLevel().Minus(p.c.projectLevel())
	}
	for i := range changes {
		e.changed[changes[i].Principal.ID] = &changes[i]
	}
	if slices.ContainsFunc(p.groups, func(g *Observed) bool { return !p.decisions[g].isEmpty() }) {
		e.users = make(map[idKey]*Observed, len(p.st.byID))
		for id, o := range p.st.byID {
			if o.Principal.Kind == mstrapi.User && o.Err == nil && o.held != nil {
				e.users[keyOf(id)] = o
				e.list = append(e.list, o)
			}
		}
		if e.placeMembers(); !p.needs.isEmpty() {
			return nil
		}
	}
	all := &wholeTally{reached: make(map[idKey]struct{}), unread: make(map[idKey]struct{}), tally: newTally(nil, 0)}
	for i := range changes {
		c := &changes[i]
		if o := p.st.byID[c.Principal.ID]; c.Principal.Kind == mstrapi.Group {
			t := newTally(e.membersOf(o), c.Impact.Members)
			e.ofGroup(c, o, t)
			all.addGroup(e, t, p.st.members[o.Principal.ID])
		} else {
			e.ofUser(c, o)
			all.addUser(c, o)
		}
	}
	return all.impact(p.st.known[mstrapi.User])
}

// placeMembers asks for the members of changed groups beyond the first page, where
// that takes far fewer requests than there are users whose place is not known.
func (e *effects) placeMembers() {
	for _, g := range e.p.groups {
		m := e.st.members[g.Principal.ID]
		if e.p.decisions[g].isEmpty() || m == nil || m.complete || m.unsteady || m.err != nil {
			continue
		}
		unplaced := 0
		for _, o := range e.list {
			if e.below(g, o) == mstrapi.Unknown {
				unplaced++
			}
			if unplaced >= m.left*placing {
				e.needs.complete = append(e.needs.complete, g)
				break
			}
		}
	}
}

// below reports whether o belongs to the group at any depth, by what was read. It
// asks for nothing, unlike above.
func (e *effects) below(g, o *Observed) mstrapi.Tri {
	id := g.Principal.ID
	if m := e.st.members[id]; m != nil && m.err == nil && o.Principal.Kind == mstrapi.User {
		switch {
		case m.has(o.Principal.ID):
			return mstrapi.Yes
		case m.complete:
			return mstrapi.No
		}
	}
	if i, ok := e.st.refs.index[id]; ok {
		if _, found := e.sourcesOf(o.held)[i]; found {
			return mstrapi.Yes
		}
	}
	parents := o.parents
	if o.Principal.Kind == mstrapi.Group {
		parents = e.st.parents[o.Principal.ID]
	}
	in := e.isAmong(parents, id)
	if in == mstrapi.No && id == mstrapi.EveryoneGroup {
		return mstrapi.Unknown // memberships need not name it
	}
	return in
}

// sourcesOf returns the groups that anything comes from, which are all above whoever
// has the profile.
func (e *effects) sourcesOf(f *profile) map[int]struct{} {
	if f == nil {
		return nil
	}
	s, ok := e.sources[f]
	if !ok {
		for _, from := range f.all() {
			for _, i := range from.groups() {
				put(&s, i)
			}
		}
		e.sources[f] = s
	}
	return s
}

// isAmong reports whether the group is one of the parents or above one.
func (e *effects) isAmong(parents parentList, group mstrapi.ObjectID) mstrapi.Tri {
	out := mstrapi.No
	seen := make(map[mstrapi.ObjectID]bool)
	todo := []parentList{parents}
	for len(todo) > 0 {
		list := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if !list.known || list.err != nil {
			out = mstrapi.Unknown
			continue
		}
		for _, id := range list.ids {
			if id == group {
				return mstrapi.Yes
			}
			if !seen[id] && id != mstrapi.EveryoneGroup {
				seen[id] = true
				todo = append(todo, e.st.parents[id])
			}
		}
	}
	return out
}

// membersOf returns the users that were read and are known to belong to the group.
func (e *effects) membersOf(g *Observed) []*Observed {
	m := e.st.members[g.Principal.ID]
	if m == nil || m.err != nil {
		return nil
	}
	var out []*Observed
	if m.complete {
		for _, k := range m.keys {
			if o := e.users[k]; o != nil {
				out = append(out, o)
			}
		}
		return out
	}
	for _, o := range e.list {
		if e.below(g, o) == mstrapi.Yes {
			out = append(out, o)
		}
	}
	return out
}

// ofGroup works out what a change of a group comes to for its members.
func (e *effects) ofGroup(c *Change, g *Observed, t *tally) {
	for i := range c.Grant {
		p := &c.Grant[i]
		effect := new(Effect)
		if !g.Inherited.Has(p.ID) { // otherwise all members had it
			effect.Gain, effect.Unknown = t.count(t.gain, func(o *Observed) mstrapi.Tri {
				return triOf(!o.Direct.Has(p.ID) && !o.Inherited.Has(p.ID))
			})
		}
		p.Impact = &Impact{t.total, effect}
	}
	for i := range c.Revoke {
		p := &c.Revoke[i]
		effect := new(Effect)
		ways := make(map[Keeping]int)
		if f := e.fate(g, p.ID); f.held == mstrapi.Yes { // and so do all members
			e.noteKeeping(ways, f, t.total)
		} else {
			effect.Lose, effect.Unknown = t.count(t.lose, func(o *Observed) mstrapi.Tri {
				f := e.fate(o, p.ID)
				if e.directAfter(o, p.ID) {
					ways[Keeping{Source: ThroughDirect}]++
					f.held = mstrapi.Yes
				}
				e.noteKeeping(ways, f, 1)
				return not(f.held)
			})
		}
		effect.Through = mostKeeping(ways)
		p.Impact = &Impact{t.total, effect}
	}
	c.Impact.Effect = &Effect{Gain: len(t.gain), Lose: len(t.lose), Unknown: len(t.unsure) + t.doubted}
}

// tally counts members of one group. rest are those that were not read.
type tally struct {
	members            []*Observed
	total, rest        int
	gain, lose, unsure map[*Observed]bool
	doubted            int // rest, where something is not known of them
}

func newTally(members []*Observed, total int) *tally {
	return &tally{
		members: members, total: total, rest: max(0, total-len(members)),
		gain: make(map[*Observed]bool), lose: make(map[*Observed]bool), unsure: make(map[*Observed]bool),
	}
}

// wholeTally counts the users of a whole plan, each once.
type wholeTally struct {
	*tally
	reached, unread map[idKey]struct{}
	unlisted, vague int // members of large groups of whom nobody knows who they are, and those of them of whom it matters
}

func (w *wholeTally) addGroup(e *effects, t *tally, m *memberList) {
	for o := range t.gain {
		w.gain[o] = true
	}
	for o := range t.lose {
		w.lose[o] = true
	}
	for o := range t.unsure {
		w.unsure[o] = true
	}
	for _, o := range t.members {
		w.reached[keyOf(o.Principal.ID)] = struct{}{}
	}
	for _, k := range m.keys {
		w.reached[k] = struct{}{}
		if e.users[k] == nil && t.doubted > 0 {
			w.unread[k] = struct{}{}
		}
	}
	if !m.complete {
		rest := max(0, t.total-max(len(m.keys), len(t.members)))
		w.unlisted += rest
		if t.doubted > 0 {
			w.vague += rest
		}
	}
}

func (w *wholeTally) addUser(c *Change, o *Observed) {
	w.reached[keyOf(o.Principal.ID)] = struct{}{}
	if c.Impact.Gain > 0 {
		w.gain[o] = true
	}
	if c.Impact.Lose > 0 {
		w.lose[o] = true
	}
	if c.Impact.Unknown > 0 {
		w.unsure[o] = true
	}
}

// impact returns the sum, of at most so many users as the server has; 0: not known.
func (w *wholeTally) impact(most int) *Impact {
	i := &Impact{len(w.reached) + w.unlisted, &Effect{Gain: len(w.gain), Lose: len(w.lose), Unknown: len(w.unsure) + len(w.unread) + w.vague}}
	if most > 0 {
		i.Members = max(len(w.reached), min(i.Members, most))
	}
	i.Unknown = min(i.Unknown, i.Members)
	return i
}

// count counts for how many members is says Yes, and for how many nobody can say. It
// notes both.
func (t *tally) count(hit map[*Observed]bool, is func(o *Observed) mstrapi.Tri) (n, unknown int) {
	t.doubted = t.rest
	for _, o := range t.members {
		switch is(o) {
		case mstrapi.Yes:
			n++
			hit[o] = true
		case mstrapi.Unknown:
			unknown++
			t.unsure[o] = true
		}
	}
	return n, unknown + t.rest
}

// ofUser works out what a user's own change comes to for the user.
func (e *effects) ofUser(c *Change, o *Observed) {
	effect := new(Effect)
	if !c.granted().Minus(o.Inherited).IsEmpty() {
		effect.Gain = 1
	}
	for q := range c.revoked().All() {
		switch e.fate(o, q).held {
		case mstrapi.No:
			effect.Lose = 1
		case mstrapi.Unknown:
			effect.Unknown = 1
		}
	}
	c.Impact.Effect = effect
}

// directAfter reports whether o holds q directly after the plan.
func (e *effects) directAfter(o *Observed, q mstrapi.PrivilegeID) bool {
	c := e.changed[o.Principal.ID]
	is := func(p PlannedPrivilege) bool { return p.ID == q }
	switch {
	case c == nil:
		return o.Direct.Has(q)
	case o.Direct.Has(q):
		return !slices.ContainsFunc(c.Revoke, is)
	}
	return slices.ContainsFunc(c.Grant, is)
}

// fate says whether o inherits q after the plan.
func (e *effects) fate(o *Observed, q mstrapi.PrivilegeID) fate {
	f := fate{held: mstrapi.No}
	if o.Inherited.Has(q) {
		f = e.remains(o, q)
	}
	gainers := e.p.gainers[q]
	if len(gainers) == 0 {
		return f
	}
	if o.Principal.Kind == mstrapi.User {
		known := e.gainedBy(q)
		f = f.with(known.byUser[o])
		gainers = known.loose
	}
	for _, g := range gainers {
		if g == o {
			continue
		}
		switch e.below(g, o) {
		case mstrapi.Yes:
			f = f.with([]*Observed{g})
		case mstrapi.Unknown:
			if f.held == mstrapi.No {
				f.held = mstrapi.Unknown
			}
		}
	}
	return f
}

// with adds groups that hold the privilege after the plan.
func (f fate) with(groups []*Observed) fate {
	for _, g := range groups {
		if !slices.Contains(f.from, g) {
			f.from = append(slices.Clip(f.from), g)
		}
		f.held = mstrapi.Yes
	}
	return f
}

// remains says whether o, which inherits q, still does so from a group that it has it
// from now.
func (e *effects) remains(o *Observed, q mstrapi.PrivilegeID) fate {
	key := traceKey{o.held, q}
	if f, ok := e.kept[key]; ok {
		return f
	}
	if !e.p.lossy.Has(q) && !e.vague.Has(q) {
		return fate{held: mstrapi.Yes} // nobody asks from where
	}
	f := fate{held: mstrapi.No}
	t := e.p.kin.trace(o, q)
	for _, id := range t.unread {
		if id == mstrapi.EveryoneGroup {
			f.held, f.everyone = mstrapi.Yes, true
		} else if f.held == mstrapi.No {
			f.held = mstrapi.Unknown
		}
	}
	for _, g := range t.groups {
		switch {
		case g.Err != nil:
			if f.held == mstrapi.No {
				f.held = mstrapi.Unknown
			}
		case e.p.holdsAfter(g, q):
			f = f.with([]*Observed{g})
		}
	}
	e.kept[key] = f
	return f
}

// gainedBy returns who is below the groups that are granted q.
func (e *effects) gainedBy(q mstrapi.PrivilegeID) *gained {
	if g := e.gained[q]; g != nil {
		return g
	}
	out := &gained{byUser: make(map[*Observed][]*Observed)}
	e.gained[q] = out
	for _, g := range e.p.gainers[q] {
		if m := e.st.members[g.Principal.ID]; m == nil || !m.complete {
			out.loose = append(out.loose, g)
			continue
		}
		for _, o := range e.membersOf(g) {
			out.byUser[o] = append(out.byUser[o], g)
		}
	}
	return out
}

// noteKeeping counts users who keep a privilege in the ways of f.
func (e *effects) noteKeeping(ways map[Keeping]int, f fate, users int) {
	for _, g := range f.from {
		ways[Keeping{Source: ThroughGroup, ID: g.Principal.ID, Name: g.Principal.Name}] += users
	}
	if f.everyone {
		ways[Keeping{Source: ThroughGroup, ID: mstrapi.EveryoneGroup, Name: e.st.groupName(mstrapi.EveryoneGroup)}] += users
	}
}

// mostKeeping returns the ways of most users.
func mostKeeping(ways map[Keeping]int) []Keeping {
	var out []Keeping
	for k, n := range ways {
		k.Users = n
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Keeping) int {
		return cmp.Or(cmp.Compare(b.Users, a.Users), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return out[:min(len(out), maxKeeping)]
}

func triOf(yes bool) mstrapi.Tri {
	if yes {
		return mstrapi.Yes
	}
	return mstrapi.No
}

func not(t mstrapi.Tri) mstrapi.Tri {
	switch t {
	case mstrapi.Yes:
		return mstrapi.No
	case mstrapi.No:
		return mstrapi.Yes
	}
	return mstrapi.Unknown
}

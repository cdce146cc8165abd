package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// position returns where in a policy file a finding belongs.
func position(p policy.Position) *policy.Position { return &p }

// entrySets are the privileges of one entry by what it wants with them.
type entrySets struct {
	listed    Set
	expired   Set // may overlap listed: then listed wins
	forbidden Set
	unclear   bool // it forbids a name that the catalogue does not have
	vague     bool // it lists a name that the catalogue does not have, so what it does not list is not known
}

// want is what the policy wants of a principal, from all entries that cover it.
// The sets are disjoint but for expired and forbidden.
type want struct {
	settings  policy.Settings
	listed    Set // L
	expired   Set // X, without L
	forbidden Set // F, without what is listed as well
	undecided Set // left alone, for entries contradict each other or one is not known to cover the principal

	spared       Set // listed for somebody who is not there and may be this one: not revoked for not being listed
	contradicted Set // the part of undecided that one entry lists and another forbids
	unlisted     bool
	entries      []int32
	needs        *relation // nil: nothing needs anything
}

// ruleSets are the privileges that a rule names.
type ruleSets struct {
	deny, conflict, require Set
	vague                   bool // it names a privilege that the catalogue does not have
}

// compiled is a policy with its names resolved against a catalogue.
type compiled struct {
	pol      *policy.Policy
	cat      *privilegeIndex
	now      time.Time
	entries  []entrySets
	rules    []ruleSets
	ruled    Set // every privilege that a rule names
	findings []Finding
	relation relation

	wants     map[string]*want
	lastKey   []byte
	conflicts map[conflictKey]*conflict
	unlisted  *want
	absent    map[mstrapi.Kind]Set // what the entries list whose principals are not there
	doubtful  []int32              // selectors of which it is not known whom they choose

	sayings map[sharedList]*saying
	origins map[originKey]*Origin // of selectors
}

// sharedList is a list of privileges that several entries have.
type sharedList struct {
	first *policy.Listed
	n     int
}

// compile resolves every privilege that pol names. Each place that names an
// unknown one gives one finding.
func compile(pol *policy.Policy, cat *privilegeIndex, now time.Time) *compiled {
	c := &compiled{
		pol: pol, cat: cat, now: now,
		entries:   make([]entrySets, len(pol.Principals)),
		rules:     make([]ruleSets, len(pol.Rules)),
		wants:     make(map[string]*want),
		conflicts: make(map[conflictKey]*conflict),
		sayings:   make(map[sharedList]*saying),
		origins:   make(map[originKey]*Origin),
		unlisted:  &want{unlisted: true, settings: policy.Settings{Mode: policy.Authoritative}},
	}
	c.relate()
	c.unlisted.needs = &c.relation
	n := &namer{c: c, names: make(map[string]mstrapi.PrivilegeID), told: make(map[policy.Ref]bool), shared: make(map[sharedList]entrySets)}
	for i := range pol.Principals {
		before := len(c.findings)
		c.entries[i] = n.entry(&pol.Principals[i])
		for k := before; k < len(c.findings); k++ {
			c.findings[k].entry = int32(i) + 1
		}
	}
	for _, ref := range pol.Safety.Names() {
		if len(cat.own(ref)) == 0 {
			n.find(ref)
		}
	}
	for i, r := range pol.Rules {
		sets := &c.rules[i]
		for _, named := range []struct {
			refs []policy.Ref
			set  *Set
		}{{r.Deny, &sets.deny}, {r.Conflict, &sets.conflict}, {r.Require, &sets.require}} {
			for _, ref := range named.refs {
				if id := n.find(ref); id != 0 {
					named.set.Add(id)
				} else {
					sets.vague = true
				}
			}
			c.ruled = c.ruled.Union(*named.set)
		}
	}
	return c
}

// namer finds the privileges that a policy names, and tells of unknown ones.
type namer struct {
	c *compiled
	// What was found is found again without looking it up: large policies name the
	// same few privileges again and again, and very many entries have the same list.
	numbers Set
	names   map[string]mstrapi.PrivilegeID
	told    map[policy.Ref]bool
	shared  map[sharedList]entrySets
}

// find returns the number of the privilege that ref names; 0 where there is none.
func (n *namer) find(ref policy.Ref) mstrapi.PrivilegeID {
	if ref.ID != 0 && n.numbers.Has(mstrapi.PrivilegeID(ref.ID)) {
		return mstrapi.PrivilegeID(ref.ID)
	}
	if id, ok := n.names[ref.Name]; ok && ref.ID == 0 {
		return id
	}
	id, problem := n.c.cat.find(ref)
	switch {
	case problem == nil && ref.ID != 0:
		n.numbers.Add(id)
	case problem == nil:
		n.names[ref.Name] = id
	case !n.told[ref]:
		n.told[ref] = true
		n.c.findings = append(n.c.findings, *problem)
	}
	return id
}

// entry returns the privileges of an entry.
func (n *namer) entry(e *policy.Entry) (sets entrySets) {
	take := func(l *policy.Listed) {
		id := n.find(l.Ref)
		switch {
		case id == 0:
			sets.vague = true
		case l.Expired(n.c.now):
			sets.expired.Add(id)
		default:
			sets.listed.Add(id)
		}
	}
	if list := e.Listed.Shared(); len(list) > 0 {
		key := sharedList{&list[0], len(list)}
		known, ok := n.shared[key]
		if !ok {
			for j := range list {
				take(&list[j])
			}
			known = sets
			n.shared[key] = known
		}
		sets = known
	}
	if e.Listed.Len() > len(e.Listed.Shared()) {
		// Copies: Add changes in place.
		sets.listed, sets.expired = sets.listed.Union(Set{}), sets.expired.Union(Set{})
		for l := range e.Listed.Own() {
			take(&l)
		}
	}
	if more := n.c.relation.need(sets.listed); !more.IsEmpty() {
		sets.listed = sets.listed.Union(more)
	}
	for j := range e.Forbid {
		l := &e.Forbid[j]
		switch id := n.find(l.Ref); {
		case l.Expired(n.c.now):
		case id != 0:
			sets.forbidden.Add(id)
		default:
			sets.unclear = true
		}
	}
	return sets
}

// conflictKey names two entries that disagree, and about what: a privilege, or
// a setting if privilege is 0.
type conflictKey struct {
	first, second int32
	privilege     mstrapi.PrivilegeID
	setting       string
}

type conflict struct {
	principal *Observed // the first in report order
	others    int
}

// wantFor combines the entries that cover o: what they list and forbid adds up;
// for the settings an explicit entry beats selectors.
func (c *compiled) wantFor(o *Observed) *want { return c.wantIn(o, nil) }

// wantIn is wantFor whose answer, where no other principal can have the same, is
// in own until it is used again; nil: in memory of its own.
func (c *compiled) wantIn(o *Observed, own *want) *want {
	if own == nil {
		own = new(want)
	}
	if len(c.doubtful) > 0 {
		c.combine(o.entries, own)
		return c.doubt(o, own)
	}
	// A principal with an entry of its own shares it with nobody.
	if len(o.entries) == 1 && c.pol.Principals[o.entries[0]].Principal != nil {
		c.combine(o.entries, own)
		return own
	}
	key := c.lastKey[:0]
	for _, e := range o.entries {
		key = append(key, byte(e), byte(e>>8), byte(e>>16), byte(e>>24))
	}
	c.lastKey = key
	w := c.wants[string(key)]
	if w == nil {
		w = new(want)
		c.combine(o.entries, w)
		c.wants[string(key)] = w
	}
	return w
}

// combine sets w to what the entries want together.
func (c *compiled) combine(entries []int32, w *want) {
	*w = want{entries: entries, needs: &c.relation}
	if len(entries) == 1 {
		sets := &c.entries[entries[0]]
		w.listed, w.expired, w.forbidden = sets.listed, sets.expired, sets.forbidden
	} else {
		for _, e := range entries {
			sets := &c.entries[e]
			w.listed = w.listed.Union(sets.listed)
			w.expired = w.expired.Union(sets.expired)
			w.forbidden = w.forbidden.Union(sets.forbidden)
		}
	}
	if !w.expired.IsEmpty() {
		w.expired = w.expired.Minus(w.listed)
	}
	if both := w.listed.Intersect(w.forbidden); !both.IsEmpty() {
		w.undecided, w.contradicted = both, both
		w.listed, w.forbidden = w.listed.Minus(both), w.forbidden.Minus(both)
		w.expired = w.expired.Minus(both)
	}
	deciding := &c.pol.Principals[c.deciding(entries)]
	if deciding.Principal == nil {
		w.spared = c.absent[mstrapi.Kind(deciding.Selector.Kind)].Minus(w.listed).Minus(w.forbidden).Minus(w.undecided)
		w.expired = w.expired.Minus(w.spared)
	}
	w.settings = deciding.Settings
	if slices.ContainsFunc(entries, func(e int32) bool { return c.entries[e].vague }) {
		// The misspelled one may be what would be revoked as not listed.
		w.settings.Mode = policy.Additive
	}
}

// noteUnresolved takes from st which entries name nobody who is there, and of which
// selectors it is not known whom they choose.
func (c *compiled) noteUnresolved(st *State) {
	c.absent, c.doubtful = make(map[mstrapi.Kind]Set), nil
	for _, i := range st.absentees {
		kind := mstrapi.Kind(c.pol.Principals[i].Principal.Kind)
		c.absent[kind] = c.absent[kind].Union(c.entries[i].listed)
	}
	for i := range c.pol.Principals {
		if st.failed[i] != nil && c.pol.Principals[i].Selector != nil {
			c.doubtful = append(c.doubtful, int32(i))
		}
	}
	c.doubtful = append(c.doubtful, st.vacant...)
}

// doubt takes back what a selector that could not be resolved would forbid or
// change, should it choose o as well: what it lists is not revoked, what it
// forbids is not granted, and settings that differ from its own take nothing
// away.
func (c *compiled) doubt(o *Observed, w *want) *want {
	explicit := isExplicit(c.pol, o.entries)
	for _, i := range c.doubtful {
		e := &c.pol.Principals[i]
		if !mayChoose(e.Selector, o) {
			continue
		}
		sets := &c.entries[i]
		w.undecided = w.undecided.Union(w.listed.Intersect(sets.forbidden)).Union(sets.listed.Minus(w.listed))
		if refused := w.listed.Intersect(sets.forbidden); !refused.IsEmpty() {
			// What needs something that may be forbidden would bring it along.
			more := w.listed.Intersect(c.relation.dependents(refused))
			w.undecided = w.undecided.Union(more)
			w.listed = w.listed.Minus(refused).Minus(more)
		}
		w.forbidden, w.expired = w.forbidden.Minus(sets.listed), w.expired.Minus(sets.listed)
		if !explicit && differing(e.Settings, w.settings) != "" {
			w.settings.Mode, w.settings.Redundant = policy.Additive, policy.RedundantKeep
		}
	}
	return w
}

// mayChoose reports whether what is known of o does not exclude it from what
// the selector chooses.
func mayChoose(s *policy.Selector, o *Observed) bool {
	return s.Match(candidate(o.Principal, o.Enabled)) != policy.No
}

// isExplicit reports whether one of the entries names its principal, and does not choose
// it.
func isExplicit(pol *policy.Policy, entries []int32) bool {
	return slices.ContainsFunc(entries, func(e int32) bool { return pol.Principals[e].Principal != nil })
}

// deciding returns the entry whose settings hold: the explicit one, otherwise
// the first selector.
func (c *compiled) deciding(entries []int32) int32 {
	for _, e := range entries {
		if c.pol.Principals[e].Principal != nil {
			return e
		}
	}
	return entries[0]
}

// noteConflicts remembers where the entries that cover o contradict each other.
// Principals must be given in report order.
func (c *compiled) noteConflicts(o *Observed, w *want) {
	note := func(k conflictKey) {
		if known := c.conflicts[k]; known != nil {
			known.others++
			return
		}
		c.conflicts[k] = &conflict{principal: o}
	}
	for p := range w.contradicted.All() {
		var lists, forbids int32 = -1, -1
		for _, e := range o.entries {
			if lists < 0 && c.entries[e].listed.Has(p) {
				lists = e
			}
			if forbids < 0 && c.entries[e].forbidden.Has(p) {
				forbids = e
			}
		}
		note(conflictKey{first: lists, second: forbids, privilege: p})
	}
	lead := c.deciding(o.entries)
	if len(o.entries) < 2 || c.pol.Principals[lead].Principal != nil {
		return
	}
	first := c.pol.Principals[lead].Settings
	for _, e := range o.entries[1:] {
		if setting := differing(first, c.pol.Principals[e].Settings); setting != "" {
			note(conflictKey{first: lead, second: e, setting: setting})
		}
	}
}

// differing names the settings that a and b do not share.
func differing(a, b policy.Settings) string {
	var out []string
	if a.Mode != b.Mode {
		out = append(out, "mode")
	}
	if a.SatisfiedBy != b.SatisfiedBy {
		out = append(out, "satisfiedBy")
	}
	if a.Redundant != b.Redundant {
		out = append(out, "redundant")
	}
	if a.Inherited != b.Inherited {
		out = append(out, "inherited")
	}
	return strings.Join(out, ", ")
}

// conflictFindings says where entries contradict each other, once for each two
// entries and what they contradict each other about.
func (c *compiled) conflictFindings() []Finding {
	keys := make([]conflictKey, 0, len(c.conflicts))
	for k := range c.conflicts {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b conflictKey) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.second, b.second), cmp.Compare(a.privilege, b.privilege))
	})
	var out []Finding
	for _, k := range keys {
		at := c.conflicts[k]
		who := at.principal.Principal
		var f Finding
		if k.privilege != 0 {
			lists, forbids := c.listedAt(k.first, k.privilege), c.forbiddenAt(k.second, k.privilege)
			f = finding(CodeConflictingEntries, SeverityError, "%s is covered by an entry that lists privilege %s (%s) and by one that forbids it (%s)",
				who.Label(), c.cat.label(k.privilege), lists, forbids).of(c.cat.ref(k.privilege)).at(position(forbids))
		} else {
			first, second := c.pol.Principals[k.first].Pos, c.pol.Principals[k.second].Pos
			f = finding(CodeConflictingEntries, SeverityError, "%s is covered by two selectors that disagree about %s (%s and %s); give it an entry of its own or make them agree",
				who.Label(), k.setting, first, second).at(position(second))
		}
		if at.others > 0 {
			f.Message += fmt.Sprintf("; so %s", clean.Count(at.others, "other principal is", "other principals are"))
		}
		out = append(out, f.about(who))
	}
	return out
}

// listedAt returns where an entry lists p, and forbiddenAt where it forbids it.
func (c *compiled) listedAt(entry int32, p mstrapi.PrivilegeID) policy.Position {
	e := &c.pol.Principals[entry]
	// It may be listed because another one needs it.
	for _, q := range append([]mstrapi.PrivilegeID{p}, c.relation.dependents(SetOf(p)).IDs()...) {
		for l := range e.Listed.All() {
			if c.names(l.Ref, q) && !l.Expired(c.now) {
				return l.Pos
			}
		}
	}
	return e.Pos
}

func (c *compiled) forbiddenAt(entry int32, p mstrapi.PrivilegeID) policy.Position {
	e := &c.pol.Principals[entry]
	for i := range e.Forbid {
		if l := &e.Forbid[i]; c.names(l.Ref, p) && !l.Expired(c.now) {
			return l.Pos
		}
	}
	return e.Pos
}

// names reports whether ref is p.
func (c *compiled) names(ref policy.Ref, p mstrapi.PrivilegeID) bool {
	return ref.ID == int(p) || ref.ID == 0 && ref.Name == c.cat.byID[p]
}

// forbidPosition returns the place of the first entry in w that forbids p.
func (c *compiled) forbidPosition(w *want, p mstrapi.PrivilegeID) *policy.Position {
	for _, e := range w.entries {
		if c.entries[e].forbidden.Has(p) {
			return position(c.forbiddenAt(e, p))
		}
	}
	return nil
}

// entryPosition returns the place of the entry whose settings hold.
func (c *compiled) entryPosition(w *want) *policy.Position {
	if len(w.entries) == 0 {
		return nil
	}
	return position(c.pol.Principals[c.deciding(w.entries)].Pos)
}

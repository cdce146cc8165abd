package planner

import (
	"cmp"
	"errors"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// Origin is the part of a policy that a planned privilege comes from: evidence for
// whoever reads a plan or a report without the policy. Nothing is decided from it.
//
// Entry and Selector say in words what covers the principal: its own entry, or a
// selector that chose it; both are empty where no entry does.
type Origin struct {
	// Position is the item's own place; that of the entry where the entry names no
	// such item. Zero: a policy without places.
	Position policy.Position `json:"position,omitzero"`
	Entry    string          `json:"entry,omitempty"`
	Selector string          `json:"selector,omitempty"`
	Set      string          `json:"set,omitempty"` // the set that lists it; empty: the entry's own list
}

const (
	// maxTicket bounds the reason of a planned privilege, in bytes: a policy's has up to
	// 4096 characters.
	maxTicket = 4 * 4096
	// maxOriginWords bounds each of the words of an origin, in bytes: a selector may
	// have thousands of exceptions.
	maxOriginWords = 1000
)

// check refuses what no policy could have said.
func (p *PlannedPrivilege) check() error {
	if len(p.Ticket) > maxTicket || len(p.Because) > maxTicket || len(p.Until) > len(day) {
		return errors.New("the policy's words on a privilege are too long")
	}
	if o := p.Origin; o != nil && max(len(o.Position.File), len(o.Entry), len(o.Selector), len(o.Set)) > 2*maxTicket {
		return errors.New("the origin of a privilege is too long")
	}
	return nil
}

// adopt takes the ticket of a document of a version that called it because.
func (p *PlannedPrivilege) adopt() { p.Ticket, p.Because = cmp.Or(p.Ticket, p.Because), "" }

// Adopt makes planned privileges that were read from a document be as this version
// writes them.
func Adopt(lists ...[]PlannedPrivilege) {
	for _, list := range lists {
		for i := range list {
			list[i].adopt()
		}
	}
}

// said is what items of a policy say of one privilege together: the last day is that
// of the one that counts longest, words and place are those of the one that goes
// before (see said.before). The zero value: there is no such item.
type said struct {
	found   bool
	endless bool
	until   time.Time
	reason  string
	pos     policy.Position
	set     string
	entry   int32
	own     bool            // the entry is the principal's own
	at      policy.Position // of the entry: several have the items of a set
}

// before orders items that say the same, whatever the order of the entries: those that
// give a reason, then those of the principal's own entry, then by place, of the item and
// of the entry.
func (s *said) before(o *said) bool {
	first := func(a, b bool) int {
		switch {
		case a == b:
			return 0
		case a:
			return -1
		}
		return 1
	}
	return cmp.Or(first(s.reason != "", o.reason != ""), first(s.own, o.own),
		comparePositions(s.pos, o.pos), cmp.Compare(s.set, o.set), cmp.Compare(s.reason, o.reason), comparePositions(s.at, o.at)) < 0
}

func (s *said) add(o said) {
	switch {
	case !o.found:
	case !s.found:
		*s = o
	default:
		endless, until := s.endless || o.endless, s.until
		if o.until.After(until) {
			until = o.until
		}
		if o.before(s) {
			*s = o
		}
		s.endless, s.until = endless, until
	}
}

// saying holds what one list says, by number: what still counts, and what has
// expired.
type saying struct {
	live, expired map[mstrapi.PrivilegeID]said
}

func newSaying() *saying {
	return &saying{live: make(map[mstrapi.PrivilegeID]said), expired: make(map[mstrapi.PrivilegeID]said)}
}

// take adds an item of the list of an entry.
func (s *saying) take(c *compiled, l *policy.Listed) {
	id := c.idOf(l.Ref)
	if id == 0 {
		return
	}
	into := s.live
	if l.Expired(c.now) {
		into = s.expired
	}
	known := into[id]
	known.add(said{found: true, endless: l.Until.IsZero(), until: l.Until, reason: l.Reason, pos: l.Pos, set: l.Set})
	into[id] = known
}

// idOf returns the number that ref stands for; 0 where it is not clear.
func (c *compiled) idOf(ref policy.Ref) mstrapi.PrivilegeID {
	if ref.ID != 0 {
		return mstrapi.PrivilegeID(ref.ID)
	}
	if found := c.cat.byName[ref.Name]; len(found) == 1 {
		return found[0].ID
	}
	return 0
}

// grounds are what the entries that cover one principal say. They are looked at only
// where a change asks.
type grounds struct {
	c       *compiled
	entries []int32
	own     []*saying // of each entry's own list; nil: not looked at yet
	forbids []*saying
}

// listed returns what the entry's sets and its own list say of p.
func (g *grounds) listed(i int, p mstrapi.PrivilegeID, expired bool) said {
	e := &g.c.pol.Principals[g.entries[i]]
	pick := func(s *saying) said {
		if expired {
			return s.expired[p]
		}
		return s.live[p]
	}
	out := pick(g.c.shared(e.Listed.Shared()))
	if e.Listed.Len() > len(e.Listed.Shared()) {
		if g.own[i] == nil {
			g.own[i] = newSaying()
			for l := range e.Listed.Own() {
				g.own[i].take(g.c, &l)
			}
		}
		out.add(pick(g.own[i]))
	}
	return out
}

func (g *grounds) forbidden(i int, p mstrapi.PrivilegeID) said {
	if g.forbids[i] == nil {
		g.forbids[i] = newSaying()
		e := &g.c.pol.Principals[g.entries[i]]
		for j := range e.Forbid {
			g.forbids[i].take(g.c, &e.Forbid[j])
		}
	}
	return g.forbids[i].live[p]
}

// shared returns what a list says that several entries have.
func (c *compiled) shared(list []policy.Listed) *saying {
	if len(list) == 0 {
		return &saying{}
	}
	key := sharedList{&list[0], len(list)}
	s := c.sayings[key]
	if s == nil {
		s = newSaying()
		for i := range list {
			s.take(c, &list[i])
		}
		c.sayings[key] = s
	}
	return s
}

// all joins what every entry says.
func (g *grounds) all(of func(i int) said) (out said) {
	for i, e := range g.entries {
		s := of(i)
		s.entry, s.own, s.at = e, g.c.pol.Principals[e].Principal != nil, g.c.pol.Principals[e].Pos
		out.add(s)
	}
	return out
}

// of returns what asks for p.
func (g *grounds) of(p *PlannedPrivilege) said {
	list := func(q mstrapi.PrivilegeID, expired bool) said {
		return g.all(func(i int) said { return g.listed(i, q, expired) })
	}
	forbid := func(q mstrapi.PrivilegeID) said {
		return g.all(func(i int) said { return g.forbidden(i, q) })
	}
	var out said
	switch p.Reason {
	case ReasonListed, ReasonRedundant:
		if out = list(p.ID, false); !out.found {
			// It is listed because another one needs it.
			for q := range g.c.relation.dependents(SetOf(p.ID)).All() {
				out.add(list(q, false))
			}
		}
	case ReasonExpired:
		out = list(p.ID, true)
	case ReasonForbidden:
		out = forbid(p.ID)
	case ReasonDependent:
		for q := range g.c.relation.need(SetOf(p.ID)).All() {
			out.add(forbid(q))
			out.add(list(q, true))
		}
	}
	if !out.found {
		// The entry as a whole asks for it.
		lead := &g.c.pol.Principals[g.c.deciding(g.entries)]
		out = g.all(func(i int) said {
			e := &g.c.pol.Principals[g.entries[i]]
			// An entry of its own decides alone.
			return said{found: e == lead || lead.Principal == nil, endless: true, reason: e.Terms.Reason, pos: e.Pos}
		})
	}
	return out
}

// tell adds to what a change grants and revokes what the policy says of it.
func (c *compiled) tell(change *Change, w *want) {
	if w == nil {
		return
	}
	g := grounds{c, w.entries, make([]*saying, len(w.entries)), make([]*saying, len(w.entries))}
	for _, list := range [][]PlannedPrivilege{change.Grant, change.Revoke} {
		for i := range list {
			p := &list[i]
			if len(w.entries) == 0 {
				if w.unlisted {
					p.Origin = &Origin{Position: c.pol.UnlistedPos}
				}
				continue
			}
			s := g.of(p)
			p.Ticket = s.reason
			if !s.endless {
				p.Until = s.until.UTC().Format(day)
			}
			p.Origin = c.origin(s)
		}
	}
}

// origin says where s stands. What a selector says of many principals is one value.
func (c *compiled) origin(s said) *Origin {
	e := &c.pol.Principals[s.entry]
	key := originKey{s.entry, s.pos, s.set}
	if o := c.origins[key]; o != nil {
		return o
	}
	o := &Origin{Position: s.pos, Set: clean.Clip(s.set, maxOriginWords)}
	switch {
	case e.Principal != nil:
		o.Entry = clean.Clip(describeRef(*e.Principal), maxOriginWords)
	case e.Selector != nil:
		o.Selector = clean.Clip(e.Selector.String(), maxOriginWords)
		c.origins[key] = o
	}
	return o
}

type originKey struct {
	entry int32
	pos   policy.Position
	set   string
}

package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"privsync/clean"
)

// entry is an item of principals whose sets are not looked up yet.
type entry struct {
	Entry
	sets  []inclusion
	clash Position // its own redundant or satisfiedBy, whichever could contradict
}

// privilegeSet is an item of privilegeSets. Its position is that of its name.
type privilegeSet struct {
	name    string
	pos     Position
	own     []Listed
	include []inclusion
}

// inclusion is the name of a set in an entry or in another set.
type inclusion struct {
	word
	Terms
}

var (
	entryKeys    = []string{"user", "group", "users", "groups", "id", "sets", "privileges", "forbid", "mode", "satisfiedBy", "redundant", "inherited", "missing", "until", "reason", "description"}
	setKeys      = []string{"description", "privileges", "include"}
	listedKeys   = []string{"privilege", "until", "reason", "description"}
	includedKeys = []string{"set", "until", "reason", "description"}
)

// entryReader reads one item of principals.
type entryReader struct {
	*parser
	entry
	ref                 PrincipalRef
	own                 []Listed
	subject, pin, empty *yaml.Node // the keys of whom and id; privileges: []
	wants               bool
}

// entry reads one item of principals and adds it to d.
func (p *parser) entry(d *document, n *yaml.Node) {
	before := p.out.count()
	r := entryReader{parser: p}
	r.Pos = p.pos(n)
	sound := p.mapping(n, whatEntry, entryKeys, r.key)
	for _, list := range [][]Listed{r.own, r.Forbid} {
		for i := range list {
			list[i].Terms = list[i].within(r.Terms, r.Pos)
		}
	}
	r.Listed = p.packer.pack(r.own)
	if !p.spendValues(entryValues + itemValues*(len(r.sets)+len(r.Forbid))) {
		return
	}
	r.check(n, sound)
	if ref := r.ref; ref.Name != "" {
		r.Principal = &ref // by itself: the reader is not kept
	}
	d.principals = append(d.principals, r.entry)
	if p.out.count() == before {
		d.base.entry(p, n)
	}
}

func (r *entryReader) key(key string, k, v *yaml.Node) {
	switch key {
	case "user", "group", "users", "groups":
		if r.subject != nil {
			r.problem(k, "make two entries of it", "an entry has exactly one of user, group, users and groups: %s is at %d:%d",
				r.subject.Value, r.subject.Line+r.lineBase, r.subject.Column)
			return
		}
		r.subject = k
		if kind := kindOf(key); string(kind) != key {
			r.Selector = r.selector(v, kind, true)
		} else if name, ok := r.name(v, key); ok {
			r.ref.Kind, r.ref.Name, r.ref.Pos = kind, name, r.pos(v)
		}
	case "id":
		r.pin = k
		r.ref.ID, _ = r.objectID(v, key)
	case "sets":
		r.wants = true
		r.sets = r.setNames(v, key)
	case "privileges":
		r.wants = true
		r.own = r.listed(v, whatDirectList, true)
		if v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
			r.empty = v
		}
	case "forbid":
		r.wants = true
		r.Forbid = r.listed(v, key, false)
	case "until", "reason", "description":
		r.term(&r.Terms, key, v)
	default:
		if r.setting(&r.Stated, key, v) && (key == "redundant" || key == "satisfiedBy" && r.clash.Line == 0) {
			r.clash = r.pos(v)
		}
	}
}

// check judges what only the whole entry at n tells; sound: no key of it was refused.
func (r *entryReader) check(n *yaml.Node, sound bool) {
	if sound && r.subject == nil {
		r.problem(n, "write user, group, users or groups", "the entry names nobody")
	}
	if r.pin != nil && r.Selector != nil {
		r.problem(r.pin, "", "id belongs to user or group, not to a selector")
	}
	if sound && !r.wants {
		r.problem(n, "write sets, privileges or forbid; mode: authoritative with privileges: [] if it is meant to have nothing", "the entry wants nothing")
	}
	if sound && r.empty != nil && r.Stated.Mode != Authoritative {
		r.problem(r.empty, "write mode: authoritative as well if it is meant to have nothing", "privileges is an empty list")
	}
	if r.Stated.restless() {
		r.out.add(r.clash, "", restlessMessage)
		r.clash = Position{}
	}
}

// term reads one of the keys of [Terms], and reports whether it could.
func (p *parser) term(t *Terms, key string, v *yaml.Node) (ok bool) {
	switch key {
	case "until":
		t.Until, ok = p.date(v, key)
	case "reason":
		t.Reason, ok = p.text(v, key)
	case "description":
		t.Description, ok = p.text(v, key)
	}
	return ok
}

// inclusion reads the name of a set, alone or with terms.
func (p *parser) inclusion(n *yaml.Node) (inclusion, bool) {
	const what = "the name of a set"
	if n.Kind != yaml.MappingNode {
		name, ok := p.name(n, what)
		return inclusion{word: word{name, p.pos(n)}}, ok
	}
	in := inclusion{word: word{pos: p.pos(n)}}
	good, named := true, false
	sound := p.mapping(n, "the inclusion of a set", includedKeys, func(key string, _, v *yaml.Node) {
		ok := false
		if key == "set" {
			named = true
			in.text, ok = p.name(v, what)
			in.pos = p.pos(v)
		} else {
			ok = p.term(&in.Terms, key, v)
		}
		good = good && ok
	})
	if sound && !named {
		p.problem(n, "write {set: NAME}", "the item names no set")
	}
	return in, sound && good && named
}

// setNames reads a list of names of sets, each once.
func (p *parser) setNames(n *yaml.Node, what string) []inclusion {
	var names []inclusion
	if n.Kind == yaml.SequenceNode {
		names = make([]inclusion, 0, len(n.Content))
	}
	var seen index[string]
	p.list(n, what, false, func(v *yaml.Node) {
		in, ok := p.inclusion(v)
		if !ok {
			return
		}
		if _, twice := seen.add(in.text, in.pos); twice {
			p.problem(v, "", "set %s is given twice in %s", clean.Quote(cut(in.text)), what)
			return
		}
		names = append(names, in)
	})
	return slices.Clip(names)
}

// listed reads a list of privileges that may have a last day, each once.
func (p *parser) listed(n *yaml.Node, what string, mayBeEmpty bool) []Listed {
	return each(p, n, what, mayBeEmpty, p.listing, func(l Listed) Ref { return l.Ref })
}

func (p *parser) listing(n *yaml.Node) (Listed, bool) {
	if n.Kind != yaml.MappingNode {
		ref, ok := p.ref(n, "the privilege")
		return Listed{Ref: ref}, ok
	}
	var l Listed
	good, named := true, false
	before := p.out.count()
	sound := p.mapping(n, "a listed privilege", listedKeys, func(key string, _, v *yaml.Node) {
		ok := false
		switch key {
		case "privilege":
			named = true
			l.Ref, ok = p.ref(v, key)
		default:
			ok = p.term(&l.Terms, key, v)
		}
		good = good && ok
	})
	if !named && (sound || p.out.count() == before+1 && len(n.Content) == 2) {
		p.problem(n, "a name that holds a colon needs quotes", "the item has no privilege")
	}
	return l, sound && good && named
}

// privilegeSets returns the sets it could read, and whether that is all of them.
func (p *parser) privilegeSets(n *yaml.Node) ([]*privilegeSet, bool) {
	var sets []*privilegeSet
	whole := true
	sound := p.section(n, "privilegeSets", nil, func(name string, k, v *yaml.Node) {
		s := &privilegeSet{name: p.intern(name), pos: p.pos(k)}
		if _, ok := p.name(k, "the name of a set"); !ok {
			whole = false
			return
		}
		what := "set " + clean.Quote(cut(name))
		wants := false
		sound := p.mapping(v, what, setKeys, func(key string, _, v *yaml.Node) {
			switch key {
			case "description":
				p.text(v, key)
			case "privileges":
				wants = true
				s.own = p.listed(v, key, false)
				for i := range s.own {
					s.own[i].Set = s.name
				}
			case "include":
				wants = true
				s.include = p.setNames(v, key)
			}
		})
		if sound && !wants {
			p.problem(v, "write privileges or include", "%s has no privileges", what)
		}
		if p.spendValues(ruleValues + itemValues*(len(s.own)+len(s.include))) {
			sets = append(sets, s)
		}
	})
	return sets, sound && whole
}

// privilegeKey is what makes two refs the same text.
type privilegeKey struct {
	id   int
	name string
}

func (r Ref) key() privilegeKey { return privilegeKey{r.ID, r.Name} }

// index finds repetitions in a list: by looking through the short ones, by a map in
// the long ones.
type index[K comparable] struct {
	keys []K
	pos  []Position
	at   map[K]Position
}

// add returns the position of an equal key that was added before.
func (x *index[K]) add(key K, pos Position) (first Position, twice bool) {
	if x.at == nil {
		if i := slices.Index(x.keys, key); i >= 0 {
			return x.pos[i], true
		}
		if x.keys, x.pos = append(x.keys, key), append(x.pos, pos); len(x.keys) == 16 {
			x.at = make(map[K]Position, 64)
			for i, k := range x.keys {
				x.at[k] = x.pos[i]
			}
		}
		return Position{}, false
	}
	if first, twice = x.at[key]; !twice {
		x.at[key] = pos
	}
	return first, twice
}

func quoteRef(r Ref) string {
	if r.ID != 0 {
		return strconv.Itoa(r.ID)
	}
	return clean.Quote(cut(r.Name))
}

func describe(r PrincipalRef) string { return fmt.Sprintf("%s %s", r.Kind, clean.Quote(cut(r.Name))) }

// principalIndex finds principals that are named twice: by the same id or,
// without one, by the same name: logins without regard to letter case, group
// names exactly. Names beside different ids are those of different principals,
// and whether a name without an id means one of them only the server can tell.
type principalIndex map[string]Position

// add returns the position of the same principal added before.
func (x principalIndex) add(r *PrincipalRef) (Position, bool) {
	key := "#" + r.ID
	switch {
	case r.ID != "":
	case r.Kind == User:
		key = "u" + FoldLogin(r.Name)
	default:
		key = "g" + r.Name
	}
	first, twice := x[key]
	if !twice {
		x[key] = r.Pos
	}
	return first, twice
}

// addPrincipals returns p with those of more that it does not hold yet.
func addPrincipals(p, more []PrincipalRef) []PrincipalRef {
	seen := make(principalIndex, len(p)+len(more))
	for i := range p {
		seen.add(&p[i])
	}
	out := slices.Clip(p)
	for i := range more {
		if _, twice := seen.add(&more[i]); !twice {
			out = append(out, more[i])
		}
	}
	return out
}

// FoldLogin maps texts that [strings.EqualFold] takes for equal, as the server does
// logins, to one text.
func FoldLogin(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return strings.ToUpper(s)
	}
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, s)
}

package policy

import (
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"privsync/clean"
	"privsync/mstr"
)

// Selector chooses principals on the server: those of Kind that meet its conditions, and
// are not excepted.
type Selector struct {
	Kind Kind
	Conditions
	MemberOfPos Position
	Pos         Position
	Except      []Excepted
}

// Conditions are what a selector wants of whom it chooses, all of it; a field without a
// value wants nothing. As JSON they are what documents say of a selector.
//
// A new one is a field here, a row of [conditions], and stands in the schemas of policy,
// plan and report; nothing else knows one from another.
type Conditions struct {
	MemberOf     string `json:"memberOf,omitempty"` // group name
	MemberOfID   string `json:"-"`                  // of that group; empty: the name decides
	Nested       bool   `json:"nested,omitempty"`   // also members of member groups
	LoginMatches string `json:"loginMatches,omitempty"`
	NameMatches  string `json:"nameMatches,omitempty"`
	Enabled      *bool  `json:"enabled,omitempty"`
}

// Candidate is what is known of a principal that a selector may choose.
type Candidate struct {
	Kind    Kind
	Name    string
	Login   string // of a user; empty: not known
	Enabled Answer
}

// Answer is yes or no; the zero value says that it is not known.
type Answer uint8

const (
	Unknown Answer = iota
	Yes
	No
)

func answer(known, yes bool) Answer {
	switch {
	case !known:
		return Unknown
	case yes:
		return Yes
	}
	return No
}

// condition is one key of a selector that is about the principal itself. Words and met
// are asked only where it has a value.
type condition struct {
	key   string
	users bool                       // only a selector of users has it
	value func(c *Conditions) any    // where its value stands, a *string or **bool
	words func(c *Conditions) string // what it wants, in a list
	met   func(c *Conditions, who *Candidate) Answer
}

// conditions stand in the order in which messages name them. Never changed.
var conditions = []condition{
	{
		key: "loginMatches", users: true, // a glob with * and ?, without regard to case
		value: func(c *Conditions) any { return &c.LoginMatches },
		words: func(c *Conditions) string { return "with a login like " + clean.Quote(c.LoginMatches) },
		met: func(c *Conditions, who *Candidate) Answer {
			return answer(who.Login != "", mstr.Wildcard(FoldLogin(c.LoginMatches), FoldLogin(who.Login)))
		},
	}, {
		key:   "nameMatches", // a glob with * and ?, exact case
		value: func(c *Conditions) any { return &c.NameMatches },
		words: func(c *Conditions) string { return "with a name like " + clean.Quote(c.NameMatches) },
		met: func(c *Conditions, who *Candidate) Answer {
			return answer(true, mstr.Wildcard(c.NameMatches, who.Name))
		},
	}, {
		key: "enabled", users: true,
		value: func(c *Conditions) any { return &c.Enabled },
		words: func(c *Conditions) string { return map[bool]string{true: "enabled", false: "disabled"}[*c.Enabled] },
		met: func(c *Conditions, who *Candidate) Answer {
			return answer(who.Enabled != Unknown, *c.Enabled == (who.Enabled == Yes))
		},
	},
}

// given yields the conditions that have a value.
func (c *Conditions) given(yield func(*condition) bool) {
	for i := range conditions {
		has := false
		switch v := conditions[i].value(c).(type) {
		case *string:
			has = *v != ""
		case **bool:
			has = *v != nil
		}
		if has && !yield(&conditions[i]) {
			return
		}
	}
}

// Match says whether who meets the conditions, as far as that can be told of somebody
// alone: whether it is in the group of memberOf, and not among the exceptions, the
// server's lists tell.
func (s *Selector) Match(who Candidate) Answer {
	if who.Kind != s.Kind {
		return No
	}
	result := Yes
	for c := range s.given {
		switch c.met(&s.Conditions, &who) {
		case No:
			return No
		case Unknown:
			result = Unknown
		}
	}
	return result
}

// Group is the group of memberOf; without one it has no name.
func (s *Selector) Group() PrincipalRef {
	return PrincipalRef{Kind: Group, Name: s.MemberOf, ID: s.MemberOfID, Pos: s.MemberOfPos}
}

// Words says whom the conditions choose among principals of kind: every user in group
// "Contractors" at any depth.
func (c *Conditions) Words(kind Kind) string {
	var parts []string
	if c.MemberOf != "" {
		group := "in group " + clean.Quote(c.MemberOf)
		if c.Nested {
			group += " at any depth"
		}
		if c.MemberOfID != "" {
			group += " (" + clean.Text(c.MemberOfID) + ")"
		}
		parts = append(parts, group)
	}
	for given := range c.given {
		parts = append(parts, given.words(c))
	}
	return strings.TrimSuffix("every "+string(kind)+" "+strings.Join(parts, ", "), " ")
}

// String is [Conditions.Words] with the exceptions.
func (s *Selector) String() string {
	text := s.Words(s.Kind)
	for i, x := range s.Except {
		text += []string{" but not ", " and not "}[min(i, 1)]
		switch {
		case x.Selector != nil:
			text += x.Selector.String()
		case x.Principal.Kind == Group:
			text += "group " + clean.Quote(x.Principal.Name) + " and its members"
		default:
			text += "user " + clean.Quote(x.Principal.Name)
		}
		if !x.Until.IsZero() {
			text += " (until " + x.Until.UTC().Format(time.DateOnly) + ")"
		}
	}
	return text
}

// selector reads the selector of a users or groups key, with exceptions if it may have
// them.
func (p *parser) selector(n *yaml.Node, kind Kind, exceptions bool) *Selector {
	s := &Selector{Kind: kind, Pos: p.pos(n)}
	what := string(kind) + "s"
	known := []string{"memberOf", "nested"}
	for _, c := range conditions {
		if kind == User || !c.users {
			known = append(known, c.key)
		}
	}
	if exceptions {
		known = append(known, exceptKey)
	}
	var nested *yaml.Node
	given := 0
	sound := p.section(n, what, known, func(key string, k, v *yaml.Node) {
		switch key {
		case exceptKey:
			s.Except = p.excepted(v, kind)
			return
		case "nested":
			nested = k
			s.Nested, _ = p.boolean(v, key)
			return
		case "memberOf":
			s.MemberOf, s.MemberOfID = p.memberOf(v, key)
			s.MemberOfPos = p.pos(v)
		}
		given++
		for _, c := range conditions {
			if c.key != key {
				continue
			}
			switch to := c.value(&s.Conditions).(type) {
			case *string:
				*to, _ = p.name(v, key)
			case **bool:
				if b, ok := p.boolean(v, key); ok {
					*to = &b
				}
			}
		}
	})
	switch {
	case nested != nil && s.MemberOfPos.Line == 0 && sound:
		p.problem(nested, "", "nested belongs to memberOf, which is missing")
	case given == 0 && sound:
		p.problem(n, "", "%s has no condition", what)
	}
	return s
}

// memberOf reads the group of a selector: its name, or its name with the id that
// tells it from others of that name.
func (p *parser) memberOf(n *yaml.Node, what string) (name, id string) {
	if n.Kind != yaml.MappingNode {
		name, _ = p.name(n, what)
		return name, ""
	}
	sound := p.section(n, what, []string{"group", "id"}, func(key string, _, v *yaml.Node) {
		if key == "id" {
			id, _ = p.objectID(v, key)
			return
		}
		name, _ = p.name(v, key)
	})
	if sound && len(n.Content) < 4 {
		p.problem(n, "write {group: NAME, id: ID}", "%s takes a name, or a group with its id", what)
	}
	return name, id
}

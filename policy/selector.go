package policy

import (
	"slices"
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

func answer(yes bool) Answer {
	if yes {
		return Yes
	}
	return No
}

// condition is one key of a selector.
type condition struct {
	key   string
	users bool // only a selector of users has it
	// read takes its value from n, which stands in s.
	read func(p *parser, s *Selector, n *yaml.Node, key string)
	// words says what it wants, in a list; "" if it wants nothing.
	words func(c *Conditions) string
	// met reports whether who meets it; nil: only the members of a group tell.
	met func(c *Conditions, who *Candidate) Answer
}

// conditions are the keys of selectors in the order in which messages name them. Never
// changed.
var conditions = []condition{
	{
		key: "memberOf",
		read: func(p *parser, s *Selector, n *yaml.Node, key string) {
			s.MemberOf, s.MemberOfID = p.memberOf(n, key)
			s.MemberOfPos = p.pos(n)
		},
		words: func(c *Conditions) string {
			text := "in group " + clean.Quote(c.MemberOf)
			if c.Nested {
				text += " at any depth"
			}
			if c.MemberOfID != "" {
				text += " (" + clean.Text(c.MemberOfID) + ")"
			}
			return only(c.MemberOf != "", text)
		},
	}, {
		key:  nestedKey,
		read: func(p *parser, s *Selector, n *yaml.Node, key string) { s.Nested, _ = p.boolean(n, key) },
	}, {
		key: "loginMatches", users: true, // without regard to case
		read: func(p *parser, s *Selector, n *yaml.Node, key string) { s.LoginMatches, _ = p.name(n, key) },
		words: func(c *Conditions) string {
			return only(c.LoginMatches != "", "with a login like "+clean.Quote(c.LoginMatches))
		},
		met: func(c *Conditions, who *Candidate) Answer {
			switch {
			case c.LoginMatches == "":
				return Yes
			case who.Login == "":
				return Unknown
			}
			return answer(mstr.Wildcard(FoldLogin(c.LoginMatches), FoldLogin(who.Login)))
		},
	}, {
		key:  "nameMatches", // exact case
		read: func(p *parser, s *Selector, n *yaml.Node, key string) { s.NameMatches, _ = p.name(n, key) },
		words: func(c *Conditions) string {
			return only(c.NameMatches != "", "with a name like "+clean.Quote(c.NameMatches))
		},
		met: func(c *Conditions, who *Candidate) Answer {
			return answer(c.NameMatches == "" || mstr.Wildcard(c.NameMatches, who.Name))
		},
	}, {
		key: "enabled", users: true,
		read: func(p *parser, s *Selector, n *yaml.Node, key string) {
			if b, ok := p.boolean(n, key); ok {
				s.Enabled = &b
			}
		},
		words: func(c *Conditions) string {
			if c.Enabled != nil && !*c.Enabled {
				return "disabled"
			}
			return only(c.Enabled != nil, "enabled")
		},
		met: func(c *Conditions, who *Candidate) Answer {
			switch {
			case c.Enabled == nil:
				return Yes
			case who.Enabled == Unknown:
				return Unknown
			}
			return answer(*c.Enabled == (who.Enabled == Yes))
		},
	},
}

const (
	nestedKey = "nested"
	exceptKey = "except"
)

func only(given bool, text string) string {
	if given {
		return text
	}
	return ""
}

// selectorKeys are the keys that a selector of kind has, exceptions last.
func selectorKeys(kind Kind) []string {
	var keys []string
	for _, c := range conditions {
		if kind == User || !c.users {
			keys = append(keys, c.key)
		}
	}
	return append(keys, exceptKey)
}

// Match says whether who meets the conditions, as far as that can be told of somebody
// alone: whether it is in the group of memberOf, and not among the exceptions, the
// server's lists tell.
func (s *Selector) Match(who Candidate) Answer {
	if who.Kind != s.Kind {
		return No
	}
	result := Yes
	for i := range conditions {
		if conditions[i].met == nil {
			continue
		}
		switch conditions[i].met(&s.Conditions, &who) {
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
	for i := range conditions {
		if conditions[i].words == nil {
			continue
		}
		if text := conditions[i].words(c); text != "" {
			parts = append(parts, text)
		}
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
	known := selectorKeys(kind)
	if !exceptions {
		known = known[:len(known)-1]
	}
	var nested *yaml.Node
	given := 0
	sound := p.section(n, what, known, func(key string, k, v *yaml.Node) {
		switch key {
		case exceptKey:
			s.Except = p.excepted(v, kind)
			return
		case nestedKey:
			nested = k
		default:
			given++
		}
		i := slices.IndexFunc(conditions, func(c condition) bool { return c.key == key })
		conditions[i].read(p, s, v, key)
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

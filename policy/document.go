package policy

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"

	"privsync/clean"
)

// document is one file, read but not yet put together with the others. Of a
// section that was not given the position is zero.
type document struct {
	file  File
	start Position
	// lost names the sections of which something could not be read because of a
	// mistake, or [everything]: what is missing there is not worth a problem.
	lost map[string]bool
	// values is how much of [maxValues] the file took.
	values int
	// warned holds what is valid and probably not meant.
	warned collector

	sections
	scope      word
	licences   licencesSection
	unlisted   word
	sets       []*privilegeSet
	principals []entry
	rules      []Rule
	needs      []Prerequisite
	commands   []Command
	overlays   []overlay
	base       baseContent
}

// sections are what an overlay may say as well.
type sections struct {
	metadata    metadataSection
	environment environmentSection
	defaults    defaultsSection
	safety      safetySection
}

// word is a text with its place; the zero value was not given.
type word struct {
	text string
	pos  Position
}

func (w word) given() bool { return w.pos.Line != 0 }

type metadataSection struct {
	pos                      Position
	name, owner, description word
	environment              word
}

type environmentSection struct {
	pos            Position
	url, loginMode word
}

type defaultsSection struct {
	pos                Position
	stated             Settings
	redundant          Position // where that is stated
	expiringWithinDays *int
}

type safetySection struct {
	pos Position
	Safety
	serverLock *bool
}

type overlay struct {
	name string
	sections
}

func (w word) place() Position               { return w.pos }
func (s metadataSection) place() Position    { return s.pos }
func (s environmentSection) place() Position { return s.pos }
func (s defaultsSection) place() Position    { return s.pos }
func (s safetySection) place() Position      { return s.pos }
func (s licencesSection) place() Position    { return s.pos }

// everything stands in [document.lost] for all sections.
const everything = ""

// unread is the document of a file that could not be read.
func unread() *document { return &document{lost: map[string]bool{everything: true}} }

func (d *document) lose(section string) {
	if d.lost == nil {
		d.lost = map[string]bool{}
	}
	d.lost[section] = true
}

// loseMistaken loses the sections whose keys are mistyped, given twice or
// without a value that can be followed.
func (d *document) loseMistaken(root *yaml.Node) {
	if root.Kind != yaml.MappingNode || root.Style&yaml.TaggedStyle != 0 {
		d.lose(everything)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		k := root.Content[i]
		switch known := slices.Contains(documentKeys, k.Value); {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
			d.lose(everything)
		case !known:
			if meant := Suggest(k.Value, documentKeys); meant != "" {
				d.lose(meant)
			}
		case seen[k.Value] || root.Content[i+1].Kind == yaml.AliasNode:
			d.lose(k.Value)
		}
		seen[k.Value] = true
	}
}

const (
	apiVersion     = "privsync/v1"
	documentKind   = "Policy"
	watchKPI       = "assign-watch-kpi-insight"
	maxNoticeDays  = 3650
	principalsKey  = "principals"
	whatEntry      = "a principals entry"
	whatDocument   = "a policy"
	whatDirectList = "privileges"
)

// The known keys, in the order in which messages name them. Never changed.
var (
	documentKeys = []string{"apiVersion", "kind", "metadata", "scope", "environment", "defaults", "safety", "licences", "privilegeSets", "principals", "unlisted", "rules", "prerequisites", "commands", "overlays"}
	defaultsKeys = []string{"mode", "satisfiedBy", "redundant", "inherited", "missing", "expiringWithinDays"}
	refKeys      = []string{"user", "group", "id"}
	termKeys     = []string{"until", "reason", "description"}
	ruleKeys     = []string{"name", "description", "severity", "deny", "except", "conflict", "require", "atLeast"}
)

// document reads the root of a file. Where the principals were taken out (see
// [parser.parse]) they stand as an empty value that skip names.
func (p *parser) document(root *yaml.Node, skip *yaml.Node) *document {
	d := &document{start: p.pos(root)}
	before, ofEntries := p.out.count(), 0
	given := map[string]bool{}
	sound := p.mapping(root, whatDocument, documentKeys, func(key string, k, v *yaml.Node) {
		given[key] = true
		sofar := p.out.count()
		switch {
		case k == skip:
		case !p.part(d, key, k, v):
			d.lose(key)
		case key == principalsKey:
			ofEntries = p.out.count() - sofar
		}
	})
	switch {
	case sound:
	case p.out.full(): // what each of so many keys may mean is not worth the time
		d.lose(everything)
	default:
		d.loseMistaken(root)
	}
	for _, must := range []struct{ key, is string }{{"apiVersion", apiVersion}, {"kind", documentKind}} {
		if !given[must.key] && !d.lost[must.key] && !d.lost[everything] {
			p.problem(root, "write "+must.key+": "+must.is, "%s is missing", must.key)
		}
	}
	if p.out.count() == before+ofEntries && !p.account.ended() {
		d.base.root(p, root)
	}
	return d
}

// part reads one key of the root, and reports whether nothing of it is lost.
func (p *parser) part(d *document, key string, k, v *yaml.Node) (whole bool) {
	sofar := p.out.count()
	whole = true
	switch key {
	case "apiVersion":
		oneOf(p, v, key, apiVersion)
	case "kind":
		oneOf(p, v, key, documentKind)
	case "metadata":
		d.metadata = p.metadata(k, v)
		return p.out.count() == sofar
	case "scope":
		d.scope = p.scope(k, v)
	case "environment":
		d.environment = p.environment(k, v)
	case "defaults":
		d.defaults = p.defaults(k, v)
	case "safety":
		d.safety = p.safety(k, v)
	case "licences":
		d.licences = p.licences(k, v)
	case "privilegeSets":
		d.sets, whole = p.privilegeSets(v)
	case principalsKey:
		whole = p.list(v, key, false, func(item *yaml.Node) { p.entry(d, item) })
	case "unlisted":
		var text Unlisted
		if text, whole = oneOf(p, v, key, UnlistedIgnore, UnlistedReport, UnlistedRevoke); whole {
			d.unlisted = word{string(text), p.pos(k)}
		}
	case "rules":
		p.list(v, key, false, func(item *yaml.Node) { p.rule(d, item) })
	case "prerequisites":
		p.list(v, key, false, func(item *yaml.Node) { p.prerequisite(d, item) })
	case "commands":
		p.list(v, key, false, func(item *yaml.Node) {
			if text, ok := oneOf(p, item, "a command", watchKPI); ok {
				d.commands = addCommand(p.out, d.commands, Command{text, p.pos(item)})
			}
		})
		return p.out.count() == sofar
	case "overlays":
		d.overlays, whole = p.overlays(v)
	}
	return whole
}

// addCommand returns commands with c, or reports that it stands there already.
func addCommand(out *collector, commands []Command, c Command) []Command {
	for _, other := range commands {
		if other.Name == c.Name {
			out.add(c.Pos, "", fmt.Sprintf("command %s is given twice: first at %s", clean.Quote(c.Name), other.Pos))
			return commands
		}
	}
	return append(commands, c)
}

// field is a key of a section, and what reads it.
type field struct {
	key  string
	read func(k, v *yaml.Node)
}

// fields reads a section that has these keys.
func (p *parser) fields(n *yaml.Node, what string, fields ...field) bool {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	return p.section(n, what, known, func(key string, k, v *yaml.Node) { fields[slices.Index(known, key)].read(k, v) })
}

func (p *parser) metadata(k, v *yaml.Node) metadataSection {
	s := metadataSection{pos: p.pos(k)}
	p.fields(v, "metadata",
		field{"name", func(_, v *yaml.Node) { s.name = p.wordAt(v, p.name, "the name of the policy") }},
		field{"owner", func(_, v *yaml.Node) { s.owner = p.wordAt(v, p.text, "owner") }},
		field{"description", func(_, v *yaml.Node) { s.description = p.wordAt(v, p.text, "description") }},
		field{"environment", func(_, v *yaml.Node) { s.environment = p.wordAt(v, p.name, "the name of the environment") }})
	return s
}

// section is mapping for one that must not be empty.
func (p *parser) section(n *yaml.Node, what string, known []string, field func(key string, k, v *yaml.Node)) bool {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		p.problem(n, "leave it out if nothing is meant", "%s is empty", what)
		return false
	}
	return p.mapping(n, what, known, field)
}

func (p *parser) wordAt(n *yaml.Node, read func(*yaml.Node, string) (string, bool), what string) word {
	text, ok := read(n, what)
	if !ok {
		return word{}
	}
	return word{text, p.pos(n)}
}

func (p *parser) scope(k, v *yaml.Node) word {
	var level word
	given := false
	sound := p.mapping(v, "scope", []string{"level"}, func(_ string, _, v *yaml.Node) {
		given = true
		if text, ok := oneOf(p, v, "level", LevelServer, LevelProject, LevelAll); ok {
			level = word{string(text), p.pos(k)}
		}
	})
	if sound && !given {
		p.problem(v, "write level: server, project or all", "scope has no level")
	}
	return level
}

func (p *parser) environment(k, v *yaml.Node) environmentSection {
	s := environmentSection{pos: p.pos(k)}
	p.fields(v, "environment",
		field{"url", func(_, v *yaml.Node) { s.url = p.wordAt(v, p.serverURL, "url") }},
		field{"loginMode", func(_, v *yaml.Node) {
			if text, ok := oneOf(p, v, "loginMode", "standard", "ldap", "apiToken"); ok {
				s.loginMode = word{text, p.pos(v)}
			}
		}})
	return s
}

func (p *parser) defaults(k, v *yaml.Node) defaultsSection {
	s := defaultsSection{pos: p.pos(k)}
	p.section(v, "defaults", defaultsKeys, func(key string, _, v *yaml.Node) {
		if key == "expiringWithinDays" {
			if days, ok := p.integer(v, key, 0, maxNoticeDays); ok {
				s.expiringWithinDays = &days
			}
		} else if p.setting(&s.stated, key, v) && key == "redundant" {
			s.redundant = p.pos(v)
		}
	})
	if s.settings().restless() {
		p.out.add(s.redundant, "", restlessMessage)
		s.stated.SatisfiedBy = ""
	}
	return s
}

// setting reads one of the settings that entries and defaults have, and reports whether
// it could.
func (p *parser) setting(s *Settings, key string, v *yaml.Node) (ok bool) {
	switch key {
	case "mode":
		s.Mode, ok = oneOf(p, v, key, Additive, Authoritative)
	case "satisfiedBy":
		s.SatisfiedBy, ok = oneOf(p, v, key, Effective, Direct)
	case "redundant":
		s.Redundant, ok = oneOf(p, v, key, RedundantKeep, RedundantRevoke)
	case "inherited":
		s.Inherited, ok = oneOf(p, v, key, InheritedAllow, InheritedReport)
	case "missing":
		s.Missing, ok = oneOf(p, v, key, MissingBlock, MissingReport)
	}
	return ok
}

func (p *parser) safety(k, v *yaml.Node) safetySection {
	s := safetySection{pos: p.pos(k)}
	p.fields(v, "safety",
		field{"maxRevokes", func(_, v *yaml.Node) { s.MaxRevokes, _ = p.limit(v, "maxRevokes", true) }},
		field{"maxChangedPrincipals", func(_, v *yaml.Node) { s.MaxChangedPrincipals, _ = p.limit(v, "maxChangedPrincipals", false) }},
		field{"protected", func(_, v *yaml.Node) { s.Protected, s.ProtectedBy = p.protected(v, "protected") }},
		field{"ownPrivileges", func(_, v *yaml.Node) { s.OwnPrivileges = p.refs(v, "ownPrivileges") }},
		field{"licences", func(_, v *yaml.Node) { s.Licences = p.licenceLimits(v) }},
		field{"approval", func(k, v *yaml.Node) { s.Approval = p.approval(k, v) }},
		field{"serverLock", func(_, v *yaml.Node) {
			if on, ok := p.boolean(v, "serverLock"); ok {
				s.serverLock = &on
			}
		}},
		field{"administrative", func(_, v *yaml.Node) { s.Administrative = p.refs(v, "administrative") }})
	return s
}

func (p *parser) approval(k, v *yaml.Node) *Approval {
	a := &Approval{Pos: p.pos(k)}
	given := false
	sound := p.fields(v, "approval",
		field{"required", func(_, v *yaml.Node) {
			given = true
			a.Required, _ = p.integer(v, "required", 1, MaxApprovals)
		}},
		field{"above", func(_, v *yaml.Node) {
			a.Above = &ApprovalAbove{}
			p.fields(v, "above",
				field{"revokes", func(_, v *yaml.Node) { a.Above.Revokes, _ = p.limit(v, "revokes", false) }},
				field{"grantsOf", func(_, v *yaml.Node) { a.Above.GrantsOf = p.refs(v, "grantsOf") }})
		}})
	if sound && !given {
		p.problem(v, "write required: 2", "approval does not say how many people must approve")
	}
	return a
}

// protected reads a list of users, groups and selectors, each user and group once.
func (p *parser) protected(n *yaml.Node, what string) ([]PrincipalRef, []*Selector) {
	var refs []PrincipalRef
	var selectors []*Selector
	seen := principalIndex{}
	p.list(n, what, false, func(v *yaml.Node) {
		if key := selectorKey(v); key != "" && len(v.Content) == 2 {
			if s, ok := p.resolve(v.Content[1]); ok {
				selectors = append(selectors, p.selector(s, kindOf(key), true))
			}
			return
		}
		if ref, ok := p.principalRef(v, what, nil); ok && p.once(seen, &ref, what) {
			refs = append(refs, ref)
		}
	})
	return refs, selectors
}

// exceptions reads a list of users and groups with terms, each once.
func (p *parser) exceptions(n *yaml.Node, what string) []Exception {
	var all []Exception
	seen := principalIndex{}
	p.list(n, what, false, func(v *yaml.Node) {
		var x Exception
		var ok bool
		if x.PrincipalRef, ok = p.principalRef(v, what, &x.Terms); ok && p.once(seen, &x.PrincipalRef, what) {
			all = append(all, x)
		}
	})
	return all
}

// once reports whether seen does not hold ref yet, and takes it up.
func (p *parser) once(seen principalIndex, ref *PrincipalRef, what string) bool {
	first, twice := seen.add(ref)
	if twice {
		p.out.add(ref.Pos, "", describe(*ref)+" is given twice in "+what+": first at "+first.String())
	}
	return !twice
}

// principalRef reads a user or a group; its terms go to terms, nil: it has none.
func (p *parser) principalRef(n *yaml.Node, what string, terms *Terms) (PrincipalRef, bool) {
	ref := PrincipalRef{Pos: p.pos(n)}
	item := "an item of " + what
	good, subjects := true, 0
	known := refKeys
	if terms != nil {
		known = append(slices.Clone(refKeys), termKeys...)
	}
	sound := p.mapping(n, item, known, func(key string, k, v *yaml.Node) {
		if slices.Contains(termKeys, key) {
			good = p.term(terms, key, v) && good
			return
		}
		if key == "id" {
			var ok bool
			ref.ID, ok = p.objectID(v, key)
			good = good && ok
			return
		}
		if subjects++; subjects > 1 {
			p.problem(k, "", "%s is either a user or a group", item)
			good = false
			return
		}
		name, ok := p.name(v, key)
		good = good && ok
		ref.Kind, ref.Name, ref.Pos = Kind(key), name, p.pos(v)
	})
	if sound && subjects == 0 {
		p.problem(n, "write {user: LOGIN} or {group: NAME}", "%s names nobody", item)
	}
	return ref, sound && good && subjects == 1
}

// overlays returns what it could read, and whether that is all of them.
func (p *parser) overlays(n *yaml.Node) ([]overlay, bool) {
	var all []overlay
	whole := true
	sound := p.section(n, "overlays", nil, func(name string, k, v *yaml.Node) {
		if p.account.overlays--; p.account.overlays < 0 {
			if whole = false; p.account.overlays == -1 {
				p.problem(k, "", "the policy has more than %d overlays", maxOverlays)
			}
			return
		}
		o := overlay{name: p.intern(name)}
		if _, ok := p.name(k, "the name of an overlay"); !ok {
			whole = false
			return
		}
		p.fields(v, "an overlay",
			field{"metadata", func(k, v *yaml.Node) {
				o.metadata = p.metadata(k, v)
				if e := o.metadata.environment; e.given() {
					p.out.add(e.pos, "leave it out", "the environment of an overlay is the overlay's name")
				}
			}},
			field{"environment", func(k, v *yaml.Node) { o.environment = p.environment(k, v) }},
			field{"defaults", func(k, v *yaml.Node) { o.defaults = p.defaults(k, v) }},
			field{"safety", func(k, v *yaml.Node) { o.safety = p.safety(k, v) }})
		all = append(all, o)
	})
	return all, sound && whole
}

func (p *parser) rule(d *document, n *yaml.Node) {
	if !p.spendValues(ruleValues) {
		return
	}
	r := Rule{Severity: RuleError, Pos: p.pos(n)}
	var kind, except, atLeast *yaml.Node // the keys
	named := false
	sound := p.mapping(n, "a rule", ruleKeys, func(key string, k, v *yaml.Node) {
		switch key {
		case "name":
			named = true
			if name, ok := p.name(v, "the name of a rule"); ok {
				r.Name, r.Pos = name, p.pos(v)
			}
		case "description":
			p.text(v, key)
		case "severity":
			if severity, ok := oneOf(p, v, key, RuleError, RuleWarning); ok {
				r.Severity = severity
			}
		case "except":
			except = k
			r.Except = p.exceptions(v, key)
		case "atLeast":
			atLeast = k
			r.AtLeast, _ = p.integer(v, key, 1, maxLimit)
		default:
			if kind != nil {
				p.problem(k, "make two rules of it", "a rule has exactly one of deny, conflict and require: %s is at %d:%d", kind.Value, kind.Line+p.lineBase, kind.Column)
				return
			}
			kind = k
			refs := p.refs(v, key)
			switch key {
			case "deny":
				r.Deny = refs
			case "conflict":
				if r.Conflict = refs; v.Kind == yaml.SequenceNode && len(v.Content) == 1 {
					p.problem(v, "", "conflict needs two privileges or more")
				}
			case "require":
				r.Require = refs
			}
		}
	})
	if sound && !named {
		p.problem(n, "", "the rule has no name")
	}
	if sound && kind == nil {
		p.problem(n, "write deny, conflict or require", "the rule judges nothing")
	}
	if except != nil && kind != nil && kind.Value != "deny" {
		p.problem(except, "", "except belongs to deny, not to %s", kind.Value)
	}
	if atLeast != nil && kind != nil && kind.Value != "require" {
		p.problem(atLeast, "", "atLeast belongs to require, not to %s", kind.Value)
	}
	if sound && kind != nil && kind.Value == "require" && atLeast == nil {
		p.problem(kind, "write atLeast: 1 or more", "require needs atLeast")
	}
	d.rules = append(d.rules, r)
}

// refs reads a list of privileges, each once.
func (p *parser) refs(n *yaml.Node, what string) []Ref {
	return each(p, n, what, false, func(v *yaml.Node) (Ref, bool) { return p.ref(v, "the privilege") }, func(r Ref) Ref { return r })
}

// each reads a list of items that are about privileges, each privilege once.
func each[T any](p *parser, n *yaml.Node, what string, mayBeEmpty bool, read func(*yaml.Node) (T, bool), of func(T) Ref) []T {
	var items []T
	if n.Kind == yaml.SequenceNode {
		items = make([]T, 0, len(n.Content))
	}
	var seen index[privilegeKey]
	p.list(n, what, mayBeEmpty, func(v *yaml.Node) {
		item, ok := read(v)
		if !ok {
			return
		}
		ref := of(item)
		if first, twice := seen.add(ref.key(), ref.Pos); twice {
			p.out.add(ref.Pos, "", "privilege "+quoteRef(ref)+" is given twice in "+what+": first at "+first.String())
			return
		}
		items = append(items, item)
	})
	return slices.Clip(items)
}

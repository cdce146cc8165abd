package policy

import (
	"slices"

	"gopkg.in/yaml.v3"
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

	metadata    metadataSection
	scope       word
	environment environmentSection
	defaults    defaultsSection
	safety      safetySection
	licences    licencesSection
	unlisted    word
	sets        []*privilegeSet
	principals  []entry
	rules       []Rule
	needs       []Prerequisite
	commands    []Command
	overlays    []overlay
	base        baseContent
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
	pos                                     Position
	mode, satisfiedBy, redundant, inherited word
	missing                                 word
	expiringWithinDays                      *int
}

type safetySection struct {
	pos                  Position
	maxRevokes           *Limit
	maxChangedPrincipals *Limit
	protected            []PrincipalRef
	protectedBy          []*Selector
	ownPrivileges        []Ref
	licences             []LicenceLimit
	approval             *Approval
	serverLock           *bool
	administrative       []Ref
}

type overlay struct {
	name        string
	pos         Position
	metadata    metadataSection
	environment environmentSection
	defaults    defaultsSection
	safety      safetySection
}

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
	documentKeys    = []string{"apiVersion", "kind", "metadata", "scope", "environment", "defaults", "safety", "licences", "privilegeSets", "principals", "unlisted", "rules", "prerequisites", "commands", "overlays"}
	metadataKeys    = []string{"name", "owner", "description", "environment"}
	environmentKeys = []string{"url", "loginMode"}
	defaultsKeys    = []string{"mode", "satisfiedBy", "redundant", "inherited", "missing", "expiringWithinDays"}
	safetyKeys      = []string{"maxRevokes", "maxChangedPrincipals", "protected", "ownPrivileges", "licences", "approval", "serverLock", "administrative"}
	approvalKeys    = []string{"required", "above"}
	aboveKeys       = []string{"revokes", "grantsOf"}
	overlayKeys     = []string{"metadata", "environment", "defaults", "safety"}
	refKeys         = []string{"user", "group", "id"}
	termKeys        = []string{"until", "reason", "description"}
	ruleKeys        = []string{"name", "description", "severity", "deny", "except", "conflict", "require", "atLeast"}
)

// document reads the root of a file. Where the principals were taken out (see
// [parser.parse]) they stand as an empty value that skip names.
func (p *parser) document(root *yaml.Node, skip *yaml.Node) *document {
	d := &document{start: p.pos(root)}
	before, ofEntries := p.out.count(), 0
	var version, kind bool
	sound := p.mapping(root, whatDocument, documentKeys, func(key string, k, v *yaml.Node) {
		sofar := p.out.count()
		switch key {
		case "apiVersion":
			version = true
			p.word(v, key, apiVersion)
		case "kind":
			kind = true
			p.word(v, key, documentKind)
		case "metadata":
			if d.metadata = p.metadata(k, v); p.out.count() > sofar {
				d.lose(key)
			}
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
			var all bool
			if d.sets, all = p.privilegeSets(v); !all {
				d.lose(key)
			}
		case principalsKey:
			if k != skip && !p.list(v, key, false, func(item *yaml.Node) { p.entry(d, item) }) {
				d.lose(key)
				break
			}
			ofEntries += p.out.count() - sofar
		case "unlisted":
			if text, ok := p.word(v, key, string(UnlistedIgnore), string(UnlistedReport), string(UnlistedRevoke)); ok {
				d.unlisted = word{text, p.pos(k)}
			} else {
				d.lose(key)
			}
		case "rules":
			p.list(v, key, false, func(item *yaml.Node) { p.rule(d, item) })
		case "prerequisites":
			p.list(v, key, false, func(item *yaml.Node) { p.prerequisite(d, item) })
		case "commands":
			p.list(v, key, false, func(item *yaml.Node) {
				if text, ok := p.word(item, "a command", watchKPI); ok {
					d.commands = p.addCommand(d.commands, Command{text, p.pos(item)})
				}
			})
			if p.out.count() > sofar {
				d.lose(key)
			}
		case "overlays":
			var all bool
			if d.overlays, all = p.overlays(v); !all {
				d.lose(key)
			}
		}
	})
	switch {
	case sound:
	case p.out.full(): // what each of so many keys may mean is not worth the time
		d.lose(everything)
	default:
		d.loseMistaken(root)
	}
	if !version && !d.lost["apiVersion"] && !d.lost[everything] {
		p.problem(root, "write apiVersion: "+apiVersion, "apiVersion is missing")
	}
	if !kind && !d.lost["kind"] && !d.lost[everything] {
		p.problem(root, "write kind: "+documentKind, "kind is missing")
	}
	if p.out.count() == before+ofEntries && !p.account.ended() {
		d.base.root(p, root)
	}
	return d
}

func (p *parser) addCommand(commands []Command, c Command) []Command {
	for _, other := range commands {
		if other.Name == c.Name {
			p.out.add(c.Pos, "", commandTwice(c, other))
			return commands
		}
	}
	return append(commands, c)
}

func (p *parser) metadata(k, v *yaml.Node) metadataSection {
	s := metadataSection{pos: p.pos(k)}
	p.section(v, "metadata", metadataKeys, func(key string, _, v *yaml.Node) {
		switch key {
		case "name":
			s.name = p.wordAt(v, p.name, "the name of the policy")
		case "owner":
			s.owner = p.wordAt(v, p.text, "owner")
		case "description":
			s.description = p.wordAt(v, p.text, "description")
		case "environment":
			s.environment = p.wordAt(v, p.name, "the name of the environment")
		}
	})
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
		if text, ok := p.word(v, "level", string(LevelServer), string(LevelProject), string(LevelAll)); ok {
			level = word{text, p.pos(k)}
		}
	})
	if sound && !given {
		p.problem(v, "write level: server, project or all", "scope has no level")
	}
	return level
}

func (p *parser) environment(k, v *yaml.Node) environmentSection {
	s := environmentSection{pos: p.pos(k)}
	p.section(v, "environment", environmentKeys, func(key string, _, v *yaml.Node) {
		switch key {
		case "url":
			s.url = p.wordAt(v, p.serverURL, "url")
		case "loginMode":
			if text, ok := p.word(v, key, "standard", "ldap", "apiToken"); ok {
				s.loginMode = word{text, p.pos(v)}
			}
		}
	})
	return s
}

func (p *parser) defaults(k, v *yaml.Node) defaultsSection {
	s := defaultsSection{pos: p.pos(k)}
	p.section(v, "defaults", defaultsKeys, func(key string, _, v *yaml.Node) {
		if key == "expiringWithinDays" {
			if days, ok := p.integer(v, key, 0, maxNoticeDays); ok {
				s.expiringWithinDays = &days
			}
			return
		}
		text, ok := p.setting(key, v)
		if !ok {
			return
		}
		w := word{text, p.pos(v)}
		switch key {
		case "mode":
			s.mode = w
		case "satisfiedBy":
			s.satisfiedBy = w
		case "redundant":
			s.redundant = w
		case "inherited":
			s.inherited = w
		case "missing":
			s.missing = w
		}
	})
	if s.settings().restless() {
		p.out.add(s.redundant.pos, "", restlessMessage)
		s.satisfiedBy = word{}
	}
	return s
}

// setting reads one of the settings that entries and defaults have.
func (p *parser) setting(key string, v *yaml.Node) (string, bool) {
	switch key {
	case "mode":
		return p.word(v, key, string(Additive), string(Authoritative))
	case "satisfiedBy":
		return p.word(v, key, string(Effective), string(Direct))
	case "redundant":
		return p.word(v, key, string(RedundantKeep), string(RedundantRevoke))
	case "missing":
		return p.word(v, key, string(MissingBlock), string(MissingReport))
	}
	return p.word(v, key, string(InheritedAllow), string(InheritedReport))
}

func (p *parser) safety(k, v *yaml.Node) safetySection {
	s := safetySection{pos: p.pos(k)}
	p.section(v, "safety", safetyKeys, func(key string, k, v *yaml.Node) {
		switch key {
		case "maxRevokes":
			s.maxRevokes, _ = p.limit(v, key, true)
		case "maxChangedPrincipals":
			s.maxChangedPrincipals, _ = p.limit(v, key, false)
		case "protected":
			s.protected, s.protectedBy = p.protected(v, key)
		case "ownPrivileges":
			s.ownPrivileges = p.refs(v, key)
		case "administrative":
			s.administrative = p.refs(v, key)
		case "approval":
			s.approval = p.approval(k, v)
		case "licences":
			s.licences = p.licenceLimits(v)
		case "serverLock":
			if on, ok := p.boolean(v, key); ok {
				s.serverLock = &on
			}
		}
	})
	return s
}

func (p *parser) approval(k, v *yaml.Node) *Approval {
	a := &Approval{Pos: p.pos(k)}
	given := false
	sound := p.section(v, "approval", approvalKeys, func(key string, _, v *yaml.Node) {
		switch key {
		case "required":
			given = true
			a.Required, _ = p.integer(v, key, 1, MaxApprovals)
		case "above":
			a.Above = &ApprovalAbove{}
			p.section(v, key, aboveKeys, func(key string, _, v *yaml.Node) {
				switch key {
				case "revokes":
					a.Above.Revokes, _ = p.limit(v, key, false)
				case "grantsOf":
					a.Above.GrantsOf = p.refs(v, key)
				}
			})
		}
	})
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
		o := overlay{name: p.intern(name), pos: p.pos(k)}
		if _, ok := p.name(k, "the name of an overlay"); !ok {
			whole = false
			return
		}
		p.section(v, "an overlay", overlayKeys, func(key string, k, v *yaml.Node) {
			switch key {
			case "metadata":
				o.metadata = p.metadata(k, v)
				if e := o.metadata.environment; e.given() {
					p.out.add(e.pos, "leave it out", "the environment of an overlay is the overlay's name")
				}
			case "environment":
				o.environment = p.environment(k, v)
			case "defaults":
				o.defaults = p.defaults(k, v)
			case "safety":
				o.safety = p.safety(k, v)
			}
		})
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
			if text, ok := p.word(v, key, string(RuleError), string(RuleWarning)); ok {
				r.Severity = RuleSeverity(text)
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
	var refs []Ref
	if n.Kind == yaml.SequenceNode {
		refs = make([]Ref, 0, len(n.Content))
	}
	var seen refIndex
	p.list(n, what, false, func(v *yaml.Node) {
		ref, ok := p.ref(v, "the privilege")
		if !ok {
			return
		}
		if first, twice := seen.add(ref); twice {
			p.out.add(ref.Pos, "", "privilege "+quoteRef(ref)+" is given twice in "+what+": first at "+first.String())
			return
		}
		refs = append(refs, ref)
	})
	return slices.Clip(refs)
}

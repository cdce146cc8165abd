package policy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"privsync/clean"
)

const (
	// maxAliased bounds how many nodes all aliases of a policy together stand for.
	maxAliased = 1_000_000

	secretAdvice = "a policy never holds a secret: use PRIVSYNC_PASSWORD or --password-file"
)

// parser reads one file. It is not for concurrent use.
type parser struct {
	file      string
	lineBase  int // added to the lines of nodes that were parsed from a part of the file
	chunkSize int
	out       *collector
	warned    collector
	packer    *packer

	names map[string]string // one copy of every name

	account      *account // of all files together
	maxAliased   int
	aliasesEnded bool
	sizes        map[*yaml.Node]int
}

func newParser(file string, out *collector) *parser {
	return &parser{
		account: newAccount(),
		file:    file, chunkSize: chunkSize, maxAliased: maxAliased, out: out, packer: newPacker(file),
		names: map[string]string{}, sizes: map[*yaml.Node]int{},
	}
}

func (p *parser) pos(n *yaml.Node) Position {
	return Position{p.file, max(1, n.Line+p.lineBase), max(1, n.Column)}
}

func (p *parser) problem(n *yaml.Node, hint, format string, args ...any) {
	p.out.add(p.pos(n), hint, fmt.Sprintf(format, args...))
}

func (p *parser) intern(s string) string {
	if known, ok := p.names[s]; ok {
		return known
	}
	p.names[s] = s
	return s
}

// resolve follows an alias, within the policy's budget. A scalar takes the
// position of its alias, which is where a reader looks for the mistake.
func (p *parser) resolve(n *yaml.Node) (*yaml.Node, bool) {
	if n.Kind != yaml.AliasNode {
		return n, true
	}
	size := p.size(n.Alias)
	if size == math.MaxInt {
		p.problem(n, "", "alias *%s stands for something that holds the alias itself", cut(n.Value))
		return nil, false
	}
	if p.account.aliased += size; p.account.aliased > p.maxAliased {
		if !p.aliasesEnded {
			p.aliasesEnded = true
			p.problem(n, "use privilegeSets instead", "the aliases of the policy stand for more than %d values", p.maxAliased)
		}
		return nil, false
	}
	if n.Alias.Kind == yaml.ScalarNode {
		c := *n.Alias
		c.Line, c.Column = n.Line, n.Column
		return &c, true
	}
	return n.Alias, true
}

// size counts the nodes below n with all aliases expanded, no further than a
// little over [maxAliased]. It is MaxInt if n holds itself.
func (p *parser) size(n *yaml.Node) int {
	const inProgress = math.MaxInt
	if s, ok := p.sizes[n]; ok {
		return s
	}
	p.sizes[n] = inProgress
	total := 1
	children := n.Content
	if n.Kind == yaml.AliasNode {
		children = []*yaml.Node{n.Alias}
	}
	for _, c := range children {
		s := p.size(c)
		if s == math.MaxInt {
			return s
		}
		total = min(total+s, maxAliased+1)
	}
	p.sizes[n] = total
	return total
}

// mapping calls field for every known key of n once, with its value resolved,
// and reports all others. A nil known accepts any key. It returns false if n is
// not a mapping or has a key that it should not have: then a key that is
// missing is probably one of those, and not worth another problem.
func (p *parser) mapping(n *yaml.Node, what string, known []string, field func(key string, k, v *yaml.Node)) bool {
	if n.Kind != yaml.MappingNode {
		p.wrongType(n, what, "a mapping")
		return false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		p.problem(n, "", "tag %s is not part of the policy language", clean.Quote(cut(n.Tag)))
		return false
	}
	sound := true
	var seen map[string]*yaml.Node
	if len(n.Content) > 32 {
		seen = make(map[string]*yaml.Node, len(n.Content)/2)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !p.key(k, what) {
			sound = false
			continue
		}
		if first := earlier(n, i, seen); first != nil {
			p.problem(k, "", "key %s is given twice in %s: first at %d:%d", clean.Quote(cut(k.Value)), what, first.Line+p.lineBase, first.Column)
			sound = false
			continue
		}
		if seen != nil {
			seen[k.Value] = k
		}
		if known != nil && !slices.Contains(known, k.Value) {
			p.unknownKey(k, v, what, known)
			sound = false
			continue
		}
		v, ok := p.resolve(v)
		if !ok {
			sound = false
			continue
		}
		if v.Kind == yaml.ScalarNode && v.Value == "" && isNull(v) {
			// Nothing stands there, so the key is what can be pointed at.
			v.Line, v.Column = k.Line, k.Column
		}
		if known == nil && v.Kind != yaml.MappingNode && looksSecret(k.Value) {
			p.secretKey(k)
			sound = false
			continue
		}
		field(k.Value, k, v)
	}
	return sound
}

func (p *parser) key(k *yaml.Node, what string) bool {
	switch {
	case k.Kind == yaml.ScalarNode && k.Tag == "!!merge":
		p.problem(k, "use privilegeSets and include", "merge keys (<<) are not part of the policy language")
	case k.Kind == yaml.AliasNode:
		p.problem(k, "", "a key in %s is an alias, must be a word", what)
	case k.Kind != yaml.ScalarNode:
		p.problem(k, "", "a key in %s is %s, must be a word", what, shapeName(k))
	case k.Style&yaml.TaggedStyle != 0:
		p.problem(k, "", "tag %s is not part of the policy language", clean.Quote(cut(k.Tag)))
	case strings.TrimSpace(k.Value) == "" || isNull(k):
		p.problem(k, "", "a key in %s is empty", what)
	default:
		return true
	}
	return false
}

func earlier(n *yaml.Node, i int, seen map[string]*yaml.Node) *yaml.Node {
	if seen != nil {
		return seen[n.Content[i].Value]
	}
	for j := 0; j < i; j += 2 {
		if k := n.Content[j]; k.Kind == yaml.ScalarNode && k.Value == n.Content[i].Value {
			return k
		}
	}
	return nil
}

func (p *parser) unknownKey(k, v *yaml.Node, what string, known []string) {
	if looksSecret(k.Value) {
		p.secretKey(k)
	} else {
		hint := ""
		if !p.out.full() {
			hint = didYouMean(k.Value, known)
		}
		if hint == "" && len(known) < 8 {
			hint = "known are " + strings.Join(known, ", ")
		}
		p.problem(k, hint, "unknown key %s in %s", clean.Quote(cut(k.Value)), what)
	}
	p.searchSecrets(v)
}

func (p *parser) secretKey(k *yaml.Node) {
	p.problem(k, secretAdvice, "key %s looks like a secret", clean.Quote(cut(k.Value)))
}

// searchSecrets looks for secrets in what is not read any further.
func (p *parser) searchSecrets(n *yaml.Node) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Kind == yaml.ScalarNode && looksSecret(c.Value) {
			p.secretKey(c)
		}
		p.searchSecrets(c)
	}
}

// looksSecret reports whether a key asks for something that must not stand in a
// policy.
func looksSecret(key string) bool {
	if len(key) > maxNameRunes {
		return false
	}
	k := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(key))
	for _, part := range []string{"password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "privatekey", "accesskey", "credential"} {
		if strings.Contains(k, part) {
			return true
		}
	}
	return k == "pwd" || k == "pass" || k == "authorization" || k == "bearer"
}

// list calls item for every item of n, resolved. It returns false if n is not a
// list, or is empty and must not be.
func (p *parser) list(n *yaml.Node, what string, mayBeEmpty bool, item func(v *yaml.Node)) bool {
	switch {
	case n.Kind == yaml.ScalarNode && !isNull(n):
		p.problem(n, "write ["+strconv.Quote(cut(n.Value))+"]", "%s must be a list, not a single value", what)
		return false
	case n.Kind != yaml.SequenceNode:
		p.wrongType(n, what, "a list")
		return false
	case n.Style&yaml.TaggedStyle != 0:
		p.problem(n, "", "tag %s is not part of the policy language", clean.Quote(cut(n.Tag)))
		return false
	case len(n.Content) == 0 && !mayBeEmpty:
		p.problem(n, "leave it out if nothing is meant", "%s is an empty list", what)
		return false
	}
	for _, v := range n.Content {
		if v, ok := p.resolve(v); ok {
			item(v)
		}
	}
	return true
}

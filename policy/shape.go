package policy

import (
	"errors"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"
	"gopkg.in/yaml.v3"

	"privsync/schema"
)

// The schema pass comes after the hand-written checks and only judges what they
// found nothing wrong with: they know the better messages, it is the net below
// them. To cost little with 100,000 entries it judges every shape of entry once:
// two entries with the same keys in the same order, whose scalars the
// hand-written checks have put into the same classes, get the same verdict.

// principalSchema is the schema of one item of principals.
var principalSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	s, err := schema.Compiled("policy")
	if err != nil {
		return nil, err
	}
	principals, ok := s.Properties[principalsKey]
	if !ok || principals.Items2020 == nil {
		return nil, errors.New("schema policy: no items of principals")
	}
	return principals.Items2020, nil
})

// class is what the schema expects of a scalar, by its key or that of the list
// that it stands in.
type class byte

const (
	classText      class = 's'
	classWord      class = 'w' // one of a few words: the shape holds the word
	classBoolean   class = 'b'
	classInteger   class = 'i'
	classLimit     class = 'l'
	classPrivilege class = 'p'
	classID        class = 'h'
	classDate      class = 'd'
)

func classOf(key string) class {
	switch key {
	case "mode", "satisfiedBy", "redundant", "inherited", "missing":
		return classWord
	case "nested", "enabled", "serverLock":
		return classBoolean
	case "expiringWithinDays", "atLeast", "maxChangedPrincipals", "max", "required", "revokes":
		return classInteger
	case "maxRevokes":
		return classLimit
	case "privileges", "privilege", "forbid", "deny", "conflict", "require":
		return classPrivilege
	case "id":
		return classID
	case "until":
		return classDate
	}
	return classText
}

func (p *parser) checkEntry(n *yaml.Node) {
	if p.aliasesEnded {
		return // what it stands for is without bounds, and the policy is refused already
	}
	p.scratch = appendShape(p.scratch[:0], n, "")
	if p.shapes[string(p.scratch)] {
		return
	}
	s, err := principalSchema()
	if err == nil {
		err = s.Validate(schemaValue(n, ""))
	}
	if err != nil {
		p.schemaProblems(n, err)
		return
	}
	const enough = 10_000
	if len(p.shapes) < enough {
		p.shapes[string(p.scratch)] = true
	}
}

func (p *parser) checkRoot(n *yaml.Node) {
	if p.aliasesEnded {
		return
	}
	root := *n
	root.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != principalsKey {
			root.Content = append(root.Content, n.Content[i], n.Content[i+1])
		}
	}
	if err := schema.Validate("policy", schemaValue(&root, "")); err != nil {
		p.schemaProblems(&root, err)
	}
}

// appendShape describes what the schema can see of an entry that passed the
// hand-written checks: every text there is 1 to 1024 characters long and not
// blank, every id, date and number is a right one. Of a list it tells the shapes
// of the items, equal neighbours once.
func appendShape(b []byte, n *yaml.Node, key string) []byte {
	switch n.Kind {
	case yaml.AliasNode:
		return appendShape(b, n.Alias, key)
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			b = append(b, n.Content[i].Value...)
			b = append(b, ':')
			b = appendShape(b, n.Content[i+1], n.Content[i].Value)
		}
		return append(b, '}')
	case yaml.SequenceNode:
		b = append(b, '[')
		last := len(b)
		for _, c := range n.Content {
			start := len(b)
			b = appendShape(b, c, key)
			if string(b[start:]) == string(b[last:start]) {
				b = b[:start]
			} else {
				last = start
			}
		}
		return append(b, ']')
	}
	c := classOf(key)
	b = append(b, byte(c))
	switch c {
	case classWord, classBoolean:
		b = append(b, n.Value...)
	case classPrivilege:
		if allDigits(n.Value) {
			b = append(b, '0')
		}
	}
	return append(b, ' ')
}

// schemaValue turns a node into what the schema expects at its key: names that
// YAML takes for numbers, dates or booleans are text.
func schemaValue(n *yaml.Node, key string) any {
	switch n.Kind {
	case yaml.AliasNode:
		return schemaValue(n.Alias, key)
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = schemaValue(n.Content[i+1], n.Content[i].Value)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = schemaValue(c, key)
		}
		return list
	}
	if isNull(n) {
		return nil
	}
	switch classOf(key) {
	case classBoolean:
		if n.Tag == "!!bool" {
			return strings.EqualFold(n.Value, "true")
		}
	case classInteger, classLimit, classPrivilege:
		if v, err := strconv.Atoi(n.Value); err == nil && allDigits(n.Value) {
			return v
		}
	}
	return n.Value
}

// schemaProblems reports the innermost causes of err, each at the node that it
// is about.
func (p *parser) schemaProblems(root *yaml.Node, err error) {
	var failed *jsonschema.ValidationError
	if !errors.As(err, &failed) {
		p.problem(root, "", "does not match the policy schema: %s", cut(err.Error()))
		return
	}
	seen := map[string]bool{}
	var report func(e *jsonschema.ValidationError)
	report = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			report(cause)
		}
		if len(e.Causes) > 0 || seen[e.InstanceLocation] {
			return
		}
		seen[e.InstanceLocation] = true
		p.problem(nodeAt(root, e.InstanceLocation), "", "does not match the policy schema: %s", cut(e.Message))
	}
	report(failed)
}

// nodeAt follows a JSON pointer as far as it leads.
func nodeAt(n *yaml.Node, pointer string) *yaml.Node {
	for pointer != "" {
		var step string
		step, pointer, _ = strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
		if pointer != "" {
			pointer = "/" + pointer
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		next := n
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == step {
					next = n.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
				next = n.Content[i]
			}
		}
		if next == n {
			return n
		}
		n = next
	}
	return n
}

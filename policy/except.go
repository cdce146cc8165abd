package policy

import (
	"strings"

	"gopkg.in/yaml.v3"
)

const exceptKey = "except"

// excepted reads the exceptions of a selector of the kind.
func (p *parser) excepted(n *yaml.Node, kind Kind) []Excepted {
	var all []Excepted
	seen := principalIndex{}
	p.list(n, exceptKey, false, func(item *yaml.Node) {
		if key := selectorKey(item); key != "" {
			if x, ok := p.exceptedSelector(item, key, kind); ok {
				all = append(all, x)
			}
			return
		}
		var x Excepted
		ref, ok := p.principalRef(item, exceptKey, &x.Terms)
		x.Principal, x.Pos = &ref, ref.Pos
		switch {
		case !ok:
		case ref.Kind == User && kind == Group:
			p.out.add(ref.Pos, "", "a selector of groups has no users to except")
		case p.once(seen, &ref, exceptKey):
			all = append(all, x)
		}
	})
	return all
}

// selectorKey returns the key of a selector in an item of except, "" for none.
func selectorKey(item *yaml.Node) string {
	if item.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i < len(item.Content); i += 2 {
		if k := item.Content[i]; k.Kind == yaml.ScalarNode && (k.Value == "users" || k.Value == "groups") {
			return k.Value
		}
	}
	return ""
}

// kindOf is what a selector with the key users or groups chooses.
func kindOf(key string) Kind { return Kind(strings.TrimSuffix(key, "s")) }

func (p *parser) exceptedSelector(item *yaml.Node, subject string, kind Kind) (Excepted, bool) {
	other := kindOf(subject)
	x := Excepted{Pos: p.pos(item)}
	good := true
	sound := p.mapping(item, "an item of "+exceptKey, append([]string{subject}, termKeys...), func(key string, k, v *yaml.Node) {
		switch {
		case key != subject:
			good = p.term(&x.Terms, key, v) && good
		case other != kind:
			p.problem(k, "", "a selector of %ss has no %ss to except", kind, other)
			good = false
		default:
			x.Selector = p.selector(v, other, false)
		}
	})
	return x, sound && good && x.Selector != nil
}

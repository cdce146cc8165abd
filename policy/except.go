package policy

import (
	"slices"

	"gopkg.in/yaml.v3"
)

const exceptKey = "except"

// termKeys are the keys of [Terms].
var termKeys = []string{"until", "reason", "description"}

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
		if k := item.Content[i].Value; k == "users" || k == "groups" {
			return k
		}
	}
	return ""
}

func (p *parser) exceptedSelector(item *yaml.Node, subject string, kind Kind) (Excepted, bool) {
	other, known := User, userSelectorKeys
	if subject == "groups" {
		other, known = Group, groupSelectorKeys
	}
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
			x.Selector = p.selector(v, other, slices.Clone(known[:len(known)-1])) // all but except
		}
	})
	return x, sound && good && x.Selector != nil
}

package policy

import "gopkg.in/yaml.v3"

const exceptKey = "except"

// excepted reads the exceptions of a selector of the kind.
func (p *parser) excepted(n *yaml.Node, kind Kind) []Excepted {
	var all []Excepted
	seen := principalIndex{}
	p.list(n, exceptKey, false, func(item *yaml.Node) {
		if item.Kind == yaml.MappingNode && len(item.Content) == 2 {
			switch k, v := item.Content[0], item.Content[1]; k.Value {
			case "users", "groups":
				other, known := User, userSelectorKeys
				if k.Value == "groups" {
					other, known = Group, groupSelectorKeys
				}
				if other != kind {
					p.problem(k, "", "a selector of %ss has no %ss to except", kind, other)
					return
				}
				all = append(all, Excepted{Selector: p.selector(v, other, known[:len(known)-1])}) // all but except
				return
			}
		}
		ref, ok := p.principalRef(item, exceptKey, nil)
		switch {
		case !ok:
		case ref.Kind == User && kind == Group:
			p.out.add(ref.Pos, "", "a selector of groups has no users to except")
		case p.once(seen, &ref, exceptKey):
			all = append(all, Excepted{Principal: &ref})
		}
	})
	return all
}

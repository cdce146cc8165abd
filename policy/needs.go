package policy

import (
	"fmt"
	"slices"

	"gopkg.in/yaml.v3"
)

// prerequisite reads one item of prerequisites.
func (p *parser) prerequisite(d *document, n *yaml.Node) {
	if !p.spendValues(ruleValues) {
		return
	}
	pre := Prerequisite{Pos: p.pos(n)}
	var privilege, needs bool
	sound := p.mapping(n, "a prerequisite", []string{"privilege", "needs"}, func(key string, _, v *yaml.Node) {
		switch key {
		case "privilege":
			privilege = true
			pre.Privilege, _ = p.ref(v, "the privilege")
		case "needs":
			needs = true
			pre.Needs = p.refs(v, key)
		}
	})
	switch {
	case !sound:
		return
	case !privilege:
		p.problem(n, "write {privilege: P, needs: [Q]}", "the prerequisite has no privilege")
		return
	case !needs:
		p.problem(n, "write {privilege: P, needs: [Q]}", "the prerequisite has no needs")
		return
	}
	for _, q := range pre.Needs {
		if q.key() == pre.Privilege.key() {
			p.out.add(q.Pos, "", "privilege "+quoteRef(q)+" needs itself")
		}
	}
	d.needs = append(d.needs, pre)
}

// needed is that a privilege is needed, and where that is said.
type needed struct {
	by  Ref
	pos Position
}

// needsOf returns all that the listed privileges need, directly or through each
// other, by key, each with the listed one that needs it first. key tells
// privileges apart; what it has no key for is left out.
func needsOf[K comparable](listed []Ref, prerequisites []Prerequisite, key func(Ref) (K, bool)) map[K]needed {
	direct := make(map[K][]Prerequisite)
	for _, pre := range prerequisites {
		if k, ok := key(pre.Privilege); ok {
			direct[k] = append(direct[k], pre)
		}
	}
	out := make(map[K]needed)
	for _, l := range listed {
		k, ok := key(l)
		if !ok {
			continue
		}
		todo := []K{k}
		for len(todo) > 0 {
			at := todo[0]
			todo = todo[1:]
			for _, pre := range direct[at] {
				for _, q := range pre.Needs {
					if k, ok := key(q); ok {
						if _, known := out[k]; !known {
							out[k] = needed{l, q.Pos}
							todo = append(todo, k)
						}
					}
				}
			}
		}
	}
	return out
}

// checkNeeds reports what an entry forbids and what it lists needs. Listed
// itself is not a matter of prerequisites.
func checkNeeds[K comparable](out *collector, e *Entry, prerequisites []Prerequisite, key func(Ref) (K, bool)) {
	if len(e.Forbid) == 0 || len(prerequisites) == 0 {
		return
	}
	var listed []Ref
	itself := make(map[K]bool)
	for l := range e.Listed.All() {
		listed = append(listed, l.Ref)
		if k, ok := key(l.Ref); ok {
			itself[k] = true
		}
	}
	needs := needsOf(listed, prerequisites, key)
	for _, f := range e.Forbid {
		k, ok := key(f.Ref)
		if n, needed := needs[k]; ok && needed && !itself[k] {
			out.add(f.Pos, "", fmt.Sprintf("privilege %s is forbidden here, and %s, which is listed at %s, needs it (prerequisites at %s)",
				quoteRef(f.Ref), quoteRef(n.by), n.by.Pos, n.pos))
		}
	}
}

// checkNeeds checks all entries by the text as written.
func (a *assembler) checkNeeds(p *Policy) {
	for i := range p.Principals {
		checkNeeds(a.out, &p.Principals[i], p.Prerequisites, func(r Ref) (privilegeKey, bool) { return r.key(), true })
	}
}

// needs checks prerequisites by the catalogue. Those outside the scope of the
// policy may be named: they are passed over.
func (c *catalogueCheck) needs(p *Policy) {
	for _, pre := range p.Prerequisites {
		for _, r := range slices.Concat([]Ref{pre.Privilege}, pre.Needs) {
			if c.judge(r).id == 0 {
				c.ref(r)
			}
		}
	}
	for i := range p.Principals {
		e := &p.Principals[i]
		var said collector // when the policy was loaded
		checkNeeds(&said, e, p.Prerequisites, func(r Ref) (privilegeKey, bool) { return r.key(), true })
		if said.count() == 0 {
			checkNeeds(&c.out, e, p.Prerequisites, func(r Ref) (int, bool) { id := c.judge(r).id; return id, id != 0 })
		}
	}
}

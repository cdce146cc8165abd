package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"privsync/clean"
)

// CataloguePrivilege is one privilege of a server's catalogue, as far as a
// policy is judged by it.
type CataloguePrivilege struct {
	ID           int
	Name         string
	ProjectLevel bool // otherwise server-level
}

// CheckCatalogue judges what only a server's catalogue can tell: privileges that
// it does not have, names that several privileges share, privileges outside the
// scope of the policy, and privileges that an entry lists by name and forbids by
// number or the other way round. It returns nil if all is well. p is not
// changed; CheckCatalogue may be called concurrently.
func (p *Policy) CheckCatalogue(catalogue []CataloguePrivilege) Problems {
	c := newCatalogueCheck(p.Scope, catalogue)
	for i := range p.Principals {
		c.entry(&p.Principals[i])
	}
	for _, r := range p.Rules {
		c.refs(r.Deny)
		c.refs(r.Require)
		c.conflict(r.Conflict)
	}
	c.needs(p)
	for _, r := range p.Safety.Names() {
		c.own(r)
	}
	return c.out.problems()
}

// own reports a privilege of [Safety.Names] that the catalogue does not have.
func (c *catalogueCheck) own(r Ref) {
	_, known := c.byID[r.ID]
	for _, name := range c.names {
		known = known || r.ID == 0 && SameName(name, r.Name)
	}
	if !known {
		c.ref(r)
	}
}

// SameName reports whether two names of privileges are equal but for case and
// white space.
func SameName(a, b string) bool {
	return slices.EqualFunc(strings.Fields(a), strings.Fields(b), strings.EqualFold)
}

// meaning is what the catalogue says about a ref. An id of 0 is none.
type meaning struct {
	id            int
	message, hint string
}

type catalogueCheck struct {
	out      collector
	scope    Level
	byID     map[int]CataloguePrivilege
	byName   map[string][]int
	names    []string
	meanings map[privilegeKey]meaning
	reported map[Position]bool
	lists    map[*Listed]int // shared lists that were judged, with their lengths
}

func newCatalogueCheck(scope Level, catalogue []CataloguePrivilege) *catalogueCheck {
	c := &catalogueCheck{
		scope: scope, byID: map[int]CataloguePrivilege{}, byName: map[string][]int{},
		meanings: map[privilegeKey]meaning{}, reported: map[Position]bool{}, lists: map[*Listed]int{},
	}
	for _, cp := range catalogue {
		if _, twice := c.byID[cp.ID]; twice {
			continue
		}
		c.byID[cp.ID] = cp
		if len(c.byName[cp.Name]) == 0 {
			c.names = append(c.names, cp.Name)
		}
		c.byName[cp.Name] = append(c.byName[cp.Name], cp.ID)
	}
	return c
}

func (c *catalogueCheck) judge(r Ref) meaning {
	v, known := c.meanings[r.key()]
	if !known {
		v = c.lookUp(r)
		c.meanings[r.key()] = v
	}
	return v
}

func (c *catalogueCheck) lookUp(r Ref) meaning {
	id := r.ID
	if id == 0 {
		switch ids := c.byName[r.Name]; len(ids) {
		case 0:
			hint := ""
			if c.out.count() < maxSuggestions {
				hint = didYouMean(r.Name, c.names)
			}
			return meaning{0, "privilege " + quoteRef(r) + " is not in the catalogue", hint}
		case 1:
			id = ids[0]
		default:
			numbers := make([]string, len(ids))
			for i, n := range ids {
				numbers[i] = strconv.Itoa(n)
			}
			return meaning{0, fmt.Sprintf("privilege %s is the name of %d privileges: %s", quoteRef(r), len(ids), cut(strings.Join(numbers, ", "))),
				"use the number"}
		}
	}
	cp, ok := c.byID[id]
	if !ok {
		return meaning{0, "privilege " + quoteRef(r) + " is not in the catalogue", ""}
	}
	if level := cp.level(); c.scope != LevelAll && c.scope != level {
		return meaning{id, fmt.Sprintf("privilege %s is a %s-level privilege, outside the scope of the policy (%s)", quoteRef(r), level, c.scope),
			"leave it out or widen scope"}
	}
	return meaning{id: id}
}

func (cp CataloguePrivilege) level() Level {
	if cp.ProjectLevel {
		return LevelProject
	}
	return LevelServer
}

// ref returns the number that r means, 0 if the catalogue does not tell, and
// reports what is wrong with it, once per place.
func (c *catalogueCheck) ref(r Ref) int {
	v := c.judge(r)
	if v.message != "" && !c.reported[r.Pos] && c.out.count() < keptProblems {
		c.reported[r.Pos] = true
		c.out.add(r.Pos, v.hint, v.message)
	}
	return v.id
}

func (c *catalogueCheck) refs(rs []Ref) {
	for _, r := range rs {
		c.ref(r)
	}
}

func (c *catalogueCheck) entry(e *Entry) {
	if shared := e.Listed.Shared(); len(shared) > 0 && c.lists[&shared[0]] < len(shared) {
		c.lists[&shared[0]] = len(shared)
		for _, l := range shared {
			c.ref(l.Ref)
		}
	}
	for l := range e.Listed.Own() {
		c.ref(l.Ref)
	}
	for _, f := range e.Forbid {
		id := c.ref(f.Ref)
		if id == 0 {
			continue
		}
		for l := range e.Listed.All() {
			if c.judge(l.Ref).id == id {
				c.out.add(f.Pos, "", fmt.Sprintf("privilege %s is forbidden here and listed as %s at %s: both are %d %s",
					quoteRef(f.Ref), quoteRef(l.Ref), l.Pos, id, clean.Quote(cut(c.byID[id].Name))))
				break
			}
		}
	}
}

// conflict also reports one privilege under two names: nobody can hold two of
// one.
func (c *catalogueCheck) conflict(rs []Ref) {
	first := map[int]Ref{}
	for _, r := range rs {
		id := c.ref(r)
		if other, twice := first[id]; twice && id != 0 {
			c.out.add(r.Pos, "", fmt.Sprintf("privilege %s is the same as %s at %s", quoteRef(r), quoteRef(other), other.Pos))
			continue
		}
		first[id] = r
	}
}

package planner

import (
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// privilegeIndex finds the privileges of a server's catalogue that a policy names.
type privilegeIndex struct {
	byID   map[mstrapi.PrivilegeID]string
	byName map[string][]mstrapi.Privilege
	level  mstrapi.Level
	levels map[mstrapi.PrivilegeID]mstrapi.Level
	names  []string
}

func newPrivilegeIndex(list []mstrapi.Privilege, level mstrapi.Level) *privilegeIndex {
	c := &privilegeIndex{
		byID:   make(map[mstrapi.PrivilegeID]string, len(list)),
		byName: make(map[string][]mstrapi.Privilege, len(list)),
		levels: make(map[mstrapi.PrivilegeID]mstrapi.Level, len(list)),
		level:  level,
	}
	for _, p := range list {
		c.byID[p.ID] = p.Name
		c.levels[p.ID] = p.Level()
		c.byName[p.Name] = append(c.byName[p.Name], p)
		c.names = append(c.names, p.Name)
	}
	return c
}

func (c *privilegeIndex) ref(p mstrapi.PrivilegeID) PrivilegeRef {
	return PrivilegeRef{ID: p, Name: c.byID[p]}
}

// refs returns s by number; nil for none.
func (c *privilegeIndex) refs(s Set) (out []PrivilegeRef) {
	for q := range s.All() {
		out = append(out, c.ref(q))
	}
	return out
}

// label is how messages name a privilege.
func (c *privilegeIndex) label(p mstrapi.PrivilegeID) string {
	if name := c.byID[p]; name != "" {
		return fmt.Sprintf("%d %s", p, clean.Quote(name))
	}
	return p.String()
}

// find returns the number of the privilege that ref names, or says why there is
// none that the scope allows.
func (c *privilegeIndex) find(ref policy.Ref) (mstrapi.PrivilegeID, *Finding) {
	var id mstrapi.PrivilegeID
	if ref.ID != 0 {
		id = mstrapi.PrivilegeID(ref.ID)
		if _, ok := c.levels[id]; !ok {
			return 0, c.problem(ref, fmt.Sprintf("the server's catalogue has no privilege %d", ref.ID))
		}
	} else {
		found := c.byName[ref.Name]
		switch len(found) {
		case 0:
			text := fmt.Sprintf("the server's catalogue has no privilege %s", clean.Quote(ref.Name))
			if near := policy.Suggest(ref.Name, c.names); near != "" {
				text += fmt.Sprintf("; did you mean %s?", clean.Quote(near))
			}
			return 0, c.problem(ref, text)
		case 1:
			id = found[0].ID
		default:
			ids := make([]string, len(found))
			for i, p := range found {
				ids[i] = p.ID.String()
			}
			slices.Sort(ids)
			return 0, c.problem(ref, fmt.Sprintf("%s names several privileges of the server's catalogue (%s); write the number", clean.Quote(ref.Name), strings.Join(ids, ", ")))
		}
	}
	if got := c.levels[id]; c.level != mstrapi.LevelAll && got != c.level {
		f := c.problem(ref, fmt.Sprintf("privilege %s is a %s-level privilege and lies outside the policy's scope (level: %s)", c.label(id), got, c.level))
		f.Privilege = &PrivilegeRef{ID: id, Name: c.byID[id]}
		return 0, f
	}
	return id, nil
}

func (c *privilegeIndex) problem(ref policy.Ref, text string) *Finding {
	f := &Finding{Code: CodeUnknownPrivilege, Severity: SeverityError, Message: text, Position: position(ref.Pos)}
	if ref.ID == 0 {
		f.Privilege = &PrivilegeRef{Name: ref.Name}
	} else if ref.ID > 0 && ref.ID <= int(mstrapi.MaxPrivilegeID) {
		f.Privilege = &PrivilegeRef{ID: mstrapi.PrivilegeID(ref.ID)}
	}
	return f
}

// own returns the privileges that ref, which names one that the session's user
// works with, may mean: in any scope, and without regard to case unless a name is
// spelled exactly so.
func (c *privilegeIndex) own(ref policy.Ref) []mstrapi.PrivilegeID {
	if ref.ID != 0 {
		if _, ok := c.levels[mstrapi.PrivilegeID(ref.ID)]; ok {
			return []mstrapi.PrivilegeID{mstrapi.PrivilegeID(ref.ID)}
		}
		return nil
	}
	var out []mstrapi.PrivilegeID
	for _, p := range c.byName[ref.Name] {
		out = append(out, p.ID)
	}
	if len(out) > 0 {
		return out
	}
	return c.namedLike(ref.Name)
}

// namedLike returns the privileges whose name differs in case and white space at
// most.
func (c *privilegeIndex) namedLike(name string) []mstrapi.PrivilegeID {
	var out []mstrapi.PrivilegeID
	for id, n := range c.byID {
		if policy.SameName(n, name) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// some names privileges in a message.
func (c *privilegeIndex) some(s Set) string {
	ids := s.IDs()
	if len(ids) == 1 {
		return "privilege " + c.label(ids[0])
	}
	labels := make([]string, len(ids))
	for i, id := range ids {
		labels[i] = c.label(id)
	}
	return "privileges " + strings.Join(firstOf(labels), ", ")
}

// only returns the one privilege of s; nil if there are several.
func (c *privilegeIndex) only(s Set) *PrivilegeRef {
	if s.Len() != 1 {
		return nil
	}
	ref := c.ref(s.IDs()[0])
	return &ref
}

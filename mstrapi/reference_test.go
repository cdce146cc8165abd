package mstrapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// The reference decoder reads privileges the slow way, on top of encoding/json:
// first a tree, then what it means.

type node struct {
	value   any // string, json.Number, bool, nil
	members []member
	items   []node
	kind    byte // '{', '[' or 0
}

type member struct {
	key   string
	value node
}

var errReference = errors.New("refused")

func parseTree(body []byte) (node, error) {
	if !json.Valid(body) {
		return node{}, errReference
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var read func(depth int) (node, error)
	read = func(depth int) (node, error) {
		token, err := d.Token()
		if err != nil {
			return node{}, err
		}
		delim, ok := token.(json.Delim)
		if !ok {
			return node{value: token}, nil
		}
		if depth >= 10_000 {
			return node{}, errReference
		}
		n := node{kind: byte(delim)}
		for d.More() {
			var key string
			if delim == '{' {
				k, err := d.Token()
				if err != nil {
					return n, err
				}
				key = k.(string)
				if slices.ContainsFunc(n.members, func(m member) bool { return m.key == key }) {
					return n, errReference
				}
			}
			v, err := read(depth + 1)
			if err != nil {
				return n, err
			}
			if delim == '{' {
				n.members = append(n.members, member{key, v})
			} else {
				n.items = append(n.items, v)
			}
		}
		_, err = d.Token()
		return n, err
	}
	return read(0)
}

// get returns the member of that key.
func (n node) get(key string) (v node, ok bool, err error) {
	if n.kind != '{' {
		return v, false, errReference
	}
	for _, m := range n.members {
		if m.key == key {
			return m.value, true, nil
		}
	}
	return v, ok, nil
}

func (n node) text() (string, error) {
	s, ok := n.value.(string)
	if !ok {
		return "", errReference
	}
	return s, nil
}

func (n node) null() bool { return n.kind == 0 && n.value == nil }

func referenceHeld(body []byte, want Level) ([]Held, error) {
	doc, err := parseTree(body)
	if err != nil {
		return nil, err
	}
	list, ok, err := doc.get("privileges")
	if err != nil || !ok || list.kind != '[' {
		return nil, errReference
	}
	held := []Held{}
	for _, entry := range list.items {
		h, err := referenceEntry(entry)
		if err != nil {
			return nil, err
		}
		if want != LevelAll && h.Level != "" && h.Level != want {
			continue
		}
		merged := false
		for i := range held {
			if m := &held[i]; m.ID == h.ID {
				m.Direct = m.Direct || h.Direct
				m.Other = m.Other || h.Other
				if m.Level == "" {
					m.Level = h.Level
				}
				for _, r := range h.Roles {
					m.Roles = addRole(m.Roles, r)
				}
				for _, g := range h.Groups {
					m.Groups = addRef(m.Groups, g)
				}
				merged = true
			}
		}
		if !merged {
			held = append(held, h)
		}
	}
	return held, nil
}

func addRef(refs []ObjectRef, ref ObjectRef) []ObjectRef {
	for _, r := range refs {
		if r.ID == ref.ID {
			return refs
		}
	}
	return append(refs, ref)
}

func referenceEntry(entry node) (h Held, err error) {
	p, ok, err := entry.get("privilege")
	if err != nil || !ok {
		return h, errReference
	}
	id, ok, err := p.get("id")
	if err != nil || !ok {
		return h, errReference
	}
	var digits string
	switch v := id.value.(type) {
	case string:
		digits = v
	case json.Number:
		digits = v.String()
	default:
		return h, errReference
	}
	if h.ID, ok = parsePrivilegeID([]byte(digits)); !ok {
		return h, errReference
	}
	level, ok, err := p.get("level")
	if err != nil {
		return h, err
	}
	if ok && !level.null() {
		text, err := level.text()
		if err != nil {
			return h, err
		}
		switch {
		case strings.EqualFold(text, "server"):
			h.Level = LevelServer
		case strings.EqualFold(text, "project"):
			h.Level = LevelProject
		}
	}
	sources, ok, err := entry.get("sources")
	if err != nil || !ok || sources.kind != '[' || len(sources.items) == 0 {
		return h, errReference
	}
	for _, source := range sources.items {
		direct, ok, err := source.get("direct")
		if err != nil {
			return h, err
		}
		isDirect := false
		if ok && !direct.null() {
			if isDirect, ok = direct.value.(bool); !ok {
				return h, errReference
			}
		}
		group, ok, err := source.get("group")
		if err != nil {
			return h, err
		}
		var ref ObjectRef
		hasGroup := ok && !group.null()
		if hasGroup {
			if ref, err = referenceGroup(group); err != nil {
				return h, err
			}
		}
		role, hasRole, err := referenceObject(source, "securityRole")
		if err != nil {
			return h, err
		}
		project, _, err := referenceObject(source, "project")
		if err != nil {
			return h, err
		}
		switch {
		case isDirect:
			h.Direct = true
		case hasRole:
			h.Roles = addRole(h.Roles, RoleRef{role, project})
		case hasGroup:
			h.Groups = addRef(h.Groups, ref)
		default:
			h.Other = true
		}
	}
	return h, nil
}

func referenceObject(source node, key string) (ref ObjectRef, found bool, err error) {
	object, ok, err := source.get(key)
	if err != nil || !ok || object.null() {
		return ref, false, err
	}
	if object.kind != '{' {
		return ref, false, errReference
	}
	for _, member := range []string{"id", "name"} {
		value, ok, err := object.get(member)
		if err != nil {
			return ref, false, err
		}
		if !ok || value.null() {
			continue
		}
		text, err := value.text()
		if err != nil {
			return ref, false, err
		}
		if member == "name" {
			ref.Name = text
		} else {
			ref.ID, _ = parseObjectID(text)
		}
	}
	return ref, true, nil
}

func referenceGroup(group node) (ref ObjectRef, err error) {
	id, ok, err := group.get("id")
	if err != nil || !ok {
		return ref, errReference
	}
	text, err := id.text()
	if err != nil {
		return ref, err
	}
	if ref.ID, ok = parseObjectID(text); !ok {
		return ref, errReference
	}
	name, ok, err := group.get("name")
	if err != nil {
		return ref, err
	}
	if ok && !name.null() {
		ref.Name, err = name.text()
	}
	return ref, err
}

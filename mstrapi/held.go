package mstrapi

import (
	"cmp"
	"slices"
	"strings"
)

const (
	// knownSources bounds the lists of sources that a decoder remembers, and
	// longestSources how long their texts are, in bytes.
	knownSources   = 1 << 12
	longestSources = 1 << 10
)

// A heldDecoder decodes what principals hold, one answer after the other. Few lists
// of sources stand in all of them again and again: those are read once, and share
// their memory. The zero value is ready to use, by one at a time.
type heldDecoder struct {
	document
	list    document        // the sources of one privilege
	sources map[string]Held // without a privilege, by the list's text
}

// decode decodes the answer of GET /api/users/{id}/privileges or its like for
// groups. Privileges of another level than the one asked for are left out: a
// server may ignore the parameter. Those whose level the answer does not tell are
// there, without one.
func (d *heldDecoder) decode(body []byte, level Level) ([]Held, error) {
	if len(d.sources) >= knownSources || d.sources == nil {
		d.sources = make(map[string]Held)
	}
	d.reset(body)
	held, found := make([]Held, 0, 64), false // as many as many have
	for d.open('{'); d.more(); {
		if string(d.text()) != "privileges" {
			d.value()
			continue
		}
		found = true
		for d.open('['); d.more(); {
			if h := d.entry(); level == LevelAll || h.Level == "" || h.Level == level {
				held = append(held, h)
			}
		}
	}
	if err := d.end(); err != nil {
		return nil, err
	}
	if !found {
		return nil, incompletef(`no "privileges"`)
	}
	if !slices.IsSortedFunc(held, func(a, b Held) int { return cmp.Compare(a.ID, b.ID+1) }) {
		held = mergeHeld(held) // one may stand twice
	}
	return held, nil
}

// entry consumes {"privilege":{…},"sources":[…]}. A privilege that is held for no
// reason is not understood.
func (d *heldDecoder) entry() Held {
	var h, why Held
	for d.open('{'); d.more(); {
		switch string(d.text()) {
		case "privilege":
			d.privilege(&h)
		case "sources":
			why = d.why()
		default:
			d.value()
		}
	}
	if h.ID == 0 || !why.Direct && !why.Inherited() && !why.Elsewhere() {
		d.fail("an entry without a privilege or without a source")
	}
	why.ID, why.Level = h.ID, h.Level
	return why
}

// privilege consumes {"id":"2","level":"server",…}.
func (d *heldDecoder) privilege(h *Held) {
	for d.open('{'); d.more(); {
		switch string(d.text()) {
		case "id":
			id, ok := parsePrivilegeID(scalarText(d.value()))
			if !ok {
				d.fail("invalid number of a privilege")
			}
			h.ID = id
		case "level":
			if !d.null() {
				h.Level = parseLevel(string(d.text()))
			}
		default:
			d.value()
		}
	}
}

// parseLevel returns the level of that name; an unknown one is none.
func parseLevel(text string) Level {
	for _, level := range []Level{LevelServer, LevelProject} {
		if strings.EqualFold(text, string(level)) {
			return level
		}
	}
	return ""
}

// why consumes the sources of a privilege.
func (d *heldDecoder) why() Held {
	text := d.value()
	why, known := d.sources[string(text)]
	if known || d.err != nil {
		return why
	}
	d.list.reset(text)
	for d.list.open('['); d.list.more(); {
		var a *sourceAnswer
		if d.list.decode(&a); d.list.err == nil {
			d.list.note(a.addTo(&why))
		}
	}
	d.note(d.list.end())
	why.Groups = slices.Clip(dedupe(why.Groups))
	if d.list.err == nil && len(d.sources) < knownSources && len(text) <= longestSources {
		d.sources[string(text)] = why
	}
	return why
}

// A sourceAnswer is why a privilege is held: {"direct":true}, or
// {"direct":false,"group":{…}}, or {"direct":false,"securityRole":{…},"project":{…}}.
type sourceAnswer struct {
	Direct  bool       `json:"direct"`
	Group   *refAnswer `json:"group"`
	Role    *refAnswer `json:"securityRole"`
	Project *refAnswer `json:"project"`
}

func (a *sourceAnswer) addTo(h *Held) error {
	if a == nil {
		return incompletef("null instead of a source")
	}
	var group ObjectRef
	if a.Group != nil {
		if group = a.Group.loose(); group.ID == "" {
			return incompletef("a group without a valid id")
		}
	}
	switch {
	case a.Direct:
		h.Direct = true
	case a.Role != nil:
		// Even if a group is named as well: it hands the role down.
		h.Roles = addRole(h.Roles, RoleRef{Role: a.Role.loose(), Project: a.Project.loose()})
	case a.Group != nil:
		h.Groups = append(h.Groups, group)
	default:
		h.Other = true
	}
	return nil
}

// loose returns an object of which nothing is decided: an id that is none is left
// out.
func (a *refAnswer) loose() (ref ObjectRef) {
	if a != nil {
		ref.Name = a.Name
		ref.ID, _ = parseObjectID(a.ID)
	}
	return ref
}

// mergeHeld makes one entry of those with the same number, where the first
// stands.
func mergeHeld(held []Held) []Held {
	at := make(map[PrivilegeID]int, len(held))
	merged := held[:0]
	for _, h := range held {
		i, ok := at[h.ID]
		if !ok {
			at[h.ID] = len(merged)
			merged = append(merged, h)
			continue
		}
		m := &merged[i]
		m.Direct = m.Direct || h.Direct
		m.Other = m.Other || h.Other
		if m.Level == "" {
			m.Level = h.Level
		}
		m.Groups = dedupe(slices.Concat(m.Groups, h.Groups))
		for _, r := range h.Roles {
			m.Roles = addRole(m.Roles, r)
		}
	}
	return merged
}

// dedupe returns groups, in place, without repetitions of an id.
func dedupe(groups []ObjectRef) []ObjectRef {
	const few = 16
	kept := groups[:0]
	var seen map[ObjectID]bool
	if len(groups) > few {
		seen = make(map[ObjectID]bool, len(groups))
	}
	for _, g := range groups {
		if seen[g.ID] || seen == nil && slices.ContainsFunc(kept, func(k ObjectRef) bool { return k.ID == g.ID }) {
			continue
		}
		if seen != nil {
			seen[g.ID] = true
		}
		kept = append(kept, g)
	}
	return kept
}

// addRole returns roles, which others may hold, with r.
func addRole(roles []RoleRef, r RoleRef) []RoleRef {
	if slices.Contains(roles, r) {
		return roles
	}
	return append(slices.Clip(roles), r)
}

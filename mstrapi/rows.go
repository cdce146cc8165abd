package mstrapi

import (
	"strings"
)

// Subtypes of object type 34.
const (
	subtypeUser  = "8704"
	subtypeGroup = "8705"
)

// rowShape is what a row told besides the row itself.
type rowShape struct {
	kind   Kind // "" where there is no subtype
	userly bool // it has what only users have
}

// row consumes one user or group.
func (s *scanner) row() (PrincipalRow, rowShape) {
	var (
		row                    PrincipalRow
		shape                  rowShape
		abbreviation, username string
		tenant                 string
		seen                   uint
		first                  = true
	)
	s.open('{')
	for s.more(&first, '}') {
		switch string(s.key()) {
		case "id":
			if s.once(&seen, 0) {
				row.ID = s.objectID()
			}
		case "name":
			if s.once(&seen, 1) && !s.null() {
				row.Name = s.str().String()
			}
		case "abbreviation":
			if s.once(&seen, 2) && !s.null() {
				abbreviation = s.str().String()
				shape.userly = true
			}
		case "username":
			if s.once(&seen, 3) && !s.null() {
				username = s.str().String()
				shape.userly = true
			}
		case "enabled":
			if s.once(&seen, 4) && !s.null() {
				row.Enabled = No
				if s.boolean() {
					row.Enabled = Yes
				}
				shape.userly = true
			}
		case "subtype":
			if s.once(&seen, 5) && !s.null() {
				shape.kind = s.subtype()
			}
		case "memberships":
			if s.once(&seen, 6) {
				row.Memberships = s.refs()
			}
		case "mdTenantName":
			if s.once(&seen, 7) && !s.null() {
				row.Tenant = s.str().String()
			}
		case "mdTenantId":
			if s.once(&seen, 8) && !s.null() {
				tenant = s.str().String()
			}
		default:
			s.skip()
		}
	}
	if s.err == nil && seen&3 != 3 {
		s.fail("a row without id or name")
	}
	if row.Tenant == "" {
		row.Tenant = tenant
	}
	row.Login = abbreviation
	if row.Login == "" {
		row.Login = username
	}
	return row, shape
}

// finish gives a row its kind: the list's, or if that is "" its own.
func (row *PrincipalRow) finish(kind Kind, shape rowShape) {
	switch {
	case kind != "":
		row.Kind = kind
	case shape.kind != "":
		row.Kind = shape.kind
	case shape.userly:
		row.Kind = User
	default:
		row.Kind = Group
	}
	if row.Kind == Group {
		row.Login, row.Enabled = "", Unknown
	}
}

// objectID consumes the id of an object.
func (s *scanner) objectID() ObjectID {
	text := s.str().bytes()
	if s.err != nil {
		return ""
	}
	id, ok := parseObjectID(text)
	if !ok {
		s.fail("an id that is not 32 hexadecimal digits")
	}
	return id
}

// subtype consumes a subtype, a number or a string.
func (s *scanner) subtype() Kind {
	var text []byte
	if s.peek() == '"' {
		text = s.str().bytes()
	} else {
		text = s.number()
	}
	switch string(text) {
	case subtypeUser:
		return User
	case subtypeGroup:
		return Group
	}
	return ""
}

// refs consumes an array of objects with id and name; never nil.
func (s *scanner) refs() []ObjectRef {
	refs := []ObjectRef{}
	first := true
	s.open('[')
	for s.more(&first, ']') {
		refs = append(refs, s.ref())
	}
	return dedupe(refs)
}

// ref consumes {"id":"…","name":"…"}.
func (s *scanner) ref() ObjectRef {
	var (
		ref  ObjectRef
		seen uint
	)
	first := true
	s.open('{')
	for s.more(&first, '}') {
		switch string(s.key()) {
		case "id":
			if s.once(&seen, 0) {
				ref.ID = s.objectID()
			}
		case "name":
			if s.once(&seen, 1) && !s.null() {
				ref.Name = s.str().String()
			}
		default:
			s.skip()
		}
	}
	if s.err == nil && ref.ID == "" {
		s.fail("an object without id")
	}
	return ref
}

// decodeRows decodes a list. kind is the list's, or "" for a mixed one. empty is
// true for {}, which some servers answer instead of a list.
func decodeRows(body []byte, kind Kind) (rows []PrincipalRow, empty bool, err error) {
	var s scanner
	s.reset(body)
	first := true
	if s.peek() == '{' {
		s.open('{')
		if s.more(&first, '}') {
			s.fail("an object instead of a list")
		}
		return nil, s.err == nil, s.end()
	}
	s.open('[')
	for s.more(&first, ']') {
		row, shape := s.row()
		if s.err != nil {
			break
		}
		row.finish(kind, shape)
		rows = append(rows, row)
	}
	return rows, false, s.end()
}

// decodeRow decodes one user or group, which must be the one asked for.
func decodeRow(body []byte, kind Kind, id ObjectID) (PrincipalRow, error) {
	var s scanner
	s.reset(body)
	row, shape := s.row()
	if err := s.end(); err != nil {
		return row, err
	}
	if row.ID != id {
		return row, incompletef("the answer is about another object")
	}
	if shape.kind != "" && shape.kind != kind {
		return row, incompletef("the object is a %s, not a %s", shape.kind, kind)
	}
	row.finish(kind, shape)
	return row, nil
}

// decodeMemberships decodes the parents of a principal: an object with
// "memberships", or the array alone.
func decodeMemberships(body []byte) ([]ObjectRef, error) {
	var s scanner
	s.reset(body)
	if s.peek() == '[' {
		refs := s.refs()
		return refs, s.end()
	}
	var (
		refs []ObjectRef
		seen uint
	)
	first := true
	s.open('{')
	for s.more(&first, '}') {
		if string(s.key()) != "memberships" {
			s.skip()
		} else if s.once(&seen, 0) {
			refs = s.refs()
		}
	}
	if s.err == nil && seen == 0 {
		s.fail(`no "memberships"`)
	}
	return refs, s.end()
}

// matches reports whether row is one that the server would list for q: the
// Begins values without regard to case, with ? and * as wildcards.
func (q Query) matches(row PrincipalRow) bool {
	return (q.ID == "" || q.ID == row.ID) &&
		(q.NameBegins == "" || Wildcard(strings.ToLower(q.NameBegins)+"*", strings.ToLower(row.Name))) &&
		(q.LoginBegins == "" || Wildcard(strings.ToLower(q.LoginBegins)+"*", strings.ToLower(row.Login)))
}

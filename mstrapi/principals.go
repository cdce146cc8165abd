package mstrapi

import (
	"cmp"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Subtypes of object type 34.
const (
	subtypeUser  = "8704"
	subtypeGroup = "8705"
)

// A principalAnswer is one user or group as the server writes it.
type principalAnswer struct {
	ID           string             `json:"id"`
	Name         given[string]      `json:"name"`
	Abbreviation *string            `json:"abbreviation"`
	Username     *string            `json:"username"`
	Enabled      *bool              `json:"enabled"`
	Subtype      jsontext.Value     `json:"subtype"`
	Memberships  given[[]refAnswer] `json:"memberships"`
	TenantName   string             `json:"mdTenantName"`
	TenantID     string             `json:"mdTenantId"`
}

// A refAnswer names another object.
type refAnswer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// row returns the principal, which is of that kind; "": of the one that it tells
// itself. told is that one, "" where it tells none.
func (a *principalAnswer) row(kind Kind) (row PrincipalRow, told Kind, err error) {
	id, ok := parseObjectID(a.ID)
	if !ok || !a.Name.there {
		return row, "", incompletef("a row without a valid id or without a name")
	}
	row = PrincipalRow{Kind: kind, ID: id, Name: a.Name.value, Tenant: cmp.Or(a.TenantName, a.TenantID)}
	switch text := scalarText(a.Subtype); {
	case string(text) == subtypeUser:
		told = User
	case string(text) == subtypeGroup:
		told = Group
	case text == nil && a.Subtype != nil && a.Subtype.Kind() != 'n':
		return row, "", incompletef("a subtype that is neither a number nor a string")
	}
	if a.Memberships.there {
		if row.Memberships, err = refs(a.Memberships.value); err != nil {
			return row, "", err
		}
	}
	if row.Kind == "" {
		if row.Kind = told; told == "" {
			row.Kind = Group
			if a.Abbreviation != nil || a.Username != nil || a.Enabled != nil { // only users have these
				row.Kind = User
			}
		}
	}
	if row.Kind == Group {
		return row, told, nil
	}
	for _, login := range []*string{a.Abbreviation, a.Username} {
		if login != nil && row.Login == "" {
			row.Login = *login
		}
	}
	if a.Enabled != nil {
		row.Enabled = No
		if *a.Enabled {
			row.Enabled = Yes
		}
	}
	return row, told, nil
}

// refs returns the objects that a list names, each id once; never nil. A list that
// is null says nothing.
func refs(list []refAnswer) ([]ObjectRef, error) {
	if list == nil {
		return nil, incompletef("null instead of a list of objects")
	}
	out := make([]ObjectRef, 0, len(list))
	for _, a := range list {
		id, ok := parseObjectID(a.ID)
		if !ok {
			return nil, incompletef("an object without a valid id")
		}
		out = append(out, ObjectRef{ID: id, Name: a.Name})
	}
	return dedupe(out), nil
}

// decodeRows decodes a list. kind is the list's, or "" for a mixed one. empty is
// true for {}, which some servers answer instead of a list.
func decodeRows(body []byte, kind Kind) (rows []PrincipalRow, empty bool, err error) {
	var d document
	d.reset(body)
	if d.peek() == '{' {
		d.open('{')
		if d.more() {
			d.fail("an object instead of a list")
		}
		err = d.end()
		return nil, err == nil, err
	}
	for d.open('['); d.more(); {
		var a principalAnswer
		if d.decode(&a); d.err == nil {
			row, _, err := a.row(kind)
			d.note(err)
			rows = append(rows, row)
		}
	}
	return rows, false, d.end()
}

// decodeRow decodes one user or group, which must be the one asked for.
func decodeRow(body []byte, kind Kind, id ObjectID) (PrincipalRow, error) {
	var a principalAnswer
	if err := jsonv2.Unmarshal(body, &a, lenientText()); err != nil {
		return PrincipalRow{}, decodeError(body, err)
	}
	row, told, err := a.row(kind)
	switch {
	case err != nil:
		return row, err
	case row.ID != id:
		return row, incompletef("the answer is about another object")
	case told != "" && told != kind:
		return row, incompletef("the object is a %s, not a %s", told, kind)
	}
	return row, nil
}

// decodeMemberships decodes the parents of a principal: an object with
// "memberships", or the array alone.
func decodeMemberships(body []byte) ([]ObjectRef, error) {
	var a struct {
		Memberships []refAnswer `json:"memberships"`
	}
	var v any = &a
	if jsontext.Value(body).Kind() == '[' {
		v = &a.Memberships
	}
	if err := jsonv2.Unmarshal(body, v, lenientText()); err != nil {
		return nil, decodeError(body, err)
	}
	return refs(a.Memberships)
}

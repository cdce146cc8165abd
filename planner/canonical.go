package planner

import (
	"io"
	"strconv"

	"privsync/mstrapi"
)

// writeChanges writes the canonical form (RFC 8785) of the changes of a plan,
// as [writeList] would, but by hand: a plan may have 100,000 of them, and the
// general way takes longer than all of the planning.
func writeChanges(w io.Writer, list []Change) error {
	b := []byte{'['}
	var err error
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = list[i].appendCanonical(b); err != nil {
			return err
		}
		if _, err = w.Write(b); err != nil {
			return err
		}
		b = b[:0]
	}
	_, err = w.Write(append(b, ']'))
	return err
}

// appendCanonical appends the members in the order of their names.
func (c *Change) appendCanonical(b []byte) ([]byte, error) {
	b = append(b, `{"grant":`...)
	b, err := appendPlanned(b, c.Grant)
	if err != nil {
		return b, err
	}
	b = append(b, `,"impact":{"members":`...)
	b = strconv.AppendInt(b, int64(c.Impact.Members), 10)
	b = append(b, `},"observed":{"direct":`...)
	b = appendNumbers(b, c.Observed.Direct)
	b = append(b, `,"inherited":`...)
	b = appendNumbers(b, c.Observed.Inherited)
	b = append(b, `},"principal":{"id":`...)
	if b, err = appendText(b, string(c.Principal.ID)); err != nil {
		return b, err
	}
	b = append(b, `,"kind":`...)
	if b, err = appendText(b, string(c.Principal.Kind)); err != nil {
		return b, err
	}
	if c.Principal.Login != "" {
		b = append(b, `,"login":`...)
		if b, err = appendText(b, c.Principal.Login); err != nil {
			return b, err
		}
	}
	b = append(b, `,"name":`...)
	if b, err = appendText(b, c.Principal.Name); err != nil {
		return b, err
	}
	b = append(b, `},"revoke":`...)
	if b, err = appendPlanned(b, c.Revoke); err != nil {
		return b, err
	}
	return append(b, '}'), nil
}

func appendPlanned(b []byte, list []PlannedPrivilege) ([]byte, error) {
	if list == nil {
		return append(b, "null"...), nil
	}
	b = append(b, '[')
	for i := range list {
		p := &list[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":`...)
		b = strconv.AppendInt(b, int64(p.ID), 10)
		b = append(b, `,"name":`...)
		var err error
		if b, err = appendText(b, p.Name); err != nil {
			return b, err
		}
		b = append(b, `,"reason":`...)
		if b, err = appendText(b, string(p.Reason)); err != nil {
			return b, err
		}
		if len(p.ReliesOn) > 0 {
			if b, err = appendIDs(append(b, `,"reliesOn":`...), p.ReliesOn); err != nil {
				return b, err
			}
		}
		b = append(b, '}')
	}
	return append(b, ']'), nil
}

func appendIDs(b []byte, list []mstrapi.ObjectID) ([]byte, error) {
	b = append(b, '[')
	for i, id := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendText(b, string(id)); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func appendNumbers(b []byte, s Set) []byte {
	b = append(b, '[')
	first := true
	for id := range s.All() {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return append(b, ']')
}

// appendText appends a canonical string. What is not plain is left to the
// library.
func appendText(b []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			text, err := canonical(s)
			return append(b, text...), err
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"'), nil
}

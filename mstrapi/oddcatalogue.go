package mstrapi

import (
	"fmt"
	"slices"

	"privsync/clean"
)

// OddPrivilege is an entry of the server's catalogue that lacks what others have. The
// texts are the server's: untrusted, but bounded.
type OddPrivilege struct {
	Entry int    // its place in the answer, from 1
	ID    string // as it stands there; "" where there is none
	Name  string
	Odd   string // what is odd about it
	Kept  bool   // it is in the catalogue all the same: its number tells it
}

// String names the entry and says what is odd about it.
func (o OddPrivilege) String() string {
	text := fmt.Sprintf("entry %d", o.Entry)
	switch {
	case o.ID != "" && o.Name != "":
		text += fmt.Sprintf(" (%s %s)", clean.Text(o.ID), clean.Quote(o.Name))
	case o.ID != "":
		text += fmt.Sprintf(" (%s)", clean.Text(o.ID))
	case o.Name != "":
		text += fmt.Sprintf(" (%s)", clean.Quote(o.Name))
	}
	return text + " " + o.Odd
}

// OddPrivileges returns what was odd in the catalogue that [Reader.Catalogue] read
// last, in its order.
func (r *Reader) OddPrivileges() []OddPrivilege {
	if list := r.c.odd.Load(); list != nil {
		return slices.Clone(*list)
	}
	return nil
}

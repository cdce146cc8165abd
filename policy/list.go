package policy

import (
	"iter"
	"slices"
)

// List is the privileges that an entry lists: those of its sets, then its own.
// The zero value is empty. A list never changes; it may be read concurrently.
//
// A policy of 100,000 entries lists millions of privileges. Those of the sets are
// one slice for all entries that name the same sets; an entry's own ones are kept
// in 12 bytes each and become [Listed] when they are read.
type List struct {
	shared []Listed
	own    []packedListed
	book   *listBook // what the numbers in own stand for
}

// ListOf returns the list of items, which must not change any more.
func ListOf(items ...Listed) List { return List{shared: items} }

// Len returns the number of privileges.
func (l List) Len() int { return len(l.shared) + len(l.own) }

// All yields every privilege: those of the sets, in the order of the sets, then
// the entry's own in the order written.
func (l List) All() iter.Seq[Listed] {
	return func(yield func(Listed) bool) {
		for _, item := range l.shared {
			if !yield(item) {
				return
			}
		}
		for item := range l.Own() {
			if !yield(item) {
				return
			}
		}
	}
}

// Shared returns the part of the list that comes from sets. Entries that name the
// same sets have the same slice, so that what is found out about it for one
// holds for all; it must not be changed. All of what [ListOf] made is shared.
func (l List) Shared() []Listed { return l.shared }

// Own yields what the list has besides [List.Shared].
func (l List) Own() iter.Seq[Listed] {
	return func(yield func(Listed) bool) {
		for i := range l.own {
			if !yield(l.book.unpack(&l.own[i])) {
				return
			}
		}
	}
}

// Items returns a slice of every privilege, which the caller may change.
func (l List) Items() []Listed {
	if l.Len() == 0 {
		return nil
	}
	return slices.AppendSeq(make([]Listed, 0, l.Len()), l.All())
}

// Equal reports whether two lists have the same items in the same order.
func (l List) Equal(other List) bool { return slices.Equal(l.Items(), other.Items()) }

// packedListed is a privilege of an entry's own list.
type packedListed struct {
	line, column uint32
	what         uint32 // the privilege's number, or inBook and an index into the book
}

// inBook is above every privilege number.
const inBook = 1 << 31

// listBook holds what the packed lists of one file refer to: privileges that
// have more than a number, without their places.
type listBook struct {
	file  string
	items []Listed
}

func (b *listBook) unpack(p *packedListed) Listed {
	item := Listed{Ref: Ref{ID: int(p.what)}}
	if p.what&inBook != 0 {
		item = b.items[p.what&^inBook]
	}
	item.Pos = Position{b.file, int(p.line), int(p.column)}
	return item
}

// packer makes packed lists of one file.
type packer struct {
	book  *listBook
	names map[string]uint32 // where a name alone stands in the book
}

func newPacker(file string) *packer {
	return &packer{book: &listBook{file: file}, names: map[string]uint32{}}
}

// pack returns a list of items that come from the packer's file and from no set.
func (p *packer) pack(items []Listed) List {
	if len(items) == 0 {
		return List{}
	}
	l := List{own: make([]packedListed, len(items)), book: p.book}
	for i, item := range items {
		packed := packedListed{line: uint32(item.Pos.Line), column: uint32(item.Pos.Column), what: uint32(item.ID)}
		if alone := item.Terms == (Terms{}); !alone || item.ID == 0 {
			at, known := p.names[item.Name]
			if !known || !alone {
				at = uint32(len(p.book.items))
				item.Pos = Position{}
				p.book.items = append(p.book.items, item)
			}
			if alone {
				p.names[item.Name] = at
			}
			packed.what = inBook | at
		}
		l.own[i] = packed
	}
	return l
}

package planner

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strconv"

	"privsync/mstrapi"
)

// Set is a set of privilege numbers as a bit set. The zero value is empty and
// ready to use. Sets are small (the vendor's largest number is below 1,000), so
// the operations return new sets and never change their operands, except Add.
type Set struct {
	words []uint64
}

// SetOf returns the set of ids.
func SetOf(ids ...mstrapi.PrivilegeID) Set {
	var s Set
	for _, id := range ids {
		s.Add(id)
	}
	return s
}

// Add puts id into s. Numbers outside 1…[mstrapi.MaxPrivilegeID] are ignored:
// the client refuses them where they arrive.
func (s *Set) Add(id mstrapi.PrivilegeID) {
	if id < 1 || id > mstrapi.MaxPrivilegeID {
		return
	}
	w := int(id) / 64
	if w >= len(s.words) {
		grown := make([]uint64, w+1)
		copy(grown, s.words)
		s.words = grown
	}
	s.words[w] |= 1 << (uint(id) % 64)
}

// Has reports whether id is in s.
func (s Set) Has(id mstrapi.PrivilegeID) bool {
	w := int(id) / 64
	return id > 0 && w < len(s.words) && s.words[w]&(1<<(uint(id)%64)) != 0
}

// Len returns the number of elements.
func (s Set) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// IsEmpty reports whether s has no element.
func (s Set) IsEmpty() bool {
	for _, w := range s.words {
		if w != 0 {
			return false
		}
	}
	return true
}

// Union returns the elements of s or t.
func (s Set) Union(t Set) Set {
	s, t = s.trimmed(), t.trimmed()
	if len(s.words) < len(t.words) {
		s, t = t, s
	}
	out := s.clone()
	for i, w := range t.words {
		out.words[i] |= w
	}
	return out
}

// Intersect returns the elements of s and t.
func (s Set) Intersect(t Set) Set {
	n := min(len(s.words), len(t.words))
	for n > 0 && s.words[n-1]&t.words[n-1] == 0 {
		n--
	}
	out := Set{s.words[:n]}.clone()
	for i := range out.words {
		out.words[i] &= t.words[i]
	}
	return out
}

// Minus returns the elements of s that are not in t.
func (s Set) Minus(t Set) Set {
	n := len(s.words)
	for n > 0 && s.words[n-1]&^t.word(n-1) == 0 {
		n--
	}
	out := Set{s.words[:n]}.clone()
	for i := range min(n, len(t.words)) {
		out.words[i] &^= t.words[i]
	}
	return out
}

// word returns the i-th word of s, which may lie beyond its end.
func (s Set) word(i int) uint64 {
	if i < len(s.words) {
		return s.words[i]
	}
	return 0
}

// clone returns s in memory of its own; most results are empty, and those take
// none.
func (s Set) clone() Set {
	if len(s.words) == 0 {
		return Set{}
	}
	return Set{slices.Clone(s.words)}
}

// trimmed returns s without words of zeros at its end, so that equal sets are
// represented alike.
func (s Set) trimmed() Set {
	n := len(s.words)
	for n > 0 && s.words[n-1] == 0 {
		n--
	}
	return Set{s.words[:n:n]}
}

// Equal reports whether s and t have the same elements.
func (s Set) Equal(t Set) bool {
	if len(s.words) < len(t.words) {
		s, t = t, s
	}
	for i, w := range s.words {
		if i < len(t.words) && w != t.words[i] || i >= len(t.words) && w != 0 {
			return false
		}
	}
	return true
}

// All yields the elements in ascending order.
func (s Set) All() iter.Seq[mstrapi.PrivilegeID] {
	return func(yield func(mstrapi.PrivilegeID) bool) {
		for i, w := range s.words {
			for w != 0 {
				b := bits.TrailingZeros64(w)
				w &^= 1 << uint(b)
				if !yield(mstrapi.PrivilegeID(i*64 + b)) {
					return
				}
			}
		}
	}
}

// IDs returns the elements in ascending order; never nil.
func (s Set) IDs() []mstrapi.PrivilegeID {
	ids := make([]mstrapi.PrivilegeID, 0, s.Len())
	for id := range s.All() {
		ids = append(ids, id)
	}
	return ids
}

// MarshalJSON writes the elements as an array of ascending integers.
func (s Set) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for id := range s.All() {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = strconv.AppendInt(out, int64(id), 10)
	}
	return append(out, ']'), nil
}

// UnmarshalJSON reads an array of integers; a number outside
// 1…[mstrapi.MaxPrivilegeID] is an error.
func (s *Set) UnmarshalJSON(data []byte) error {
	var ids []mstrapi.PrivilegeID
	if err := json.Unmarshal(data, &ids); err != nil {
		return err
	}
	*s = Set{}
	for _, id := range ids {
		if id < 1 || id > mstrapi.MaxPrivilegeID {
			return fmt.Errorf("privilege number %s is not possible", id)
		}
		s.Add(id)
	}
	return nil
}

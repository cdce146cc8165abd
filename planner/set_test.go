package planner

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"privsync/mstrapi"
)

// drawSet draws a set, some with words of zeros at the end, and its elements.
func drawSet(t *rapid.T, name string) (Set, map[mstrapi.PrivilegeID]bool) {
	var s Set
	model := make(map[mstrapi.PrivilegeID]bool)
	for _, id := range rapid.SliceOfN(rapid.IntRange(1, 260), 0, 8).Draw(t, name) {
		s.Add(mstrapi.PrivilegeID(id))
		model[mstrapi.PrivilegeID(id)] = true
	}
	s.words = append(s.words, make([]uint64, rapid.IntRange(0, 3).Draw(t, name+" zeros"))...)
	return s, model
}

func TestSetOperations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, inA := drawSet(t, "a")
		b, inB := drawSet(t, "b")
		beforeA, beforeB := a.IDs(), b.IDs()
		for name, op := range map[string]struct {
			got  Set
			want func(id mstrapi.PrivilegeID) bool
		}{
			"union":     {a.Union(b), func(id mstrapi.PrivilegeID) bool { return inA[id] || inB[id] }},
			"intersect": {a.Intersect(b), func(id mstrapi.PrivilegeID) bool { return inA[id] && inB[id] }},
			"minus":     {a.Minus(b), func(id mstrapi.PrivilegeID) bool { return inA[id] && !inB[id] }},
		} {
			n := 0
			for id := mstrapi.PrivilegeID(1); id < 600; id++ {
				if op.got.Has(id) != op.want(id) {
					t.Fatalf("%s of %v and %v: Has(%d) = %t", name, beforeA, beforeB, id, op.got.Has(id))
				}
				if op.want(id) {
					n++
				}
			}
			if op.got.Len() != n || op.got.IsEmpty() != (n == 0) || len(op.got.IDs()) != n {
				t.Fatalf("%s of %v and %v: %d elements, want %d", name, beforeA, beforeB, op.got.Len(), n)
			}
			if !op.got.Equal(SetOf(op.got.IDs()...)) {
				t.Fatalf("%s of %v and %v is not equal to its elements", name, beforeA, beforeB)
			}
			// Add changes in place: the result must have memory of its own.
			for id := mstrapi.PrivilegeID(1); id < 600; id++ {
				op.got.Add(id)
			}
			if !slices.Equal(a.IDs(), beforeA) || !slices.Equal(b.IDs(), beforeB) {
				t.Fatalf("adding to the %s of %v and %v changed an operand: %v, %v", name, beforeA, beforeB, a.IDs(), b.IDs())
			}
		}
	})
}

// The memory of an observation is used again for the next one.
func TestInternerKeepsNoMemoryOfTheObservation(t *testing.T) {
	words := []uint64{1 << 5, 1 << 6}
	in := newInterner(new(groupTable))
	groups := []mstrapi.ObjectRef{{ID: "0A", Name: "Finance"}}
	held := []mstrapi.Held{{ID: 5, Direct: true}, {ID: 6, Groups: groups}}
	var o Observed
	in.put(&o, Observation{Direct: Set{words[:1:1]}, Inherited: Set{words[1:]}, Held: held})
	words[0], words[1], held[1], groups[0] = ^uint64(0), ^uint64(0), mstrapi.Held{ID: 9, Other: true}, mstrapi.ObjectRef{}
	if !o.Direct.Equal(SetOf(5)) || !o.Inherited.Equal(SetOf(6)) {
		t.Errorf("direct %v, inherited %v; want [5] and [6]", o.Direct.IDs(), o.Inherited.IDs())
	}
	if from := o.held.sources(6); !slices.Equal(from.groups(), []int{0}) || in.refs.list[0].Name != "Finance" {
		t.Errorf("sources of 6: %v of %v", from.groups(), in.refs.list)
	}
}

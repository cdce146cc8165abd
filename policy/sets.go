package policy

import (
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
)

const (
	// maxFlattened bounds how many privileges the entries get from sets in all, each
	// shared list counted once: sets that include each other cleverly, or a large one
	// in many entries of which each has terms of its own, cannot fill the memory.
	maxFlattened = 1_500_000
	// flattenedValues is what a privilege from a set costs in memory, in values: what
	// the policy holds besides leaves room for fewer of them.
	flattenedValues = 2
)

// setTable holds the sets of all files, and the flattened lists that entries
// share: the same sets give the same slice, however many entries use them.
type setTable struct {
	out       *collector
	byName    map[string]*privilegeSet
	names     []string // in the order of the files
	flat      map[string]*flatList
	most      int // [maxFlattened]
	flattened int
	ended     bool              // most was reported
	unknown   map[string]string // hints for unknown names
	partial   bool              // some file could not be read whole: its sets are not unknown
	key       []byte
}

// flatList is what a list of sets stands for. It is shared and never changed.
type flatList struct {
	listed []Listed
	index  map[privilegeKey]Position
}

func newSetTable(docs []*document, out *collector) *setTable {
	t := &setTable{most: maxFlattened, out: out, byName: map[string]*privilegeSet{}, flat: map[string]*flatList{}, unknown: map[string]string{}}
	left := maxValues
	for _, d := range docs {
		left -= d.values
	}
	t.most = min(t.most, max(0, left/flattenedValues))
	for _, d := range docs {
		t.partial = t.partial || d.lost[everything] || d.lost["privilegeSets"]
		for _, s := range d.sets {
			if first, twice := t.byName[s.name]; twice {
				out.add(s.pos, "", fmt.Sprintf("set %s is given twice: first at %s", clean.Quote(cut(s.name)), first.pos))
				continue
			}
			t.byName[s.name] = s
			t.names = append(t.names, s.name)
		}
	}
	t.checkIncludes()
	return t
}

// lookup returns the set that w names, or reports it as unknown.
func (t *setTable) lookup(w word) *privilegeSet {
	if s, ok := t.byName[w.text]; ok {
		return s
	}
	if t.partial {
		return nil
	}
	hint, known := t.unknown[w.text]
	if !known && len(t.unknown) < maxSuggestions {
		hint = didYouMean(w.text, t.names)
		t.unknown[w.text] = hint
	}
	t.out.add(w.pos, hint, fmt.Sprintf("unknown set %s", clean.Quote(cut(w.text))))
	return nil
}

// checkIncludes reports includes of unknown sets, and cycles: each once, at the
// include that closes it.
func (t *setTable) checkIncludes() {
	const (
		inProgress = 1
		done       = 2
	)
	state := make(map[*privilegeSet]int, len(t.names))
	var path []string
	var visit func(s *privilegeSet)
	visit = func(s *privilegeSet) {
		state[s] = inProgress
		path = append(path, s.name)
		kept := s.include[:0:0]
		for _, w := range s.include {
			inner := t.lookup(w.word)
			if inner == nil {
				continue
			}
			if state[inner] == inProgress {
				from := slices.Index(path, inner.name)
				t.out.add(w.pos, "", fmt.Sprintf("set %s includes itself: %s", clean.Quote(cut(inner.name)), arrows(path[from:], inner.name)))
				continue
			}
			kept = append(kept, w)
			if state[inner] != done {
				visit(inner)
			}
		}
		// Without the includes that close a cycle, flattening comes to an end.
		s.include = kept
		path = path[:len(path)-1]
		state[s] = done
	}
	for _, name := range t.names {
		if s := t.byName[name]; state[s] == 0 {
			visit(s)
		}
	}
}

func arrows(path []string, last string) string {
	const enough = 8
	names := make([]string, 0, len(path)+1)
	for _, n := range path {
		names = append(names, clean.Quote(cut(n)))
	}
	if len(names) > enough {
		names = append(names[:enough-1:enough-1], "…")
	}
	return strings.Join(append(names, clean.Quote(cut(last))), " > ")
}

// flatten returns the privileges of sets and of all that they include, each set
// once: own privileges first, then includes, in the order written.
// The terms of the entry at pos, and of each inclusion, are those of what they include.
func (t *setTable) flatten(sets []inclusion, terms Terms, pos Position) *flatList {
	t.key = t.key[:0]
	for i := range sets {
		t.key = append(append(t.key, sets[i].text...), 0)
	}
	if terms != (Terms{}) || slices.ContainsFunc(sets, func(in inclusion) bool { return in.Terms != Terms{} }) {
		// Lists with terms name the places of these, which no two entries share.
		t.key = append(t.key, pos.String()...)
	}
	if f, ok := t.flat[string(t.key)]; ok {
		// Unknown sets are reported wherever they are named.
		for _, w := range sets {
			t.lookup(w.word)
		}
		return f
	}
	f := &flatList{}
	t.flat[string(t.key)] = f
	type inTerms struct {
		s *privilegeSet
		Terms
	}
	taken := map[inTerms]bool{}
	var take func(w inclusion, outer Terms, at Position)
	take = func(w inclusion, outer Terms, at Position) {
		s := t.lookup(w.word)
		inner := w.within(outer, at)
		// A set costs something even if it only includes others.
		if s == nil || taken[inTerms{s, inner}] || !t.spend(len(s.own)+1, w.pos) {
			return
		}
		taken[inTerms{s, inner}] = true
		for _, l := range s.own {
			l.Terms = l.within(inner, w.pos)
			f.listed = append(f.listed, l)
		}
		for _, more := range s.include {
			take(more, inner, w.pos)
		}
	}
	for _, w := range sets {
		take(w, terms, pos)
	}
	f.listed = slices.Clip(f.listed)
	return f
}

// spend counts n more privileges from sets. It returns false once there are too
// many, and reports that once.
func (t *setTable) spend(n int, pos Position) bool {
	if t.flattened+n <= t.most {
		t.flattened += n
		return true
	}
	if !t.ended {
		t.ended = true
		t.out.add(pos, "entries that include the same sets, without until and the like, share them: grant groups instead of users", fmt.Sprintf("the sets in use stand for more than %d privileges", t.most))
	}
	return false
}

// find returns where r is listed.
func (f *flatList) find(r Ref) (Position, bool) {
	if f.index == nil {
		f.index = make(map[privilegeKey]Position, len(f.listed))
		for _, l := range f.listed {
			if _, ok := f.index[l.key()]; !ok {
				f.index[l.key()] = l.Pos
			}
		}
	}
	pos, ok := f.index[r.key()]
	return pos, ok
}

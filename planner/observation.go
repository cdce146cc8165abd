package planner

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"privsync/mstrapi"
)

// Observation is what one principal effectively held when it was read: the
// privileges of the level that was asked for. Held is sorted by number, each
// privilege once.
type Observation struct {
	Direct    Set
	Inherited Set
	Held      []mstrapi.Held
	At        time.Time // when the reading began

	beyond []mstrapi.Held // outside the scope, as far as it consumes licences
}

// elsewhere returns what seen holds from security roles and from sources that
// are none the client knows: it may hold in one project only.
func (seen *Observation) elsewhere() (s Set) {
	for i := range seen.Held {
		if seen.Held[i].Elsewhere() {
			s.Add(seen.Held[i].ID)
		}
	}
	return s
}

// ReadPrincipal reads what one principal effectively holds at the level. The
// error is the reader's; then nothing is known about the principal.
func ReadPrincipal(ctx context.Context, r PrincipalReader, kind mstrapi.Kind, id mstrapi.ObjectID, level mstrapi.Level) (Observation, error) {
	at := time.Now()
	held, err := r.Held(ctx, kind, id, level)
	return observation(kind, id, level, at, held, err)
}

// observation makes an observation of a reader's answer, which it does not
// change but may keep.
func observation(kind mstrapi.Kind, id mstrapi.ObjectID, level mstrapi.Level, at time.Time, held []mstrapi.Held, err error) (Observation, error) {
	if err != nil {
		return Observation{}, fmt.Errorf("privileges of %s %s: %w", kind, id, err)
	}
	if !isPlain(held, level) {
		held = plain(held, level)
	}
	seen := setsOf(held)
	seen.At = at
	return seen, nil
}

// setsOf is the observation of an answer that is plain.
func setsOf(held []mstrapi.Held) Observation {
	seen := Observation{Held: held}
	if n := len(held); n > 0 {
		// Sorted, so the last number tells how large the sets become.
		half := int(held[n-1].ID)/64 + 1
		words := make([]uint64, 2*half)
		seen.Direct.words, seen.Inherited.words = words[:half:half], words[half:]
	}
	for i := range held {
		h := &held[i]
		if h.Direct {
			seen.Direct.Add(h.ID)
		}
		if h.Inherited() {
			seen.Inherited.Add(h.ID)
		}
	}
	return seen
}

// isPlain reports whether an answer can be taken as it is: sorted, and of the level.
func isPlain(held []mstrapi.Held, level mstrapi.Level) bool {
	last := mstrapi.PrivilegeID(0)
	for i := range held {
		h := &held[i]
		if h.ID <= last || outside(h, level) {
			return false
		}
		last = h.ID
	}
	return true
}

// plain returns what of an answer can be taken: that of the level, sorted.
func plain(held []mstrapi.Held, level mstrapi.Level) []mstrapi.Held {
	out := make([]mstrapi.Held, 0, len(held))
	for _, h := range held {
		if !outside(&h, level) {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b mstrapi.Held) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// outside reports whether h is known to be of another level.
func outside(h *mstrapi.Held, level mstrapi.Level) bool {
	return level != mstrapi.LevelAll && h.Level != "" && h.Level != level
}

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
// error is the reader's, or one that matches [mstrapi.ErrIncomplete] for an
// answer that cannot be believed; then nothing is known about the principal.
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
	seen := Observation{At: at}
	if isPlain(held, level) {
		seen.Held = held
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
		return seen, nil
	}
	seen.Held = make([]mstrapi.Held, 0, len(held))
	sorted := true
	for _, h := range held {
		if h.ID < 1 || h.ID > mstrapi.MaxPrivilegeID {
			return Observation{}, fmt.Errorf("privileges of %s %s: privilege number %d: %w", kind, id, h.ID, mstrapi.ErrIncomplete)
		}
		if !h.Direct && !h.Inherited() && !h.Elsewhere() {
			// It is held, and no direct grant of ours: something else gives it.
			h.Other = true
		}
		// An older server may not know the parameter and answer with all levels.
		if level != mstrapi.LevelAll && h.Level != "" && h.Level != level {
			continue
		}
		if n := len(seen.Held); n > 0 && seen.Held[n-1].ID >= h.ID {
			sorted = false
		}
		seen.Held = append(seen.Held, h)
		if h.Direct {
			seen.Direct.Add(h.ID)
		}
		if h.Inherited() {
			seen.Inherited.Add(h.ID)
		}
	}
	if !sorted {
		seen.Held = mergeHeld(seen.Held)
	}
	return seen, nil
}

// isPlain reports whether an answer can be taken as it is: sorted, of the level,
// with numbers that are possible and a reason for each.
func isPlain(held []mstrapi.Held, level mstrapi.Level) bool {
	last := mstrapi.PrivilegeID(0)
	for i := range held {
		h := &held[i]
		if h.ID <= last || h.ID > mstrapi.MaxPrivilegeID || !h.Direct && !h.Inherited() && !h.Elsewhere() ||
			level != mstrapi.LevelAll && h.Level != "" && h.Level != level {
			return false
		}
		last = h.ID
	}
	return true
}

// mergeHeld sorts by number and joins what an answer says about one privilege
// in several places, as it may for several projects.
func mergeHeld(held []mstrapi.Held) []mstrapi.Held {
	slices.SortStableFunc(held, func(a, b mstrapi.Held) int { return cmp.Compare(a.ID, b.ID) })
	out := held[:0]
	for _, h := range held {
		if n := len(out); n > 0 && out[n-1].ID == h.ID {
			last := &out[n-1]
			last.Direct = last.Direct || h.Direct
			last.Other = last.Other || h.Other
			last.Groups = append(slices.Clip(last.Groups), h.Groups...)
			last.Roles = append(slices.Clip(last.Roles), h.Roles...)
			continue
		}
		out = append(out, h)
	}
	return out
}

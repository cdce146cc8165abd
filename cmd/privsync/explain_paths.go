package main

import (
	"cmp"
	"slices"

	"privsync/mstrapi"
)

// On a lattice of groups the paths double with every level, so that they are not
// counted, and found only along groups that lead to one that holds the privilege.
const (
	// maxPaths bounds how many paths are listed for one privilege.
	maxPaths = 25
	// maxSteps bounds how many groups are looked at for the paths to one group: where
	// groups contain themselves a way up may lead nowhere.
	maxSteps = 10_000
)

// holder is a group above that holds a privilege directly. MorePaths says that not
// every path to it is listed.
type holder struct {
	mstrapi.ObjectRef
	MorePaths bool `json:"morePaths,omitempty"`
}

// ways returns the groups above the principal that hold the privilege directly, and
// paths to them.
func (x *explainer) ways(privilege mstrapi.PrivilegeID) ([]holder, [][]mstrapi.ObjectRef) {
	holders, paths := []holder{}, [][]mstrapi.ObjectRef{}
	queue := []mstrapi.ObjectID{x.row.ID}
	seen := map[mstrapi.ObjectID]bool{x.row.ID: true}
	for len(queue) > 0 {
		parents := x.parents[queue[0]]
		queue = queue[1:]
		for _, p := range parents {
			if seen[p.ID] {
				continue
			}
			seen[p.ID] = true
			queue = append(queue, p.ID)
			if direct := x.direct[p.ID]; direct.Has(privilege) {
				holders = append(holders, holder{ObjectRef: p})
			}
		}
	}
	for i := range holders {
		most := 0
		if room := maxPaths - len(paths); room > 0 {
			most = max(1, room/(len(holders)-i))
		}
		found, more := x.pathsTo(holders[i].ID, most)
		paths = append(paths, found...)
		holders[i].MorePaths = more
	}
	return holders, paths
}

// pathsTo returns at most most paths up to the group, the shortest first, and
// whether there may be more.
func (x *explainer) pathsTo(group mstrapi.ObjectID, most int) (paths [][]mstrapi.ObjectRef, more bool) {
	if most == 0 {
		return nil, true
	}
	far := x.distances(group)
	steps := 0
	var up func(id mstrapi.ObjectID, trail []mstrapi.ObjectRef)
	up = func(id mstrapi.ObjectID, trail []mstrapi.ObjectRef) {
		var next []mstrapi.ObjectRef
		for _, p := range x.parents[id] {
			if _, leads := far[p.ID]; leads && p.ID != x.row.ID && !slices.ContainsFunc(trail, func(q mstrapi.ObjectRef) bool { return q.ID == p.ID }) {
				next = append(next, p)
			}
		}
		slices.SortStableFunc(next, func(a, b mstrapi.ObjectRef) int { return cmp.Compare(far[a.ID], far[b.ID]) })
		for _, p := range next {
			steps++
			if more = more || len(paths) == most || steps > maxSteps; more {
				return
			}
			here := append(slices.Clone(trail), p)
			if p.ID == group {
				paths = append(paths, here)
				continue
			}
			up(p.ID, here)
		}
	}
	up(x.row.ID, nil)
	return paths, more
}

// distances returns how many steps lead from each group, and from the principal, up
// to the group, where any do.
func (x *explainer) distances(group mstrapi.ObjectID) map[mstrapi.ObjectID]int {
	below := make(map[mstrapi.ObjectID][]mstrapi.ObjectID, len(x.parents))
	for id, parents := range x.parents {
		for _, p := range parents {
			below[p.ID] = append(below[p.ID], id)
		}
	}
	far := map[mstrapi.ObjectID]int{group: 0}
	for queue := []mstrapi.ObjectID{group}; len(queue) > 0; queue = queue[1:] {
		for _, id := range below[queue[0]] {
			if _, known := far[id]; !known {
				far[id] = far[queue[0]] + 1
				queue = append(queue, id)
			}
		}
	}
	return far
}

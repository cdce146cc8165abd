package planner

import (
	"fmt"
	"slices"

	"privsync/clean"
	"privsync/mstrapi"
)

// cycles are the groups that contain themselves, by what was read: groups that
// contain each other have the same number, from 1.
type cycles map[mstrapi.ObjectID]int

// findCycles looks for groups that contain themselves in the memberships that
// were read, and in the groups that the server names as sources, which are above
// the group that inherits from them.
func (l *lineage) findCycles() {
	above := make(map[mstrapi.ObjectID][]mstrapi.ObjectID)
	for id, list := range l.st.parents {
		above[id] = append(above[id], list.ids...)
	}
	for id, o := range l.st.byID {
		if o.Principal.Kind != mstrapi.Group || o.held == nil || o.Err != nil {
			continue
		}
		seen := make(map[int]bool)
		for _, from := range o.held.all() {
			for _, i := range from.groups() {
				if !seen[i] {
					seen[i] = true
					above[id] = append(above[id], l.st.refs.list[i].ID)
				}
			}
		}
	}
	l.cycles = make(cycles)
	// Tarjan's strongly connected components.
	type node struct{ index, low int }
	nodes := make(map[mstrapi.ObjectID]*node, len(above))
	open := make(map[mstrapi.ObjectID]bool)
	var stack []mstrapi.ObjectID
	var visit func(id mstrapi.ObjectID) *node
	visit = func(id mstrapi.ObjectID) *node {
		n := &node{len(nodes), len(nodes)}
		nodes[id] = n
		stack, open[id] = append(stack, id), true
		for _, up := range above[id] {
			if m := nodes[up]; m == nil {
				n.low = min(n.low, visit(up).low)
			} else if open[up] {
				n.low = min(n.low, m.index)
			}
		}
		if n.low != n.index {
			return n
		}
		i := slices.Index(stack, id)
		members := slices.Clone(stack[i:])
		stack = stack[:i]
		for _, m := range members {
			delete(open, m)
			if len(members) > 1 || slices.Contains(above[m], m) {
				l.cycles[m] = n.index + 1
				if !l.st.parents[m].known {
					put(&l.needs.parents, m) // the server may name only the holder: who else is in it?
				}
			}
		}
		return n
	}
	for id := range above {
		if nodes[id] == nil {
			visit(id)
		}
	}
}

// inCycle reports whether two groups, or a group with itself, contain each other.
func (l *lineage) inCycle(a, b *Observed) bool {
	n := l.cycles[a.Principal.ID]
	return n != 0 && n == l.cycles[b.Principal.ID]
}

// cycleFindings tells of each group that contains itself.
func (l *lineage) cycleFindings() []Finding {
	members := make(map[int][]Principal)
	for id, n := range l.cycles {
		who := Principal{Kind: mstrapi.Group, ID: id, Name: l.st.groupName(id)}
		members[n] = append(members[n], who)
	}
	var out []Finding
	for _, list := range members {
		slices.SortFunc(list, func(a, b Principal) int { return a.Compare(&b) })
		var names []string
		for i, m := range list {
			if i == maxNamed {
				names = append(names, clean.Count(len(list)-maxNamed, "more", "more"))
				break
			}
			names = append(names, clean.Quote(m.Name))
		}
		for _, m := range list {
			text := "it is a member of itself"
			if len(list) > 1 {
				text = "they contain each other: " + joinAnd(names)
			}
			out = append(out, Finding{
				Code: CodeGroupCycle, Severity: SeverityError, Principal: &m,
				Message: fmt.Sprintf("%s is in a cycle of groups, %s; nothing that rests on inheritance inside it is changed: take one out of the other on the server", m.Label(), text),
			})
		}
	}
	return out
}

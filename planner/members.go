package planner

import (
	"context"
	"fmt"
	"slices"

	"privsync/mstrapi"
)

// readMembers returns the members of a group, each list once.
func (rs *resolver) readMembers(ctx context.Context, group mstrapi.ObjectID, flat bool) ([]mstrapi.PrincipalRow, error) {
	key := memberKey{group, flat}
	if rows, ok := rs.memberRows[key]; ok {
		return rows, nil
	}
	rows, err := rs.r.Members(group, flat).All(ctx)
	if err != nil {
		return nil, fmt.Errorf("members of group %s: %w", group, err)
	}
	rs.memberRows[key] = rows
	return rows, nil
}

type memberKey struct {
	group mstrapi.ObjectID
	flat  bool
}

// countMembers finds out how many users are in a group at any depth, from the
// first page where that is enough.
func (rd *reading) countMembers(ctx context.Context, group mstrapi.ObjectID) (*memberList, error) {
	first, err := rd.r.Members(group, true).First(ctx)
	if err != nil {
		return nil, err
	}
	if first.Total < 0 || len(first.Rows) == 0 && first.Total > 0 || slices.ContainsFunc(first.Rows, isGroupRow) {
		return rd.allMembers(ctx, group, nil)
	}
	m := &memberList{count: first.Total, keys: keysOf(first.Rows)}
	if got := len(first.Rows); got < first.Total {
		m.left = (first.Total - 1) / got
		return m, nil
	}
	if len(m.keys) != first.Total {
		return rd.allMembers(ctx, group, nil)
	}
	m.complete = true
	return m, nil
}

func isGroupRow(row mstrapi.PrincipalRow) bool { return row.Kind == mstrapi.Group }

// completeMembers reads the pages that a count left out.
func (rd *reading) completeMembers(ctx context.Context, group mstrapi.ObjectID, m *memberList) (*memberList, error) {
	// The first page is known but for its rows: their keys are enough.
	rows, err := rd.r.Members(group, true).After(ctx, len(m.keys), m.count)
	if mstrapi.IsUnsteady(err) || err == nil && slices.ContainsFunc(rows, isGroupRow) {
		return rd.allMembers(ctx, group, nil)
	}
	if err != nil {
		return nil, err
	}
	keys := slices.Concat(m.keys, keysOf(rows))
	sortKeys(keys)
	if keys = slices.Compact(keys); len(keys) != m.count {
		return rd.allMembers(ctx, group, nil)
	}
	return &memberList{count: m.count, complete: true, keys: keys}, nil
}

// allMembers reads every user in a group at any depth; on a server that does not
// know flatMembers also from the groups in it. Each goes to yield, if that is
// not nil.
func (rd *reading) allMembers(ctx context.Context, group mstrapi.ObjectID, yield func(mstrapi.PrincipalRow)) (*memberList, error) {
	var keys []idKey
	seen := map[mstrapi.ObjectID]bool{group: true}
	todo := []mstrapi.ObjectID{group}
	for len(todo) > 0 {
		id := todo[0]
		todo = todo[1:]
		rows, err := rd.r.Members(id, true).All(ctx)
		if err != nil && id != group {
			gone, fatal := rd.isGone(ctx, mstrapi.Group, id, err)
			if fatal != nil {
				return nil, fatal
			}
			if gone {
				rd.noteGone(Principal{Kind: mstrapi.Group, ID: id, Name: rd.st.groupName(id)})
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			switch {
			case row.Kind != mstrapi.Group:
				keys = append(keys, keyOf(row.ID))
				if yield != nil {
					yield(row)
				}
			case !seen[row.ID]:
				seen[row.ID] = true
				todo = append(todo, row.ID)
			}
		}
	}
	sortKeys(keys)
	keys = slices.Compact(keys)
	return &memberList{count: len(keys), complete: true, keys: slices.Clip(keys)}, nil
}

func keysOf(rows []mstrapi.PrincipalRow) []idKey {
	keys := make([]idKey, len(rows))
	for i, row := range rows {
		keys[i] = keyOf(row.ID)
	}
	sortKeys(keys)
	return slices.Compact(keys)
}

func sortKeys(keys []idKey) {
	slices.SortFunc(keys, func(a, b idKey) int { return slices.Compare(a[:], b[:]) })
}

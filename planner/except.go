package planner

import (
	"context"
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// without returns the rows that no exception of s takes out. The finding says why an
// exception is not known: then nobody is known to be chosen, since who is excepted
// must not be written to.
func (rs *resolver) without(ctx context.Context, s *policy.Selector, rows []mstrapi.PrincipalRow) ([]mstrapi.PrincipalRow, *Finding, error) {
	kind := mstrapi.Kind(s.Kind)
	for _, x := range s.Except {
		if x.Expired(rs.st.Now) {
			continue
		}
		out := map[mstrapi.ObjectID]bool{}
		if x.Principal != nil {
			row, problem := rs.named(*x.Principal)
			if problem != nil {
				return nil, problem, nil
			}
			out[row.ID] = true
			if row.Kind == mstrapi.Group {
				members, err := rs.membersOf(ctx, row.ID, kind, true)
				if err != nil {
					return nil, nil, err
				}
				for _, m := range members {
					out[m.ID] = true
				}
			}
		} else {
			from := rows
			if x.Selector.MemberOf != "" {
				group, problem := rs.named(x.Selector.Group())
				if problem != nil {
					return nil, problem, nil
				}
				members, err := rs.membersOf(ctx, group.ID, kind, x.Selector.Nested)
				if err != nil {
					return nil, nil, err
				}
				is := map[mstrapi.ObjectID]bool{}
				for _, m := range members {
					is[m.ID] = true
				}
				from = slices.DeleteFunc(slices.Clone(rows), func(r mstrapi.PrincipalRow) bool { return !is[r.ID] })
			}
			chosen, err := rs.choose(ctx, x.Selector, from)
			if err != nil {
				return nil, nil, err
			}
			for _, r := range chosen {
				out[r.ID] = true
			}
		}
		rows = slices.DeleteFunc(slices.Clone(rows), func(r mstrapi.PrincipalRow) bool { return out[r.ID] })
	}
	return rows, nil, nil
}

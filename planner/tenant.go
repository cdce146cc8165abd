package planner

import (
	"context"
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// maxTenants bounds how many principals are asked for their tenant.
const maxTenants = 100

// tenantReader is a reader that knows tenants: [*mstrapi.Reader].
type tenantReader interface {
	Tenant(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (string, error)
}

// readTenants reads, where several of those whom the policy names have one name, to
// which tenant each belongs: one request for each. It is for messages only, so what
// cannot be read is left out.
func (rs *resolver) readTenants(ctx context.Context) error {
	r, ok := rs.r.(tenantReader)
	if !ok {
		return nil
	}
	called := make(map[principalKey]map[mstrapi.ObjectID]bool)
	rows := make(map[mstrapi.ObjectID][]*mstrapi.PrincipalRow)
	var order []mstrapi.ObjectID
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		for _, l := range rs.names[kind].list {
			for i := range l.rows {
				row := &l.rows[i]
				if called[nameKey(row)] == nil {
					called[nameKey(row)] = make(map[mstrapi.ObjectID]bool)
				}
				called[nameKey(row)][row.ID] = true
				if rows[row.ID] == nil {
					order = append(order, row.ID)
				}
				rows[row.ID] = append(rows[row.ID], row)
			}
		}
	}
	order = slices.DeleteFunc(order, func(id mstrapi.ObjectID) bool { return len(called[nameKey(rows[id][0])]) < 2 })
	order = order[:min(len(order), maxTenants)]
	return rs.each(ctx, len(order), func(ctx context.Context, i int) error {
		same := rows[order[i]]
		tenant, err := r.Tenant(ctx, same[0].Kind, same[0].ID)
		if err != nil && isFatal(ctx, err) {
			return err
		}
		for _, row := range same {
			row.Tenant = tenant
		}
		return nil
	})
}

// nameKey is the name of row as a policy gives it without an id.
func nameKey(row *mstrapi.PrincipalRow) principalKey {
	if row.Kind == mstrapi.User {
		return principalKey{kind: row.Kind, name: policy.FoldLogin(row.Login)}
	}
	return principalKey{kind: row.Kind, name: row.Name}
}

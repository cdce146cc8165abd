package planner

import (
	"cmp"
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

// ReadTenants reads, where several of rows have one name, to which tenant each of them
// belongs: one request for each, of which concurrency are under way at once (0:
// [mstrapi.DefaultConcurrency]). Tenants are for people only, so what cannot be read is
// left out; an error means that every further request would fail as well.
func ReadTenants(ctx context.Context, r Reader, concurrency int, rows []*mstrapi.PrincipalRow) error {
	return newReading(ctx, r, concurrency).readTenants(ctx, rows, len(rows))
}

// readTenants is ReadTenants for most principals at most.
func (rd *reading) readTenants(ctx context.Context, rows []*mstrapi.PrincipalRow, most int) error {
	r, ok := rd.r.(tenantReader)
	if !ok {
		return nil
	}
	called := make(map[principalKey]map[mstrapi.ObjectID][]*mstrapi.PrincipalRow)
	var who []*mstrapi.PrincipalRow
	for _, row := range rows {
		key := nameKey(row)
		if called[key] == nil {
			called[key] = make(map[mstrapi.ObjectID][]*mstrapi.PrincipalRow)
		}
		if called[key][row.ID] == nil {
			who = append(who, row)
		}
		called[key][row.ID] = append(called[key][row.ID], row)
	}
	who = slices.DeleteFunc(who, func(row *mstrapi.PrincipalRow) bool { return len(called[nameKey(row)]) < 2 })
	return rd.each(ctx, min(len(who), most), func(ctx context.Context, i int) error {
		tenant, err := r.Tenant(ctx, who[i].Kind, who[i].ID)
		if err != nil && isFatal(ctx, err) {
			return err
		}
		for _, row := range called[nameKey(who[i])][who[i].ID] {
			row.Tenant = tenant
		}
		return nil
	})
}

// nameKey is what a person takes for the name of row: in a group's, too, case is easily
// overlooked.
func nameKey(row *mstrapi.PrincipalRow) principalKey {
	return principalKey{kind: row.Kind, name: policy.FoldLogin(cmp.Or(row.Login, row.Name))}
}

package planner

import (
	"context"

	"privsync/mstrapi"
)

// ServiceAccounts is the vendor's id of the group "MicroStrategy Service Accounts",
// which newer versions call "Strategy Service Accounts". The vendor's sample of a
// licence audit shows no licences for an account in it, nor for the built-in
// administrator, although both are enabled and hold privileges.
const ServiceAccounts mstrapi.ObjectID = "5B6C1434431D99F9A8230191FE5F6849"

// readApart finds out who is counted apart: one request, for the members of the
// group of service accounts, which not every version has.
func (ob *observer) readApart(ctx context.Context) error {
	if !ob.st.licences.counts() {
		return nil
	}
	ob.st.apart = map[mstrapi.ObjectID]bool{mstrapi.AdministratorUser: true}
	_, err := ob.allMembers(ctx, ServiceAccounts, func(row mstrapi.PrincipalRow) { ob.st.apart[row.ID] = true })
	switch {
	case err == nil, mstrapi.IsNotFound(err):
	case ob.isFatal(ctx, err):
		return err
	default:
		ob.st.apartErr = err
	}
	return nil
}

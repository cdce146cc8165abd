package planner

import (
	"context"

	"privsync/mstrapi"
)

// Reader is what [Observe] needs of a server. [*mstrapi.Reader] implements it;
// it has no method that writes, so neither a plan nor an audit can write.
// All methods may be called concurrently.
type Reader interface {
	PrincipalReader
	Status(ctx context.Context) (mstrapi.Status, error)
	SessionUser(ctx context.Context) (mstrapi.SessionUser, error)
	SessionPrivilege(ctx context.Context, id mstrapi.PrivilegeID) (mstrapi.SessionPrivilege, error)
	Catalogue(ctx context.Context) ([]mstrapi.Privilege, error)
	// OddPrivileges returns what was odd in the catalogue that was read last.
	OddPrivileges() []mstrapi.OddPrivilege
	// List returns the list of users or groups that q selects.
	List(kind mstrapi.Kind, q mstrapi.Query) *mstrapi.Listing
	// Principal reads one user or group; users with Enabled, Login and Memberships.
	Principal(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (mstrapi.PrincipalRow, error)
	// Memberships returns the direct parent groups of a user or a group.
	Memberships(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) ([]mstrapi.ObjectRef, error)
	// Members returns the list of a group's members; flat asks for members at any
	// depth, which an older server may ignore.
	Members(group mstrapi.ObjectID, flat bool) *mstrapi.Listing
}

// PrincipalReader reads the effective privileges of one principal.
type PrincipalReader interface {
	// Held returns every privilege of the level that the principal effectively
	// holds, one entry each, with a number from 1 to [mstrapi.MaxPrivilegeID] and a
	// reason, or an error: never a part of them.
	Held(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, level mstrapi.Level) ([]mstrapi.Held, error)
}

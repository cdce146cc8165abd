package executor

import (
	"time"

	"privsync/mstrapi"
	"privsync/planner"
)

// HeldAtFormat is the value of format in every [HeldAt].
const HeldAtFormat = "privsync/who-at/v1"

// HeldAt says who held some privileges at a time, as the latest reports before it saw
// it. Its JSON form is described by schema/who-at.schema.json.
type HeldAt struct {
	Format     string                 `json:"format"`
	Tool       planner.Tool           `json:"tool"`
	At         time.Time              `json:"at"`
	Source     string                 `json:"source"` // the store
	Server     string                 `json:"server"` // base URL
	Privileges []planner.PrivilegeRef `json:"privileges"`
	Holders    []HolderAt             `json:"holders"` // groups, then users, by name
	Unknown    []SeenAt               `json:"unknown"` // the latest report could not read them
	NotSeen    []SeenAt               `json:"notSeen"` // no report before that time looked at them; one after it did
}

// SeenAt is a principal and the report that it is known from. LastSeen is nil where
// there is none.
type SeenAt struct {
	Principal planner.Principal `json:"principal"`
	LastSeen  *time.Time        `json:"lastSeen,omitempty"`
	Run       string            `json:"run,omitempty"`
}

// HolderAt is somebody who held at least one of the privileges.
type HolderAt struct {
	SeenAt
	Holds []HeldThen `json:"holds"`
}

// HeldThen is one privilege that was held.
type HeldThen struct {
	ID        mstrapi.PrivilegeID `json:"id"`
	Direct    bool                `json:"direct"`
	Inherited bool                `json:"inherited"`
}

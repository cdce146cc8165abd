package planner

import "privsync/mstrapi"

// The client that cannot write is the one that plans and audits read with.
var _ Reader = (*mstrapi.Reader)(nil)

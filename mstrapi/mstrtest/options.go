package mstrtest

import (
	"time"

	"privsync/mstrapi"
)

// SourceStyle says which group an inherited source names. The vendor does not
// document it.
type SourceStyle int

const (
	// Holder names every group, at any distance, that holds the privilege directly.
	Holder SourceStyle = iota
	// Parent names the immediate parents through which the privilege arrives.
	Parent
)

// Options configure a server. The zero value is a well-behaved one.
type Options struct {
	// PathPrefix stands before /api; "" means /MicroStrategyLibrary, "/" means none.
	PathPrefix  string
	SourceStyle SourceStyle

	// Latency is slept before each request under the prefix is answered, plus or
	// minus a uniformly distributed part of Jitter. See [Server.MeasuredLatency].
	Latency time.Duration
	Jitter  time.Duration
	// Seed decides the jitter.
	Seed uint64

	// PageCap is the most rows that a page may have, whatever limit asks for; 0
	// means no cap.
	PageCap int
	// SessionTimeout ends idle sessions; 0 means 30 minutes.
	SessionTimeout time.Duration
	// MaxSessions is how many sessions may be open; 0 means no limit.
	MaxSessions int
	// Now is the clock of sessions, dates and Retry-After; nil means [time.Now],
	// which testing/synctest replaces.
	Now func() time.Time
	// IServerVersion replaces the environment's, if not empty.
	IServerVersion string
	// Gzip compresses answers for clients that accept it.
	Gzip bool

	// QueuePolls is how many times the queue of a command must be asked until it
	// has ended; 0 means 3. QueueError, if not 0, is the iServerErrorCode that it
	// ends with. QueueEndless makes it run for ever.
	QueuePolls   int
	QueueError   int
	QueueEndless bool

	// LicencePolls is how many times the status of a licence scan or audit must be
	// asked until it is done; 0 means 2. LicenceLag is how many times its result is
	// still the one before after that. NoLicenceScan means that there was no scan
	// before; otherwise there was one LicenceScanAge ago.
	LicencePolls   int
	LicenceLag     int
	LicenceScanAge time.Duration
	NoLicenceScan  bool

	// NoLog keeps no [Request], NoLedger no [Loss]: for benchmarks.
	NoLog    bool
	NoLedger bool

	Quirks Quirks
}

// SideEffect says that a privilege needs others.
type SideEffect struct {
	Privilege mstrapi.PrivilegeID
	Needs     []mstrapi.PrivilegeID
}

// Quirks choose among the ways in which real servers differ, or are said to.
// The zero value is the documented one.
type Quirks struct {
	// EmptyUserList answers {} to GET /api/users.
	EmptyUserList bool
	// WholeRows puts username, fullName, enabled and initials into the rows of
	// GET /api/users, which the documented ones lack. Rows of group members have
	// them always.
	WholeRows bool
	// Ghosts are users and groups that lists and groups name and that do not exist
	// when they are asked for by their ids.
	Ghosts []mstrapi.ObjectID
	// CountHeader spells the header of the total count; "" means X-MSTR-Total-Count.
	CountHeader string
	// NoCount leaves that header out, NoCountWithID only where id= is given.
	NoCount       bool
	NoCountWithID bool
	// FlatIgnored treats flatMembers=true like false; FlatWithGroups adds the
	// groups at any depth to a flat list, which otherwise holds users only.
	FlatIgnored    bool
	FlatWithGroups bool
	// WrappedMemberships answers {"memberships":[…]} instead of an array.
	WrappedMemberships bool
	// RefuseOwnPrivilege answers 403 to GET /api/sessions/privileges/{id} when the
	// caller lacks the privilege.
	RefuseOwnPrivilege bool
	// LongZero spells error codes with one more zero (ERR0017, not ERR017).
	LongZero bool
	// ErrorNumberKey spells the key of the server's number in errors; "" means
	// iServerCode, one documented sample has IserverCode.
	ErrorNumberKey string
	// WrappedErrors answers {"errors":[{…}]}; SubErrors adds a list of sub-errors.
	WrappedErrors bool
	SubErrors     bool
	// SideEffects makes writes do more than they are asked: whoever is granted the
	// Privilege of one of them is granted its Needs as well, and whoever loses one
	// of the Needs directly loses the Privilege, both to any depth. The vendor says
	// so of the administration tool and is silent about PATCH.
	SideEffects []SideEffect
	// QuotedCookies quotes the values of the session's cookies and puts a backslash
	// into them: they must come back byte for byte. The stickiness has no path then.
	QuotedCookies bool
	// SessionLag is how long after its login a session is answered with 401 ERR009, as
	// by a node of a cluster that hears of it late; to log out it is known.
	SessionLag time.Duration
	// Nameless are privileges whose entries in the catalogue, and wherever they are
	// held, have no name. OddCatalogue adds an entry without a number and one without
	// a level to the catalogue, and its second entry once more at the end.
	Nameless     []mstrapi.PrivilegeID
	OddCatalogue bool
	// NoCommandGrants makes the metadata command end without granting anything. See
	// [WatchlistName].
	NoCommandGrants bool
	// EmptyLicences answers with no privileges where a product is not the server's,
	// instead of 400. MixedLicenceKeys makes compliance results those of keys of
	// several kinds: no time and no products. UntypedLicences leaves the number of
	// the product out of them.
	EmptyLicences    bool
	MixedLicenceKeys bool
	UntypedLicences  bool
	// LockedStatus is the status of PUT of the lock when another session has it, 0
	// means 400. LockLinger is how long a temporal lock stays when its session has
	// ended. NoLockComment leaves the comment of a lock out, PlainLockComment makes it
	// the lock's id alone. StrictUnlock refuses to remove another session's lock
	// without force, whatever id is given.
	LockedStatus     int
	LockLinger       time.Duration
	NoLockComment    bool
	PlainLockComment bool
	StrictUnlock     bool
	// Without lists endpoints that this version of the server does not have: 404
	// ERR004 "HTTP 404 Not Found".
	Without []Endpoint
}

package mstrapi

import (
	"strconv"
	"strings"

	"privsync/mstr"
)

// Kind tells the two kinds of principal apart. On the server both share object
// type 34; the subtype 8704 is a user and 8705 a group.
type Kind string

const (
	User  Kind = "user"
	Group Kind = "group"
)

// ObjectID is the id of a server object: 32 hexadecimal digits in upper case.
// The zero value names nothing.
type ObjectID string

// Valid reports whether id is 32 hexadecimal digits in upper case. Ids become
// parts of request paths, so nothing else gets there.
func (id ObjectID) Valid() bool {
	return len(id) == 32 && strings.Trim(string(id), "0123456789ABCDEF") == ""
}

// EveryoneGroup is the built-in group that users belong to, but for guests and some
// service accounts.
const EveryoneGroup ObjectID = "C82C6B1011D2894CC0009D9F29718E4F"

// AdministratorUser is the built-in user that every installation begins with; it has
// the same id on every server.
const AdministratorUser ObjectID = "54F3D26011D2896560009A8E67019608"

// PrivilegeID is the number of a privilege, 1 or more and at most
// [MaxPrivilegeID]. The zero value names none. The server sends it as a string
// in JSON answers and takes it as an integer in PATCH bodies.
type PrivilegeID int

// MaxPrivilegeID bounds the numbers that the client believes: the vendor's
// largest is below 1,000, and sets of privileges are kept as bit sets.
const MaxPrivilegeID PrivilegeID = mstr.MaxPrivilege

// String returns the number in decimal.
func (id PrivilegeID) String() string { return strconv.Itoa(int(id)) }

// Level is the level of a privilege, and the value of the privilege.level
// query parameter. LevelAll leaves the parameter out.
type Level string

const (
	LevelServer  Level = "server"
	LevelProject Level = "project"
	LevelAll     Level = "all"
)

// Privilege is one entry of the server's catalogue
// (GET /api/iserver/privileges).
type Privilege struct {
	ID           PrivilegeID `json:"id"`
	Name         string      `json:"name"`
	Description  string      `json:"description,omitempty"`
	Categories   []string    `json:"categories,omitempty"`
	ProjectLevel bool        `json:"isProjectLevelPrivilege"`
}

// Level returns the level that the catalogue gives the privilege.
func (p Privilege) Level() Level {
	if p.ProjectLevel {
		return LevelProject
	}
	return LevelServer
}

// ObjectRef is the id and the display name of an object.
type ObjectRef struct {
	ID   ObjectID `json:"id"`
	Name string   `json:"name"`
}

// Tri is a boolean that the server may leave out. The zero value is Unknown.
type Tri uint8

const (
	Unknown Tri = iota
	Yes
	No
)

// PrincipalRow is a user or a group as lists, lookups and single reads give it.
// Enabled is Unknown and Login empty where the row lacks them; Memberships is
// nil where the row does not tell (it is non-nil and empty for a principal
// without parents). Tenant is the name, or if it has none the id, of the tenant that
// the principal belongs to, where the row tells; see [Reader.Tenant].
type PrincipalRow struct {
	Kind        Kind
	ID          ObjectID
	Name        string
	Login       string
	Enabled     Tri
	Memberships []ObjectRef
	Tenant      string
}

// Held is one privilege that a principal effectively holds, with why.
// Direct, Groups and Roles can hold at once. Other is set when a source is none
// of these. Which group Groups names, the holder or the immediate parent through
// which the privilege arrives, is not documented.
//
// [Reader] gives every privilege its level: where an answer does not tell it, or
// by a word that is no level, that of the catalogue.
type Held struct {
	ID     PrivilegeID
	Level  Level
	Direct bool
	Other  bool
	Groups []ObjectRef
	Roles  []RoleRef
}

// RoleRef is a security role that gives a project-level privilege in one
// project. An id that the server does not tell is empty.
type RoleRef struct {
	Role    ObjectRef `json:"role"`
	Project ObjectRef `json:"project"`
}

// Inherited reports whether a group hands the privilege down. What a security
// role gives holds in one project and is not inherited.
func (h Held) Inherited() bool { return len(h.Groups) > 0 }

// Elsewhere reports whether the privilege has a source that is neither a direct
// grant nor a group.
func (h Held) Elsewhere() bool { return h.Other || len(h.Roles) > 0 }

// Status is the answer of GET /api/status, which needs no login.
type Status struct {
	IServerVersion string `json:"iServerVersion"`
	WebVersion     string `json:"webVersion"`
}

// SessionUser is the user that the session belongs to
// (GET /api/sessions/userInfo).
type SessionUser struct {
	ID       ObjectID `json:"id"`
	FullName string   `json:"fullName"`
	Initials string   `json:"initials,omitempty"`
}

// SessionInfo is the answer of GET /api/sessions. TimeoutSeconds is the idle
// timeout; 0 when the server does not tell.
type SessionInfo struct {
	TimeoutSeconds int
}

// SessionPrivilege is the answer of GET /api/sessions/privileges/{id}.
type SessionPrivilege struct {
	ID               PrivilegeID
	Name             string
	UserLevelAllowed bool
	ProjectsAllowed  int // how many of the listed projects allow it
}

// PrivilegePatch is the one change that privsync makes to a principal: direct
// grants to add and to remove, in that order in the body. Comment, if not
// empty, goes into the server's change journal where its version supports it.
type PrivilegePatch struct {
	Add     []PrivilegeID
	Remove  []PrivilegeID
	Comment string
}

// QueueEntry is the state of a submitted metadata command
// (GET /api/iserver/queues/{id}). Status 3 means finished well; a non-zero
// IServerErrorCode is a failure; anything else is still running.
type QueueEntry struct {
	ID               string `json:"queueId"`
	Status           int    `json:"status"`
	Progress         int    `json:"progress"`
	IServerErrorCode int    `json:"iServerErrorCode"`
}

// Query selects the rows of a list of users or groups. The zero value selects
// all rows. The server treats ? and * in the Begins values as wildcards, so
// compare exactly afterwards.
type Query struct {
	NameBegins  string
	LoginBegins string // users only: abbreviationBegins
}

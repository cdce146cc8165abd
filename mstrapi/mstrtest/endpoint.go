package mstrtest

import (
	"strings"
)

// Endpoint is a method and a path, as [Server.Counts] and [Request] name them.
// Both spellings of usergroups are one endpoint.
type Endpoint string

// The endpoints that the server has. Unknown is everything else under the
// prefix, Outside what is not under it.
const (
	Login              Endpoint = "POST /api/auth/login"
	Logout             Endpoint = "POST /api/auth/logout"
	GetSession         Endpoint = "GET /api/sessions"
	RenewSession       Endpoint = "PUT /api/sessions"
	UserInfo           Endpoint = "GET /api/sessions/userInfo"
	SessionPrivilege   Endpoint = "GET /api/sessions/privileges/{id}"
	Status             Endpoint = "GET /api/status"
	Catalogue          Endpoint = "GET /api/iserver/privileges"
	ListProjects       Endpoint = "GET /api/projects"
	ListUsers          Endpoint = "GET /api/users"
	GetUser            Endpoint = "GET /api/users/{id}"
	PatchUser          Endpoint = "PATCH /api/users/{id}"
	UserPrivileges     Endpoint = "GET /api/users/{id}/privileges"
	ListGroups         Endpoint = "GET /api/usergroups"
	GetGroup           Endpoint = "GET /api/usergroups/{id}"
	PatchGroup         Endpoint = "PATCH /api/usergroups/{id}"
	GroupPrivileges    Endpoint = "GET /api/usergroups/{id}/privileges"
	GroupMemberships   Endpoint = "GET /api/usergroups/{id}/memberships"
	GroupMembers       Endpoint = "GET /api/usergroups/{id}/members"
	SubmitCommand      Endpoint = "POST /api/iserver/metadata/commands"
	GetQueue           Endpoint = "GET /api/iserver/queues/{id}"
	GetLock            Endpoint = "GET /api/iserver/lock"
	PutLock            Endpoint = "PUT /api/iserver/lock"
	DeleteLock         Endpoint = "DELETE /api/iserver/lock"
	LicencePrivileges  Endpoint = "GET /api/license/privileges/{id}"
	StartCompliance    Endpoint = "POST /api/license/iServer/compliance"
	ComplianceStatus   Endpoint = "GET /api/license/iServer/compliance/status"
	ComplianceResult   Endpoint = "GET /api/license/iServer/compliance/result"
	StartLicenceAudit  Endpoint = "POST /api/license/iServer/audit"
	LicenceAuditStatus Endpoint = "GET /api/license/iServer/audit/status"
	LicenceAuditResult Endpoint = "GET /api/license/iServer/audit/result"
	Unknown            Endpoint = "unknown route"
	Outside            Endpoint = "outside the prefix"
)

// endpoints lists them in the order of their counters.
func endpoints() []Endpoint {
	return []Endpoint{
		Login, Logout, GetSession, RenewSession, UserInfo, SessionPrivilege, Status, Catalogue, ListProjects,
		ListUsers, GetUser, PatchUser, UserPrivileges, ListGroups, GetGroup, PatchGroup, GroupPrivileges,
		GroupMemberships, GroupMembers, SubmitCommand, GetQueue, GetLock, PutLock, DeleteLock,
		LicencePrivileges, StartCompliance, ComplianceStatus, ComplianceResult, StartLicenceAudit, LicenceAuditStatus,
		LicenceAuditResult, Unknown, Outside,
	}
}

// isList reports whether the endpoint answers with pages.
func (e Endpoint) isList() bool { return e == ListUsers || e == ListGroups || e == GroupMembers }

// isPrincipal reports whether the endpoint is about one user or group.
func (e Endpoint) isPrincipal() bool {
	switch e {
	case GetUser, PatchUser, UserPrivileges, GetGroup, PatchGroup, GroupPrivileges, GroupMemberships, GroupMembers:
		return true
	}
	return false
}

// isPatch reports whether the endpoint changes a principal.
func (e Endpoint) isPatch() bool { return e == PatchUser || e == PatchGroup }

// route finds the endpoint of a path below the prefix, which starts with /api/,
// and the id in it. Unknown with wrongMethod set means that the path exists.
func route(method, path string) (e Endpoint, id string, wrongMethod bool) {
	path = strings.TrimSuffix(path, "/") // the vendor's SDK writes it at some paths
	pick := func(want string, e Endpoint) (Endpoint, string, bool) {
		if method != want {
			return Unknown, "", true
		}
		return e, id, false
	}
	switch path {
	case "/api/auth/login":
		return pick("POST", Login)
	case "/api/auth/logout":
		return pick("POST", Logout)
	case "/api/sessions":
		if method == "PUT" {
			return RenewSession, "", false
		}
		return pick("GET", GetSession)
	case "/api/sessions/userInfo":
		return pick("GET", UserInfo)
	case "/api/status":
		return pick("GET", Status)
	case "/api/iserver/privileges":
		return pick("GET", Catalogue)
	case "/api/projects":
		return pick("GET", ListProjects)
	case "/api/iserver/metadata/commands":
		return pick("POST", SubmitCommand)
	case "/api/iserver/lock":
		switch method {
		case "PUT":
			return PutLock, "", false
		case "DELETE":
			return DeleteLock, "", false
		}
		return pick("GET", GetLock)
	case "/api/users":
		return pick("GET", ListUsers)
	case "/api/usergroups", "/api/userGroups":
		return pick("GET", ListGroups)
	}
	if rest, ok := strings.CutPrefix(path, "/api/users/"); ok {
		var tail string
		switch id, tail, _ = strings.Cut(rest, "/"); {
		case id == "":
		case rest == id:
			if method == "PATCH" {
				return PatchUser, id, false
			}
			return pick("GET", GetUser)
		case tail == "privileges":
			return pick("GET", UserPrivileges)
		}
		return Unknown, "", false
	}
	rest, ok := strings.CutPrefix(path, "/api/usergroups/")
	if !ok {
		rest, ok = strings.CutPrefix(path, "/api/userGroups/")
	}
	if ok {
		var tail string
		switch id, tail, _ = strings.Cut(rest, "/"); {
		case id == "":
		case rest == id:
			if method == "PATCH" {
				return PatchGroup, id, false
			}
			return pick("GET", GetGroup)
		case tail == "privileges":
			return pick("GET", GroupPrivileges)
		case tail == "memberships":
			return pick("GET", GroupMemberships)
		case tail == "members":
			return pick("GET", GroupMembers)
		}
		return Unknown, "", false
	}
	if rest, ok := strings.CutPrefix(path, "/api/sessions/privileges/"); ok && rest != "" && !strings.Contains(rest, "/") {
		id = rest
		return pick("GET", SessionPrivilege)
	}
	if rest, ok := strings.CutPrefix(path, "/api/iserver/queues/"); ok && rest != "" && !strings.Contains(rest, "/") {
		id = rest
		return pick("GET", GetQueue)
	}
	rest, ok = strings.CutPrefix(path, "/api/license/privileges/")
	if !ok {
		rest, ok = strings.CutPrefix(path, "/api/license/iServer/privileges/")
	}
	if ok && rest != "" && !strings.Contains(rest, "/") {
		id = rest
		return pick("GET", LicencePrivileges)
	}
	if get, post := licenceRoute(path); get != "" {
		return pick("GET", get)
	} else if post != "" {
		return pick("POST", post)
	}
	return Unknown, "", false
}

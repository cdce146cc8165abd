package mstrapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"privsync/clean"
)

// A Reader is a session that can read and nothing else. Its methods send GET
// requests; only RenewSession sends PUT /api/sessions, which changes no data.
// All methods may be called concurrently. Get one from [OpenReader].
type Reader struct {
	c *client
}

// OpenReader logs in and returns a Reader. It sends one request. Close it: the
// server's sessions are licensed and limited. Errors are [*Error] for what the
// server or the way to it refuses, others for a wrong Config.
func OpenReader(ctx context.Context, cfg Config) (*Reader, error) {
	c, err := open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Reader{c}, nil
}

// ServerStatus asks the server of cfg for its versions, without a login.
func ServerStatus(ctx context.Context, cfg Config) (Status, error) {
	c, err := newClient(ctx, cfg)
	if err != nil {
		return Status{}, err
	}
	defer c.closeIdle()
	defer c.end()
	return c.status(ctx, true)
}

// Close logs out, within 10 s of its own even when ctx has ended, and waits for a
// login that is under way. Requests after it fail with [ErrClosed]. Calling it
// again returns the same result and sends nothing.
func (r *Reader) Close(ctx context.Context) error { return r.c.close(ctx) }

// Stats returns what the client has sent so far.
func (r *Reader) Stats() Stats { return r.c.stats() }

// URL returns the base URL, normalised and without credentials: two settings
// that mean the same server and path give the same text.
func (r *Reader) URL() string { return r.c.base.String() }

// Status returns the server's versions. It needs no session. Some installations
// tell them nobody (401 or 403): that is the zero Status.
func (r *Reader) Status(ctx context.Context) (Status, error) {
	status, err := r.c.status(ctx, false)
	if IsStatusRefused(err) {
		return Status{}, nil
	}
	return status, err
}

// IsStatusRefused reports whether err says that the server tells nobody its
// versions, which is no reason not to work with it.
func IsStatusRefused(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Path == statusPath && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden)
}

const statusPath = "/api/status"

func (c *client) status(ctx context.Context, first bool) (Status, error) {
	var status Status
	err := c.do(ctx, &request{
		method: http.MethodGet, path: statusPath, limit: singleLimit, open: true, first: first, door: true,
		accept: acceptJSON(&status, func() error {
			if status == (Status{}) {
				return incompletef("no version")
			}
			return nil
		}),
	})
	status.IServerVersion, status.WebVersion = clip(c.scrub(status.IServerVersion), codeLimit), clip(c.scrub(status.WebVersion), codeLimit)
	return status, err
}

// SessionUser returns the user that the session belongs to.
func (r *Reader) SessionUser(ctx context.Context) (SessionUser, error) {
	var user SessionUser
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/sessions/userInfo", limit: singleLimit,
		accept: acceptJSON(&user, func() error {
			id, ok := parseObjectID(string(user.ID))
			if !ok {
				return incompletef("no user id")
			}
			user.ID = id
			return nil
		}),
	})
	return user, err
}

// SessionInfo returns what the server tells about the session.
func (r *Reader) SessionInfo(ctx context.Context) (SessionInfo, error) {
	var answer *struct {
		Timeout *float64 `json:"timeout"`
		Code    string   `json:"code"` // of an error in spite of the status
	}
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/sessions", limit: singleLimit,
		accept: acceptJSON(&answer, func() error {
			if answer == nil || answer.Timeout == nil && answer.Code != "" {
				return incompletef("nothing about the session")
			}
			return nil
		}),
	})
	if err != nil {
		return SessionInfo{}, err
	}
	var info SessionInfo
	if answer.Timeout != nil && *answer.Timeout > 0 && *answer.Timeout < 1<<31 {
		info.TimeoutSeconds = int(*answer.Timeout)
	}
	return info, nil
}

// RenewSession resets the session's idle time. It is the one method that sends a
// PUT; it changes no data.
func (r *Reader) RenewSession(ctx context.Context) error {
	return r.c.do(ctx, &request{method: http.MethodPut, path: "/api/sessions", limit: singleLimit})
}

// SessionPrivilege returns whether the session's user has a privilege. A server
// may refuse to tell a user who has not: then [IsForbidden] or [IsNotFound] may
// hold of the error.
func (r *Reader) SessionPrivilege(ctx context.Context, id PrivilegeID) (SessionPrivilege, error) {
	if err := checkPrivilege(id); err != nil {
		return SessionPrivilege{}, err
	}
	var answer struct {
		ID                 anyPrivilegeID `json:"id"`
		Name               string         `json:"name"`
		IsUserLevelAllowed *bool          `json:"isUserLevelAllowed"`
		Projects           []struct {
			IsAllowed bool `json:"isAllowed"`
		} `json:"projects"`
	}
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/sessions/privileges/" + id.String(), limit: singleLimit,
		accept: acceptJSON(&answer, func() error {
			if PrivilegeID(answer.ID) != id || answer.IsUserLevelAllowed == nil {
				return incompletef(`no "id" or no "isUserLevelAllowed"`)
			}
			return nil
		}),
	})
	if err != nil {
		return SessionPrivilege{}, err
	}
	p := SessionPrivilege{ID: id, Name: answer.Name, UserLevelAllowed: *answer.IsUserLevelAllowed}
	for _, project := range answer.Projects {
		if project.IsAllowed {
			p.ProjectsAllowed++
		}
	}
	return p, nil
}

// catalogueEntry is one entry of the server's catalogue. Servers tell the level by
// either member.
type catalogueEntry struct {
	ID           jsontext.Value `json:"id"`
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	Categories   []string       `json:"categories"`
	ProjectLevel *bool          `json:"isProjectLevelPrivilege"`
	Level        string         `json:"level"`
}

// privilege returns the entry as a privilege, or what is odd about it.
func (e catalogueEntry) privilege() (p Privilege, odd string) {
	id, ok := parsePrivilegeID(scalarText(e.ID))
	if !ok {
		return p, oddNumber
	}
	p = Privilege{ID: id, Name: e.Name, Description: e.Description, Categories: e.Categories}
	switch {
	case e.ProjectLevel != nil:
		p.ProjectLevel = *e.ProjectLevel
	case e.Level == string(LevelProject), e.Level == string(LevelServer):
		p.ProjectLevel = e.Level == string(LevelProject)
	default:
		return p, oddLevel
	}
	if strings.TrimSpace(e.Name) == "" {
		p.Name = ""
		return p, oddName
	}
	return p, ""
}

// What may be odd about an entry of the catalogue.
const (
	oddNumber = "has no number"
	oddName   = "has no name"
	oddLevel  = "has no level"
	oddTwice  = "stands twice"
)

// Catalogue returns all privileges that the server knows, in its order. Those without
// a name have none here either; entries without a number or a level are left out.
// [Reader.OddPrivileges] tells of both.
func (r *Reader) Catalogue(ctx context.Context) ([]Privilege, error) {
	var (
		answer    []catalogueEntry
		catalogue []Privilege
		odd       []OddPrivilege
	)
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/iserver/privileges", limit: r.c.cfg.MaxAnswer,
		accept: acceptJSON(&answer, func() error {
			catalogue, odd = make([]Privilege, 0, len(answer)), nil
			seen := make(map[PrivilegeID]Privilege, len(answer))
			for i, entry := range answer {
				p, why := entry.privilege()
				if first, twice := seen[p.ID]; twice && why != oddNumber && why != oddLevel {
					if first.Name != p.Name || first.ProjectLevel != p.ProjectLevel {
						return incompletef("privilege %d stands twice in the catalogue, with different names or levels", p.ID)
					}
					why = oddTwice
				}
				if why != "" {
					odd = append(odd, OddPrivilege{
						Entry: i + 1, ID: clip(strings.Trim(string(entry.ID), `"`), codeLimit), Name: clip(entry.Name, 200), Odd: why, Kept: why == oddName,
					})
				}
				if why == "" || why == oddName {
					seen[p.ID] = p
					catalogue = append(catalogue, p)
				}
			}
			if !slices.ContainsFunc(catalogue, func(p Privilege) bool { return p.Name != "" }) {
				return incompletef("no privilege with a name")
			}
			return nil
		}),
	})
	if err != nil {
		return nil, err
	}
	levels := make(map[PrivilegeID]Level, len(catalogue))
	for _, p := range catalogue {
		levels[p.ID] = p.Level()
	}
	r.c.odd.Store(&odd)
	r.c.levels.Store(&levels)
	return catalogue, nil
}

// Principal reads one user or group: users with Enabled, Login and Memberships
// where the server tells them. [IsNotFound] holds of the error when there is none.
func (r *Reader) Principal(ctx context.Context, kind Kind, id ObjectID) (PrincipalRow, error) {
	fields := groupFields + ",subtype"
	if kind == User {
		fields = userFields + ",subtype,memberships"
	}
	return r.principal(ctx, kind, id, "fields="+fields)
}

func (r *Reader) principal(ctx context.Context, kind Kind, id ObjectID, query string) (PrincipalRow, error) {
	path, err := principalPath(kind, id, "")
	if err != nil {
		return PrincipalRow{}, err
	}
	var row PrincipalRow
	err = r.c.do(ctx, &request{
		method: http.MethodGet, path: path, query: query, limit: singleLimit,
		accept: func(body []byte, _ http.Header) (err error) {
			row, err = decodeRow(body, kind, id)
			return err
		},
	})
	if err != nil {
		return PrincipalRow{}, err
	}
	return row, nil
}

// Tenant returns the name of the tenant that a user or a group belongs to, or its id;
// empty where the server tells none: it has no tenants, or its version does not know
// them (before 11.6.0100). It asks for the whole object, because a version that does
// not know the field might refuse to be asked for it.
func (r *Reader) Tenant(ctx context.Context, kind Kind, id ObjectID) (string, error) {
	row, err := r.principal(ctx, kind, id, "")
	return row.Tenant, err
}

// Memberships returns the direct parent groups of a user or a group; empty, not
// nil, for one without.
func (r *Reader) Memberships(ctx context.Context, kind Kind, id ObjectID) ([]ObjectRef, error) {
	path, err := principalPath(kind, id, "")
	if err != nil {
		return nil, err
	}
	q := &request{method: http.MethodGet, path: path, query: "fields=id,memberships", limit: singleLimit}
	if kind == Group {
		q.path, q.query = path+"/memberships", ""
	}
	var refs []ObjectRef
	q.accept = func(body []byte, h http.Header) (err error) {
		if refs, err = decodeMemberships(body); err != nil {
			return err
		}
		total, err := totalCount(h)
		if err == nil && kind == Group && total > len(refs) {
			err = incompletef("%d parents promised, %d received", total, len(refs))
		}
		return err
	}
	if err := r.c.do(ctx, q); err != nil {
		return nil, err
	}
	return refs, nil
}

// Held returns every privilege of the level that the principal effectively
// holds, one entry each, or an error: never a part of them. An empty result
// means that the server said so. Groups and Roles are shared by many: nobody may
// change them.
func (r *Reader) Held(ctx context.Context, kind Kind, id ObjectID, level Level) ([]Held, error) {
	path, err := principalPath(kind, id, "/privileges")
	if err != nil {
		return nil, err
	}
	q := &request{method: http.MethodGet, path: path, limit: r.c.cfg.MaxAnswer}
	switch level {
	case LevelServer:
		q.query = "privilege.level=server"
	case LevelProject:
		q.query = "privilege.level=project"
	case LevelAll:
	default:
		return nil, fmt.Errorf("privilege level %s: want server, project or all", clean.Quote(string(level)))
	}
	var held []Held
	q.accept = func(body []byte, _ http.Header) (err error) {
		d, ok := r.c.decoders.Get().(*heldDecoder)
		if !ok {
			d = new(heldDecoder)
		}
		defer r.c.decoders.Put(d)
		held, err = d.decode(body, level)
		return err
	}
	if err := r.c.do(ctx, q); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(held, func(h Held) bool { return h.Level == "" }) {
		return r.resolveLevels(ctx, held, level)
	}
	return held, nil
}

// Queue returns the state of a submitted metadata command.
func (r *Reader) Queue(ctx context.Context, id string) (QueueEntry, error) {
	if !isQueueID(id) {
		return QueueEntry{}, fmt.Errorf("%s is not the id of a queue entry", clean.Quote(clip(id, codeLimit)))
	}
	var answer struct {
		Status           *int `json:"status"`
		Progress         int  `json:"progress"`
		IServerErrorCode int  `json:"iServerErrorCode"`
	}
	err := r.c.do(ctx, &request{
		method: http.MethodGet, path: "/api/iserver/queues/" + id, limit: singleLimit,
		accept: acceptJSON(&answer, func() error {
			if answer.Status == nil {
				return incompletef(`no "status"`)
			}
			return nil
		}),
	})
	if err != nil {
		return QueueEntry{}, err
	}
	return QueueEntry{ID: id, Status: *answer.Status, Progress: answer.Progress, IServerErrorCode: answer.IServerErrorCode}, nil
}

// isQueueID reports whether text can stand in a path as it is.
func isQueueID(text string) bool {
	return text != "" && len(text) <= 128 && strings.Trim(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == ""
}

// principalPath returns the path of one user or group, or of what lies below it.
func principalPath(kind Kind, id ObjectID, below string) (string, error) {
	if err := checkKind(kind); err != nil {
		return "", err
	}
	if !id.Valid() {
		return "", fmt.Errorf("%s is not an object id: want 32 hexadecimal digits in upper case", clean.Quote(clip(string(id), codeLimit)))
	}
	return listPath(kind) + "/" + string(id) + below, nil
}

func checkKind(kind Kind) error {
	if kind != User && kind != Group {
		return fmt.Errorf("kind %s: want user or group", clean.Quote(clip(string(kind), codeLimit)))
	}
	return nil
}

func checkPrivilege(id PrivilegeID) error {
	if id < 1 || id > MaxPrivilegeID {
		return fmt.Errorf("privilege number %d is not within 1 and %d", id, MaxPrivilegeID)
	}
	return nil
}

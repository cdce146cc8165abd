package mstrapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"privsync/mstr"
)

// OnlyEveryone reports whether a list of users was answered with the members of
// the group Everyone, because the server gives none: guests and some service
// accounts are not among them.
func (r *Reader) OnlyEveryone() bool { return r.c.everyone.users.Load() != nil }

// A userList stands in for the list of users on servers that do not give it: the
// members of Everyone, read once. loading must be made.
type userList struct {
	loading chan struct{} // of length 1, full while someone reads
	users   atomic.Pointer[[]PrincipalRow]
}

// load reads the list unless that was done.
func (l *userList) load(ctx context.Context, c *client) error {
	select {
	case l.loading <- struct{}{}:
		defer func() { <-l.loading }()
	case <-ctx.Done():
		return &Error{Method: http.MethodGet, Path: "/api/users", Unsent: true, Err: context.Cause(ctx)}
	}
	if l.users.Load() != nil {
		return nil
	}
	c.log.DebugContext(ctx, "the server gives no list of users: reading the members of Everyone")
	rows, err := c.members(EveryoneGroup, true).All(ctx)
	if err != nil {
		return err
	}
	users := []PrincipalRow{}
	for _, row := range rows {
		if row.Kind == User {
			users = append(users, row)
		}
	}
	l.users.Store(&users)
	return nil
}

// page returns a page of the users that q selects; ok is false while the list is
// not in use.
func (l *userList) page(q Query, offset, limit int) (page Page, ok bool) {
	users := l.users.Load()
	if users == nil {
		return Page{}, false
	}
	selected := *users
	if q != (Query{}) {
		selected = nil
		for _, row := range *users {
			if q.matches(row) {
				selected = append(selected, row)
			}
		}
	}
	page.Total = len(selected)
	if offset < len(selected) {
		page.Rows = slices.Clone(selected[offset:min(offset+limit, len(selected))])
	}
	return page, true
}

// matches reports whether row is one that the server would list for q: the
// Begins values without regard to case, with ? and * as wildcards.
func (q Query) matches(row PrincipalRow) bool {
	return (q.NameBegins == "" || mstr.Wildcard(strings.ToLower(q.NameBegins)+"*", strings.ToLower(row.Name))) &&
		(q.LoginBegins == "" || mstr.Wildcard(strings.ToLower(q.LoginBegins)+"*", strings.ToLower(row.Login)))
}

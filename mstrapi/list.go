package mstrapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"privsync/clean"
	"privsync/panics"
)

const (
	// pageRows is how many rows are asked for at once; the server may give fewer.
	pageRows = 1000
	// mostRows bounds the total that a server may promise.
	mostRows = 5_000_000
	// listPasses is how often a list is read that changes meanwhile.
	listPasses = 5
)

const (
	userFields   = "id,name,abbreviation,username,enabled"
	groupFields  = "id,name"
	memberFields = "id,name,subtype,abbreviation,username,enabled"
)

// fetchPage returns one page of some list.
type fetchPage func(ctx context.Context, offset, limit int) (Page, error)

// ListPage returns one page of the users or groups that q selects, at most limit
// rows (0 or less: as many as the client asks for itself) from offset on. The
// server may give fewer; advance by the rows received. Where a server answers
// GET /api/users with {}, the rows are the members of the group Everyone.
func (r *Reader) ListPage(ctx context.Context, kind Kind, q Query, offset, limit int) (Page, error) {
	return r.c.listPage(ctx, kind, q, offset, limit)
}

// OnlyEveryone reports whether a list of users was answered with the members of
// the group Everyone, because the server gives none: guests and some service
// accounts are not among them.
func (r *Reader) OnlyEveryone() bool {
	l := &r.c.everyone
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.users != nil
}

// ListAll calls yield for every row that q selects, exactly once each, in the
// server's order, after all of them have arrived. A list that changes while it is
// read is read again; if it never comes to rest, or the server does not deliver
// as many rows as it promises, the error matches [ErrIncomplete] and yield was
// not called. An error of yield ends ListAll and is returned as it is.
func (r *Reader) ListAll(ctx context.Context, kind Kind, q Query, yield func(PrincipalRow) error) error {
	rows, err := r.c.listAll(ctx, r.c.path(kind), func(ctx context.Context, offset, limit int) (Page, error) {
		return r.c.listPage(ctx, kind, q, offset, limit)
	}, q.ID != "")
	return yieldAll(rows, err, yield)
}

// MembersPage returns one page of the members of a group: users and groups. With
// flat it asks for members at any depth, which an older server may ignore.
func (r *Reader) MembersPage(ctx context.Context, group ObjectID, flat bool, offset, limit int) (Page, error) {
	return r.c.membersPage(ctx, group, flat, offset, limit)
}

// MembersAll is to MembersPage what ListAll is to ListPage.
func (r *Reader) MembersAll(ctx context.Context, group ObjectID, flat bool, yield func(PrincipalRow) error) error {
	rows, err := r.c.membersAll(ctx, group, flat)
	return yieldAll(rows, err, yield)
}

func yieldAll(rows []PrincipalRow, err error, yield func(PrincipalRow) error) error {
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := yield(row); err != nil {
			return err
		}
	}
	return nil
}

// path returns the path of the list of a kind.
func (c *client) path(kind Kind) string {
	if kind == Group {
		return "/api/usergroups"
	}
	return "/api/users"
}

func (c *client) listPage(ctx context.Context, kind Kind, q Query, offset, limit int) (Page, error) {
	if err := checkKind(kind); err != nil {
		return Page{}, err
	}
	if kind == Group && q.ID != "" {
		return c.groupByID(ctx, q, offset)
	}
	if kind == User {
		if page, ok, err := c.everyone.page(q, offset, limit); ok || err != nil {
			return page, err
		}
	}
	v := url.Values{}
	set := func(key, value string) {
		if value != "" {
			v.Set(key, value)
		}
	}
	set("nameBegins", q.NameBegins)
	v.Set("fields", groupFields)
	if kind == User {
		set("abbreviationBegins", q.LoginBegins)
		set("id", string(q.ID))
		v.Set("fields", userFields)
	}
	page, empty, err := c.rowsPage(ctx, c.path(kind), v, kind, offset, limit)
	if err != nil || !empty {
		return page, err
	}
	if kind == Group {
		return Page{}, &Error{Method: http.MethodGet, Path: c.path(kind), Status: 200, Attempts: 1, Err: incompletef("an empty object instead of a list")}
	}
	// Seen on real servers even for administrators.
	if err := c.everyone.load(ctx, c); err != nil {
		return Page{}, err
	}
	page, _, err = c.everyone.page(q, offset, limit)
	return page, err
}

// groupByID emulates the id parameter, which the list of groups does not have.
func (c *client) groupByID(ctx context.Context, q Query, offset int) (Page, error) {
	page := Page{Offset: offset}
	row, err := c.principal(ctx, Group, q.ID)
	if IsNotFound(err) {
		return page, nil
	}
	if err != nil {
		return page, err
	}
	if q.matches(row) {
		page.Total = 1
		if offset == 0 {
			page.Rows = []PrincipalRow{row}
		}
	}
	return page, nil
}

func (c *client) membersPage(ctx context.Context, group ObjectID, flat bool, offset, limit int) (Page, error) {
	path, err := principalPath(Group, group, "/members")
	if err != nil {
		return Page{}, err
	}
	v := url.Values{"fields": {memberFields}}
	if flat {
		v.Set("flatMembers", "true")
	}
	page, empty, err := c.rowsPage(ctx, path, v, "", offset, limit)
	if err == nil && empty {
		err = &Error{Method: http.MethodGet, Path: path, Status: 200, Attempts: 1, Err: incompletef("an empty object instead of a list")}
	}
	return page, err
}

func (c *client) membersAll(ctx context.Context, group ObjectID, flat bool) ([]PrincipalRow, error) {
	return c.listAll(ctx, "/api/usergroups/"+string(group)+"/members", func(ctx context.Context, offset, limit int) (Page, error) {
		return c.membersPage(ctx, group, flat, offset, limit)
	}, false)
}

// rowsPage reads one page of rows. empty is true when the answer was {}.
func (c *client) rowsPage(ctx context.Context, path string, v url.Values, kind Kind, offset, limit int) (page Page, empty bool, err error) {
	if limit <= 0 {
		limit = pageRows
	}
	v.Set("offset", strconv.Itoa(max(offset, 0)))
	v.Set("limit", strconv.Itoa(limit))
	err = c.do(ctx, &request{
		// Commas need no escape in a query, and the log is easier to read without.
		method: http.MethodGet, path: path, query: strings.ReplaceAll(v.Encode(), "%2C", ","), limit: c.cfg.MaxAnswer,
		accept: func(body []byte, h http.Header) error {
			var err error
			page = Page{Offset: max(offset, 0)}
			if page.Total, err = totalCount(h); err != nil {
				return err
			}
			page.Rows, empty, err = decodeRows(body, kind)
			return err
		},
	})
	if err != nil {
		return Page{}, false, err
	}
	return page, empty, nil
}

// totalCount returns the full count that the server promises, -1 if it does not.
func totalCount(h http.Header) (int, error) {
	const name = "X-MSTR-Total-Count"
	text := h.Get(name)
	if text == "" {
		// Header maps that did not come from the wire may be spelled in any case.
		for key, values := range h {
			if len(values) > 0 && strings.EqualFold(key, name) {
				text = values[0]
			}
		}
	}
	if text == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 || n > mostRows {
		return 0, incompletef("%s is %s", name, clean.Quote(clip(text, codeLimit)))
	}
	return n, nil
}

// errChanged says that two pages of a pass do not belong to the same list.
var errChanged = errors.New("the list changed while it was read")

// listAll reads a whole list, again if it changes meanwhile. single says that it
// has one row at most. path is for the error.
func (c *client) listAll(ctx context.Context, path string, fetch fetchPage, single bool) ([]PrincipalRow, error) {
	for pass := 1; ; pass++ {
		rows, err := c.listOnce(ctx, fetch, single)
		var e *Error
		if err == nil || errors.As(err, &e) || !errors.Is(err, ErrIncomplete) {
			return rows, err
		}
		if pass == listPasses {
			return nil, &Error{Method: http.MethodGet, Path: path, Status: 200, Attempts: pass, Err: err}
		}
		c.log.DebugContext(ctx, "reading list again", "path", path, "pass", pass, "reason", err.Error())
	}
}

// listOnce reads a whole list once. Its errors that are no [*Error] but match
// ErrIncomplete are worth another pass.
func (c *client) listOnce(ctx context.Context, fetch fetchPage, single bool) ([]PrincipalRow, error) {
	first, err := fetch(ctx, 0, pageRows)
	if err != nil {
		return nil, err
	}
	rows := first.Rows
	if single && first.Total < 0 {
		return rows, distinct(rows, len(rows))
	}
	if first.Total < 0 {
		return c.listUnpromised(ctx, fetch, rows)
	}
	total, step := first.Total, len(rows)
	if step == 0 || step >= total {
		return rows, distinct(rows, total)
	}
	// The server's own page size is known now, so the rest can be asked for
	// together.
	parts := make([][]PrincipalRow, (total-1)/step)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(c.cfg.Concurrency)
	for i := range parts {
		from := (i + 1) * step
		to := min(from+step, total)
		panics.Go(group, func() error {
			for from < to {
				page, err := fetch(gctx, from, min(to-from, pageRows))
				if err != nil {
					return err
				}
				if page.Total >= 0 && page.Total != total {
					return incompletef("%d rows promised, then %d: %w", total, page.Total, errChanged)
				}
				if len(page.Rows) == 0 {
					return incompletef("%d rows promised, none at %d", total, from)
				}
				parts[i] = append(parts[i], page.Rows...)
				from += len(page.Rows)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	rows = slices.Grow(rows, max(total-len(rows), 0))
	for _, part := range parts {
		rows = append(rows, part...)
	}
	return rows, distinct(rows, total)
}

// listUnpromised reads the rest of a list whose size the server does not tell:
// only an empty page says that this was all.
func (c *client) listUnpromised(ctx context.Context, fetch fetchPage, rows []PrincipalRow) ([]PrincipalRow, error) {
	seen := make(map[ObjectID]struct{}, len(rows))
	page := Page{Rows: rows, Total: -1}
	rows = nil
	total := -1 // should a later page tell after all
	for len(page.Rows) > 0 {
		for _, row := range page.Rows {
			seen[row.ID] = struct{}{}
		}
		rows = append(rows, page.Rows...)
		// A server that ignores the offset would go on for ever.
		if len(seen) != len(rows) || len(rows) > mostRows {
			return nil, incompletef("pages repeat rows, and the server does not tell how many there are")
		}
		var err error
		if page, err = fetch(ctx, len(rows), pageRows); err != nil {
			return nil, err
		}
		total = max(total, page.Total)
	}
	if total >= 0 && total != len(rows) {
		return nil, incompletef("%d rows promised, %d received", total, len(rows))
	}
	return rows, nil
}

// distinct checks that there are exactly want rows, each id once.
func distinct(rows []PrincipalRow, want int) error {
	seen := make(map[ObjectID]struct{}, len(rows))
	for _, row := range rows {
		seen[row.ID] = struct{}{}
	}
	if len(seen) != want || len(rows) != want {
		return incompletef("%d rows promised, %d received, %d of them different", want, len(rows), len(seen))
	}
	return nil
}

// A userList stands in for the list of users on servers that do not give it: the
// members of Everyone, read once. loading must be made.
type userList struct {
	loading chan struct{} // of length 1, full while someone reads
	mu      sync.Mutex    // guards users
	users   []PrincipalRow
}

// load reads the list unless that was done.
func (l *userList) load(ctx context.Context, c *client) error {
	select {
	case l.loading <- struct{}{}:
		defer func() { <-l.loading }()
	case <-ctx.Done():
		return &Error{Method: http.MethodGet, Path: "/api/users", Unsent: true, Err: context.Cause(ctx)}
	}
	l.mu.Lock()
	done := l.users != nil
	l.mu.Unlock()
	if done {
		return nil
	}
	c.log.DebugContext(ctx, "the server gives no list of users: reading the members of Everyone")
	rows, err := c.membersAll(ctx, EveryoneGroup, true)
	if err != nil {
		return err
	}
	users := []PrincipalRow{}
	for _, row := range rows {
		if row.Kind == User {
			users = append(users, row)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users = users
	return nil
}

// page returns a page of the users that q selects; ok is false while the list is
// not in use.
func (l *userList) page(q Query, offset, limit int) (page Page, ok bool, err error) {
	l.mu.Lock()
	users := l.users
	l.mu.Unlock()
	if users == nil {
		return Page{}, false, nil
	}
	selected := users
	if q != (Query{}) {
		selected = nil
		for _, row := range users {
			if q.matches(row) {
				selected = append(selected, row)
			}
		}
	}
	offset = max(offset, 0)
	if limit <= 0 {
		limit = pageRows
	}
	page = Page{Offset: offset, Total: len(selected)}
	if offset < len(selected) {
		page.Rows = slices.Clone(selected[offset:min(offset+limit, len(selected))])
	}
	return page, true, nil
}

package mstrapi

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"privsync/clean"
)

const (
	userFields   = "id,name,abbreviation,username,enabled"
	groupFields  = "id,name"
	memberFields = "id,name,subtype,abbreviation,username,enabled"
)

// List returns the list of the users or groups that q selects. Where a server answers
// GET /api/users with {}, the rows are the members of the group Everyone.
func (r *Reader) List(kind Kind, q Query) *Listing { return r.c.list(kind, q) }

// Members returns the list of the members of a group: users and groups. With flat it
// is of members at any depth, which an older server may ignore.
func (r *Reader) Members(group ObjectID, flat bool) *Listing { return r.c.members(group, flat) }

// listPath returns the path of the list of a kind.
func listPath(kind Kind) string {
	if kind == Group {
		return "/api/usergroups"
	}
	return "/api/users"
}

func (c *client) listing(path string, fetch FetchPage) *Listing {
	return &Listing{path: path, concurrency: c.cfg.Concurrency, log: c.log, fetch: fetch}
}

func (c *client) list(kind Kind, q Query) *Listing {
	return c.listing(listPath(kind), func(ctx context.Context, offset, limit int) (Page, error) {
		return c.listPage(ctx, kind, q, offset, limit)
	})
}

func (c *client) members(group ObjectID, flat bool) *Listing {
	return c.listing("/api/usergroups/"+string(group)+"/members", func(ctx context.Context, offset, limit int) (Page, error) {
		return c.membersPage(ctx, group, flat, offset, limit)
	})
}

func (c *client) listPage(ctx context.Context, kind Kind, q Query, offset, limit int) (Page, error) {
	if err := checkKind(kind); err != nil {
		return Page{}, err
	}
	if kind == User {
		if page, ok := c.everyone.page(q, offset, limit); ok {
			return page, nil
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
		v.Set("fields", userFields)
	}
	page, empty, err := c.rowsPage(ctx, listPath(kind), v, kind, offset, limit)
	if err != nil || !empty {
		return page, err
	}
	if kind == Group {
		return Page{}, &Error{Method: http.MethodGet, Path: listPath(kind), Status: 200, Attempts: 1, Err: incompletef("an empty object instead of a list")}
	}
	// Seen on real servers even for administrators.
	if err := c.everyone.load(ctx, c); err != nil {
		return Page{}, err
	}
	page, _ = c.everyone.page(q, offset, limit)
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

// rowsPage reads one page of rows. empty is true when the answer was {}.
func (c *client) rowsPage(ctx context.Context, path string, v url.Values, kind Kind, offset, limit int) (page Page, empty bool, err error) {
	v.Set("offset", strconv.Itoa(offset))
	v.Set("limit", strconv.Itoa(limit))
	err = c.do(ctx, &request{
		// Commas need no escape in a query, and the log is easier to read without.
		method: http.MethodGet, path: path, query: strings.ReplaceAll(v.Encode(), "%2C", ","), limit: c.cfg.MaxAnswer,
		accept: func(body []byte, h http.Header) error {
			var err error
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

package mstrapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A listing serves rows in pages, with the quirks that real servers have.
type listing struct {
	mu       sync.Mutex
	ids      []int
	cap      int  // most rows per page; 0: no cap
	noTotal  bool // the header is missing
	ignores  bool // offset and limit do nothing
	promise  int  // more rows promised than there are
	served   int  // pages
	onPage   func(page int, l *listing)
	lastPage url.Values
}

func (l *listing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.served++
	if l.onPage != nil {
		l.onPage(l.served, l)
	}
	q := r.URL.Query()
	l.lastPage = q
	offset, _ := strconv.Atoi(q.Get("offset"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	if l.cap > 0 {
		limit = min(limit, l.cap)
	}
	ids := l.ids
	if !l.ignores {
		ids = ids[min(offset, len(ids)):]
		ids = ids[:min(limit, len(ids))]
	}
	if !l.noTotal {
		w.Header().Set("X-MSTR-Total-Count", strconv.Itoa(len(l.ids)+l.promise))
	}
	rows := []map[string]any{}
	for _, id := range ids {
		rows = append(rows, map[string]any{"id": testID(id), "name": fmt.Sprint("name ", id), "abbreviation": fmt.Sprint("login", id)})
	}
	json.NewEncoder(w).Encode(rows)
}

func testID(n int) string { return fmt.Sprintf("%032X", n) }

func count(n int) []int {
	ids := make([]int, n)
	for i := range ids {
		ids[i] = i
	}
	return ids
}

// readAll returns the numbers of all rows.
func readAll(t *testing.T, r *Reader, q Query) ([]int, error) {
	rows, err := r.List(User, q).All(t.Context())
	if err != nil {
		return nil, err
	}
	ids := make([]int, len(rows))
	for i, row := range rows {
		n, err := strconv.ParseInt(string(row.ID), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		if row.Login != fmt.Sprint("login", n) || row.Kind != User {
			t.Errorf("row %d = %+v", n, row)
		}
		ids[i] = int(n)
	}
	if rows == nil {
		t.Error("no rows are nil without an error")
	}
	return ids, nil
}

func TestListAll(t *testing.T) {
	drop := func(page int, l *listing) {
		if page == 2 {
			l.ids = l.ids[1:] // everything moves up by one: one row is lost
		}
	}
	tests := []struct {
		name  string
		list  *listing
		want  int // rows; -1: ErrIncomplete
		pages int // requests; 0: not checked
	}{
		{name: "empty", list: &listing{}, want: 0, pages: 1},
		{name: "one page", list: &listing{ids: count(7)}, want: 7, pages: 1},
		{name: "exactly one page", list: &listing{ids: count(1000)}, want: 1000, pages: 1},
		{name: "several pages", list: &listing{ids: count(3001)}, want: 3001, pages: 4},
		{name: "the server caps the limit", list: &listing{ids: count(1001), cap: 250}, want: 1001, pages: 5},
		{name: "the cap changes", list: &listing{ids: count(1000), cap: 250, onPage: func(page int, l *listing) {
			if page > 1 {
				l.cap = 99
			}
		}}, want: 1000},
		{name: "no total", list: &listing{ids: count(1500), noTotal: true}, want: 1500, pages: 3},
		{name: "no total, empty", list: &listing{noTotal: true}, want: 0, pages: 1},
		{name: "no total, paging ignored", list: &listing{ids: count(5), noTotal: true, ignores: true}, want: -1},
		{name: "paging ignored", list: &listing{ids: count(1200), ignores: true}, want: 1200, pages: 1},
		{name: "total appears late", list: &listing{ids: count(1500), noTotal: true, onPage: func(page int, l *listing) { l.noTotal = page == 1 }}, want: 1500},
		{name: "total only on the first page", list: &listing{ids: count(1500), onPage: func(page int, l *listing) { l.noTotal = page > 1 }}, want: 1500},
		{name: "promises one more", list: &listing{ids: count(1500), promise: 1}, want: -1},
		{name: "promises fewer", list: &listing{ids: count(10), promise: -1}, want: -1},
		{name: "a row twice", list: &listing{ids: []int{1, 2, 2}}, want: -1},
		{name: "changes once", list: &listing{ids: count(2500), onPage: drop}, want: 2499},
		{name: "a row moves once", list: &listing{ids: count(2500), onPage: func(page int, l *listing) {
			if page == 2 { // same count, but what was first is now last: one row lost, one twice
				l.ids = append(append([]int{}, l.ids[1:]...), l.ids[0])
			}
		}}, want: 2500},
		{name: "grows once", list: &listing{ids: count(2500), onPage: func(page int, l *listing) {
			if page == 2 {
				l.ids = append(l.ids, 2500)
			}
		}}, want: 2501},
		{name: "never rests", list: &listing{ids: count(2500), onPage: func(page int, l *listing) { l.ids = l.ids[1:] }}, want: -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake(t)
			f.mux.Handle("GET /api/users", test.list)
			r := f.reader(t)
			got, err := readAll(t, r, Query{})
			if test.want < 0 {
				if !errors.Is(err, ErrIncomplete) || got != nil {
					t.Errorf("All = %d rows, %v, want none and ErrIncomplete", len(got), err)
				}
				return
			}
			if err != nil {
				t.Fatalf("All = %v", err)
			}
			if len(got) != test.want {
				t.Errorf("All yields %d rows, want %d", len(got), test.want)
			}
			for i, id := range got {
				if id != test.list.ids[i] {
					t.Fatalf("row %d is %d, want %d: not the server's order", i, id, test.list.ids[i])
				}
			}
			if test.pages > 0 && test.list.served != test.pages {
				t.Errorf("%d pages were read, want %d", test.list.served, test.pages)
			}
		})
	}
}

func TestListRefused(t *testing.T) {
	f := newFake(t)
	f.handle("GET /api/usergroups", func(w http.ResponseWriter, r *http.Request) { apiError(w, 403, "ERR017", "no") })
	r := f.reader(t)
	if _, err := r.List(Group, Query{}).All(t.Context()); !IsForbidden(err) {
		t.Errorf("All = %v, want the server's 403", err)
	}
	if n := f.count("GET /api/usergroups"); n != 1 {
		t.Errorf("a refused list was read %d times", n)
	}
}

// What was read of a list is not read again, unless it changed.
func TestListing(t *testing.T) {
	f := newFake(t)
	list := &listing{ids: count(2500)}
	f.mux.Handle("GET /api/users", list)
	r := f.reader(t)
	l := r.List(User, Query{})
	page, err := l.First(t.Context())
	if err != nil || len(page.Rows) != 1000 || page.Total != 2500 || page.Pages() != 3 {
		t.Fatalf("First = %d rows of %d in %d pages, %v", len(page.Rows), page.Total, page.Pages(), err)
	}
	rows, err := l.All(t.Context())
	if err != nil || len(rows) != 2500 || list.served != 3 {
		t.Errorf("All = %d rows, %v, after %d pages", len(rows), err, list.served)
	}
	if rows, err = l.After(t.Context(), 1000, 2500); err != nil || len(rows) != 1500 || rows[0].ID != ObjectID(testID(1000)) || list.served != 5 {
		t.Errorf("After = %d rows, %v, after %d pages", len(rows), err, list.served)
	}
	if rows, err = l.After(t.Context(), 1000, 2499); !IsUnsteady(err) || rows != nil {
		t.Errorf("After of another total = %d rows, %v", len(rows), err)
	}
	for _, test := range []struct {
		page Page
		want int
	}{{Page{Total: 0}, 1}, {Page{Total: 7}, 1}, {Page{Rows: rows, Total: -1}, math.MaxInt}, {Page{Rows: page.Rows, Total: 1000}, 1}, {Page{Rows: page.Rows, Total: 1001}, 2}, {Page{Rows: page.Rows, Total: 3}, 1}} {
		if got := test.page.Pages(); got != test.want {
			t.Errorf("%d rows of %d are %d pages, want %d", len(test.page.Rows), test.page.Total, got, test.want)
		}
	}
}

// A bad total is not the same as none.
func TestTotalCount(t *testing.T) {
	for text, want := range map[string]int{"": -1, "0": 0, " 12 ": 12, "-1": -2, "many": -2, "99999999999": -2, "5000001": -2} {
		h := http.Header{}
		if text != "" {
			h["x-MSTR-total-COUNT"] = []string{text}
		}
		got, err := totalCount(h)
		if want == -2 && !errors.Is(err, ErrIncomplete) || want != -2 && (err != nil || got != want) {
			t.Errorf("totalCount(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
}

// Some servers answer the list of users with {}: then Everyone's members stand in,
// read once.
func TestUsersThroughEveryone(t *testing.T) {
	f := newFake(t)
	f.answer("GET /api/users", `{}`)
	members := 0
	f.handle("GET /api/usergroups/{id}/members", func(w http.ResponseWriter, r *http.Request) {
		members++
		if r.PathValue("id") != string(EveryoneGroup) || r.URL.Query().Get("flatMembers") != "true" {
			t.Errorf("members of %s", r.URL)
		}
		w.Header().Set("X-MSTR-Total-Count", "4")
		fmt.Fprintf(w, `[{"id":%q,"name":"Ann","username":"ann","enabled":true},{"id":%q,"name":"A group","subtype":8705},{"id":%q,"name":"Bob","username":"bob?","enabled":false},{"id":%q,"name":"Zoe","username":"ANNIE"}]`,
			testID(1), testID(2), testID(3), testID(4))
	})
	r := f.reader(t)
	tests := []struct {
		q             Query
		offset, limit int
		want          string
		total         int
	}{
		{Query{}, 0, 10, "Ann Bob Zoe", 3},
		{Query{}, 1, 1, "Bob", 3},
		{Query{}, 9, 1, "", 3},
		{Query{LoginBegins: "ann"}, 0, 10, "Ann Zoe", 2},
		{Query{LoginBegins: "b?b"}, 0, 10, "Bob", 1},
		{Query{LoginBegins: "*i"}, 0, 10, "Zoe", 1},
		{Query{NameBegins: "b"}, 0, 10, "Bob", 1},
		{Query{LoginBegins: "nobody"}, 0, 10, "", 0},
	}
	for _, test := range tests {
		page, err := r.List(User, test.q).Page(t.Context(), test.offset, test.limit)
		if err != nil {
			t.Fatalf("List(%+v) = %v", test.q, err)
		}
		var names []string
		for _, row := range page.Rows {
			names = append(names, row.Name)
		}
		if got := strings.Join(names, " "); got != test.want || page.Total != test.total {
			t.Errorf("List(%+v) = %s, total %d, want %s, %d", test.q, got, page.Total, test.want, test.total)
		}
	}
	if rows, err := r.List(User, Query{}).All(t.Context()); err != nil || len(rows) != 3 {
		t.Errorf("All = %d rows, %v", len(rows), err)
	}
	if members != 1 || f.count("GET /api/users?") != 1 {
		t.Errorf("Everyone was read %d times, the list of users %d times; want once each", members, f.count("GET /api/users?"))
	}
}

// Whoever waits for another's reading of Everyone still listens to its context.
func TestUsersThroughEveryoneWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		f.answer("GET /api/users", `{}`)
		f.handle("GET /api/usergroups/{id}/members", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Second)
			w.Header().Set("X-MSTR-Total-Count", "0")
			w.Write([]byte(`[]`))
		})
		r := f.reader(t)
		go r.List(User, Query{}).Page(t.Context(), 0, 1)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.List(User, Query{}).Page(ctx, 0, 1); !errors.Is(err, ctx.Err()) || ctx.Err() == nil {
			t.Errorf("List = %v, want the context's error", err)
		}
		time.Sleep(10 * time.Second)
	})
}

// Pages are fetched together, up to the concurrency.
func TestListAllIsConcurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t)
		list := &listing{ids: count(9000)}
		f.handle("GET /api/users", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			list.ServeHTTP(w, r)
		})
		r := f.reader(t, func(c *Config) { c.Concurrency = 4 })
		started := time.Now()
		if got, err := readAll(t, r, Query{}); err != nil || len(got) != 9000 {
			t.Errorf("All = %d, %v", len(got), err)
		}
		if took := time.Since(started); took != 3*time.Second {
			t.Errorf("nine pages of a second each took %s, want one and two times four at once", took)
		}
	})
}

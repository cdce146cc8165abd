package mstrapi

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"

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

// Page is one page of a list. Total is the full count that the server promised
// in X-MSTR-Total-Count, or -1 where the header is missing.
type Page struct {
	Rows  []PrincipalRow
	Total int
}

// Pages returns how many pages like p, the first one, the list has: at least 1, and
// [math.MaxInt] where the server does not tell its length.
func (p Page) Pages() int {
	switch n := len(p.Rows); {
	case p.Total < 0:
		return math.MaxInt
	case n > 0:
		return max(1, (p.Total+n-1)/n)
	}
	return 1
}

// A FetchPage returns one page of some list, of at most limit rows. The server may
// give fewer; advance by the rows received.
type FetchPage func(ctx context.Context, offset, limit int) (Page, error)

// A Listing is a list of users or groups, read page by page, as far as it is wanted:
// its first page, or all of it. It is for one caller at a time. Get one from
// [Reader.List] or [Reader.Members].
type Listing struct {
	path        string // for errors
	concurrency int    // most pages that are read at once
	log         *slog.Logger
	fetch       FetchPage
	first       *Page // nil: to be read
}

// NewListing returns the Listing of the pages that fetch returns, for readers other
// than [Reader]. Its errors name the path.
func NewListing(path string, concurrency int, fetch FetchPage) *Listing {
	return &Listing{path: path, concurrency: concurrency, log: slog.New(slog.DiscardHandler), fetch: fetch}
}

// Page returns one page.
func (l *Listing) Page(ctx context.Context, offset, limit int) (Page, error) {
	return l.fetch(ctx, offset, limit)
}

// First returns the first page, as large as the server gives them. [Listing.All]
// does not read it again.
func (l *Listing) First(ctx context.Context) (Page, error) {
	if l.first == nil {
		page, err := l.fetch(ctx, 0, pageRows)
		if err != nil {
			return Page{}, err
		}
		l.first = &page
	}
	return *l.first, nil
}

// All returns every row exactly once, in the server's order; never nil without an
// error. A list that changes while it is read is read again; if it never comes to
// rest, or the server does not deliver as many rows as it promises, the error matches
// [ErrIncomplete].
func (l *Listing) All(ctx context.Context) ([]PrincipalRow, error) {
	for pass := 1; ; pass++ {
		rows, err := l.once(ctx)
		l.first = nil
		if !IsUnsteady(err) {
			return rows, err
		}
		if pass == listPasses {
			return nil, &Error{Method: http.MethodGet, Path: l.path, Status: 200, Attempts: pass, Err: err}
		}
		l.log.DebugContext(ctx, "reading list again", "path", l.path, "pass", pass, "reason", err.Error())
	}
}

// IsUnsteady reports whether an error of [Listing.After] says that pages do not
// belong to the same list.
func IsUnsteady(err error) bool {
	var e *Error
	return errors.Is(err, ErrIncomplete) && !errors.As(err, &e)
}

// once reads the whole list once.
func (l *Listing) once(ctx context.Context) ([]PrincipalRow, error) {
	first, err := l.First(ctx)
	if err != nil {
		return nil, err
	}
	if first.Total < 0 {
		return l.unpromised(ctx, first.Rows)
	}
	rest, err := l.After(ctx, len(first.Rows), first.Total)
	if err != nil {
		return nil, err
	}
	rows := append(slices.Grow(first.Rows, len(rest)+1), rest...) // never nil
	seen := make(map[ObjectID]struct{}, len(rows))
	for _, row := range rows {
		seen[row.ID] = struct{}{}
	}
	if len(seen) != first.Total || len(rows) != first.Total {
		return nil, incompletef("%d rows promised, %d received, %d of them different", first.Total, len(rows), len(seen))
	}
	return rows, nil
}

// After returns the rows from offset on of a list of total rows whose first page was
// offset long: the server's own page size, so that the rest can be asked for
// together. For pages that do not fit together [IsUnsteady] holds of the error.
func (l *Listing) After(ctx context.Context, offset, total int) ([]PrincipalRow, error) {
	if offset == 0 || offset >= total {
		return nil, nil
	}
	parts := make([][]PrincipalRow, (total-1)/offset)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(l.concurrency)
	for i := range parts {
		from := (i + 1) * offset
		to := min(from+offset, total)
		panics.Go(group, func() error {
			for from < to {
				page, err := l.fetch(gctx, from, min(to-from, pageRows))
				switch {
				case err != nil:
					return err
				case page.Total >= 0 && page.Total != total:
					return incompletef("%d rows promised, then %d: the list changed while it was read", total, page.Total)
				case len(page.Rows) == 0:
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
	return slices.Concat(parts...), nil
}

// unpromised reads the rest of a list whose size the server does not tell: only an
// empty page says that this was all.
func (l *Listing) unpromised(ctx context.Context, first []PrincipalRow) ([]PrincipalRow, error) {
	seen := make(map[ObjectID]struct{}, len(first))
	rows, page := []PrincipalRow{}, Page{Rows: first, Total: -1}
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
		if page, err = l.fetch(ctx, len(rows), pageRows); err != nil {
			return nil, err
		}
		total = max(total, page.Total)
	}
	if total >= 0 && total != len(rows) {
		return nil, incompletef("%d rows promised, %d received", total, len(rows))
	}
	return rows, nil
}

package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"privsync/mstrapi"
	"privsync/panics"
)

// pageSize is how many rows are asked for at once. The server may give fewer.
const pageSize = 1000

// pager reads one list: page by page, where what to do depends on the first
// page, or whole.
type pager struct {
	page func(ctx context.Context, offset, limit int) (mstrapi.Page, error)
	all  func(ctx context.Context, yield func(mstrapi.PrincipalRow) error) error
	kind mstrapi.Kind // of every row; "": the rows tell
}

func (ob *observer) listPages(kind mstrapi.Kind) pager {
	return pager{
		page: func(ctx context.Context, offset, limit int) (mstrapi.Page, error) {
			return ob.r.ListPage(ctx, kind, mstrapi.Query{}, offset, limit)
		},
		all: func(ctx context.Context, yield func(mstrapi.PrincipalRow) error) error {
			return ob.r.ListAll(ctx, kind, mstrapi.Query{}, yield)
		},
		kind: kind,
	}
}

func (ob *observer) memberPages(group mstrapi.ObjectID, flat bool) pager {
	return pager{
		page: func(ctx context.Context, offset, limit int) (mstrapi.Page, error) {
			return ob.r.MembersPage(ctx, group, flat, offset, limit)
		},
		all: func(ctx context.Context, yield func(mstrapi.PrincipalRow) error) error {
			return ob.r.MembersAll(ctx, group, flat, yield)
		},
	}
}

// errUnsteady says that pages do not belong to the same list.
var errUnsteady = errors.New("the list changed while it was read")

// readPages reads a whole list if worth says so of the number of its pages, and
// returns nil without an error if not. It costs no more than the pages, or the
// first one. A list whose length the server does not tell is not worth it unless
// worth says so of any number.
func (ob *observer) readPages(ctx context.Context, p pager, worth func(pages int) bool) ([]mstrapi.PrincipalRow, error) {
	first, err := p.page(ctx, 0, pageSize)
	if err != nil {
		return nil, err
	}
	if p.kind != "" && first.Total >= 0 {
		ob.noteTotal(p.kind, first.Total)
	}
	got := len(first.Rows)
	switch {
	case first.Total < 0:
		if !worth(int(^uint(0) >> 1)) {
			return nil, nil
		}
		return ob.readWhole(ctx, p)
	case got == 0 && first.Total > 0:
		return ob.readWhole(ctx, p)
	case got > 0 && !worth((first.Total+got-1)/got):
		return nil, nil
	}
	rows, err := ob.readRest(ctx, p, first.Rows, first.Total, got)
	if errors.Is(err, errUnsteady) {
		return ob.readWhole(ctx, p)
	}
	return rows, err
}

// readWhole leaves it to the reader to get a consistent list.
func (ob *observer) readWhole(ctx context.Context, p pager) ([]mstrapi.PrincipalRow, error) {
	rows := []mstrapi.PrincipalRow{}
	err := p.all(ctx, func(row mstrapi.PrincipalRow) error {
		if p.kind != "" {
			row.Kind = p.kind
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

// readRest reads the rows after the first ones, several pages at a time. step
// is how many rows the server gives at once.
func (ob *observer) readRest(ctx context.Context, p pager, first []mstrapi.PrincipalRow, total, step int) ([]mstrapi.PrincipalRow, error) {
	rows := make([]mstrapi.PrincipalRow, 0, total)
	rows = append(rows, first...)
	if from := len(rows); from < total && step > 0 {
		parts := make([][]mstrapi.PrincipalRow, (total-from+step-1)/step)
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(ob.concurrency)
		for i := range parts {
			at := from + i*step
			end := min(at+step, total)
			panics.Go(g, func() error {
				for at < end {
					page, err := p.page(gctx, at, end-at)
					if err != nil {
						return err
					}
					if len(page.Rows) == 0 || page.Total != total {
						return errUnsteady
					}
					parts[i] = append(parts[i], page.Rows...)
					at += len(page.Rows)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		for _, part := range parts {
			rows = append(rows, part...)
		}
	}
	seen := make(map[mstrapi.ObjectID]struct{}, len(rows))
	for i := range rows {
		if p.kind != "" {
			rows[i].Kind = p.kind
		}
		seen[rows[i].ID] = struct{}{}
	}
	if len(rows) != total || len(seen) != total {
		return nil, errUnsteady
	}
	return rows, nil
}

// readMembers returns the members of a group, each list once.
func (ob *observer) readMembers(ctx context.Context, group mstrapi.ObjectID, flat bool) ([]mstrapi.PrincipalRow, error) {
	key := memberKey{group, flat}
	if rows, ok := ob.memberRows[key]; ok {
		return rows, nil
	}
	rows, err := ob.readPages(ctx, ob.memberPages(group, flat), func(int) bool { return true })
	if err != nil {
		return nil, fmt.Errorf("members of group %s: %w", group, err)
	}
	ob.memberRows[key] = rows
	return rows, nil
}

type memberKey struct {
	group mstrapi.ObjectID
	flat  bool
}

// countMembers finds out how many users are in a group at any depth, from the
// first page where that is enough.
func (ob *observer) countMembers(ctx context.Context, group mstrapi.ObjectID) (*memberList, error) {
	p := ob.memberPages(group, true)
	first, err := p.page(ctx, 0, pageSize)
	if err != nil {
		return nil, err
	}
	if first.Total < 0 || len(first.Rows) == 0 && first.Total > 0 || slices.ContainsFunc(first.Rows, isGroupRow) {
		return ob.allMembers(ctx, group, nil)
	}
	m := &memberList{count: first.Total, keys: keysOf(first.Rows)}
	if got := len(first.Rows); got < first.Total {
		m.left = (first.Total - 1) / got
		return m, nil
	}
	if len(m.keys) != first.Total {
		return ob.allMembers(ctx, group, nil)
	}
	m.complete = true
	return m, nil
}

func isGroupRow(row mstrapi.PrincipalRow) bool { return row.Kind == mstrapi.Group }

// completeMembers reads the pages that a count left out.
func (ob *observer) completeMembers(ctx context.Context, group mstrapi.ObjectID, m *memberList) (*memberList, error) {
	// The first page is known but for its rows: their keys are enough.
	known := len(m.keys)
	step := known
	p := ob.memberPages(group, true)
	var keys []idKey
	shifted := pager{all: p.all, page: func(ctx context.Context, offset, limit int) (mstrapi.Page, error) {
		page, err := p.page(ctx, offset+known, limit)
		page.Total -= known
		return page, err
	}}
	rows, err := ob.readRest(ctx, shifted, nil, m.count-known, step)
	if errors.Is(err, errUnsteady) || err == nil && slices.ContainsFunc(rows, isGroupRow) {
		return ob.allMembers(ctx, group, nil)
	}
	if err != nil {
		return nil, err
	}
	keys = slices.Concat(m.keys, keysOf(rows))
	sortKeys(keys)
	if keys = slices.Compact(keys); len(keys) != m.count {
		return ob.allMembers(ctx, group, nil)
	}
	return &memberList{count: m.count, complete: true, keys: keys}, nil
}

// allMembers reads every user in a group at any depth; on a server that does not
// know flatMembers also from the groups in it. Each goes to yield, if that is
// not nil.
func (ob *observer) allMembers(ctx context.Context, group mstrapi.ObjectID, yield func(mstrapi.PrincipalRow)) (*memberList, error) {
	var keys []idKey
	seen := map[mstrapi.ObjectID]bool{group: true}
	todo := []mstrapi.ObjectID{group}
	for len(todo) > 0 {
		id := todo[0]
		todo = todo[1:]
		rows, err := ob.readPages(ctx, ob.memberPages(id, true), func(int) bool { return true })
		if err != nil && id != group {
			gone, fatal := ob.isGone(ctx, mstrapi.Group, id, err)
			if fatal != nil {
				return nil, fatal
			}
			if gone {
				ob.noteGone(Principal{Kind: mstrapi.Group, ID: id, Name: ob.st.groupName(id)})
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			switch {
			case row.Kind != mstrapi.Group:
				keys = append(keys, keyOf(row.ID))
				if yield != nil {
					yield(row)
				}
			case !seen[row.ID]:
				seen[row.ID] = true
				todo = append(todo, row.ID)
			}
		}
	}
	sortKeys(keys)
	keys = slices.Compact(keys)
	return &memberList{count: len(keys), complete: true, keys: slices.Clip(keys)}, nil
}

func keysOf(rows []mstrapi.PrincipalRow) []idKey {
	keys := make([]idKey, len(rows))
	for i, row := range rows {
		keys[i] = keyOf(row.ID)
	}
	sortKeys(keys)
	return slices.Compact(keys)
}

func sortKeys(keys []idKey) {
	slices.SortFunc(keys, func(a, b idKey) int { return slices.Compare(a[:], b[:]) })
}

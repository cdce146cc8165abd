package planner

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"privsync/mstrapi"
	"privsync/panics"
)

// reading is a server as an observation asks it, and the state that its answers make.
type reading struct {
	r           Reader
	concurrency int // requests under way at once
	log         *slog.Logger
	progress    *phases
	session     func() (mstrapi.SessionUser, error) // asks once who the session's user is

	st *State
	in *interner
	mu sync.Mutex // guards st while several workers read
}

// newReading returns a reading with an empty state, which tells nobody what it does.
func newReading(ctx context.Context, r Reader, concurrency int) *reading {
	return &reading{
		r: r, concurrency: cmp.Or(max(concurrency, 0), mstrapi.DefaultConcurrency),
		log: slog.New(slog.DiscardHandler), progress: &phases{}, st: &State{},
		session: sessionOnce(ctx, r),
	}
}

// sessionOnce returns what asks once who the session's user is. Who waits for the answer
// waits on a channel and not on a mutex, which the clock of testing/synctest would not see.
func sessionOnce(ctx context.Context, r Reader) func() (mstrapi.SessionUser, error) {
	var user mstrapi.SessionUser
	var err error
	asked := false
	turn := make(chan struct{}, 1)
	return func() (mstrapi.SessionUser, error) {
		turn <- struct{}{}
		defer func() { <-turn }()
		if !asked {
			user, err = r.SessionUser(ctx)
			asked = true
		}
		return user, err
	}
}

// isFatal reports whether err makes it pointless to go on: nobody waits for the
// result any more, or every further request would fail as well.
func isFatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || mstrapi.IsAuth(err) || errors.Is(err, mstrapi.ErrUnreachable)
}

// each runs work for 0…n-1, several at a time, until one returns an error.
func (rd *reading) each(ctx context.Context, n int, work func(ctx context.Context, i int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	// A goroutine for each worker, not for each item: a request needs a deep
	// stack, which a new goroutine would have to grow.
	var next atomic.Int64
	for range min(rd.concurrency, n) {
		panics.Go(g, func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if gctx.Err() != nil {
					return context.Cause(gctx)
				}
				if err := work(gctx, i); err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// work is each, whose items are shown as progress.
func (rd *reading) work(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	rd.progress.grow(n)
	return rd.each(ctx, n, func(ctx context.Context, i int) error {
		defer rd.progress.add(1)
		return do(ctx, i)
	})
}

// meet adds a principal that nothing is known of but its row; nil if it is known already.
func (rd *reading) meet(row mstrapi.PrincipalRow) *Observed {
	if o := rd.st.byID[row.ID]; o != nil {
		o.Enabled = cmp.Or(o.Enabled, row.Enabled)
		return nil
	}
	o := &Observed{Principal: principalOf(row), Enabled: row.Enabled}
	rd.st.byID[row.ID] = o
	rd.noteParents(o, row.Memberships)
	return o
}

// noteParents keeps the memberships that a row came with. mu must be held
// or nobody else be reading.
func (rd *reading) noteParents(o *Observed, refs []mstrapi.ObjectRef) {
	if refs == nil || o.parents.known {
		return
	}
	o.parents = rd.parentList(refs)
	if o.Principal.Kind == mstrapi.Group {
		rd.st.parents[o.Principal.ID] = o.parents
	}
}

func (rd *reading) parentList(refs []mstrapi.ObjectRef) parentList {
	rd.in.mu.Lock()
	defer rd.in.mu.Unlock()
	list := parentList{known: true, ids: make([]mstrapi.ObjectID, 0, len(refs))}
	for _, ref := range refs {
		list.ids = append(list.ids, rd.st.refs.list[rd.st.refs.number(ref)].ID)
	}
	slices.Sort(list.ids)
	list.ids = slices.Compact(list.ids)
	return list
}

// everyoneReader is a reader that lists the members of the group Everyone where
// the server gives no list of users, and tells: [*mstrapi.Reader].
type everyoneReader interface {
	OnlyEveryone() bool
}

// onlyEveryone reports whether a list of users was one of the members of Everyone.
func (rd *reading) onlyEveryone() bool {
	r, ok := rd.r.(everyoneReader)
	return ok && r.OnlyEveryone()
}

// noteEveryone notes what onlyEveryone reports.
func (rd *reading) noteEveryone() {
	rd.st.onlyEveryone = rd.st.onlyEveryone || rd.onlyEveryone()
}

// phases counts what was done of each phase. It tells from one goroutine at a
// time.
type phases struct {
	tell func(phase string, done, total int)

	mu          sync.Mutex
	phase       string
	done, total int
}

func (p *phases) start(phase string, total int) {
	p.update(func() { p.phase, p.done, p.total = phase, 0, total })
}

func (p *phases) grow(n int) { p.update(func() { p.total += n }) }
func (p *phases) add(n int)  { p.update(func() { p.done += n }) }

func (p *phases) update(change func()) {
	if p.tell == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.tell(p.phase, p.done, p.total)
}

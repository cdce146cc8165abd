package planner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"privsync/mstrapi"
	"privsync/panics"
	"privsync/policy"
)

// ObserveOptions are what observing needs besides the reader and the policy.
type ObserveOptions struct {
	URL         string    // of the server, for the plan
	Concurrency int       // requests under way at once; 0: 8
	Now         time.Time // what expiring entries are judged at; zero: the present
	Judging     Judging   // whom the rules judge; zero: as a plan needs it
	Past        Past      // what earlier runs did; zero: not known
	Everybody   bool      // read all users and groups of the server, also those that no entry covers
	// Asked are privileges whose holders somebody asks for: it is found out whether
	// these are enabled.
	Asked Set
	// Catalogue is the server's, where it was read already; empty: it is read.
	Catalogue []mstrapi.Privilege
	// Progress, if not nil, is told of what was done, one call at a time: the
	// phases are "resolve" and "observe". total grows while more is found to do.
	Progress func(phase string, done, total int)
	Logger   *slog.Logger  // nil: none
	Licences *LicenceInput // what licences are counted with; nil: they are not
}

// ErrNotAllowed is matched by the error of [Observe] that says that the
// session's user may not read and change the privileges of others.
var ErrNotAllowed = errors.New("missing privilege")

// Observe reads what it takes to plan pol: whom it covers, what each of them
// holds and why, and of the groups around them what the projection needs. It
// sends as few requests as it can: one for each principal's privileges, and for
// the rest see the methods that read.
//
// What cannot be read about one principal does not end it: the principal
// becomes unknown, with a finding in the plan. An error means that nothing can
// be planned: ctx is over, the session is lost, the server has stopped answering
// ([mstrapi.ErrUnreachable]), the user lacks the privilege (an error that matches
// [ErrNotAllowed]), or the catalogue cannot be read.
func Observe(ctx context.Context, r Reader, pol *policy.Policy, o ObserveOptions) (*State, error) {
	ob := &observer{
		r: r, pol: pol, o: o,
		progress:   &phases{tell: o.Progress},
		lists:      make(map[mstrapi.Kind][]mstrapi.PrincipalRow),
		listErr:    make(map[mstrapi.Kind]error),
		memberRows: make(map[memberKey][]mstrapi.PrincipalRow),
		st: &State{
			Level:      mstrapi.Level(cmp.Or(pol.Scope, policy.LevelServer)),
			Now:        cmp.Or(o.Now, time.Now()),
			byID:       make(map[mstrapi.ObjectID]*Observed, len(pol.Principals)),
			byEntry:    make([]*Observed, len(pol.Principals)),
			parents:    make(map[mstrapi.ObjectID]parentList),
			members:    make(map[mstrapi.ObjectID]*memberList),
			memberRows: make(map[mstrapi.ObjectID][]mstrapi.PrincipalRow),
			judging:    o.Judging,
			everybody:  o.Everybody,
			past:       o.Past.sorted(),
			licences:   o.Licences.prepare(),
			known:      make(map[mstrapi.Kind]int),
			reached:    make(map[mstrapi.ObjectID]bool),
			expanded:   make(map[mstrapi.ObjectID]bool),
			failed:     make(map[int]error),
			unresolved: make(map[int]bool),
			except:     make(map[[2]int]Principal),
		},
	}
	if ob.o.Concurrency < 1 {
		ob.o.Concurrency = 8
	}
	if ob.o.Logger == nil {
		ob.o.Logger = slog.New(slog.DiscardHandler)
	}
	ob.in = newInterner(&ob.st.refs)
	if err := ob.observe(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	return ob.st, nil
}

// observer reads a state.
type observer struct {
	r        Reader
	pol      *policy.Policy
	o        ObserveOptions
	progress *phases

	st      *State
	in      *interner
	mu      sync.Mutex // guards st while several workers read
	lookups map[mstrapi.Kind]*lookups
	lists   map[mstrapi.Kind][]mstrapi.PrincipalRow // whole lists, as far as they were read
	listErr map[mstrapi.Kind]error                  // of whole lists that are needed
	// everyone are the members of the group Everyone, nil until read.
	everyone   map[mstrapi.ObjectID]mstrapi.PrincipalRow
	memberRows map[memberKey][]mstrapi.PrincipalRow
	session    func() (mstrapi.SessionUser, error) // asks once who the session's user is
	// unprotected says that it is not known who is protected: nobody counts as unlisted.
	unprotected bool
}

func (ob *observer) observe(ctx context.Context) error {
	ob.session = sync.OnceValues(func() (mstrapi.SessionUser, error) { return ob.r.SessionUser(ctx) })
	if err := ob.readServerAndResolve(ctx); err != nil {
		return err
	}
	st := ob.st
	requires := func(r policy.Rule) bool { return len(r.Require) > 0 }
	if rows := ob.lists[mstrapi.User]; rows != nil && slices.ContainsFunc(ob.pol.Rules, requires) {
		st.setUsers(rows)
	}
	if err := ob.learnEnabled(ctx); err != nil {
		return err
	}
	ob.dropGone()
	if err := ob.countKnown(ctx); err != nil {
		return err
	}
	if err := ob.readApart(ctx); err != nil {
		return err
	}
	ob.lookups, ob.lists, ob.everyone, ob.memberRows = nil, nil, nil, nil
	ob.progress.start("observe", 0)
	g, gctx := errgroup.WithContext(ctx)
	todo := slices.Concat(st.covered, st.unlisted, st.strangers)
	panics.Go(g, func() error { return ob.readHeld(gctx, todo) })
	// To read takes longer than to sort.
	slices.SortFunc(st.covered, compareObserved)
	slices.SortFunc(st.unlisted, compareObserved)
	slices.SortFunc(st.strangers, compareObserved)
	slices.SortFunc(st.protected, func(a, b Principal) int { return a.Compare(&b) })
	if err := g.Wait(); err != nil {
		return err
	}
	ob.dropGone()
	c := compile(ob.pol, newPrivilegeIndex(st.Catalogue, st.Level), st.Now)
	for {
		if err := ob.settleRoles(ctx, c); err != nil {
			return err
		}
		d := evaluate(c, st)
		if d.needs.isEmpty() {
			if err := ob.learnHoldersEnabled(ctx); err != nil {
				return err
			}
			ob.noteEveryone()
			return cmp.Or(ob.readPast(ctx), ctx.Err())
		}
		ob.o.Logger.DebugContext(ctx, "reading more of the groups", "held", len(d.needs.held), "memberships", len(d.needs.parents),
			"users", len(d.needs.users), "changed groups", len(d.needs.count)+len(d.needs.expand), "others", len(d.needs.principals))
		if err := ob.fetch(ctx, d.needs); err != nil {
			return err
		}
		ob.dropGone()
	}
}

// isFatal reports whether err makes it pointless to go on: nobody waits for the
// result any more, or every further request would fail as well.
func (ob *observer) isFatal(ctx context.Context, err error) bool {
	return ctx.Err() != nil || mstrapi.IsAuth(err) || errors.Is(err, mstrapi.ErrUnreachable)
}

// each runs work for 0…n-1, several at a time, until one returns an error.
func (ob *observer) each(ctx context.Context, n int, work func(ctx context.Context, i int) error) error {
	g, gctx := errgroup.WithContext(ctx)
	// A goroutine for each worker, not for each item: a request needs a deep
	// stack, which a new goroutine would have to grow.
	var next atomic.Int64
	for range min(ob.o.Concurrency, n) {
		panics.Go(g, func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := gctx.Err(); err != nil {
					return err
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
func (ob *observer) work(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ob.progress.grow(n)
	return ob.each(ctx, n, func(ctx context.Context, i int) error {
		defer ob.progress.add(1)
		return do(ctx, i)
	})
}

// readServerAndResolve does both at once. That the session's user may not do
// this at all is the more useful error, so it comes first.
func (ob *observer) readServerAndResolve(ctx context.Context) error {
	rctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resolved := make(chan error, 1)
	go func() { resolved <- panics.Catch(func() error { return ob.resolve(rctx) }) }()
	err := ob.readServer(ctx)
	if err != nil {
		cancel()
	}
	return cmp.Or(err, <-resolved)
}

// readServer reads what is the same for every policy: who is asking, the
// server's versions, its catalogue, and whether the user may do this at all.
func (ob *observer) readServer(ctx context.Context) error {
	st := ob.st
	var status mstrapi.Status
	g, gctx := errgroup.WithContext(ctx)
	panics.Go(g, func() error {
		var err error
		if status, err = ob.r.Status(gctx); err != nil {
			if ob.isFatal(gctx, err) {
				return err
			}
			ob.o.Logger.WarnContext(gctx, "the server's versions are not known", "error", err)
		}
		return nil
	})
	panics.Go(g, func() error {
		who, err := ob.session()
		if err != nil && !mstrapi.IsRouteMissing(err) {
			return fmt.Errorf("who the session's user is: %w", err)
		}
		st.Actor = Actor{ID: who.ID, Name: who.FullName}
		return nil
	})
	panics.Go(g, func() error {
		list, err := slices.Clone(ob.o.Catalogue), error(nil)
		if len(list) == 0 {
			list, err = ob.r.Catalogue(gctx)
		}
		if err != nil {
			return fmt.Errorf("catalogue of privileges: %w", err)
		}
		if len(list) == 0 {
			return fmt.Errorf("catalogue of privileges: no privileges: %w", mstrapi.ErrIncomplete)
		}
		for i := range list {
			list[i].Description = ""
		}
		slices.SortFunc(list, func(a, b mstrapi.Privilege) int { return cmp.Compare(a.ID, b.ID) })
		st.Catalogue, st.odd = list, ob.r.OddPrivileges()
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	st.Environment = Environment{URL: ob.o.URL, IServerVersion: status.IServerVersion, WebVersion: status.WebVersion}
	return ob.checkAllowed(ctx)
}

// checkAllowed makes sure that the session's user has the privilege to read and
// change the privileges of others, before anything else fails less clearly, and
// notes what it works with.
func (ob *observer) checkAllowed(ctx context.Context) error {
	var named []policy.Ref
	if ob.pol.Safety != nil {
		named = ob.pol.Safety.OwnPrivileges
	}
	var err error
	ob.st.work, err = identifyWork(ctx, ob.r, ob.st.Actor, ob.st.Catalogue, named)
	switch {
	case err != nil:
		return err
	case !ob.st.work.identified:
		ob.o.Logger.WarnContext(ctx, "the catalogue has no such privilege, so whether the session's user has it is not checked", "privilege", ManagerPrivilege)
	case ob.st.work.untold:
		ob.o.Logger.InfoContext(ctx, "the server does not tell whether the session's user has the privilege", "privilege", ManagerPrivilege)
	}
	return nil
}

// readHeld reads what each of the list holds: one request for each.
func (ob *observer) readHeld(ctx context.Context, list []*Observed) error {
	return ob.work(ctx, len(list), func(ctx context.Context, i int) error { return ob.readOne(ctx, list[i]) })
}

// readOne reads what o holds; that it cannot is noted in o.
func (ob *observer) readOne(ctx context.Context, o *Observed) error {
	if o.Err != nil {
		return nil
	}
	for again := false; ; again = true {
		seen, err := ob.look(ctx, o.Principal.Kind, o.Principal.ID)
		if err == nil {
			ob.in.put(o, seen)
			return nil
		}
		if fatal := ob.settle(ctx, o, err); fatal != nil || again || o.gone || !mstrapi.IsNotFound(err) {
			return fatal
		}
		o.Err = nil // it is there after all: the answer was of a moment
	}
}

// look is [ReadPrincipal] with what the observation has beyond the scope.
func (ob *observer) look(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (Observation, error) {
	at := time.Now()
	held, err := ob.r.Held(ctx, kind, id, ob.level())
	beyond := ob.splitBeyond(held)
	seen, err := observation(kind, id, ob.st.Level, at, held, err)
	seen.beyond = beyond
	return seen, err
}

// noteParents keeps the memberships that a row came with. ob.mu must be held
// or nobody else be reading.
func (ob *observer) noteParents(o *Observed, refs []mstrapi.ObjectRef) {
	if refs == nil || o.parents.known {
		return
	}
	o.parents = ob.parentList(refs)
	if o.Principal.Kind == mstrapi.Group {
		ob.st.parents[o.Principal.ID] = o.parents
	}
}

func (ob *observer) parentList(refs []mstrapi.ObjectRef) parentList {
	ob.in.mu.Lock()
	defer ob.in.mu.Unlock()
	list := parentList{known: true, ids: make([]mstrapi.ObjectID, 0, len(refs))}
	for _, ref := range refs {
		list.ids = append(list.ids, ob.st.refs.list[ob.st.refs.number(ref)].ID)
	}
	slices.Sort(list.ids)
	list.ids = slices.Compact(list.ids)
	return list
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

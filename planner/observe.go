package planner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"privsync/mstrapi"
	"privsync/panics"
	"privsync/policy"
)

// ObserveOptions are what observing needs besides the reader and the policy.
type ObserveOptions struct {
	URL         string    // of the server, for the plan
	Concurrency int       // requests under way at once; 0: [mstrapi.DefaultConcurrency]
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
	ob := &observer{pol: pol, o: o, reading: newReading(ctx, r, o.Concurrency)}
	ob.log, ob.progress.tell = cmp.Or(o.Logger, ob.log), o.Progress
	ob.st = &State{
		Level:      mstrapi.Level(pol.Scope),
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

// observer reads a state: the server and whom the policy names at once, then what
// each of them holds, then what an evaluation of that lacks.
type observer struct {
	*reading
	pol *policy.Policy
	o   ObserveOptions
}

func (ob *observer) observe(ctx context.Context) error {
	if err := ob.readServerAndResolve(ctx); err != nil {
		return err
	}
	st := ob.st
	ob.dropGone()
	if err := ob.countKnown(ctx); err != nil {
		return err
	}
	if err := ob.readApart(ctx); err != nil {
		return err
	}
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
		ob.log.DebugContext(ctx, "reading more of the groups", "held", len(d.needs.held), "memberships", len(d.needs.parents),
			"users", len(d.needs.users), "changed groups", len(d.needs.count)+len(d.needs.expand), "others", len(d.needs.principals))
		if err := ob.fetch(ctx, d.needs); err != nil {
			return err
		}
		ob.dropGone()
	}
}

// readServerAndResolve does both at once. That the session's user may not do
// this at all is the more useful error, so it comes first. What the lists told ends
// with it, but for what the state needs.
func (ob *observer) readServerAndResolve(ctx context.Context) error {
	rctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rs := newResolver(ob.reading, ob.pol)
	resolved := make(chan error, 1)
	go func() { resolved <- panics.Catch(func() error { return rs.resolve(rctx) }) }()
	err := ob.readServer(ctx)
	if err != nil {
		cancel()
	}
	if err := cmp.Or(err, <-resolved); err != nil {
		return err
	}
	requires := func(r policy.Rule) bool { return len(r.Require) > 0 }
	if rows := rs.names[mstrapi.User].all; rows != nil && slices.ContainsFunc(ob.pol.Rules, requires) {
		ob.st.setUsers(rows)
	}
	return ob.learnEnabled(ctx, rs.everyone)
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
			if isFatal(gctx, err) {
				return err
			}
			ob.log.WarnContext(gctx, "the server's versions are not known", "error", err)
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
		ob.log.WarnContext(ctx, "the catalogue has no such privilege, so whether the session's user has it is not checked", "privilege", ManagerPrivilege)
	case ob.st.work.untold:
		ob.log.InfoContext(ctx, "the server does not tell whether the session's user has the privilege", "privilege", ManagerPrivilege)
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

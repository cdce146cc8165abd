package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
)

// A calamity is what goes wrong in a night.
type calamity struct {
	name          string
	faults        []mstrtest.Fault // Rate 1 stands for the night's rate
	administrator bool             // somebody else changes grants meanwhile
	along         bool             // writes have side effects
	late          bool             // writes are carried out late, or readings are old
	quirks        mstrtest.Quirks  // of the server's, besides those that are drawn
	odd           oddities
}

// calamities returns every kind of fault alone, another administrator alone, and
// all of them together.
func calamities() []calamity {
	const retryAfter = 7 * time.Second
	alone := func(name string, f mstrtest.Fault) calamity {
		f.Rate = 1
		return calamity{name: name, faults: []mstrtest.Fault{f}}
	}
	list := []calamity{
		alone("429", mstrtest.Fault{Kind: mstrtest.TooManyRequests}),
		alone("429, Retry-After seconds", mstrtest.Fault{Kind: mstrtest.TooManyRequests, RetryAfter: retryAfter}),
		alone("429, Retry-After date", mstrtest.Fault{Kind: mstrtest.TooManyRequests, RetryAfter: retryAfter, RetryAfterDate: true}),
		alone("503", mstrtest.Fault{Kind: mstrtest.Unavailable}),
		alone("503, Retry-After seconds", mstrtest.Fault{Kind: mstrtest.Unavailable, RetryAfter: retryAfter}),
		alone("503, Retry-After date", mstrtest.Fault{Kind: mstrtest.Unavailable, RetryAfter: retryAfter, RetryAfterDate: true}),
		alone("503 after processing", mstrtest.Fault{Kind: mstrtest.Unavailable, Processed: true}),
		alone("500", mstrtest.Fault{Kind: mstrtest.ServerError}),
		alone("500 after processing", mstrtest.Fault{Kind: mstrtest.ServerError, Processed: true}),
		alone("502", mstrtest.Fault{Kind: mstrtest.BadGateway}),
		alone("504", mstrtest.Fault{Kind: mstrtest.GatewayTimeout}),
		alone("504 after processing", mstrtest.Fault{Kind: mstrtest.GatewayTimeout, Processed: true}),
		alone("408 after processing", mstrtest.Fault{Kind: mstrtest.RequestTimeout, Processed: true}),
		alone("iserver timeout, processed", mstrtest.Fault{Kind: mstrtest.IServerTimeout, Processed: true}),
		alone("reset before", mstrtest.Fault{Kind: mstrtest.ResetBefore}),
		alone("reset after processing", mstrtest.Fault{Kind: mstrtest.ResetAfter}),
		alone("hang", mstrtest.Fault{Kind: mstrtest.Hang}),
		alone("hang after processing", mstrtest.Fault{Kind: mstrtest.Hang, Processed: true}),
		alone("body cut, connection broken", mstrtest.Fault{Kind: mstrtest.CutBody}),
		alone("body cut, JSON broken", mstrtest.Fault{Kind: mstrtest.CutJSON}),
		alone("HTML page with 200", mstrtest.Fault{Kind: mstrtest.HTMLPage}),
		alone("empty body", mstrtest.Fault{Kind: mstrtest.EmptyBody}),
		alone("session expires", mstrtest.Fault{Kind: mstrtest.ExpireSession}),
		alone("lying write", mstrtest.Fault{Kind: mstrtest.LyingWrite}),
		alone("403 to writes", mstrtest.Fault{Kind: mstrtest.Forbidden, Method: http.MethodPatch}),
		alone("short page", mstrtest.Fault{Kind: mstrtest.ShortPage}),
		alone("row lost from page", mstrtest.Fault{Kind: mstrtest.LostRow}),
		alone("row repeated in page", mstrtest.Fault{Kind: mstrtest.DuplicateRow}),
		{name: "another administrator", administrator: true},
		{name: "writes carried out late", late: true, faults: []mstrtest.Fault{{Kind: mstrtest.LateWrite, Rate: 1, Delay: 5 * time.Second}}},
		{name: "writes carried out very late", late: true, faults: []mstrtest.Fault{{Kind: mstrtest.LateWrite, Rate: 1, Delay: 5 * time.Minute}}},
		{name: "old readings", late: true, faults: []mstrtest.Fault{{Kind: mstrtest.OldRead, Rate: 1, Delay: 4 * time.Second}}},
		{name: "side effects", along: true},
		{name: "lagging sessions", quirks: mstrtest.Quirks{SessionLag: 1500 * time.Millisecond}},
		{name: "lagging sessions that expire", quirks: mstrtest.Quirks{SessionLag: 1500 * time.Millisecond}, faults: []mstrtest.Fault{{Kind: mstrtest.ExpireSession, Rate: 1}}},
		{name: "quoted cookies", quirks: mstrtest.Quirks{QuotedCookies: true}, faults: []mstrtest.Fault{{Kind: mstrtest.ExpireSession, Rate: 1}}},
		{name: "odd catalogue", quirks: mstrtest.Quirks{OddCatalogue: true}, odd: oddities{nameless: true}},
		{name: "gone principals", odd: oddities{ghosts: true}},
		{name: "doubled names", odd: oddities{doubled: true}},
		{name: "guests", odd: oddities{guests: true}},
	}
	mixed := calamity{name: "all mixed", administrator: true, along: true, late: true, quirks: mstrtest.Quirks{SessionLag: 1500 * time.Millisecond, QuotedCookies: true, OddCatalogue: true}, odd: oddities{doubled: true, nameless: true, guests: true, ghosts: true}}
	for _, c := range list {
		mixed.faults = append(mixed.faults, c.faults...)
	}
	// A login whose answer is lost leaves a session to expire, so these come
	// before it is carried out.
	for _, k := range []mstrtest.FaultKind{mstrtest.TooManyRequests, mstrtest.ResetBefore} {
		mixed.faults = append(mixed.faults, mstrtest.Fault{Kind: k, Path: "/auth/login$", Rate: 1})
	}
	return append(list, mixed)
}

// A tally counts what happened in the nights of one calamity.
type tally struct {
	nights, noLogin, unplanned, incomplete int
	struck, foreign                        int
	requests, retries, writes              int64
	outcomes                               map[executor.Outcome]int
	runs                                   map[executor.RunOutcome]int
}

func (a *tally) add(b tally) {
	a.nights += b.nights
	a.noLogin += b.noLogin
	a.unplanned += b.unplanned
	a.incomplete += b.incomplete
	a.struck += b.struck
	a.foreign += b.foreign
	a.requests += b.requests
	a.retries += b.retries
	a.writes += b.writes
	if a.outcomes == nil {
		a.outcomes, a.runs = make(map[executor.Outcome]int), make(map[executor.RunOutcome]int)
	}
	for k, n := range b.outcomes {
		a.outcomes[k] += n
	}
	for k, n := range b.runs {
		a.runs[k] += n
	}
}

// TestChaos runs nights in which the server misbehaves in every way that the
// simulator knows, each alone and all mixed, at up to 30 % of all requests, on
// random servers with random policies. However a night goes: the report is true
// line by line, what could not be read is not taken for empty, nothing outside
// the policy is touched, nobody loses anything in passing, and a run in peace
// finishes the work. PRIVSYNC_CHAOS is how many servers there are; each has a
// night with everything mixed and some with one kind alone.
func TestChaos(t *testing.T) {
	servers := caseCount(t, "PRIVSYNC_CHAOS", 40)
	all := calamities()
	alone := len(all) - 1
	each := alone
	if os.Getenv("PRIVSYNC_CHAOS") == "" {
		each = 4
	}
	var mu sync.Mutex
	tallies := make([]tally, len(all))
	t.Run("nights", func(t *testing.T) {
		for i, c := range all {
			step := uint64(1)
			if i == alone {
				step = 4 // the longest: in four parts
			}
			for from := range step {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					var sum tally
					for seed := from; seed < uint64(servers); seed += step {
						// Every server sees the mixed night, and some of the others in turn.
						if i < alone && (i-int(seed)*each%alone+alone)%alone >= each {
							continue
						}
						synctest.Test(t, func(t *testing.T) {
							n := &night{t: t, calamity: c, seed: seed}
							n.run()
							sum.add(n.tally)
						})
						if t.Failed() {
							t.Errorf("seed %d", seed)
							break
						}
					}
					mu.Lock()
					defer mu.Unlock()
					tallies[i].add(sum)
				})
			}
		}
	})
	t.Log(table(all, tallies))
}

// table writes what happened, one line for each calamity.
func table(all []calamity, tallies []tally) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	outcomes := []executor.Outcome{executor.InSync, executor.Applied, executor.Drifted, executor.Failed, executor.Unverified, executor.HeldBack, executor.Stale, executor.NotAttempted, executor.UnknownState}
	fmt.Fprint(w, "\nfault\tnights\tstruck\trequests\tretries\twrites\tno login\tno plan\tincomplete\t")
	for _, o := range outcomes {
		fmt.Fprintf(w, "%s\t", o)
	}
	fmt.Fprintln(w)
	var sum tally
	line := func(name string, s tally) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t", name, s.nights, s.struck+s.foreign, s.requests, s.retries, s.writes, s.noLogin, s.unplanned, s.incomplete)
		for _, o := range outcomes {
			fmt.Fprintf(w, "%d\t", s.outcomes[o])
		}
		fmt.Fprintln(w)
	}
	for i, c := range all {
		line(c.name, tallies[i])
		sum.add(tallies[i])
	}
	line("together", sum)
	w.Flush()
	return b.String()
}

// night is one run under one calamity on one server, and one in peace after it.
type night struct {
	*world
	calamity
	t     *testing.T
	seed  uint64
	tally tally
	rng   *rand.Rand
	sim   *mstrtest.Server

	flatIgnored bool
	peaceful    bool
	disturbed   atomic.Bool
	mu          sync.Mutex // guards what follows
	others      map[holding]bool
	admin       *rand.Rand
}

func (n *night) run() {
	n.rng = rand.New(rand.NewPCG(n.seed, 7))
	n.tally.nights = 1
	n.tally.outcomes, n.tally.runs = make(map[executor.Outcome]int), make(map[executor.RunOutcome]int)
	var err error
	n.world, err = newWorld(n.rng, worldOptions{odd: n.calamity.odd, size: mstrtest.Size{
		Users: 3 + n.rng.IntN(7), Groups: 2 + n.rng.IntN(7), Privileges: 6 + n.rng.IntN(8), Depth: 7,
	}})
	if err != nil {
		n.t.Fatalf("policy: %v\n%s", err, n.text)
	}
	o := mstrtest.Options{SourceStyle: mstrtest.SourceStyle(n.rng.IntN(2)), PageCap: []int{0, 2, 4, 7}[n.rng.IntN(4)]}
	o.Quirks = n.quirks
	n.put(&o.Quirks)
	o.Quirks.WholeRows = n.rng.IntN(3) == 0
	n.flatIgnored = n.rng.IntN(3) == 0
	o.Quirks.FlatIgnored = n.flatIgnored
	o.Quirks.WrappedErrors = n.rng.IntN(3) == 0
	n.sim = n.serve(o)
	defer n.sim.Close()
	before := n.direct(n.sim)

	n.disturb()
	n.storm(before)
	n.calm()
	n.peace()

	if !n.along {
		for _, wrong := range n.trespasses(n.sim, before, n.others) {
			n.t.Error(wrong)
		}
	}
	for _, lost := range n.sim.LossesInPassing(nil) {
		if !n.along && !n.forgiven(lost) {
			n.t.Errorf("lost in passing: %+v", lost)
		}
	}
	if n.t.Failed() {
		n.t.Logf("%s, seed %d\npolicy:\n%s\nserver:\n%s", n.name, n.seed, n.text, n.serve(o).Dump())
		for _, q := range n.sim.Log() {
			if q.Method != http.MethodGet || q.Fault != "" {
				n.t.Logf("%d %s %s %d %q %s", q.N, q.Method, q.Path, q.Status, q.Fault, q.Body)
			}
		}
	}
}

// forgiven reports whether a loss that was made good later is no fault: it was
// forbidden to the principal and came back through a group, or another
// administrator had a hand in the privilege.
func (n *night) forgiven(l mstrtest.Loss) bool {
	if w := n.wants[l.Principal]; w != nil && w.forbidden.Has(l.Privilege) {
		return true
	}
	for h := range n.others {
		if h.privilege == l.Privilege {
			return true
		}
	}
	return false
}

// disturb begins the trouble.
func (n *night) disturb() {
	rate := []float64{.05, .1, .2, .3}[n.rng.IntN(4)]
	kinds := len(n.faults)
	for i, f := range n.faults {
		f.Seed = n.seed*1000 + uint64(i)
		if f.Rate = rate; kinds > 1 {
			// Together the kinds strike at the rate of the night; those that fit few
			// requests have their chance all the same.
			f.Rate = rate / 4
			if f.Kind != mstrtest.LyingWrite && f.Method == "" && f.Path == "" {
				f.Rate = rate / float64(kinds)
			}
		}
		if err := n.sim.Inject(f); err != nil {
			n.t.Fatal(err)
		}
	}
	n.others = make(map[holding]bool)
	if n.along {
		n.sim.SetSideEffects(n.relation())
	}
	if !n.administrator {
		return
	}
	n.disturbed.Store(true)
	n.admin = rand.New(rand.NewPCG(n.seed, 9))
	var ids []mstrapi.ObjectID
	for id := range n.parents() {
		if !slices.Contains(n.world.odd.Ghosts, id) { // nobody grants what is not there
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	privileges := n.scope.Minus(planner.SetOf(managerID)).IDs()
	privileges = privileges[:min(len(privileges), 3)]
	n.sim.OnRequest(func(int, *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !n.disturbed.Load() || len(privileges) == 0 || n.admin.Float64() >= rate/2 {
			return
		}
		h := holding{ids[n.admin.IntN(len(ids))], privileges[n.admin.IntN(len(privileges))]}
		change := n.sim.Grant
		if n.admin.IntN(2) == 0 {
			change = n.sim.Revoke
		}
		n.others[h] = true
		n.tally.foreign++
		if err := change(h.id, h.privilege); err != nil {
			n.t.Error(err)
		}
	})
}

// relation draws which privileges need which others: without end, a privilege
// needs one of a smaller number only.
func (n *night) relation() []mstrtest.SideEffect {
	ids := n.scope.Minus(planner.SetOf(managerID)).IDs()
	var out []mstrtest.SideEffect
	for i := 1; i < len(ids); i++ {
		if n.rng.IntN(3) == 0 {
			out = append(out, mstrtest.SideEffect{Privilege: ids[i], Needs: []mstrapi.PrivilegeID{ids[n.rng.IntN(i)]}})
		}
	}
	return out
}

// calm ends the trouble, once what is late has come.
func (n *night) calm() {
	time.Sleep(10 * time.Minute)
	n.sim.SetSideEffects(nil)
	for _, count := range n.sim.Struck() {
		n.tally.struck += count
	}
	n.disturbed.Store(false)
	n.sim.ClearFaults()
}

// storm plans and applies while everything goes wrong.
func (n *night) storm(before map[mstrapi.ObjectID]planner.Set) {
	t := n.t
	told := &retries{}
	cfg := config(n.sim)
	cfg.Concurrency = 1 + n.rng.IntN(6)
	cfg.Rate = []float64{0, 50}[n.rng.IntN(2)]
	cfg.Timeout = 10 * time.Second
	cfg.MaxAttempts = 2 + n.rng.IntN(5)
	cfg.Logger = slog.New(told)
	w, err := mstrapi.OpenWriter(t.Context(), cfg)
	if err != nil {
		n.tally.noLogin++
		for _, q := range n.sim.Log() {
			if q.Endpoint != mstrtest.Login {
				t.Errorf("%s %s without a login", q.Method, q.Path)
			}
		}
		return
	}
	defer func() {
		stats := w.Stats()
		n.tally.requests += stats.Requests
		n.tally.retries += stats.Retries
		if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("logout: %v", err)
		}
		n.checkSessions()
		if told.count < stats.Retries {
			t.Errorf("%d retries, of which the log tells %d", stats.Retries, told.count)
		}
		for _, wrong := range told.wrong {
			t.Error(wrong)
		}
		n.tally.writes += int64(len(n.sim.Writes()))
	}()
	state, plan, err := n.plan(t.Context(), w, cfg.Concurrency)
	if err != nil {
		n.tally.unplanned++
		if plan != nil || len(n.sim.Writes()) > 0 {
			t.Errorf("writes without a plan: %v", err)
		}
		var api *mstrapi.Error
		if !errors.As(err, &api) && !errors.Is(err, mstrapi.ErrIncomplete) {
			t.Errorf("the error does not say which request failed: %v", err)
		}
		return
	}
	n.checkState(state, plan, before)
	o := executor.Options{
		RunID: "storm", Concurrency: cfg.Concurrency, MaxAttempts: 1 + n.rng.IntN(6), Stats: w.Stats,
		Saved: n.rng.IntN(3) == 0, InSync: executor.InSyncOf(state, plan),
	}
	if len(plan.Blocking()) > 0 {
		t.Fatalf("findings stop the plan: %+v", plan.Findings)
	}
	if !plan.Complete {
		n.tally.incomplete++
		r := executor.Apply(t.Context(), w, plan, o)
		if r.Run.Outcome != executor.RunRefused || executor.ExitCode(r) != executor.ExitError || len(n.sim.Writes()) > 0 {
			t.Errorf("an incomplete plan ends as %s, exit code %d", r.Run.Outcome, executor.ExitCode(r))
		}
		reportBytes(t, r)
		o.AllowIncomplete = true
	}
	from := len(n.sim.Log())
	r := executor.Apply(t.Context(), w, plan, o)
	n.checkReport(r, before, n.sim.Log()[from:])
	if o.Saved {
		n.checkReadFirst(n.sim.Log()[from:])
	}
	if sent := int64(len(n.sim.Log())); r.Summary.Requests != sent {
		t.Errorf("%d requests by the report, the server saw %d", r.Summary.Requests, sent)
	}
	for _, p := range r.Principals {
		n.tally.outcomes[p.Outcome]++
	}
	n.tally.runs[r.Run.Outcome]++
}

// checkReadFirst checks that nobody is written to before being read again.
func (n *night) checkReadFirst(log []mstrtest.Request) {
	read := make(map[string]bool)
	for _, q := range log {
		if path, ok := strings.CutSuffix(q.Path, "/privileges"); ok && q.Status == http.StatusOK {
			read[path] = true
		}
		if q.Method == http.MethodPatch && !read[q.Path] {
			n.t.Errorf("%s is written by a saved plan and was not read before", q.Path)
		}
	}
}

// checkReport checks every line of the report.
func (n *night) checkReport(r *executor.Report, before map[mstrapi.ObjectID]planner.Set, log []mstrtest.Request) {
	n.t.Helper()
	reportBytes(n.t, r)
	n.mu.Lock()
	others := maps.Clone(n.others)
	n.mu.Unlock()
	for _, wrong := range n.lies(n.sim, r, before, log, doing{others: others, along: n.along && !n.peaceful, late: n.late && !n.peaceful}) {
		n.t.Error(wrong)
	}
	for _, p := range r.Principals {
		if p.Outcome == executor.InSync && !n.administrator {
			if excess := n.excess(n.sim, p.Principal.ID); !excess.IsEmpty() {
				n.t.Errorf("%s is reported in sync and holds %v", p.Principal.ID, excess.IDs())
			}
		}
	}
	undone := r.Summary.Drifted + r.Summary.Failed + r.Summary.Stale + r.Summary.HeldBack + r.Summary.Unverified + r.Summary.NotAttempted + r.Summary.Unknown
	if code := executor.ExitCode(r); undone > 0 && code != executor.ExitIncomplete {
		n.t.Errorf("exit code %d with %d principals undone", code, undone)
	} else if good := r.Run.Outcome == executor.RunSucceeded || r.Run.Outcome == executor.RunInSync; good != (code == executor.ExitOK) || good && undone > 0 {
		n.t.Errorf("run %s, exit code %d, %d principals undone", r.Run.Outcome, code, undone)
	}
}

// checkSessions checks logins and logouts, once the client is closed.
func (n *night) checkSessions() {
	logins, closed := 0, false
	for _, q := range n.sim.Log() {
		switch {
		case q.Endpoint == mstrtest.Logout:
			closed = true
		case closed: // but for logouts of sessions that were given up
			n.t.Errorf("%s %s after the logout", q.Method, q.Path)
		case q.Endpoint == mstrtest.Login && q.Fault == "":
			logins++
		}
	}
	if lost := n.sim.Struck()[mstrtest.ExpireSession]; logins > lost+3 {
		n.t.Errorf("%d logins for %d lost sessions", logins, lost)
	}
	if open := n.sim.OpenSessions(); open != 0 {
		n.t.Errorf("%d sessions are open", open)
	}
}

// checkState checks what was read: all of it or nothing; and what was planned
// where something could not be read.
func (n *night) checkState(state *planner.State, plan *planner.Plan, before map[mstrapi.ObjectID]planner.Set) {
	t := n.t
	unread := make(map[mstrapi.ObjectID]bool)
	for o := range state.Principals() {
		if o.Err != nil {
			unread[o.Principal.ID] = true
			continue
		}
		if n.administrator {
			continue
		}
		if want := before[o.Principal.ID].Intersect(n.scope); !o.Direct.Equal(want) {
			t.Errorf("%s: read as %v, true is %v", o.Principal.ID, o.Direct.IDs(), want.IDs())
		}
		if want := planner.SetOf(n.sim.Inherited(o.Principal.ID)...).Intersect(n.scope); !o.Inherited.Equal(want) {
			t.Errorf("%s: read as inheriting %v, true is %v", o.Principal.ID, o.Inherited.IDs(), want.IDs())
		}
	}
	told := make(map[mstrapi.ObjectID]bool)
	failed := false
	for _, f := range plan.Findings {
		if f.Code == planner.CodeReadFailed {
			failed = true
			if f.Principal != nil {
				told[f.Principal.ID] = true
			}
		}
	}
	if plan.Complete == failed || len(unread) > 0 && plan.Complete {
		t.Errorf("complete: %v with %d principals unread and findings %v", plan.Complete, len(unread), failed)
	}
	for id := range unread {
		if !told[id] {
			t.Errorf("%s could not be read, and no finding says so", id)
		}
	}
	for _, c := range plan.Changes {
		if unread[c.Principal.ID] {
			t.Errorf("%s could not be read and is to be changed", c.Principal.ID)
		}
	}
	if n.administrator {
		return
	}
	// A plan in peace, on a server of its own, is what this one should be, or a
	// part of what this one should be.
	var o mstrtest.Options
	n.put(&o.Quirks)
	sim := n.serve(o)
	defer sim.Close()
	r, err := mstrapi.OpenReader(t.Context(), config(sim))
	if err != nil {
		t.Fatal(err)
	}
	_, calm, err := n.plan(t.Context(), r, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if plan.Complete {
		calm, storm := withoutEffects(calm), withoutEffects(plan)
		if n.flatIgnored {
			// How many users a change reaches goes by the first page of members,
			// which may hold no group on such a server.
			for _, changes := range [][]planner.Change{calm.Changes, storm.Changes} {
				for i := range changes {
					changes[i].Impact = planner.Impact{}
				}
			}
		}
		if diff := cmp.Diff(indented(calm.Changes), indented(storm.Changes)); diff != "" {
			t.Errorf("changes differ from those of a plan in peace (-peace +storm):\n%s", diff)
		}
		return
	}
	revokes := make(map[mstrapi.ObjectID]planner.Set)
	for _, c := range calm.Changes {
		revokes[c.Principal.ID] = numbers(c.Revoke)
	}
	for _, c := range plan.Changes {
		if extra := numbers(c.Revoke).Minus(revokes[c.Principal.ID]); !extra.IsEmpty() {
			t.Errorf("%s loses %v by an incomplete plan and not by a complete one", c.Principal.ID, extra.IDs())
		}
		if w := n.wants[c.Principal.ID]; w == nil || !numbers(c.Grant).Minus(w.listed).IsEmpty() {
			t.Errorf("%s is granted what is not listed by an incomplete plan", c.Principal.ID)
		}
	}
}

func indented(v any) string {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// peace runs once more without any trouble: it finishes the work.
func (n *night) peace() {
	t := n.t
	n.peaceful = true
	before := n.direct(n.sim)
	from := len(n.sim.Log())
	w, err := mstrapi.OpenWriter(t.Context(), config(n.sim))
	if err != nil {
		t.Fatal(err)
	}
	state, plan, err := n.plan(t.Context(), w, 4)
	if err != nil {
		t.Fatal(err)
	}
	r := executor.Apply(t.Context(), w, plan, executor.Options{RunID: "peace", Stats: w.Stats, InSync: executor.InSyncOf(state, plan)})
	others := n.others
	n.others = nil
	n.checkReport(r, before, n.sim.Log()[from:])
	n.others = others
	if r.Summary.Applied != len(plan.Changes) || r.Summary.Retries != 0 && n.quirks.SessionLag == 0 {
		t.Errorf("a run in peace: %+v", r.Summary)
	}
	_, again, err := n.plan(t.Context(), w, 4)
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Changes) > 0 {
		t.Errorf("after a run in peace a plan changes %s", indented(again.Changes))
	}
	for _, wrong := range n.unfulfilled(n.sim) {
		t.Error(wrong)
	}
	if err := w.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("logout: %v", err)
	}
	if open := n.sim.OpenSessions(); open != 0 {
		t.Errorf("%d sessions are open", open)
	}
}

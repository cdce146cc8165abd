package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"privsync/mstrapi"
	"privsync/planner"
)

// patchFault is what the fake server does wrong with one PATCH.
type patchFault int

const (
	fine           patchFault = iota
	lostDone                  // does it, the answer is lost
	lostUndone                // does not do it, the answer is lost
	lostHalf                  // does the grants only, the answer is lost
	refused                   // 403
	unsent                    // the request never left
	lie                       // answers with success and does nothing
	halfLie                   // answers with success and does the grants only
	otherAdmin                // somebody else grants and revokes something just after it
	doneUnreadable            // does it, and the principal cannot be read from then on
	lostUnreadable            // does it, the answer is lost, and the principal cannot be read from then on
	lateVisible               // does it, but the next reading does not show it yet
	patchFaults               // how many there are
)

// foreign is the privilege that other administrators grant.
const foreign mstrapi.PrivilegeID = 900

// fake is a server in memory: principals with direct grants, groups that pass
// them on, and scripted faults.
type fake struct {
	mu         sync.Mutex
	direct     map[mstrapi.ObjectID]planner.Set
	kind       map[mstrapi.ObjectID]mstrapi.Kind
	parents    map[mstrapi.ObjectID][]mstrapi.ObjectID
	unreadable map[mstrapi.ObjectID]error
	stale      map[mstrapi.ObjectID]planner.Set // what the next reading shows instead

	faults map[mstrapi.ObjectID][]patchFault // consumed one per PATCH
	log    []string                          // every PATCH that arrived, and every change that it made
	reads  map[mstrapi.ObjectID]int
	patch  func(id mstrapi.ObjectID, done bool) // called under mu around every PATCH
	read   func(ctx context.Context, id mstrapi.ObjectID)

	noComments bool // answers 400 to a change-journal comment

	submitErr error
	queue     []any // of mstrapi.QueueEntry or error, the last one repeated
	submitted int
}

func newFake() *fake {
	return &fake{
		direct: map[mstrapi.ObjectID]planner.Set{}, kind: map[mstrapi.ObjectID]mstrapi.Kind{},
		parents: map[mstrapi.ObjectID][]mstrapi.ObjectID{}, unreadable: map[mstrapi.ObjectID]error{},
		stale: map[mstrapi.ObjectID]planner.Set{}, faults: map[mstrapi.ObjectID][]patchFault{},
		reads: map[mstrapi.ObjectID]int{},
	}
}

func (f *fake) inherited(id mstrapi.ObjectID) planner.Set {
	var s planner.Set
	for _, p := range f.parents[id] {
		s = s.Union(f.direct[p]).Union(f.inherited(p))
	}
	return s
}

// sets returns what is true of a principal.
// sources returns the groups above id that hold p directly. The caller has f.mu.
func (f *fake) sources(id mstrapi.ObjectID, p mstrapi.PrivilegeID) (out []mstrapi.ObjectRef) {
	for _, g := range f.parents[id] {
		if f.direct[g].Has(p) {
			out = append(out, mstrapi.ObjectRef{ID: g, Name: name(g)})
		}
		out = append(out, f.sources(g, p)...)
	}
	return out
}

func (f *fake) sets(id mstrapi.ObjectID) Sets {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Sets{Direct: f.direct[id], Inherited: f.inherited(id)}
}

func (f *fake) Held(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, level mstrapi.Level) ([]mstrapi.Held, error) {
	if f.read != nil {
		f.read(ctx, id)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads[id]++
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := f.unreadable[id]; err != nil {
		return nil, err
	}
	direct := f.direct[id]
	if s, ok := f.stale[id]; ok {
		direct = s
		delete(f.stale, id)
	}
	in := f.inherited(id)
	var held []mstrapi.Held
	for p := range direct.Union(in).All() {
		h := mstrapi.Held{ID: p, Level: level, Direct: direct.Has(p)}
		if in.Has(p) {
			h.Groups = f.sources(id, p)
		}
		held = append(held, h)
	}
	return held, nil
}

var errLost = &mstrapi.Error{Method: "PATCH", Path: "/api/users/x", Attempts: 1, Err: errors.New("connection reset by peer")}

func (f *fake) PatchPrivileges(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, p mstrapi.PrivilegePatch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return &mstrapi.Error{Method: "PATCH", Unsent: true, Err: err}
	}
	fault := fine
	if s := f.faults[id]; len(s) > 0 {
		fault, f.faults[id] = s[0], s[1:]
	}
	f.log = append(f.log, fmt.Sprintf("PATCH %s +%v -%v", name(id), p.Add, p.Remove))
	if f.patch != nil {
		f.patch(id, false)
		defer f.patch(id, true)
	}
	if f.noComments && p.Comment != "" {
		return &mstrapi.Error{Method: "PATCH", Status: 400, Code: "ERR006", Unsent: true, Attempts: 1}
	}
	old := f.direct[id]
	switch fault {
	case refused:
		return &mstrapi.Error{Method: "PATCH", Status: 403, Code: "ERR017", IServerCode: -2147214568, Message: "no \x1b[31mright", TicketID: "t-1"}
	case unsent:
		return &mstrapi.Error{Method: "PATCH", Unsent: true, Attempts: 1, Err: errors.New("connection refused")}
	case lostUndone:
		return errLost
	case lie:
		return nil
	case halfLie, lostHalf:
		f.direct[id] = old.Union(planner.SetOf(p.Add...))
	default:
		f.direct[id] = old.Union(planner.SetOf(p.Add...)).Minus(planner.SetOf(p.Remove...))
	}
	for g := range f.direct[id].Minus(old).All() {
		f.log = append(f.log, fmt.Sprintf("did %s +%d", name(id), g))
	}
	for g := range old.Minus(f.direct[id]).All() {
		f.log = append(f.log, fmt.Sprintf("did %s -%d", name(id), g))
	}
	switch fault {
	case lostDone, lostHalf:
		return errLost
	case otherAdmin:
		f.direct[id] = f.direct[id].Union(planner.SetOf(foreign)).Minus(planner.SetOf(foreign + 1))
	case doneUnreadable:
		f.unreadable[id] = &mstrapi.Error{Method: "GET", Status: 500, Message: "broken"}
	case lostUnreadable:
		f.unreadable[id] = &mstrapi.Error{Method: "GET", Status: 500, Message: "broken"}
		return errLost
	case lateVisible:
		f.stale[id] = old
	}
	return nil
}

func (f *fake) Principal(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (mstrapi.PrincipalRow, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.unreadable[id]; mstrapi.IsNotFound(err) {
		return mstrapi.PrincipalRow{}, err
	}
	return mstrapi.PrincipalRow{Kind: kind, ID: id}, ctx.Err()
}

func (f *fake) Members(group mstrapi.ObjectID, flat bool) *mstrapi.Listing {
	return mstrapi.NewListing("/members", 1, func(ctx context.Context, _, _ int) (mstrapi.Page, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		var rows []mstrapi.PrincipalRow
		for id, parents := range f.parents {
			if slices.Contains(parents, group) {
				rows = append(rows, mstrapi.PrincipalRow{Kind: f.kind[id], ID: id})
			}
		}
		return mstrapi.Page{Rows: rows, Total: len(rows)}, ctx.Err()
	})
}

func (f *fake) SubmitCommand(ctx context.Context, commandID int) (string, error) {
	f.submitted++
	return "Q1", f.submitErr
}

func (f *fake) Queue(ctx context.Context, id string) (mstrapi.QueueEntry, error) {
	if err := ctx.Err(); err != nil {
		return mstrapi.QueueEntry{}, err
	}
	if len(f.queue) == 0 {
		return mstrapi.QueueEntry{ID: id, Status: 3, Progress: 100}, nil
	}
	next := f.queue[0]
	if len(f.queue) > 1 {
		f.queue = f.queue[1:]
	}
	if err, ok := next.(error); ok {
		return mstrapi.QueueEntry{}, err
	}
	return next.(mstrapi.QueueEntry), nil
}

// did returns the changes in the log, without the requests.
func (f *fake) did() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []string{}
	for _, l := range f.log {
		if strings.HasPrefix(l, "did ") {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// oid makes an id from a short name such as g1 or u12; name is its inverse.
func oid(short string) mstrapi.ObjectID {
	return mstrapi.ObjectID(strings.ToUpper(fmt.Sprintf("%032x", short)))
}

func name(id mstrapi.ObjectID) string {
	var b strings.Builder
	s := strings.TrimLeft(string(id), "0")
	if len(s)%2 == 1 {
		s = "0" + s
	}
	for i := 0; i+1 < len(s); i += 2 {
		var c byte
		fmt.Sscanf(s[i:i+2], "%02X", &c)
		b.WriteByte(c)
	}
	return b.String()
}

// spec is a change in short: "g1 +2 +3 -53<u1,u2": grant 2 and 3, revoke 53 that
// relies on u1 and u2. The observed direct grants are what f has.
func (f *fake) change(spec string) planner.Change {
	fields := strings.Fields(spec)
	short := fields[0]
	c := planner.Change{
		Principal:  planner.Principal{Kind: mstrapi.User, ID: oid(short), Name: "name of " + short, Login: short},
		ObservedAt: time.Now(),
	}
	if short[0] == 'g' {
		c.Principal.Kind, c.Principal.Login = mstrapi.Group, ""
	}
	f.kind[c.Principal.ID] = c.Principal.Kind
	for _, w := range fields[1:] {
		number, relies, _ := strings.Cut(w[1:], "<")
		number, redundant := strings.CutSuffix(number, "=")
		var n int
		fmt.Sscan(number, &n)
		p := planner.PlannedPrivilege{PrivilegeRef: planner.PrivilegeRef{ID: mstrapi.PrivilegeID(n), Name: "privilege " + number}, Reason: planner.ReasonListed}
		if relies != "" {
			for r := range strings.SplitSeq(relies, ",") {
				p.ReliesOn = append(p.ReliesOn, oid(r))
			}
		}
		if w[0] == '+' {
			c.Grant = append(c.Grant, p)
		} else {
			p.Reason = planner.ReasonNotListed
			if redundant {
				p.Reason = planner.ReasonRedundant
			}
			c.Revoke = append(c.Revoke, p)
		}
	}
	s := f.sets(c.Principal.ID)
	c.Observed = planner.ObservedSets{Direct: s.Direct, Inherited: s.Inherited}
	return c
}

// plan makes a plan of the specs, observed now.
func (f *fake) plan(specs ...string) *planner.Plan {
	p := &planner.Plan{
		Format: planner.PlanFormat, Tool: planner.Tool{Name: "privsync", Version: "test"}, CreatedAt: time.Now(),
		Environment: planner.Environment{URL: "https://bi.example.com/Library"}, Actor: planner.Actor{ID: oid("admin"), Name: "admin"},
		Policy: planner.PolicyRef{Name: "production", Digest: "sha256:" + strings.Repeat("0", 64)},
		Scope:  planner.Scope{Level: mstrapi.LevelServer}, Complete: true, Digest: "sha256:" + strings.Repeat("1", 64),
	}
	for _, s := range specs {
		p.Changes = append(p.Changes, f.change(s))
	}
	slices.SortFunc(p.Changes, func(a, b planner.Change) int {
		return cmp.Or(cmp.Compare(a.Principal.Kind, b.Principal.Kind), cmp.Compare(a.Principal.Name, b.Principal.Name))
	})
	return p
}

// has gives principals direct grants.
func (f *fake) has(short string, ids ...mstrapi.PrivilegeID) {
	f.direct[oid(short)] = planner.SetOf(ids...)
}

// of returns the result of a principal.
func of(t *testing.T, r *Report, short string) Result {
	t.Helper()
	for _, p := range r.Principals {
		if p.Principal.ID == oid(short) {
			return p
		}
	}
	t.Fatalf("the report does not list %s", short)
	return Result{}
}

// sketch is a report in short, for tables: "run succeeded; g1 applied +2 -53".
func sketch(r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", r.Run.Outcome)
	for _, p := range r.Principals {
		fmt.Fprintf(&b, "; %s %s", name(p.Principal.ID), p.Outcome)
		for _, id := range p.Granted {
			fmt.Fprintf(&b, " +%d", id)
		}
		for _, id := range p.Revoked {
			fmt.Fprintf(&b, " -%d", id)
		}
		for _, h := range p.HeldBack {
			fmt.Fprintf(&b, " held %d", h.ID)
		}
	}
	return b.String()
}

// truthful returns what is wrong with the report, given what is true on the
// server; nil if every line of it matches.
func truthful(f *fake, r *Report) []string {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	done := []string{}
	for _, p := range r.Principals {
		n := name(p.Principal.ID)
		truth := f.sets(p.Principal.ID)
		for _, id := range p.Granted {
			done = append(done, fmt.Sprintf("did %s +%d", n, id))
		}
		for _, id := range p.Revoked {
			done = append(done, fmt.Sprintf("did %s -%d", n, id))
		}
		if p.After != nil && !p.After.Direct.Equal(truth.Direct) {
			bad("%s %s: after.direct = %v, true is %v", n, p.Outcome, p.After.Direct.IDs(), truth.Direct.IDs())
		}
		there := planned(p.Grant).Minus(truth.Direct).IsEmpty() && planned(p.Revoke).Intersect(truth.Direct).IsEmpty()
		if (p.Outcome == Applied || p.Outcome == InSync) && !there {
			bad("%s %s, but not all of it is there", n, p.Outcome)
		}
		if p.Outcome == Applied && p.After == nil {
			bad("%s applied without a reading", n)
		}
		if (p.Outcome == NotAttempted || p.Outcome == Stale) && p.Attempts > 0 {
			bad("%s %s after %d attempts", n, p.Outcome, p.Attempts)
		}
		if (p.Outcome == Failed || p.Outcome == Unverified || p.Outcome == Stale) && p.Error == nil {
			bad("%s %s without an error", n, p.Outcome)
		}
	}
	// What the server did is in the report, but for what could not be read.
	slices.Sort(done)
	unread := func(entry string) bool {
		fields := strings.Fields(entry)
		for _, p := range r.Principals {
			if name(p.Principal.ID) == fields[1] {
				return p.Outcome == Unverified && p.After == nil
			}
		}
		return false
	}
	did := slices.DeleteFunc(f.did(), func(e string) bool { return unread(e) && !slices.Contains(done, e) })
	if !slices.Equal(slices.Compact(did), slices.Compact(done)) {
		bad("the server did %v, the report says %v", did, done)
	}
	return wrong
}

package history

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// DiffFormat is the format of a [Diff].
const DiffFormat = "privsync/diff/v1"

// Kind is the kind of the two documents that are compared.
type Kind string

const (
	OfReports  Kind = "reports" // of audits and of other runs
	OfPlans    Kind = "plans"
	OfPolicies Kind = "policies"
)

// Diff says what differs between two documents of a kind. Its JSON form is described by
// schema/diff.schema.json.
type Diff struct {
	Format  string       `json:"format"`
	Tool    planner.Tool `json:"tool"`
	Kind    Kind         `json:"kind"`
	A       Side         `json:"a"`
	B       Side         `json:"b"`
	Equal   bool         `json:"equal"` // nothing differs, and everybody was looked at in both
	Summary DiffSummary  `json:"summary"`
	// Chains are those in which the runs between A and B were looked for; reports only.
	Chains      []Chain   `json:"chains,omitempty"`
	Runs        []Run     `json:"runs,omitempty"` // those runs, in order
	Changes     []Change  `json:"changes"`
	NotLookedAt []Missing `json:"notLookedAt"`
	Settings    []Setting `json:"settings,omitempty"` // policies only
}

// Side is one of the two documents.
type Side struct {
	File   string    `json:"file"`
	Digest string    `json:"digest"`
	At     time.Time `json:"at,omitzero"` // end of the run, or when the plan was made; zero: a policy
	Server string    `json:"server,omitempty"`
	Run    *Run      `json:"run,omitempty"` // of a report
	Policy string    `json:"policy,omitempty"`
	Scope  string    `json:"scope,omitempty"`
}

// DiffSummary counts.
type DiffSummary struct {
	Gained      int `json:"gained"`     // changes that give, or would give, a privilege
	Lost        int `json:"lost"`       // changes that take one, or would
	Other       int `json:"other"`      // changes of another kind
	Principals  int `json:"principals"` // who are concerned
	NotLookedAt int `json:"notLookedAt"`
}

// What is what kind of change a [Change] is.
type What string

const (
	// Of reports: Gained and Lost speak of what is effectively held; DirectAdded and
	// DirectRemoved of a direct grant beside what is held anyway.
	Gained        What = "gained"
	Lost          What = "lost"
	DirectAdded   What = "direct-added"
	DirectRemoved What = "direct-removed"
	// Of plans: what one of them would do and the other would not.
	GrantAdded    What = "grant-added"
	GrantDropped  What = "grant-dropped"
	RevokeAdded   What = "revoke-added"
	RevokeDropped What = "revoke-dropped"
	// Of policies: what an entry lists and forbids.
	ListingAdded   What = "listing-added"
	ListingDropped What = "listing-dropped"
	ForbidAdded    What = "forbid-added"
	ForbidDropped  What = "forbid-dropped"
	// Of plans and policies: until when, or why.
	TermsChanged What = "terms-changed"
)

// Gives reports whether a change gives somebody a privilege, and takes whether it takes
// one away.
func (w What) Gives() bool {
	return w == Gained || w == GrantAdded || w == RevokeDropped || w == ListingAdded || w == ForbidDropped
}

// Takes: see [What.Gives].
func (w What) Takes() bool {
	return w == Lost || w == RevokeAdded || w == GrantDropped || w == ListingDropped || w == ForbidAdded
}

// Change is one privilege of one principal, or of one entry of a policy, that differs.
type Change struct {
	Principal *planner.Principal   `json:"principal,omitempty"` // nil: of a selector
	Selector  string               `json:"selector,omitempty"`  // in words
	Privilege planner.PrivilegeRef `json:"privilege"`
	What      What                 `json:"what"`
	Before    *Way                 `json:"before,omitempty"` // how it is held in A, of reports; nil: not at all
	After     *Way                 `json:"after,omitempty"`  // in B
	// BeforeSaid and AfterSaid are what plan or policy A and B say of it, in words.
	BeforeSaid string `json:"beforeSaid,omitempty"`
	AfterSaid  string `json:"afterSaid,omitempty"`
	// Cause is of reports; nil: no report of a run was at hand that could tell.
	Cause *Cause `json:"cause,omitempty"`
}

// Missing is somebody who is not, or not completely, in both documents.
type Missing struct {
	Principal *planner.Principal `json:"principal,omitempty"`
	Selector  string             `json:"selector,omitempty"`
	In        string             `json:"in"` // a, b or both: where it was not looked at
	Why       string             `json:"why"`
}

// Setting is something of a policy that differs and is no list of privileges.
type Setting struct {
	Principal *planner.Principal `json:"principal,omitempty"`
	Selector  string             `json:"selector,omitempty"`
	Name      string             `json:"name"`
	Before    string             `json:"before"`
	After     string             `json:"after"`
}

// ReportDoc is a report and the file that it was read from.
type ReportDoc struct {
	File   string
	Report *executor.Report
}

func (d ReportDoc) side() Side {
	r := d.Report
	return Side{
		File: d.File, Digest: r.Digest, At: r.Run.FinishedAt, Server: r.Environment.URL, Run: runOf(r), Policy: r.Policy.Name,
		Scope: string(r.Scope.Level),
	}
}

// Between collects what reports of runs say of the changes between two reports.
type Between struct {
	a, b  ReportDoc
	same  func(url string) bool
	steps map[mstrapi.ObjectID][]step
	runs  []Run
	seen  map[string]bool // digests
	chain []Chain         // that were looked into
	known levels

	inA, inB map[mstrapi.ObjectID]*executor.Result
	differ   map[mstrapi.ObjectID]planner.Set // what may differ, of whom
}

// NewBetween begins with two reports, a the older. same says whether a URL is that of
// the same server.
func NewBetween(a, b ReportDoc, same func(url string) bool) *Between {
	x := &Between{a: a, b: b, same: same, steps: make(map[mstrapi.ObjectID][]step), seen: map[string]bool{a.Report.Digest: true, b.Report.Digest: true},
		known: make(levels), inA: resultsByID(a.Report), inB: resultsByID(b.Report), differ: make(map[mstrapi.ObjectID]planner.Set)}
	x.known.learn(a.Report)
	for id, ra := range x.inA {
		if rb := x.inB[id]; rb != nil && ra.After != nil && rb.After != nil {
			if open := mayDiffer(ra.After, rb.After, x.bothAudits()); !open.IsEmpty() {
				x.differ[id] = open
			}
		}
	}
	return x
}

// bothAudits reports whether both say what security roles give: only audits do.
func (x *Between) bothAudits() bool {
	return x.a.Report.Run.Command == "audit" && x.b.Report.Run.Command == "audit"
}

// Read reads the chains.
func (x *Between) Read(ctx context.Context, sources []Source) error {
	for _, s := range sources {
		chain, err := s.read(ctx, x.add)
		if err != nil {
			return fmt.Errorf("reports between the two: %w", err)
		}
		x.chain = append(x.chain, chain)
	}
	return nil
}

// add adds a report of a chain; those of audits, of other servers and of another time
// say nothing.
func (x *Between) add(r *executor.Report) {
	if x.seen[r.Digest] || !x.same(r.Environment.URL) || !r.Run.FinishedAt.After(x.a.Report.Run.FinishedAt) || r.Run.StartedAt.After(x.b.Report.Run.FinishedAt) {
		return
	}
	x.seen[r.Digest] = true
	x.take(r)
}

func (x *Between) take(r *executor.Report) {
	x.known.learn(r)
	run, groups := runOf(r), changedGroups(r)
	if r.Run.Command != "audit" && r.Digest != x.b.Report.Digest {
		x.runs = append(x.runs, *run)
	}
	for i := range r.Principals {
		res := &r.Principals[i]
		if x.differ[res.Principal.ID].IsEmpty() && (res.Principal.Kind != mstrapi.Group || len(res.Granted)+len(res.Revoked) == 0) {
			continue
		}
		if s, ok := stepOf(r, run, groups, res); ok {
			x.steps[res.Principal.ID] = append(x.steps[res.Principal.ID], s)
		}
	}
}

// Reports says who gained and lost what from the one report to the other: what is
// effectively held at the end of each.
func (x *Between) Reports(tool planner.Tool) *Diff {
	d := &Diff{Format: DiffFormat, Tool: tool, Kind: OfReports, A: x.a.side(), B: x.b.side(), Chains: x.chain, Changes: []Change{}, NotLookedAt: []Missing{}}
	a, b := x.inA, x.inB
	x.take(x.b.Report)
	for id := range x.steps {
		slices.SortStableFunc(x.steps[id], func(s, t step) int { return s.run.StartedAt.Compare(t.run.StartedAt) })
	}
	slices.SortFunc(x.runs, func(r, s Run) int { return cmp.Or(r.StartedAt.Compare(s.StartedAt), cmp.Compare(r.ID, s.ID)) })
	d.Runs = x.runs
	names := make(map[mstrapi.PrivilegeID]string)
	for _, r := range []*executor.Report{x.a.Report, x.b.Report} {
		for _, p := range r.Privileges {
			names[p.ID] = p.Name
		}
	}
	for id := range either(a, b) {
		ra, rb := a[id], b[id]
		if !d.bothKnown(ra, rb) {
			continue
		}
		for q := range x.differ[id].All() {
			before, after := wayOf(ra.After, q), wayOf(rb.After, q)
			if !x.bothAudits() {
				before, after = before.withoutRoles(), after.withoutRoles()
			}
			what := whatChanged(before, after)
			if what == "" {
				continue
			}
			who := rb.Principal
			d.Changes = append(d.Changes, Change{Principal: &who, Privilege: planner.PrivilegeRef{ID: q, Name: names[q]}, What: what, Before: before, After: after})
		}
	}
	d.finish()
	w := &why{x: x, changed: make(map[holding]*Change, len(d.Changes)), done: make(map[*Change]bool)}
	for i := range d.Changes {
		c := &d.Changes[i]
		w.changed[holding{c.Principal.ID, c.Privilege.ID}] = c
	}
	for i := range d.Changes {
		w.explain(&d.Changes[i])
	}
	return d
}

func (w *Way) withoutRoles() *Way {
	if w == nil || !w.Direct && !w.Inherited {
		return nil
	}
	c := *w
	c.Roles, c.Other = nil, false
	return &c
}

func whatChanged(before, after *Way) What {
	switch {
	case before == nil && after == nil:
		return ""
	case before == nil:
		return Gained
	case after == nil:
		return Lost
	case !before.Direct && after.Direct:
		return DirectAdded
	case before.Direct && !after.Direct:
		return DirectRemoved
	}
	return ""
}

// mayDiffer is what is not held directly, or not held at all, in one of the two, and
// with roles whatever security roles or other sources give in one of them.
func mayDiffer(a, b *executor.Sets, roles bool) planner.Set {
	held := func(s *executor.Sets) planner.Set { return s.Direct.Union(s.Inherited) }
	out := a.Direct.Minus(b.Direct).Union(b.Direct.Minus(a.Direct)).Union(held(a).Minus(held(b))).Union(held(b).Minus(held(a)))
	if !roles {
		return out
	}
	for _, sets := range []*executor.Sets{a, b} {
		for i := range sets.Sources {
			if s := &sets.Sources[i]; len(s.Roles) > 0 || s.Other {
				out.Add(s.Privilege)
			}
		}
	}
	return out
}

func resultsByID(r *executor.Report) map[mstrapi.ObjectID]*executor.Result {
	out := make(map[mstrapi.ObjectID]*executor.Result, len(r.Principals))
	for i := range r.Principals {
		out[r.Principals[i].Principal.ID] = &r.Principals[i]
	}
	return out
}

// bothKnown reports whether both results tell what was held at the end, and notes it
// where they do not.
func (d *Diff) bothKnown(a, b *executor.Result) bool {
	why := func(r *executor.Result) string {
		switch {
		case r == nil:
			return "it is not in that report"
		case r.After != nil:
			return ""
		case r.Error != nil && r.Error.Status != 0:
			return "it could not be read: " + strings.TrimSpace(fmt.Sprintf("HTTP %d %s", r.Error.Status, r.Error.Code)) + ": " + r.Error.Message
		case r.Error != nil:
			return "it could not be read: " + r.Error.Message
		}
		return "what it holds was not read: " + string(r.Outcome)
	}
	inA, inB := why(a), why(b)
	if inA == "" && inB == "" {
		return true
	}
	m := Missing{In: "both", Why: inA + "; " + inB}
	switch {
	case inA == "":
		m.In, m.Why = "b", inB
	case inB == "":
		m.In, m.Why = "a", inA
	case inA == inB:
		m.Why = inA
	}
	who := (cmp.Or(b, a)).Principal
	m.Principal = &who
	d.NotLookedAt = append(d.NotLookedAt, m)
	return false
}

// finish sorts and counts.
func (d *Diff) finish() {
	slices.SortFunc(d.Changes, func(a, b Change) int {
		return cmp.Or(compareWho(a.Principal, a.Selector, b.Principal, b.Selector), cmp.Compare(a.Privilege.ID, b.Privilege.ID),
			cmp.Compare(a.Privilege.Name, b.Privilege.Name), cmp.Compare(a.What, b.What), cmp.Compare(a.BeforeSaid, b.BeforeSaid), cmp.Compare(a.AfterSaid, b.AfterSaid))
	})
	slices.SortFunc(d.NotLookedAt, func(a, b Missing) int {
		return cmp.Or(compareWho(a.Principal, a.Selector, b.Principal, b.Selector), cmp.Compare(a.In, b.In), cmp.Compare(a.Why, b.Why))
	})
	concerned := make(map[string]bool)
	for _, c := range d.Changes {
		switch {
		case c.What.Gives():
			d.Summary.Gained++
		case c.What.Takes():
			d.Summary.Lost++
		default:
			d.Summary.Other++
		}
		key := c.Selector
		if c.Principal != nil {
			key = string(c.Principal.Kind) + "\x00" + string(c.Principal.ID) + "\x00" + c.Principal.Name + "\x00" + c.Principal.Login
		}
		concerned[key] = true
	}
	d.Summary.Principals, d.Summary.NotLookedAt = len(concerned), len(d.NotLookedAt)
	d.Equal = len(d.Changes) == 0 && len(d.NotLookedAt) == 0 && len(d.Settings) == 0
}

// either yields the keys that one of the maps has, each once.
func either[K comparable, V any](a, b map[K]V) iter.Seq[K] {
	both := make(map[K]V, len(a))
	maps.Copy(both, a)
	maps.Copy(both, b)
	return maps.Keys(both)
}

// compareWho orders principals as reports do, and selectors after them.
func compareWho(a *planner.Principal, aSelector string, b *planner.Principal, bSelector string) int {
	switch {
	case a != nil && b != nil:
		return cmp.Or(a.Compare(b), cmp.Compare(a.Login, b.Login))
	case a != nil:
		return -1
	case b != nil:
		return 1
	}
	return cmp.Compare(aSelector, bSelector)
}

// why finds what brought the changes about.
type why struct {
	x       *Between
	changed map[holding]*Change
	done    map[*Change]bool
}

// holding is one privilege of one principal.
type holding struct {
	who       mstrapi.ObjectID
	privilege mstrapi.PrivilegeID
}

// explain says what brought a change about. A group is asked for its own cause where
// somebody has it from there, each once.
func (w *why) explain(c *Change) *Cause {
	if w.done[c] {
		return c.Cause
	}
	w.done[c] = true
	if w.x.a.Report.Run.FinishedAt.After(w.x.b.Report.Run.FinishedAt) {
		return nil // backwards
	}
	id, q := c.Principal.ID, c.Privilege.ID
	direct := c.Before != nil && c.Before.Direct || c.After != nil && c.After.Direct
	gained := c.What == Gained || c.What == DirectAdded
	var found *Cause
	seen := looks(w.x.steps[id], q, w.x.known)
	start := w.x.inA[id].After
	first := look{at: w.x.a.Report.Run.FinishedAt, direct: start.Direct.Has(q), held: start.Direct.Has(q) || start.Inherited.Has(q), end: true}
	seen = append([]look{first}, seen...)
	value := func(l look) bool {
		if direct {
			return l.direct
		}
		return l.held
	}
	for k := len(seen) - 1; k > 0; k-- {
		if value(seen[k]) == gained && value(seen[k-1]) != gained {
			made := cause(seen[k-1], seen[k], q)
			found = &made
			break
		}
	}
	if (found == nil || found.By == nil) && !direct {
		way := c.Before
		if gained {
			way = c.After
		}
		if through := w.through(way, q, gained); through != nil {
			found = through
		}
	}
	switch {
	case found == nil && len(w.x.chain) > 0:
		found = &Cause{OutOfBand: true, After: moment(w.x.a.Report.Run.FinishedAt), Until: moment(w.x.b.Report.Run.FinishedAt)}
	case found != nil && found.By == nil && len(w.x.chain) == 0 && !w.within(found):
		found = nil // whatever it was, no report of it is at hand
	}
	c.Cause = found
	return found
}

// within reports whether a cause fell into the run of B itself, which its report knows.
func (w *why) within(c *Cause) bool {
	return c.After != nil && !c.After.Before(w.x.b.Report.Run.StartedAt) && w.x.b.Report.Run.Command != "audit"
}

// through asks the groups that somebody has, or had, the privilege from.
func (w *why) through(way *Way, q mstrapi.PrivilegeID, gained bool) *Cause {
	if way == nil {
		return nil
	}
	for _, g := range way.Groups {
		if c := w.changed[holding{g.ID, q}]; c != nil {
			if (c.What == Gained || c.What == DirectAdded) == gained {
				if own := w.explain(c); own != nil {
					made := *own
					if made.By != nil {
						made.Through = append([]mstrapi.ObjectRef{g}, own.Through...)
					}
					return &made
				}
			}
			continue
		}
		for _, s := range slices.Backward(w.x.steps[g.ID]) {
			if gained && s.granted.Has(q) || !gained && s.revoked.Has(q) {
				return &Cause{By: s.run, Ticket: s.planned.ticket(q), Through: []mstrapi.ObjectRef{g}, After: moment(s.readAt), Until: moment(s.endedAt)}
			}
		}
	}
	return nil
}

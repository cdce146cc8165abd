package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"privsync/mstrapi"
	"privsync/planner"
)

// maxClockDifference is by how much the clock of the machine that made a plan may
// differ from that of the machine that applied it.
const maxClockDifference = 24 * time.Hour

// Earlier is what is known of the runs that applied one saved plan before. The zero
// value says that none is known.
//
// It is evidence that others may have lost, or forged: it only ever keeps a run from
// writing, or lets it go on towards the plan's own end.
type Earlier struct {
	Last   Run // the latest run that sent something of the plan; no ID: none
	Writes map[mstrapi.ObjectID]*EarlierWrites
}

// EarlierWrites is what runs of the plan did to one principal.
type EarlierWrites struct {
	Run              Run // the latest of them that sent something to it
	Granted, Revoked planner.Set
	Reverted         planner.Set // of Granted and Revoked: what a later run of another plan reverted
	RevertedBy       Run         // the latest of those
}

// TakenBack returns what of the plan was done by earlier runs and is not so any more,
// given what the principal holds directly now.
func (w *EarlierWrites) TakenBack(direct planner.Set) planner.Set {
	return w.Granted.Minus(direct).Union(w.Revoked.Intersect(direct))
}

// of returns what earlier runs did to t's principal, or nil.
func (e *Earlier) of(t *task) *EarlierWrites {
	if e == nil {
		return nil
	}
	return e.Writes[t.change.Principal.ID]
}

// pastRun is what a report or a journal tells of one run.
type pastRun struct {
	run    Run
	plan   string // digest; empty: not known
	writes map[mstrapi.ObjectID]pastWrites
}

type pastWrites struct {
	sent             bool
	granted, revoked planner.Set
}

// Earlier looks into the folder, and where to says that reports go.
func (f *Folder) Earlier(_ context.Context, to Destination, plan *planner.Plan, same func(url string) bool) (*Earlier, error) {
	since := plan.CreatedAt.Add(-maxClockDifference)
	byID := make(map[string]*pastRun)
	journals, err := journalFiles(f.dir, journalSuffix+closedSuffix)
	errs := []error{err}
	for _, path := range journals {
		if filepath.Base(path) < runFileName(Run{StartedAt: since}) {
			continue
		}
		if c, err := readJournal(path, same); err == nil { // one that is damaged tells nothing
			c.past().add(byID)
		}
	}
	files, err := pastFiles([]Destination{f.Fallback(), to}, since, math.MaxInt)
	errs = append(errs, err)
	earlier, err := earlierIn(files, plan, same, byID)
	return earlier, errors.Join(append(errs, err)...)
}

// EarlierOf is [Store.Earlier] in the reports, whatever their order.
func EarlierOf(reports []Document, plan *planner.Plan, same func(url string) bool) (*Earlier, error) {
	return earlierIn(reports, plan, same, make(map[string]*pastRun))
}

// earlierIn adds what the reports tell to what is known of runs by their ids.
func earlierIn(reports []Document, plan *planner.Plan, same func(url string) bool, byID map[string]*pastRun) (*Earlier, error) {
	headers, unreadable := readPastHeaders(reports, same, func(*pastHeader) bool { return true })
	// Few plans are applied twice: without a run of this one nothing is read whole.
	if !slices.ContainsFunc(inOrder(byID), func(p *pastRun) bool { return p.plan == plan.Digest }) &&
		!slices.ContainsFunc(headers, func(h pastHeader) bool { return h.Plan.Digest == plan.Digest }) {
		return &Earlier{}, nil
	}
	errs := []error{unreadable}
	for _, h := range headers {
		report, err := h.doc.Read()
		if err != nil {
			errs = append(errs, fmt.Errorf("report %s: %w", h.doc.Name, err))
			continue
		}
		report.past().add(byID)
	}
	return earlierOf(plan, inOrder(byID)), errors.Join(errs...)
}

// add adds what p tells to what is known of its run.
func (p *pastRun) add(byID map[string]*pastRun) {
	known := byID[p.run.ID]
	if known == nil {
		byID[p.run.ID] = p
		return
	}
	for id, w := range p.writes {
		was := known.writes[id]
		known.writes[id] = pastWrites{was.sent || w.sent, was.granted.Union(w.granted), was.revoked.Union(w.revoked)}
	}
}

// Read reads and checks the whole report.
func (d Document) Read() (*Report, error) {
	f, err := d.Open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadReport(f)
}

func inOrder(byID map[string]*pastRun) []*pastRun {
	runs := make([]*pastRun, 0, len(byID))
	for _, p := range byID {
		runs = append(runs, p)
	}
	slices.SortFunc(runs, func(a, b *pastRun) int {
		return cmp.Or(a.run.StartedAt.Compare(b.run.StartedAt), strings.Compare(a.run.ID, b.run.ID))
	})
	return runs
}

// earlierOf puts together what runs, in the order of time, made of plan.
func earlierOf(plan *planner.Plan, runs []*pastRun) *Earlier {
	e := &Earlier{Writes: make(map[mstrapi.ObjectID]*EarlierWrites)}
	for _, p := range runs {
		for i := range plan.Changes {
			c := &plan.Changes[i]
			did, ok := p.writes[c.Principal.ID]
			if !ok || !did.sent {
				continue
			}
			w := e.Writes[c.Principal.ID]
			if p.plan == plan.Digest {
				if w == nil {
					w = new(EarlierWrites)
					e.Writes[c.Principal.ID] = w
				}
				e.Last, w.Run = p.run, p.run
				w.Granted = w.Granted.Union(did.granted.Intersect(planned(c.Grant)))
				w.Revoked = w.Revoked.Union(did.revoked.Intersect(planned(c.Revoke)))
			}
			if w == nil {
				continue
			}
			again := w.Granted.Intersect(did.granted).Union(w.Revoked.Intersect(did.revoked))
			back := w.Granted.Intersect(did.revoked).Union(w.Revoked.Intersect(did.granted))
			w.Reverted = w.Reverted.Minus(again).Union(back)
			if !back.IsEmpty() {
				w.RevertedBy = p.run
			}
		}
	}
	return e
}

// past returns what the journal tells of its run. What was announced and has no
// outcome may have been sent.
func (c *journalContent) past() *pastRun {
	p := &pastRun{run: c.begin.Run, plan: c.begin.PlanDigest, writes: make(map[mstrapi.ObjectID]pastWrites)}
	for id, e := range c.entries {
		w := pastWrites{sent: len(e.open) > 0}
		if e.outcome != nil {
			w.take(&e.outcome.Result)
		}
		p.writes[id] = w
	}
	return p
}

// past returns what the report tells of its run.
func (r *Report) past() *pastRun {
	p := &pastRun{run: r.Run, writes: make(map[mstrapi.ObjectID]pastWrites)}
	if r.Plan != nil {
		p.plan = r.Plan.Digest
	}
	for i := range r.Principals {
		var w pastWrites
		w.take(&r.Principals[i])
		if w.sent {
			p.writes[r.Principals[i].Principal.ID] = w
		}
	}
	return p
}

func (w *pastWrites) take(res *Result) {
	w.sent = w.sent || res.Attempts > 0 || len(res.Granted)+len(res.Revoked) > 0
	w.granted, w.revoked = planner.SetOf(res.Granted...), planner.SetOf(res.Revoked...)
}

package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"privsync/mstrapi"
	"privsync/planner"
)

// A journal is a list of records, one journal per run:
//
//	begin     who, where, why, and where the report goes
//	change    one change of the plan (as many as there are)
//	finding   one finding of the plan (as many as there are)
//	watch     principals that the plan touches without changing them
//	ready     the plan is complete; from here on there may be writes
//	intent    a PATCH is about to be sent
//	outcome   what came of a principal so far
//	command   a metadata command is about to be submitted, is queued, has ended
//	closed    the report is written
//
// A journal that can be found is always complete as far as ready. Every record carries
// a number. An intent is durable before its PATCH is sent. An outcome is written at
// once and is durable with the next intent or at the end of its wave: if it is lost,
// reading the server tells it again.
//
// Principals that needed nothing are not in the journal, so a recovered report
// does not list them.

const journalFormat = "privsync/journal/v1"

// Destination is where a run's report goes; both may be given. It is noted in
// the journal so that a recovery writes the report to the same place.
type Destination struct {
	File string `json:"file,omitempty"` // this file, replaced
	Dir  string `json:"dir,omitempty"`  // a new file in this folder's chain of reports
}

// Absolute returns d with absolute paths: the one who recovers stands elsewhere.
func (d Destination) Absolute() (Destination, error) {
	for _, p := range []*string{&d.File, &d.Dir} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return d, fmt.Errorf("report destination: %w", err)
		}
		*p = abs
	}
	return d, nil
}

// Journal is the diary of one run, made by [Store.OpenJournal]. Its methods may be
// called concurrently. A nil Journal keeps no diary.
type Journal struct {
	mu      sync.Mutex // guards what follows
	cond    *sync.Cond
	w       JournalWriter
	seq     int   // records written
	synced  int   // records on disk
	syncing bool  // somebody is waiting for the disk, without mu
	err     error // the first failure; nothing is written after it
}

// record is one record of a journal; Type says which of the fields matter.
type record struct {
	Seq  int       `json:"seq"`
	Type string    `json:"type"`
	At   time.Time `json:"at"`

	Begin   *beginRecord     `json:"begin,omitempty"`
	Change  *planner.Change  `json:"change,omitempty"`
	Finding *planner.Finding `json:"finding,omitempty"`
	Watch   *planner.Watch   `json:"watch,omitempty"`
	Ready   *readyRecord     `json:"ready,omitempty"`
	Intent  *intentRecord    `json:"intent,omitempty"`
	Outcome *outcomeRecord   `json:"outcome,omitempty"`
	Command *CommandResult   `json:"command,omitempty"`
}

const (
	typeBegin         = "begin"
	typeChange        = "change"
	typeFinding       = "finding"
	typeWatch         = "watch"
	typeReady         = "ready"
	typeIntent        = "intent"
	typeOutcome       = "outcome"
	typeCommandIntent = "command-intent"
	typeCommandQueued = "command-queued"
	typeCommandDone   = "command-done"
	typeClosed        = "closed"
)

type beginRecord struct {
	Format      string              `json:"format"`
	Run         Run                 `json:"run"`
	Tool        planner.Tool        `json:"tool"`
	Environment planner.Environment `json:"environment"`
	Actor       planner.Actor       `json:"actor"`
	Policy      planner.PolicyRef   `json:"policy"`
	Scope       planner.Scope       `json:"scope"`
	PlanDigest  string              `json:"planDigest"`
	Maker       string              `json:"maker,omitempty"`
	Approvals   []Approval          `json:"approvals,omitempty"`
	PlanSource  *planner.Provenance `json:"planSource,omitempty"`
	ServerLock  bool                `json:"serverLock,omitempty"` // the run has the server's lock
	Guards      []planner.Guard     `json:"guards"`
	Commands    []string            `json:"commands"`
	Destination Destination         `json:"destination"`
	// What the report says of the whole server and of the rules.
	Coverage planner.Coverage     `json:"coverage"`
	Rules    []planner.RuleResult `json:"rules"`
}

type readyRecord struct {
	Changes  int `json:"changes"`
	Findings int `json:"findings"`
	Watch    int `json:"watch"` // records of that type
}

type intentRecord struct {
	Principal mstrapi.ObjectID       `json:"principal"`
	Wave      wave                   `json:"wave"`
	Add       []mstrapi.PrivilegeID  `json:"add"`
	Remove    []mstrapi.PrivilegeID  `json:"remove"`
	Before    *Sets                  `json:"before"` // as known when it was announced
	HeldBack  []planner.PrivilegeRef `json:"heldBack,omitempty"`
	StartedAt time.Time              `json:"startedAt"`

	who *planner.Principal // for a store, which names it; the id stands above
}

type outcomeRecord struct {
	Wave   wave   `json:"wave"`
	Ended  bool   `json:"ended"` // no further wave for this principal
	Result Result `json:"result"`
}

// NewJournal starts a journal for [Store.OpenJournal], in what open returns for the run.
func NewJournal(plan *planner.Plan, o Options, dest Destination, open func(Run) (JournalWriter, error)) (*Journal, error) {
	o = o.withDefaults(plan)
	if o.RunID == "" {
		return nil, errors.New("journal: the run has no id")
	}
	dest, err := dest.Absolute()
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	run := o.run()
	run.StartedAt = stamp(run.StartedAt)
	w, err := open(run)
	if err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{w: w}
	j.cond = sync.NewCond(&j.mu)
	if err := j.begin(plan, o, run, dest); err != nil {
		return nil, fmt.Errorf("journal: %w", errors.Join(err, w.Abandon()))
	}
	return j, nil
}

// begin writes everything up to ready.
func (j *Journal) begin(plan *planner.Plan, o Options, run Run, dest Destination) error {
	now := stamp(o.Now())
	var err error // of the first record that was not taken
	batch := make([]Record, 0, 256)
	write := func(r record) {
		if err != nil {
			return
		}
		j.seq++
		r.Seq, r.At = j.seq, now
		var e Record
		e, err = encodeRecord(r)
		if batch = append(batch, e); err == nil && len(batch) == cap(batch) {
			err = j.w.Write(batch)
			batch = batch[:0]
		}
	}
	write(record{Type: typeBegin, Begin: &beginRecord{
		Format: journalFormat, Run: run, Tool: o.Tool, Environment: plan.Environment, Actor: o.Actor,
		Policy: plan.Policy, Scope: plan.Scope, PlanDigest: plan.Digest, Maker: o.Maker, Approvals: o.Approvals, PlanSource: plan.Source, ServerLock: o.ServerLock, Guards: o.Guards,
		Commands: plan.Commands, Destination: dest, Coverage: plan.Coverage, Rules: plan.Rules,
	}})
	for i := range plan.Changes {
		write(record{Type: typeChange, Change: &plan.Changes[i]})
	}
	findings := joinFindings(plan.Findings, o.Findings)
	for i := range findings {
		write(record{Type: typeFinding, Finding: &findings[i]})
	}
	for i := range plan.Watch {
		write(record{Type: typeWatch, Watch: &plan.Watch[i]})
	}
	write(record{Type: typeReady, Ready: &readyRecord{Changes: len(plan.Changes), Findings: len(findings), Watch: len(plan.Watch)}})
	if err == nil {
		err = j.w.Write(batch)
	}
	if err != nil {
		return err
	}
	j.synced = j.seq
	return j.w.Begin()
}

func encodeRecord(r record) (Record, error) {
	text, err := json.Marshal(r)
	return Record{Seq: r.Seq, Type: r.Type, At: r.At, Principal: r.principal(), Text: text}, err
}

// principal returns whom the record is about, or nil.
func (r *record) principal() *planner.Principal {
	switch {
	case r.Change != nil:
		return &r.Change.Principal
	case r.Finding != nil:
		return r.Finding.Principal
	case r.Intent != nil:
		return r.Intent.who
	case r.Outcome != nil:
		return &r.Outcome.Result.Principal
	}
	return nil
}

// append writes one record; durable waits until it is on disk. After the first
// failure every call returns it: a torn line must stay the last one.
func (j *Journal) append(r record, durable bool) error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	r.Seq, r.At = j.seq+1, stamp(r.At)
	e, err := encodeRecord(r)
	if err == nil {
		err = j.w.Write([]Record{e})
	}
	if err != nil {
		j.err = fmt.Errorf("journal: %w", err)
		return j.err
	}
	j.seq++
	if !durable {
		return nil
	}
	return j.syncLocked(j.seq)
}

// syncLocked returns when the first n records are on disk. Whoever finds the
// disk idle syncs for all who wait by then.
func (j *Journal) syncLocked(n int) error {
	for j.synced < n && j.err == nil {
		if j.syncing {
			j.cond.Wait()
			continue
		}
		j.syncing = true
		upTo := j.seq
		j.mu.Unlock()
		err := j.w.Sync()
		j.mu.Lock()
		j.syncing = false
		if err != nil {
			j.err = fmt.Errorf("journal: %w", err)
		} else {
			j.synced = upTo
		}
		j.cond.Broadcast()
	}
	return j.err
}

// sync returns when all that was written is on disk.
func (j *Journal) sync() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.syncLocked(j.seq)
}

// intent announces a PATCH; when it returns nil the announcement is on disk.
// before is what the principal held directly when it was read last before it.
func (j *Journal) intent(job *job, p mstrapi.PrivilegePatch, before planner.Set, now time.Time) error {
	t := job.t
	return j.append(record{Type: typeIntent, At: now, Intent: &intentRecord{
		Principal: t.change.Principal.ID, Wave: job.w, Add: p.Add, Remove: p.Remove,
		Before: &Sets{Direct: before, Inherited: t.res.Before.Inherited}, HeldBack: t.res.HeldBack, StartedAt: stamp(t.res.StartedAt),
		who: &t.change.Principal,
	}}, true)
}

// outcome notes what came of the principal so far.
func (j *Journal) outcome(job *job, now time.Time) error {
	if j == nil {
		return nil
	}
	res := job.t.res
	res.StartedAt = stamp(res.StartedAt)
	res.DurationMs = (job.t.spent).Milliseconds()
	// What was planned stands in the change already.
	res.Grant, res.Revoke = nil, nil
	return j.append(record{Type: typeOutcome, At: now, Outcome: &outcomeRecord{Wave: job.w, Ended: job.t.ended, Result: res}}, false)
}

// command notes that a metadata command is about to be submitted, is queued, or has ended;
// when it returns nil that is on disk.
func (j *Journal) command(kind string, res CommandResult, now time.Time) error {
	return j.append(record{Type: kind, At: now, Command: &res}, true)
}

// Close says that the run's report is written, and puts the journal aside. Call
// it only then: without it the next run recovers this one. After a failure of the
// journal it still puts it aside, because the report holds everything.
func (j *Journal) Close(now time.Time) error {
	if j == nil {
		return nil
	}
	// A journal on a full disk cannot take the record, and needs it no more: the
	// rename says the same.
	_ = j.append(record{Type: typeClosed, At: now}, true)
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.w.Close()
	j.err = errors.New("journal: closed")
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// Abandon leaves the journal open for a recovery: the report could not be written.
func (j *Journal) Abandon() error {
	if j == nil {
		return nil
	}
	err := j.sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.err = errors.New("journal: closed")
	return errors.Join(err, j.w.Abandon())
}

package executor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"privsync/clean"
	"privsync/document"
	"privsync/mstrapi"
	"privsync/planner"
)

// ErrJournal is matched by errors about a journal that is damaged before its
// last line, so that it cannot be told what its run did.
var ErrJournal = errors.New("the journal is damaged")

// maxJournalLine bounds one line of a journal that is read, in bytes.
const maxJournalLine = 64 << 20

// DeadRun is a run that left its journal open: it died, or could not write its
// report.
type DeadRun struct {
	Path        string // of the journal
	Run         Run
	URL         string // of the server, as that run named it
	Actor       planner.Actor
	Destination Destination
	ServerLock  bool // it had the server's lock, which may be there still

	// Host is the machine that the run was on, where the store knows it; empty: this
	// one.
	Host string
	// Other is the digest of a report that the run wrote itself, elsewhere; empty: none is
	// known. The recovered report names it.
	Other string
	// Untrusted says why others than the user and root may have written the
	// journal, so that it must not decide which file is written; nil if they cannot.
	Untrusted error

	journal *journalContent
	store   Store // where the journal is
}

// FindOpen puts a journal aside that says itself that its report is written.
func (f *Folder) FindOpen(_ context.Context, same func(url string) bool) ([]*DeadRun, error) {
	paths, err := journalFiles(f.dir, journalSuffix)
	if err != nil {
		return nil, err
	}
	var dead []*DeadRun
	for _, path := range paths {
		content, err := readJournal(path, same)
		switch {
		case errors.Is(err, errOtherServer), errors.Is(err, errNeverBegun), errors.Is(err, errNotPlain):
			continue
		case err != nil:
			return nil, err
		case content.closed:
			if err := putAside(path); err != nil {
				return nil, err
			}
			continue
		}
		d := newDeadRun(f, path, content)
		d.Untrusted = CheckTrusted(path)
		dead = append(dead, d)
	}
	return dead, nil
}

func newDeadRun(s Store, path string, c *journalContent) *DeadRun {
	return &DeadRun{Path: path, Run: c.begin.Run, URL: c.begin.Environment.URL, Actor: c.begin.Actor, Destination: c.begin.Destination, ServerLock: c.begin.ServerLock, journal: c, store: s}
}

// ReadDeadRun returns the run whose journal, which messages call name, holds the
// records and is kept in s. The error matches [ErrJournal] if the journal is damaged. A
// nil DeadRun says that the journal itself says that its report is written.
func ReadDeadRun(s Store, name string, records Records) (*DeadRun, error) {
	c, err := readRecords(name, "record", nil, records)
	if err != nil || c.closed {
		return nil, err
	}
	return newDeadRun(s, name, c), nil
}

// CheckDestination returns why the run's report must not go where the journal says:
// others may have written the journal, nothing can be written there, or what is
// there is no report.
//
// Where the run died between writing its report and chain.json, that is made good.
func (d *DeadRun) CheckDestination(ctx context.Context, s Signer) error {
	if d.Untrusted != nil {
		return d.Untrusted
	}
	if d.Destination.File != "" {
		if err := checkReplaceable(d.Destination.File); err != nil {
			return err
		}
	}
	return d.Destination.CheckChain(ctx, func(id string) bool { return id == d.Run.ID }, s)
}

func (d *DeadRun) mendChain(ctx context.Context, s Signer) error {
	if d.Destination.Dir == "" {
		return nil
	}
	return MendChain(ctx, d.Destination.Dir, func(id string) bool { return id == d.Run.ID }, s)
}

// checkReplaceable returns an error unless path is free or holds a report, sealed
// or edited.
func checkReplaceable(path string) error {
	f, err := OpenPlain(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	var report struct {
		Format string `json:"format"`
	}
	if _, err := document.ReadPart(f, maxReport, &report); err != nil || report.Format != ReportFormat {
		return fmt.Errorf("%s is no report and is not replaced", path)
	}
	return nil
}

// journalContent is what a journal says.
type journalContent struct {
	begin    *beginRecord
	changes  []planner.Change
	findings []planner.Finding
	watch    []planner.Watch
	ready    bool
	entries  map[mstrapi.ObjectID]*journalEntry
	commands map[string]record // the latest of each name
	closed   bool
	last     time.Time // of the last record
}

// journalEntry is what a journal says about one principal.
type journalEntry struct {
	outcome *outcomeRecord  // the latest; nil: none
	open    []*intentRecord // announced after it
}

var (
	errOtherServer = errors.New("the journal belongs to another server")
	errNeverBegun  = errors.New("the journal was never begun")
)

// readJournal reads a journal, or its first line only if that names another
// server than same says. What stands after the last newline is a torn record and is
// ignored: an intent without a newline was never acted on, and an outcome is
// read from the server again.
func readJournal(path string, same func(url string) bool) (*journalContent, error) {
	f, err := OpenPlain(path)
	if err != nil {
		return nil, fmt.Errorf("journal %s: %w", path, err)
	}
	defer f.Close()
	return parseJournal(f, path, same)
}

func parseJournal(f io.Reader, path string, same func(url string) bool) (*journalContent, error) {
	return readRecords(path, "line", same, func(yield func([]byte, error) bool) {
		s := bufio.NewScanner(f)
		s.Buffer(make([]byte, 64<<10), maxJournalLine)
		s.Split(wholeLines)
		for s.Scan() {
			if !yield(decodeLine(s.Bytes())) {
				return
			}
		}
		if err := s.Err(); err != nil {
			yield(nil, err)
		}
	})
}

// readRecords puts together what the records say, each of which messages call by
// unit.
func readRecords(path, unit string, same func(url string) bool, records Records) (*journalContent, error) {
	c := &journalContent{entries: make(map[mstrapi.ObjectID]*journalEntry), commands: make(map[string]record)}
	seq := 0
	for text, err := range records {
		seq++
		var r record
		if err == nil {
			err = json.Unmarshal(text, &r)
		}
		if err == nil && r.Seq != seq {
			err = fmt.Errorf("record %d is missing", seq)
		}
		if err == nil {
			err = c.add(r)
		}
		if err != nil {
			return nil, fmt.Errorf("journal %s: %s %d: %w: %w", path, unit, seq, ErrJournal, err)
		}
		if seq == 1 && same != nil && !same(c.begin.Environment.URL) {
			return nil, errOtherServer
		}
	}
	if c.begin == nil {
		return nil, errNeverBegun
	}
	return c, nil
}

// wholeLines splits into lines that end with a newline and drops the rest.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF {
		return len(data), nil, nil
	}
	return 0, nil, nil
}

// decodeLine returns the record in a line.
func decodeLine(text []byte) ([]byte, error) {
	var l line
	if err := document.Unmarshal(text, &l); err != nil {
		return nil, err
	}
	if checksum(l.Record) != l.CRC {
		return nil, errors.New("the checksum does not match")
	}
	return l.Record, nil
}

// add takes up one record, in the order in which they may come.
func (c *journalContent) add(r record) error {
	if (c.begin == nil) != (r.Type == typeBegin) {
		return fmt.Errorf("a record %s is out of place", clean.Quote(clean.Clip(r.Type, 40)))
	}
	c.last = r.At
	entry := func(id mstrapi.ObjectID) (*journalEntry, error) {
		if e := c.entries[id]; e != nil && c.ready {
			return e, nil
		}
		return nil, fmt.Errorf("principal %s is not in the plan", clean.Quote(clean.Clip(string(id), 40)))
	}
	switch {
	case r.Type == typeBegin && r.Begin != nil:
		if r.Begin.Format != journalFormat {
			return fmt.Errorf("format is not %s", clean.Quote(journalFormat))
		}
		c.begin = r.Begin
	case r.Type == typeChange && r.Change != nil && !c.ready:
		planner.Adopt(r.Change.Grant, r.Change.Revoke)
		c.changes = append(c.changes, *r.Change)
		c.entries[r.Change.Principal.ID] = new(journalEntry)
	case r.Type == typeFinding && r.Finding != nil && !c.ready:
		c.findings = append(c.findings, *r.Finding)
	case r.Type == typeWatch && r.Watch != nil && !c.ready:
		c.watch = append(c.watch, *r.Watch)
	case r.Type == typeReady && r.Ready != nil && !c.ready:
		if r.Ready.Changes != len(c.changes) || r.Ready.Findings != len(c.findings) || r.Ready.Watch != len(c.watch) {
			return errors.New("the plan in it is not whole")
		}
		c.ready = true
	case r.Type == typeIntent && r.Intent != nil:
		e, err := entry(r.Intent.Principal)
		if err != nil {
			return err
		}
		e.open = append(e.open, r.Intent)
	case r.Type == typeOutcome && r.Outcome != nil:
		e, err := entry(r.Outcome.Result.Principal.ID)
		if err != nil {
			return err
		}
		e.outcome, e.open = r.Outcome, nil
	case (r.Type == typeCommandIntent || r.Type == typeCommandQueued || r.Type == typeCommandDone) && r.Command != nil:
		c.commands[r.Command.Name] = r
	case r.Type == typeClosed:
		c.closed = true
	default:
		return fmt.Errorf("a record %s is out of place", clean.Quote(clean.Clip(r.Type, 40)))
	}
	return nil
}

// RecoverServer is what [Recover] needs of a server. [*mstrapi.Reader]
// implements it.
type RecoverServer interface {
	PrincipalServer
	Queue(ctx context.Context, id string) (mstrapi.QueueEntry, error)
}

// RecoverOptions are the settings of [Recover]; the zero value is ready to use.
type RecoverOptions struct {
	// AcceptUnread writes the report although a principal whose write was in
	// flight cannot be read; it is then unverified. Without it that is an error and
	// the journal stays open. (A principal that the server says is gone is always
	// accepted.)
	AcceptUnread bool
	// VerifyTimeout is how long a reading may lag behind what was in flight when the
	// run died: see [Options].
	VerifyTimeout time.Duration
	// Signer signs the reports; nil: nobody.
	Signer Signer
}

// Recover writes the report of a run that died, where that run would have
// written it, and puts its journal aside. What the journal holds an outcome of
// keeps it; what was in flight is read from the server; what was never announced
// is not-attempted. The report says run.recovered, and where it was written is
// returned with it.
//
// If the run had written its report and only not put its journal aside, that
// report is returned and nothing is written twice. After an error the journal is
// as it was and Recover may be called again. The caller holds the server's lock.
func Recover(ctx context.Context, s RecoverServer, d *DeadRun, o RecoverOptions) (*Report, []string, error) {
	report, paths, err := d.store.Finish(ctx, d, func() (*Report, error) { return d.reconstruct(ctx, s, o) }, o.Signer)
	if err != nil {
		return nil, nil, fmt.Errorf("recover run %s: %w", d.Run.ID, err)
	}
	return report, paths, nil
}

// delivered returns the report that the run wrote before it died, if any, the
// destinations that lack it, and the paths of those that have it.
func (d *DeadRun) delivered() (*Report, Destination, []string) {
	var report *Report
	var paths []string
	missing := d.Destination
	has := func(path string) bool {
		r, err := ReadReportFile(path)
		if err != nil || r.Run.ID != d.Run.ID {
			return false
		}
		report = r
		paths = append(paths, path)
		return true
	}
	if d.Destination.Dir != "" && has(filepath.Join(d.Destination.Dir, ReportFileName(d.Run))) {
		missing.Dir = ""
	}
	if d.Destination.File != "" && has(d.Destination.File) && missing.Dir == "" {
		// A folder gets its report first. If it is gone there, the file is written
		// again, with the digest that it gets in the chain.
		missing.File = ""
	}
	return report, missing, paths
}

// reconstruct makes the dead run's report from its journal and the server.
func (d *DeadRun) reconstruct(ctx context.Context, s RecoverServer, o RecoverOptions) (*Report, error) {
	c, b := d.journal, d.journal.begin
	// A run that only reads, and gives verdicts as a live one does.
	r := &run{
		ctx: ctx, look: s, level: b.Scope.Level, died: true,
		plan: &planner.Plan{
			Environment: b.Environment, Policy: b.Policy, Scope: b.Scope, Digest: b.PlanDigest, Source: b.PlanSource, Coverage: b.Coverage, Rules: b.Rules,
			Findings: c.findings, Changes: c.changes, Watch: c.watch,
		},
		o:    Options{Tool: b.Tool, Actor: b.Actor, Guards: b.Guards, Maker: b.Maker, Approvals: b.Approvals, VerifyTimeout: o.VerifyTimeout}.withDefaults(nil),
		byID: make(map[mstrapi.ObjectID]*task), again: make(map[mstrapi.ObjectID]*visit),
	}
	r.wrote()
	left := 0
	for i := range c.changes {
		t, undone, err := d.result(r, &c.changes[i], o)
		if err != nil {
			return nil, err
		}
		if undone {
			left++
		}
		r.tasks = append(r.tasks, t)
		r.byID[t.change.Principal.ID] = t
	}
	commands := []CommandResult{}
	for _, name := range b.Commands {
		res := c.command(ctx, s, name)
		if res.Outcome == CommandInterrupted || res.Outcome == CommandNotAttempted {
			left++
		}
		commands = append(commands, res)
	}
	r.lookAgain(commands)
	for _, v := range r.again {
		if v.err != nil && !v.gone && (!o.AcceptUnread || ctx.Err() != nil) {
			return nil, fmt.Errorf("reading %s, which the run wrote or touched: %w", v.principal.Label(), v.err)
		}
	}
	r.conclude()
	report := r.report(nil)
	report.Run, report.Commands = b.Run, commands
	report.Run.Recovered, report.Run.Other, report.Run.FinishedAt = true, d.Other, c.last
	report.summarize()
	report.judge(left)
	return report, nil
}

// result tells what came of one principal, and whether the run's death left
// something of it undone or in doubt.
func (d *DeadRun) result(r *run, change *planner.Change, o RecoverOptions) (*task, bool, error) {
	e := d.journal.entries[change.Principal.ID]
	t := &task{change: change, res: Result{Outcome: NotAttempted, StartedAt: d.Run.StartedAt,
		Before: &Sets{Direct: change.Observed.Direct, Inherited: change.Observed.Inherited}}}
	ended := false
	if e.outcome != nil {
		t.res, ended = e.outcome.Result, e.outcome.Ended
		t.spent = time.Duration(t.res.DurationMs) * time.Millisecond
	}
	t.res.Principal, t.res.Grant, t.res.Revoke = change.Principal, orEmpty(change.Grant), orEmpty(change.Revoke)
	t.wrote = t.res.Attempts > 0
	if t.res.Before != nil {
		t.expected = t.res.Before.Direct.Union(planner.SetOf(t.res.Granted...)).Minus(planner.SetOf(t.res.Revoked...))
	}
	switch {
	case len(e.open) > 0:
		return t, true, d.inFlight(r, t, e.open, o)
	case e.outcome == nil:
		return t, true, nil
	case !ended:
		t.holdBack(change.Revoke)
		t.res.Error = &Error{Message: "the run died between the waves"}
		return t, true, nil
	}
	return t, t.res.Outcome == NotAttempted, nil
}

// inFlight reads a principal whose write was announced and has no outcome, until
// it is seen or no reading can lag behind it any more.
func (d *DeadRun) inFlight(r *run, t *task, open []*intentRecord, o RecoverOptions) error {
	in := open[0] // further ones are the same write once more
	j := &job{t: t, w: in.Wave, held: len(in.HeldBack) > 0}
	j.grant, j.revoke = in.Wave.part(t.change)
	j.revoke = slices.DeleteFunc(slices.Clone(j.revoke), func(p planner.PlannedPrivilege) bool { return !slices.Contains(in.Remove, p.ID) })
	t.res.HeldBack = in.HeldBack
	t.res.Attempts += len(open)
	t.res.StartedAt = in.StartedAt
	t.wrote = true
	if t.res.Before == nil || d.journal.entries[t.change.Principal.ID].outcome == nil {
		t.res.Before = in.Before
	}
	if in.Before != nil {
		t.expected = in.Before.Direct
	}
	add, remove := planned(j.grant), planned(j.revoke)
	sets, err := r.readUntil(r.ctx, t, in.Wave, func(s *Sets) bool { return done(s.Direct, add, remove) })
	switch {
	case err != nil && r.left(t, err):
	case err != nil && (!o.AcceptUnread || r.ctx.Err() != nil):
		return fmt.Errorf("reading what was in flight: %w", err)
	case err != nil:
		r.unreadable(j, reportError(unknownWhetherDone+": the run died with this write in flight, and what it did cannot be read", err))
	case done(sets.Direct, add, remove):
		r.settle(j, t.expected, sets, nil)
		if !t.ended {
			t.holdBack(t.change.Revoke)
			t.res.Error = &Error{Message: "the run died between the waves"}
		}
	default:
		r.settle(j, t.expected, sets, &Error{Message: unknownWhetherDone + ": the run died with this write in flight, and it is not to be seen"})
	}
	return nil
}

// command tells what came of one metadata command.
func (c *journalContent) command(ctx context.Context, s RecoverServer, name string) CommandResult {
	r, ok := c.commands[name]
	if !ok {
		return CommandResult{Name: name, Outcome: CommandNotAttempted}
	}
	res := *r.Command
	switch r.Type {
	case typeCommandIntent:
		res.Outcome = CommandInterrupted
		res.Error = &Error{Message: "the run died when it submitted the command: the server may be running it"}
	case typeCommandQueued:
		res.Outcome = CommandInterrupted
		entry, err := s.Queue(ctx, res.QueueID)
		if err != nil {
			res.Error = reportError("queue entry", err)
			break
		}
		res.Status, res.Progress, res.IServerErrorCode = entry.Status, entry.Progress, entry.IServerErrorCode
		ended(&res)
	}
	return res
}

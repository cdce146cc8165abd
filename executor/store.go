package executor

import (
	"context"
	"iter"
	"time"

	"privsync/planner"
)

// Store keeps what outlives a run: the lock of a server, the journals of runs, their
// reports, and which approvals were used. [Folder] keeps it in a folder of one machine;
// package pgstore keeps it in a database that several machines share.
//
// A store is used by one run at a time; its methods are not called concurrently but for
// those of the [Journal] and the [Lock] that it gives.
type Store interface {
	// String names the store for messages; it holds no secret.
	String() string
	// Fallback is where reports go that have no other place.
	Fallback() Destination

	// Lock takes the lock for server, so that no other run works on it. It waits up to
	// timeout (0: not at all) and then returns a [*LockedError]; ctx ends the wait
	// early with its error.
	Lock(ctx context.Context, server Target, holder Holder, timeout time.Duration) (Lock, error)

	// OpenJournal starts the journal of a run that is about to apply plan. o is what Apply
	// will be given; o.RunID must not be empty. The report will be delivered to. When
	// OpenJournal returns, all that a recovery needs is durable. The caller holds the
	// server's lock: an open journal of a server whose lock is free belongs to a run that
	// died.
	OpenJournal(ctx context.Context, plan *planner.Plan, o Options, to Destination) (*Journal, error)
	// FindOpen returns the open journals of runs on a server whose base URL is one that
	// same reports (all servers if same is nil), oldest first. The caller holds the
	// server's lock: otherwise the journal of a run that is alive is among them. An error
	// that matches [ErrJournal] names a damaged journal, which a person has to look at.
	FindOpen(ctx context.Context, same func(url string) bool) ([]*DeadRun, error)
	// Finish writes the report of d where d.Destination says, and closes its journal.
	// The report is the one that remake returns, unless the run had written one before
	// it died. It returns the report and where it is. After an error the journal
	// is as it was.
	Finish(ctx context.Context, d *DeadRun, remake func() (*Report, error), s Signer) (*Report, []string, error)

	// Ended reports whether the journal of the run of that id says that it is over. The
	// id may be any text.
	Ended(ctx context.Context, runID string) (bool, error)

	// Check returns why the report of a run could not be delivered, as far as that can
	// be known before there is one, and makes good what a run that died left unfinished
	// in the chain of reports.
	Check(ctx context.Context, to Destination, s Signer) error
	// Deliver writes report to, as [Report.Deliver] does, and returns the places.
	Deliver(ctx context.Context, report *Report, to Destination, s Signer) ([]string, error)
	// Past returns what the newest reports say that earlier runs of the policy did on
	// the server; see [FindPast].
	Past(ctx context.Context, to Destination, same func(url string) bool, ref planner.PolicyRef) (planner.Past, error)
	// Earlier returns what is known of runs that applied plan before, and of what later runs
	// on its server, a URL of which same reports, made of that. It returns what it found
	// also with an error, which says what could not be read.
	Earlier(ctx context.Context, to Destination, plan *planner.Plan, same func(url string) bool) (*Earlier, error)

	// Unspent returns nil if no run was made with the approvals of plan, as far as
	// journals and reports tell, also those at to. Otherwise the error matches [ErrSpent].
	Unspent(ctx context.Context, to Destination, plan *planner.Plan) error
	// Spend notes that run is made with the approvals of plan. It must be called, under
	// the server's lock, before the first write; the error matches [ErrSpent] if another
	// run was before it.
	Spend(ctx context.Context, plan *planner.Plan, run Run, now time.Time) error

	// Close lets go of what the store uses. Locks are given back first.
	Close() error
}

// Lock keeps two runs on one server apart. It is held until Release, or until the
// process ends, however it ends.
type Lock interface {
	Release() error
	// Left returns who had the lock before and did not give it back, as far as that is
	// known: those processes died. The texts are untrusted.
	Left() []Holder
}

// JournalWriter is where the records of one journal go. A [Journal] makes its calls
// one at a time, but for Write, which may be called during a Sync.
type JournalWriter interface {
	// Write takes records, which follow those that it took before. They need not be
	// durable when it returns.
	Write(records []Record) error
	// Sync returns when all that Write took is durable.
	Sync() error
	// Begin is called once, when everything that a recovery needs was written: it returns
	// when that is durable. Before that nobody can find the journal.
	Begin() error
	// Close puts the journal aside, because its report is written.
	Close() error
	// Abandon leaves the journal as it is for a recovery, or, before Begin, leaves none.
	Abandon() error
}

// Record is one record of a journal, as a [Store] keeps it.
type Record struct {
	Seq       int                // from 1 on, without a gap
	Type      string             // begin, change, intent, outcome …
	At        time.Time          // to the millisecond
	Principal *planner.Principal // whom it is about; nil: nobody
	Text      []byte             // the record as JSON, without a newline
}

// Records are the texts of a journal's records, in order; an error ends them.
type Records = iter.Seq2[[]byte, error]

package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"privsync/clean"
	"privsync/executor"
	"privsync/panics"
	"privsync/planner"
)

const (
	// flushDelay is how long an outcome may wait for an intent to be committed with.
	flushDelay = 50 * time.Millisecond
	// batchRows and batchBytes bound what one statement inserts.
	batchRows  = 1000
	batchBytes = 4 << 20
)

// journal is the [executor.JournalWriter] of a [Store]. Records that come while others are
// being committed are committed together afterwards.
type journal struct {
	s     *Store
	run   string
	fence int64

	begun bool // the rows up to ready are committed

	commit sync.Mutex // held while rows are being committed, and before mu

	mu      sync.Mutex // guards what follows
	pending []executor.Record
	timer   *time.Timer // flushes outcomes that no intent takes along; nil: none is due
	last    int         // number of the last record that was committed
	err     error       // the first failure
	closed  bool
}

// OpenJournal starts the journal of a run under the lock that the store holds.
func (s *Store) OpenJournal(ctx context.Context, plan *planner.Plan, o executor.Options, to executor.Destination) (*executor.Journal, error) {
	return executor.NewJournal(plan, o, to, func(run executor.Run) (executor.JournalWriter, error) {
		return s.newJournal(ctx, plan.Environment.URL, run)
	})
}

// newJournal begins the transaction in which the rows up to ready are committed.
func (s *Store) newJournal(ctx context.Context, url string, run executor.Run) (*journal, error) {
	s.mu.Lock()
	l := s.lock
	s.mu.Unlock()
	if l == nil {
		return nil, errors.New("the server is not locked")
	}
	j := &journal{s: s, run: runName(run), fence: l.fence}
	err := s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Prepare(ctx, insertRecords, insertRecordsSQL); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
			return err
		}
		if err := s.insertRun(ctx, conn, executor.ThisProcess(), j.run, run, url, &j.fence); err != nil {
			_, _ = conn.Exec(ctx, "ROLLBACK")
			if sqlState(err) == stateUnique {
				return fmt.Errorf("the store has a run %s already", j.run)
			}
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.journal = j
	s.mu.Unlock()
	return j, nil
}

// runName is the name of a run: that of its report, without the suffix.
func runName(run executor.Run) string {
	return strings.TrimSuffix(executor.ReportFileName(run), ".json")
}

func (s *Store) insertRun(ctx context.Context, q execer, me executor.Holder, name string, run executor.Run, url string, fence *int64) error {
	_, err := q.Exec(ctx, `INSERT INTO run (name, id, command, url, started_at, host, pid, account, tool, fence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		name, plain(run.ID), plain(run.Command), plain(url), run.StartedAt.UTC(), plain(me.Host), me.PID, plain(me.User), plain(s.cfg.Tool), fence)
	return err
}

// Write takes records. Before Begin they are sent when there are many, afterwards with
// the next Sync, or by themselves a moment later.
func (j *journal) Write(records []executor.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	for _, r := range records {
		if r.Type == typeClosed {
			continue // the report's transaction has closed the journal
		}
		r.Text = append([]byte(nil), r.Text...)
		j.pending = append(j.pending, r)
	}
	switch {
	case j.closed || len(j.pending) == 0:
	case !j.begun:
		if len(j.pending) >= batchRows {
			return j.sendLocked()
		}
	case j.timer == nil:
		j.timer = time.AfterFunc(flushDelay, func() {
			// A failure stays, and is told to the next who writes.
			_ = panics.Catch(j.flush)
		})
	}
	return nil
}

// typeClosed is the type of the last record of a journal.
const typeClosed = "closed"

// Begin commits what was written so far.
func (j *journal) Begin() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.sendLocked()
	if err == nil {
		err = j.s.do(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "COMMIT")
			return err
		})
	}
	j.begun = err == nil
	return err
}

// sendLocked inserts what is pending. The caller holds mu, and nobody else uses the
// journal.
func (j *journal) sendLocked() error {
	err := j.s.do(context.Background(), func(ctx context.Context, conn *pgx.Conn) error { return j.insert(ctx, conn, j.pending) })
	if err != nil {
		j.err = err
		return err
	}
	j.sent(len(j.pending))
	return nil
}

// sent notes that the first n of those pending were inserted.
func (j *journal) sent(n int) {
	if n > 0 {
		j.last = j.pending[n-1].Seq
	}
	j.pending = append([]executor.Record(nil), j.pending[n:]...)
}

// Sync commits what was written so far.
func (j *journal) Sync() error { return j.flush() }

func (j *journal) flush() error {
	j.commit.Lock()
	defer j.commit.Unlock()
	j.mu.Lock()
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
	batch, err := j.pending, j.err
	if j.closed {
		batch = nil
	}
	j.mu.Unlock()
	if err != nil || len(batch) == 0 {
		return err
	}
	err = j.s.do(context.Background(), func(ctx context.Context, conn *pgx.Conn) error { return j.insert(ctx, conn, batch) })
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		// They stay pending: if the report can be stored after all, so can they.
		if j.err == nil {
			j.err = err
		}
		return j.err
	}
	j.sent(len(batch))
	return nil
}

// insert adds rows for the records, in as many statements as they need.
func (j *journal) insert(ctx context.Context, q execer, records []executor.Record) error {
	for len(records) > 0 {
		n, size := 0, 0
		for n < len(records) && n < batchRows && (n == 0 || size+len(records[n].Text) <= batchBytes) {
			size += len(records[n].Text)
			n++
		}
		if err := j.insertBatch(ctx, q, records[:n]); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// insertRecords is the name of the statement that adds rows: it is prepared once, for
// it is carried out thousands of times.
const insertRecords = "privsync_records"

const insertRecordsSQL = `INSERT INTO journal (run, fence, seq, type, at, kind, principal_id, principal, login, record)
	SELECT $1, $2, r.seq, r.type, r.at, nullif(r.kind, ''), nullif(r.id, ''), nullif(r.name, ''), nullif(r.login, ''), r.record::json
	FROM unnest($3::integer[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[]) AS r (seq, type, at, kind, id, name, login, record)`

func (j *journal) insertBatch(ctx context.Context, q execer, records []executor.Record) error {
	n := len(records)
	seqs, times := make([]int32, n), make([]time.Time, n)
	types, kinds, ids, names, logins, texts := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, r := range records {
		seqs[i], times[i], types[i], texts[i] = int32(r.Seq), r.At.UTC(), r.Type, string(r.Text)
		if p := r.Principal; p != nil {
			kinds[i], ids[i], names[i], logins[i] = clean.Text(string(p.Kind)), clean.Text(string(p.ID)), clean.Text(p.Name), clean.Text(p.Login)
		}
	}
	_, err := q.Exec(ctx, insertRecords, j.run, j.fence, seqs, types, times, kinds, ids, names, logins, texts)
	return err
}

// Close does nothing if the report was stored, which closed the journal.
func (j *journal) Close() error {
	j.stop()
	if !j.closed {
		return errors.New("its report is not in the store, so it stays open")
	}
	return nil
}

// Abandon leaves the journal open, or, before Begin, takes back what was written.
func (j *journal) Abandon() error {
	j.stop()
	if j.begun {
		return nil
	}
	return j.s.do(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "ROLLBACK")
		return err
	})
}

// stop lets go of the store.
func (j *journal) stop() {
	j.mu.Lock()
	if j.timer != nil {
		j.timer.Stop()
		j.timer = nil
	}
	j.mu.Unlock()
	j.s.mu.Lock()
	defer j.s.mu.Unlock()
	if j.s.journal == j {
		j.s.journal = nil
	}
}

package pgstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"privsync/executor"
)

// mainChain is the chain that runs add to.
const mainChain = "main"

// partSize is how many bytes of a document stand in one row.
const partSize = 1 << 20

// head is the newest report of a chain, as the closing rows of journals tell it.
type head struct {
	executor.Head
	signature []byte // over the head; nil: none
}

// next returns the head with one report more.
func (h head) next(file, digest string) head { return head{Head: h.With(file, digest)} }

// fileOf returns the name of a run's report in a folder.
func fileOf(run string) string { return run[strings.LastIndexByte(run, '/')+1:] + ".json" }

// readHead returns the head of a chain; the zero head, but for what was pruned, where it
// has no report.
func readHead(ctx context.Context, q queryer, chain string) (head, error) {
	var h head
	if err := orNone(q.QueryRow(ctx, "SELECT pruned, checkpoint FROM chain WHERE chain = $1", chain).Scan(&h.Pruned, &h.Checkpoint)); err != nil {
		return h, err
	}
	var run string
	err := q.QueryRow(ctx, "SELECT length, run, digest FROM journal WHERE type = 'closed' AND chain = $1 ORDER BY length DESC LIMIT 1", chain).Scan(&h.Length, &run, &h.Digest)
	if errors.Is(err, pgx.ErrNoRows) {
		h.Length, h.Digest = h.Pruned, h.Checkpoint
		return h, nil
	}
	if err != nil {
		return h, err
	}
	h.File = fileOf(run)
	err = q.QueryRow(ctx, "SELECT signature FROM head_signature WHERE chain = $1 AND length = $2 ORDER BY id DESC LIMIT 1", chain, h.Length).Scan(&h.signature)
	return h, orNone(err)
}

// head is readHead as a statement of its own.
func (s *Store) head(ctx context.Context, chain string) (h head, err error) {
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		h, err = readHead(ctx, conn, chain)
		return err
	})
	return h, err
}

// checkSigner returns why s must not sign what follows h, or that a chain that is signed
// needs a signer: the error matches [executor.ErrUnsigned].
func (h head) checkSigner(s executor.Signer) error {
	switch {
	case h.Digest == "" || s == nil && h.signature == nil:
		return nil
	case s == nil:
		return fmt.Errorf("the chain of reports in the store is signed, and what follows would be %w", executor.ErrUnsigned)
	case h.signature == nil:
		return fmt.Errorf("the head of the chain in the store is %w: it has no signature", executor.ErrUnsigned)
	}
	if err := executor.CheckDocument(s, h, h.signature); err != nil {
		return fmt.Errorf("the head of the chain in the store is %w with the key at hand: %w", executor.ErrUnsigned, err)
	}
	return nil
}

// Check returns why the report of a run could not be delivered.
func (s *Store) Check(ctx context.Context, to executor.Destination, signer executor.Signer) error {
	h, err := s.head(ctx, mainChain)
	if err == nil {
		err = h.checkSigner(signer)
	}
	if err != nil {
		return err
	}
	return to.CheckChain(ctx, func(string) bool { return false }, signer)
}

// Deliver adds the report to the chain in the store, which sets Previous and Digest, and
// closes the journal of its run; then it writes it where else to says: into a file as it
// was sealed, into a folder as the next link of the chain there. If only that fails, the
// error comes with the place in the store.
func (s *Store) Deliver(ctx context.Context, report *executor.Report, to executor.Destination, signer executor.Signer) ([]string, error) {
	s.mu.Lock()
	j := s.journal
	s.mu.Unlock()
	if s.lock == nil {
		// What was lost while the run looked at the server is noticed now, and made anew.
		_ = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
	}
	c := closing{run: runName(report.Run)}
	if j != nil && j.run == c.run {
		c.journal = j
	}
	place, err := s.add(ctx, report, c, signer)
	if err != nil && !errors.Is(err, executor.ErrUnsigned) {
		return nil, err
	}
	copies, e := writeCopies(ctx, report, to, signer)
	return append([]string{place}, copies...), errors.Join(err, e)
}

// writeCopies writes a report that the store has to the places of to.
func writeCopies(ctx context.Context, report *executor.Report, to executor.Destination, signer executor.Signer) ([]string, error) {
	var paths []string
	var errs []error
	if to.File != "" {
		written, err := report.Deliver(ctx, executor.Destination{File: to.File}, signer)
		paths, errs = append(paths, written...), append(errs, err)
	}
	if to.Dir != "" {
		// The chain there has other reports, and so another digest.
		link := *report
		written, err := link.Deliver(ctx, executor.Destination{Dir: to.Dir}, signer)
		paths, errs = append(paths, written...), append(errs, err)
	}
	return paths, errors.Join(errs...)
}

// closing says which journal a report closes.
type closing struct {
	run     string
	journal *journal // of this process; nil: none
	dead    bool     // there are rows of another process

	imported bool // from a folder: whose run it was is not known
}

// add puts the report into the main chain and closes the journal of its run, in one
// transaction. It returns the report's place, and that also with an error which matches
// [executor.ErrUnsigned].
func (s *Store) add(ctx context.Context, report *executor.Report, c closing, signer executor.Signer) (place string, err error) {
	if j := c.journal; j != nil {
		j.commit.Lock()
		defer j.commit.Unlock()
	}
	var unsigned error
	err = s.doLong(ctx, func(ctx context.Context, tx pgx.Tx) error {
		unsigned = nil
		if err := lockChain(ctx, tx); err != nil {
			return err
		}
		h, err := readHead(ctx, tx, mainChain)
		if err != nil {
			return err
		}
		report.Previous = h.Digest
		if err := report.Seal(); err != nil {
			return err
		}
		next := h.next(fileOf(c.run), report.Digest)
		var signature, headSignature []byte
		if signer != nil {
			if unsigned = h.checkSigner(signer); unsigned == nil {
				if signature, err = executor.SignDocument(signer, report); err == nil {
					headSignature, err = executor.SignDocument(signer, next)
				}
				if err != nil {
					unsigned = fmt.Errorf("%w: %w", executor.ErrUnsigned, err)
				}
			}
		}
		return s.addLink(ctx, tx, link{
			chain: mainChain, head: next, signature: signature, headSignature: headSignature, closing: c,
			document: func(w io.Writer) (*executor.Report, error) {
				_, err := report.WriteTo(w)
				return report, err
			},
		})
	})
	if err != nil {
		return "", err
	}
	if j := c.journal; j != nil {
		j.mu.Lock()
		j.closed, j.pending, j.err = true, nil, nil
		j.mu.Unlock()
	}
	return s.place(fileOf(c.run)), unsigned
}

// place names a report in the store for people.
func (s *Store) place(file string) string { return s.name + " " + file }

// lockChain lets one at a time add to chains, until the end of the transaction.
func lockChain(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(lock_number('chains'))")
	return err
}

// link is a report that is about to be added to a chain.
type link struct {
	chain         string
	head          head                                      // with the report
	document      func(io.Writer) (*executor.Report, error) // writes the document as it was sealed
	signature     []byte
	headSignature []byte
	closing
}

// addLink adds a report as the newest of its chain, and the row that closes its journal.
func (s *Store) addLink(ctx context.Context, tx pgx.Tx, l link) error {
	// The report comes after its parts: what it is may be known only when it was read.
	w := &partWriter{ctx: ctx, tx: tx, link: &l}
	r, err := l.document(w)
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		return err
	}
	seq := 1
	var fence *int64
	switch {
	case l.journal != nil:
		// Outcomes that nobody waited for go along.
		l.journal.mu.Lock()
		pending := l.journal.pending
		l.journal.mu.Unlock()
		if err := l.journal.insert(ctx, tx, pending); err != nil {
			return err
		}
		seq, fence = l.journal.last+1, &l.journal.fence
		if len(pending) > 0 {
			seq = pending[len(pending)-1].Seq + 1
		}
	case l.dead:
		if s.lock == nil {
			return errors.New("the server is not locked")
		}
		fence = &s.lock.fence
		if err := tx.QueryRow(ctx, "SELECT max(seq) + 1 FROM journal WHERE run = $1", l.run).Scan(&seq); err != nil {
			return err
		}
	default:
		me := executor.ThisProcess()
		if l.imported {
			me = executor.Holder{}
		}
		if err := s.insertRun(ctx, tx, me, l.run, r.Run, r.Environment.URL, nil); err != nil {
			if sqlState(err) == stateUnique {
				return executor.ErrDelivered
			}
			return err
		}
	}
	summary, err := json.Marshal(r.Summary)
	if err != nil {
		return err
	}
	plan := ""
	if r.Plan != nil {
		plan = r.Plan.Digest
	}
	_, err = tx.Exec(ctx, `INSERT INTO report (chain, length, run, file, digest, previous, signature, command, outcome, recovered,
		started_at, finished_at, url, environment, policy, policy_digest, base_digest, plan_digest, summary)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19::json)`,
		l.chain, l.head.Length, l.run, l.head.File, r.Digest, r.Previous, l.signature, plain(r.Run.Command), plain(string(r.Run.Outcome)), r.Run.Recovered,
		r.Run.StartedAt.UTC(), r.Run.FinishedAt.UTC(), plain(r.Environment.URL), plain(r.Policy.Environment), plain(r.Policy.Name), plain(r.Policy.Digest), plain(r.Policy.BaseDigest), plain(plan), string(summary))
	if err != nil {
		return err
	}
	if l.headSignature != nil {
		if _, err := tx.Exec(ctx, "INSERT INTO head_signature (chain, length, signature) VALUES ($1, $2, $3)", l.chain, l.head.Length, l.headSignature); err != nil {
			return err
		}
	}
	if err := s.addHistory(ctx, tx, l, r); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO journal (run, seq, type, at, fence, chain, length, digest) VALUES ($1, $2, 'closed', $3, $4, $5, $6, $7)`,
		l.run, seq, r.Run.FinishedAt.UTC(), fence, l.chain, l.head.Length, r.Digest)
	return err
}

// partWriter inserts what it is given, part by part.
type partWriter struct {
	ctx  context.Context
	tx   pgx.Tx
	link *link
	buf  []byte
	n    int
}

// Write takes p; whole parts are inserted.
func (w *partWriter) Write(p []byte) (int, error) {
	w.buf = append(w.buf, p...)
	for len(w.buf) >= partSize {
		if err := w.insert(w.buf[:partSize]); err != nil {
			return 0, err
		}
		w.buf = append(w.buf[:0], w.buf[partSize:]...)
	}
	return len(p), nil
}

func (w *partWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	return w.insert(w.buf)
}

func (w *partWriter) insert(p []byte) error {
	_, err := w.tx.Exec(w.ctx, "INSERT INTO part (chain, length, n, bytes) VALUES ($1, $2, $3, $4)", w.link.chain, w.link.head.Length, w.n, p)
	w.n++
	return err
}

// Finish stores the report of a run that died, and closes its journal. Then it writes the
// report where d.Destination says on this machine.
func (s *Store) Finish(ctx context.Context, d *executor.DeadRun, remake func() (*executor.Report, error), signer executor.Signer) (*executor.Report, []string, error) {
	report, err := remake()
	if err != nil {
		return nil, nil, err
	}
	place, err := s.add(ctx, report, closing{run: runName(d.Run), dead: true}, signer)
	if err != nil {
		return nil, nil, err
	}
	// The run may have come as far as to write there; what it said itself stays.
	to := d.Destination
	if to.Dir != "" && wrote(filepath.Join(to.Dir, executor.ReportFileName(d.Run)), d.Run) {
		to.Dir = ""
	}
	if to.File != "" && wrote(to.File, d.Run) {
		to.File = ""
	}
	copies, err := writeCopies(ctx, report, to, signer)
	return report, append([]string{place}, copies...), err
}

// wrote reports whether the file holds a whole report of the run.
func wrote(file string, run executor.Run) bool {
	r, err := executor.ReadReportFile(file)
	return err == nil && r.Run.ID == run.ID
}

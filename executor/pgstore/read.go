package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"privsync/clean"
	"privsync/executor"
	"privsync/planner"
)

// FindOpen returns the runs whose journals are open, in the order in which they took the
// lock, which no clock decides.
func (s *Store) FindOpen(ctx context.Context, same func(url string) bool) ([]*executor.DeadRun, error) {
	type openRun struct {
		Name, URL, Host, Account string
	}
	open, err := ask(ctx, s, pgx.RowToStructByPos[openRun], `SELECT name, url, host, account FROM run r
		WHERE fence IS NOT NULL AND NOT EXISTS (SELECT FROM journal j WHERE j.run = r.name AND j.type = 'closed') ORDER BY fence, name`)
	if err != nil {
		return nil, err
	}
	me := executor.ThisProcess()
	var dead []*executor.DeadRun
	for _, o := range open {
		if same != nil && !same(o.URL) {
			continue
		}
		d, err := executor.ReadDeadRun(s, o.Name+" in the store "+s.name, s.records(ctx, o.Name))
		if err != nil {
			return nil, err
		}
		if d == nil {
			continue
		}
		if o.Host != plain(me.Host) || o.Account != plain(me.User) {
			d.Host = strings.TrimSpace(o.Account + " on " + o.Host)
		}
		dead = append(dead, d)
	}
	return dead, nil
}

// Ended reports whether a run of that id has stored its report.
func (s *Store) Ended(ctx context.Context, runID string) (bool, error) {
	var ended bool
	err := s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM run r JOIN journal j ON j.run = r.name AND j.type = 'closed' WHERE r.id = $1)", plain(runID)).Scan(&ended)
	})
	return ended, err
}

// records returns the records of a run.
func (s *Store) records(ctx context.Context, run string) executor.Records {
	return func(yield func([]byte, error) bool) {
		const step = 2000
		for after := 0; ; after += step {
			texts, err := ask(ctx, s, pgx.RowTo[string], "SELECT coalesce(record::text, '') FROM journal WHERE run = $1 AND seq > $2 AND seq <= $2 + $3 ORDER BY seq", run, after, step)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, t := range texts {
				if !yield([]byte(t), nil) {
					return
				}
			}
			if len(texts) < step {
				return
			}
		}
	}
}

// Entry is a report of the store.
type Entry struct {
	Chain    string
	Length   int // its place in the chain
	Run      string
	File     string
	Digest   string
	Previous string
	Command  string
	Started  time.Time

	Signature []byte // over the document; nil: none
}

// entries returns reports; where is the rest of the statement.
func (s *Store) entries(ctx context.Context, where string, args ...any) ([]Entry, error) {
	return ask(ctx, s, pgx.RowToStructByPos[Entry], "SELECT chain, length, run, file, digest, previous, command, started_at, signature FROM report "+where, args...)
}

// document returns the document of a report.
func (s *Store) document(e Entry) executor.Document {
	return executor.Document{Name: s.place(e.File), Open: func() (io.ReadCloser, error) {
		return &partReader{s: s, e: e}, nil
	}}
}

// partReader reads a document part by part.
type partReader struct {
	s    *Store
	e    Entry
	n    int
	left []byte
	end  error
}

// Read returns the error of the store, or one that matches [fs.ErrNotExist] if there is
// no document.
func (r *partReader) Read(p []byte) (int, error) {
	for len(r.left) == 0 {
		if r.end != nil {
			return 0, r.end
		}
		err := r.s.do(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SELECT bytes FROM part WHERE chain = $1 AND length = $2 AND n = $3", r.e.Chain, r.e.Length, r.n).Scan(&r.left)
		})
		switch {
		case errors.Is(err, pgx.ErrNoRows) && r.n == 0:
			r.end = fs.ErrNotExist
		case errors.Is(err, pgx.ErrNoRows):
			r.end = io.EOF
		case err != nil:
			r.end = err
		}
		r.n++
	}
	n := copy(p, r.left)
	r.left = r.left[n:]
	return n, nil
}

// Close does nothing.
func (r *partReader) Close() error { return nil }

// maxPast is how many of the newest reports of a policy are looked at.
const maxPast = 100

// Past looks at the newest reports of the policy in the store.
func (s *Store) Past(ctx context.Context, _ executor.Destination, same func(url string) bool, ref planner.PolicyRef) (planner.Past, error) {
	list, err := s.entries(ctx, "WHERE command = 'apply' AND policy = $1 AND environment = $2 ORDER BY stored_at DESC LIMIT $3", plain(ref.Name), plain(ref.Environment), maxPast)
	if err != nil {
		return planner.Past{}, err
	}
	return executor.PastOf(s.documents(list), same, ref)
}

// Earlier looks at the reports of runs of the plan in the store, and of those after them.
func (s *Store) Earlier(ctx context.Context, _ executor.Destination, plan *planner.Plan, same func(url string) bool) (*executor.Earlier, error) {
	list, err := s.entries(ctx, `WHERE command = 'apply' AND stored_at >= (SELECT min(stored_at) FROM report WHERE plan_digest = $1) ORDER BY stored_at`, plain(plan.Digest))
	if err != nil || len(list) == 0 {
		return &executor.Earlier{}, err
	}
	return executor.EarlierOf(s.documents(list), plan, same)
}

func (s *Store) documents(list []Entry) []executor.Document {
	docs := make([]executor.Document, len(list))
	for i, e := range list {
		docs[i] = s.document(e)
	}
	return docs
}

// Find returns the report that name names: the name of its file, the id of its run, or
// its digest, whole or its first 12 digits and more. The error matches [fs.ErrNotExist]
// if there is none.
func (s *Store) Find(ctx context.Context, name string) (executor.Document, Entry, error) {
	digest := "sha256:" + strings.TrimPrefix(name, "sha256:")
	prefix := "-"
	if regexp.MustCompile(`^sha256:[0-9a-f]{12,64}$`).MatchString(digest) {
		prefix = digest
	}
	list, err := s.entries(ctx, `WHERE file IN ($1, $1 || '.json') OR run IN (SELECT name FROM run WHERE id = $1) OR starts_with(digest, $2) ORDER BY stored_at DESC, chain, length LIMIT 2`, plain(name), prefix)
	switch {
	case err != nil:
		return executor.Document{}, Entry{}, err
	case len(list) == 0:
		return executor.Document{}, Entry{}, fmt.Errorf("the store %s has no report %s: %w", s.name, clean.Quote(clean.Clip(name, 120)), fs.ErrNotExist)
	case len(list) > 1:
		return executor.Document{}, Entry{}, fmt.Errorf("%s names several reports of the store %s: %s and %s", clean.Quote(clean.Clip(name, 120)), s.name, list[0].Digest, list[1].Digest)
	}
	return s.document(list[0]), list[0], nil
}

// Unspent looks into the store, and into the folder of reports at to.
func (s *Store) Unspent(ctx context.Context, to executor.Destination, plan *planner.Plan) error {
	if err := s.spentBy(ctx, plan); err != nil {
		return err
	}
	list, err := s.entries(ctx, "WHERE plan_digest = $1 AND command = 'apply'", plain(plan.Digest))
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := executor.UnspentBy(s.document(e), plan); err != nil {
			return err
		}
	}
	return executor.UnspentIn(to.Dir, plan)
}

// spentBy returns an error that matches [executor.ErrSpent] if a run noted that it uses
// the approvals of plan.
func (s *Store) spentBy(ctx context.Context, plan *planner.Plan) error {
	var run string
	var at time.Time
	err := s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return orNone(conn.QueryRow(ctx, "SELECT run, started_at FROM spent WHERE plan = $1", plain(plan.Digest)).Scan(&run, &at))
	})
	if err == nil && run != "" {
		return fmt.Errorf("%w: run %s of %s", executor.ErrSpent, run, at.UTC().Format(time.RFC3339))
	}
	return err
}

// Spend notes that run is made with the approvals of plan.
func (s *Store) Spend(ctx context.Context, plan *planner.Plan, run executor.Run, _ time.Time) error {
	var added int64
	err := s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		done, err := conn.Exec(ctx, "INSERT INTO spent (plan, run, started_at, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
			plain(plan.Digest), plain(run.ID), run.StartedAt.UTC(), plan.ExpiresAt.UTC())
		added = done.RowsAffected()
		return err
	})
	if err == nil && added == 0 {
		if err = s.spentBy(ctx, plan); err == nil {
			err = executor.ErrSpent
		}
	}
	return err
}

package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// checkPooler returns an error that matches [ErrPooler] if the session of the connection
// is not its own: a pooler that gives every transaction another session, as PgBouncer
// does in its usual mode, takes away the lock that one has taken. A second connection
// takes a session for itself, and the first must still have its own.
func (s *Store) checkPooler(ctx context.Context) error {
	shared := Hint(fmt.Errorf("%w: %s", ErrPooler, s.name), "connect to PostgreSQL itself, or let the pooler give every client a session of its own (PgBouncer: pool_mode=session)")
	var first uint32
	backend := func(ctx context.Context, q interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}) (pid uint32, err error) {
		err = q.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
		return pid, err
	}
	mine := func() (pid uint32, err error) {
		err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			pid, err = backend(ctx, conn)
			return err
		})
		return pid, err
	}
	first, err := mine()
	if err != nil {
		return err
	}
	other, err := s.newConn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
	limited, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	// A pooler that goes round its sessions needs some rounds to show itself.
	for range 3 {
		tx, err := other.Begin(limited)
		if err != nil {
			return s.explain(err)
		}
		second, err := backend(limited, tx)
		if err != nil {
			return s.explain(err)
		}
		if second == first {
			return shared
		}
		again, err := mine()
		if err != nil {
			return err
		}
		if again != first {
			return shared
		}
		if err := tx.Rollback(limited); err != nil {
			return s.explain(err)
		}
		// The server names the session when it lets a client in. Where nobody is in
		// between that is the whole truth.
		if s.pid() == first {
			return nil
		}
	}
	return nil
}

// pid returns the number of the session as the server gave it at the start.
func (s *Store) pid() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn.PgConn().PID()
}

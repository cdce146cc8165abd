package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"privsync/executor"
)

// lock is the [executor.Lock] of a [Store].
type lock struct {
	s     *Store
	keys  []string
	fence int64
	mine  executor.Holder
	left  []executor.Holder
}

// Lock takes the advisory locks of the server, one for each of its keys, all or none, and
// draws a fence. The session holds them: they end with it.
func (s *Store) Lock(ctx context.Context, server executor.Target, holder executor.Holder, timeout time.Duration) (executor.Lock, error) {
	l := &lock{s: s, keys: server.Keys(), mine: holder}
	l.mine.Server = server.URL
	for i, key := range l.keys {
		l.keys[i] = plain(key)
	}
	if err := executor.WaitForLock(ctx, timeout, func() (*executor.LockedError, error) { return l.try(ctx) }); err != nil {
		return nil, err
	}
	return l, nil
}

// try takes the locks, or says who holds one of them.
func (l *lock) try(ctx context.Context) (held *executor.LockedError, err error) {
	err = l.s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		if l.s.lock != nil {
			return errors.New("this store holds a lock already")
		}
		for i, key := range l.keys {
			var ok bool
			if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(lock_number($1))", key).Scan(&ok); err != nil {
				return err
			}
			if ok {
				continue
			}
			if held, err = l.holder(ctx, conn, key); err != nil {
				return err
			}
			return l.unlock(ctx, conn, l.keys[:i])
		}
		// What follows needs the locks, and a connection that is lost from here on has
		// lost them.
		err := conn.QueryRow(ctx, "INSERT INTO hold (url, keys, run, host, pid, account, server_lock) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING fence",
			plain(l.mine.Server), l.keys, plain(l.mine.RunID), plain(l.mine.Host), l.mine.PID, plain(l.mine.User), l.mine.ServerLock).Scan(&l.fence)
		if err == nil {
			l.left, err = l.before(ctx, conn)
		}
		if err != nil {
			return errors.Join(err, l.unlock(ctx, conn, l.keys))
		}
		l.s.lock = l
		return nil
	})
	return held, err
}

// Left returns who held the lock just before and did not give it back.
func (l *lock) Left() []executor.Holder { return l.left }

// before looks for those whom Left returns.
func (l *lock) before(ctx context.Context, conn *pgx.Conn) ([]executor.Holder, error) {
	return rowsOf(ctx, conn, func(row pgx.CollectableRow) (h executor.Holder, err error) {
		err = row.Scan(&h.PID, &h.Host, &h.User, &h.RunID, &h.Started, &h.Server, &h.ServerLock)
		return h.Clipped(), err
	}, `SELECT pid, host, account, run, since, url, server_lock FROM hold h
		WHERE fence IN (SELECT max(b.fence) FROM unnest($1::text[]) AS key JOIN hold b ON key = ANY (b.keys) AND b.fence < $2 GROUP BY key)
		  AND NOT EXISTS (SELECT FROM released r WHERE r.fence = h.fence) ORDER BY fence`, l.keys, l.fence)
}

// holder says who holds the lock of key, as far as the holder has said so.
func (l *lock) holder(ctx context.Context, conn *pgx.Conn, key string) (*executor.LockedError, error) {
	e := &executor.LockedError{URL: l.mine.Server, Path: "in the store " + l.s.name}
	h := &e.Holder
	err := conn.QueryRow(ctx, `SELECT pid, host, account, run, since, url FROM hold
		WHERE $1 = ANY (keys) AND backend = lock_holder($1) ORDER BY fence DESC LIMIT 1`, key).
		Scan(&h.PID, &h.Host, &h.User, &h.RunID, &h.Started, &h.Server)
	*h = h.Clipped()
	return e, orNone(err)
}

func (l *lock) unlock(ctx context.Context, conn *pgx.Conn, keys []string) error {
	_, err := conn.Exec(ctx, "SELECT pg_advisory_unlock(lock_number(k)) FROM unnest($1::text[]) AS k", keys)
	return err
}

// Release gives the locks back. With the connection they are gone already.
func (l *lock) Release() error {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock != l {
		return nil
	}
	s.lock = nil
	if s.conn.IsClosed() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	_, err := s.conn.Exec(ctx, "INSERT INTO released (fence) VALUES ($1)", l.fence)
	if err == nil {
		err = l.unlock(ctx, s.conn, l.keys)
	}
	if err != nil {
		// The end of the session is the end of its locks.
		return errors.Join(fmt.Errorf("release lock: %w", s.explain(err)), s.conn.Close(ctx))
	}
	return nil
}

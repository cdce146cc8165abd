// Package pgstore is the [executor.Store] in a PostgreSQL database: for runs whose
// machine does not last, and for several machines that work on one server.
//
// A run has one connection ([Open]). Its session holds the lock of the server, as
// advisory locks, and writes the journal; the database refuses a journal row of any other
// session, and of a lock that somebody else has taken since (schema/*.sql). So a run that
// loses its connection has lost its lock, and can announce nothing more: nothing is sent.
//
// Reports stand in the database as they were sealed, each after the one whose digest it
// names. The head of a chain is what the closing rows of journals say, so that a report
// that is gone is missed. [Init] makes the schema; [Store.Import] and [Store.Export] take
// a chain from a folder and give it back.
//
// The package decides nothing about runs; package executor does.
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"privsync/executor"
)

// DefaultSchema is the schema of a store that names none.
const DefaultSchema = "privsync"

const (
	// connectTimeout bounds the making of a connection where the URL says nothing.
	connectTimeout = 10 * time.Second
	// statementTimeout bounds one statement: a database that takes longer is lost.
	statementTimeout = 30 * time.Second
)

// Config says where a store is. URL must be given.
type Config struct {
	URL      string // postgres://… without a password
	Schema   string // empty: [DefaultSchema]
	Password string // beats PGPASSWORD and PGPASSFILE; empty: these
	Tool     string // version of the program, for the row of a run

	// Timeout bounds one statement. Zero: 30 s.
	Timeout time.Duration
	// Dial makes the network connection; nil: with keep-alives that notice within half a
	// minute that the other side is gone.
	Dial pgconn.DialFunc
}

// Store is one run's access to the database, made by [Open]. Its methods are called by one
// goroutine at a time, but for those of its journal and its lock.
type Store struct {
	cfg  Config
	name string // for messages
	conf *pgx.ConnConfig

	mu      sync.Mutex // guards what follows, and the use of conn
	conn    *pgx.Conn
	lock    *lock    // held; nil: none
	journal *journal // open; nil: none
}

var _ executor.Store = (*Store)(nil)

// Access says what a store is opened for.
type Access int

const (
	Reading Access = iota // the role needs to read only
	Writing               // the role must be able to add rows
)

// Open connects to the store and checks that it can be used for what access says: that
// the schema is there and of this version, that locks of a session hold, and, for
// [Writing], that the role may add rows. The errors say what to do in a [HintedError];
// they never hold a password.
func Open(ctx context.Context, cfg Config, access Access) (*Store, error) {
	s, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	err = s.checkPooler(ctx)
	if err == nil {
		err = s.checkSchema(ctx, access)
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// connect makes a connection and nothing more.
func connect(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Schema == "" {
		cfg.Schema = DefaultSchema
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = statementTimeout
	}
	conf, name, err := parseURL(cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, conf: conf, name: name}
	if s.conn, err = s.newConn(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// newConn makes a connection; ctx ends the wait for it.
func (s *Store) newConn(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, s.conf.Copy())
	if err == nil {
		if err = s.prepare(ctx, conn); err != nil {
			_ = conn.Close(ctx)
		}
	}
	if err != nil {
		return nil, s.unreachable(err)
	}
	return conn, nil
}

// prepare sets up a session.
func (s *Store) prepare(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	// A host that is gone must not keep its lock for the two hours that systems wait by
	// default, and what is committed must be on the disk whatever the server's default is.
	_, err := conn.Exec(ctx, `SELECT set_config('search_path', $1, false), set_config('tcp_keepalives_idle', '15', false),
		set_config('tcp_keepalives_interval', '5', false), set_config('tcp_keepalives_count', '3', false),
		set_config('timezone', 'UTC', false), set_config('idle_in_transaction_session_timeout', '0', false),
		set_config('default_transaction_isolation', 'read committed', false), set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),
		set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on' ELSE current_setting('synchronous_commit') END, false)`,
		pgx.Identifier{s.cfg.Schema}.Sanitize()+", pg_temp")
	if err != nil {
		return err
	}
	// Servers before 14, or 17, do not know them.
	_, err = conn.Exec(ctx, `SELECT set_config(name, '0', false) FROM unnest(ARRAY['idle_session_timeout', 'transaction_timeout']) AS name WHERE current_setting(name, true) IS NOT NULL`)
	return err
}

// dialer notices within half a minute that the other side is gone.
func dialer() pgconn.DialFunc {
	d := &net.Dialer{Timeout: connectTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	return d.DialContext
}

// String returns the URL of the store with its schema; it holds no password.
func (s *Store) String() string { return s.name }

// Fallback is no destination: every report goes into the store.
func (s *Store) Fallback() executor.Destination { return executor.Destination{} }

// Close ends the session, and with it the lock that it holds.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	return s.conn.Close(ctx)
}

// do calls f with the connection, which nobody else uses meanwhile. A connection that
// was lost is made anew, unless a lock was lost with it. The context of f does not end
// with ctx, since that would end the session: only with the time for a statement.
func (s *Store) do(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	return s.doFor(ctx, s.cfg.Timeout, f)
}

// doLong is do for the many statements of a transaction that may hold a report of any
// size.
func (s *Store) doLong(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	return s.doFor(ctx, 20*s.cfg.Timeout, func(ctx context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return f(ctx, tx) })
	})
}

// snapshot is doLong for statements that read, all of one moment.
func (s *Store) snapshot(ctx context.Context, f func(ctx context.Context, tx pgx.Tx) error) error {
	return s.doLong(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"); err != nil {
			return err
		}
		return f(ctx, tx)
	})
}

func (s *Store) doFor(ctx context.Context, limit time.Duration, f func(ctx context.Context, conn *pgx.Conn) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.IsClosed() {
		if s.lock != nil {
			return s.lost(errors.New("the connection was lost before"))
		}
		dial, cancel := context.WithTimeout(ctx, limit)
		conn, err := s.newConn(dial)
		cancel()
		if err != nil {
			return err
		}
		s.conn = conn
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	err := f(ctx, s.conn)
	switch {
	case err == nil || !s.conn.IsClosed():
		return s.explain(err)
	case s.lock != nil:
		return s.lost(err)
	}
	return Hint(fmt.Errorf("store %s: %w", s.name, reason(err)), "see that the database runs and can be reached, then run again")
}

// plain makes text from outside fit for a column: PostgreSQL takes no NUL and no broken
// UTF-8.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

package pgstore

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"privsync/clean"
	"privsync/executor"
)

var (
	// ErrNotInitialised is matched by errors about a store without its schema.
	ErrNotInitialised = errors.New("the store is not initialised")
	// ErrVersion is matched by errors about a schema of another version.
	ErrVersion = errors.New("the schema of the store has another version")
	// ErrPooler is matched by errors about connections that several clients share, so
	// that a lock of the session locks nothing.
	ErrPooler = errors.New("a connection pooler shares the connections of the store, so that a lock would lock nothing")
	// ErrLost is matched by errors about a lock that was lost with its connection, or that
	// somebody else has taken since: nothing more can be announced.
	ErrLost = errors.New("the store and the lock in it are lost")
	// ErrRole is matched by errors about what the role may not do.
	ErrRole = errors.New("the role may not do that")
)

// HintedError is an error with what to do about it.
type HintedError struct {
	Err  error
	Hint string
}

// Error returns the text of the error without the hint.
func (e *HintedError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *HintedError) Unwrap() error { return e.Err }

// Hint returns err with what to do about it; nil for nil.
func Hint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &HintedError{err, hint}
}

// SQLSTATEs that are told apart. Those that begin with PS are of this schema.
const (
	stateFenced     = "PS001"
	stateOutOfOrder = "PS002"
	stateForeign    = "PS003"
	stateUnique     = "23505"
	stateNoTable    = "42P01"
	stateDenied     = "42501"
	stateReadOnly   = "25006"
	stateDiskFull   = "53100"
	stateTooMany    = "53300"
	stateNoDatabase = "3D000"
	stateNoSetting  = "42704"
	stateFixed      = "55P02"
)

func sqlState(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// unreachable says that the store cannot be connected to.
func (s *Store) unreachable(err error) error {
	hint := "see that the database runs and lets this host and role in (pg_hba.conf, and sslmode where that wants TLS), and that the password is right (PGPASSWORD, PGPASSFILE, --state-password-file)"
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &authority):
		hint = "name the certificate of the authority that signed the database's with sslrootcert=FILE in the URL, or PGSSLROOTCERT; if that is the right one, something else answers there"
	case errors.As(err, &name):
		hint = "name the database in the URL by a name that its certificate has, or have a certificate made for this name"
	case strings.Contains(err.Error(), "server refused TLS connection"):
		hint = "have TLS turned on in the database (ssl = on); sslmode=prefer in the URL, or PGSSLMODE, does without where the network can be trusted"
	case sqlState(err) == stateNoDatabase:
		hint = "make the database (createdb), or correct its name in the URL"
	case sqlState(err) == stateNoSetting, sqlState(err) == stateFixed:
		hint = "leave that setting out of the URL: of libpq's, privsync knows sslmode, sslrootcert, sslcert, sslkey, service, passfile, connect_timeout, target_session_attrs and their like"
	case sqlState(err) == stateTooMany:
		hint = "let the role have more connections (ALTER ROLE … CONNECTION LIMIT) and the database (max_connections): a run takes two at its start, then one"
	}
	return Hint(fmt.Errorf("connect to the store %s: %w", s.name, reason(err)), hint)
}

// lost says that the session is lost on which the lock was.
func (s *Store) lost(err error) error {
	return Hint(fmt.Errorf("%w: %s: %w", ErrLost, s.name, reason(err)),
		`once the store can be reached again, "privsync recover" from any host closes the journal; what was in flight was read back`)
}

// explain makes an error of a statement one that says what to do.
func (s *Store) explain(err error) error {
	if err == nil {
		return nil
	}
	why := reason(err)
	switch sqlState(err) {
	case stateFenced:
		return Hint(fmt.Errorf("%w: %s: %w", ErrLost, s.name, why), "another run may work on the server now; look at its report, then apply again")
	case stateForeign:
		return Hint(fmt.Errorf("store %s: %w", s.name, why), otherSchemaHint)
	case stateNoTable:
		return Hint(fmt.Errorf("%w: %s: %w", ErrNotInitialised, s.name, why), initHint)
	case stateDenied:
		return Hint(fmt.Errorf("%w: %s: %w", ErrRole, s.name, why), roleHint)
	case stateReadOnly:
		return Hint(fmt.Errorf("%w: %s: %w", ErrRole, s.name, why), "connect to the primary server: target_session_attrs=read-write in the URL of several hosts finds it")
	case stateDiskFull:
		return Hint(fmt.Errorf("store %s: %w", s.name, why), "make room on the database server")
	}
	var hinted *HintedError
	var locked *executor.LockedError
	switch {
	case errors.As(err, &hinted):
		return Hint(fmt.Errorf("store %s: %w", s.name, hinted.Err), hinted.Hint)
	case errors.As(err, &locked):
		return err
	}
	return fmt.Errorf("store %s: %w", s.name, why)
}

const (
	initHint        = `have the owner of the schema run "privsync state init --state URL --writer ROLE" with this version of privsync`
	otherSchemaHint = "name a schema of its own with --schema, or put back what was there from a backup; nothing was changed"
	roleHint        = `have the owner of the schema run "privsync state init --state URL --writer ROLE"`
)

// reason makes what pgx says shorter: the server's own words without its internals.
func reason(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return &serverError{pg}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return oneLine{connect.Unwrap()}
	}
	return err
}

// oneLine is an error whose text has a line for each address that was tried.
type oneLine struct{ error }

// Error returns the lines as one, each only once.
func (e oneLine) Error() string {
	var out []string
	for line := range strings.Lines(e.error.Error()) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "hostname resolving error: ")
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "; ")
}

// Unwrap returns the error.
func (e oneLine) Unwrap() error { return e.error }

// serverError is an error of PostgreSQL in one line.
type serverError struct{ pg *pgconn.PgError }

// Error returns message, detail and SQLSTATE.
func (e *serverError) Error() string {
	out := clean.Clip(plain(e.pg.Message), 500)
	if e.pg.Detail != "" {
		out += " (" + clean.Clip(plain(e.pg.Detail), 500) + ")"
	}
	return out + " (SQLSTATE " + e.pg.Code + ")"
}

// Unwrap returns the error of the driver.
func (e *serverError) Unwrap() error { return e.pg }

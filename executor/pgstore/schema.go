package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"

	"privsync/clean"
)

// Version is the version of the schema that this program makes and uses.
const Version = 1

//go:embed schema/*.sql
var schemaFiles embed.FS

// Script returns the SQL that makes the schema, or brings an older one to this version,
// and lets the writers use it, in one transaction. It can be run again.
func Script(schema string, writers []string) string {
	var b strings.Builder
	name := pgx.Identifier{schema}.Sanitize()
	fmt.Fprintf(&b, "BEGIN;\nSET LOCAL client_min_messages = warning;\nCREATE SCHEMA IF NOT EXISTS %s;\nSET LOCAL search_path = %s, pg_temp;\n\n", name, name)
	fmt.Fprintf(&b, guard, Version)
	b.WriteString(definitions())
	fmt.Fprintf(&b, "\nINSERT INTO version (version) VALUES (%d) ON CONFLICT DO NOTHING;\n", Version)
	for _, w := range writers {
		role := pgx.Identifier{w}.Sanitize()
		fmt.Fprintf(&b, `
REVOKE ALL ON ALL TABLES IN SCHEMA %[1]s FROM %[2]s;
GRANT USAGE ON SCHEMA %[1]s TO %[2]s;
GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA %[1]s TO %[2]s;
REVOKE INSERT ON version FROM %[2]s;
`, name, role)
	}
	b.WriteString("\nCOMMIT;\n")
	return b.String()
}

// guard stops what would spoil a schema of a newer version, of one that no program made,
// or of something else.
const guard = `DO $guard$
DECLARE
  found integer;
BEGIN
  IF to_regclass('version') IS NULL THEN
    IF EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace WHERE nspname = current_schema() AND relkind = 'r') THEN
      RAISE EXCEPTION 'the schema has tables of something else' USING ERRCODE = 'PS003';
    END IF;
  ELSE
    SELECT max(version) INTO found FROM version;
    IF found < 1 OR found > %[1]d THEN
      RAISE EXCEPTION 'the schema has the version %%, and this makes version %[1]d', found USING ERRCODE = 'PS003';
    END IF;
  END IF;
END
$guard$;

`

// definitions returns what is in the schema.
func definitions() string {
	names, _ := fs.Glob(schemaFiles, "schema/*.sql") // in the order of their names
	var b strings.Builder
	for _, name := range names {
		text, _ := schemaFiles.ReadFile(name) // it is in the program
		b.Write(text)
	}
	return b.String()
}

// Initialised says what [Init] found.
type Initialised struct {
	Already bool // the schema was there, of this version
	Upgrade int  // the version that was there before; 0: none
}

// Init makes the schema as its owner, and lets the roles of writers read and add rows. It
// may be called again, with other writers.
func Init(ctx context.Context, cfg Config, writers []string) (Initialised, error) {
	var done Initialised
	s, err := connect(ctx, cfg)
	if err != nil {
		return done, err
	}
	defer s.Close()
	if err := s.checkPooler(ctx); err != nil {
		return done, err
	}
	err = s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var encoding string
		if err := conn.QueryRow(ctx, "SELECT current_setting('server_encoding')").Scan(&encoding); err != nil {
			return err
		}
		if encoding != "UTF8" {
			return Hint(fmt.Errorf("the database has the encoding %s, and names of users need UTF8", encoding), "make a database with ENCODING UTF8")
		}
		for _, w := range writers {
			var known bool
			if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)", w).Scan(&known); err != nil {
				return err
			}
			if !known {
				return Hint(fmt.Errorf("there is no role %s", clean.Quote(w)), "make it with CREATE ROLE … LOGIN, or correct --writer; nothing was changed")
			}
		}
		version, err := schemaVersion(ctx, conn, s.cfg.Schema)
		if err != nil && !errors.Is(err, ErrNotInitialised) {
			return err
		}
		if version > Version {
			return newer(version)
		}
		done.Already = version == Version
		if !done.Already {
			done.Upgrade = version
		}
		if done.Already && len(writers) == 0 {
			return nil
		}
		// One at a time: two that begin together would make the same tables.
		_, err = conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext('privsync state init'))")
		if err == nil {
			_, err = conn.PgConn().Exec(ctx, Script(s.cfg.Schema, writers)).ReadAll()
		}
		return err
	})
	return done, err
}

// schemaVersion returns the version of the schema; the error matches [ErrNotInitialised]
// if it is not there.
func schemaVersion(ctx context.Context, conn *pgx.Conn, schema string) (int, error) {
	var there, usable bool
	err := conn.QueryRow(ctx, `SELECT count(*) > 0, coalesce(bool_or(has_schema_privilege(oid, 'USAGE')), false)
		FROM pg_catalog.pg_namespace WHERE nspname = $1`, schema).Scan(&there, &usable)
	switch {
	case err != nil:
		return 0, err
	case !there:
		return 0, Hint(fmt.Errorf("%w: there is no schema %s", ErrNotInitialised, clean.Quote(schema)), initHint)
	case !usable:
		return 0, Hint(fmt.Errorf("%w: it may not use the schema %s", ErrRole, clean.Quote(schema)), roleHint)
	}
	var table bool
	if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, pgx.Identifier{schema, "version"}.Sanitize()).Scan(&table); err != nil {
		return 0, err
	}
	if !table {
		return 0, Hint(fmt.Errorf("%w: the schema %s is of something else", ErrNotInitialised, clean.Quote(schema)), initHint)
	}
	var version *int
	if err := conn.QueryRow(ctx, `SELECT max(version) FROM `+pgx.Identifier{schema, "version"}.Sanitize()).Scan(&version); err != nil {
		return 0, err
	}
	if version == nil {
		return 0, Hint(fmt.Errorf("%w: the schema %s has no version", ErrNotInitialised, clean.Quote(schema)), initHint)
	}
	if *version < 1 {
		return 0, Hint(fmt.Errorf("%w: it has %d, which no privsync makes", ErrVersion, *version), otherSchemaHint)
	}
	return *version, nil
}

func newer(version int) error {
	return Hint(fmt.Errorf("%w: it has %d, and this program knows %d", ErrVersion, version, Version),
		"use the version of privsync that the other hosts use, or a newer one")
}

// writtenTables are the tables that a run adds rows to.
var writtenTables = []string{"chain", "hold", "released", "run", "journal", "report", "part", "head_signature", "spent", "seen", "privilege_name"}

// checkSchema returns why the store cannot be used for what access says.
func (s *Store) checkSchema(ctx context.Context, access Access) error {
	return s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		version, err := schemaVersion(ctx, conn, s.cfg.Schema)
		switch {
		case err != nil:
			return err
		case version > Version:
			return newer(version)
		case version < Version:
			return Hint(fmt.Errorf("%w: it has %d, and this program needs %d", ErrVersion, version, Version), initHint)
		}
		denied, err := rowsOf(ctx, conn, pgx.RowTo[string], `SELECT t FROM unnest($1::text[]) AS t WHERE NOT has_table_privilege(t, 'SELECT') OR $2 AND NOT has_table_privilege(t, 'INSERT')`,
			writtenTables, access == Writing)
		if err != nil {
			return err
		}
		if len(denied) > 0 {
			what := "read"
			if access == Writing {
				what = "add rows to"
			}
			return Hint(fmt.Errorf("%w: role %s may not %s %s", ErrRole, clean.Quote(s.conf.User), what, strings.Join(denied, ", ")), roleHint)
		}
		if access == Reading {
			return nil
		}
		var replica, readOnly bool
		if err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean").Scan(&replica, &readOnly); err != nil {
			return err
		}
		if replica || readOnly {
			return Hint(fmt.Errorf("%w: the store %s can only be read", ErrRole, s.name),
				"connect to the primary server: target_session_attrs=read-write in a URL of several hosts finds it")
		}
		return nil
	})
}

// Loose returns the tables whose rows the role of the connection could change or remove,
// so that what they say about runs proves nothing against it; sorted. Those who set up a
// store should let runs have a role of their own ([Init]).
func (s *Store) Loose(ctx context.Context) ([]string, error) {
	return ask(ctx, s, pgx.RowTo[string], `SELECT relname::text FROM pg_catalog.pg_class
		WHERE relnamespace = $1::regnamespace AND relkind = 'r'
		  AND (has_table_privilege(oid, 'UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(oid, 'UPDATE') OR pg_has_role(relowner, 'MEMBER'))
		ORDER BY relname`, pgx.Identifier{s.cfg.Schema}.Sanitize())
}

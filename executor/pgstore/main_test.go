package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"privsync/executor/pgstore"
	"privsync/executor/pgstore/pgtest"
)

// server is the PostgreSQL of all tests of the package; nil where there is none.
var server *pgtest.Server

func TestMain(m *testing.M) {
	code := func() int {
		var err error
		server, err = pgtest.Start()
		switch {
		case errors.Is(err, pgtest.ErrMissing):
			fmt.Fprintln(os.Stderr, "SKIPPED:", err)
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			return 1
		default:
			defer server.Stop()
		}
		return m.Run()
	}()
	os.Exit(code)
}

// database is a database with a store, its owner and a role that may write.
type database struct {
	t     testing.TB
	name  string
	admin *pgx.Conn // of the superuser
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	d := emptyDatabase(t)
	d.init("writer")
	return d
}

// emptyDatabase makes a database without a schema.
func emptyDatabase(t testing.TB) *database {
	t.Helper()
	if server == nil {
		t.Skip("no PostgreSQL: install Debian's package postgresql")
	}
	d := &database{t: t, name: server.Name()}
	root, err := pgx.Connect(t.Context(), server.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(context.Background())
	for _, sql := range []string{
		"DO $$ BEGIN CREATE ROLE owner LOGIN; CREATE ROLE writer LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE guarded LOGIN PASSWORD '" + server.Password + "'; EXCEPTION WHEN duplicate_object THEN NULL; WHEN unique_violation THEN NULL; END $$",
		"CREATE DATABASE " + d.name + " OWNER owner",
	} {
		if _, err := root.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if d.admin, err = pgx.Connect(t.Context(), server.URL("postgres", d.name)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.admin.Close(context.Background()) })
	return d
}

func (d *database) init(writers ...string) pgstore.Initialised {
	d.t.Helper()
	done, err := pgstore.Init(d.t.Context(), d.config("owner"), writers)
	if err != nil {
		d.t.Fatal(err)
	}
	return done
}

func (d *database) config(role string) pgstore.Config {
	return pgstore.Config{URL: server.URL(role, d.name), Tool: "test"}
}

// open opens the store as the writer.
func (d *database) open() *pgstore.Store {
	d.t.Helper()
	s, err := pgstore.Open(d.t.Context(), d.config("writer"), pgstore.Writing)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = s.Close() })
	return s
}

// sql runs a statement as the superuser.
func (d *database) sql(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.admin.Exec(context.Background(), sql, args...); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
}

// value returns what a query of one value returns, as text.
func (d *database) value(sql string, args ...any) string {
	d.t.Helper()
	var v any
	if err := d.admin.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	return fmt.Sprint(v)
}

// as returns a connection of a role that knows nothing of privsync.
func (d *database) as(role string) *pgx.Conn {
	d.t.Helper()
	conn, err := pgx.Connect(context.Background(), server.URL(role, d.name))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

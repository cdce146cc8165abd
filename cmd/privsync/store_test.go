package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"privsync/executor"
	"privsync/executor/pgstore"
	"privsync/executor/pgstore/pgtest"
	"privsync/mstrapi"
)

// TestStore runs the specification of the store in PostgreSQL, against a real one. Besides
// the commands of [TestScript] its scripts have:
//
//	database            make a database: $STATE is its URL for the role of a run, $OWNER, $READER,
//	                    $GUARDED (a role with the password $PASSWORD) and $ADMIN for others
//	pooler              put one that gives each transaction another session before it: $POOLED
//	hold                take the server's lock in it, as a run elsewhere, until the script ends
//	sql STATEMENT [WANT]  run a statement as the superuser, and compare the value that it returns
func TestStore(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start()
	if errors.Is(err, pgtest.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	if err := makeRoles(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	t.Run("kill", func(t *testing.T) { testKills(t, server) })
	t.Run("lost", func(t *testing.T) { testLost(t, server) })
	t.Run("cut", func(t *testing.T) { testCuts(t, server) })
	t.Run("tls", testTLSOfStore)
	t.Run("script", func(t *testing.T) {
		p := scriptParams("store")
		p.Cmds["database"] = func(ts *testscript.TestScript, _ bool, _ []string) { makeDatabase(ts, server) }
		p.Cmds["sql"] = runSQL
		p.Cmds["hold"] = holdStore
		p.Cmds["pooler"] = func(ts *testscript.TestScript, _ bool, _ []string) {
			pooler, err := server.NewPooler(8, "writer", ts.Getenv("DATABASE"))
			ts.Check(err)
			ts.Defer(pooler.Close)
			ts.Setenv("POOLED", pooler.URL("writer", ts.Getenv("DATABASE")))
		}
		testscript.Run(t, p)
	})
}

func makeRoles(ctx context.Context, server *pgtest.Server) error {
	conn, err := pgx.Connect(ctx, server.URL("postgres", "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE ROLE owner LOGIN; CREATE ROLE writer LOGIN; CREATE ROLE reader LOGIN; CREATE ROLE guarded LOGIN PASSWORD '"+server.Password+"'", pgx.QueryExecModeSimpleProtocol)
	return err
}

func makeDatabase(ts *testscript.TestScript, server *pgtest.Server) {
	ctx := context.Background()
	name := server.Name()
	conn, err := pgx.Connect(ctx, server.URL("postgres", "postgres"))
	ts.Check(err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name+" OWNER owner")
	ts.Check(err)
	for variable, role := range map[string]string{"STATE": "writer", "OWNER": "owner", "READER": "reader", "GUARDED": "guarded", "ADMIN": "postgres"} {
		ts.Setenv(variable, server.URL(role, name))
	}
	ts.Setenv("PASSWORD", server.Password)
	ts.Setenv("DATABASE", name)
}

func holdStore(ts *testscript.TestScript, _ bool, _ []string) {
	store, err := pgstore.Open(context.Background(), pgstore.Config{URL: ts.Getenv("STATE")}, pgstore.Writing)
	ts.Check(err)
	ts.Defer(func() { _ = store.Close() })
	url := ts.Getenv("PRIVSYNC_URL")
	server := executor.Target{URL: url, Addresses: mstrapi.Addresses(context.Background(), mstrapi.Config{URL: url, AllowHTTP: true})}
	_, err = store.Lock(context.Background(), server, executor.Holder{PID: 4711, Host: "cron-2", User: "svc", RunID: "f00d"}, 0)
	ts.Check(err)
}

func runSQL(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ts.Getenv("ADMIN"))
	ts.Check(err)
	defer conn.Close(ctx)
	if len(args) == 1 {
		_, err := conn.Exec(ctx, args[0], pgx.QueryExecModeSimpleProtocol)
		ts.Check(err)
		return
	}
	var got any
	ts.Check(conn.QueryRow(ctx, args[0]).Scan(&got))
	if fmt.Sprint(got) != args[1] {
		ts.Fatalf("%s: %v, want %s", args[0], got, args[1])
	}
}

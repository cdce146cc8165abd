package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"privsync/executor"
	"privsync/executor/pgstore/pgtest"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
)

// storeSite is a server, a store, and a folder where the program runs.
type storeSite struct {
	t      *testing.T
	dir    string
	db     *pgtest.Server
	name   string // of the database
	schema string
	server *mstrtest.Server
	env    map[string]string
}

// newStoreSite makes a store in a schema of its own.
func newStoreSite(t *testing.T, db *pgtest.Server, name, schema string) *storeSite {
	t.Helper()
	s := &storeSite{t: t, dir: t.TempDir(), db: db, name: name, schema: schema}
	s.restart()
	s.run(0, "state", "init", "--state", db.URL("owner", name), "--writer", "writer")
	return s
}

// restart puts a new server in the place of the old one: a small one that the policy
// changes much of.
func (s *storeSite) restart() {
	s.t.Helper()
	rng := rand.New(rand.NewPCG(7, 1))
	env := mstrtest.Random(rng, mstrtest.Size{Users: 4, Groups: 2, Privileges: 5, Depth: 2})
	server := mstrtest.NewServer(env, mstrtest.Options{})
	listener := httptest.NewServer(server)
	s.t.Cleanup(func() { server.Close(); listener.Close() })
	s.server = server
	s.env = map[string]string{
		"HOME": s.dir, "XDG_STATE_HOME": filepath.Join(s.dir, "state"), "NO_PROXY": "*",
		"PRIVSYNC_URL": listener.URL + s.server.PathPrefix(), "PRIVSYNC_USERNAME": mstrtest.ServiceLogin, "PRIVSYNC_PASSWORD": mstrtest.ServicePassword,
		"PRIVSYNC_RATE": "0", "PRIVSYNC_CONCURRENCY": "2", "PRIVSYNC_STATE": s.db.URL("writer", s.name), "PRIVSYNC_STATE_SCHEMA": s.schema,
	}
	if err := os.WriteFile(filepath.Join(s.dir, "policy.yaml"), []byte(randomPolicy(rng, env, 2)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// code runs the program and returns its exit code and what it wrote to stderr.
func (s *storeSite) code(args ...string) (int, string) {
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), args, strings.NewReader(""), &stdout, &stderr, func(name string) (string, bool) {
		value, ok := s.env[name]
		return value, ok
	})
	return code, stderr.String()
}

func (s *storeSite) run(want int, args ...string) string {
	s.t.Helper()
	code, stderr := s.code(args...)
	if code != want {
		s.t.Fatalf("%s: exit code %d, want %d\n%s", strings.Join(args, " "), code, want, stderr)
	}
	return stderr
}

func (s *storeSite) apply() []string {
	return []string{"apply", "-f", filepath.Join(s.dir, "policy.yaml"), "--yes", "--verify-timeout=20ms"}
}

// query returns the one number that a statement in the site's schema returns.
func (s *storeSite) query(sql string, args ...any) int {
	s.t.Helper()
	n, err := strconv.Atoi(s.texts("SELECT ("+sql+")::text", args...)[0])
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// texts returns the texts that a statement in the site's schema returns.
func (s *storeSite) texts(sql string, args ...any) []string {
	s.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.db.URL("postgres", s.name))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SET search_path = "+s.schema); err != nil {
		s.t.Fatal(err)
	}
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return list
}

// announced checks that nothing was sent that the journal does not announce.
func (s *storeSite) announced() {
	s.t.Helper()
	sent := map[mstrapi.ObjectID]int{}
	for _, w := range s.server.Writes() {
		sent[w.Target]++
	}
	for id, n := range sent {
		if got := s.query("SELECT count(*) FROM journal JOIN run ON name = run WHERE type = 'intent' AND principal_id = $1 AND url = $2", string(id), s.env["PRIVSYNC_URL"]); got < n {
			s.t.Errorf("%s was written %d times, and announced %d times", id, n, got)
		}
	}
}

// reports returns those of the server in the store, in the order of the chain.
func (s *storeSite) reports() []*executor.Report {
	s.t.Helper()
	var list []*executor.Report
	for _, text := range s.texts("SELECT convert_from(bytes, 'UTF8') FROM report JOIN part USING (chain, length) WHERE url = $1 AND n = 0 ORDER BY length", s.env["PRIVSYNC_URL"]) {
		report, err := executor.ReadReport(strings.NewReader(text))
		if err != nil {
			s.t.Fatal(err)
		}
		list = append(list, report)
	}
	return list
}

// account compares what the reports in the store say was done with what the server did.
func (s *storeSite) account() {
	s.t.Helper()
	told, done := map[string]int{}, map[string]int{}
	for _, report := range s.reports() {
		for _, p := range report.Principals {
			for _, q := range p.Granted {
				told[fmt.Sprint(p.Principal.ID, " +", q)]++
			}
			for _, q := range p.Revoked {
				told[fmt.Sprint(p.Principal.ID, " -", q)]++
			}
		}
	}
	for _, w := range s.server.Writes() {
		for _, p := range w.Granted {
			done[fmt.Sprint(w.Target, " +", p)]++
		}
		for _, p := range w.Revoked {
			done[fmt.Sprint(w.Target, " -", p)]++
		}
	}
	for change, n := range done {
		if told[change] != n {
			s.t.Errorf("%s: the server did it %d times, the reports say %d", change, n, told[change])
		}
	}
	for change, n := range told {
		if done[change] == 0 {
			s.t.Errorf("%s: the reports say it %d times, and the server never did it", change, n)
		}
	}
}

var reportLine = regexp.MustCompile(`(?m)^report: (.*)$`)

// testCuts cuts the connection to the store at the statements of an apply, before the
// statement, and, where it adds rows, before its answer; and lets the disk of the database be
// full from there on. All of them are tried with PRIVSYNC_CRASH=all, otherwise some. Nothing is written that the store does not announce, the exit code
// says whether something was, the report is where stderr says, and recover finds and tells
// the rest.
func testCuts(t *testing.T, db *pgtest.Server) {
	name := newDatabaseName(t, db)
	for action, word := range map[pgtest.Action]string{pgtest.CutBefore: "before", pgtest.CutAfter: "after", pgtest.Refuse: "full"} {
		t.Run(word, func(t *testing.T) {
			t.Parallel()
			s := newStoreSite(t, db, name, word)
			step := map[pgtest.Action]int{pgtest.CutBefore: 5, pgtest.CutAfter: 2, pgtest.Refuse: 3}[action]
			if os.Getenv("PRIVSYNC_CRASH") == "all" {
				step = 1
			}
			for n := 1; ; n += step {
				s.restart()
				at := s.cut(n, action)
				if at == "" {
					break
				}
				if t.Failed() {
					t.Fatalf("%s statement %d: %s", word, n, at)
				}
			}
			s.run(0, "verify-reports")
		})
	}
}

// cut lets an apply meet what is done to the n-th statement, recovers, and applies again.
// It returns the statement; empty: the apply had not as many.
func (s *storeSite) cut(n int, action pgtest.Action) string {
	s.t.Helper()
	hit, seen := "", 0
	proxy, err := s.db.NewProxy(func(_ int, text string) pgtest.Action {
		if action != pgtest.CutBefore && !strings.Contains(text, "INSERT") && !strings.Contains(text, "commit") && !strings.Contains(text, "COMMIT") {
			return pgtest.Pass
		}
		if seen++; seen == n {
			hit = text
		}
		if seen == n || seen > n && action == pgtest.Refuse {
			return action
		}
		return pgtest.Pass
	})
	if err != nil {
		s.t.Fatal(err)
	}
	before := s.query("SELECT count(*) FROM report")
	code, stderr := s.code(append(s.apply(), "--state", proxy.URL("writer", s.name))...)
	proxy.Close()
	if hit == "" {
		return ""
	}
	wrote := len(s.server.Writes())
	stored := s.query("SELECT count(*) FROM report") - before
	switch {
	case code == executor.ExitIncomplete && wrote > 0, code == executor.ExitError && wrote == 0:
	case code == executor.ExitOK && stored == 1:
	default:
		s.t.Errorf("exit code %d, %d writes, %d reports in the store", code, wrote, stored)
	}
	s.announced()
	if m := reportLine.FindStringSubmatch(stderr); m == nil {
		s.t.Error("no report")
	} else if code != executor.ExitOK && !strings.HasPrefix(m[1], "postgres:") {
		if _, err := executor.ReadReportFile(m[1]); err != nil {
			s.t.Errorf("the report %s: %v", m[1], err)
		}
	}
	if wrote == 0 && s.query("SELECT count(*) FROM run WHERE url = $1", s.env["PRIVSYNC_URL"]) == 0 {
		return statement(hit) // it has left nothing
	}
	s.run(0, "recover", "--verify-timeout=20ms")
	if open := s.query("SELECT count(*) FROM run WHERE fence IS NOT NULL AND NOT EXISTS (SELECT FROM journal WHERE run = name AND type = 'closed')"); open != 0 {
		s.t.Errorf("%d journals are open after the recovery", open)
	}
	s.run(0, s.apply()...)
	s.account()
	if s.t.Failed() {
		s.t.Log(stderr)
	}
	return statement(hit)
}

// statement makes the text of a statement readable.
func statement(text string) string {
	_, text, _ = strings.Cut(strings.ReplaceAll(text, "\x00", " "), "  ")
	return strings.TrimSpace(text)
}

func newDatabaseName(t *testing.T, db *pgtest.Server) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, db.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	name := db.Name()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name+" OWNER owner"); err != nil {
		t.Fatal(err)
	}
	return name
}

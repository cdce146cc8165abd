package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"privsync/executor"
	"privsync/executor/pgstore/pgtest"
)

// testKills kills an apply, with SIGKILL, before, in and after what it writes into the store
// and to the server. Recover finds it there, from another host, too, and tells what it did.
func testKills(t *testing.T, db *pgtest.Server) {
	name := newDatabaseName(t, db)
	for _, where := range []string{"before", "in", "request", "response"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s := newStoreSite(t, db, name, "kill_"+where)
			step := 3
			if where == "before" || where == "in" {
				step = 5 // they add rows for every intent and outcome
			}
			if os.Getenv("PRIVSYNC_CRASH") == "all" {
				step = 1
			}
			for n := 1; ; n += step {
				s.restart()
				if !s.kill(where, n) {
					break
				}
				if t.Failed() {
					t.Fatalf("killed %s %d", where, n)
				}
			}
			s.run(0, "verify-reports")
		})
	}
}

// kill lets an apply die at its n-th write, and reports whether it did.
func (s *storeSite) kill(where string, n int) bool {
	s.t.Helper()
	cmd := exec.CommandContext(context.Background(), "privsync", append(s.apply(), "--report", filepath.Join(s.dir, "dead.json"))...)
	started, gone := make(chan struct{}), make(chan struct{})
	strike := sync.OnceFunc(func() {
		<-started
		_ = cmd.Process.Kill() // it may have ended
		<-gone
	})
	var seen atomic.Int64
	proxy, err := s.db.NewProxy(func(_ int, text string) pgtest.Action {
		if where != "before" && where != "in" || !strings.Contains(text, "INSERT") && !strings.Contains(text, "commit") && !strings.Contains(text, "COMMIT") {
			return pgtest.Pass
		}
		if seen.Add(1) != int64(n) {
			return pgtest.Pass
		}
		strike()
		if where == "before" {
			return pgtest.CutBefore
		}
		return pgtest.CutAfter
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer proxy.Close()
	patch := func(r *http.Request) {
		if r.Method == http.MethodPatch && seen.Add(1) == int64(n) {
			strike()
		}
	}
	switch where {
	case "request":
		s.server.OnRequest(func(_ int, r *http.Request) { patch(r) })
	case "response":
		s.server.OnResponse(func(_ int, r *http.Request, _ int) { patch(r) })
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GORACE=" + os.Getenv("GORACE"), "PRIVSYNC_STATE=" + proxy.URL("writer", s.name)}
	for name, value := range s.env {
		if name != "PRIVSYNC_STATE" {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	close(started)
	err = cmd.Wait()
	close(gone)
	if err == nil {
		if seen.Load() >= int64(n) {
			s.t.Errorf("it was to die\n%s", &out)
		}
		return false
	}
	if cmd.ProcessState.ExitCode() != -1 {
		s.t.Fatalf("apply: %v\n%s", err, &out)
	}
	proxy.Wait()
	s.announced()

	dead := s.query("SELECT count(*) FROM run WHERE url = $1 AND fence IS NOT NULL AND NOT EXISTS (SELECT FROM journal WHERE run = name AND type = 'closed')", s.env["PRIVSYNC_URL"])
	elsewhere := n%2 == 0 || where == "in"
	if elsewhere {
		s.exec("UPDATE run SET host = 'elsewhere'")
	}
	_ = os.Remove(filepath.Join(s.dir, "dead.json"))
	stderr := s.run(0, "recover", "--verify-timeout=20ms", "--lock-timeout=1m")
	_, err = os.Stat(filepath.Join(s.dir, "dead.json"))
	switch there, told := err == nil, strings.Contains(stderr, "missing") && strings.Contains(stderr, "dead.json"); {
	case dead == 0:
	case elsewhere && (there || !told), !elsewhere && !there:
		s.t.Errorf("the dead run's own file: elsewhere %v, there %v, said to be missing %v\n%s", elsewhere, there, told, stderr)
	}
	recovered := 0
	for _, r := range s.reports() {
		if r.Run.Recovered {
			recovered++
		}
	}
	if recovered != dead {
		s.t.Errorf("%d runs died with an open journal, %d reports are recovered", dead, recovered)
	}
	s.run(0, s.apply()...)
	s.account()
	return true
}

// exec runs a statement in the site's schema as the superuser.
func (s *storeSite) exec(sql string) {
	s.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.db.URL("postgres", s.name))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, fmt.Sprintf("SET search_path = %s; %s", s.schema, sql), pgx.QueryExecModeSimpleProtocol); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// testLost: the store goes away for good in the middle of a run. What was in flight is
// read back, nothing new is sent, the report is where the run was to write it as well, or in
// the state folder; recover closes the journal later, and its report names the one that is
// there, which stays.
func testLost(t *testing.T, db *pgtest.Server) {
	name := newDatabaseName(t, db)
	for flag, schema := range map[string]string{"": "lost", "--report": "lost_file", "--report-dir": "lost_folder"} {
		t.Run(schema, func(t *testing.T) {
			s := newStoreSite(t, db, name, schema)
			place := filepath.Join(s.dir, "place")
			args := s.apply()
			if flag == "" {
				place = filepath.Join(s.dir, "state", "privsync", "reports")
			} else {
				args = append(args, flag, place)
			}
			s.lose(place, args)
		})
	}
}

// lose lets an apply lose the store when it writes, and recovers it.
func (s *storeSite) lose(place string, args []string) {
	t := s.t
	t.Helper()
	cut := atomic.Bool{}
	proxy, err := s.db.NewProxy(func(int, string) pgtest.Action {
		if cut.Load() {
			return pgtest.CutBefore
		}
		return pgtest.Pass
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server.OnRequest(func(_ int, r *http.Request) {
		if r.Method == http.MethodPatch {
			cut.Store(true)
		}
	})
	code, stderr := s.code(append(args, "--state", proxy.URL("writer", s.name))...)
	proxy.Close()
	m := reportLine.FindStringSubmatch(stderr)
	if code != executor.ExitIncomplete || m == nil || !strings.HasPrefix(m[1], place) {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if !strings.Contains(stderr, "the store and the lock in it are lost") || !strings.Contains(stderr, "privsync recover") {
		t.Errorf("stderr does not say what happened and what to do:\n%s", stderr)
	}
	local, err := executor.ReadReportFile(m[1])
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.server.Writes()); n > 2 {
		t.Errorf("%d writes by two workers after the store was lost", n)
	}
	s.run(0, "recover", "--verify-timeout=20ms", "--lock-timeout=1m")
	reports := s.reports()
	if len(reports) != 1 || !reports[0].Run.Recovered || reports[0].Run.ID != local.Run.ID || reports[0].Run.Other != local.Digest {
		t.Errorf("recovered: %+v; the other has the digest %s", reports[0].Run, local.Digest)
	}
	if now, err := executor.ReadReportFile(m[1]); err != nil || now.Digest != local.Digest {
		t.Errorf("the run's own report in %s did not stay: %v", m[1], err)
	}
	s.account()
}

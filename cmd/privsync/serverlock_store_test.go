package main

import (
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"privsync/executor"
	"privsync/executor/pgstore/pgtest"
	"privsync/mstrapi/mstrtest"
)

// TestServerLockOfKilledRunElsewhere: from the store any machine knows that the run which
// left the server's lock has ended.
func TestServerLockOfKilledRunElsewhere(t *testing.T) {
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
	conn, err := pgx.Connect(t.Context(), server.URL("postgres", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	name := server.Name()
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" OWNER owner"); err != nil {
		t.Fatal(err)
	}
	p := newProgram(t, mstrtest.Options{})
	if code, _, stderr := p.run("state", "init", "--state", server.URL("owner", name), "--writer", "writer"); code != executor.ExitOK {
		t.Fatalf("state init: exit code %d\n%s", code, stderr)
	}
	p.env = append(p.env, "PRIVSYNC_STATE="+server.URL("writer", name))
	const byAnother = true // another account writes the dead run's report first, which cannot remove its lock
	for _, tt := range []struct {
		after     []string
		byAnother bool
	}{
		{[]string{"recover"}, !byAnother},
		{[]string{"apply", "-f", "policy.yaml", "--yes", "--server-lock"}, !byAnother},
		{[]string{"recover"}, byAnother},
		{[]string{"apply", "-f", "policy.yaml", "--yes", "--server-lock"}, byAnother},
	} {
		after := tt.after
		if err := p.server.Inject(mstrtest.Fault{Kind: mstrtest.Hang, Method: http.MethodPatch, Processed: true, Times: 1}); err != nil {
			t.Fatal(err)
		}
		cmd, _, stderr := p.command("apply", "-f", "policy.yaml", "--yes", "--server-lock")
		p.atOnce(cmd, syscall.SIGKILL, isPatch)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(cmd); code != -1 || p.server.Lock() == nil {
			t.Fatalf("exit code %d, want a killed process that left the lock\n%s", code, stderr)
		}
		p.env = append(p.env, "XDG_STATE_HOME="+filepath.Join(p.dir, "elsewhere", after[0]))
		if tt.byAnother {
			own := p.env
			p.env = append(slices.Clone(own), "PRIVSYNC_USERNAME=administrator", "PRIVSYNC_PASSWORD=")
			if code, _, said := p.run("recover"); code != executor.ExitOK || !strings.Contains(said, "recovered the report of run") || p.server.Lock() == nil {
				t.Errorf("recover by another account: exit code %d, the lock is %+v\n%s", code, p.server.Lock(), said)
			}
			p.env = own
		}
		code, _, said := p.run(after...)
		if code != executor.ExitOK || !strings.Contains(said, "removed the server's lock of a run that has ended") || p.server.Lock() != nil {
			t.Errorf("%v: exit code %d, the lock is %+v\n%s", after, code, p.server.Lock(), said)
		}
		for _, r := range p.server.Log() {
			if strings.Contains(r.Query, "force") {
				t.Errorf("a lock was removed by force: %s", r.Query)
			}
		}
		// There is something to write again.
		for _, u := range p.server.Environment().Users {
			_ = p.server.Revoke(u.ID, 59)
		}
	}
}

package main

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestServerLockUnknown: however a server answers that has no such route, every command says
// the same of it, and an apply that is to take the lock writes nothing.
func TestServerLockUnknown(t *testing.T) {
	t.Parallel()
	env, err := loadEnvironment("")
	if err != nil {
		t.Fatal(err)
	}
	server, variables := serve(t, env, mstrtest.Options{})
	policy := writeTemp(t, "policy.yaml", []byte("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: one}\nprincipals:\n  - {user: demo, privileges: [Monitor Projects]}\n"))
	for name, answer := range map[string]func(http.ResponseWriter){
		"nothing": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"page": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<!doctype html><html><head><title>HTTP Status 404 – Not Found</title></head></html>")
		},
		"method": func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
	} {
		listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/api/iserver/lock") {
				answer(w)
				return
			}
			server.ServeHTTP(w, r)
		}))
		t.Cleanup(listener.Close)
		set := maps.Clone(variables)
		set["PRIVSYNC_URL"], set["XDG_STATE_HOME"] = listener.URL+server.PathPrefix(), filepath.Join(t.TempDir(), "state")
		const unknown = "does not know one"
		for _, c := range []struct {
			args []string
			code int
			says bool
		}{
			{[]string{"apply", "-f", policy, "--yes", "--server-lock"}, executor.ExitError, true},
			{[]string{"command", "assign-watch-kpi-insight", "--server-lock"}, executor.ExitError, true},
			{[]string{"unlock"}, executor.ExitError, true},
			{[]string{"doctor"}, executor.ExitOK, true},
			{[]string{"recover"}, executor.ExitOK, false},
		} {
			code, stdout, stderr := invoke(t, set, c.args...)
			if code != c.code || strings.Contains(stdout+stderr, unknown) != c.says || strings.Contains(stderr, "WARN") {
				t.Errorf("%s: %v: exit code %d, want %d\n%s%s", name, c.args, code, c.code, stdout, stderr)
			}
		}
	}
	if n := len(server.Writes()); n != 0 {
		t.Errorf("%d writes", n)
	}
}

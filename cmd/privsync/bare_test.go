package main

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestUserInRowsWithoutLogins: a server whose lists tell no logins tells them of
// single users, and its users are found, as plan finds them.
func TestUserInRowsWithoutLogins(t *testing.T) {
	t.Parallel()
	env, err := loadEnvironment("")
	if err != nil {
		t.Fatal(err)
	}
	server, vars := serve(t, env, mstrtest.Options{})
	login := regexp.MustCompile(`"(abbreviation|username)":"[^"]*"`)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/api/users") {
			server.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		server.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(login.ReplaceAll(rec.Body.Bytes(), []byte(`"$1":""`)))
	}))
	t.Cleanup(front.Close)
	vars["PRIVSYNC_URL"] = front.URL + server.PathPrefix()
	for name, found := range map[string]bool{"msantos": true, "MSantos": true, "msant": false} {
		code, stdout, stderr := invoke(t, vars, "explain", "user", name)
		if want := map[bool]int{true: executor.ExitOK, false: executor.ExitError}[found]; code != want || strings.Contains(stderr, "the server has no user") == found {
			t.Errorf("%s: exit code %d, want %d\n%s%s", name, code, want, stdout, stderr)
		}
	}
}

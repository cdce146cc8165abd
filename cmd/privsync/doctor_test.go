package main

import (
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
)

// TestDoctorSaysWhatToDo: each thing that can be wrong on the way to the server
// is found by one check, which says what to do.
func TestDoctorSaysWhatToDo(t *testing.T) {
	env := &mstrtest.Environment{
		Catalogue: []mstrapi.Privilege{{ID: 50, Name: "Use User Manager"}},
		Users: []mstrtest.User{
			{ID: mstrtest.DerivedID("user", "s"), Login: mstrtest.ServiceLogin, Name: "S", Password: mstrtest.ServicePassword, Privileges: []mstrapi.PrivilegeID{50}},
			{ID: mstrtest.DerivedID("user", "w"), Login: "weak", Name: "W", Password: mstrtest.ServicePassword},
		},
	}
	server, good := serve(t, env, mstrtest.Options{})
	root := strings.TrimSuffix(good["PRIVSYNC_URL"], server.PathPrefix())
	secure := httptest.NewTLSServer(server)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(secure), 0o600); err != nil {
		t.Fatal(err)
	}
	otherHost := strings.Replace(secure.URL, "127.0.0.1", "localhost", 1)
	late := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-3*time.Hour).UTC().Format(http.TimeFormat))
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(late.Close)
	closed := httptest.NewServer(nil)
	closed.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>Welcome</html>"))
	}))
	t.Cleanup(page.Close)
	missing := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(missing.Close)
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(down.Close)

	for _, c := range []struct {
		name    string
		set     map[string]string // "" takes the variable away
		args    []string
		check   string
		status  string
		advice  string
		healthy bool
	}{
		{name: "well", check: "right to work", status: "ok", healthy: true},
		{name: "plain http", check: "TLS", status: "warning", advice: "use https", healthy: true},
		{name: "no URL", set: map[string]string{"PRIVSYNC_URL": ""}, check: "settings", status: "failed", advice: "--url"},
		{name: "no user", set: map[string]string{"PRIVSYNC_USERNAME": ""}, check: "settings", status: "failed", advice: "--username"},
		{name: "no password", set: map[string]string{"PRIVSYNC_PASSWORD": ""}, check: "settings", status: "failed", advice: "--password-file"},
		{name: "no password, way is looked at", set: map[string]string{"PRIVSYNC_PASSWORD": ""}, check: "REST API", status: "ok"},
		{name: "no user, way is looked at", set: map[string]string{"PRIVSYNC_USERNAME": ""}, check: "REST API", status: "ok"},
		{name: "no scheme", set: map[string]string{"PRIVSYNC_URL": "bi.example.com/x"}, check: "way to the server", status: "failed", advice: "https://"},
		{name: "ftp", set: map[string]string{"PRIVSYNC_URL": "ftp://bi.example.com/x"}, check: "way to the server", status: "failed", advice: "https://"},
		{name: "wrong port", set: map[string]string{"PRIVSYNC_URL": closed.URL}, check: "way to the server", status: "failed", advice: "nothing listens there"},
		{name: "https to http", set: map[string]string{"PRIVSYNC_URL": strings.Replace(good["PRIVSYNC_URL"], "http:", "https:", 1)}, check: "way to the server", status: "failed", advice: "plain http on this port"},
		{name: "http to https", set: map[string]string{"PRIVSYNC_URL": strings.Replace(secure.URL, "https:", "http:", 1) + server.PathPrefix()}, check: "REST API", status: "failed", advice: "--url"},
		{name: "unknown authority", set: map[string]string{"PRIVSYNC_URL": secure.URL + server.PathPrefix()}, check: "way to the server", status: "failed", advice: "--ca-file"},
		{name: "another host's certificate", set: map[string]string{"PRIVSYNC_URL": otherHost + server.PathPrefix()}, args: []string{"--ca-file", ca}, check: "way to the server", status: "failed", advice: "host name"},
		{name: "known authority", set: map[string]string{"PRIVSYNC_URL": secure.URL + server.PathPrefix()}, args: []string{"--ca-file", ca}, check: "TLS", status: "ok", healthy: true},
		{name: "no authority in the file", args: []string{"--ca-file", os.Args[0]}, check: "way to the server", status: "failed", advice: "PEM"},
		{name: "clock off", set: map[string]string{"PRIVSYNC_URL": late.URL + server.PathPrefix()}, check: "clock", status: "warning", advice: "NTP", healthy: true},
		{name: "wrong path", set: map[string]string{"PRIVSYNC_URL": root + "/Elsewhere"}, check: "REST API", status: "failed", advice: "Library's path"},
		{name: "a page", set: map[string]string{"PRIVSYNC_URL": page.URL}, check: "REST API", status: "failed", advice: "Library's path"},
		{name: "nothing there", set: map[string]string{"PRIVSYNC_URL": missing.URL}, check: "REST API", status: "failed", advice: "Library's path"},
		{name: "bad gateway", set: map[string]string{"PRIVSYNC_URL": down.URL}, args: []string{"--max-attempts", "1"}, check: "REST API", status: "failed", advice: "look into its log"},
		{name: "wrong password", set: map[string]string{"PRIVSYNC_PASSWORD": "wrong"}, check: "login", status: "failed", advice: "--login-mode"},
		{name: "no right", set: map[string]string{"PRIVSYNC_USERNAME": "weak"}, check: "right to work", status: "failed", advice: `grant "Use User Manager"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			variables := maps.Clone(good)
			for name, value := range c.set {
				variables[name] = value
				if value == "" {
					delete(variables, name)
				}
			}
			code, stdout, stderr := invoke(t, variables, append([]string{"doctor", "--format", "json"}, c.args...)...)
			var doc struct {
				Healthy bool
				Checks  []check
			}
			if err := json.Unmarshal([]byte(stdout), &doc); err != nil {
				t.Fatalf("%v in\n%s%s", err, stdout, stderr)
			}
			if doc.Healthy != c.healthy || code != map[bool]int{true: executor.ExitOK, false: executor.ExitError}[c.healthy] {
				t.Errorf("healthy is %t with exit code %d, want %t\n%s", doc.Healthy, code, c.healthy, stdout)
			}
			i := slices.IndexFunc(doc.Checks, func(k check) bool { return k.Name == c.check })
			if i < 0 || doc.Checks[i].Status != c.status || !strings.Contains(doc.Checks[i].Advice, c.advice) {
				t.Errorf("want %q to be %s with the advice %q:\n%s", c.check, c.status, c.advice, stdout)
			}
			for _, k := range doc.Checks {
				if k.Status == "failed" && k.Advice == "" {
					t.Errorf("%q failed without a word on what to do", k.Name)
				}
			}
		})
	}
}

// TestDoctorLooksAtTheAccess: an account with every privilege that may not
// change an object of the policy is told so.
func TestDoctorLooksAtTheAccess(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	code, stdout, stderr := p.run("doctor", "-f", "policy.yaml")
	if code != executor.ExitOK || !strings.Contains(stdout, "access to the policy's principals") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, u := range p.server.Environment().Users {
		if err := p.server.SetReadOnly(u.ID, true); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr = p.run("doctor", "-f", "policy.yaml")
	if code != executor.ExitError || !strings.Contains(stdout, "(acg 199)") || !strings.Contains(stdout, "write access") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

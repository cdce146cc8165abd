package mstrapi

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseBaseURL(t *testing.T) {
	tests := []struct {
		in        string
		allowHTTP bool
		want      string // or, beginning with "error: ", a part of the error
	}{
		{in: "https://bi.example.com/MicroStrategyLibrary", want: "https://bi.example.com/MicroStrategyLibrary"},
		{in: " HTTPS://BI.Example.com:443/MicroStrategyLibrary/// ", want: "https://bi.example.com/MicroStrategyLibrary"},
		{in: "https://bi.example.com/consume-dev/api/", want: "https://bi.example.com/consume-dev"},
		{in: "https://bi.example.com//a//b", want: "https://bi.example.com/a/b"},
		{in: "https://bi.example.com/api", want: "https://bi.example.com"},
		{in: "https://bi.example.com/", want: "https://bi.example.com"},
		{in: "https://bi.example.com:8443", want: "https://bi.example.com:8443"},
		{in: "https://bi.example.com/a%2Fb", want: "https://bi.example.com/a%2Fb"},
		{in: "https://[::1]:443/x", want: "https://[::1]/x"},
		{in: "http://localhost:8080/x", want: "http://localhost:8080/x"},
		{in: "http://127.0.0.1:80/x", want: "http://127.0.0.1/x"},
		{in: "http://[::1]:8080/x", want: "http://[::1]:8080/x"},
		{in: "http://bi.example.com/x", allowHTTP: true, want: "http://bi.example.com/x"},
		{in: "http://bi.example.com/x", want: "error: --allow-http"},
		{in: "", want: "error: no server URL"},
		{in: "bi.example.com/x", want: "error: neither https nor http"},
		{in: "ftp://bi.example.com/x", want: "error: neither https nor http"},
		{in: "https:///x", want: "error: no host"},
		{in: "https:bi.example.com", want: "error: no host"},
		{in: "https://bi.example.com/x?token=s3cret", want: "error: query"},
		{in: "https://bi.example.com/x#s3cret", want: "error: fragment"},
		{in: "https://admin:s3cret@bi.example.com/x", want: "error: have their own settings"},
		{in: "https://admin:s3%cret@bi.example.com/x", want: "error: cannot be parsed"},
		{in: "https://bi.example.com:s3cret/x", want: "error: cannot be parsed"},
	}
	for _, test := range tests {
		u, err := parseBaseURL(test.in, test.allowHTTP)
		part, wantErr := strings.CutPrefix(test.want, "error: ")
		switch {
		case wantErr && (err == nil || !strings.Contains(err.Error(), part)):
			t.Errorf("parseBaseURL(%q) = %v, %v, want an error with %q", test.in, u, err, part)
		case wantErr && strings.Contains(err.Error(), "s3"):
			t.Errorf("parseBaseURL(%q) shows a secret: %v", test.in, err)
		case !wantErr && (err != nil || u.String() != test.want):
			t.Errorf("parseBaseURL(%q) = %v, %v, want %s", test.in, u, err, test.want)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	good := Config{URL: "https://bi.example.com", Username: "u"}
	tests := map[string]func(*Config){
		"no user name":       func(c *Config) { c.Username = "" },
		"no API token":       func(c *Config) { c.LoginMode = APIToken },
		"login mode 8":       func(c *Config) { c.LoginMode = 8 },
		"concurrency":        func(c *Config) { c.Concurrency = -1 },
		"timeout":            func(c *Config) { c.Timeout = -1 },
		"maximum of":         func(c *Config) { c.MaxAttempts = -1 },
		"rate":               func(c *Config) { c.Rate = -1 },
		"no server URL":      func(c *Config) { c.URL = "" },
		"no such file":       func(c *Config) { c.CAFile = filepath.Join(t.TempDir(), "absent") },
		"no PEM certificate": func(c *Config) { c.CAFile = filepath.Join("testdata", "..", "config.go") },
	}
	for want, change := range tests {
		cfg := good
		change(&cfg)
		if _, err := OpenReader(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("OpenReader = %v, want an error with %q", err, want)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const secret = "hunter2"
	cfg := Config{Username: "u", Password: secret, APIToken: secret}
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&b, verb+verb+"\n", cfg, cfg.Password)
		fmt.Fprintf(&b, verb+"\n", &cfg)
	}
	if err := json.NewEncoder(&b).Encode(cfg.Password); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "secret", cfg.Password, "cfg", cfg)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", cfg.Password)
	fmt.Fprintln(&b, cfg.Password.String(), cfg.Password.GoString())
	text := strings.ToLower(b.String())
	for _, form := range []string{secret, fmt.Sprintf("%x", secret)} {
		if strings.Contains(text, form) {
			t.Errorf("the secret shows as %q in:\n%s", form, text)
		}
	}
	if cfg.Password.Reveal() != secret {
		t.Errorf("Reveal() = %q", cfg.Password.Reveal())
	}
}

// tlsFake serves f over TLS and returns the server and a file with its
// certificate.
func tlsFake(t *testing.T, f http.Handler) (*httptest.Server, string) {
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return server, file
}

func TestTLS(t *testing.T) {
	f := newFake(t)
	f.answer("GET /api/status", `{"iServerVersion":"11.4.0"}`)
	server, ca := tlsFake(t, f)
	cfg := Config{URL: server.URL + fakePrefix, Username: "u", Password: "pass-word-1"}

	started := time.Now()
	_, err := OpenReader(t.Context(), cfg)
	if err == nil || !strings.Contains(err.Error(), "--ca-file") || f.count("") != 0 {
		t.Errorf("OpenReader without the CA = %v, after %d requests; want an error with --ca-file and none", err, f.count(""))
	}
	if time.Since(started) > 5*time.Second {
		t.Errorf("an unknown certificate took %s: it was retried", time.Since(started))
	}

	cfg.CAFile = ca
	r, err := OpenReader(t.Context(), cfg)
	if err != nil {
		t.Fatalf("OpenReader with the CA = %v", err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Errorf("Close = %v", err)
	}

	// The certificate is for 127.0.0.1 and example.com.
	cfg.URL = strings.Replace(cfg.URL, "127.0.0.1", "localhost", 1)
	if _, err := OpenReader(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("OpenReader with another host name = %v, want an error about it", err)
	}

	plain := httptest.NewServer(f)
	defer plain.Close()
	cfg.URL = strings.Replace(plain.URL, "http:", "https:", 1) + fakePrefix
	if _, err := OpenReader(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "does not speak TLS") {
		t.Errorf("OpenReader with https to an http port = %v", err)
	}
}

// Connections are kept, never more than the concurrency, and gzip is undone.
func TestConnectionsAndGzip(t *testing.T) {
	f := newFake(t)
	f.handle("GET /api/users/{id}/privileges", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			t.Errorf("Accept-Encoding = %q", r.Header.Get("Accept-Encoding"))
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(gzipped(sampleHeld))
	})
	var mu sync.Mutex
	opened := 0
	server := httptest.NewUnstartedServer(f)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			mu.Lock()
			opened++
			mu.Unlock()
		}
	}
	server.Start()
	defer server.Close()
	r, err := OpenReader(t.Context(), Config{URL: server.URL + fakePrefix, Username: "u", Concurrency: 3})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			for range 10 {
				if held, err := r.Held(t.Context(), User, demoUser, LevelServer); err != nil || len(held) != 2 {
					t.Errorf("Held = %v, %v", held, err)
				}
			}
		})
	}
	group.Wait()
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if opened > 3 {
		t.Errorf("%d connections were opened, want at most 3", opened)
	}
	if got := r.Stats(); got.Requests != 122 || got.Retries != 0 {
		t.Errorf("Stats = %+v, want 122 requests", got)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, err = OpenReader(t.Context(), Config{URL: "http://" + address, Username: "u"})
	var e *Error
	if !errors.As(err, &e) || e.Attempts != firstDials || !e.Unsent || !strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("OpenReader = %v, want an unsent request after %d attempts", err, firstDials)
	}
}

// A Reader cannot write because it has nothing to write with.
func TestReaderHasNoMethodThatWrites(t *testing.T) {
	reads := map[string]bool{
		"Access": true, "Catalogue": true, "Close": true, "Compliance": true, "ComplianceRunning": true, "ConfigurationLock": true, "LicenceAudit": true, "LicencePrivileges": true, "Held": true, "List": true, "Members": true, "OnlyEveryone": true,
		"Memberships": true, "Principal": true, "Queue": true, "RenewSession": true, "SessionInfo": true, "SessionPrivilege": true,
		"SessionUser": true, "Tenant": true, "Stats": true, "Status": true, "URL": true,
		"OddPrivileges": true, "Pace": true, "Projects": true,
	}
	for m := range reflect.TypeFor[*Reader]().Methods() {
		if !reads[m.Name] {
			t.Errorf("Reader has a method %s: if it only reads, list it here", m.Name)
		}
	}
}

// All reads together send nothing but GET, one login and one logout.
func TestReaderSendsOnlyGET(t *testing.T) {
	f := newFake(t)
	sampleServer(f)
	ctx := context.Background()
	r := f.reader(t)
	check := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	check(r.Status(ctx))
	check(r.SessionUser(ctx))
	check(r.SessionInfo(ctx))
	check(r.SessionPrivilege(ctx, 1))
	check(r.Catalogue(ctx))
	check(r.List(User, Query{}).Page(ctx, 0, 10))
	check(r.List(Group, Query{}).All(ctx))
	check(r.Members(userAdmins, true).Page(ctx, 0, 10))
	check(r.Members(userAdmins, false).All(ctx))
	check(r.Principal(ctx, User, demoUser))
	check(r.Principal(ctx, Group, userAdmins))
	check(r.Memberships(ctx, User, demoUser))
	check(r.Memberships(ctx, Group, userAdmins))
	check(r.Held(ctx, User, demoUser, LevelServer))
	check(r.Held(ctx, Group, userAdmins, LevelProject))
	check(r.Queue(ctx, "9E4799C94823E297DAC9808357575AF5"))
	if err := r.Close(ctx); err != nil {
		t.Error(err)
	}
	log := f.requests()
	if log[0] != "POST /api/auth/login" || log[len(log)-1] != "POST /api/auth/logout" {
		t.Errorf("first and last request: %s, %s", log[0], log[len(log)-1])
	}
	for _, line := range log[1 : len(log)-1] {
		if !strings.HasPrefix(line, "GET ") {
			t.Errorf("a Reader sent %s", line)
		}
	}
	if got := r.URL(); got != "http://127.0.0.1:8080"+fakePrefix {
		t.Errorf("URL() = %s", got)
	}
	if got := r.Stats().Requests; got != int64(len(log)) {
		t.Errorf("Stats().Requests = %d, the server saw %d", got, len(log))
	}
}

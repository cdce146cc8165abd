package main

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"privsync/executor/pgstore/pgtest"
)

// testTLSOfStore: TLS to the database is what sslmode says, as libpq means it, and a refusal
// says what to do.
func testTLSOfStore(t *testing.T) {
	t.Parallel()
	own, stranger := newAuthority(t), newAuthority(t)
	cert, key := own.sign(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"localhost"} })
	db, err := pgtest.StartTLS(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Stop)
	if err := makeRoles(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	name := newDatabaseName(t, db)
	s := newStoreSite(t, db, name, "privsync")
	root := func(a *authority) string {
		return writeTemp(t, "ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	}
	ca, other := root(own), root(stranger)
	for _, tt := range []struct {
		host, query string
		code        int
		says        string
	}{
		{"localhost", "sslmode=verify-full&sslrootcert=" + ca, 0, ""},
		{"127.0.0.1", "sslmode=verify-ca&sslrootcert=" + ca, 0, ""},
		{"localhost", "sslmode=require", 0, ""},
		{"localhost", "", 0, ""},
		{"localhost", "sslmode=verify-full&sslrootcert=" + other, 1, "sslrootcert=FILE"},
		{"localhost", "sslmode=require&sslrootcert=" + other, 1, "sslrootcert=FILE"},
		{"localhost", "sslmode=verify-full", 1, "sslrootcert=FILE"},
		{"127.0.0.1", "sslmode=verify-full&sslrootcert=" + ca, 1, "by a name that its certificate has"},
		{"localhost", "sslmode=disable", 1, "sslmode where that wants TLS"},
		{"localhost", "sslmode=verify_full", 1, "sslmode is invalid"},
		{"localhost", "sslmode=verify-full&sslrootcert=" + ca + ".none", 1, "ca.pem.none: no such file"},
	} {
		url := db.Host(tt.host, "writer", name) + "?" + tt.query
		code, stderr := s.code(append(s.apply(), "--state", url)...)
		if code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("%s with %s: exit code %d, want %d, saying %q\n%s", tt.host, tt.query, code, tt.code, tt.says, stderr)
		}
	}
	if n := s.query("SELECT count(*) FROM report"); n != 4 {
		t.Errorf("%d reports in the store, want those of the 4 runs that were let in", n)
	}
	conn, err := pgx.Connect(t.Context(), db.Host("localhost", "writer", name)+"?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var encrypted bool
	if err := conn.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted); err != nil || !encrypted {
		t.Errorf("the test's own server speaks TLS: %v, %v", encrypted, err)
	}
}

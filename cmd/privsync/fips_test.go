package main

import (
	"net/http/httptest"
	"testing"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// In FIPS mode nothing outside the validated module is used: with "only" Go panics
// or refuses where something were. Planning, applying and its evidence work there.
func TestFIPSMode(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	p.env = append(p.env, "GODEBUG=fips140=only")
	for _, args := range [][]string{
		{"doctor"},
		{"plan", "-f", "policy.yaml", "--out", "plan.json"},
		{"apply", "plan.json", "--yes", "--report-dir", "reports"},
		{"audit", "-f", "policy.yaml"},
		{"verify-reports", "reports"},
		{"export", "--out", "exported.yaml"},
		{"version"},
	} {
		if code, stdout, stderr := p.run(args...); code != executor.ExitOK {
			t.Errorf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
		}
	}
	if len(p.server.Writes()) == 0 {
		t.Error("nothing was written")
	}
}

// TLS in FIPS mode: the handshake with an ordinary server succeeds.
func TestFIPSModeTLS(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	secure := httptest.NewTLSServer(p.server)
	t.Cleanup(secure.Close)
	p.file("ca.pem", string(pemOf(secure)))
	url := secure.URL + p.server.PathPrefix()
	p.env = append(p.env, "GODEBUG=fips140=only")
	if code, stdout, stderr := p.run("plan", "-f", "policy.yaml", "--url", url, "--ca-file", "ca.pem"); code != executor.ExitOK {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

package mstrapi

import (
	"errors"
	"net"
	"strings"
	"testing"
)

// A name that is meant for this machine may stand for another one, and a proxy on
// this machine may lead away from it.
func TestPlainHTTPStaysOnThisMachine(t *testing.T) {
	for _, url := range []string{"http://x.localhost:8080/M", "HTTP://localhost/M", " http://127.0.0.1/M"} {
		cfg, _, err := Config{URL: url}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		transport, err := newTransport(cfg, new(clientCert))
		if err != nil {
			t.Fatal(err)
		}
		if transport.Proxy != nil {
			t.Errorf("%s may go through a proxy", url)
		}
		for _, address := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "0.0.0.0:80", "10.0.0.1:80", "[::ffff:192.0.2.1]:80"} {
			conn, err := transport.DialContext(t.Context(), "tcp", address)
			if err == nil {
				conn.Close()
			}
			if !errors.Is(err, errPermanent) || !strings.Contains(err.Error(), "--allow-http") {
				t.Errorf("%s dialled at %s = %v, want it refused", url, address, err)
			}
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		conn, err := transport.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Errorf("%s dialled at %s = %v", url, l.Addr(), err)
		} else {
			conn.Close()
		}
		l.Close()
	}
	for _, cfg := range []Config{{URL: "https://x.localhost/M"}, {URL: "http://bi.example.com/M", AllowHTTP: true}} {
		transport, err := newTransport(cfg, new(clientCert))
		if err != nil || transport.Proxy == nil {
			t.Errorf("%s takes no proxy: %v", cfg.URL, err)
		}
	}
}

func TestBaseURL(t *testing.T) {
	for in, want := range map[string]string{
		" HTTPS://BI.Example.com:443/M/api/ ": "https://bi.example.com/M",
		"http://bi.example.com:80":            "http://bi.example.com",
		"https://u:s3cret@bi.example.com/M":   "",
		"bi.example.com":                      "",
	} {
		got, err := BaseURL(in)
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("BaseURL(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

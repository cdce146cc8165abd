package mstrapi

import "testing"

// What cannot be a proxy is an error: Go would go straight to the server instead.
func TestProxyValues(t *testing.T) {
	for value, want := range map[string]bool{
		"proxy:8080": true, "http://proxy:8080": true, "https://u:p@proxy": true, "socks5://proxy:1080": true, "10.0.0.1:3128": true,
		"http://": false, "http://[::1": false, "ftp://proxy": false, "http:// proxy": false, ":8080": false, "proxy:port": false,
	} {
		if got := isProxy(value); got != want {
			t.Errorf("isProxy(%q) = %v, want %v", value, got, want)
		}
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("HTTPS_PROXY", "proxy:port")
	if _, err := ProxyFor(Config{URL: "https://bi.example.com/M"}); err == nil {
		t.Error("ProxyFor with an unparsable HTTPS_PROXY = nil")
	}
	if p, err := ProxyFor(Config{URL: "https://localhost/M"}); err != nil || p.Address != "" {
		t.Errorf("ProxyFor this machine = %+v, %v", p, err)
	}
}

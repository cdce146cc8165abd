package mstrapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

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

// What a proxy refuses is named as the proxy's, and not tried again.
func TestProxyRefusals(t *testing.T) {
	for code, want := range map[int]string{407: "wants a login of its own", 403: "rules do not allow", 502: "HTTP 502, not the server"} {
		err := proxyAnswer(t.Context(), &url.URL{Scheme: "http", User: url.UserPassword("u", "secret"), Host: "proxy:8080"}, nil, &http.Response{StatusCode: code})
		if err == nil || !strings.Contains(err.Error(), "the proxy proxy:8080 answered") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("proxyAnswer(%d) = %v", code, err)
		}
		if errors.Is(err, errPermanent) != (code < 500) {
			t.Errorf("%v: permanent = %v", err, errors.Is(err, errPermanent))
		}
	}
	if err := proxyAnswer(t.Context(), &url.URL{}, nil, &http.Response{StatusCode: 200}); err != nil {
		t.Error(err)
	}
}

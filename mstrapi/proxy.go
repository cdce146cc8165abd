package mstrapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// A Proxy is what requests for a server go through, by the environment's
// HTTPS_PROXY, HTTP_PROXY and NO_PROXY (or the same in lower case). The zero value
// means: straight to the server.
type Proxy struct {
	Variable string // that names it
	Address  string // host and port; empty: no proxy
}

// ProxyFor returns the proxy for requests to the server of cfg. Plain http to this
// machine never takes one. A value that cannot be parsed is an error: without a
// proxy the login would go past it.
func ProxyFor(cfg Config) (Proxy, error) {
	base, err := parseBaseURL(cfg.URL, true)
	if err != nil {
		return Proxy{}, err
	}
	if base.Scheme == "http" && !cfg.AllowHTTP {
		return Proxy{}, nil // it would carry the password elsewhere
	}
	names := []string{"HTTPS_PROXY", "https_proxy"}
	if base.Scheme == "http" {
		names = []string{"HTTP_PROXY", "http_proxy"}
	}
	p := Proxy{Variable: names[0]}
	if os.Getenv(names[0]) == "" {
		p.Variable = names[1]
	}
	value := os.Getenv(p.Variable)
	if value == "" || maybeLoopback(base.Hostname()) || cmp.Or(os.Getenv("NO_PROXY"), os.Getenv("no_proxy")) == "*" {
		return Proxy{}, nil
	}
	if !isProxy(value) {
		return Proxy{}, fmt.Errorf("%w: %s: want http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT", ErrProxy, p.Variable)
	}
	u, err := http.ProxyFromEnvironment(&http.Request{URL: base})
	if err != nil {
		return Proxy{}, fmt.Errorf("%w: %s", ErrProxy, p.Variable)
	}
	if u == nil {
		return Proxy{}, nil
	}
	p.Address = u.Host
	return p, nil
}

// ErrProxy is matched by errors that say that the environment's proxy cannot be
// used as it is written.
var ErrProxy = errors.New("the environment's proxy cannot be parsed")

// isProxy reports whether text names a proxy; a scheme may be missing.
func isProxy(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		if strings.Contains(text, "://") {
			return false
		}
		if u, err = url.Parse("http://" + text); err != nil {
			return false
		}
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u.Hostname() != ""
	}
	return false
}

// proxyAnswer names a proxy's refusal as the proxy's.
func proxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode/100 == 2 {
		return nil
	}
	err := fmt.Errorf("the proxy %s answered HTTP %d, not the server", proxy.Host, answer.StatusCode)
	switch {
	case answer.StatusCode == http.StatusProxyAuthRequired:
		err = fmt.Errorf("%w: it wants a login of its own", err)
	case answer.StatusCode == http.StatusForbidden:
		err = fmt.Errorf("%w: its rules do not allow this server", err)
	}
	if answer.StatusCode/100 == 4 {
		return permanentError{err}
	}
	return err
}

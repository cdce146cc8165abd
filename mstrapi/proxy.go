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
	// Go knows nothing of names below localhost.
	here := maybeLoopback(base.Hostname()) && !strings.HasSuffix(base.Hostname(), ".localhost")
	if value == "" || here || cmp.Or(os.Getenv("NO_PROXY"), os.Getenv("no_proxy")) == "*" {
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

// ProxyError says that an answer came from a proxy, not from the server.
type ProxyError struct {
	Address string // host and port; "" where nothing is known of a proxy
	Status  int
	Unsure  bool // it may be the server's after all
}

// Error names the proxy and what its answer means.
func (e *ProxyError) Error() string {
	who := "the proxy " + e.Address
	if e.Address == "" {
		who = "a proxy on the way"
	}
	if e.Unsure {
		return fmt.Sprintf("it is no answer of the API: probably %s answered: its rules do not allow this server", who)
	}
	text := fmt.Sprintf("%s answered HTTP %d, not the server", who, e.Status)
	switch e.Status {
	case http.StatusProxyAuthRequired:
		text += ": it wants a login of its own"
	case http.StatusForbidden:
		text += ": its rules do not allow this server"
	}
	return text
}

// judge returns a [*ProxyError] if an answer to a request is a proxy's, or nil. That
// of a tunnel never gets here: see [proxyAnswer].
func (p Proxy) judge(e *Error) error {
	switch {
	case e.Status == http.StatusProxyAuthRequired:
		return permanentError{&ProxyError{Address: p.Address, Status: e.Status}}
	case e.Status == http.StatusForbidden && p.Address != "" && e.Code == "":
		return permanentError{&ProxyError{Address: p.Address, Status: e.Status, Unsure: true}}
	}
	return nil
}

// proxyAnswer names a proxy's refusal as the proxy's.
func proxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode/100 == 2 {
		return nil
	}
	err := &ProxyError{Address: proxy.Host, Status: answer.StatusCode}
	if answer.StatusCode/100 == 4 {
		return permanentError{err}
	}
	return err
}

package mstrapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"syscall"
	"time"

	"privsync/input"
	"privsync/panics"
)

// LoginMode says how [OpenReader] and [OpenWriter] log in. The numbers are the
// API's own. The zero value means [Standard].
type LoginMode int

const (
	Standard LoginMode = 1
	LDAP     LoginMode = 16
	// APIToken logs in with Config.APIToken; the API carries it in the user name,
	// so Config.Username is not used.
	APIToken LoginMode = 4096
)

// Defaults for the fields of [Config] that are 0.
const (
	DefaultConcurrency = 8
	DefaultTimeout     = 30 * time.Second
	DefaultMaxAttempts = 6
	DefaultMaxAnswer   = 64 << 20
)

// Config says which server to talk to, as whom and how hard. URL and either
// Username or APIToken are needed; zero values elsewhere mean the defaults.
// Printing a Config shows no secret.
type Config struct {
	// URL is the base URL, for example https://bi.example.com/MicroStrategyLibrary.
	// Trailing slashes and a trailing /api do no harm. User information, a query
	// and a fragment are refused, and so is http unless the address that is dialled
	// is loopback or AllowHTTP is set.
	URL       string
	LoginMode LoginMode
	Username  string
	Password  Secret // may be empty: blank passwords are legal
	APIToken  Secret

	CAFile    string // PEM file with certificates to trust besides the system's
	AllowHTTP bool   // plain http to hosts other than loopback

	// ClientCert (PEM: the certificate, then those of authorities between) and
	// ClientKey (PEM) are for servers that want a client certificate; both or neither.
	ClientCert []byte
	ClientKey  Secret

	Concurrency int           // most connections; callers should run no more requests at once
	Rate        float64       // most requests per second, logins and retries included; 0: no limit
	Timeout     time.Duration // for each attempt of a request, its answer included
	MaxAttempts int           // for each request, the first included
	MaxAnswer   int64         // most bytes of a list or of a principal's privileges, decompressed

	UserAgent string
	Logger    *slog.Logger      // retries and logins at level debug; nil: none
	Transport http.RoundTripper // instead of the client's own; for tests
}

// caFileLimit bounds Config.CAFile; the system's whole bundle is 0.2 MiB.
const caFileLimit = 4 << 20

// withDefaults returns a copy of cfg without zero values, and its parsed URL.
func (cfg Config) withDefaults() (Config, *url.URL, error) {
	u, err := parseBaseURL(cfg.URL, cfg.AllowHTTP)
	if err != nil {
		return cfg, nil, err
	}
	if cfg.LoginMode == 0 {
		cfg.LoginMode = Standard
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = DefaultConcurrency
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxAttempts == 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	if cfg.MaxAnswer == 0 {
		cfg.MaxAnswer = DefaultMaxAnswer
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "privsync"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.Concurrency < 0:
		return cfg, nil, fmt.Errorf("concurrency %d is negative", cfg.Concurrency)
	case cfg.Timeout < 0:
		return cfg, nil, fmt.Errorf("timeout %s is negative", cfg.Timeout)
	case cfg.MaxAttempts < 0:
		return cfg, nil, fmt.Errorf("maximum of attempts %d is negative", cfg.MaxAttempts)
	case cfg.MaxAnswer < 0:
		return cfg, nil, fmt.Errorf("largest answer %d is negative", cfg.MaxAnswer)
	case cfg.Rate < 0 || math.IsNaN(cfg.Rate) || math.IsInf(cfg.Rate, 0):
		return cfg, nil, fmt.Errorf("rate %v is not a number of requests per second", cfg.Rate)
	}
	return cfg, u, nil
}

// checkLogin reports whether cfg has what its login mode needs.
func (cfg Config) checkLogin() error {
	switch cfg.LoginMode {
	case 0, Standard, LDAP:
		if cfg.Username == "" {
			return errors.New("no user name to log in with")
		}
	case APIToken:
		if cfg.APIToken == "" {
			return errors.New("no API token to log in with")
		}
	default:
		return fmt.Errorf("login mode %d is not supported: want 1 (standard), 16 (LDAP) or 4096 (API token)", cfg.LoginMode)
	}
	return nil
}

// BaseURL returns text as the base URL that a client for it has: scheme and host in
// lower case, no default port, no trailing slash, no trailing /api. Two texts name the
// same server if theirs are equal. Plain http is as good as https here. Its errors
// never quote the text, which may hold a password that someone put there.
func BaseURL(text string) (string, error) {
	u, err := parseBaseURL(text, true)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// parseBaseURL returns the normalised base URL: scheme and host in lower case,
// no default port, no trailing slash, no trailing /api. Its errors never quote
// the text, which may hold a password that someone put there.
func parseBaseURL(text string, allowHTTP bool) (*url.URL, error) {
	const want = "want https://HOST/PATH, for example https://bi.example.com/MicroStrategyLibrary"
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("no server URL: " + want)
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return nil, errors.New("the server URL cannot be parsed: " + want)
	}
	scheme := strings.ToLower(u.Scheme)
	switch {
	case u.User != nil:
		return nil, errors.New("the server URL holds a user name or a password: take them out, credentials have their own settings")
	case scheme != "https" && scheme != "http":
		return nil, errors.New("the server URL is neither https nor http: " + want)
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("the server URL names no host: " + want)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("the server URL has a query or a fragment: " + want)
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if scheme == "http" && !allowHTTP && !maybeLoopback(host) {
		return nil, fmt.Errorf("plain http to %s would send the password in clear text: use https, or --allow-http if that is acceptable", host)
	}
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		port = ""
	}
	out := &url.URL{Scheme: scheme, Host: host}
	if strings.Contains(host, ":") {
		out.Host = "[" + host + "]"
	}
	if port != "" {
		out.Host = net.JoinHostPort(host, port)
	}
	// Cleaning the escaped form keeps an escaped slash what it is.
	p := path.Clean("/" + u.EscapedPath())
	p = strings.TrimSuffix(p, "/api")
	if p == "/" {
		p = ""
	}
	if out.Path, err = url.PathUnescape(p); err != nil {
		return nil, errors.New("the path of the server URL cannot be parsed: " + want)
	}
	if out.Path != p {
		out.RawPath = p
	}
	return out, nil
}

// maybeLoopback reports whether traffic to host can be meant to stay on this machine.
// What a name stands for shows when it is dialled: see [onlyLoopback].
func maybeLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// onlyLoopback is a [net.Dialer]'s Control that lets a connection be made to this
// machine only: address is what the name was resolved to.
func onlyLoopback(_, address string, _ syscall.RawConn) error {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Unmap().IsLoopback() {
		return nil
	}
	return permanentError{fmt.Errorf("plain http to %s, which is not this machine, would send the password in clear text: use https, or --allow-http if that is acceptable", address)}
}

// newTransport returns the client's own transport: HTTP/1.1 with as many
// connections as there may be requests at once, all of them kept.
func newTransport(cfg Config, cert *clientCert) (*http.Transport, error) {
	roots, err := rootCAs(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	renegotiation := tls.RenegotiateNever
	if cert.pair != nil {
		renegotiation = tls.RenegotiateOnceAsClient // IIS asks for it only then
	}
	dialer := &net.Dialer{Timeout: min(cfg.Timeout, 10*time.Second), KeepAlive: 30 * time.Second}
	if _, err := ProxyFor(cfg); err != nil {
		return nil, err
	}
	proxy := http.ProxyFromEnvironment
	if u, err := url.Parse(strings.TrimSpace(cfg.URL)); err == nil && strings.EqualFold(u.Scheme, "http") && !cfg.AllowHTTP {
		// A proxy on this machine would carry the password elsewhere.
		dialer.Control, proxy = onlyLoopback, nil
	}
	var protocols http.Protocols
	// One HTTP/2 connection would carry all workers, behind one flow-control
	// window and with its own ideas about retrying.
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: proxyAnswer,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, GetClientCertificate: cert.get, Renegotiation: renegotiation},
		TLSHandshakeTimeout:    min(cfg.Timeout, 10*time.Second),
		MaxConnsPerHost:        cfg.Concurrency,
		MaxIdleConns:           cfg.Concurrency,
		MaxIdleConnsPerHost:    cfg.Concurrency,
		IdleConnTimeout:        90 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		Protocols:              &protocols,
	}, nil
}

// awaitTransport is newTransport that ends with ctx: the file of certificates may be
// a pipe into which nobody writes.
func awaitTransport(ctx context.Context, cfg Config, cert *clientCert) (*http.Transport, error) {
	if cfg.CAFile == "" {
		return newTransport(cfg, cert)
	}
	type result struct {
		transport *http.Transport
		err       error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = panics.Catch(func() (err error) {
			r.transport, err = newTransport(cfg, cert)
			return err
		})
		done <- r
	}()
	select {
	case r := <-done:
		return r.transport, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrCAFile, context.Cause(ctx))
	}
}

// ErrCAFile is matched by errors about Config.CAFile.
var ErrCAFile = errors.New("CA file")

// rootCAs returns the system's certificates with those of file, or nil (which
// means the system's) when there is no file.
func rootCAs(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := input.Read(file, caFileLimit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCAFile, err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: %s holds no PEM certificate", ErrCAFile, file)
	}
	return roots, nil
}

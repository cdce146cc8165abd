package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"privsync/mstrapi"
	"privsync/planner"
)

// loginError says whose login to which server did not succeed, and why.
func loginError(cfg mstrapi.Config, err error) error {
	who := "with an API token"
	if cfg.LoginMode != mstrapi.APIToken {
		who = fmt.Sprintf("as %q", cfg.Username)
	}
	return fmt.Errorf("log in to %s %s: %w", withoutUserInfo(cfg.URL), who, err)
}

// withoutUserInfo takes out what stands before an @ in the host of a URL that
// may not be well-formed: a person may have written a password there.
func withoutUserInfo(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = "", raw
	}
	host, path, hasPath := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	out := host
	if ok {
		out = scheme + "://" + host
	}
	if hasPath {
		out += "/" + path
	}
	return out
}

// hintFor says what a person can do about err, or "" where there is nothing
// general to say. An error that knows better carries its own hint.
func hintFor(err error) string {
	var (
		e         *mstrapi.Error
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		path      *fs.PathError
	)
	switch {
	case errors.Is(err, mstrapi.ErrUnreachable):
		return "the server, or the way to it, was lost during the run: see that it answers (privsync doctor), then run this again"
	case errors.As(err, &authority):
		return "the server's certificate is signed by an authority that this machine does not know: put that authority's certificate (PEM) into a file and name it with --ca-file or PRIVSYNC_CA_FILE"
	case errors.As(err, &host):
		return "use in --url the host name that the certificate is made for, or have the certificate made for this name"
	case errors.As(err, &invalid):
		return "the server's certificate is not valid: have it renewed, and check the clock of this machine"
	case errors.Is(err, planner.ErrNotAllowed):
		return `have an administrator grant that privilege to the account, or log in with another one; "privsync doctor" checks it`
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the server speaks plain http on this port, not https: check the scheme and the port in --url"
	case errors.As(err, &record):
		return "the server does not speak TLS on this port: check the scheme and the port in --url"
	case errors.As(err, &dns):
		return "check the host name in --url, and that this machine can resolve it"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check the host and the port in --url, and that the server runs"
	}
	if errors.As(err, &e) {
		if h := answerHint(e); h != "" {
			return h
		}
	}
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "the server did not answer in time: check --url, firewalls and proxies, or raise --timeout"
	case errors.Is(err, mstrapi.ErrIncomplete):
		return "the server's answer was cut off or is not the REST API's: check that --url ends in the Library's path (like https://HOST/MicroStrategyLibrary), and try again"
	case errors.As(err, &path) && errors.Is(err, fs.ErrPermission):
		return "check who may read or write that path"
	}
	return ""
}

// answerHint says what to do about an answer of the server.
func answerHint(e *mstrapi.Error) string {
	switch {
	case e.Status == http.StatusUnauthorized && strings.HasSuffix(e.Path, "/auth/login"):
		return "check the user name, the password and --login-mode (standard, ldap, apiToken)"
	case e.Status == http.StatusUnauthorized:
		return "the server ended the session and would not begin another: check the user's limit of sessions, then try again"
	case e.Status == http.StatusForbidden:
		return `the session's user lacks a right: reading and changing privileges needs "Use User Manager"; "privsync doctor" checks it`
	case e.Status > 0 && e.Status < 500 && e.Status != http.StatusForbidden && e.Status != http.StatusTooManyRequests &&
		(strings.HasSuffix(e.Path, "/auth/login") || strings.HasSuffix(e.Path, "/api/status")),
		e.Status == http.StatusMethodNotAllowed:
		// A page with status 200, a redirect, a 404: something answers, but not this API.
		return "no REST API answers there: check that --url ends in the Library's path, like https://HOST/MicroStrategyLibrary"
	case e.Status == http.StatusTooManyRequests, e.Status == http.StatusServiceUnavailable:
		return "the server is overloaded: try again later, or with a lower --rate and --concurrency"
	case e.Status >= 500:
		return "the server or something in front of it failed: look into its log, with the ticket if one is named, and try again"
	}
	return ""
}

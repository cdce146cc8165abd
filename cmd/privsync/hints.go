package main

import (
	"cmp"
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

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// loginError says whose login to which server did not succeed, and why.
func loginError(cfg mstrapi.Config, err error) error {
	who := "with an API token"
	if cfg.LoginMode != mstrapi.APIToken {
		who = fmt.Sprintf("as %s", clean.Quote(cfg.Username))
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
		insecure  x509.InsecureAlgorithmError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		path      *fs.PathError
		refused   *mstrapi.TLSError
		proxy     *mstrapi.ProxyError
	)
	// Where it went wrong after the server had answered, its address is right.
	underWay := errors.As(err, &e) && !door(e)
	switch {
	case mstrapi.LoginRefusal(err) != "" && !errors.Is(err, mstrapi.ErrUnreachable):
		return refusalHint(mstrapi.LoginRefusal(err))
	case errors.Is(err, mstrapi.ErrProxy):
		return "correct that variable or unset it; NO_PROXY lists hosts that are reached without a proxy"
	case errors.As(err, &proxy):
		return proxyHint(proxy)
	case errors.As(err, &refused):
		return tlsHint(refused.Reason)
	case errors.Is(err, mstrapi.ErrClientCert):
		return "--client-cert must be a PEM file with the client's certificate, valid today, and --client-key one with the key of it, without a passphrase (openssl pkey -in KEY -out PLAIN takes it off; then chmod 600)"
	case errors.Is(err, mstrapi.ErrCAFile):
		return "--ca-file must name a file that you may read, with certificates in PEM (-----BEGIN CERTIFICATE-----)"
	case errors.Is(err, mstrapi.ErrSessionUseless):
		return "the login works and no session is kept: see that every proxy and balancer on the way passes the cookies of the login on and back, unchanged, and sends one session to one node"
	case errors.Is(err, mstrapi.ErrMaintenance):
		return "a page answers in place of the server: run this again when its maintenance is over"
	case errors.Is(err, mstrapi.ErrUnreachable):
		return "the server, or the way to it, was lost during the run: see that it answers (privsync doctor), then run this again"
	case errors.As(err, &authority):
		return "the server's certificate is signed by an authority that this machine does not know: put that authority's certificate (PEM) into a file and name it with --ca-file or PRIVSYNC_CA_FILE"
	case errors.As(err, &host):
		if c := host.Certificate; c != nil && len(c.DNSNames)+len(c.IPAddresses) == 0 {
			return "the server's certificate lists no host at all (a common name alone is not enough): its administrator has to have it made anew with subject alternative names"
		}
		return "use in --url the host name that the certificate is made for, or have the server's administrator get a certificate for this name"
	case errors.As(err, &invalid):
		return certificateHint(invalid.Reason)
	case errors.As(err, &insecure):
		return "the server's certificate is signed in a way that is no longer safe: its administrator has to have it signed anew (SHA-256)"
	case errors.Is(err, planner.ErrNotAllowed):
		return `have an administrator grant that privilege to the account, or log in with another one; "privsync doctor" checks it`
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the server speaks plain http on this port, not https: check the scheme and the port in --url"
	case errors.As(err, &record):
		return "the server does not speak TLS on this port: check the scheme and the port in --url"
	case errors.As(err, &dns) && underWay:
		return "the server's name can no longer be resolved: see that this machine's name service works, then run this again"
	case errors.Is(err, syscall.ECONNREFUSED) && underWay:
		return "nothing listens there any more: see that the server runs (privsync doctor), then run this again"
	case errors.As(err, &dns):
		return "check the host name in --url, and that this machine can resolve it"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check the host and the port in --url, and that the server runs"
	}
	if e != nil {
		if h := answerHint(e); h != "" {
			return h
		}
	}
	var timeout net.Error
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		if underWay {
			return "the server did not answer in time: see how busy it is, or raise --timeout"
		}
		return "the server did not answer in time: check --url, firewalls and proxies, or raise --timeout"
	case errors.Is(err, mstrapi.ErrTooLarge):
		return "where so large a list is to be expected, or privileges by so many groups, raise --max-answer; else look at what answers there"
	case errors.Is(err, mstrapi.ErrIncomplete):
		if underWay {
			return "the server's answer was cut off, or something on the way replaced it: try again, and if that does not help look into the server's and the proxy's log"
		}
		return "the server's answer was cut off or is not the REST API's: check that --url ends in the Library's path (like https://HOST/MicroStrategyLibrary), and try again"
	case errors.As(err, &path) && errors.Is(err, fs.ErrPermission):
		return "check who may read or write that path"
	}
	return ""
}

// answerHint says what to do about an answer of the server.
func answerHint(e *mstrapi.Error) string {
	switch {
	case e.Status == http.StatusUnauthorized && mstrapi.IsForbidden(e):
		return "the session is good and this request alone was refused: the account, or a gateway's rule for that path, does not allow it"
	case e.Status == http.StatusUnauthorized:
		return "the server ended the session and accepted none after it: look for an administrator who disconnects it, and see that cookies survive the way to the server"
	case e.Status == http.StatusForbidden:
		return `the session's user lacks a right: reading and changing privileges needs "Use User Manager"; "privsync doctor" checks it`
	case door(e) && e.Status > 0 && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusRequestTimeout,
		e.Status == http.StatusMethodNotAllowed && door(e):
		// A page with status 200, a redirect, a 404: something answers, but not this API.
		return "no REST API answers there: check that --url ends in the Library's path, like https://HOST/MicroStrategyLibrary"
	case e.Status/100 == 3:
		return "something on the way (a proxy, a single sign-on) redirects requests of the API: have it let them through to the Library"
	case e.Status == http.StatusTooManyRequests, e.Status == http.StatusServiceUnavailable:
		return "the server is overloaded: try again later, or with a lower --rate and --concurrency"
	case e.Status >= 500:
		return "the server or something in front of it failed: look into its log, with the ticket if one is named, and try again"
	}
	return ""
}

// door reports whether the request was one of those that find out whether an API
// answers at all.
func door(e *mstrapi.Error) bool {
	return strings.HasSuffix(e.Path, "/auth/login") || strings.HasSuffix(e.Path, "/api/status")
}

// refusalHint says what to do about a refused login.
func refusalHint(why mstrapi.Refusal) string {
	return cmp.Or(map[mstrapi.Refusal]string{
		mstrapi.RefusedLDAP:     "if the account is not one of LDAP use --login-mode standard; otherwise the server's administrator has to set LDAP authentication up, or see why its directory does not answer",
		mstrapi.RefusedLicence:  "the server's administrator has to give this account a licence (License Manager), or to free one",
		mstrapi.RefusedLocked:   "the account is locked after wrong passwords: have an administrator unlock it, and correct the password before the next run, or it is locked again",
		mstrapi.RefusedExpired:  "log in to Library or Workstation with this account once and change its password, or have an administrator set one that does not expire",
		mstrapi.RefusedDisabled: "have an administrator enable the account and give it access to the Library",
		mstrapi.RefusedSessions: "too many sessions are open: wait for some to end, or raise the limit of sessions of the user or the server",
		mstrapi.RefusedAway:     "the Library answers, and the Intelligence Server behind it does not: see that it runs and that the Library is connected to it, then try again",
		mstrapi.RefusedGateway:  "a gateway or a firewall in front of the server refuses this login: have whoever runs it let POST /api/auth/login through, from this machine",
		mstrapi.RefusedOther:    "the server takes such a login for a mistake: check --login-mode (standard, ldap, apiToken) and the user name",
	}[why], "check the user name, the password and --login-mode (standard, ldap, apiToken)")
}

// tlsHint says who has to change what where TLS is refused.
func tlsHint(why mstrapi.TLSReason) string {
	return cmp.Or(map[mstrapi.TLSReason]string{
		mstrapi.TLSVersion:     "the server's administrator has to switch TLS 1.2 or 1.3 on (of the server, or of the balancer or proxy in front of it); privsync does not use older versions, which can be read along",
		mstrapi.TLSCiphers:     "the server's administrator has to switch on a cipher suite with ECDHE (like TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) or TLS 1.3; privsync does not use suites with plain RSA key exchange (TLS_RSA_…) and other old ones",
		mstrapi.TLSCertWanted:  "get a client certificate from whoever runs the server or the gateway in front of it, and name its files with --client-cert and --client-key (PRIVSYNC_CLIENT_CERT, PRIVSYNC_CLIENT_KEY)",
		mstrapi.TLSCertRefused: "the server does not take the certificate of --client-cert: have its administrator say which authority must sign it and whether it is revoked, and give one that it takes",
		mstrapi.TLSName:        "use in --url the host name under which the server is set up, or have its administrator add this one",
	}[why], "the server ended the handshake: its administrator finds the reason in the log of its TLS")
}

// certificateHint says what to do about a server's certificate that is not valid.
func certificateHint(why x509.InvalidReason) string {
	switch why {
	case x509.Expired:
		return "the server's certificate is expired or not valid yet: have the server's administrator renew it, and check the clock of this machine"
	case x509.IncompatibleUsage:
		return "the server's certificate is not made for servers: its administrator has to get one with the usage \"server authentication\""
	case x509.NotAuthorizedToSign, x509.TooManyIntermediates, x509.CANotAuthorizedForThisName, x509.CANotAuthorizedForExtKeyUsage, x509.TooManyConstraints, x509.UnconstrainedName:
		return "an authority in the chain of the server's certificate may not sign it: the server's administrator has to get a certificate from one that may"
	}
	return "the server's certificate is not valid: the server's administrator has to replace it"
}

// proxyHint says what to do about an answer of a proxy.
func proxyHint(e *mstrapi.ProxyError) string {
	switch {
	case e.Status == http.StatusProxyAuthRequired:
		return "put the proxy's user and password into the variable (HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT), or list the server in NO_PROXY if it is reached without a proxy"
	case e.Status == http.StatusForbidden:
		return "have whoever runs the proxy allow this server, or list the server in NO_PROXY if it is reached without a proxy"
	}
	return "the proxy cannot reach the server: see that the server is up, have whoever runs the proxy look into its log, or list the server in NO_PROXY if it is reached without a proxy"
}

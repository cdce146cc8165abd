package mstrapi

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// TLSReason is why a server and this client did not come to terms about TLS, where it
// is no matter of the server's certificate: errors of package [crypto/x509] say that.
type TLSReason string

const (
	TLSVersion      TLSReason = "version"      // the server speaks only versions before 1.2
	TLSCiphers      TLSReason = "ciphers"      // no way to exchange keys that both accept
	TLSCertWanted   TLSReason = "cert-wanted"  // the server wants a client certificate; none was given
	TLSCertRefused  TLSReason = "cert-refused" // the server does not accept the one it was given
	TLSName         TLSReason = "name"         // nothing is served under the URL's host name
	TLSOtherRefusal TLSReason = "other"        // the alert says no more than its text
)

// TLSError is a refusal of TLS. No repetition cures it.
type TLSError struct {
	Reason TLSReason
	Err    error // the transport's; nil where an answer of HTTP said it
}

// Error returns what is wrong and the text of the alert.
func (e *TLSError) Error() string {
	what := "the server refuses to speak TLS with this client"
	switch e.Reason {
	case TLSVersion:
		what = "the server speaks only TLS versions before 1.2"
	case TLSCiphers:
		what = "the server and this client have no TLS cipher in common"
	case TLSCertWanted:
		what = "the server wants a client certificate, and none was given"
	case TLSCertRefused:
		what = "the server does not accept the client certificate"
	case TLSName:
		what = "the server has no site of this host name"
	}
	if e.Err == nil {
		return what
	}
	return fmt.Sprintf("%s (%v)", what, e.Err)
}

// Unwrap returns the transport's error.
func (e *TLSError) Unwrap() error { return e.Err }

// Is says that a TLSError is permanent.
func (e *TLSError) Is(target error) bool { return target == errPermanent }

// A clientCert answers a server that asks for a certificate, and knows that it did.
type clientCert struct {
	pair  *tls.Certificate // nil: there is none
	asked atomic.Bool
}

// ErrClientCert is matched by errors that say that Config.ClientCert and
// Config.ClientKey cannot be used.
var ErrClientCert = errors.New("the client certificate cannot be used")

// CheckClientCert reports whether cert and key, both PEM, belong together and can be
// used; both empty are good too. Its errors match [ErrClientCert] and never quote the
// key.
func CheckClientCert(cert []byte, key Secret, now time.Time) error {
	_, err := newClientCert(cert, key, now)
	return err
}

func newClientCert(cert []byte, key Secret, now time.Time) (*clientCert, error) {
	switch {
	case len(cert) == 0 && key == "":
		return &clientCert{}, nil
	case len(cert) == 0:
		return nil, fmt.Errorf("%w: there is a key and no certificate", ErrClientCert)
	case key == "":
		return nil, fmt.Errorf("%w: there is a certificate and no key", ErrClientCert)
	}
	text := key.Reveal()
	if strings.Contains(text, "ENCRYPTED") {
		return nil, fmt.Errorf("%w: its key is encrypted with a passphrase, which nobody can type here", ErrClientCert)
	}
	pair, err := tls.X509KeyPair(cert, []byte(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClientCert, err)
	}
	if leaf := pair.Leaf; leaf != nil {
		switch {
		case now.After(leaf.NotAfter):
			return nil, fmt.Errorf("%w: it ended on %s", ErrClientCert, leaf.NotAfter.UTC().Format(time.DateOnly))
		case now.Before(leaf.NotBefore):
			return nil, fmt.Errorf("%w: it begins on %s", ErrClientCert, leaf.NotBefore.UTC().Format(time.DateOnly))
		}
	}
	return &clientCert{pair: &pair}, nil
}

// get is a [tls.Config]'s GetClientCertificate.
func (c *clientCert) get(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c.asked.Store(true)
	if c.pair == nil {
		return &tls.Certificate{}, nil // none
	}
	return c.pair, nil
}

// missing reports whether the server asked for a certificate and got none.
func (c *clientCert) missing() bool { return c != nil && c.pair == nil && c.asked.Load() }

// explain returns a [*TLSError] if err is a refusal of TLS, or nil. known says that
// the server has answered before; then a connection that breaks is just that.
func (c *clientCert) explain(err error, known bool) error {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" && op.Op != "local error" {
		switch text := err.Error(); {
		case strings.Contains(text, "server selected unsupported protocol version"):
			return &TLSError{TLSVersion, err}
		case strings.Contains(text, "server chose an unconfigured cipher suite"):
			return &TLSError{TLSCiphers, err}
		}
		// With TLS 1.3 a server says what it misses after the handshake, and may
		// have hung up by the time that the request is written.
		broken := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
		if broken && !known && c.missing() {
			return &TLSError{TLSCertWanted, err}
		}
		return nil
	}
	alert := strings.TrimPrefix(op.Err.Error(), "tls: ")
	if op.Op == "local error" {
		if alert == "no renegotiation" && c != nil && c.pair == nil {
			return &TLSError{TLSCertWanted, op} // how IIS asks for a certificate after the handshake
		}
		return nil
	}
	switch alert {
	case "protocol version not supported", "inappropriate fallback":
		return &TLSError{TLSVersion, op}
	case "certificate required":
		return &TLSError{TLSCertWanted, op}
	case "unrecognized name":
		return &TLSError{TLSName, op}
	case "handshake failure", "insufficient security level":
		// Before TLS 1.3 this is also how a missing certificate is told.
		if c.missing() {
			return &TLSError{TLSCertWanted, op}
		}
		return &TLSError{TLSCiphers, op}
	case "bad certificate", "unsupported certificate", "revoked certificate", "expired certificate", "unknown certificate",
		"unknown certificate authority", "access denied":
		if c == nil || c.pair == nil {
			return &TLSError{TLSCertWanted, op}
		}
		return &TLSError{TLSCertRefused, op}
	case "internal error", "close notify", "user canceled":
		return nil // may pass
	}
	if known {
		return nil // an accident of one connection
	}
	return &TLSError{TLSOtherRefusal, op}
}

// judge returns a [*TLSError] if a refusal by HTTP is about a client certificate, as
// nginx, Apache and IIS write it, or nil.
func (c *clientCert) judge(e *Error) error {
	const noCertificate, certificateError = 496, 495 // nginx
	if c == nil || e.Code != "" || !c.asked.Load() {
		return nil
	}
	says := e.Status == noCertificate || e.Status == certificateError ||
		(e.Status == http.StatusBadRequest || e.Status == http.StatusForbidden) && strings.Contains(strings.ToLower(e.Message), "certificate")
	switch {
	case !says:
		return nil
	case c.pair == nil:
		return &TLSError{Reason: TLSCertWanted}
	}
	return &TLSError{Reason: TLSCertRefused}
}

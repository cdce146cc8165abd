package mstrapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"privsync/clean"
)

const (
	// backoffFirst, backoffFactor and backoffMost shape the waits between the
	// attempts of a request; each is varied at random by half.
	backoffFirst  = 250 * time.Millisecond
	backoffFactor = 2
	backoffMost   = 15 * time.Second

	// retryAfterMost is the longest Retry-After that is waited for. A server that
	// wants more is down for maintenance, and a nightly run should say so.
	retryAfterMost = 5 * time.Minute

	// firstDials is how often the very first login tries to connect: a typing
	// error in the host should not take the time of a restart.
	firstDials = 2
	// logoutAttempts bounds the attempts of a logout: nobody waits for it.
	logoutAttempts = 2
)

// errNotLibrary says that something else answers at the base URL.
var errNotLibrary = errors.New("not a MicroStrategy Library REST server; check --url (base path)")

// incompletef returns an error that matches [ErrIncomplete] and says more.
func incompletef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrIncomplete, fmt.Errorf(format, args...))
}

// newBackoff returns the waits between the attempts of one request.
func newBackoff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = backoffFirst, backoffFactor, backoffMost
	b.Reset()
	return b
}

// requestClass says what may be repeated.
type requestClass int

const (
	readRequest    requestClass = iota // GET, and PUT /api/sessions, which acts like one
	writeRequest                       // PATCH, and the submission of a command
	loginRequest                       // a repeated one can at worst leave a session to expire
	renewalRequest                     // a login that all workers wait for
	logoutRequest                      //
)

// A verdict says what becomes of a failed attempt. The zero value: it is final.
type verdict struct {
	again  bool
	all    bool   // everyone waits, not only this request
	reason string // constant text for the log
}

// judge decides about a failed attempt that is no 401 of a session.
//
//	                        read   write  login  renewal  logout
//	429                     again  again  again  again    again
//	503                     again  -      again  again    again
//	never connected         again  again  again  again    again
//	no answer, 408 502 504  again  -      again  again    again
//	500 ERR0013, ERR0016    again  -      again  again    -
//	500 otherwise           again  -      -      again    -
//	server time-out code    again  -      -      again    -
//	2xx, not understood     again  -      again  again    -
//	certificate, host name  -      -      -      -        -
//
// ERR0013 and ERR0016 say that the Intelligence Server behind the Library is not
// there (yet). After 429 and 503 everyone waits, but no logout. A 500 that says
// that the login is wrong is no accident.
func judge(class requestClass, e *Error) verdict {
	safe := class != writeRequest
	if errors.Is(e.Err, errPermanent) || errors.Is(e.Err, errNotLibrary) {
		return verdict{}
	}
	patient := class == readRequest || class == renewalRequest
	code := codeNumber(e.Code)
	switch {
	case class == renewalRequest && code == 3:
		return verdict{}
	case e.Status == http.StatusTooManyRequests:
		return verdict{again: true, all: class != logoutRequest, reason: "too many requests"}
	case e.Status == http.StatusServiceUnavailable:
		return verdict{again: safe, all: class != logoutRequest, reason: "service unavailable"}
	case e.Status == 0 && (safe || e.Unsent):
		return verdict{again: true, reason: "connection"}
	case e.Status/100 == 2 && (patient || class == loginRequest):
		return verdict{again: true, reason: "incomplete answer"}
	case (e.Status == http.StatusRequestTimeout || e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout) && safe:
		return verdict{again: true, reason: "gateway"}
	case e.Status == http.StatusInternalServerError && (code == 13 || code == 16) && (patient || class == loginRequest):
		return verdict{again: true, reason: "Intelligence Server away"}
	case e.Status == http.StatusInternalServerError && patient:
		return verdict{again: true, reason: "server error"}
	case e.IServerCode == iServerTimeout && patient:
		return verdict{again: true, reason: "time-out in the server"}
	}
	return verdict{}
}

// patience is the longest wait that a server may ask for in answer to a request that
// was first sent at started: all waits of a request come to no more than all its
// attempts could take, and none goes beyond the deadline of ctx or of the run.
func (c *client) patience(ctx context.Context, class requestClass, started time.Time) time.Duration {
	left := c.cfg.Timeout*time.Duration(c.cfg.MaxAttempts) - time.Since(started)
	most := min(retryAfterMost, max(0, left))
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, max(0, time.Until(deadline)))
	}
	return leftOfRun(ctx, class, most)
}

// errPermanent marks errors of the transport that no repetition cures.
var errPermanent = errors.New("permanent")

// permanentError is an error that matches errPermanent; its text is its cause's.
type permanentError struct{ error }

func (e permanentError) Is(target error) bool { return target == errPermanent }
func (e permanentError) Unwrap() error        { return e.error }

// timeoutError says that one attempt took longer than Config.Timeout. It does not
// match context.DeadlineExceeded: the caller's context is still good.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string { return fmt.Sprintf("no complete answer within %s", e.after) }
func (e timeoutError) Timeout() bool { return true }

// explainTransport marks errors of the transport that are permanent and says what
// to do about them.
func explainTransport(err error) error {
	var (
		certificate *tls.CertificateVerificationError
		unknown     x509.UnknownAuthorityError
		plain       tls.RecordHeaderError
		host        *net.DNSError
	)
	switch {
	case errors.As(err, &unknown):
		return permanentError{fmt.Errorf("%w (if the server's certificate comes from your own authority, give its file with --ca-file)", err)}
	case errors.As(err, &certificate):
		return permanentError{err}
	case errors.As(err, &plain) && string(plain.RecordHeader[:]) == "HTTP/":
		return permanentError{retoldError{errors.Join(http.ErrSchemeMismatch, err), "the server does not speak TLS on this port, but plain http"}}
	case errors.As(err, &plain):
		return permanentError{retoldError{err, "the server does not speak TLS on this port"}}
	case errors.As(err, &host) && host.IsNotFound:
		return permanentError{retoldError{err, fmt.Sprintf("unknown host %s", clean.Quote(clip(host.Name, 255)))}}
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nothing listens there", err)
	}
	return err
}

// neverConnected reports whether err says that no connection came about, so that
// nothing was sent.
func neverConnected(err error) bool {
	var (
		op          *net.OpError
		host        *net.DNSError
		certificate *tls.CertificateVerificationError
	)
	if errors.As(err, &host) || errors.As(err, &certificate) {
		return true
	}
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// retryAfter returns how long an answer asks to wait: a number of seconds, or a
// date, which counts from the server's own clock where it tells its time. 0 when
// it does not ask.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), 366*24*3600)) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now := time.Now()
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0)
}

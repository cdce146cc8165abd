package mstrapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrIncomplete is matched by errors that say: the server did not deliver what
// it promised (fewer rows than its total count, a truncated or an empty body, a
// page that is not JSON). What was read must not be taken for the whole.
var ErrIncomplete = errors.New("incomplete answer")

// ErrClosed is matched by the errors of requests after Close.
var ErrClosed = errors.New("the session is closed")

// iServerTimeout is the Intelligence Server's code for a request that timed out
// inside it: the REST layer gave up waiting, the work may still be done.
const iServerTimeout = -2147206497

// Error is a request that failed. Status is 0 when no answer came; then Err says
// why. With a status of 2xx the answer could not be understood. The texts are
// the server's: untrusted, but bounded, valid UTF-8 and free of control
// characters. It never holds a secret: neither bodies that privsync sent nor
// headers are kept, and secrets that a server echoes are cut out. When a context
// ended the request, Err wraps the context's cause and the rest describes the
// last answer before that.
type Error struct {
	Method      string
	Path        string // without the base URL and without secrets
	Status      int
	Code        string // ERR001 …; as the server spells it
	IServerCode int
	Message     string
	TicketID    string
	RetryAfter  time.Duration // 0: the server did not say
	Attempts    int           // requests sent, 1 or more
	Err         error         // the transport's or decoder's error, or nil

	// Unsent is true when the server cannot have acted on the request: it was
	// never sent, or was answered with a status that says it was not processed.
	Unsent bool
}

// Error returns one line: method, path, status, code, message and ticket.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Method, e.Path)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": HTTP %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, " %s", e.Code)
	}
	if e.IServerCode != 0 {
		fmt.Fprintf(&b, " (iServerCode %d)", e.IServerCode)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	if e.TicketID != "" {
		fmt.Fprintf(&b, " [ticket %s]", e.TicketID)
	}
	return b.String()
}

// Unwrap returns the transport's or decoder's error.
func (e *Error) Unwrap() error { return e.Err }

// OutcomeUnknown reports whether a write that ended with err may have been done
// by the server all the same: a lost answer, a time-out, a 5xx. Read before
// concluding anything. It is false for nil and for errors where the server
// refused (4xx) or never saw the request.
func OutcomeUnknown(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return err != nil
	}
	return !e.Unsent && (e.Status < 400 || e.Status >= 500 || e.Status == 408 || e.IServerCode == iServerTimeout)
}

// IsNotFound reports whether the server says that the object does not exist. A
// 404 that did not come from the API (a proxy's page) proves nothing and does
// not count, nor does [IsRouteMissing].
func IsNotFound(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == 404 && codeNumber(e.Code) == 4 && !IsRouteMissing(err)
}

// IsRouteMissing reports whether this version of the server does not have the
// endpoint: 404 ERR004 with the message "HTTP 404 Not Found", or 405.
func IsRouteMissing(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Status == 405 || e.Status == 404 && codeNumber(e.Code) == 4 && strings.Contains(e.Message, "HTTP 404 Not Found")
}

// IsForbidden reports whether the session's user may not do this: 403, or one of
// the codes for insufficient privileges (14) and permissions (17), which the
// server spells with or without a zero before them, or a 401 to a session that is
// alive.
func IsForbidden(err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.Status < 400 {
		return false
	}
	code := codeNumber(e.Code)
	return e.Status == 403 || code == 14 || code == 17 || errors.Is(e, errSessionAlive)
}

// errSessionAlive explains a 401 that is not about the session.
var errSessionAlive = errors.New("the session is alive: the server refuses this request to it")

// IsAuth reports whether the login was refused or the session is lost for good:
// 401. It looks into the whole chain: a request may fail because a login did.
func IsAuth(err error) bool {
	if errors.Is(err, errSessionAlive) {
		return false
	}
	if errors.Is(err, ErrSessionUseless) {
		return true
	}
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Status == 401 {
			return true
		}
	}
	return false
}

// codeNumber returns the number of an API error code: 14 for ERR014 and ERR0014,
// -1 for anything that is no such code.
func codeNumber(code string) int {
	if len(code) < 4 || len(code) > 12 || !strings.EqualFold(code[:3], "ERR") {
		return -1
	}
	n, err := strconv.Atoi(code[3:])
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// Stats counts what a client sent. Requests includes logins, logouts and every
// attempt; Retries counts the attempts after the first of each request.
type Stats struct {
	Requests int64
	Retries  int64
}

package mstrapi

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrIncomplete is matched by errors that say: the server did not deliver what
// it promised (fewer rows than its total count, a truncated or an empty body, a
// page that is not JSON). What was read must not be taken for the whole.
var ErrIncomplete = errors.New("incomplete answer")

// Error is a request that failed. Status is 0 when no complete answer came;
// then Err says why. The texts are the server's: untrusted. It never holds a
// secret: neither bodies that privsync sent nor headers are kept.
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
	return !e.Unsent && (e.Status < 400 || e.Status >= 500 || e.Status == 408)
}

// Stats counts what a client sent. Requests includes logins, logouts and every
// attempt; Retries counts the attempts after the first of each request.
type Stats struct {
	Requests int64
	Retries  int64
}

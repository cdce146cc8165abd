package mstrapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

const (
	// singleLimit bounds the body of what is no list; Config.MaxAnswer bounds lists
	// and privileges. Both after decompression.
	singleLimit = 8 << 20
)

// A request is what an endpoint method asks of the pipeline.
type request struct {
	method string
	path   string // after the base URL, safe as it stands
	query  string // encoded, without the question mark
	body   []byte // JSON, or nil
	class  requestClass
	limit  int64 // of the body of the answer

	// session is the one to use, for logins and logouts; nil: the client's.
	session *session
	open    bool // needs no session at all
	locked  bool // not sent in a session without the lock that [Writer.KeepLock] keeps
	first   bool // the login that opens a client
	door    bool // a page instead of JSON means: wrong base URL

	// accept decodes the body of a 2xx answer; it must not keep it. Its errors
	// mean that the answer is not what it should be. nil: any 2xx will do.
	accept func(body []byte, h http.Header) error
}

// errorFor returns the error of a request, to be filled.
func (q *request) errorFor() *Error {
	e := &Error{Method: q.method, Path: q.path}
	if q.query != "" {
		e.Path += "?" + q.query
	}
	return e
}

// do sends a request until it is answered, refused, or not worth repeating. Its
// errors are [*Error].
func (c *client) do(ctx context.Context, q *request) error {
	var (
		waits   interface{ NextBackOff() time.Duration }
		trace   authTrace
		last    *Error // of the attempt before, nil for the first
		sent    int
		tries   = c.cfg.MaxAttempts
		waiting bool // counted in client.waiting
		used    = 0  // of tries; renewing the session does not count
	)
	if q.class == logoutRequest {
		tries = logoutAttempts
	}
	started := time.Now()
	pausing, done := c.pauses(ctx, q.class)
	defer done()
	// ended is the error when the loop stops between two attempts.
	ended := func(err error) error {
		e := last
		if e == nil {
			e = q.errorFor()
			e.Unsent = true
		}
		if e.Status == http.StatusUnauthorized && err != nil {
			// What ended the request is the login, not the answer before it.
			e = &Error{Method: e.Method, Path: e.Path, Unsent: true}
			err = fmt.Errorf("its session was lost: %w", err)
		}
		e.Err, e.Attempts = err, sent
		return e
	}
	for {
		s, err := c.admit(pausing, q)
		if err != nil {
			return ended(err)
		}
		if q.locked {
			if again, err := c.keepLock(pausing, s, &trace); again {
				continue
			} else if err != nil {
				return ended(err)
			}
		}
		if sent++; sent > 1 {
			c.retries.Add(1)
		}
		used++
		began := time.Now()
		c.watch.enter()
		e := c.attempt(ctx, q, s, sent)
		c.watch.leave()
		if e == nil {
			c.outage.answered()
			c.pace.succeeded()
			if q.session == nil && s != nil {
				c.sessions.works(s)
			}
			return nil
		}
		e.Err = c.scrubError(e.Err)
		e.Attempts = sent
		last = e
		if ctx.Err() != nil && e.Status < 300 {
			e.Err = context.Cause(ctx)
			return e
		}
		if e.Status == http.StatusUnauthorized && q.session == nil && s != nil {
			c.outage.answered()
			e.Unsent = true
			if !c.renew(ctx, s, &trace, e) {
				return e
			}
			used--
			continue
		}
		v := judge(q.class, e)
		if q.first && e.Status == 0 && e.Unsent {
			tries = min(tries, firstDials)
		}
		if waits == nil {
			waits = newBackoff()
		}
		ordinary := waits.NextBackOff()
		wait := ordinary
		if e.RetryAfter > 0 {
			wait = e.RetryAfter
		}
		most := c.patience(ctx, q.class, started)
		tooLong := e.RetryAfter > most
		final := tooLong || !v.again || used >= tries
		if q.class == renewalRequest && !tooLong && v.again {
			final = time.Since(started)+wait > renewalMost
		}
		if c.outage.failed(e, began, final) {
			c.log.LogAttrs(ctx, slog.LevelError, "server given up", slog.String("error", clip(c.outage.err().Error(), messageLimit)))
		}
		if final {
			switch {
			case v.all && tooLong:
				// Nobody waits so long: others shall not either, before they are told the same.
				c.pace.slowDown(ordinary)
			case v.all:
				c.pace.slowDown(wait)
			}
			if tooLong && v.again {
				e.Err = fmt.Errorf("the server asks to wait %s, more than the %s that are left", e.RetryAfter, most.Round(time.Second))
			}
			return e
		}
		c.logRetry(ctx, e, wait, v.reason)
		if !waiting {
			waiting = true
			c.waiting.Add(1)
			defer c.waiting.Add(-1)
		}
		if away := c.outage.awayFor(); away > 0 {
			c.log.LogAttrs(ctx, slog.LevelInfo, "no usable answer, retrying", slog.Duration("for", away.Round(time.Second)), slog.Int64("waiting", c.waiting.Load()), slog.String("last", v.reason))
		} else if v.all && wait >= awayEvery {
			c.log.LogAttrs(ctx, slog.LevelInfo, "the server asks to slow down", slog.Duration("pause", wait.Round(time.Second)), slog.Int64("waiting", c.waiting.Load()))
		}
		if v.all {
			c.pace.slowDown(wait)
			continue
		}
		c.resting.Add(1)
		err = sleep(pausing, wait)
		c.resting.Add(-1)
		if err != nil {
			return ended(err)
		}
	}
}

// logRetry records that a request will be sent again.
func (c *client) logRetry(ctx context.Context, e *Error, wait time.Duration, reason string) {
	if !c.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", e.Method), slog.String("path", e.Path), slog.Int("attempt", e.Attempts),
		slog.Int("status", e.Status), slog.String("code", e.Code), slog.Duration("wait", wait), slog.String("reason", reason),
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", clip(e.Err.Error(), messageLimit)))
	}
	c.log.LogAttrs(ctx, slog.LevelDebug, "retrying request", attrs...)
}

// admit waits for a session and for the request's turn, unless the server was
// given up.
func (c *client) admit(ctx context.Context, q *request) (*session, error) {
	if q.class == logoutRequest {
		return q.session, c.pace.wait(ctx, true)
	}
	if err := c.outage.err(); err != nil {
		return nil, err
	}
	s, err := c.await(ctx, q)
	if err == nil {
		err = c.outage.err()
	}
	return s, err
}

// await waits for a session and for the request's turn.
func (c *client) await(ctx context.Context, q *request) (*session, error) {
	if q.open || q.session != nil {
		return q.session, c.pace.wait(ctx, false)
	}
	for {
		s, err := c.sessions.acquire(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.pace.wait(ctx, false); err != nil {
			return nil, err
		}
		// The session may have been lost during the wait. Its successor is taken
		// with a turn of its own: else all that waited would start at once.
		if c.sessions.isCurrent(s) {
			return s, nil
		}
	}
}

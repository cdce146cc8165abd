package mstrapi

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
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

// A delivery is a request on its way through the pipeline.
type delivery struct {
	c       *client
	q       *request
	ctx     context.Context // the caller's
	pausing context.Context // of waits; see client.pauses
	started time.Time
	waits   *backoff.ExponentialBackOff // nil until the first
	trace   authTrace
	last    *Error    // of the attempt before, nil for the first
	began   time.Time // the last attempt
	sent    int       // times
	used    int       // of tries; renewing the session does not count
	tries   int
	waiting bool // counted in client.waiting
}

// do sends a request until it is answered, refused, or not worth repeating. Its
// errors are [*Error].
func (c *client) do(ctx context.Context, q *request) error {
	d := delivery{c: c, q: q, ctx: ctx, started: time.Now(), tries: c.cfg.MaxAttempts}
	if q.class == logoutRequest {
		d.tries = logoutAttempts
	}
	var done func()
	d.pausing, done = c.pauses(ctx, q.class)
	defer done()
	defer func() {
		if d.waiting {
			c.waiting.Add(-1)
		}
	}()
	for {
		s, err := c.admit(d.pausing, q)
		if err == nil && q.locked {
			var again bool
			if again, err = c.keepLock(d.pausing, s, &d.trace); again {
				continue
			}
		}
		if err != nil {
			return d.ended(err)
		}
		e := d.send(s)
		if e == nil {
			return nil
		}
		if err := d.repeat(s, e); err != nil {
			return err
		}
	}
}

// ended returns the error of a delivery that stops between two attempts.
func (d *delivery) ended(err error) error {
	e := d.last
	if e == nil {
		e = d.q.errorFor()
		e.Unsent = true
	}
	if e.Status == http.StatusUnauthorized {
		// What ended the request is the login, not the answer before it.
		e = &Error{Method: e.Method, Path: e.Path, Unsent: true}
		err = fmt.Errorf("its session was lost: %w", err)
	}
	e.Err, e.Attempts = err, d.sent
	return e
}

// send sends the request once, in session s.
func (d *delivery) send(s *session) *Error {
	c := d.c
	if d.sent++; d.sent > 1 {
		c.retries.Add(1)
	}
	d.used++
	d.began = time.Now()
	c.watch.enter()
	e := c.attempt(d.ctx, d.q, s, d.sent)
	c.watch.leave()
	if e != nil {
		e.Err, e.Attempts = c.scrubError(e.Err), d.sent
		d.last = e
		return e
	}
	c.outage.answered()
	c.pace.succeeded()
	if d.q.session == nil && s != nil {
		c.sessions.works(s)
	}
	return nil
}

// repeat returns nil once the request, whose attempt in session s failed, is to be
// sent again, and otherwise what ends it.
func (d *delivery) repeat(s *session, e *Error) error {
	c := d.c
	if d.ctx.Err() != nil && e.Status < 300 {
		e.Err = context.Cause(d.ctx)
		return e
	}
	if e.Status == http.StatusUnauthorized && d.q.session == nil && s != nil {
		c.outage.answered()
		e.Unsent = true
		if !c.renew(d.ctx, s, &d.trace, e) {
			return e
		}
		d.used--
		return nil
	}
	v := judge(d.q.class, e)
	if d.q.first && e.Status == 0 && e.Unsent {
		d.tries = min(d.tries, firstDials)
	}
	if d.waits == nil {
		d.waits = newBackoff()
	}
	ordinary := d.waits.NextBackOff()
	wait := cmp.Or(e.RetryAfter, ordinary)
	most := c.patience(d.ctx, d.q.class, d.started)
	tooLong := e.RetryAfter > most
	final := tooLong || !v.again || d.used >= d.tries
	if d.q.class == renewalRequest && !tooLong && v.again {
		final = time.Since(d.started)+wait > renewalMost
	}
	if c.outage.failed(e, d.began, final) {
		c.log.LogAttrs(d.ctx, slog.LevelError, "server given up", slog.String("error", clip(c.outage.err().Error(), messageLimit)))
	}
	if final && tooLong {
		// Nobody waits so long: others shall not either, before they are told the same.
		wait = ordinary
		if v.again {
			e.Err = fmt.Errorf("the server asks to wait %s, more than the %s that are left", e.RetryAfter, most.Round(time.Second))
		}
	}
	if !final {
		d.tell(e, v, wait)
	}
	if v.all {
		c.pace.slowDown(wait)
	}
	switch {
	case final:
		return e
	case v.all:
		return nil
	}
	c.resting.Add(1)
	defer c.resting.Add(-1)
	if err := Sleep(d.pausing, wait); err != nil {
		return d.ended(err)
	}
	return nil
}

// tell logs that the request will be sent again after the wait, and counts it among
// those that wait.
func (d *delivery) tell(e *Error, v verdict, wait time.Duration) {
	c := d.c
	c.logRetry(d.ctx, e, wait, v.reason)
	if !d.waiting {
		d.waiting = true
		c.waiting.Add(1)
	}
	if away := c.outage.awayFor(); away > 0 {
		c.log.LogAttrs(d.ctx, slog.LevelInfo, "no usable answer, retrying", slog.Duration("for", away.Round(time.Second)), slog.Int64("waiting", c.waiting.Load()), slog.String("last", v.reason))
	} else if v.all && wait >= awayEvery {
		c.log.LogAttrs(d.ctx, slog.LevelInfo, "the server asks to slow down", slog.Duration("pause", wait.Round(time.Second)), slog.Int64("waiting", c.waiting.Load()))
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

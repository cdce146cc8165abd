package mstrapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// listLimit bounds the body of a list, singleLimit that of anything else; both
	// after decompression.
	listLimit   = 64 << 20
	singleLimit = 8 << 20
	// keepBuffer is the largest body buffer that is kept for the next request.
	keepBuffer = 1 << 20
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
		waits interface{ NextBackOff() time.Duration }
		trace authTrace
		last  *Error // of the attempt before, nil for the first
		sent  int
		tries = c.cfg.MaxAttempts
		used  = 0 // of tries; renewing the session does not count
	)
	if q.class == logoutRequest {
		tries = logoutAttempts
	}
	defer c.sessions.settle(&trace)
	// ended is the error when the loop stops between two attempts.
	ended := func(err error) error {
		e := last
		if e == nil {
			e = q.errorFor()
			e.Unsent = true
		}
		e.Err, e.Attempts = err, sent
		return e
	}
	for {
		s, err := c.admit(ctx, q)
		if err != nil {
			return ended(err)
		}
		if sent++; sent > 1 {
			c.retries.Add(1)
		}
		used++
		e := c.attempt(ctx, q, s, sent)
		if e == nil {
			c.outage.answered()
			c.pace.succeeded()
			if q.session == nil && s != nil {
				c.sessions.works(s)
			}
			return nil
		}
		e.Attempts = sent
		last = e
		if ctx.Err() != nil && e.Status < 300 {
			e.Err = context.Cause(ctx)
			return e
		}
		if e.Status == http.StatusUnauthorized && q.session == nil && s != nil {
			c.outage.answered()
			if !c.sessions.lost(s, &trace, e.Code) {
				return e
			}
			e.Unsent = true
			used--
			c.logRetry(ctx, e, 0, "session lost")
			continue
		}
		v := judge(q.class, e)
		if q.first && e.Status == 0 && e.Unsent {
			tries = min(tries, firstDials)
		}
		if waits == nil {
			waits = newBackoff()
		}
		wait := waits.NextBackOff()
		if e.RetryAfter > 0 {
			wait = e.RetryAfter
		}
		tooLong := wait > retryAfterMost
		final := tooLong || !v.again || used >= tries
		if c.outage.failed(e, final) {
			c.log.LogAttrs(ctx, slog.LevelError, "server given up", slog.String("error", clip(c.outage.err().Error(), messageLimit)))
		}
		if final {
			if v.all {
				c.pace.slowDown(min(wait, retryAfterMost))
			}
			if tooLong && v.again {
				e.Err = fmt.Errorf("the server asks to wait %s, more than %s", e.RetryAfter, retryAfterMost)
			}
			return e
		}
		c.logRetry(ctx, e, wait, v.reason)
		if v.all {
			c.pace.slowDown(wait)
		} else if err := sleep(ctx, wait); err != nil {
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
		s, err := c.sessions.acquire(ctx, func(number uint64) (*session, error) {
			return c.login(c.life, number, false)
		})
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

// sendTrace learns from the transport whether a request can have left.
type sendTrace struct {
	asked, got atomic.Int32 // connections asked for and obtained
}

// attempt sends a request once and returns nil or what went wrong. sent is how
// many times it was sent by then, this time included.
func (c *client) attempt(ctx context.Context, q *request, s *session, sent int) *Error {
	var trace sendTrace
	actx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	actx = httptrace.WithClientTrace(actx, &httptrace.ClientTrace{
		GetConn: func(string) { trace.asked.Add(1) },
		GotConn: func(httptrace.GotConnInfo) {
			if trace.got.Add(1) > 1 {
				// The transport repeats a read by itself when a kept connection turns
				// out to be closed.
				c.requests.Add(1)
				c.retries.Add(1)
				c.pace.resent()
				e := q.errorFor()
				e.Attempts = sent
				c.logRetry(ctx, e, 0, "connection closed")
			}
		},
	})
	hr := c.newRequest(actx, q, s)
	c.requests.Add(1)
	resp, err := c.transport.RoundTrip(hr)
	if err != nil {
		e := q.errorFor()
		e.Unsent = neverConnected(err) && trace.got.Load() == 0 || trace.asked.Load() > 0 && trace.got.Load() == 0
		e.Err = c.explainSend(ctx, actx, err)
		return e
	}
	defer resp.Body.Close()
	if s != nil {
		s.store(resp, hr.URL, c.base.Path)
	}
	if resp.StatusCode/100 != 2 {
		return c.refusal(q, resp)
	}
	buffer := c.buffer()
	defer c.release(buffer)
	body, err := readBody(resp.Body, q.limit, buffer)
	if err == nil && q.accept != nil {
		err = q.accept(body, resp.Header)
		if err == nil {
			return nil
		}
	} else if err == nil {
		return nil
	} else if !errors.Is(err, errPermanent) {
		err = fmt.Errorf("%w: %w", ErrIncomplete, c.explainSend(ctx, actx, err))
	}
	e := q.errorFor()
	e.Status, e.Err = resp.StatusCode, err
	switch {
	case isHTML(body) && (q.door || q.first):
		e.Err = errNotLibrary
	case isHTML(body):
		e.Err = incompletef("the answer is an HTML page, not JSON")
	case len(body) > 0 && len(body) <= errorBodyLimit:
		// Some gateways answer 200 with an error document.
		var inner Error
		if json.Valid(body) && inner.fillFromObject([]byte(c.scrub(string(body)))) && inner.Code != "" {
			e.Code, e.Message, e.TicketID, e.IServerCode = inner.Code, inner.Message, inner.TicketID, inner.IServerCode
		}
	}
	return e
}

// explainSend turns an error of the transport into one that says what happened:
// the caller's context ended, the attempt's did, or something else.
func (c *client) explainSend(ctx, attempt context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if attempt.Err() != nil {
		return timeoutError{c.cfg.Timeout}
	}
	return explainTransport(err)
}

// newRequest builds the HTTP request.
func (c *client) newRequest(ctx context.Context, q *request, s *session) *http.Request {
	u := &url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: c.base.Path + q.path, RawQuery: q.query}
	if c.base.RawPath != "" {
		u.RawPath = c.base.RawPath + q.path
	}
	h := make(http.Header, 6)
	h["Accept"] = []string{"application/json"}
	h["User-Agent"] = []string{c.cfg.UserAgent}
	if s != nil {
		s.authorise(h, u)
	}
	hr := &http.Request{Method: q.method, URL: u, Host: u.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if q.body != nil {
		h["Content-Type"] = []string{"application/json"}
		hr.ContentLength = int64(len(q.body))
		hr.Body = io.NopCloser(bytes.NewReader(q.body))
		// With it the transport may use another connection when nothing at all
		// was written to the first.
		hr.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(q.body)), nil }
	} else if q.method != http.MethodGet {
		hr.Body = http.NoBody
	}
	return hr.WithContext(ctx)
}

// refusal returns the error for an answer that is not 2xx.
func (c *client) refusal(q *request, resp *http.Response) *Error {
	e := q.errorFor()
	e.Status = resp.StatusCode
	e.RetryAfter = retryAfter(resp.Header)
	e.Unsent = resp.StatusCode == http.StatusTooManyRequests
	if resp.StatusCode/100 == 3 {
		e.Message = "redirects are not followed"
		if at := c.location(resp.Header.Get("Location")); at != "" {
			e.Message = "redirected to " + at + ", which is not followed"
		}
		e.Err = errors.New("check --url: a proxy or a login page answers there")
		return e
	}
	// The status stands even when the body does not arrive.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBodyLimit))
	e.fillFromBody([]byte(c.scrub(string(body))))
	e.Code, e.Message, e.TicketID = c.scrub(e.Code), c.scrub(e.Message), c.scrub(e.TicketID)
	return e
}

// location returns what may be shown of a redirect's target: no user
// information, query or fragment, where sessions and tickets live.
func (c *client) location(target string) string {
	u, err := url.Parse(target)
	if err != nil || target == "" {
		return ""
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return c.scrub(clip(shown.String(), 256))
}

// buffer returns an empty buffer for a body; release takes it back.
func (c *client) buffer() *[]byte {
	if b, ok := c.buffers.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 16<<10)
	return &b
}

func (c *client) release(b *[]byte) {
	if cap(*b) <= keepBuffer {
		c.buffers.Put(b)
	}
}

// readBody reads all of r, at most limit bytes, into buffer and returns it. It
// returns what it read with an error too.
func readBody(r io.Reader, limit int64, buffer *[]byte) ([]byte, error) {
	b := (*buffer)[:0]
	defer func() { *buffer = b[:0] }()
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > limit {
			return b, permanentError{incompletef("larger than %d MiB", limit>>20)}
		}
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// encodeJSON returns v as JSON without HTML escapes; v must be encodable.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("mstrapi: " + err.Error()) // types of this package only
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// acceptJSON returns an accept function that decodes one JSON document into v
// and then asks check whether everything needed is there.
func acceptJSON[T any](v *T, check func() error) func([]byte, http.Header) error {
	return func(body []byte, _ http.Header) error {
		var fresh T
		*v = fresh // an attempt before may have left something
		if err := json.Unmarshal(body, v); err != nil {
			return decodeError(body, err)
		}
		return check()
	}
}

// decodeError says why a body is not the document it should be.
func decodeError(body []byte, err error) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return incompletef("empty body")
	}
	return fmt.Errorf("%w: %s", ErrIncomplete, strings.TrimPrefix(clip(err.Error(), 200), "json: "))
}

package mstrapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
)

// keepBody is the largest buffer of a body that is kept for the next request.
const keepBody = 256 << 10

// attempt sends a request once and returns nil or what went wrong. sent is how
// many times it was sent by then, this time included.
func (c *client) attempt(ctx context.Context, q *request, s *session, sent int) *Error {
	actx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var asked, got atomic.Int32 // connections
	actx = httptrace.WithClientTrace(actx, &httptrace.ClientTrace{
		GetConn: func(string) { asked.Add(1) },
		GotConn: func(httptrace.GotConnInfo) {
			// The transport repeats a read by itself when a kept connection turns out
			// to be closed.
			if got.Add(1) > 1 {
				c.resent(ctx, q, sent)
			}
		},
	})
	hr := c.newRequest(actx, q, s)
	c.requests.Add(1)
	resp, err := c.transport.RoundTrip(hr)
	if err == nil && wantsSlash(hr, resp) {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, errorBodyLimit))
		_ = resp.Body.Close()
		c.resent(ctx, q, sent)
		asked.Store(0)
		got.Store(0)
		hr = c.newRequest(actx, q, s)
		addSlash(hr.URL)
		resp, err = c.transport.RoundTrip(hr)
	}
	if err != nil {
		e := q.errorFor()
		e.Unsent = got.Load() == 0 && (asked.Load() > 0 || neverConnected(err))
		e.Err = c.explainSend(ctx, actx, err)
		return e
	}
	defer resp.Body.Close()
	c.keepCookies(resp)
	if s != nil {
		s.store(resp)
	}
	if resp.StatusCode/100 != 2 {
		return c.refusal(q, resp)
	}
	buffer, ok := c.bodies.Get().(*bytes.Buffer)
	if !ok {
		buffer = new(bytes.Buffer)
	}
	defer func() {
		if buffer.Cap() <= keepBody {
			buffer.Reset()
			c.bodies.Put(buffer)
		}
	}()
	body, err := readBody(resp.Body, q.limit, buffer)
	if err == nil {
		if q.accept == nil {
			return nil
		}
		if err = q.accept(body, resp.Header); err == nil {
			return nil
		}
	} else if !errors.Is(err, errPermanent) {
		err = fmt.Errorf("%w: %w", ErrIncomplete, c.explainSend(ctx, actx, err))
	}
	e := q.errorFor()
	e.Status, e.Err = resp.StatusCode, err
	switch {
	case isHTML(body):
		e.Message = c.scrub(describeNonAPI(body))
		switch {
		case maintenance.MatchString(e.Message):
			e.Err = ErrMaintenance
		case q.door || q.first:
			e.Err = errNotLibrary
		default:
			e.Err = incompletef("the answer is a page, not JSON")
		}
	case len(body) > 0 && len(body) <= errorBodyLimit:
		// Some gateways answer 200 with an error document.
		var inner Error
		if json.Valid(body) && inner.fillFromObject(c.scrubDocument(body)) && inner.Code != "" {
			e.Code, e.Message, e.TicketID, e.IServerCode = c.scrub(inner.Code), c.scrub(inner.Message), c.scrub(inner.TicketID), inner.IServerCode
		}
	}
	return e
}

// readBody reads all of r, at most limit bytes, into buffer and returns it. It
// returns what it read with an error too.
func readBody(r io.Reader, limit int64, buffer *bytes.Buffer) ([]byte, error) {
	n, err := buffer.ReadFrom(io.LimitReader(r, limit+1))
	if n > limit {
		err = permanentError{fmt.Errorf("%w of %d MiB (--max-answer sets that of lists and privileges)", ErrTooLarge, limit>>20)}
	}
	return buffer.Bytes(), err
}

// wantsSlash reports whether an answer sends the request to the same path with a slash
// at its end, which some servers want. Nothing was done then, so that a write may
// follow as well.
func wantsSlash(hr *http.Request, resp *http.Response) bool {
	if resp.StatusCode/100 != 3 {
		return false
	}
	to, err := hr.URL.Parse(resp.Header.Get("Location"))
	if err != nil {
		return false
	}
	want := *hr.URL
	addSlash(&want)
	return to.String() == want.String()
}

// addSlash puts a slash at the end of a URL's path.
func addSlash(u *url.URL) {
	u.Path += "/"
	if u.RawPath != "" {
		u.RawPath += "/"
	}
}

// errRedirected says what a redirect of a request to a known server means.
var errRedirected = errors.New("something on the way, like a proxy or a single sign-on, answers in place of the server")

// resent notes that the transport has sent a request a second time.
func (c *client) resent(ctx context.Context, q *request, sent int) {
	c.requests.Add(1)
	c.retries.Add(1)
	c.pace.resent()
	e := q.errorFor()
	e.Attempts = sent
	c.logRetry(ctx, e, 0, "connection closed")
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
	if refused := c.cert.explain(err, c.outage.last.Load() != 0); refused != nil {
		return refused
	}
	return explainTransport(err)
}

// newRequest builds the HTTP request.
func (c *client) newRequest(ctx context.Context, q *request, s *session) *http.Request {
	u := &url.URL{Scheme: c.base.Scheme, Host: c.base.Host, Path: c.base.Path + q.path, RawQuery: q.query}
	if c.base.RawPath != "" {
		u.RawPath = c.base.RawPath + q.path
	}
	h := c.headers
	if s != nil {
		h = s.headersNow()
	}
	hr := &http.Request{Method: q.method, URL: u, Host: u.Host, Header: h.plain, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if q.body != nil {
		hr.Header = h.withBody
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

// headers are the headers of requests without and with a JSON body. Requests
// share them: nothing may change them.
type headers struct {
	plain, withBody http.Header
}

// newHeaders returns the headers of requests with that token and those cookies,
// both empty for none.
func newHeaders(userAgent string, token Secret, cookies string) *headers {
	h := &headers{plain: http.Header{"Accept": {"application/json"}, "User-Agent": {userAgent}}}
	if token != "" {
		h.plain["X-Mstr-Authtoken"] = []string{token.Reveal()}
	}
	if cookies != "" {
		h.plain["Cookie"] = []string{cookies}
	}
	h.withBody = maps.Clone(h.plain)
	h.withBody["Content-Type"] = []string{"application/json"}
	return h
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
		e.Err = errRedirected
		if q.door || q.first {
			e.Err = errNotLibrary
		}
		return e
	}
	// The status stands even when the body does not arrive.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBodyLimit))
	e.fillFromBody(c.scrubDocument(body))
	e.Code, e.Message, e.TicketID = c.scrub(e.Code), c.scrub(e.Message), c.scrub(e.TicketID)
	if e.Err = c.cert.judge(e); e.Err == nil {
		e.Err = c.proxy.judge(e)
	}
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
	return clip(c.scrub(shown.String()), 256)
}

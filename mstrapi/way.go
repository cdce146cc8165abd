package mstrapi

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"time"
)

// A Way is what one request to a server shows of what lies below its API.
type Way struct {
	Host string               // with the port, if the URL has one
	TLS  *tls.ConnectionState // nil: plain http
	Date string               // the answer's header: the server's clock
	Took time.Duration        // the connection included
}

// LookAtWay sends one request for the versions of the server of cfg, the way that a
// client of cfg would send it, and reports how it went. Any answer of HTTP will do,
// unless it comes from a proxy. Its errors are those of a client.
func LookAtWay(ctx context.Context, cfg Config) (Way, error) {
	c, err := newClient(ctx, cfg)
	if err != nil {
		return Way{}, err
	}
	defer c.closeIdle()
	defer c.end()
	actx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	q := &request{method: http.MethodGet, path: statusPath}
	fail := func(err error) (Way, error) {
		e := q.errorFor()
		e.Err = err
		return Way{}, e
	}
	before := time.Now()
	response, err := c.transport.RoundTrip(c.newRequest(actx, q, nil))
	if err != nil {
		return fail(c.scrubError(c.explainSend(ctx, actx, err)))
	}
	defer response.Body.Close()
	way := Way{Host: c.base.Host, TLS: response.TLS, Date: response.Header.Get("Date"), Took: time.Since(before)}
	if response.StatusCode/100 != 2 {
		e := c.refusal(q, response)
		e.Attempts = 1
		if e.Err != nil && e.Status/100 != 3 {
			return Way{}, e
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, errorBodyLimit)) // TLS 1.3 tells of a missing certificate late
	return way, nil
}

package mstrtest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
)

// Transport returns a [http.RoundTripper] that asks the server without a
// network, whatever host the URL names. What is asked arrives, even if the context of the
// request ends at that moment; a wait ends with it. It sleeps for [Options.Latency] on the
// clock of a testing/synctest bubble, and turns broken connections into the errors that a
// network would give. Gzip is never used. In a bubble, make the server there too.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		// The contract of RoundTripper: the body is always closed.
		defer func() { _ = r.Body.Close() }()
	}
	var resp response
	fate := t.server.handle(r, &resp)
	if fate == abandoned {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: io.EOF}
	}
	if fate == reset {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	out := &http.Response{
		Status: strconv.Itoa(resp.status) + " " + http.StatusText(resp.status), StatusCode: resp.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header), Request: r, ContentLength: int64(len(resp.body)),
	}
	for k, values := range resp.header {
		for _, v := range values {
			out.Header.Add(k, v)
		}
	}
	if resp.status == http.StatusNoContent {
		out.Body, out.ContentLength = http.NoBody, 0
		return out, nil
	}
	out.Header.Set("Content-Type", resp.contentType())
	out.Header.Set("Content-Length", strconv.Itoa(len(resp.body)))
	if fate == cutBody {
		out.Body = io.NopCloser(io.MultiReader(bytes.NewReader(resp.body[:len(resp.body)/2]), broken{}))
		return out, nil
	}
	out.Body = io.NopCloser(bytes.NewReader(resp.body))
	return out, nil
}

// broken is the end of a body whose connection broke.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

package mstrtest

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// response is an answer that has not been sent yet.
type response struct {
	status int
	body   []byte
	html   bool
	header http.Header // beside Content-Type and Content-Length; may be nil
	rows   [][2]int    // where in body the rows of a page are
}

func (r *response) set(key, value string) {
	if r.header == nil {
		r.header = make(http.Header)
	}
	r.header[key] = append(r.header[key], value)
}

// delivery says what becomes of a response on its way.
type delivery int

const (
	deliver   delivery = iota
	reset              // the connection breaks, nothing arrives
	cutBody            // the connection breaks in the middle of the body
	abandoned          // the client has given up
)

// responses are pooled for ServeHTTP: their bodies are large and short-lived.
func newResponsePool() *sync.Pool {
	return &sync.Pool{New: func() any { return new(response) }}
}

func (r *response) clear() {
	*r = response{body: r.body[:0], rows: r.rows[:0]}
}

// write sends r over a real connection.
func (r *response) write(w http.ResponseWriter, req *http.Request, gzipped bool) {
	h := w.Header()
	for k, v := range r.header {
		h[k] = v
	}
	if r.status == http.StatusNoContent {
		w.WriteHeader(r.status)
		return
	}
	h["Content-Type"] = []string{r.contentType()}
	h["Cache-Control"] = []string{"no-store"}
	if gzipped && len(r.body) > 0 && strings.Contains(req.Header.Get("Accept-Encoding"), "gzip") {
		h["Content-Encoding"] = []string{"gzip"}
		w.WriteHeader(r.status)
		if err := compress(w, r.body); err != nil {
			return // the client is gone
		}
		return
	}
	h["Content-Length"] = []string{strconv.Itoa(len(r.body))}
	w.WriteHeader(r.status)
	// An error means that the client is gone: there is nobody to tell.
	_, _ = w.Write(r.body)
}

func compress(w io.Writer, body []byte) error {
	z := gzip.NewWriter(w)
	if _, err := z.Write(body); err != nil {
		return err
	}
	return z.Close()
}

func (r *response) contentType() string {
	if r.html {
		return "text/html;charset=UTF-8"
	}
	return "application/json;charset=UTF-8"
}

// page is what stands outside the API, and what a proxy in trouble answers.
const page = `<!DOCTYPE html>
<html><head><title>MicroStrategy Library</title></head><body><div id="root">Please sign in.</div></body></html>
`

func (r *response) setPage(status int) {
	r.status, r.html = status, true
	r.body = append(r.body[:0], page...)
	r.rows = nil
}

// Numbers that the Intelligence Server gives with its errors.
const (
	codeNotPrivileged = -2147214568
	codeTimeout       = -2147206497
	codeNotFound      = -2147216373
	codeSessions      = -2147209151
)

// fail makes r an error answer.
func (s *Server) fail(r *response, n, status int, code string, iServerCode int, message string) {
	q := &s.options.Quirks
	if q.LongZero && strings.HasPrefix(code, "ERR01") {
		code = "ERR0" + strings.TrimPrefix(code, "ERR")
	}
	o := newObject(r.body[:0], nil)
	if q.WrappedErrors {
		o = newObject(append(r.body[:0], `{"errors":[`...), nil)
	}
	o.string("code", code)
	if iServerCode != 0 {
		key := q.ErrorNumberKey
		if key == "" {
			key = "iServerCode"
		}
		o.raw(key, strconv.Itoa(iServerCode))
	}
	o.string("message", message)
	o.string("ticketId", s.ticket(n))
	if q.SubErrors {
		o.raw("subErrors", `[{"code":"ERR001","message":"see the ticket"}]`)
	}
	b := o.end()
	if q.WrappedErrors {
		b = append(b, ']', '}')
	}
	r.status, r.body, r.html, r.rows = status, b, false, nil
}

// ticket is what the vendor's support would ask for. It depends on the request's
// number only, so that a run can be repeated.
func (s *Server) ticket(n int) string {
	h := fnv.New128a()
	_, _ = fmt.Fprintf(h, "ticket %d", n) // a hash takes every write
	return hex.EncodeToString(h.Sum(nil))
}

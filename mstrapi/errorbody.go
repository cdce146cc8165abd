package mstrapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"privsync/clean"
)

const (
	// errorBodyLimit is how much of an error answer is read; the rest is left.
	errorBodyLimit = 64 << 10
	// messageLimit and codeLimit bound what is kept of the server's texts, in bytes.
	messageLimit = 1 << 10
	codeLimit    = 64
)

// fillFromBody takes code, message, ticket and iServerCode from the body of an
// error answer. The server sends one object, or wraps it in "errors", or adds
// "subErrors"; a proxy sends HTML, text or nothing.
func (e *Error) fillFromBody(body []byte) {
	if !e.fillFromObject(body) {
		e.Message = describeNonAPI(body)
	}
}

// fillFromObject does fillFromBody for JSON and reports whether it was one of
// the API's errors.
func (e *Error) fillFromObject(body []byte) bool {
	var doc any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return d.Decode(&doc) == nil && e.fillFrom(doc, 0)
}

// fillFrom does fillFromBody for a decoded document and reports whether it found
// anything in it.
func (e *Error) fillFrom(doc any, depth int) bool {
	if depth > 3 {
		return false
	}
	if list, ok := doc.([]any); ok {
		return len(list) > 0 && e.fillFrom(list[0], depth+1)
	}
	object, ok := doc.(map[string]any)
	if !ok {
		return false
	}
	found := false
	for key, value := range object {
		text := scalar(value)
		switch strings.ToLower(key) {
		case "code":
			e.Code, found = clip(text, codeLimit), true
		case "message":
			e.Message, found = clip(text, messageLimit), true
		case "ticketid":
			e.TicketID = clip(text, 2*codeLimit)
		case "iservercode": // one sample of the vendor spells it IserverCode
			if n, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(n) <= math.MaxInt32+1 {
				e.IServerCode = int(n)
			}
		}
	}
	if !found {
		return e.fillFrom(object["errors"], depth+1)
	}
	var sub Error
	if sub.fillFrom(object["subErrors"], depth+1) && sub.Message != "" && sub.Message != e.Message {
		e.Message = clip(strings.TrimSuffix(e.Message, ".")+": "+sub.Message, messageLimit)
	}
	return true
}

// scalar returns the text of a JSON scalar, "" for anything else.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

var htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)

// maintenance recognises the titles of pages that stand in for a server that is
// down on purpose.
var maintenance = regexp.MustCompile(`(?i)maintenance|maintain|wartung|unavailable|be (right )?back|come back|try again later|starting up|is starting|shut ?down|offline`)

// ErrMaintenance is matched by errors that say: instead of the server a page
// answers, with status 200, whose title speaks of maintenance.
var ErrMaintenance = fmt.Errorf("%w: a maintenance page answers in place of the server", ErrIncomplete)

// ErrTooLarge is matched by errors that say: an answer is larger than what is read,
// for lists and privileges [Config] MaxAnswer.
var ErrTooLarge = fmt.Errorf("%w: larger than the bound", ErrIncomplete)

// describeNonAPI says in a few words what an error answer is that does not come
// from the API.
func describeNonAPI(body []byte) string {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return "empty answer"
	case isHTML(body):
		if m := htmlTitle.FindSubmatch(body); m != nil {
			if title := clip(html.UnescapeString(string(m[1])), 120); title != "" {
				return "an HTML page: " + title
			}
		}
		return "an HTML page"
	case body[0] == '{' || body[0] == '[':
		return "JSON of an unknown shape"
	}
	return clip(string(body), 200)
}

// isHTML reports whether a body is a page, not JSON.
func isHTML(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n\ufeff")
	return len(body) > 0 && body[0] == '<'
}

// clip makes text from outside fit for one line of bounded length: valid UTF-8,
// white space and control characters as single spaces, at most limit bytes.
func clip(text string, limit int) string {
	// Enough for the result, so that the work is bounded too.
	if len(text) > 8*limit {
		text = text[:8*limit]
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= limit {
		return text
	}
	return clean.Clip(text, limit-len("…"))
}

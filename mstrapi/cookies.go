package mstrapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// mostCookies bounds the cookies of a session; a login sets a handful.
const mostCookies = 100

// A cookie is what a server asked to have sent back, byte for byte: quotes and
// backslashes too, which net/http would change or refuse.
type cookie struct {
	name, value string
	path        string    // as the server wrote it; empty: none
	expires     time.Time // zero: with the session
}

// cookies are those of one session. All of them go with all requests: the client
// talks to one API only, and a path that an answer names is often the one before a
// proxy's rewriting, which is never asked for. The zero value has none.
type cookies struct {
	list []cookie
}

// store keeps, replaces and removes cookies as an answer says.
func (cs *cookies) store(h http.Header, now time.Time) {
	for _, line := range h["Set-Cookie"] {
		c, gone, ok := parseCookie(line, now)
		if !ok {
			continue
		}
		cs.list = slices.DeleteFunc(cs.list, func(old cookie) bool { return old.name == c.name && old.path == c.path })
		if !gone && len(cs.list) < mostCookies {
			cs.list = append(cs.list, c)
		}
	}
	// Of two with one name servers take the first: that of the longer path (RFC 6265).
	slices.SortStableFunc(cs.list, func(a, b cookie) int { return len(b.path) - len(a.path) })
}

// header returns the value of the Cookie header, and whether it will be another one
// by itself some day.
func (cs *cookies) header(now time.Time) (value string, fickle bool) {
	var b strings.Builder
	for _, c := range cs.list {
		if !c.expires.IsZero() {
			fickle = true
			if !c.expires.After(now) {
				continue
			}
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(c.name + "=" + c.value)
	}
	return b.String(), fickle
}

// parseCookie reads a Set-Cookie header; gone says that it removes the cookie.
func parseCookie(line string, now time.Time) (c cookie, gone, ok bool) {
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, found := strings.Cut(pair, "=")
	c.name, c.value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
	// Control characters would make every later request invalid.
	if !found || c.name == "" || strings.ContainsFunc(c.name+c.value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return c, false, false
	}
	aged := false
	for attribute := range strings.SplitSeq(attributes, ";") {
		key, value, _ := strings.Cut(attribute, "=")
		value = strings.Trim(value, " \t")
		switch strings.ToLower(strings.Trim(key, " \t")) {
		case "path":
			c.path = value
		case "max-age": // beats Expires
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				continue
			}
			aged, gone = true, seconds <= 0
			c.expires = now.Add(time.Duration(min(seconds, 366*24*3600)) * time.Second)
		case "expires":
			if at, err := http.ParseTime(strings.ReplaceAll(value, "-", " ")); err == nil && !aged {
				c.expires, gone = at, !at.After(now)
			}
		}
	}
	return c, gone, true
}

package mstrtest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always encodes
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendTime appends t the way the server writes dates, as a JSON string.
func appendTime(b []byte, milliseconds int64) []byte {
	b = append(b, '"')
	b = time.UnixMilli(milliseconds).UTC().AppendFormat(b, "2006-01-02T15:04:05.000+0000")
	return append(b, '"')
}

// fieldFilter is the value of the fields parameter: the top-level fields to
// keep. The zero value keeps all.
type fieldFilter []string

func parseFields(value string) fieldFilter {
	if value == "" {
		return nil
	}
	return strings.Split(value, ",")
}

func (f fieldFilter) keeps(name string) bool { return len(f) == 0 || slices.Contains(f, name) }

// object writes one JSON object, without the fields that the filter drops.
type object struct {
	buf    []byte
	filter fieldFilter
	open   bool
}

func newObject(buf []byte, filter fieldFilter) object {
	return object{buf: append(buf, '{'), filter: filter}
}

// key starts a field and reports whether the caller must write its value.
func (o *object) key(name string) bool {
	if !o.filter.keeps(name) {
		return false
	}
	if o.open {
		o.buf = append(o.buf, ',')
	}
	o.open = true
	o.buf = append(o.buf, '"')
	o.buf = append(o.buf, name...)
	o.buf = append(o.buf, '"', ':')
	return true
}

func (o *object) string(name, value string) {
	if o.key(name) {
		o.buf = appendString(o.buf, value)
	}
}

func (o *object) raw(name, value string) {
	if o.key(name) {
		o.buf = append(o.buf, value...)
	}
}

func (o *object) bool(name string, value bool) {
	if value {
		o.raw(name, "true")
	} else {
		o.raw(name, "false")
	}
}

func (o *object) end() []byte { return append(o.buf, '}') }

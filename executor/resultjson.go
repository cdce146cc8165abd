package executor

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gowebpki/jcs"

	"privsync/mstrapi"
	"privsync/planner"
)

// A report on 100,000 principals holds millions of numbers. encoding/json and
// the canonical transformation take ten seconds and a third of a gigabyte for
// them, so results are written by hand, in two forms: as the document holds them,
// and canonically (RFC 8785), as the digest covers them.

// form is how an object is written.
type form bool

const (
	asDocument  form = false // members in the order of the schema, deceptive characters escaped
	asCanonical form = true  // members sorted, nothing escaped that need not be
)

// field is one member of an object that is written by hand.
type field struct {
	name  string
	write func(b []byte) ([]byte, error)
}

// object appends an object.
func (f form) object(b []byte, fields ...field) ([]byte, error) {
	if f == asCanonical {
		slices.SortFunc(fields, func(a, b field) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	}
	b = append(b, '{')
	for i, m := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, m.name...)
		b = append(b, '"', ':')
		var err error
		if b, err = m.write(b); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// result appends p.
func (f form) result(b []byte, p *Result) ([]byte, error) {
	fields := make([]field, 0, 16)
	add := func(name string, write func([]byte) ([]byte, error)) { fields = append(fields, field{name, write}) }
	add("principal", func(b []byte) ([]byte, error) { return f.principal(b, &p.Principal) })
	add("outcome", f.text(string(p.Outcome)))
	add("grant", f.planned(p.Grant))
	add("revoke", f.planned(p.Revoke))
	if len(p.Granted) > 0 {
		add("granted", numbers(slices.Values(p.Granted)))
	}
	if len(p.Revoked) > 0 {
		add("revoked", numbers(slices.Values(p.Revoked)))
	}
	if len(p.HeldBack) > 0 {
		add("heldBack", f.other(p.HeldBack))
	}
	add("before", f.sets(p.Before))
	add("after", f.sets(p.After))
	add("attempts", number(int64(p.Attempts)))
	add("startedAt", instant(p.StartedAt))
	add("durationMs", number(p.DurationMs))
	if p.Error != nil {
		add("error", f.other(p.Error))
	}
	return f.object(b, fields...)
}

func (f form) principal(b []byte, p *planner.Principal) ([]byte, error) {
	fields := [...]field{
		{"kind", f.text(string(p.Kind))}, {"id", f.text(string(p.ID))},
		{"name", f.text(p.Name)}, {"login", f.text(p.Login)},
	}
	if p.Login == "" {
		return f.object(b, fields[:3]...)
	}
	return f.object(b, fields[:]...)
}

func (f form) planned(list []planner.PlannedPrivilege) func([]byte) ([]byte, error) {
	if len(list) == 0 {
		return func(b []byte) ([]byte, error) { return append(b, '[', ']'), nil }
	}
	return f.other(list)
}

func (f form) sets(s *Sets) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		if s == nil {
			return append(b, "null"...), nil
		}
		fields := [...]field{{"direct", numbers(s.Direct.All())}, {"inherited", numbers(s.Inherited.All())}, {"sources", f.sources(s.Sources)}}
		if len(s.Sources) == 0 {
			return f.object(b, fields[:2]...)
		}
		return f.object(b, fields[:]...)
	}
}

func (f form) sources(list []PrivilegeSource) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		b = append(b, '[')
		for i := range list {
			s := &list[i]
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			b, err = f.object(b,
				field{"privilege", number(int64(s.Privilege))},
				field{"direct", func(b []byte) ([]byte, error) { return strconv.AppendBool(b, s.Direct), nil }},
				field{"groups", f.groups(s.Groups)})
			if err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	}
}

func (f form) groups(list []mstrapi.ObjectRef) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		b = append(b, '[')
		for i, g := range list {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = f.object(b, field{"id", f.text(string(g.ID))}, field{"name", f.text(g.Name)}); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	}
}

// other appends what is rare enough for encoding/json.
func (f form) other(v any) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		if f == asDocument {
			text, err := marshalSafe(v)
			return append(b, text...), err
		}
		text, err := json.Marshal(v)
		if err != nil {
			return b, err
		}
		text, err = jcs.Transform(text)
		return append(b, text...), err
	}
}

// text appends a string. Invalid UTF-8 becomes U+FFFD, as in encoding/json.
func (f form) text(s string) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		b = append(b, '"')
		for _, c := range s {
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', byte(c))
			case c < 0x20:
				if short := bytes.IndexByte([]byte("\b\t\n\f\r"), byte(c)); short >= 0 {
					b = append(b, '\\', "btnfr"[short])
				} else {
					b = appendEscape(b, c)
				}
			case f == asDocument && (deceptive(c) || c == 0x2028 || c == 0x2029):
				b = appendEscape(b, c)
			default:
				b = utf8.AppendRune(b, c)
			}
		}
		return append(b, '"'), nil
	}
}

// appendEscape appends c, which is below U+10000, as \uXXXX.
func appendEscape(b []byte, c rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
}

func numbers(ids func(func(mstrapi.PrivilegeID) bool)) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		b = append(b, '[')
		first := true
		for id := range ids {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = strconv.AppendInt(b, int64(id), 10)
		}
		return append(b, ']'), nil
	}
}

func number(n int64) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) { return strconv.AppendInt(b, n, 10), nil }
}

func instant(t time.Time) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		b = append(b, '"')
		b = stamp(t).AppendFormat(b, time.RFC3339Nano)
		return append(b, '"'), nil
	}
}

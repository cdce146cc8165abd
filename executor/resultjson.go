package executor

import (
	"bytes"
	"iter"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"privsync/mstrapi"
	"privsync/planner"
)

// A report on 100,000 principals holds millions of numbers. encoding/json takes
// seconds and a third of a gigabyte for them, so results are written by hand,
// with their members in the order of the schema. What is rare is left to
// marshalSafe.

// appendResult appends p as JSON.
func appendResult(b []byte, p *Result) ([]byte, error) {
	b = appendPrincipal(append(b, `{"principal":`...), &p.Principal)
	b = appendText(append(b, `,"outcome":`...), string(p.Outcome))
	b, err := appendPlanned(append(b, `,"grant":`...), p.Grant)
	if err != nil {
		return b, err
	}
	if b, err = appendPlanned(append(b, `,"revoke":`...), p.Revoke); err != nil {
		return b, err
	}
	if len(p.Granted) > 0 {
		b = appendNumbers(append(b, `,"granted":`...), slices.Values(p.Granted))
	}
	if len(p.Revoked) > 0 {
		b = appendNumbers(append(b, `,"revoked":`...), slices.Values(p.Revoked))
	}
	if len(p.HeldBack) > 0 {
		if b, err = appendOther(append(b, `,"heldBack":`...), p.HeldBack); err != nil {
			return b, err
		}
	}
	if len(p.Came) > 0 {
		b = appendNumbers(append(b, `,"came":`...), slices.Values(p.Came))
	}
	if len(p.Went) > 0 {
		b = appendNumbers(append(b, `,"went":`...), slices.Values(p.Went))
	}
	b = appendSets(append(b, `,"before":`...), p.Before)
	b = appendSets(append(b, `,"after":`...), p.After)
	b = strconv.AppendInt(append(b, `,"attempts":`...), int64(p.Attempts), 10)
	b = stamp(p.StartedAt).AppendFormat(append(b, `,"startedAt":"`...), time.RFC3339Nano)
	b = strconv.AppendInt(append(b, `","durationMs":`...), p.DurationMs, 10)
	if p.Error != nil {
		if b, err = appendOther(append(b, `,"error":`...), p.Error); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

func appendPrincipal(b []byte, p *planner.Principal) []byte {
	b = appendText(append(b, `{"kind":`...), string(p.Kind))
	b = appendText(append(b, `,"id":`...), string(p.ID))
	b = appendText(append(b, `,"name":`...), p.Name)
	if p.Login != "" {
		b = appendText(append(b, `,"login":`...), p.Login)
	}
	if p.Tenant != "" {
		b = appendText(append(b, `,"tenant":`...), p.Tenant)
	}
	return append(b, '}')
}

func appendPlanned(b []byte, list []planner.PlannedPrivilege) ([]byte, error) {
	if len(list) == 0 {
		return append(b, "[]"...), nil
	}
	return appendOther(b, list)
}

func appendSets(b []byte, s *Sets) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	b = appendNumbers(append(b, `{"direct":`...), s.Direct.All())
	b = appendNumbers(append(b, `,"inherited":`...), s.Inherited.All())
	if len(s.Sources) > 0 {
		b = append(b, `,"sources":[`...)
		for i := range s.Sources {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendSource(b, &s.Sources[i])
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendSource(b []byte, s *PrivilegeSource) []byte {
	b = strconv.AppendInt(append(b, `{"privilege":`...), int64(s.Privilege), 10)
	b = strconv.AppendBool(append(b, `,"direct":`...), s.Direct)
	b = append(b, `,"groups":[`...)
	for i, g := range s.Groups {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRef(b, g)
	}
	b = append(b, ']')
	for i, r := range s.Roles {
		if i == 0 {
			b = append(b, `,"roles":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendRef(append(b, `{"role":`...), r.Role)
		b = appendRef(append(b, `,"project":`...), r.Project)
		b = append(b, '}')
		if i == len(s.Roles)-1 {
			b = append(b, ']')
		}
	}
	if s.Other {
		b = append(b, `,"other":true`...)
	}
	return append(b, '}')
}

func appendRef(b []byte, ref mstrapi.ObjectRef) []byte {
	b = appendText(append(b, `{"id":`...), string(ref.ID))
	b = appendText(append(b, `,"name":`...), ref.Name)
	return append(b, '}')
}

func appendNumbers(b []byte, ids iter.Seq[mstrapi.PrivilegeID]) []byte {
	b = append(b, '[')
	first := true
	for id := range ids {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = strconv.AppendInt(b, int64(id), 10)
	}
	return append(b, ']')
}

// appendOther appends what is rare enough for encoding/json.
func appendOther(b []byte, v any) ([]byte, error) {
	text, err := marshalSafe(v)
	return append(b, text...), err
}

// appendText appends a string. Invalid UTF-8 becomes U+FFFD, as in encoding/json.
func appendText(b []byte, s string) []byte {
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
		case deceptive(c) || c == 0x2028 || c == 0x2029:
			b = appendEscape(b, c)
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return append(b, '"')
}

// appendEscape appends c, which is below U+10000, as \uXXXX.
func appendEscape(b []byte, c rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[c>>12&15], hex[c>>8&15], hex[c>>4&15], hex[c&15])
}

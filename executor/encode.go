package executor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"privsync/planner"
)

// WriteTo writes r as indented JSON with one principal, finding or command to a
// line, element by element, so that a report on 100,000 principals needs no
// second copy in memory. It writes what is there: call [Report.Seal] first.
// Characters that could deceive a terminal stand as \u escapes.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	cw := &countingWriter{w: w}
	bw := bufio.NewWriterSize(cw, 64<<10)
	var buf []byte
	write := func(text ...string) {
		for _, t := range text {
			_, _ = bw.WriteString(t) // the writer keeps its first error for Flush
		}
	}
	for i, m := range r.members() {
		write([]string{"{", ","}[min(i, 1)], "\n  \"", m.name, "\": ")
		if m.len < 0 {
			text, err := m.append(buf[:0], 0)
			if err != nil {
				return cw.n, fmt.Errorf("report: %s: %w", m.name, err)
			}
			_, _ = bw.Write(text)
			continue
		}
		write("[")
		for k := range m.len {
			text, err := m.append(buf[:0], k)
			if err != nil {
				return cw.n, fmt.Errorf("report: %s: %w", m.name, err)
			}
			buf = text
			write([]string{"", ","}[min(k, 1)], "\n    ")
			_, _ = bw.Write(text)
		}
		if m.len > 0 {
			write("\n  ")
		}
		write("]")
	}
	write("\n}\n")
	err := bw.Flush()
	return cw.n, err
}

// Seal sets r.Digest (see [planner.DigestMembers]). A change of r after it needs
// a new Seal.
func (r *Report) Seal() error {
	var members []planner.Member
	for _, m := range r.members() {
		if m.len >= 0 {
			members = append(members, planner.ListMember(m.name, m.len, m.append))
			continue
		}
		text, err := m.append(nil, 0)
		if err != nil {
			return fmt.Errorf("report: %s: %w", m.name, err)
		}
		members = append(members, planner.RawMember(m.name, text))
	}
	digest, err := planner.DigestMembers(members)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	r.Digest = digest
	return nil
}

// member is one member of the report's top-level object: a value (len is -1), or
// a list of len elements.
type member struct {
	name   string
	len    int
	append func(b []byte, i int) ([]byte, error) // the i-th element, as JSON
}

// members returns the top-level members in the order of the schema.
func (r *Report) members() []member {
	run := r.Run
	run.StartedAt, run.FinishedAt = stamp(run.StartedAt), stamp(run.FinishedAt)
	policy := r.Policy
	policy.Files = orEmpty(policy.Files)
	all := []member{
		value("format", r.Format), value("run", run), value("tool", r.Tool), value("environment", r.Environment),
		value("actor", r.Actor), value("policy", policy), value("scope", r.Scope),
	}
	if r.Plan != nil {
		all = append(all, value("plan", r.Plan))
	}
	if r.Coverage != nil {
		all = append(all, value("coverage", r.Coverage))
	}
	all = append(all, list("rules", r.Rules, func(p planner.RuleResult) planner.RuleResult { return p }))
	if r.Licences != nil {
		all = append(all, value("licences", r.Licences))
	}
	all = append(all, value("summary", r.Summary),
		member{"principals", len(r.Principals), func(b []byte, i int) ([]byte, error) { return appendResult(b, &r.Principals[i]) }},
		list("privileges", r.Privileges, func(p planner.PrivilegeRef) planner.PrivilegeRef { return p }),
		list("findings", r.Findings, func(f planner.Finding) planner.Finding { return f }),
		list("guards", r.Guards, func(g planner.Guard) planner.Guard {
			g.Offenders = orEmpty(g.Offenders)
			return g
		}))
	if r.Exceptions != nil {
		all = append(all, list("exceptions", r.Exceptions, func(x planner.Exception) planner.Exception {
			x.Privileges = orEmpty(x.Privileges)
			return x
		}))
	}
	all = append(all, list("commands", r.Commands, func(c CommandResult) CommandResult { return c }))
	if r.Error != nil {
		all = append(all, value("error", r.Error))
	}
	if r.Previous != "" {
		all = append(all, value("previous", r.Previous))
	}
	return append(all, value("digest", r.Digest))
}

func value(name string, v any) member {
	return member{name, -1, func(b []byte, _ int) ([]byte, error) { return appendOther(b, v) }}
}

func list[T any](name string, l []T, plain func(T) T) member {
	return member{name, len(l), func(b []byte, i int) ([]byte, error) { return appendOther(b, plain(l[i])) }}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// stamp returns t as documents hold it: UTC, to the millisecond.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// marshalSafe is json.Marshal without HTML escapes and with escapes for what
// could deceive a terminal: DEL, C1, marks of reading direction, zero width.
func marshalSafe(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if !bytes.ContainsFunc(text, deceptive) {
		return text, nil
	}
	var out bytes.Buffer
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		if deceptive(c) {
			fmt.Fprintf(&out, `\u%04x`, c)
		} else {
			out.Write(text[:size])
		}
		text = text[size:]
	}
	return out.Bytes(), nil
}

// deceptive reports whether c must not reach a terminal raw (design.md, section
// 6). JSON has escaped C0, U+2028 and U+2029 already.
func deceptive(c rune) bool {
	switch {
	case c >= 0x7f && c <= 0x9f, c >= 0x200b && c <= 0x200f, c >= 0x202a && c <= 0x202e,
		c >= 0x2060 && c <= 0x2069, c == 0xfeff:
		return true
	}
	return false
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// maxErrorText bounds what a report keeps of one error's text, in bytes.
const maxErrorText = 2000

// reportError turns err into what a report says of it; context, if not empty,
// goes before the text.
func reportError(context string, err error) *Error {
	out := &Error{Message: err.Error()}
	if e, ok := asAPIError(err); ok {
		out.Status, out.Code, out.IServerCode, out.TicketID = e.Status, e.Code, e.IServerCode, e.TicketID
		if e.Message != "" && e.Err == nil {
			out.Message = e.Message
		}
	}
	if context != "" {
		out.Message = context + ": " + out.Message
	}
	out.Message = clip(strings.ToValidUTF8(out.Message, "\uFFFD"), maxErrorText)
	out.Code = clip(strings.ToValidUTF8(out.Code, "\uFFFD"), 100)
	out.TicketID = clip(strings.ToValidUTF8(out.TicketID, "\uFFFD"), 200)
	return out
}

// clip cuts s to at most n bytes, at a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

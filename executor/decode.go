package executor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// ErrEdited is matched by the error of [ReadReport] for a report whose content
// does not match its digest.
var ErrEdited = errors.New("the content does not match the digest: it was edited after it was written")

// maxReport bounds the size of a report that is read, in bytes: some four times
// that of an audit of 100,000 principals with 60 privileges each.
const maxReport int64 = 4 << 30

// ReadReport reads a report and checks its format and its digest. The errors
// say what is wrong; one matches [ErrEdited]. What the document holds beyond
// what this version knows is an error, too: a reader must not lose it silently.
func ReadReport(r io.Reader) (*Report, error) {
	report := new(Report)
	targets := map[string]any{
		"format": &report.Format, "run": &report.Run, "tool": &report.Tool, "environment": &report.Environment,
		"actor": &report.Actor, "policy": &report.Policy, "scope": &report.Scope, "plan": &report.Plan,
		"summary": &report.Summary, "coverage": &report.Coverage, "licences": &report.Licences, "rules": &report.Rules, "privileges": &report.Privileges, "findings": &report.Findings, "guards": &report.Guards, "exceptions": &report.Exceptions,
		"commands": &report.Commands, "error": &report.Error, "previous": &report.Previous, "digest": &report.Digest,
	}
	results := resultDecoder{known: make(map[string]string)}
	digest, err := scanDocument(r, func(name string, text []byte) error {
		if name == "principals" {
			p, err := results.decode(text)
			if err != nil {
				return fmt.Errorf("principal %d: %w", len(report.Principals)+1, err)
			}
			report.Principals = append(report.Principals, p)
			return nil
		}
		target, ok := targets[name]
		if !ok {
			return fmt.Errorf("unknown member %s", clean.Quote(clip(name, 80)))
		}
		if name == "format" {
			if err := json.Unmarshal(text, target); err != nil || report.Format != ReportFormat {
				return fmt.Errorf("format is %s, not %s", clip(string(text), 80), clean.Quote(ReportFormat))
			}
			return nil
		}
		if err := unmarshalStrict(text, target); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if report.Format == "" {
		return nil, fmt.Errorf("report: no format, so not a privsync report")
	}
	if report.Digest != digest {
		return nil, fmt.Errorf("report: %w", ErrEdited)
	}
	report.Principals = orEmpty(report.Principals)
	return report, nil
}

// scanDocument reads one JSON object member by member, and the list principals
// element by element, and returns the digest of the whole without the member
// digest.
func scanDocument(r io.Reader, visit func(name string, text []byte) error) (string, error) {
	var members []planner.Member
	limited := &io.LimitedReader{R: r, N: maxReport}
	dec := json.NewDecoder(limited)
	fail := func(err error) (string, error) {
		if limited.N <= 0 {
			return "", fmt.Errorf("larger than %d bytes", maxReport)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	if t, err := dec.Token(); err != nil {
		return fail(err)
	} else if t != json.Delim('{') {
		return "", errors.New("not a JSON object")
	}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return fail(err)
		}
		name, _ := t.(string) // the decoder lets only strings through here
		if seen[name] {
			return "", fmt.Errorf("member %s stands twice", clean.Quote(clip(name, 80)))
		}
		seen[name] = true
		if name == "principals" {
			list, err := scanList(dec, name, visit)
			if err != nil {
				return fail(err)
			}
			members = append(members, list)
			continue
		}
		var text json.RawMessage
		if err := dec.Decode(&text); err != nil {
			return fail(err)
		}
		members = append(members, planner.RawMember(name, text))
		if err := visit(name, text); err != nil {
			return "", err
		}
	}
	if _, err := dec.Token(); err != nil {
		return fail(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return "", errors.New("more text after the document")
	}
	return planner.DigestMembers(members)
}

// scanList reads a list element by element and keeps its canonical form only.
func scanList(dec *json.Decoder, name string, visit func(string, []byte) error) (planner.Member, error) {
	var none planner.Member
	if t, err := dec.Token(); err != nil {
		return none, err
	} else if t != json.Delim('[') {
		return none, fmt.Errorf("%s is not a list", name)
	}
	const chunk = 1 << 20 // one list that grows would be in memory twice
	chunks := [][]byte{append(make([]byte, 0, chunk), '[')}
	last := func() *[]byte { return &chunks[len(chunks)-1] }
	var text json.RawMessage
	for first := true; dec.More(); first = false {
		err := dec.Decode(&text)
		if err != nil {
			return none, err
		}
		if len(*last())+len(text) > chunk {
			chunks = append(chunks, make([]byte, 0, max(chunk, len(text)+1)))
		}
		if !first {
			*last() = append(*last(), ',')
		}
		if *last(), err = planner.AppendCanonical(*last(), text); err != nil {
			return none, err
		}
		if err := visit(name, text); err != nil {
			return none, err
		}
	}
	*last() = append(*last(), ']')
	_, err := dec.Token()
	return planner.Member{Name: name, Write: func(w io.Writer) error {
		for _, c := range chunks {
			if _, err := w.Write(c); err != nil {
				return err
			}
		}
		return nil
	}}, err
}

// resultDecoder decodes the elements of principals. They share the names of
// groups, which in an audit are most of the text.
type resultDecoder struct {
	known map[string]string
}

// decode decodes one element. Before and After of a principal that was only
// looked at are the same, as they were when it was written.
func (d *resultDecoder) decode(text []byte) (Result, error) {
	var p struct {
		Result
		Before once `json:"before"`
		After  once `json:"after"`
	}
	if err := unmarshalStrict(text, &p); err != nil {
		return Result{}, err
	}
	for _, sets := range []struct {
		text once
		into **Sets
	}{{p.Before, &p.Result.Before}, {p.After, &p.Result.After}} {
		switch {
		case len(sets.text) == 0:
		case sets.into == &p.Result.After && bytes.Equal(p.Before, p.After):
			p.Result.After = p.Result.Before
		default:
			if err := unmarshalStrict(sets.text, sets.into); err != nil {
				return Result{}, err
			}
		}
		if s := *sets.into; s != nil {
			for i := range s.Sources {
				for k, g := range s.Sources[i].Groups {
					s.Sources[i].Groups[k] = mstrapi.ObjectRef{ID: mstrapi.ObjectID(d.share(string(g.ID))), Name: d.share(g.Name)}
				}
			}
		}
	}
	planner.Adopt(p.Grant, p.Revoke)
	return p.Result, nil
}

// share returns s, and the same memory for equal strings.
func (d *resultDecoder) share(s string) string {
	known, ok := d.known[s]
	if !ok {
		d.known[s] = s
		return s
	}
	return known
}

func unmarshalStrict(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

func asAPIError(err error) (*mstrapi.Error, bool) {
	var e *mstrapi.Error
	ok := errors.As(err, &e)
	return e, ok
}

// once is the text of a member that may stand only once, in whatever case:
// encoding/json takes "BEFORE" for before, too.
type once []byte

func (o *once) UnmarshalJSON(text []byte) error {
	if *o != nil {
		return errors.New("before or after stands twice")
	}
	*o = bytes.Clone(text)
	return nil
}

package executor

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"

	"privsync/clean"
	"privsync/document"
	"privsync/mstrapi"
	"privsync/planner"
)

// ErrEdited is matched by the error of [ReadReport] for a report whose content
// does not match its digest.
var ErrEdited = errors.New("the content does not match the digest: it was edited after it was written")

// maxReport bounds the size of a report that is read, in bytes: some four times
// that of an audit of 100,000 principals with 60 privileges each.
const maxReport int64 = 4 << 30

// Seal completes r so that it can be written: times become UTC to the millisecond, and
// Digest is set (see [document.Digest]). A change of r after it needs a new Seal.
func (r *Report) Seal() error {
	r.Run.StartedAt, r.Run.FinishedAt = stamp(r.Run.StartedAt), stamp(r.Run.FinishedAt)
	for i := range r.Principals {
		r.Principals[i].StartedAt = stamp(r.Principals[i].StartedAt)
	}
	digest, err := document.Digest(r)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	r.Digest = digest
	return nil
}

// WriteTo writes r as indented JSON with one principal, finding or command to a
// line, element by element, so that a report on 100,000 principals needs no
// second copy in memory. It writes what is there: call [Report.Seal] first.
// Characters that could deceive a terminal stand as \u escapes.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	n, err := document.Write(w, r)
	if err != nil {
		err = fmt.Errorf("report: %w", err)
	}
	return n, err
}

// stamp returns t as documents hold it: UTC, to the millisecond.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// ReadReport reads a report and checks its format and its digest. The errors
// say what is wrong; one matches [ErrEdited]. What the document holds beyond
// what this version knows is an error, too: a reader must not lose it silently.
func ReadReport(r io.Reader) (*Report, error) {
	report := new(Report)
	groups := make(map[mstrapi.ObjectRef]mstrapi.ObjectRef)
	digest, err := document.Read(r, maxReport, report, func(element any) {
		if p, ok := element.(*Result); ok {
			p.share(groups)
		}
	})
	switch {
	case digest != "" && report.Format == "":
		err = errors.New("no format, so not a privsync report")
	case digest != "" && report.Format != ReportFormat:
		err = fmt.Errorf("format is %s, not %s", clean.Quote(clean.Clip(report.Format, 80)), clean.Quote(ReportFormat))
	case err == nil && report.Digest != digest:
		err = ErrEdited
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	report.Principals = orEmpty(report.Principals)
	return report, nil
}

// share makes one of what is the same: the names of groups, which in an audit are most
// of the text, and Before and After of a principal that was only looked at.
func (p *Result) share(groups map[mstrapi.ObjectRef]mstrapi.ObjectRef) {
	planner.Adopt(p.Grant, p.Revoke)
	if reflect.DeepEqual(p.Before, p.After) {
		p.After = p.Before
	}
	for _, sets := range []*Sets{p.Before, p.After} {
		if sets == nil {
			continue
		}
		for _, s := range sets.Sources {
			for i, g := range s.Groups {
				known, ok := groups[g]
				if !ok {
					groups[g], known = g, g
				}
				s.Groups[i] = known
			}
		}
	}
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// maxErrorText bounds what a report keeps of one error's text, in bytes.
const maxErrorText = 2000

// reportError turns err into what a report says of it; context, if not empty,
// goes before the text.
func reportError(context string, err error) *Error {
	out := &Error{Message: err.Error()}
	if e, ok := errors.AsType[*mstrapi.Error](err); ok {
		out.Status, out.Code, out.IServerCode, out.TicketID = e.Status, e.Code, e.IServerCode, e.TicketID
		if e.Message != "" && e.Err == nil {
			out.Message = e.Message
		}
	}
	if context != "" {
		out.Message = context + ": " + out.Message
	}
	out.Message = clean.Clip(strings.ToValidUTF8(out.Message, "\uFFFD"), maxErrorText)
	out.Code = clean.Clip(strings.ToValidUTF8(out.Code, "\uFFFD"), 100)
	out.TicketID = clean.Clip(strings.ToValidUTF8(out.TicketID, "\uFFFD"), 200)
	return out
}

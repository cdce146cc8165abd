package executor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"privsync/clean"
	"privsync/document"
	"privsync/mstrapi"
	"privsync/planner"
)

const (
	// maxPastHeaders is how many of the newest reports of a folder are looked at,
	// and maxPastHeader how many bytes of each.
	maxPastHeaders       = 100
	maxPastHeader  int64 = 16 << 20
	// maxPastReport bounds the size of a report that is read for what its run did:
	// twice that of an apply to 100,000 principals.
	maxPastReport int64 = 1 << 30
)

// FindPast returns what the newest reports in the places say that earlier runs of
// the policy did on the server that a URL means of which same says so: of the last
// that looked at the server for the same digest, and of the last that granted
// something for the same name and environment. A place that is not there, and a report that cannot be read, says
// nothing. Reports are evidence for a person here, so their digests and chains are
// not checked.
//
// The error says which report was to be read and could not be; what the others say
// is returned all the same.
func FindPast(places []Destination, same func(url string) bool, ref planner.PolicyRef) (planner.Past, error) {
	files, _ := pastFiles(places, time.Time{}, maxPastHeaders)
	return PastOf(files, same, ref)
}

// PastOf is [FindPast] in the reports, whatever their order.
func PastOf(reports []Document, same func(url string) bool, ref planner.PolicyRef) (planner.Past, error) {
	var past planner.Past
	var last, granting pastHeader
	headers, _ := readPastHeaders(reports, same, func(h *pastHeader) bool {
		return h.Run.Command == "apply" && h.Policy.Name == ref.Name && h.Policy.Environment == ref.Environment
	})
	for _, h := range headers {
		if h.Looked() && h.Policy.Digest == ref.Digest && h.Run.StartedAt.After(last.Run.StartedAt) {
			last = h
		}
		if h.Summary.Grants > 0 && h.Run.StartedAt.After(granting.Run.StartedAt) {
			granting = h
		}
	}
	var lastErr, grantingErr error
	if last.doc.Open != nil {
		past.Last = last.named()
		past.Came, past.Went = make(map[mstrapi.ObjectID]planner.Set), make(map[mstrapi.ObjectID]planner.Set)
		lastErr = readPastResults(last.doc, func(r *pastResult) {
			id := r.Principal.ID
			came, went := r.changes()
			if !came.IsEmpty() {
				past.Came[id] = past.Came[id].Union(came)
			}
			if !went.IsEmpty() {
				past.Went[id] = past.Went[id].Union(went)
			}
		})
		if lastErr != nil {
			past.Came, past.Went = nil, nil
		}
	}
	if granting.doc.Open != nil {
		past.Granting = granting.named()
		grantingErr = readPastResults(granting.doc, func(r *pastResult) {
			if !r.Granted.IsEmpty() {
				past.Granted = append(past.Granted, planner.PastGrant{Principal: r.Principal, Privileges: r.Granted})
			}
		})
		if grantingErr != nil {
			past.Granted = nil
		}
	}
	return past, errors.Join(lastErr, grantingErr)
}

// pastFiles returns the reports in the places, of a folder those of runs that began
// at since or later, and of these the newest, each once. The error says which folder
// could not be read.
func pastFiles(places []Destination, since time.Time, most int) ([]Document, error) {
	var paths []string
	var errs []error
	for _, p := range places {
		if p.File != "" {
			paths = append(paths, filepath.Clean(p.File))
		}
		if p.Dir == "" {
			continue
		}
		names, err := reportFiles(p.Dir)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("report folder: %w", err))
			}
			continue
		}
		for _, name := range names[max(0, len(names)-most):] {
			if since.IsZero() || name >= runFileName(Run{StartedAt: since}) {
				paths = append(paths, filepath.Join(p.Dir, name))
			}
		}
	}
	slices.Sort(paths)
	var docs []Document
	for _, path := range slices.Compact(paths) {
		docs = append(docs, documentAt(path))
	}
	return docs, errors.Join(errs...)
}

// Document is a report that is kept somewhere; Name is what messages call it. Open
// returns an error that matches [fs.ErrNotExist] if it is not there any more.
type Document struct {
	Name string
	Open func() (io.ReadCloser, error)
}

func documentAt(path string) Document {
	return Document{path, func() (io.ReadCloser, error) { return OpenPlain(path) }}
}

// pastHeader is the head of a report that can be read further.
type pastHeader struct {
	ReportHead
	doc Document
}

// readPastHeaders returns the headers of the reports that are of a server
// whose URL same reports, as far as want wants them. The error says which are
// no reports; one that is not there says nothing.
func readPastHeaders(docs []Document, same func(url string) bool, want func(*pastHeader) bool) ([]pastHeader, error) {
	var list []pastHeader
	var errs []error
	for _, doc := range docs {
		h, err := readPastHeader(doc)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, fmt.Errorf("report %s: %w", doc.Name, err))
		case want(&h) && same(h.Server): // in this order: same may have to ask for the addresses of a name
			list = append(list, h)
		}
	}
	return list, errors.Join(errs...)
}

func (h *pastHeader) named() planner.PastRun {
	return planner.PastRun{ID: clean.Clip(h.Run.ID, 80), Started: h.Run.StartedAt.UTC().Truncate(time.Second)}
}

func readPastHeader(doc Document) (pastHeader, error) {
	h := pastHeader{ReportHead{Report: doc.Name}, doc}
	f, err := doc.Open()
	if err != nil {
		return h, err
	}
	defer f.Close()
	var format string
	var environment planner.Environment
	targets := map[string]any{
		"format": &format, "run": &h.Run, "environment": &environment, "policy": &h.Policy, "plan": &h.Plan, "summary": &h.Summary,
	}
	err = document.Walk(f, maxPastHeader, func(name string, dec *jsontext.Decoder) error {
		if name == "principals" { // which is after what counts here
			return document.ErrStop
		}
		if target := targets[name]; target != nil {
			return json.UnmarshalDecode(dec, target)
		}
		return dec.SkipValue()
	})
	if err == nil && format != ReportFormat {
		err = errors.New("not a report")
	}
	h.Server = environment.URL
	return h, err
}

// pastResult is what a report says of a principal, as far as it tells what came
// and went.
type pastResult struct {
	Principal planner.Principal `json:"principal"`
	Outcome   Outcome           `json:"outcome"`
	Grant     []pastPlanned     `json:"grant"`
	Revoke    []pastPlanned     `json:"revoke"`
	Granted   planner.Set       `json:"granted"`
	Revoked   planner.Set       `json:"revoked"`
	Came      planner.Set       `json:"came"`
	Went      planner.Set       `json:"went"`
	Before    *struct {
		Direct planner.Set `json:"direct"`
	} `json:"before"`
	After *struct {
		Direct planner.Set `json:"direct"`
	} `json:"after"`
}

type pastPlanned struct {
	Reason planner.Reason `json:"reason"`
}

// changes returns which direct grants came and went; nothing for a principal on
// which a rollback undid something: a person wanted that, no policy.
func (r *pastResult) changes() (came, went planner.Set) {
	if slices.Contains(slices.Concat(r.Grant, r.Revoke), pastPlanned{planner.ReasonRollback}) {
		return planner.Set{}, planner.Set{}
	}
	came, went = r.Granted.Union(r.Came), r.Revoked.Union(r.Went)
	// What differed before the run wrote was not its doing.
	if r.Before != nil && r.After != nil && r.Outcome != Stale {
		came = came.Union(r.After.Direct.Minus(r.Before.Direct))
		went = went.Union(r.Before.Direct.Minus(r.After.Direct))
	}
	return came, went
}

// readPastResults goes through the principals of the report, one at a time.
func readPastResults(doc Document, visit func(*pastResult)) error {
	f, err := doc.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Name, err)
	}
	defer f.Close()
	err = document.Walk(f, maxPastReport, func(name string, dec *jsontext.Decoder) error {
		if name != "principals" {
			return dec.SkipValue()
		}
		err := document.Each(dec, func() error {
			var r pastResult
			err := json.UnmarshalDecode(dec, &r)
			if err == nil {
				visit(&r)
			}
			return err
		})
		if err == nil {
			err = document.ErrStop
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doc.Name, err)
	}
	return nil
}

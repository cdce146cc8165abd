package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"privsync/clean"
	"privsync/document"
	"privsync/executor"
	"privsync/input"
	"privsync/panics"
	"privsync/planner"
	"privsync/schema"
)

// maxStart is how much of a document is looked at to tell what it is, in bytes:
// privsync writes that first.
const maxStart = 8 << 20

// errNotADocument is matched by errors that say: this file is no plan and no
// report, as opposed to one that was edited.
var errNotADocument = errors.New("not a plan or a report of privsync")

// documentFormat returns the value of the top-level member format, without
// decoding more than it must: the documents that privsync writes have it first.
func documentFormat(data []byte) (string, error) {
	var format *string
	err := document.Walk(bytes.NewReader(data), maxStart, func(name string, dec *jsontext.Decoder) error {
		if name != "format" {
			return dec.SkipValue()
		}
		if err := json.UnmarshalDecode(dec, &format); err != nil {
			return errors.New("format is not a string")
		}
		return document.ErrStop
	})
	if err == nil && format == nil {
		err = errors.New("it has no format")
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNotADocument, err)
	}
	return *format, nil
}

// readDocument reads a *planner.Plan or an *executor.Report, told apart by
// their format, from the file or, for "-", from stdin. The digest and the schema are
// checked, however large the document is.
func (a *app) readDocument(path string) (any, error) {
	return a.readDocumentInto(path, io.Discard)
}

// readDocumentInto is readDocument that writes every byte of the file to copied.
func (a *app) readDocumentInto(path string, copied io.Writer) (any, error) {
	return await(a, func() (any, error) { return a.readAnyDocument(path, copied) })
}

func (a *app) readAnyDocument(path string, copied io.Writer) (any, error) {
	in := a.stdin
	if path != "-" {
		f, err := input.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	in = io.TeeReader(in, copied)
	start, err := io.ReadAll(io.LimitReader(in, maxStart))
	if err != nil {
		return nil, err
	}
	if start, err = withoutMark(start); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotADocument, err)
	}
	format, err := documentFormat(start)
	if err != nil {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(start), in)
	switch format {
	case planner.PlanFormat:
		return checked("plan", whole, planner.ReadPlan)
	case executor.ReportFormat:
		return checked("report", whole, executor.ReadReport)
	}
	if strings.HasPrefix(format, "privsync/") {
		return nil, fmt.Errorf("format %s: this version of privsync reads %s and %s", clean.Quote(format), planner.PlanFormat, executor.ReportFormat)
	}
	return nil, fmt.Errorf("%w: its format is %s", errNotADocument, clean.Quote(format))
}

// checked reads a document and judges it by the schema called name, in one pass. What
// the reader says against it comes first.
func checked[T any](name string, r io.Reader, read func(io.Reader) (T, error)) (T, error) {
	var none T
	in, out := io.Pipe()
	verdict := make(chan error, 1)
	go func() {
		err := panics.Catch(func() error { return schema.ValidateText(name, in) })
		_, _ = io.Copy(io.Discard, in) // the reader goes on
		verdict <- err
	}()
	doc, err := read(io.TeeReader(r, out))
	_ = out.CloseWithError(err) // nil: the end of the document
	invalid := <-verdict
	if err != nil {
		return none, err
	}
	if _, defect := panics.Details(invalid); defect {
		return none, invalid
	}
	if invalid != nil {
		return none, fmt.Errorf("it does not match the schema of a %s: %w", name, invalid)
	}
	return doc, nil
}

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
	if text := bytes.TrimLeft(data, " \t\r\n"); len(text) == 0 || text[0] != '{' {
		return "", fmt.Errorf("%w: it is not a JSON object", errNotADocument)
	}
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

// errUTF16 says that a document is in an encoding that its format does not have.
var errUTF16 = errors.New("it is UTF-16: save it as UTF-8 (PowerShell 5 writes UTF-16 with >; use Out-File -Encoding utf8, or --out)")

// withoutMark returns text without the mark of its encoding that editors and
// PowerShell put before UTF-8. UTF-16 is an error.
func withoutMark(text []byte) ([]byte, error) {
	zero := bytes.IndexByte(text[:min(len(text), 2)], 0) >= 0 // as the first character of JSON has it without a mark
	if zero || bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil, errUTF16
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil
}

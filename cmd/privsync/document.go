package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"privsync/executor"
	"privsync/input"
	"privsync/planner"
	"privsync/schema"
)

// maxChecked is how large a document may be to be checked with its schema: that
// takes several times its size in memory. The readers of plans and reports are
// strict by themselves, and bound what they read.
const maxChecked = 8 << 20

// errNotADocument is matched by errors that say: this file is no plan and no
// report, as opposed to one that was edited.
var errNotADocument = errors.New("not a plan or a report of privsync")

// documentFormat returns the value of the top-level member format, without
// decoding more than it must: the documents that privsync writes have it first.
func documentFormat(data []byte) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return "", fmt.Errorf("%w: it is not a JSON object", errNotADocument)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return "", fmt.Errorf("%w: %w", errNotADocument, err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return "", fmt.Errorf("%w: %w", errNotADocument, err)
		}
		if key == "format" {
			var format string
			if err := json.Unmarshal(value, &format); err != nil {
				return "", fmt.Errorf("%w: format is not a string", errNotADocument)
			}
			return format, nil
		}
	}
	return "", fmt.Errorf("%w: it has no format", errNotADocument)
}

// readDocument reads a *planner.Plan or an *executor.Report, told apart by
// their format, from the file or, for "-", from stdin. The digest is checked, and
// the schema unless the document is larger than maxChecked.
func (a *app) readDocument(path string) (any, error) {
	return await(a, func() (any, error) { return a.readAnyDocument(path) })
}

func (a *app) readAnyDocument(path string) (any, error) {
	in := a.stdin
	if path != "-" {
		f, err := input.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	start, err := io.ReadAll(io.LimitReader(in, maxChecked))
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
	checked := &compact{}
	whole := io.TeeReader(io.MultiReader(bytes.NewReader(start), in), checked)
	switch format {
	case planner.PlanFormat:
		plan, err := planner.ReadPlan(whole)
		if err == nil {
			err = checkSchema("plan", checked)
		}
		return plan, err
	case executor.ReportFormat:
		report, err := executor.ReadReport(whole)
		if err == nil {
			err = checkSchema("report", checked)
		}
		return report, err
	}
	if strings.HasPrefix(format, "privsync/") {
		return nil, fmt.Errorf("format %q: this version of privsync reads %s and %s", format, planner.PlanFormat, executor.ReportFormat)
	}
	return nil, fmt.Errorf("%w: its format is %q", errNotADocument, format)
}

// compact keeps what is written to it, a JSON document, without the blanks between
// its parts, as long as that is at most maxChecked bytes: nobody makes a document too
// large to be checked by padding it.
type compact struct {
	text            []byte
	quoted, escaped bool
	over            bool
}

// Write never fails.
func (c *compact) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case c.escaped:
			c.escaped = false
		case c.quoted && b == '\\':
			c.escaped = true
		case b == '"':
			c.quoted = !c.quoted
		case !c.quoted && (b == ' ' || b == '\t' || b == '\n' || b == '\r'):
			continue
		}
		if len(c.text) >= maxChecked {
			c.text, c.over = nil, true
		}
		if c.over {
			break
		}
		c.text = append(c.text, b)
	}
	return len(p), nil
}

// checkSchema judges a document by the schema called name, unless it is too large.
func checkSchema(name string, data *compact) error {
	if data.over {
		return nil // it is left to the reader
	}
	dec := json.NewDecoder(bytes.NewReader(data.text))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil {
		return fmt.Errorf("%w: %w", errNotADocument, err)
	}
	if err := schema.Validate(name, doc); err != nil {
		return fmt.Errorf("it does not match the schema of a %s: %s", name, firstCause(err))
	}
	return nil
}

// firstCause returns the deepest first reason of a schema's verdict: the
// place in the document, and what is wrong there.
func firstCause(err error) string {
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return err.Error()
	}
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	return fmt.Sprintf("at %q: %s", cmp.Or(v.InstanceLocation, "/"), v.Message)
}

// Package schema holds the JSON Schemas (draft 2020-12) of the documents that
// privsync reads and writes.
//
// [Names] lists them, [Text] returns one as a self-contained document (the same
// file that editors and other programs use), [Validate] judges a document, and
// [Compiled] gives the compiled schema to a caller that judges many.
//
// The package knows nothing but JSON: positions in YAML files, suggestions and
// everything that a schema cannot say are the business of package policy.
package schema

import (
	"bytes"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"privsync/clean"
)

//go:embed diff.schema.json
var diffText []byte

//go:embed doctor.schema.json
var doctorText []byte

//go:embed explain.schema.json
var explainText []byte

//go:embed fleet.schema.json
var fleetText []byte

//go:embed history.schema.json
var historyText []byte

//go:embed licence-use.schema.json
var licenceUseText []byte

//go:embed licences.schema.json
var licencesText []byte

//go:embed plan.schema.json
var planText []byte

//go:embed policy.schema.json
var policyText []byte

//go:embed privileges.schema.json
var privilegesText []byte

//go:embed report.schema.json
var reportText []byte

//go:embed verify-reports.schema.json
var verifyReportsText []byte

//go:embed who-at.schema.json
var whoAtText []byte

//go:embed who.schema.json
var whoText []byte

// document is one schema: its text, and the function that compiles it at the
// first call and remembers the result.
type document struct {
	name    string
	text    []byte
	compile func() (*jsonschema.Schema, error)
}

// documents is sorted by name and never changes.
var documents = []document{
	newDocument("diff", diffText),
	newDocument("doctor", doctorText),
	newDocument("explain", explainText),
	newDocument("fleet", fleetText),
	newDocument("history", historyText),
	newDocument("licence-use", licenceUseText),
	newDocument("licences", licencesText),
	newDocument("plan", planText),
	newDocument("policy", policyText),
	newDocument("privileges", privilegesText),
	newDocument("report", reportText),
	newDocument("verify-reports", verifyReportsText),
	newDocument("who", whoText),
	newDocument("who-at", whoAtText),
}

func newDocument(name string, text []byte) document {
	return document{name, text, sync.OnceValues(func() (*jsonschema.Schema, error) {
		return compile(name, text)
	})}
}

func compile(name string, text []byte) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.Draft = jsonschema.Draft2020
	c.AssertFormat = true
	// The schemas are self-contained: nothing is ever fetched or read.
	c.LoadURL = noLoad
	url := "urn:privsync:schema:" + name + ":v1"
	if err := c.AddResource(url, bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	s, err := c.Compile(url)
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	return s, nil
}

// Names returns the names of all schemas, sorted.
func Names() []string {
	names := make([]string, len(documents))
	for i, d := range documents {
		names[i] = d.name
	}
	return names
}

// Text returns a copy of the text of the schema called name. The only error is
// an unknown name; it lists the known ones.
func Text(name string) ([]byte, error) {
	d, err := find(name)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(d.text), nil
}

// Compiled returns the schema called name, compiled at the first call. It may be
// used concurrently and must not be changed. The only error is an unknown name.
func Compiled(name string) (*jsonschema.Schema, error) {
	d, err := find(name)
	if err != nil {
		return nil, err
	}
	return d.compile()
}

// Validate judges doc, a value as encoding/json decodes it into an any, by the
// schema called name. A document that does not match gives a
// [*jsonschema.ValidationError]. It may be called concurrently.
func Validate(name string, doc any) error {
	s, err := Compiled(name)
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

func find(name string) (document, error) {
	for _, d := range documents {
		if d.name == name {
			return d, nil
		}
	}
	return document{}, fmt.Errorf("unknown schema %s: known are %s", clean.Quote(name), strings.Join(Names(), ", "))
}

func noLoad(url string) (io.ReadCloser, error) {
	return nil, fmt.Errorf("schema refers to %s outside itself", url)
}

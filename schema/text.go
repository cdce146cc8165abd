package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"privsync/clean"
)

const (
	// maxElement bounds the text of what is judged at once: a member of the document,
	// or an element of a list that is one, in bytes.
	maxElement = 64 << 20
	// maxElementValues bounds the values in it: each costs up to some hundred bytes.
	maxElementValues = 4_000_000
)

// ValidateText judges the JSON document that r holds by the schema called name, as
// [Validate] does, however large it is: lists that are members of the document are
// judged element by element, and only one is in memory at a time. The error says
// where in the document something is wrong, and what. Errors of r are returned as
// they are.
func ValidateText(name string, r io.Reader) error {
	s, err := Compiled(name)
	if err != nil {
		return err
	}
	c := &checker{budget: budget{r: r, left: maxElement}}
	c.dec = json.NewDecoder(&c.budget)
	if t, err := c.dec.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return at("", errors.New("expected object"))
	}
	doc := map[string]any{}
	for c.dec.More() {
		key, err := c.dec.Token()
		if err != nil {
			return err
		}
		member, _ := key.(string) // the decoder lets only strings through here
		of, known := s.Properties[member]
		if !known && s.AdditionalProperties == false {
			return at("", fmt.Errorf("additionalProperties %s not allowed", strconv.QuoteToASCII(member)))
		}
		if known && elementwise(of) {
			doc[member], err = c.list(member, of)
		} else {
			doc[member], err = c.value("/" + member)
		}
		if err != nil {
			return err
		}
	}
	if _, err := c.dec.Token(); err != nil {
		return err
	}
	if accepts(s, doc) {
		return nil
	}
	return at("", s.Validate(doc))
}

// elementwise reports whether a list that s describes can be judged by one element
// at a time: s asks for nothing that needs all of them.
func elementwise(s *jsonschema.Schema) bool {
	return s.Items2020 != nil && s.Ref == nil && !s.UniqueItems && s.MaxItems < 0 && s.MinItems <= 1 && s.Contains == nil && len(s.PrefixItems) == 0
}

// checker reads a document piece by piece.
type checker struct {
	budget budget
	dec    *json.Decoder
}

// list judges the elements of the list that comes next and returns one of them for
// all, which is enough to judge the list by; or what comes next, if it is no list.
func (c *checker) list(member string, s *jsonschema.Schema) (any, error) {
	c.budget.left = maxElement
	switch t, err := c.dec.Token(); {
	case err != nil:
		return nil, err
	case t == json.Delim('{'):
		return nil, at("/"+member, errors.New("expected array, but got object"))
	case t != json.Delim('['):
		return t, nil
	}
	few := []any{}
	for i := 0; c.dec.More(); i++ {
		where := "/" + member + "/" + strconv.Itoa(i)
		value, err := c.value(where)
		if err == nil && !accepts(s.Items2020, value) {
			err = at(where, s.Items2020.Validate(value))
		}
		if err != nil {
			return nil, err
		}
		few = append(few[:0], value)
	}
	_, err := c.dec.Token()
	return few, err
}

// value decodes what comes next.
func (c *checker) value(where string) (any, error) {
	c.budget.left = maxElement
	var text json.RawMessage
	if err := c.dec.Decode(&text); errors.Is(err, errBudget) {
		return nil, fmt.Errorf("at %s: %w", clean.Quote(where), err)
	} else if err != nil {
		return nil, err
	}
	if values(text) > maxElementValues {
		return nil, at(where, fmt.Errorf("it holds more than %d values", maxElementValues))
	}
	return decoded(text)
}

// decoded decodes text and leaves its numbers as they are written.
func decoded(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	err := dec.Decode(&value)
	return value, err
}

// values counts the values in valid JSON, and a few more.
func values(text []byte) int {
	n, quoted, escaped := 1, false, false
	for _, b := range text {
		switch {
		case escaped:
			escaped = false
		case quoted && b == '\\':
			escaped = true
		case b == '"':
			quoted = !quoted
		case !quoted && (b == ',' || b == ':' || b == '[' || b == '{'):
			n++
		}
	}
	return n
}

// at returns what is wrong at a place of the document, a JSON pointer, or below it:
// of a schema's verdict the deepest first reason.
func at(where string, err error) error {
	if err == nil {
		return nil
	}
	message := err.Error()
	var v *jsonschema.ValidationError
	if errors.As(err, &v) {
		for len(v.Causes) > 0 {
			v = v.Causes[0]
		}
		where, message = where+v.InstanceLocation, v.Message
	}
	return fmt.Errorf("at %s: %s", clean.Quote(cmp.Or(where, "/")), message)
}

var errBudget = fmt.Errorf("it is larger than %d MiB", maxElement>>20)

// budget reads r until left bytes are used up.
type budget struct {
	r    io.Reader
	left int
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errBudget
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

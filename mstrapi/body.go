package mstrapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// readBody reads all of r, at most limit bytes, into the memory of buffer and
// returns it. It returns what it read with an error too.
func readBody(r io.Reader, limit int64, buffer []byte) ([]byte, error) {
	b := buffer[:0]
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > limit {
			return b, permanentError{fmt.Errorf("%w of %d MiB (--max-answer sets that of lists and privileges)", ErrTooLarge, limit>>20)}
		}
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// encodeJSON returns v as JSON without HTML escapes; v must be encodable.
func encodeJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("mstrapi: " + err.Error()) // types of this package only
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// acceptJSON returns an accept function that decodes one JSON document into v
// and then asks check whether everything needed is there.
func acceptJSON[T any](v *T, check func() error) func([]byte, http.Header) error {
	return func(body []byte, _ http.Header) error {
		var fresh T
		*v = fresh // an attempt before may have left something
		if err := json.Unmarshal(body, v); err != nil {
			return decodeError(body, err)
		}
		return check()
	}
}

// decodeError says why a body is not the document it should be.
func decodeError(body []byte, err error) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return incompletef("empty body")
	}
	return fmt.Errorf("%w: %s", ErrIncomplete, strings.TrimPrefix(clip(err.Error(), 200), "json: "))
}

package executor

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
)

// Signer returns a detached signature over what it reads. A nil Signer signs nothing.
type Signer func(io.Reader) ([]byte, error)

// SignatureSuffix is what the name of a signature has more than that of what it signs.
const SignatureSuffix = ".sig"

// ErrUnsigned is matched by the error of [Report.Deliver] when everything was written
// but a signature.
var ErrUnsigned = errors.New("it was not signed")

// bytesDocument is a document that is there already.
type bytesDocument []byte

func (b bytesDocument) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b)
	return int64(n), err
}

// sign writes the signature over doc beside path. It is over what this run wrote,
// whatever stands under the name by now.
func (s Signer) sign(path string, doc io.WriterTo) error {
	if s == nil {
		return nil
	}
	text, err := s.over(doc)
	if err == nil {
		err = WriteFileMode(path+SignatureSuffix, bytesDocument(text), 0o644)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", filepath.Base(path), ErrUnsigned, err)
	}
	return nil
}

func (s Signer) over(doc io.WriterTo) ([]byte, error) {
	r, w := io.Pipe()
	defer r.Close()
	go func() {
		_, err := doc.WriteTo(w)
		_ = w.CloseWithError(err)
	}()
	return s(r)
}

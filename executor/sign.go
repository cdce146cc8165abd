package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"privsync/document"
	"privsync/panics"
)

// Signer signs reports and the heads of their chains. A nil Signer signs nothing.
type Signer interface {
	// Sign returns a detached signature over what it reads.
	Sign(io.Reader) ([]byte, error)
	// Check returns nil if text is this signer's own signature over what it reads.
	Check(r io.Reader, text []byte) error
}

// SignatureSuffix is what the name of a signature has more than that of what it signs.
const SignatureSuffix = ".sig"

// ErrUnsigned is matched by errors that say that a report, or the head of a chain, was
// written and not signed, or must not be signed.
var ErrUnsigned = errors.New("not signed")

// signBeside writes the signature of s over doc beside path. It is over what this run
// wrote, whatever stands under the name by now.
func signBeside(s Signer, path string, doc io.WriterTo) error {
	if s == nil {
		return nil
	}
	text, err := SignDocument(s, doc)
	if err == nil {
		err = document.WriteFileMode(path+SignatureSuffix, bytes.NewReader(text), 0o644)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", filepath.Base(path), ErrUnsigned, err)
	}
	return nil
}

// SignDocument returns the signature of s over what doc writes.
func SignDocument(s Signer, doc io.WriterTo) (text []byte, err error) {
	err = reading(doc, func(r io.Reader) (err error) {
		text, err = s.Sign(r)
		return err
	})
	return text, err
}

// CheckDocument returns nil if text is the signature of s over what doc writes.
func CheckDocument(s Signer, doc io.WriterTo, text []byte) error {
	return reading(doc, func(r io.Reader) error { return s.Check(r, text) })
}

// reading calls f with the content of doc.
func reading(doc io.WriterTo, f func(io.Reader) error) error {
	r, w := io.Pipe()
	defer r.Close()
	go func() {
		err := panics.Catch(func() error {
			_, err := doc.WriteTo(w)
			return err
		})
		_ = w.CloseWithError(err)
	}()
	return f(r)
}

// SignatureBeside reads the signature beside the file at path; it is nil where there is
// none.
func SignatureBeside(path string) ([]byte, error) {
	text, err := readSmall(path + SignatureSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// signedHead returns nil if s has signed one of the heads, which are of dir's chain,
// or if none of them is of a report: there is nothing yet to vouch for. Otherwise the
// error matches [ErrUnsigned]: whoever signs what follows vouches for what was before.
func signedHead(dir string, s Signer, heads ...Head) error {
	text, err := SignatureBeside(filepath.Join(dir, ChainFile))
	if err != nil {
		return err
	}
	why := errors.New("it has no signature")
	for _, h := range heads {
		if h.Digest == "" {
			return nil
		}
		if len(text) == 0 {
			continue
		}
		if why = CheckDocument(s, h, text); why == nil {
			return nil
		}
	}
	return fmt.Errorf("the head of the chain, %s, is %w with the key at hand: %w", ChainFile, ErrUnsigned, why)
}

// CheckSigned returns why s must not sign what follows in the chain of dir, or that a
// chain which is signed needs a signer: the error matches [ErrUnsigned]. It is nil for
// a folder that is not there.
func CheckSigned(dir string, s Signer) error {
	head, err := readHead(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChainDamaged, err)
	}
	if s != nil {
		return signedHead(dir, s, head)
	}
	if _, err := os.Lstat(filepath.Join(dir, ChainFile+SignatureSuffix)); err == nil {
		return fmt.Errorf("the chain is signed, and what follows would be %w", ErrUnsigned)
	}
	return nil
}

// SignHead signs the head of the chain in dir, whose newest report has the digest:
// that of a chain which somebody looked at. From then on runs with this signer add to it.
func SignHead(ctx context.Context, dir, digest string, s Signer) error {
	unlock, err := lockChain(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	head, err := readHead(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrChainDamaged, err)
	}
	if head.Digest != digest {
		return fmt.Errorf("%w: a report was added meanwhile", ErrUnsigned)
	}
	return writeHead(dir, head, s)
}

// signedReport reports whether s has signed the report called name in dir.
func signedReport(dir, name string, s Signer) bool {
	if s == nil {
		return false
	}
	path := filepath.Join(dir, name)
	text, err := readSmall(path + SignatureSuffix)
	if err != nil {
		return false
	}
	f, err := OpenPlain(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return s.Check(f, text) == nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"privsync/executor"
	"privsync/input"
	"privsync/signature"
)

// reportSigner signs reports and the heads of their chains.
type reportSigner struct{ key *signature.Key }

func (s *reportSigner) Sign(r io.Reader) ([]byte, error) {
	return signature.Sign(r, s.key, signature.Report)
}

func (s *reportSigner) Check(r io.Reader, text []byte) error {
	return s.key.Check(r, text, signature.Report)
}

// signKeyFlag names the key that reports are signed with.
type signKeyFlag struct{ file string }

func (k *signKeyFlag) register(cmd *cobra.Command, usage string) {
	fs := cmd.Flags()
	fs.StringVar(&k.file, "sign-key", "", usage)
	bindVariable(fs, "sign-key", "PRIVSYNC_SIGN_KEY")
}

// signer returns who signs; nil where no key is named.
func (k *signKeyFlag) signer(a *app) (executor.Signer, error) {
	if k.file == "" {
		return nil, nil
	}
	key, err := a.openKey(k.file)
	if err != nil {
		return nil, err
	}
	return &reportSigner{key}, nil
}

// unsignedHint says what to do about a chain that must not be added to as it is.
const unsignedHint = `give the key that signs this chain with --sign-key; a chain that is not signed yet, or whose key changes, is looked at and then signed with "privsync verify-reports DIR --sign-key FILE"`

// sealedBy holds whose signatures a chain of reports bears.
type sealedBy struct {
	head    string            // who signed chain.json; empty for nobody
	reports map[string]string // by file
}

// checkSignatures judges the signatures of a chain by signers and adds what is wrong
// to its links. The head must be signed: it vouches for every report that the chain
// leads back to. A signature beside a report must hold, and once one report is signed
// every later one must be. Keys are judged by the time of the run.
func (a *app) checkSignatures(from signedFiles, chain *executor.Chain, signers *signature.Signers) sealedBy {
	by := sealedBy{reports: map[string]string{}}
	newest := a.now()
	signed := false
	for i := range chain.Links {
		l := &chain.Links[i]
		if l.Digest == "" || l.File == "" {
			continue
		}
		if !l.Beyond {
			newest = l.Started
		}
		good, err := verifyReport(from, l.File, signers, l.Started)
		switch {
		case err == nil:
			by.reports[l.File], signed = good.Name, true
		case l.Problem != "":
		case !errors.Is(err, fs.ErrNotExist):
			l.Problem = "its signature does not hold: " + err.Error()
		case l.Beyond:
			l.Problem = "not signed, and no head of the chain vouches for it"
		case signed:
			l.Problem = "not signed, and one before it is"
		}
	}
	if chain.Digest == "" {
		return by
	}
	switch good, err := verifyReport(from, executor.ChainFile, signers, newest); {
	case err == nil:
		by.head = good.Name
	case errors.Is(err, fs.ErrNotExist):
		chain.Links = append(chain.Links, executor.ChainLink{File: executor.ChainFile, Problem: "the head of the chain is not signed: the whole chain may have been written anew"})
	default:
		chain.Links = append(chain.Links, executor.ChainLink{File: executor.ChainFile, Problem: "the signature of the chain's head does not hold, so the chain may have been cut or written anew: " + err.Error()})
	}
	return by
}

// signedFiles are the reports of a chain, and its head as [executor.ChainFile], each with a
// signature. Errors match [fs.ErrNotExist] for what is not there.
type signedFiles interface {
	Open(file string) (io.ReadCloser, error)
	Signature(file string) ([]byte, error)
}

// folderFiles are those in a folder.
type folderFiles string

// Open opens the file.
func (dir folderFiles) Open(file string) (io.ReadCloser, error) {
	return input.Open(filepath.Join(string(dir), file))
}

// Signature reads the signature beside the file.
func (dir folderFiles) Signature(file string) ([]byte, error) {
	return readSignature(filepath.Join(string(dir), file+executor.SignatureSuffix))
}

// verifyReport judges the signature over a file; the error matches [fs.ErrNotExist] if
// there is none.
func verifyReport(from signedFiles, file string, signers *signature.Signers, at time.Time) (signature.Good, error) {
	text, err := from.Signature(file)
	if err != nil {
		return signature.Good{}, err
	}
	f, err := from.Open(file)
	if err != nil {
		return signature.Good{}, fmt.Errorf("%w: %s", signature.ErrMessage, err)
	}
	defer f.Close()
	return signers.Verify(f, text, signature.Report, at)
}

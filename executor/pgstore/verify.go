package pgstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"privsync/executor"
)

// Chains returns the names of the chains in the store: those that were imported and stand
// for themselves, then that which runs add to.
func (s *Store) Chains(ctx context.Context) ([]string, error) {
	names, err := ask(ctx, s, pgx.RowTo[string], `SELECT DISTINCT chain FROM (SELECT chain FROM report UNION SELECT chain FROM journal WHERE type = 'closed' UNION SELECT chain FROM chain) AS c ORDER BY chain`)
	if i := slices.Index(names, mainChain); i >= 0 {
		names = append(slices.Delete(names, i, i+1), mainChain)
	}
	return names, err
}

// closed is a closing row of a journal.
type closed struct {
	Length int
	Run    string
	Digest string
	At     time.Time
}

// Verify checks a chain by the rules of a folder ([executor.VerifyChain]): each document
// has the digest that it says, and names that of the one before; there is one for each
// closing row of a journal, and none without. The error says that the store could not be
// read.
func (s *Store) Verify(ctx context.Context, chain string) (*executor.Chain, error) {
	var h head
	var closings []closed
	err := s.do(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var err error
		if h, err = readHead(ctx, conn, chain); err != nil {
			return err
		}
		closings, err = rowsOf(ctx, conn, pgx.RowToStructByPos[closed], "SELECT length, run, digest, stored_at FROM journal WHERE type = 'closed' AND chain = $1 ORDER BY length", chain)
		return err
	})
	if err != nil {
		return nil, err
	}
	entries, err := s.entries(ctx, "WHERE chain = $1 ORDER BY length", chain)
	if err != nil {
		return nil, err
	}
	out := &executor.Chain{Pruned: h.Pruned, Checkpoint: h.Checkpoint}
	if len(closings) > 0 {
		out.Digest = h.Digest
	}
	byLength := make(map[int]closed, len(closings))
	for _, c := range closings {
		byLength[c.Length] = c
	}
	previous, next := h.Checkpoint, h.Pruned+1
	missing := func(upTo int) {
		for ; next < upTo; next++ {
			l := executor.ChainLink{Problem: "missing, and so is the row that closes its journal"}
			if c, ok := byLength[next]; ok {
				l = executor.ChainLink{Digest: c.Digest, RunID: c.Run, Started: c.At, Problem: fmt.Sprintf("the report is missing: the row that closes the journal of run %s names it", c.Run)}
				previous = c.Digest
			}
			out.Links = append(out.Links, l)
		}
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		missing(e.Length)
		next = e.Length + 1
		document := &partReader{s: s, e: e}
		l := executor.ReadLink(e.File, document)
		if err := document.end; err != nil && err != io.EOF && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		c, ok := byLength[e.Length]
		switch {
		case l.Problem != "":
		case l.Digest != e.Digest || l.Previous != e.Previous || e.File != fileOf(e.Run):
			l.Problem = "the row beside the document says otherwise: it was changed"
		case !ok:
			l.Problem = "no row closes a journal with it: it was slipped in"
		case c.Digest != l.Digest || c.Run != e.Run:
			l.Problem = "the row that closes the journal of run " + c.Run + " names another digest, " + c.Digest
		case l.Previous != previous:
			l.Problem = "the report before it is missing or was edited: nothing here has the digest " + l.Previous
		}
		previous = l.Digest
		out.Links = append(out.Links, *l)
	}
	if n := len(closings); n > 0 {
		missing(closings[n-1].Length + 1)
	}
	return out, nil
}

// Signed is a chain with what signatures over it are about; see [Store.Signed].
type Signed struct {
	s     *Store
	chain string
	head  head
	files map[string]Entry
}

// Signed returns the signatures of a chain.
func (s *Store) Signed(ctx context.Context, chain string) (*Signed, error) {
	out := &Signed{s: s, chain: chain, files: make(map[string]Entry)}
	entries, err := s.entries(ctx, "WHERE chain = $1 ORDER BY length", chain)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		out.files[e.File] = e
	}
	out.head, err = s.head(ctx, chain)
	return out, err
}

// Open opens the document called file: a report, or the head as [executor.ChainFile].
func (c *Signed) Open(file string) (io.ReadCloser, error) {
	if file == executor.ChainFile {
		var b bytes.Buffer
		_, err := c.head.WriteTo(&b)
		return io.NopCloser(&b), err
	}
	f, ok := c.files[file]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return c.s.document(f).Open()
}

// Signature returns the signature over the document called file; the error matches
// [fs.ErrNotExist] if there is none.
func (c *Signed) Signature(file string) ([]byte, error) {
	text := c.files[file].Signature
	if file == executor.ChainFile {
		text = c.head.signature
	}
	if len(text) == 0 {
		return nil, fs.ErrNotExist
	}
	return text, nil
}

// SignHead signs the head of the main chain, whose newest report has the digest.
func (s *Store) SignHead(ctx context.Context, digest string, signer executor.Signer) error {
	return s.doLong(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := lockChain(ctx, tx); err != nil {
			return err
		}
		h, err := readHead(ctx, tx, mainChain)
		if err != nil {
			return err
		}
		if h.Digest != digest {
			return fmt.Errorf("%w: a report was added meanwhile", executor.ErrUnsigned)
		}
		signature, err := executor.SignDocument(signer, h)
		if err != nil {
			return fmt.Errorf("%w: %w", executor.ErrUnsigned, err)
		}
		_, err = tx.Exec(ctx, "INSERT INTO head_signature (chain, length, signature) VALUES ($1, $2, $3)", mainChain, h.Length, signature)
		return err
	})
}

// Qualified returns the name of a report's file as people are told it: with the chain
// before it, unless that is the one that runs add to.
func Qualified(chain, file string) string {
	if chain == mainChain || file == "" {
		return file
	}
	return strings.Join([]string{chain, file}, "/")
}

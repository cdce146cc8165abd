package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"privsync/clean"
	"privsync/document"
	"privsync/executor"
)

// transferTime bounds the taking over of a whole folder, which is one transaction.
const transferTime = 24 * time.Hour

// ErrBroken is matched by errors about a chain that is not whole.
var ErrBroken = errors.New("the chain of reports is broken")

// Imported says what [Store.Import] did.
type Imported struct {
	Chain   string // where the reports are
	Added   int    // reports that were not there before
	Reports int    // reports of the folder
}

// Import takes the chain of reports in the folder dir into the store, all of it or
// nothing: the documents byte for byte, with their signatures. What the store has
// already is passed over. Into a store without reports it comes as the chain that runs
// add to; into another as a chain of its own. The error matches [ErrBroken] if the chain in
// the folder is not whole, or if the store has another one with the same beginning.
func (s *Store) Import(ctx context.Context, dir string) (Imported, error) {
	var done Imported
	chain, err := executor.VerifyChain(dir, nil)
	if err != nil {
		return done, err
	}
	if broken := chain.Broken(); len(broken) > 0 {
		return done, fmt.Errorf("%w: %s: %s", ErrBroken, broken[0].File, broken[0].Problem)
	}
	links := chain.Links
	// What a prune that was cut short has left is no part of the chain any more.
	if i := slices.IndexFunc(links, func(l executor.ChainLink) bool { return l.Digest == chain.Checkpoint }); chain.Checkpoint != "" && i >= 0 {
		links = links[i+1:]
	}
	done.Reports = len(links)
	if len(links) == 0 {
		return done, fmt.Errorf("%s holds no report", dir)
	}
	err = s.doFor(ctx, transferTime, func(limited context.Context, conn *pgx.Conn) error {
		return pgx.BeginFunc(limited, conn, func(tx pgx.Tx) error {
			if err := lockChain(limited, tx); err != nil {
				return err
			}
			var from int
			var h head
			var err error
			if done.Chain, from, h, err = s.whereTo(limited, tx, chain, links); err != nil {
				return err
			}
			for _, l := range links[from:] {
				if err := ctx.Err(); err != nil {
					return err
				}
				h = h.next(l.File, l.Digest)
				if err := s.importLink(limited, tx, dir, done.Chain, h); err != nil {
					return fmt.Errorf("%s: %w", l.File, err)
				}
			}
			done.Added = len(links) - from
			if done.Added == 0 {
				return nil
			}
			signature, err := executor.SignatureBeside(filepath.Join(dir, executor.ChainFile))
			if err != nil || signature == nil {
				return err
			}
			_, err = tx.Exec(limited, "INSERT INTO head_signature (chain, length, signature) VALUES ($1, $2, $3)", done.Chain, h.Length, signature)
			return err
		})
	})
	return done, err
}

// whereTo finds out into which chain the links go, which of them is the first that it
// lacks, and what head it has now.
func (s *Store) whereTo(ctx context.Context, tx pgx.Tx, chain *executor.Chain, links []executor.ChainLink) (name string, from int, h head, err error) {
	digests := make([]string, len(links))
	for i, l := range links {
		digests[i] = l.Digest
	}
	names, err := rowsOf(ctx, tx, pgx.RowTo[string], "SELECT DISTINCT chain FROM journal WHERE type = 'closed' AND digest = ANY ($1)", digests)
	if err != nil {
		return "", 0, h, err
	}
	switch len(names) {
	case 0:
		name = mainChain
		if h, err = readHead(ctx, tx, name); err == nil && (h.Length > 0 || h.Pruned > 0) {
			name = "import-" + strings.TrimPrefix(digests[0], "sha256:")[:12]
			h, err = readHead(ctx, tx, name)
		}
		if err == nil && chain.Pruned > 0 {
			_, err = tx.Exec(ctx, "INSERT INTO chain (chain, pruned, checkpoint) VALUES ($1, $2, $3)", name, chain.Pruned, chain.Checkpoint)
			h = head{Head: executor.Head{Length: chain.Pruned, Digest: chain.Checkpoint, Pruned: chain.Pruned, Checkpoint: chain.Checkpoint}}
		}
		return name, 0, h, err
	case 1:
		name = names[0]
		if h, err = readHead(ctx, tx, name); err != nil {
			return "", 0, h, err
		}
		if i := slices.Index(digests, h.Digest); i >= 0 {
			return name, i + 1, h, nil
		}
		var newest bool
		err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM journal WHERE type = 'closed' AND chain = $1 AND digest = $2)", name, digests[len(digests)-1]).Scan(&newest)
		if err == nil && newest {
			return name, len(links), h, nil // the store has gone on since
		}
		if err != nil {
			return "", 0, h, err
		}
	}
	return "", 0, h, fmt.Errorf("%w: the store and the folder begin with the same reports and have gone different ways", ErrBroken)
}

// importLink adds the report in the file that h names as the newest.
func (s *Store) importLink(ctx context.Context, tx pgx.Tx, dir, chain string, h head) error {
	path := filepath.Join(dir, h.File)
	f, err := executor.OpenPlain(path)
	if err != nil {
		return err
	}
	defer f.Close()
	signature, err := executor.SignatureBeside(path)
	if err != nil {
		return err
	}
	l := link{chain: chain, head: h, signature: signature, closing: closing{run: strings.TrimSuffix(Qualified(chain, h.File), ".json"), imported: true}}
	l.document = func(w io.Writer) (*executor.Report, error) {
		report, err := executor.ReadReport(io.TeeReader(f, w))
		if err == nil && report.Digest != h.Digest {
			err = errors.New("it was changed meanwhile")
		}
		return report, err
	}
	return s.addLink(ctx, tx, l)
}

// Export writes the chains of the store into the folder dir, which must be new or empty:
// names and bytes as a folder has them. The chain that runs add to goes into dir itself,
// another beside it into a folder of its name, unless it is the only one. It returns how
// many reports there are. The error matches [ErrBroken] if a chain is not whole: then it
// is written as far as it is there.
func (s *Store) Export(ctx context.Context, dir string) (int, error) {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return 0, fmt.Errorf("%s is not empty", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	names, err := s.Chains(ctx)
	if err != nil {
		return 0, err
	}
	written := 0
	var broken error
	for _, name := range names {
		to := dir
		if name != mainChain && len(names) > 1 {
			to = filepath.Join(dir, name)
		}
		if err := os.MkdirAll(to, 0o700); err != nil {
			return written, err
		}
		n, err := s.exportChain(ctx, name, to)
		written += n
		if err != nil {
			return written, err
		}
		chain, err := executor.VerifyChain(to, nil)
		if err != nil {
			return written, err
		}
		if problems := chain.Broken(); len(problems) > 0 && broken == nil {
			broken = fmt.Errorf("%w in %s: %s: %s", ErrBroken, to, problems[0].File, problems[0].Problem)
		}
	}
	return written, broken
}

func (s *Store) exportChain(ctx context.Context, chain, dir string) (int, error) {
	signed, err := s.Signed(ctx, chain)
	if err != nil {
		return 0, err
	}
	entries, err := s.entries(ctx, "WHERE chain = $1 ORDER BY length", chain)
	if err != nil {
		return 0, err
	}
	files := make([]string, 0, len(entries)+1)
	for _, e := range entries {
		files = append(files, e.File)
	}
	if signed.head.File != "" {
		files = append(files, executor.ChainFile)
	}
	for i, file := range files {
		if err := ctx.Err(); err != nil {
			return i, err
		}
		if file != filepath.Base(file) {
			return i, fmt.Errorf("the name of a report, %s, leads out of the folder", clean.Quote(file))
		}
		path := filepath.Join(dir, file)
		if err := document.WriteFile(path, opened(func() (io.ReadCloser, error) { return signed.Open(file) })); err != nil {
			return i, err
		}
		if text, err := signed.Signature(file); err == nil {
			if err := document.WriteFileMode(path+executor.SignatureSuffix, opened(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(text))), nil }), 0o644); err != nil {
				return i, err
			}
		}
	}
	return len(entries), nil
}

// opened writes what it opens.
type opened func() (io.ReadCloser, error)

// WriteTo implements [io.WriterTo].
func (o opened) WriteTo(w io.Writer) (int64, error) {
	f, err := o()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return io.Copy(w, f)
}

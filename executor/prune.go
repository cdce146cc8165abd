package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"privsync/document"
)

// DeadRunIDs returns the ids of the runs that left a journal open in the state
// folder dir, and were to add their report to the chain of reports in the folder
// reports. A journal that others can have written, or that is damaged, explains
// nothing. Runs that are alive may be among them: their reports are explained, too.
func DeadRunIDs(dir, reports string) (map[string]bool, error) {
	reports, err := filepath.Abs(reports)
	if err != nil {
		return nil, err
	}
	paths, err := journalFiles(dir, journalSuffix)
	if err != nil {
		return nil, err
	}
	ids := make(map[string]bool)
	for _, path := range paths {
		if CheckTrusted(path) != nil {
			continue
		}
		if c, err := readJournal(path, nil); err == nil && c.begin.Destination.Dir == reports {
			ids[c.begin.Run.ID] = true
		}
	}
	return ids, nil
}

// MendChain makes chain.json of the folder dir name the reports after the newest
// that explained says are those of runs that died before they could do it. It
// returns why nothing may be added to the chain nevertheless: the error matches
// [ErrBeyondHead] or [ErrChainDamaged]. A folder that is not there is fine. A signed
// chain stays signed by s, and a report that s has signed needs no explanation.
func MendChain(ctx context.Context, dir string, explained func(runID string) bool, s Signer) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	// In the usual case nothing is locked or written.
	if _, err := currentHead(dir); !errors.Is(err, ErrBeyondHead) {
		return err
	}
	_, err := advance(ctx, dir, explained, s)
	return err
}

// AcceptNewer makes chain.json of the folder dir name every report after the
// newest, each of which must be sound and follow the one before. It returns those
// that it took in. Where chain.json is not there at all that is all of them.
func AcceptNewer(ctx context.Context, dir string, s Signer) ([]ChainLink, error) {
	return advance(ctx, dir, func(string) bool { return true }, s)
}

// advance moves chain.json over the reports that may follow it.
func advance(ctx context.Context, dir string, may func(runID string) bool, s Signer) ([]ChainLink, error) {
	unlock, err := lockChain(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	names, err := reportFiles(dir)
	if err != nil {
		return nil, err
	}
	head, err := readHead(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrChainDamaged, err)
	}
	was := head
	var taken []ChainLink
	var stop error
	for _, l := range beyondHead(head, readLinks(dir, names)) {
		switch {
		case l.Problem != "":
			stop = fmt.Errorf("%w: %s: %s", ErrBeyondHead, l.File, l.Problem)
		case !may(l.RunID) && !signedReport(dir, l.File, s):
			stop = fmt.Errorf("%w: %s", ErrBeyondHead, l.File)
		}
		if stop != nil {
			break
		}
		head = head.With(l.File, l.Digest)
		taken = append(taken, *l)
	}
	if len(taken) > 0 {
		if s != nil {
			if err := signedHead(dir, s, was, head); err != nil {
				return nil, err
			}
		}
		if err := writeHead(dir, head, s); err != nil {
			return nil, err
		}
	}
	return taken, stop
}

// PruneChain removes the reports of the folder dir that began before the time
// before, from the oldest on to the first that did not; the newest always stays. The
// chain must be whole, or nothing is removed. The checkpoint is on the disk before
// the first report is gone, so that a prune that is cut short breaks nothing: the
// next one removes what it left. It returns how many reports are gone.
func PruneChain(ctx context.Context, dir string, before time.Time, s Signer) (int, error) {
	unlock, err := lockChain(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer unlock()
	chain, err := VerifyChain(dir, nil)
	if err != nil {
		return 0, err
	}
	if broken := chain.Broken(); len(broken) > 0 {
		return 0, fmt.Errorf("the chain is broken, and nothing was removed: %s: %s", broken[0].File, broken[0].Problem)
	}
	head, err := readHead(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // no report at all
	}
	if err != nil {
		return 0, err
	}
	n := 0
	for n < len(chain.Links)-1 && chain.Links[n].Started.Before(before) {
		n++
	}
	// What a prune that was cut short left stands before the checkpoint still.
	leftover := len(chain.Links) - (head.Length - head.Pruned)
	n = max(n, leftover)
	if n == 0 {
		return 0, nil
	}
	if s != nil {
		if err := signedHead(dir, s, head); err != nil {
			return 0, err
		}
	}
	if n > leftover {
		head.Pruned, head.Checkpoint = head.Pruned+n-leftover, chain.Links[n-1].Digest
		if err := writeHead(dir, head, s); err != nil {
			return 0, err
		}
	}
	for i, l := range chain.Links[:n] {
		if err := os.Remove(filepath.Join(dir, l.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return i, fmt.Errorf("prune: %w", err)
		}
		if err := os.Remove(filepath.Join(dir, l.File+SignatureSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return i, fmt.Errorf("prune: %w", err)
		}
	}
	return n, document.SyncDir(dir)
}

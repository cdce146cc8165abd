package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/document"
)

// The reports in one folder form a chain: each names the digest of the one that
// was there before it, and the file chain.json names the newest and how many
// there are. Whoever changes, removes, renames or adds a report breaks it, unless
// he rewrites everything after that place; keep the newest digest elsewhere (in a
// log, in a ticket) to notice that, too.
//
// Before a report is written chain.json announces it by file and digest, and
// afterwards names it as the newest: a run that dies in between leaves a chain that
// explains itself, and one that dies before leaves a chain without the report. A chain
// that is signed announces nothing: there the report's own signature explains it.
//
// A report after the newest is one that chain.json neither names nor announces:
// somebody slipped it in, or put back a chain.json that was older. The journal of a
// dead run can tell that it belongs there ([MendChain]), otherwise a person has to
// ([AcceptNewer]); until then nothing is added to the chain.
//
// Old reports that were removed by [PruneChain] are a checkpoint in chain.json:
// their number and the digest of the newest of them.

// ChainFile is the name of the file in a folder of reports that names the newest.
const ChainFile = "chain.json"

const (
	chainFormat = "privsync/chain/v1"
	chainLock   = ".chain.lock"

	// chainWait is how long a report waits for another that is just being written
	// into the same folder.
	chainWait = time.Minute
)

// Head is the content of chain.json: the newest report. Length counts the pruned reports,
// too. The zero value is the head of a chain without reports.
type Head struct {
	Format     string `json:"format"`
	Length     int    `json:"length"`
	File       string `json:"file"`
	Digest     string `json:"digest"`
	Pruned     int    `json:"pruned,omitempty"`     // reports that were removed, the oldest
	Checkpoint string `json:"checkpoint,omitempty"` // digest of the newest of them

	// Next is the report that is just being written after the newest; nil: none.
	Next *chainNext `json:"next,omitempty"`
}

// chainNext announces a report.
type chainNext struct {
	File   string `json:"file"`
	Digest string `json:"digest"`
}

// check returns what is wrong with a head that was read from a file.
func (h *Head) check() error {
	digest := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	switch {
	case h.Format != chainFormat:
		return fmt.Errorf("format is not %s", clean.Quote(chainFormat))
	case h.Next != nil && (!digest.MatchString(h.Next.Digest) || !reportName.MatchString(h.Next.File)):
		return errors.New("announces no report")
	case h.Next != nil && h.Length == 0 && h.File == "" && h.Digest == "" && h.Pruned == 0 && h.Checkpoint == "":
		return nil // the first report of all
	case h.Length < 1 || !digest.MatchString(h.Digest) || !reportName.MatchString(h.File):
		return errors.New("does not name a newest report")
	case h.Pruned < 0 || h.Pruned >= h.Length, (h.Pruned > 0) != (h.Checkpoint != ""), h.Checkpoint != "" && !digest.MatchString(h.Checkpoint):
		return errors.New("its checkpoint makes no sense")
	}
	return nil
}

var (
	// ErrChainDamaged is matched by errors about a chain.json that cannot be read or
	// is not there: nothing is added to such a chain, for it would be made whole.
	ErrChainDamaged = errors.New("chain.json is damaged or missing")
	// ErrBeyondHead is matched by errors about reports after the newest that
	// chain.json names: nothing is added to such a chain.
	ErrBeyondHead = errors.New("a report is there that chain.json does not know")
)

// ReportFileName returns the name of a run's report in a folder of reports: the
// UTC time of its start, and its id.
func ReportFileName(run Run) string { return runFileName(run) + ".json" }

var reportName = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9._-]+\.json$`)

// runFileName makes a file name from the run. Ids come from documents, too, so
// whatever could leave the folder is replaced.
func runFileName(run Run) string {
	return run.StartedAt.UTC().Format("20060102T150405Z") + "-" + wordOf(clean.Clip(run.ID, 80))
}

// wordOf returns text with another character in the place of each that can stand in no
// file name or lock id.
func wordOf(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '-', c == '_', c == '.':
			return c
		}
		return '_'
	}, text)
}

// ErrDelivered is matched by the error of [Report.Deliver] when the folder has
// the report of this run already.
var ErrDelivered = errors.New("the report of this run is there already")

// Check returns why a report could not be written to d, as far as that can be
// known before there is one. It makes the folder if it does not exist.
func (d Destination) Check() error {
	if d.Dir != "" {
		if err := os.MkdirAll(d.Dir, 0o700); err != nil {
			return fmt.Errorf("report folder: %w", err)
		}
		if err := document.CheckFile(filepath.Join(d.Dir, ChainFile)); err != nil {
			return fmt.Errorf("report folder: %w", err)
		}
	}
	if d.File != "" {
		if err := document.CheckFile(d.File); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// CheckChain is Check, and returns why nothing may be added to the chain of reports in
// the folder, after [MendChain], or signed by s there ([CheckSigned]).
func (d Destination) CheckChain(ctx context.Context, explained func(runID string) bool, s Signer) error {
	if err := d.Check(); err != nil || d.Dir == "" {
		return err
	}
	if err := MendChain(ctx, d.Dir, explained, s); err != nil {
		return err
	}
	return CheckSigned(d.Dir, s)
}

// Deliver writes r to d and returns the paths of what was written. Into a folder
// it is written as the next link of the chain: that sets r.Previous and r.Digest.
// Into a file it goes as it was sealed, and is sealed if it was not.
// Both are signed by s, each with a signature of its own beside it, and so is the head
// of the chain; if only that fails the error matches [ErrUnsigned], and everything else
// is written.
// The folder is made if it does not exist. With neither a file nor a folder in d
// it is an error.
func (r *Report) Deliver(ctx context.Context, d Destination, s Signer) (paths []string, err error) {
	if d == (Destination{}) {
		return nil, errors.New("report: no destination")
	}
	var unsigned error
	if d.Dir != "" {
		path, err := r.appendTo(ctx, d.Dir, s)
		if errors.Is(err, ErrUnsigned) {
			unsigned = fmt.Errorf("report folder: %w", err)
		} else if err != nil {
			return nil, fmt.Errorf("report folder: %w", err)
		}
		paths = append(paths, path)
	}
	if d.File != "" {
		if r.Digest == "" {
			if err := r.Seal(); err != nil {
				return paths, err
			}
		}
		if err := document.WriteFile(d.File, r); err != nil {
			return paths, fmt.Errorf("report: %w", err)
		}
		paths = append(paths, d.File)
		if err := signBeside(s, d.File, r); err != nil {
			unsigned = errors.Join(unsigned, err)
		}
	}
	return paths, unsigned
}

// appendTo writes r into the chain of dir.
func (r *Report) appendTo(ctx context.Context, dir string, s Signer) (string, error) {
	return r.appendBy(ctx, dir, s, document.WriteFile)
}

// appendBy is appendTo with the function that writes the report.
func (r *Report) appendBy(ctx context.Context, dir string, s Signer, write func(path string, doc io.WriterTo) error) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	unlock, err := lockChain(ctx, dir)
	if err != nil {
		return "", err
	}
	defer unlock()

	path := filepath.Join(dir, ReportFileName(r.Run))
	if old, err := ReadReportFile(path); err == nil && old.Run.ID == r.Run.ID {
		return path, ErrDelivered
	} else if _, statErr := os.Lstat(path); statErr == nil {
		return "", fmt.Errorf("%s is in the way", path)
	}
	head, err := currentHead(dir)
	if err != nil {
		return "", err
	}
	r.Previous = head.Digest
	if err := r.Seal(); err != nil {
		return "", err
	}
	file := filepath.Base(path)
	var unsigned error
	if s == nil {
		if err := writeHead(dir, head.announce(file, r.Digest), nil); err != nil {
			return "", err
		}
	} else if unsigned = signBeside(s, path, r); unsigned == nil {
		// The signature of a head is over the one before or the one after, so a signed
		// chain announces nothing: that of the report, which is there first, explains it.
		unsigned = signedHead(dir, s, head)
	}
	if err := write(path, r); err != nil {
		if s != nil {
			_ = os.Remove(path + SignatureSuffix) // of nothing; it harms nobody
		}
		return "", err
	}
	if unsigned != nil {
		s = nil
	}
	return path, errors.Join(unsigned, writeHead(dir, head.With(file, r.Digest), s))
}

// announce returns the head of the chain while a report is written.
func (h Head) announce(file, digest string) Head {
	h.Next = &chainNext{File: file, Digest: digest}
	return h
}

// settle returns the head as it is if the report that it announces is there, or is
// not. A head that announced the first report of all and has none is none: the error
// matches [fs.ErrNotExist].
func (h Head) settle(dir string) (Head, error) {
	next := h.Next
	if next == nil {
		return h, nil
	}
	h.Next = nil
	l := readLinks(dir, []string{next.File})[0]
	if l.Problem == "" && l.Digest == next.Digest && l.Previous == h.Digest {
		return h.With(next.File, next.Digest), nil
	}
	if h.Length == 0 {
		return Head{}, fmt.Errorf("names no report: %w", fs.ErrNotExist)
	}
	return h, nil
}

// WriteTo writes chain.json.
func (h Head) WriteTo(w io.Writer) (int64, error) {
	h.Format = chainFormat
	return document.Line{Value: h}.WriteTo(w)
}

// With returns the head of the chain with one report more.
func (h Head) With(file, digest string) Head {
	h.Length, h.File, h.Digest = h.Length+1, file, digest
	return h
}

// writeHead writes the signature first: a run that dies between the two has left a
// report that chain.json does not know, and taking that in makes the same head again.
func writeHead(dir string, h Head, s Signer) error {
	path := filepath.Join(dir, ChainFile)
	unsigned := signBeside(s, path, h)
	if err := document.WriteFile(path, h); err != nil {
		return err
	}
	return unsigned
}

// currentHead returns the newest link of dir's chain, which is what chain.json says.
// That other reports are missing or edited does not matter here: a report must be
// written all the same, and VerifyChain tells. The errors match [ErrChainDamaged] and
// [ErrBeyondHead].
func currentHead(dir string) (Head, error) {
	names, err := reportFiles(dir)
	if err != nil {
		return Head{}, err
	}
	head, err := readHead(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(names) == 0:
		return Head{}, nil
	case err != nil:
		return Head{}, fmt.Errorf("%w: %w", ErrChainDamaged, err)
	case head.Length-head.Pruned == len(names):
		return head, nil
	}
	if beyond := beyondHead(head, readLinks(dir, names)); len(beyond) > 0 {
		return Head{}, fmt.Errorf("%w: %s", ErrBeyondHead, beyond[0].File)
	}
	return head, nil
}

// beyondHead returns the links that follow head, each upon the one before.
func beyondHead(head Head, links []*ChainLink) []*ChainLink {
	follower := make(map[string]*ChainLink, len(links))
	for _, l := range slices.Backward(links) { // the oldest of several wins
		if l.Digest != "" {
			follower[l.Previous] = l
		}
	}
	var out []*ChainLink
	for at := head.Digest; follower[at] != nil && len(out) < len(links); at = follower[at].Digest {
		out = append(out, follower[at])
	}
	return out
}

func readHead(dir string) (Head, error) {
	var h Head
	text, err := readSmall(filepath.Join(dir, ChainFile))
	if err != nil {
		return h, err
	}
	if err = document.Unmarshal(text, &h); err == nil {
		err = h.check()
	}
	if err == nil {
		h, err = h.settle(dir)
	}
	if err != nil {
		return Head{}, fmt.Errorf("%s: %w", ChainFile, err)
	}
	return h, nil
}

// lockChain takes the lock of dir's chain and returns how to give it back. A run
// that was told to stop now still reports: an idle lock is taken whatever ctx says.
func lockChain(ctx context.Context, dir string) (unlock func(), err error) {
	l := newFlock(filepath.Join(dir, chainLock))
	waiting, cancel := context.WithTimeout(ctx, chainWait)
	defer cancel()
	ok, err := tryLock(l)
	if err == nil && !ok {
		_, err = l.TryLockContext(waiting, lockPoll)
	}
	if err != nil {
		return nil, fmt.Errorf("chain lock: %w", err)
	}
	return func() { _ = l.Unlock() }, nil // the end of the process would as well
}

// Chain is what [VerifyChain] found.
type Chain struct {
	Links      []ChainLink
	Pruned     int    // how many reports were removed before the oldest of Links
	Checkpoint string // digest of the newest of those; empty for none
	Digest     string // of the newest report, as chain.json names it
}

// ChainLink is one report of a chain, or a place where it is broken. Problem is
// empty for a link that is sound.
type ChainLink struct {
	File     string    `json:"file"` // name in the folder; empty for a report that is missing
	RunID    string    `json:"runId,omitempty"`
	Started  time.Time `json:"startedAt,omitzero"`
	Digest   string    `json:"digest,omitempty"` // as the file claims it
	Previous string    `json:"previous,omitempty"`
	Beyond   bool      `json:"beyond,omitempty"` // after the newest that chain.json names
	Problem  string    `json:"problem,omitempty"`
}

// VerifyChain checks the chain of reports in dir and returns its links from the
// oldest to the newest, each with its problem if it has one: edited, renamed,
// foreign, missing, after the newest, or standing where the chain has forked. The
// error says that the folder could not be read, not that the chain is broken: see
// [Chain.Broken]. Files that are no .json files are not looked at.
//
// Explained says of a report after the newest that the run with this id died before
// it could say so in chain.json (see [DeadRunIDs]); nil explains none.
func VerifyChain(dir string, explained func(runID string) bool) (*Chain, error) {
	names, err := reportFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("report folder: %w", err)
	}
	foreign, err := filesIn(dir, func(name string) bool {
		return strings.HasSuffix(name, ".json") && !reportName.MatchString(name) && name != ChainFile
	})
	if err != nil {
		return nil, fmt.Errorf("report folder: %w", err)
	}
	head, headErr := readHead(dir)
	chain := &Chain{Pruned: head.Pruned, Checkpoint: head.Checkpoint, Digest: head.Digest}
	links, leftover := chained(readLinks(dir, names), head)
	for _, l := range links {
		chain.Links = append(chain.Links, *l)
	}
	chain.checkHead(head, headErr, leftover, explained)
	for _, name := range foreign {
		chain.Links = append(chain.Links, ChainLink{File: name, Problem: "a foreign file: not a report of this chain"})
	}
	return chain, nil
}

// chained returns the links, which come in the order of their names, in that of their
// digests, from the first report on; each that does not follow the one before it has a
// problem. Leftover is how many stand before the checkpoint of head: a prune that was cut
// short has left them.
func chained(links []*ChainLink, head Head) (ordered []*ChainLink, leftover int) {
	byDigest := make(map[string]*ChainLink, len(links))
	followers := make(map[string][]*ChainLink, len(links))
	for _, l := range links {
		if l.Digest == "" {
			continue
		}
		if byDigest[l.Digest] == nil {
			byDigest[l.Digest] = l
		}
		followers[l.Previous] = append(followers[l.Previous], l)
	}
	// Where two claim the same predecessor, the one that leads to the newest is ours.
	ours := make(map[*ChainLink]bool, len(links))
	for l := byDigest[head.Digest]; l != nil && !ours[l]; l = byDigest[l.Previous] {
		ours[l] = true
	}
	at := head.Checkpoint
	for l := byDigest[at]; l != nil && at != "" && leftover < len(links); l = byDigest[at] {
		at = l.Previous
		leftover++
	}
	taken := make(map[*ChainLink]bool, len(links))
	known := make(map[string]bool, len(links)) // digests of those taken
	for oldest := 0; len(ordered) < len(links); {
		var next *ChainLink
		for _, l := range followers[at] {
			if !taken[l] && (next == nil || ours[l] && !ours[next]) {
				next = l
			}
		}
		if next == nil {
			// The chain breaks here. Go on with the oldest report that is left.
			for taken[links[oldest]] {
				oldest++
			}
			next = links[oldest]
			switch {
			case next.Problem != "":
			case known[next.Previous], next.Previous == "" && len(ordered) > 0:
				next.Problem = "a second report follows the same predecessor: one of the two is foreign"
			default:
				next.Problem = "the report before it is missing or was edited: nothing here has the digest " + next.Previous
			}
		}
		taken[next], known[next.Digest], at = true, true, next.Digest
		ordered = append(ordered, next)
	}
	return ordered, leftover
}

// checkHead compares the links with what chain.json says.
func (c *Chain) checkHead(head Head, err error, leftover int, explained func(string) bool) {
	n := len(c.Links)
	add := func(l ChainLink) { c.Links = append(c.Links, l) }
	switch {
	case errors.Is(err, fs.ErrNotExist) && n == 0:
		return
	case err != nil:
		add(ChainLink{File: ChainFile, Problem: "unreadable, so reports may be missing at the end: " + err.Error()})
		return
	}
	at := slices.IndexFunc(c.Links, func(l ChainLink) bool { return l.Digest == head.Digest })
	if at < 0 {
		add(ChainLink{Digest: head.Digest, Problem: fmt.Sprintf("the newest report (%s) is missing or was edited", clean.Clip(head.File, 120))})
		return
	}
	beyond := 0
	for i := at + 1; i < n && c.Links[i].Previous == c.Links[i-1].Digest; i++ {
		l := &c.Links[i]
		beyond++
		l.Beyond = true
		if l.Problem == "" && (explained == nil || !explained(l.RunID)) {
			l.Problem = "after the newest report that chain.json names: a run died before it could say so, or it was slipped in"
		}
	}
	if counted := n - leftover - beyond; counted != head.Length-head.Pruned {
		add(ChainLink{File: ChainFile, Problem: fmt.Sprintf("counts %d reports, there are %d", head.Length-head.Pruned, counted)})
	}
}

// Broken returns the links that have a problem, in the order of the chain.
func (c *Chain) Broken() []ChainLink {
	var broken []ChainLink
	for _, l := range c.Links {
		if l.Problem != "" {
			broken = append(broken, l)
		}
	}
	return broken
}

// Holds reports whether the report with this digest is a sound link of the chain,
// or the newest of those that were pruned.
func (c *Chain) Holds(digest string) bool {
	return digest != "" && (digest == c.Checkpoint ||
		slices.ContainsFunc(c.Links, func(l ChainLink) bool { return l.Digest == digest && l.Problem == "" }))
}

// readLinks reads the named reports. Their digests are what the files claim, so
// that an edited report is one broken link and not two; a file that is no report
// has none.
func readLinks(dir string, names []string) []*ChainLink {
	links := make([]*ChainLink, 0, len(names))
	for _, name := range names {
		f, err := OpenPlain(filepath.Join(dir, name))
		if err != nil {
			links = append(links, &ChainLink{File: name, Problem: "unreadable: " + err.Error()})
			continue
		}
		links = append(links, ReadLink(name, f))
		f.Close()
	}
	return links
}

// ReadLink reads the report called name as a link of a chain. Its digest is what the
// document claims; a document that is no report has none.
func ReadLink(name string, r io.Reader) *ChainLink {
	l := &ChainLink{File: name}
	var report struct {
		Format   string `json:"format"`
		Run      Run    `json:"run"`
		Previous string `json:"previous"`
		Digest   string `json:"digest"`
		// Only that it is a list of objects: whoever counts on the chain reads it.
		Principals []struct{} `json:"principals"`
	}
	digest, err := document.ReadPart(r, maxReport, &report)
	switch {
	case err != nil:
		l.Problem = "not a report: " + err.Error()
		return l
	case report.Format != ReportFormat:
		l.Problem = "not a report of this format"
		return l
	}
	l.Digest, l.Previous, l.RunID, l.Started = report.Digest, report.Previous, clean.Clip(report.Run.ID, 120), report.Run.StartedAt
	switch {
	case report.Digest != digest:
		l.Problem = "edited: the content does not match the digest"
	case ReportFileName(report.Run) != name:
		l.Problem = fmt.Sprintf("renamed: the report of this run was written as %s", ReportFileName(report.Run))
	}
	return l
}

// reportFiles returns the names that reports have in dir, oldest first.
func reportFiles(dir string) ([]string, error) { return filesIn(dir, reportName.MatchString) }

// filesIn returns the names in dir that are wanted, in order, but for folders and what is
// hidden.
func filesIn(dir string, want func(string) bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") && want(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// OpenPlain opens the plain file at path for reading. A link, a device or a pipe is
// an error: it is neither followed nor waited for.
func OpenPlain(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotPlain
	}
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	// What has the name now may be another thing than what was looked at.
	if info, err = f.Stat(); err == nil && !info.Mode().IsRegular() {
		err = errNotPlain
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

var errNotPlain = errors.New("not a plain file")

// maxSmall bounds a signature, chain.json, and what names a lock's holder or a plan whose
// approvals were used, in bytes.
const maxSmall = 64 << 10

// readSmall reads the plain file at path, no more of it than [maxSmall].
func readSmall(path string) ([]byte, error) {
	f, err := OpenPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSmall))
}

// ReadReportFile reads and checks the report at path.
func ReadReportFile(path string) (*Report, error) { return documentAt(path).Read() }

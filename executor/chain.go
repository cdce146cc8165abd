package executor

import (
	"bytes"
	"context"
	"encoding/json"
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
)

// The reports in one folder form a chain: each names the digest of the one that
// was there before it, and the file chain.json names the newest and how many
// there are. Whoever changes, removes, renames or adds a report breaks it, unless
// he rewrites everything after that place; keep the newest digest elsewhere (in a
// log, in a ticket) to notice that, too.

const (
	chainFormat = "privsync/chain/v1"
	chainFile   = "chain.json"
	chainLock   = ".chain.lock"

	// chainWait is how long a report waits for another that is just being written
	// into the same folder.
	chainWait = time.Minute
)

// chainHead is the content of chain.json.
type chainHead struct {
	Format string `json:"format"`
	Length int    `json:"length"`
	File   string `json:"file"`
	Digest string `json:"digest"`
}

// ReportFileName returns the name of a run's report in a folder of reports: the
// UTC time of its start, and its id.
func ReportFileName(run Run) string { return runFileName(run) + ".json" }

var reportName = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9._-]+\.json$`)

// runFileName makes a file name from the run. Ids come from documents, too, so
// whatever could leave the folder is replaced.
func runFileName(run Run) string {
	id := strings.Map(func(c rune) rune {
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '-', c == '_', c == '.':
			return c
		}
		return '_'
	}, clip(run.ID, 80))
	return run.StartedAt.UTC().Format("20060102T150405Z") + "-" + id
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
		if err := CheckFile(filepath.Join(d.Dir, chainFile)); err != nil {
			return fmt.Errorf("report folder: %w", err)
		}
	}
	if d.File != "" {
		if err := CheckFile(d.File); err != nil {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// Deliver writes r to d and returns the paths of what was written. Into a folder
// it is written as the next link of the chain: that sets r.Previous and r.Digest.
// Into a file it goes as it was sealed, and is sealed if it was not.
// The folder is made if it does not exist. With neither a file nor a folder in d
// it is an error.
func (r *Report) Deliver(ctx context.Context, d Destination) (paths []string, err error) {
	if d == (Destination{}) {
		return nil, errors.New("report: no destination")
	}
	if d.Dir != "" {
		path, err := r.appendTo(ctx, d.Dir)
		if err != nil {
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
		if err := WriteFile(d.File, r); err != nil {
			return paths, fmt.Errorf("report: %w", err)
		}
		paths = append(paths, d.File)
	}
	return paths, nil
}

// appendTo writes r into the chain of dir.
func (r *Report) appendTo(ctx context.Context, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	l := newFlock(filepath.Join(dir, chainLock))
	waiting, cancel := context.WithTimeout(ctx, chainWait)
	defer cancel()
	// A run that was told to stop now still reports: an idle lock is taken
	// whatever the context says.
	ok, err := tryLock(l)
	if err == nil && !ok {
		_, err = l.TryLockContext(waiting, lockPoll)
	}
	if err != nil {
		return "", fmt.Errorf("chain lock: %w", err)
	}
	defer l.Unlock()

	path := filepath.Join(dir, ReportFileName(r.Run))
	if old, err := readReportFile(path); err == nil && old.Run.ID == r.Run.ID {
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
	if err := WriteFile(path, r); err != nil {
		return "", err
	}
	head = chainHead{Format: chainFormat, Length: head.Length + 1, File: filepath.Base(path), Digest: r.Digest}
	if err := WriteFile(filepath.Join(dir, chainFile), jsonDocument{head}); err != nil {
		return "", err
	}
	return path, nil
}

// currentHead returns the newest link of dir's chain. Where chain.json lags
// behind (a run died between its two files) or is missing it is found by reading
// the reports. It never fails because the chain is broken: a report must be
// written all the same, and VerifyChain tells.
func currentHead(dir string) (chainHead, error) {
	head, headErr := readHead(dir)
	names, err := reportFiles(dir)
	if err != nil {
		return chainHead{}, err
	}
	if headErr == nil && head.Length == len(names) {
		return head, nil
	}
	links := readLinks(dir, names)
	if headErr != nil {
		head = chainHead{}
	}
	for {
		next := slices.IndexFunc(links, func(l *ChainLink) bool { return l.Digest != "" && l.Previous == head.Digest })
		if next < 0 {
			break
		}
		head.Digest, head.File = links[next].Digest, links[next].File
		links = slices.Delete(links, next, next+1)
	}
	head.Length = len(names)
	return head, nil
}

func readHead(dir string) (chainHead, error) {
	f, err := OpenPlain(filepath.Join(dir, chainFile))
	if err != nil {
		return chainHead{}, err
	}
	defer f.Close()
	var h chainHead
	if err := json.NewDecoder(io.LimitReader(f, 64<<10)).Decode(&h); err != nil {
		return h, fmt.Errorf("%s: %w", chainFile, err)
	}
	if h.Format != chainFormat {
		return h, fmt.Errorf("%s: format is not %q", chainFile, chainFormat)
	}
	return h, nil
}

// ChainLink is one report of a chain, or a place where it is broken. Problem is
// empty for a link that is sound.
type ChainLink struct {
	File     string    `json:"file"` // name in the folder; empty for a report that is missing
	RunID    string    `json:"runId,omitempty"`
	Started  time.Time `json:"startedAt,omitzero"`
	Digest   string    `json:"digest,omitempty"` // as the file claims it
	Previous string    `json:"previous,omitempty"`
	Problem  string    `json:"problem,omitempty"`
}

// VerifyChain checks the chain of reports in dir and returns its links from the
// oldest to the newest, each with its problem if it has one: edited, renamed,
// foreign, missing, or standing where the chain has forked. The error says that
// the folder could not be read, not that the chain is broken: see [Broken].
// Files that are no .json files are not looked at.
func VerifyChain(dir string) ([]ChainLink, error) {
	names, err := reportFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("report folder: %w", err)
	}
	foreign, err := foreignFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("report folder: %w", err)
	}
	links := readLinks(dir, names)

	// Follow the digests from the first report; what is left over is not reached.
	var ordered []ChainLink
	take := func(i int) string {
		l := links[i]
		links = slices.Delete(links, i, i+1)
		ordered = append(ordered, *l)
		return l.Digest
	}
	at := ""
	for {
		i := slices.IndexFunc(links, func(l *ChainLink) bool { return l.Digest != "" && l.Previous == at })
		if i < 0 && len(links) == 0 {
			break
		}
		if i >= 0 {
			at = take(i)
			continue
		}
		// The chain breaks here. Go on with the oldest report that is left.
		l := links[0]
		switch {
		case l.Problem != "":
		case slices.ContainsFunc(ordered, func(o ChainLink) bool { return o.Digest == l.Previous }),
			l.Previous == "" && len(ordered) > 0:
			l.Problem = "a second report follows the same predecessor: one of the two is foreign"
		default:
			l.Problem = "the report before it is missing or was edited: nothing here has the digest " + l.Previous
		}
		at = take(0)
	}

	head, err := readHead(dir)
	switch n := len(ordered); {
	case errors.Is(err, fs.ErrNotExist) && n == 0:
	case err != nil:
		ordered = append(ordered, ChainLink{File: chainFile, Problem: "unreadable, so reports may be missing at the end: " + err.Error()})
	case n > 0 && ordered[n-1].Digest == head.Digest && head.Length == n:
	case n > 1 && ordered[n-2].Digest == head.Digest && head.Length == n-1 && ordered[n-1].Previous == head.Digest:
		// A run died between writing its report and chain.json: the next one mends it.
	case n > 0 && head.Length == 0:
		ordered = append(ordered, ChainLink{File: chainFile, Problem: "does not name a newest report"})
	case slices.ContainsFunc(ordered, func(l ChainLink) bool { return l.Digest == head.Digest }):
		ordered = append(ordered, ChainLink{File: chainFile, Problem: fmt.Sprintf("counts %d reports, there are %d", head.Length, n)})
	default:
		ordered = append(ordered, ChainLink{Digest: head.Digest, Problem: fmt.Sprintf("the newest report (%s) is missing or was edited", clip(head.File, 120))})
	}
	for _, name := range foreign {
		ordered = append(ordered, ChainLink{File: name, Problem: "a foreign file: not a report of this chain"})
	}
	return ordered, nil
}

// Broken returns the links that have a problem, in the order of the chain.
func Broken(links []ChainLink) []ChainLink {
	var broken []ChainLink
	for _, l := range links {
		if l.Problem != "" {
			broken = append(broken, l)
		}
	}
	return broken
}

// readLinks reads the named reports. Their digests are what the files claim, so
// that an edited report is one broken link and not two; a file that is no report
// has none.
func readLinks(dir string, names []string) []*ChainLink {
	links := make([]*ChainLink, 0, len(names))
	for _, name := range names {
		l := &ChainLink{File: name}
		links = append(links, l)
		f, err := OpenPlain(filepath.Join(dir, name))
		if err != nil {
			l.Problem = "unreadable: " + err.Error()
			continue
		}
		var run Run
		var claimed, format string
		digest, err := scanDocument(f, func(member string, text []byte) error {
			switch member {
			case "run":
				return json.Unmarshal(text, &run)
			case "previous":
				return json.Unmarshal(text, &l.Previous)
			case "digest":
				return json.Unmarshal(text, &claimed)
			case "format":
				return json.Unmarshal(text, &format)
			}
			return nil
		})
		f.Close()
		switch {
		case err != nil:
			l.Problem = "not a report: " + err.Error()
			continue
		case format != ReportFormat:
			l.Problem = "not a report of this format"
			continue
		}
		l.Digest, l.RunID, l.Started = claimed, clip(run.ID, 120), run.StartedAt
		switch {
		case claimed != digest:
			l.Problem = "edited: the content does not match the digest"
		case ReportFileName(run) != name:
			l.Problem = fmt.Sprintf("renamed: the report of this run was written as %s", ReportFileName(run))
		}
	}
	return links
}

// reportFiles returns the names that reports have in dir, oldest first.
func reportFiles(dir string) ([]string, error) {
	return jsonFiles(dir, func(name string) bool { return reportName.MatchString(name) })
}

// foreignFiles returns the names of other JSON files in dir.
func foreignFiles(dir string) ([]string, error) {
	return jsonFiles(dir, func(name string) bool { return !reportName.MatchString(name) && name != chainFile })
}

func jsonFiles(dir string, want func(string) bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") && want(e.Name()) {
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

// readReportFile reads and checks the report at path.
func readReportFile(path string) (*Report, error) {
	f, err := OpenPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadReport(f)
}

// globEscape makes a path safe as the start of a glob pattern.
func globEscape(path string) string {
	var b bytes.Buffer
	for _, c := range path {
		if strings.ContainsRune(`*?[\`, c) && filepath.Separator != '\\' {
			b.WriteByte('\\')
		}
		b.WriteRune(c)
	}
	return b.String()
}

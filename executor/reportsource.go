package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"privsync/clean"
	"privsync/document"
	"privsync/planner"
)

// ReportSource tells of the reports that runs left: [ReportFolder] of a chain in a
// folder, a [Store] that keeps them elsewhere of its own.
type ReportSource interface {
	// String names the source for messages.
	String() string
	// Heads returns what the reports say of themselves before their principals, newest
	// first, and what is wrong with their chain: nothing if problems is empty. Only
	// reports that are sound links of the chain are among the heads. A source that is not
	// there yet has no reports.
	Heads(ctx context.Context) (heads []ReportHead, problems []string, err error)
	// Findings returns the findings of a report of Heads.
	Findings(ctx context.Context, h ReportHead) ([]planner.Finding, error)
}

// ReportHead is what a report says before its principals.
type ReportHead struct {
	Report  string // its file, or what the store calls it
	Digest  string
	Server  string // base URL
	Run     Run
	Policy  planner.PolicyRef
	Plan    PlanRef // the zero value where the run planned for itself
	Summary Summary
}

// Looked reports whether the run came as far as to see what the server has.
func (h *ReportHead) Looked() bool {
	return h.Run.Outcome != RunRefused && h.Summary.Principals > h.Summary.NotAttempted+h.Summary.Unknown
}

// Fine reports whether the run found everything as the policy wants it, or made it so
// and verified it.
func (h *ReportHead) Fine() bool {
	return h.Run.Outcome == RunInSync || h.Run.Outcome == RunSucceeded
}

// wrote reports whether the run may have changed the server, as far as its counts
// tell.
func (h *ReportHead) wrote() bool {
	s := h.Summary
	return s.Grants+s.Revokes+s.Applied+s.Failed+s.HeldBack+s.Unverified > 0
}

// ReportFolder is the [ReportSource] of a folder with a chain of reports.
type ReportFolder struct{ dir string }

// NewReportFolder returns the source of the reports in dir.
func NewReportFolder(dir string) *ReportFolder { return &ReportFolder{dir} }

// String returns the folder's path.
func (f *ReportFolder) String() string { return f.dir }

// Heads reads and verifies the whole chain.
func (f *ReportFolder) Heads(ctx context.Context) ([]ReportHead, []string, error) {
	chain, err := VerifyChain(f.dir, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var heads []ReportHead
	var problems []string
	for _, l := range slices.Backward(chain.Links) {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if l.Problem != "" {
			problems = append(problems, fmt.Sprintf("%s: %s", filepath.Join(f.dir, l.File), clean.Clip(l.Problem, 300)))
			continue
		}
		path := filepath.Join(f.dir, l.File)
		h, err := readPastHeader(documentAt(path))
		if err != nil {
			return nil, nil, fmt.Errorf("report %s: %w", path, err)
		}
		h.Digest = l.Digest
		heads = append(heads, h.ReportHead)
	}
	return heads, problems, nil
}

// Findings reads the report's file once more.
func (f *ReportFolder) Findings(_ context.Context, h ReportHead) ([]planner.Finding, error) {
	return documentAt(h.Report).Findings(h.Digest)
}

// Findings reads the findings of the report and nothing else of it. The error matches
// [ErrEdited] if its content does not have the digest.
func (d Document) Findings(want string) ([]planner.Finding, error) {
	in, err := d.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var report struct {
		Findings []planner.Finding `json:"findings"`
	}
	digest, err := document.ReadPart(in, maxReport, &report)
	if err == nil && digest != want {
		err = ErrEdited
	}
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", d.Name, err)
	}
	return report.Findings, nil
}

// ErrNotApplied is matched by the error of [CheckApplied] when the policy was not
// applied, and verified, where it has to be first.
var ErrNotApplied = errors.New("not applied and verified")

// CheckApplied returns the newest report that says that a policy with this base digest
// ([planner.PolicyRef]) was applied in the environment and that everything is verified.
// The error matches [ErrNotApplied] if there is none, if a later run of the same
// policy there, that may have changed something, did not succeed, or if a chain of
// reports is broken, so that none of it proves anything.
func CheckApplied(ctx context.Context, sources []ReportSource, environment, baseDigest string) (*ReportHead, error) {
	if baseDigest == "" {
		return nil, fmt.Errorf("%w in %s: the plan does not say which policy it is of in all environments", ErrNotApplied, clean.Quote(environment))
	}
	var newest, other *ReportHead
	var where ReportSource // of newest
	for _, s := range sources {
		heads, problems, err := s.Heads(ctx)
		if err != nil {
			return nil, err
		}
		if len(problems) > 0 {
			return nil, fmt.Errorf("%w in %s as far as is known: the chain of reports in %s is broken: %s", ErrNotApplied, clean.Quote(environment), s, problems[0])
		}
		for i := range heads {
			h := &heads[i]
			switch {
			case h.Policy.Environment != environment || h.Run.Command != "apply":
			case !h.Fine() && !h.wrote() && h.Run.Outcome != RunPartial:
				// It ended before it changed anything: what was verified before still counts.
			case h.Policy.BaseDigest != baseDigest:
				if other == nil || h.Run.StartedAt.After(other.Run.StartedAt) {
					other = h
				}
			case newest == nil || h.Run.StartedAt.After(newest.Run.StartedAt):
				newest, where = h, s
			}
		}
	}
	switch {
	case newest != nil && newest.Fine():
		if _, err := where.Findings(ctx, *newest); err != nil {
			return nil, fmt.Errorf("%w in %s as far as is known: %w", ErrNotApplied, clean.Quote(environment), err)
		}
		return newest, nil
	case newest != nil:
		return nil, fmt.Errorf("%w in %s: its last apply there, run %s of %s, ended as %s (%s)", ErrNotApplied, clean.Quote(environment), clean.Clip(newest.Run.ID, 80), stamp(newest.Run.StartedAt).Format("2006-01-02 15:04"), newest.Run.Outcome, newest.Report)
	case other != nil:
		return nil, fmt.Errorf("%w in %s: the last apply there, run %s of %s, was of another policy (%s)", ErrNotApplied, clean.Quote(environment), clean.Clip(other.Run.ID, 80), stamp(other.Run.StartedAt).Format("2006-01-02 15:04"), other.Report)
	}
	return nil, fmt.Errorf("%w in %s: no report of an apply there", ErrNotApplied, clean.Quote(environment))
}

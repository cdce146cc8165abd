package executor

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"privsync/document"
	"privsync/planner"
)

const (
	spentFormat = "privsync/spent/v1"
	spentFolder = "spent"
)

// ErrSpent is matched by errors about approvals that a run was made with already.
var ErrSpent = errors.New("the approvals of the plan were used already: an approval counts for one run")

// spent is the content of the file that says that a plan's approvals were used. The
// file may go when the plan has expired.
type spent struct {
	Format    string    `json:"format"`
	Plan      string    `json:"plan"`
	Run       string    `json:"run"`
	StartedAt time.Time `json:"startedAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

func (f *Folder) spentFile(digest string) (string, error) {
	name, ok := strings.CutPrefix(digest, "sha256:")
	if _, err := hex.DecodeString(name); !ok || err != nil || len(name) != 64 {
		return "", fmt.Errorf("the plan has no digest")
	}
	return filepath.Join(f.dir, spentFolder, name+".json"), nil
}

// Unspent looks into the folder, and into that of reports at to.
func (f *Folder) Unspent(_ context.Context, to Destination, plan *planner.Plan) error {
	path, err := f.spentFile(plan.Digest)
	if err != nil {
		return err
	}
	switch _, err := os.Lstat(path); {
	case err == nil:
		var s spent
		if s.read(path) == nil {
			return fmt.Errorf("%w: run %s of %s", ErrSpent, s.Run, s.StartedAt.UTC().Format(time.RFC3339))
		}
		return ErrSpent
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return UnspentIn(to.Dir, plan)
}

// UnspentIn is [Store.Unspent] as far as the reports in the folder tell; an empty name is
// no folder.
func UnspentIn(reports string, plan *planner.Plan) error {
	docs, err := pastFiles([]Destination{{Dir: reports}}, plan.CreatedAt.Add(-time.Hour), math.MaxInt)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		// Whole: its members may stand in any order, or be more than a head is read of.
		if err := UnspentBy(doc, plan); errors.Is(err, ErrSpent) {
			return err
		}
	}
	return nil
}

// UnspentBy returns an error that matches [ErrSpent] if the run of the report used the
// approvals of plan; any other error, that it could not be opened. One that is damaged
// tells nothing.
func UnspentBy(report Document, plan *planner.Plan) error {
	f, err := report.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := ReadReport(f)
	if err == nil && r.Plan != nil && r.Plan.Digest == plan.Digest && r.Run.Command == "apply" && r.Wrote() {
		return fmt.Errorf("%w: run %s, by %s", ErrSpent, r.Run.ID, report.Name)
	}
	return nil
}

// Spend notes in the folder that run is made with the approvals of plan.
func (f *Folder) Spend(ctx context.Context, plan *planner.Plan, run Run, now time.Time) error {
	path, err := f.spentFile(plan.Digest)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("note that the approvals are used: %w", err)
	}
	forget(dir, now)
	if err := f.Unspent(ctx, Destination{}, plan); err != nil {
		return err
	}
	doc := document.Line{Value: spent{spentFormat, plan.Digest, run.ID, run.StartedAt.UTC(), plan.ExpiresAt.UTC()}}
	if err := document.WriteFile(path, doc); err != nil {
		return fmt.Errorf("note that the approvals are used: %w", err)
	}
	return nil
}

// read reads what is noted in the file at path.
func (s *spent) read(path string) error {
	text, err := readSmall(path)
	if err != nil {
		return err
	}
	return document.Unmarshal(text, s)
}

// forget removes what is noted of plans that nobody can apply any more.
func forget(dir string, now time.Time) {
	names, err := filesIn(dir, func(name string) bool { return strings.HasSuffix(name, ".json") })
	if err != nil {
		return // what is left there harms nobody
	}
	for _, name := range names {
		var s spent
		path := filepath.Join(dir, name)
		if s.read(path) == nil && s.ExpiresAt.Add(planner.MaxPlanTTL).Before(now) {
			_ = os.Remove(path)
		}
	}
}

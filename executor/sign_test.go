package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"privsync/planner"
)

// keyed signs with a word in place of a key.
type keyed struct {
	word   string
	broken bool
}

func (k *keyed) Sign(r io.Reader) ([]byte, error) {
	if k.broken {
		return nil, errors.New("the agent is gone")
	}
	h := sha256.New()
	h.Write([]byte(k.word))
	if _, err := io.Copy(h, r); err != nil {
		return nil, err
	}
	return []byte(hex.EncodeToString(h.Sum(nil))), nil
}

func (k *keyed) Check(r io.Reader, text []byte) error {
	want, err := (&keyed{word: k.word}).Sign(r)
	if err == nil && string(want) != string(text) {
		err = errors.New("another key, or another text")
	}
	return err
}

func deliverSigned(t *testing.T, dir, id string, hour int, s Signer) error {
	t.Helper()
	r := Refuse(nil, Options{RunID: id, StartedAt: time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC)}, &Error{Code: CodeGuard, Message: "no"})
	_, err := r.Deliver(t.Context(), Destination{Dir: dir}, s)
	return err
}

func signedBy(t *testing.T, s Signer, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path + SignatureSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	f, err2 := os.Open(path)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return s.Check(f, text) == nil
}

func TestSignedChain(t *testing.T) {
	dir := t.TempDir()
	k, other := &keyed{word: "k"}, &keyed{word: "other"}
	for i, id := range []string{"a", "b"} {
		if err := deliverSigned(t, dir, id, i, k); err != nil {
			t.Fatal(err)
		}
	}
	names, err := reportFiles(dir)
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	for _, name := range append(names, ChainFile) {
		if !signedBy(t, k, filepath.Join(dir, name)) {
			t.Errorf("%s is not signed", name)
		}
	}
	if err := CheckSigned(dir, k); err != nil {
		t.Errorf("CheckSigned = %v", err)
	}
	for name, s := range map[string]Signer{"nobody": nil, "another": other} {
		if err := CheckSigned(dir, s); !errors.Is(err, ErrUnsigned) {
			t.Errorf("CheckSigned for %s = %v, want ErrUnsigned", name, err)
		}
	}
	// A report must be written all the same, and the head is not signed over what
	// nobody vouched for.
	if err := deliverSigned(t, dir, "c", 3, other); !errors.Is(err, ErrUnsigned) {
		t.Errorf("Deliver with another key = %v, want ErrUnsigned", err)
	}
	if err := deliverSigned(t, dir, "d", 4, &keyed{broken: true}); !errors.Is(err, ErrUnsigned) {
		t.Errorf("Deliver without the agent = %v, want ErrUnsigned", err)
	}
	if err := deliverSigned(t, dir, "e", 5, k); !errors.Is(err, ErrUnsigned) {
		t.Errorf("Deliver after these = %v, want ErrUnsigned", err)
	}
	links, err := verified(dir)
	if err != nil || len(links) != 5 || len(brokenOf(links)) > 0 {
		t.Errorf("VerifyChain = %+v, %v; want five sound links", links, err)
	}
	if signedBy(t, k, filepath.Join(dir, ChainFile)) || signedBy(t, other, filepath.Join(dir, ChainFile)) {
		t.Error("the head is signed")
	}
	if err := SignHead(t.Context(), dir, links[3].Digest, k); !errors.Is(err, ErrUnsigned) {
		t.Errorf("SignHead of an older head = %v, want ErrUnsigned", err)
	}
	if err := SignHead(t.Context(), dir, links[4].Digest, k); err != nil || !signedBy(t, k, filepath.Join(dir, ChainFile)) {
		t.Errorf("SignHead = %v", err)
	}
}

// A run may die before and after it has signed the head that names its report.
func TestSignedChainMended(t *testing.T) {
	for _, keep := range []bool{true, false} {
		dir := t.TempDir()
		k := &keyed{word: "k"}
		head, sig := filepath.Join(dir, ChainFile), filepath.Join(dir, ChainFile+SignatureSuffix)
		if err := deliverSigned(t, dir, "a", 1, k); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(head)
		signature, err2 := os.ReadFile(sig)
		if err := errors.Join(err, err2, deliverSigned(t, dir, "b", 2, k), os.WriteFile(head, before, 0o600)); err != nil {
			t.Fatal(err)
		}
		if !keep {
			if err := os.WriteFile(sig, signature, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		died := func(string) bool { return false } // no journal tells: the signature does
		if err := MendChain(t.Context(), dir, died, nil); !errors.Is(err, ErrBeyondHead) {
			t.Errorf("MendChain without a key = %v, want ErrBeyondHead", err)
		}
		if err := MendChain(t.Context(), dir, died, &keyed{word: "other"}); !errors.Is(err, ErrBeyondHead) {
			t.Errorf("MendChain with another key = %v, want ErrBeyondHead", err)
		}
		if err := MendChain(t.Context(), dir, func(id string) bool { return id == "b" }, &keyed{word: "other"}); !errors.Is(err, ErrUnsigned) {
			t.Errorf("MendChain with a journal and another key = %v, want ErrUnsigned", err)
		}
		if err := MendChain(t.Context(), dir, died, k); err != nil || !signedBy(t, k, head) {
			t.Errorf("MendChain (signature of the new head: %v) = %v", keep, err)
		}
		if err := deliverSigned(t, dir, "c", 3, k); err != nil {
			t.Errorf("Deliver after that: %v", err)
		}
	}
}

func TestApprovalsAreSpentOnce(t *testing.T) {
	state := t.TempDir()
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	planOf := func(at time.Time) *planner.Plan {
		p := &planner.Plan{Format: planner.PlanFormat, CreatedAt: at, ExpiresAt: at.Add(24 * time.Hour)}
		if err := p.Seal(); err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := planOf(day)
	if err := NewFolder(state).Unspent(t.Context(), Destination{}, first); err != nil {
		t.Errorf("Unspent = %v", err)
	}
	if err := NewFolder(state).Spend(t.Context(), first, Run{ID: "one", StartedAt: day}, day); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"Unspent": NewFolder(state).Unspent(t.Context(), Destination{}, first), "Spend": NewFolder(state).Spend(t.Context(), first, Run{ID: "two", StartedAt: day}, day)} {
		if !errors.Is(err, ErrSpent) {
			t.Errorf("%s = %v, want ErrSpent", name, err)
		}
	}
	// What nobody can apply any more is forgotten, and nothing before.
	second := planOf(day.AddDate(0, 0, 20))
	if err := NewFolder(state).Spend(t.Context(), second, Run{ID: "three"}, day.AddDate(0, 0, 20)); err != nil {
		t.Fatal(err)
	}
	if err := NewFolder(state).Unspent(t.Context(), Destination{}, first); !errors.Is(err, ErrSpent) {
		t.Errorf("Unspent after 20 days = %v, want ErrSpent", err)
	}
	if err := NewFolder(state).Spend(t.Context(), planOf(day.AddDate(0, 2, 0)), Run{ID: "four"}, day.AddDate(0, 2, 0)); err != nil {
		t.Fatal(err)
	}
	if err := NewFolder(state).Unspent(t.Context(), Destination{}, first); err != nil {
		t.Errorf("Unspent after two months = %v", err)
	}
	if err := NewFolder(state).Unspent(t.Context(), Destination{}, &planner.Plan{Digest: "sha256:../../x"}); err == nil {
		t.Error("a digest that is none is taken")
	}
}

func TestApprovalsAreSpentByAReportHoweverItIsWritten(t *testing.T) {
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	plan := &planner.Plan{Format: planner.PlanFormat, CreatedAt: day, ExpiresAt: day.Add(24 * time.Hour)}
	if err := plan.Seal(); err != nil {
		t.Fatal(err)
	}
	r := &Report{
		Format: ReportFormat, Run: Run{ID: "one", Command: "apply", StartedAt: day}, Plan: &PlanRef{Digest: plan.Digest},
		Commands: []CommandResult{{Name: "x", Outcome: CommandSucceeded}},
	}
	dir := t.TempDir()
	paths, err := r.Deliver(t.Context(), Destination{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(how string) {
		t.Helper()
		if err := UnspentIn(dir, plan); !errors.Is(err, ErrSpent) {
			t.Errorf("UnspentIn a report %s = %v, want ErrSpent", how, err)
		}
	}
	check("as it was written")
	text, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]json.RawMessage // written sorted: the principals come before the run
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	if text, err = json.Marshal(members); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(paths[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	check("whose members were sorted, which leaves its digest")
	lost := errors.New("connection lost")
	if err := UnspentBy(Document{"r", func() (io.ReadCloser, error) { return nil, lost }}, plan); !errors.Is(err, lost) {
		t.Errorf("UnspentBy a report that cannot be opened = %v, want %v", err, lost)
	}
}

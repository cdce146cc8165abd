package executor

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"privsync/mstrapi"
	"privsync/planner"
)

// ledger is a [JournalWriter] that tells what is durable.
type ledger struct {
	mu      sync.Mutex
	records []Record
	durable int // how many of them
	synced  func()
}

func (l *ledger) Write(records []Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, records...)
	return nil
}

func (l *ledger) Sync() error {
	if l.synced != nil {
		l.synced()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable = len(l.records)
	return nil
}

func (l *ledger) Begin() error   { return l.Sync() }
func (l *ledger) Close() error   { return nil }
func (l *ledger) Abandon() error { return nil }

// has reports whether a record of that type about somebody, or about nobody, is durable.
func (l *ledger) has(kind string, who mstrapi.ObjectID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.records[:l.durable], func(r Record) bool {
		return r.Type == kind && (who == "" || r.Principal != nil && r.Principal.ID == who)
	})
}

func (l *ledger) open(t *testing.T, plan *planner.Plan, o Options) *Journal {
	t.Helper()
	j, err := NewJournal(plan, o, Destination{Dir: t.TempDir()}, func(Run) (JournalWriter, error) { return l, nil })
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// submitter looks when a command is submitted.
type submitter struct {
	*fake
	submit func()
}

func (s submitter) SubmitCommand(ctx context.Context, id int) (string, error) {
	s.submit()
	return s.fake.SubmitCommand(ctx, id)
}

// TestJournalIsDurableInTime: an intent before its request, an outcome at the end of
// its wave.
func TestJournalIsDurableInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, l := newFake(), new(ledger)
		f.has("u1", 8)
		plan := f.plan("g1 +2", "u1 +4 -8", "u2 +7")
		plan.Commands = []string{"assign-watch-kpi-insight"}
		o := Options{RunID: "r", Concurrency: 1}
		o.Journal = l.open(t, plan, o)
		f.patch = func(id mstrapi.ObjectID, done bool) {
			if !l.has(typeIntent, id) {
				t.Errorf("%s is written before its intent is durable", name(id))
			}
		}
		submitted := false
		s := submitter{f, func() {
			submitted = true
			if !l.has(typeCommandIntent, "") {
				t.Error("the command is submitted before its intent is durable")
			}
		}}
		if r := Apply(t.Context(), s, plan, o); ExitCode(r) != ExitOK || !submitted {
			t.Fatalf("Apply = %s", sketch(r))
		}

		f, l = newFake(), new(ledger)
		plan = f.plan("g1 +2", "u1 +4")
		o.Journal = l.open(t, plan, o)
		Apply(t.Context(), f, plan, o)
		for _, who := range []string{"g1", "u1"} {
			if !l.has(typeOutcome, oid(who)) {
				t.Errorf("the outcome of %s is not durable at the end of the waves", who)
			}
		}
	})
}

// watchedFile notes what a journal has written when it is synced.
type watchedFile struct {
	*os.File
	sync func(size int64)
}

func (f watchedFile) Sync() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	f.sync(info.Size())
	return f.File.Sync()
}

// TestJournalFileIsSynced: the file has its name only when its content is on the disk.
func TestJournalFileIsSynced(t *testing.T) {
	j, err := newFileJournal(t.TempDir(), Run{ID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	file := watchedFile{j.f.(*os.File), func(size int64) {
		sizes = append(sizes, size)
		if _, err := os.Lstat(j.path); len(sizes) == 1 && !errors.Is(err, fs.ErrNotExist) {
			t.Error("the journal has its name before it is on the disk")
		}
	}}
	j.f = file
	j.bw.Reset(file)
	record := []Record{{Seq: 1, Type: typeBegin, Text: []byte(`{}`)}}
	if err := errors.Join(j.Write(record), j.Begin(), j.Write(record), j.Sync()); err != nil {
		t.Fatal(err)
	}
	if len(sizes) != 2 || sizes[0] == 0 || sizes[1] != 2*sizes[0] {
		t.Errorf("synced at %d bytes, want after each of two records", sizes)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFileGetsTheDigestOfTheChain: where a report goes into a folder and a file, the file
// has it as the chain does, also where a run died before it was in the folder.
func TestFileGetsTheDigestOfTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, state := newFake(), t.TempDir()
		dest := Destination{Dir: filepath.Join(state, "reports"), File: filepath.Join(state, "last.json")}
		same := func(r *Report) {
			t.Helper()
			if file, err := ReadReportFile(dest.File); err != nil || file.Digest != r.Digest || file.Previous == "" {
				t.Errorf("the file has %v, %v; want the report %s of the chain", file, err, r.Digest)
			}
		}
		for _, id := range []string{"first", "second"} {
			r := Refuse(f.plan(), Options{RunID: id}, &Error{Code: CodeGuard})
			if _, err := r.Deliver(t.Context(), dest, nil); err != nil {
				t.Fatal(err)
			}
			if id == "second" {
				same(r)
			}
		}
		o, plan := Options{RunID: "r"}, f.plan("u1 +2")
		j, err := NewFolder(state).OpenJournal(t.Context(), plan, o, dest)
		if err != nil {
			t.Fatal(err)
		}
		o.Journal = j
		r := Apply(t.Context(), f, plan, o)
		if _, err := r.Deliver(t.Context(), Destination{File: dest.File}, nil); err != nil {
			t.Fatal(err)
		}
		if err := j.Abandon(); err != nil {
			t.Fatal(err)
		}
		dead, err := NewFolder(state).FindOpen(t.Context(), nil)
		if err != nil || len(dead) != 1 {
			t.Fatalf("FindOpen = %v, %v", dead, err)
		}
		got, _, err := Recover(t.Context(), f, dead[0], RecoverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		same(got)
	})
}

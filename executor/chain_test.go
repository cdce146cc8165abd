package executor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"privsync/document"
	"privsync/mstrapi"
	"privsync/planner"
)

// chainOf writes n reports into a new folder and returns their names.
func chainOf(t *testing.T, n int) (dir string, names []string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "reports")
	for i := range n {
		appendReport(t, dir, fmt.Sprintf("run-%d", i), i)
	}
	if n == 0 {
		return dir, nil
	}
	names, err := reportFiles(dir)
	if err != nil || len(names) != n {
		t.Fatalf("reports = %v, %v, want %d", names, err, n)
	}
	return dir, names
}

func appendReport(t *testing.T, dir, id string, hour int) string {
	t.Helper()
	r := Refuse(nil, Options{RunID: id, StartedAt: time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC)}, &Error{Code: CodeGuard, Message: "no"})
	paths, err := r.Deliver(t.Context(), Destination{Dir: dir}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(paths[0])
}

// verified is VerifyChain without a dead run.
func verified(dir string) ([]ChainLink, error) {
	c, err := VerifyChain(dir, nil)
	if err != nil {
		return nil, err
	}
	return c.Links, nil
}

func brokenOf(links []ChainLink) []ChainLink { return (&Chain{Links: links}).Broken() }

func rewrite(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, new, 1)
	if changed == string(text) {
		t.Fatalf("%s does not hold %q", path, old)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyChain(t *testing.T) {
	tests := []struct {
		name   string
		tamper func(t *testing.T, dir string, names []string)
		want   []string // "file: part of the problem"
	}{
		{"sound", func(*testing.T, string, []string) {}, nil},
		{"edited", func(t *testing.T, dir string, names []string) {
			rewrite(t, filepath.Join(dir, names[1]), `"no"`, `"yes"`)
		}, []string{"1: edited"}},
		{"a member added", func(t *testing.T, dir string, names []string) {
			rewrite(t, filepath.Join(dir, names[1]), `"format"`, `"note": 1, "format"`)
		}, []string{"1: edited"}},
		{"white space only is no edit", func(t *testing.T, dir string, names []string) {
			rewrite(t, filepath.Join(dir, names[1]), `"format": `, `"format"   :`)
		}, nil},
		{"edited and sealed again", func(t *testing.T, dir string, names []string) {
			r, err := ReadReportFile(filepath.Join(dir, names[1]))
			if err != nil {
				t.Fatal(err)
			}
			r.Error.Message = "yes"
			if err := r.Seal(); err != nil {
				t.Fatal(err)
			}
			if err := document.WriteFile(filepath.Join(dir, names[1]), r); err != nil {
				t.Fatal(err)
			}
		}, []string{"2: missing or was edited"}},
		{"the first removed", func(t *testing.T, dir string, names []string) {
			os.Remove(filepath.Join(dir, names[0]))
		}, []string{"1: missing or was edited", "chain.json: counts 4"}},
		{"one removed", func(t *testing.T, dir string, names []string) {
			os.Remove(filepath.Join(dir, names[2]))
		}, []string{"3: missing or was edited", "chain.json: counts 4"}},
		{"the last removed", func(t *testing.T, dir string, names []string) {
			os.Remove(filepath.Join(dir, names[3]))
		}, []string{": newest report"}},
		{"the last two removed", func(t *testing.T, dir string, names []string) {
			os.Remove(filepath.Join(dir, names[3]))
			os.Remove(filepath.Join(dir, names[2]))
		}, []string{": newest report"}},
		{"all removed", func(t *testing.T, dir string, names []string) {
			for _, n := range names {
				os.Remove(filepath.Join(dir, n))
			}
		}, []string{": newest report"}},
		{"two swapped", func(t *testing.T, dir string, names []string) {
			a, b, x := filepath.Join(dir, names[1]), filepath.Join(dir, names[2]), filepath.Join(dir, "x")
			os.Rename(a, x)
			os.Rename(b, a)
			os.Rename(x, b)
		}, []string{"2: renamed", "1: renamed"}},
		{"a report of another folder", func(t *testing.T, dir string, names []string) {
			other, _ := chainOf(t, 1)
			foreign := appendReport(t, other, "foreign", 9)
			os.Rename(filepath.Join(other, foreign), filepath.Join(dir, foreign))
		}, []string{"20260102T090000Z-foreign.json: missing or was edited", "chain.json: counts 4"}},
		{"the first report of another folder", func(t *testing.T, dir string, names []string) {
			other, _ := chainOf(t, 0)
			foreign := appendReport(t, other, "foreign", 9)
			os.Rename(filepath.Join(other, foreign), filepath.Join(dir, foreign))
		}, []string{"20260102T090000Z-foreign.json: a second report follows", "chain.json: counts 4"}},
		{"a copy", func(t *testing.T, dir string, names []string) {
			text, _ := os.ReadFile(filepath.Join(dir, names[1]))
			os.WriteFile(filepath.Join(dir, "20260102T230000Z-copy.json"), text, 0o600)
		}, []string{"20260102T230000Z-copy.json: renamed", "chain.json: counts 4"}},
		{"not a report", func(t *testing.T, dir string, names []string) {
			os.WriteFile(filepath.Join(dir, names[1]), []byte("{"), 0o600)
		}, []string{"1: not a report", "2: missing or was edited"}},
		{"a plan", func(t *testing.T, dir string, names []string) {
			os.WriteFile(filepath.Join(dir, names[3]), []byte(`{"format":"privsync/plan/v1"}`), 0o600)
		}, []string{"3: not a report", ": newest report"}},
		{"a link", func(t *testing.T, dir string, names []string) {
			path := filepath.Join(dir, names[3])
			os.Rename(path, path+".moved")
			os.Symlink(path+".moved", path)
		}, []string{"3: unreadable", ": newest report"}},
		{"foreign file", func(t *testing.T, dir string, names []string) {
			os.WriteFile(filepath.Join(dir, "notes.json"), []byte(`{}`), 0o600)
			os.WriteFile(filepath.Join(dir, "page.html"), []byte(``), 0o600)
		}, []string{"notes.json: foreign"}},
		{"no chain.json", func(t *testing.T, dir string, names []string) {
			os.Remove(filepath.Join(dir, ChainFile))
		}, []string{"chain.json: unreadable"}},
		{"foolish chain.json", func(t *testing.T, dir string, names []string) {
			os.WriteFile(filepath.Join(dir, ChainFile), []byte(`{"format":"x"}`), 0o600)
		}, []string{"chain.json: unreadable"}},
		{"empty chain.json", func(t *testing.T, dir string, names []string) {
			os.WriteFile(filepath.Join(dir, ChainFile), []byte(`{"format":"privsync/chain/v1"}`), 0o600)
		}, []string{"chain.json: unreadable"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, names := chainOf(t, 4)
			tt.tamper(t, dir, names)
			links, err := verified(dir)
			if err != nil {
				t.Fatal(err)
			}
			broken := brokenOf(links)
			ok := len(broken) == len(tt.want)
			for i := 0; ok && i < len(broken); i++ {
				file, part, _ := strings.Cut(tt.want[i], ": ")
				if len(file) == 1 {
					file = names[file[0]-'0']
				}
				ok = (broken[i].File == file || file == "") && strings.Contains(broken[i].Problem, part)
			}
			if !ok {
				t.Errorf("VerifyChain is broken at %+v\nwant %v", broken, tt.want)
			}
		})
	}
}

func TestChainGoesOnAfterDamage(t *testing.T) {
	dir, names := chainOf(t, 3)
	os.Remove(filepath.Join(dir, names[2]))
	appendReport(t, dir, "later", 9)
	links, err := verified(dir)
	if broken := brokenOf(links); err != nil || len(broken) != 2 || broken[0].RunID != "later" {
		t.Errorf("VerifyChain = %+v, %v; want it broken before the later report", links, err)
	}
}

// deliver tries to add a report.
func deliver(t *testing.T, dir, id string) error {
	t.Helper()
	r := Refuse(nil, Options{RunID: id, StartedAt: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)}, &Error{Code: CodeGuard, Message: "no"})
	_, err := r.Deliver(t.Context(), Destination{Dir: dir}, nil)
	return err
}

func TestDamagedChainFileIsNeverCopiedOn(t *testing.T) {
	for _, text := range []string{"", "{", `{"format":"privsync/chain/v1"}`, `{"format":"privsync/chain/v1","length":-3,"file":"x","digest":"y"}`} {
		dir, _ := chainOf(t, 3)
		path := filepath.Join(dir, ChainFile)
		os.Remove(path)
		if text != "" {
			os.WriteFile(path, []byte(text), 0o600)
		}
		if err := deliver(t, dir, "later"); !errors.Is(err, ErrChainDamaged) {
			t.Errorf("chain.json %q: Deliver = %v, want ErrChainDamaged", text, err)
		}
		if err := MendChain(t.Context(), dir, func(string) bool { return true }, nil); !errors.Is(err, ErrChainDamaged) {
			t.Errorf("chain.json %q: MendChain = %v, want ErrChainDamaged", text, err)
		}
		if got, err := os.ReadFile(path); text != "" && string(got) != text || text == "" && err == nil {
			t.Errorf("chain.json %q became %q", text, got)
		}
		// Without the file a person can take in all that is there, not with a damaged one.
		if _, err := AcceptNewer(t.Context(), dir, nil); (err == nil) != (text == "") {
			t.Errorf("chain.json %q: AcceptNewer = %v", text, err)
		}
	}
}

// beyond is a chain of two reports with a third that chain.json does not name.
func beyond(t *testing.T) (dir, third string) {
	dir, _ = chainOf(t, 2)
	head, err := os.ReadFile(filepath.Join(dir, ChainFile))
	if err != nil {
		t.Fatal(err)
	}
	third = appendReport(t, dir, "third", 5)
	if err := os.WriteFile(filepath.Join(dir, ChainFile), head, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, third
}

func TestReportBeyondTheHead(t *testing.T) {
	dir, third := beyond(t)
	links, err := verified(dir)
	if broken := brokenOf(links); err != nil || len(broken) != 1 || broken[0].File != third || !broken[0].Beyond {
		t.Errorf("VerifyChain = %+v, %v; want only the third report broken", links, err)
	}
	if err := deliver(t, dir, "fourth"); !errors.Is(err, ErrBeyondHead) {
		t.Errorf("Deliver = %v, want ErrBeyondHead", err)
	}
	other := func(id string) bool { return id == "other" }
	if err := MendChain(t.Context(), dir, other, nil); !errors.Is(err, ErrBeyondHead) {
		t.Errorf("MendChain = %v, want ErrBeyondHead", err)
	}
	if c, err := VerifyChain(dir, func(id string) bool { return id == "third" }); err != nil || len(c.Broken()) > 0 {
		t.Errorf("VerifyChain = %+v, %v; want the third report explained", c, err)
	}
	for name, mend := range map[string]func(dir string) error{
		"journal": func(dir string) error {
			return MendChain(t.Context(), dir, func(id string) bool { return id == "third" }, nil)
		},
		"person": func(dir string) error { _, err := AcceptNewer(t.Context(), dir, nil); return err },
	} {
		dir, _ := beyond(t)
		if err := errors.Join(mend(dir), deliver(t, dir, "fourth")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if links, err := verified(dir); err != nil || len(links) != 4 || len(brokenOf(links)) > 0 {
			t.Errorf("%s: VerifyChain = %+v, %v; want four sound links", name, links, err)
		}
	}
	// An edited one is not taken in by anybody.
	rewrite(t, filepath.Join(dir, third), `"no"`, `"yes"`)
	if _, err := AcceptNewer(t.Context(), dir, nil); !errors.Is(err, ErrBeyondHead) {
		t.Errorf("AcceptNewer = %v, want ErrBeyondHead", err)
	}
}

// A forged report in the place of one that was removed keeps the count, and the chain
// goes on over the true ones.
// A run that dies at any moment of its delivery leaves a chain that the next run
// goes on with, whether it is the first one or not, and whether it has a journal.
func TestDeathWhileDelivering(t *testing.T) {
	for _, n := range []int{1, 3} {
		for _, written := range []bool{false, true} {
			dir, names := chainOf(t, n-1)
			dying := Refuse(nil, Options{RunID: "dies", StartedAt: time.Date(2026, 1, 2, 20, 0, 0, 0, time.UTC)}, &Error{Code: CodeGuard, Message: "no"})
			death, want := errors.New("killed"), len(names)
			if written {
				want++
			}
			_, err := dying.appendBy(t.Context(), dir, nil, func(path string, doc io.WriterTo) error {
				if written {
					if err := document.WriteFile(path, doc); err != nil {
						t.Fatal(err)
					}
				}
				return death
			})
			if !errors.Is(err, death) {
				t.Fatalf("appendBy = %v, want %v", err, death)
			}
			chain, err := VerifyChain(dir, nil)
			if err != nil || len(chain.Broken()) > 0 || len(chain.Links) != want {
				t.Errorf("%d reports, the last written %v: %+v, %v, want %d sound links", n, written, chain, err, want)
			}
			if err := MendChain(t.Context(), dir, nil, nil); err != nil {
				t.Errorf("MendChain = %v", err)
			}
			appendReport(t, dir, "next", 21)
			if links, err := verified(dir); err != nil || len(brokenOf(links)) > 0 || len(links) != want+1 {
				t.Errorf("after the next run: %+v, %v, want %d sound links", links, err, want+1)
			}
		}
	}
}

// What is announced is that one report and no other.
func TestAnnouncementExplainsNoOther(t *testing.T) {
	dir, names := chainOf(t, 2)
	head, err := readHead(dir)
	if err != nil {
		t.Fatal(err)
	}
	slipped := appendReport(t, dir, "slipped-in", 9)
	if err := writeHead(dir, head.announce(names[1], head.Digest), nil); err != nil {
		t.Fatal(err)
	}
	if err := MendChain(t.Context(), dir, func(string) bool { return false }, nil); !errors.Is(err, ErrBeyondHead) {
		t.Errorf("MendChain with %s slipped in = %v, want ErrBeyondHead", slipped, err)
	}
	if err := writeHead(dir, head.announce(slipped, head.Digest), nil); err != nil {
		t.Fatal(err)
	}
	if err := MendChain(t.Context(), dir, func(string) bool { return false }, nil); !errors.Is(err, ErrBeyondHead) {
		t.Errorf("MendChain with another digest announced = %v, want ErrBeyondHead", err)
	}
}

func TestForgedReportDoesNotBecomeTheChain(t *testing.T) {
	dir, names := chainOf(t, 3)
	head, err := readHead(dir)
	if err != nil {
		t.Fatal(err)
	}
	forged := Refuse(nil, Options{RunID: "a", StartedAt: time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC)}, &Error{Code: CodeGuard})
	forged.Previous = head.Digest
	if err := errors.Join(forged.Seal(), document.WriteFile(filepath.Join(dir, ReportFileName(forged.Run)), forged), os.Remove(filepath.Join(dir, names[0]))); err != nil {
		t.Fatal(err)
	}
	later := appendReport(t, dir, "later", 9)
	links, err := verified(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if (l.File == ReportFileName(forged.Run)) != (l.Problem != "") && l.File != names[1] && l.File != ChainFile || l.File == later && l.Problem != "" {
			t.Errorf("link %+v", l)
		}
	}
}

func TestPruneChain(t *testing.T) {
	day := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	check := func(t *testing.T, dir string, reports, pruned int) {
		t.Helper()
		c, err := VerifyChain(dir, nil)
		if err != nil || len(c.Broken()) > 0 || len(c.Links) != reports || c.Pruned != pruned {
			t.Errorf("VerifyChain = %+v, %v; want %d sound links, %d pruned", c, err, reports, pruned)
		}
	}
	dir, names := chainOf(t, 6)
	first, err := VerifyChain(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ before, removed, left, pruned int }{{0, 0, 6, 0}, {2, 2, 4, 2}, {2, 0, 4, 2}, {3, 1, 3, 3}, {23, 2, 1, 5}, {23, 0, 1, 5}} {
		n, err := PruneChain(t.Context(), dir, day(step.before), nil)
		if err != nil || n != step.removed {
			t.Errorf("PruneChain(%d) = %d, %v, want %d", step.before, n, err, step.removed)
		}
		check(t, dir, step.left, step.pruned)
	}
	if c, err := VerifyChain(dir, nil); err != nil || !c.Holds(first.Links[4].Digest) || !c.Holds(first.Links[5].Digest) || c.Holds(first.Links[3].Digest) {
		t.Errorf("VerifyChain = %+v, %v", c, err)
	}
	if _, err := os.Stat(filepath.Join(dir, names[5])); err != nil {
		t.Errorf("the newest is gone: %v", err)
	}
	appendReport(t, dir, "later", 9)
	check(t, dir, 2, 5)

	t.Run("cut short", func(t *testing.T) {
		dir, names := chainOf(t, 5)
		kept := filepath.Join(dir, names[1])
		text, err := os.ReadFile(kept)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := PruneChain(t.Context(), dir, day(2), nil); err != nil || n != 2 {
			t.Fatalf("PruneChain = %d, %v", n, err)
		}
		if err := os.WriteFile(kept, text, 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, dir, 4, 2)
		if err := deliver(t, dir, "later"); err != nil {
			t.Error(err)
		}
		if n, err := PruneChain(t.Context(), dir, day(2), nil); err != nil || n != 1 {
			t.Errorf("PruneChain = %d, %v, want 1", n, err)
		}
		check(t, dir, 4, 2)
	})
	t.Run("broken", func(t *testing.T) {
		dir, names := chainOf(t, 4)
		rewrite(t, filepath.Join(dir, names[2]), `"no"`, `"yes"`)
		if n, err := PruneChain(t.Context(), dir, day(9), nil); err == nil || n != 0 {
			t.Errorf("PruneChain = %d, %v, want an error", n, err)
		}
		if left, err := reportFiles(dir); err != nil || len(left) != 4 {
			t.Errorf("left are %v, %v", left, err)
		}
	})
	t.Run("the pruned cannot hide a removal", func(t *testing.T) {
		dir, names := chainOf(t, 5)
		if _, err := PruneChain(t.Context(), dir, day(2), nil); err != nil {
			t.Fatal(err)
		}
		os.Remove(filepath.Join(dir, names[2]))
		if links, err := verified(dir); err != nil || len(brokenOf(links)) == 0 {
			t.Errorf("VerifyChain = %+v, %v; want it broken", links, err)
		}
	})
}

// TestChainOrderIsTheOrderOfWriting: a long run starts first and ends last.
func TestChainOrderIsTheOrderOfWriting(t *testing.T) {
	dir, _ := chainOf(t, 0)
	appendReport(t, dir, "short", 5)
	appendReport(t, dir, "long", 1)
	links, err := verified(dir)
	if err != nil || len(links) != 2 || links[0].RunID != "short" || len(brokenOf(links)) > 0 {
		t.Errorf("VerifyChain = %+v, %v; want short, then long, sound", links, err)
	}
}

func TestDeliverTwice(t *testing.T) {
	dir, _ := chainOf(t, 1)
	r := Refuse(nil, Options{RunID: "run-0", StartedAt: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}, &Error{Code: CodeGuard})
	if _, err := r.Deliver(t.Context(), Destination{Dir: dir}, nil); !errors.Is(err, ErrDelivered) {
		t.Errorf("Deliver = %v, want ErrDelivered", err)
	}
	if _, err := r.Deliver(t.Context(), Destination{}, nil); err == nil {
		t.Error("Deliver to nowhere succeeded")
	}
}

func TestConcurrentDeliveries(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			r := Refuse(nil, Options{RunID: fmt.Sprintf("run-%d", i), StartedAt: time.Unix(0, 0)}, &Error{Code: CodeGuard})
			if _, err := r.Deliver(t.Context(), Destination{Dir: dir}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	links, err := verified(dir)
	if err != nil || len(links) != 12 || len(brokenOf(links)) > 0 {
		t.Errorf("VerifyChain = %+v, %v; want twelve sound links", links, err)
	}
}

func TestReportFileNameStaysInItsFolder(t *testing.T) {
	run := Run{ID: "../../etc/x y\n" + strings.Repeat("z", 300), StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))}
	got := ReportFileName(run)
	if !strings.HasPrefix(got, "20260102T020405Z-.._.._etc_x_y_zzz") || !reportName.MatchString(got) || len(got) > 120 {
		t.Errorf("ReportFileName = %q", got)
	}
}

// plainReport is a report with every member filled.
func plainReport() *Report {
	p := planner.Principal{Kind: mstrapi.User, ID: oid("u1"), Name: "Zoë \u202e <b>&\u2028 \x1b[31m\u009b", Login: "zoe"}
	r := &Report{
		Format: ReportFormat, Run: Run{ID: "r", Command: "audit", StartedAt: time.Unix(1, 999_999_999), FinishedAt: time.Unix(2, 0), Outcome: RunPartial},
		Plan: &PlanRef{Digest: "sha256:" + strings.Repeat("1", 64)}, Scope: planner.Scope{Level: mstrapi.LevelServer},
		Principals: []Result{
			{Principal: p, Outcome: Drifted, Before: &Sets{Direct: planner.SetOf(3), Sources: []PrivilegeSource{{Privilege: 3, Direct: true}}}},
			{Principal: planner.Principal{Kind: mstrapi.Group, ID: oid("g1"), Name: "g"}, Outcome: Applied, Granted: []mstrapi.PrivilegeID{2}},
		},
		Findings: []planner.Finding{{Code: planner.CodeInheritedForbidden, Severity: planner.SeverityError, Principal: &p, Message: "m"}},
		Guards:   []planner.Guard{{Name: "maxRevokes"}},
		Commands: []CommandResult{{Name: "c", Outcome: CommandSucceeded}},
		Error:    &Error{Message: "e"}, Previous: "sha256:" + strings.Repeat("2", 64),
	}
	return r
}

// A report is sealed wherever it goes, sealed before or not.
func TestDeliveredReportsAreSealed(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		for _, folder := range []bool{false, true} {
			dir := t.TempDir()
			d := Destination{File: filepath.Join(dir, "report.json")}
			if folder {
				d.Dir = filepath.Join(dir, "reports")
			}
			r := plainReport()
			if sealed {
				if err := r.Seal(); err != nil {
					t.Fatal(err)
				}
			}
			paths, err := r.Deliver(t.Context(), d, nil)
			if err != nil || len(paths) == 0 {
				t.Fatalf("Deliver = %v, %v", paths, err)
			}
			for _, path := range paths {
				if got, err := ReadReportFile(path); err != nil || got.Digest != r.Digest || got.Previous != r.Previous {
					t.Errorf("sealed %t, folder %t: %s: %v", sealed, folder, path, err)
				}
			}
		}
	}
}

// A report is sealed once on its way from the run into a folder and a file: counted by
// what sealing allocates.
func TestReportIsSealedOnce(t *testing.T) {
	made := 0
	allocated := func(then func(*Report) error) float64 {
		return testing.AllocsPerRun(1, func() {
			made++
			o := Options{RunID: fmt.Sprintf("run-%d", made), StartedAt: time.Unix(0, 0), InSync: func(yield func(Result) bool) {
				for i := range 2000 {
					if !yield(Result{Principal: planner.Principal{Kind: mstrapi.User, ID: oid(fmt.Sprint(i))}, Before: &Sets{}}) {
						return
					}
				}
			}}
			if err := then(Refuse(nil, o, &Error{Code: CodeGuard})); err != nil {
				t.Fatal(err)
			}
		})
	}
	bare := allocated(func(r *Report) error {
		if r.Digest != "" {
			return errors.New("it is sealed before it is delivered")
		}
		return nil
	})
	seal := allocated((*Report).Seal) - bare
	write := allocated(func(r *Report) error { _, err := r.WriteTo(discard{}); return err }) - bare
	dir := t.TempDir()
	deliver := allocated(func(r *Report) error {
		_, err := r.Deliver(t.Context(), Destination{Dir: filepath.Join(dir, "reports"), File: filepath.Join(dir, "report.json")}, nil)
		return err
	}) - bare
	if sealed := (deliver - 2*write) / seal; sealed < 0.8 || sealed > 1.5 {
		t.Errorf("sealed %.1f times, want once: %.0f allocations, %.0f of them for each writing", sealed, deliver, write)
	}
}

func TestReportRoundTrip(t *testing.T) {
	r := plainReport()
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	n, err := r.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("WriteTo = %d, %v, wrote %d", n, err, b.Len())
	}
	text := b.String()
	for _, bad := range []string{"null,\n", `"grant":null`, `"files":null`, `"groups":null`, `"offenders":null`, "\u202e", "\u2028", "\u009b", "\x1b"} {
		if strings.Contains(text, bad) {
			t.Errorf("the document holds %q", bad)
		}
	}
	if !strings.Contains(text, `"startedAt":"1970-01-01T00:00:01.999Z"`) {
		t.Errorf("times are not UTC milliseconds: %s", text)
	}
	got, err := ReadReport(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != r.Digest || len(got.Principals) != 2 || got.Principals[0].Principal.Name != r.Principals[0].Principal.Name {
		t.Errorf("ReadReport = %+v", got)
	}
	var again bytes.Buffer
	if _, err := got.WriteTo(&again); err != nil || again.String() != text {
		t.Errorf("writing what was read gives other bytes (%v)", err)
	}
}

func TestReadReportRefuses(t *testing.T) {
	r := plainReport()
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	tests := []struct{ name, text, want string }{
		{"empty", "", "it is empty"},
		{"list", "[]", "not a JSON object"},
		{"no format", "{}", "not a privsync report"},
		{"a plan", `{"format":"privsync/plan/v1"}`, "format is"},
		{"edited", strings.Replace(text, `"zoe"`, `"eve"`, 1), "does not match the digest"},
		{"no digest", strings.Replace(text, `"digest": "`+r.Digest+`"`, `"digest": ""`, 1), "does not match the digest"},
		{"truncated", text[:len(text)-20], "EOF"},
		{"twice", strings.Replace(text, `"format"`, `"error": null, "format"`, 1), "stands twice"},
		{"text after the document", text + "{}", "text after the document"},
		{"unknown member", strings.Replace(text, `"format"`, `"x": 1, "format"`, 1), "unknown member"},
		{"unknown field", strings.Replace(text, `"kind":"user"`, `"kind":"user","x":1`, 1), `unknown member "x", in principals/0/principal`},
		{"principals no list", strings.Replace(text, `"principals": [`, `"principals": 7, "x": [`, 1), "principals is not a list"},
		{"wrong type", strings.Replace(text, `"attempts":0`, `"attempts":"0"`, 1), "principals/0/attempts"},
		{"impossible privilege", strings.Replace(text, `"direct":[3]`, `"direct":[70000]`, 1), "privilege number 70000 is not possible, in principals/0/before/direct"},
		{"duplicate key within", strings.Replace(text, `"kind":"user"`, `"kind":"user","kind":"user"`, 1), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.text == text {
				t.Fatal("the test changes nothing")
			}
			_, err := ReadReport(strings.NewReader(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ReadReport = %v, want an error with %q", err, tt.want)
			}
		})
	}
	if _, err := ReadReport(strings.NewReader(strings.Replace(text, `"zoe"`, `"eve"`, 1))); !errors.Is(err, ErrEdited) {
		t.Errorf("ReadReport = %v, want ErrEdited", err)
	}
}

// A document whose digest is right, and which is no report all the same, is no link.
func TestLinkIsReport(t *testing.T) {
	run := Run{ID: "run-1", StartedAt: time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)}
	for _, principals := range []any{[]any{}, []any{map[string]any{"outcome": "ok"}}, nil, "x", map[string]any{}, []any{"x"}} {
		doc := struct {
			Format     string `json:"format"`
			Run        Run    `json:"run"`
			Principals any    `json:"principals"`
			Digest     string `json:"digest"`
		}{Format: ReportFormat, Run: run, Principals: principals}
		var err error
		if doc.Digest, err = document.Digest(&doc); err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := document.Write(&text, &doc); err != nil {
			t.Fatal(err)
		}
		list, ok := principals.([]any)
		good := ok && (len(list) == 0 || list[0] != "x")
		if l := ReadLink(ReportFileName(run), &text); (l.Problem == "") != good {
			t.Errorf("principals %v: problem %q", principals, l.Problem)
		}
	}
}

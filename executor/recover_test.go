package executor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/mstrapi"
	"privsync/planner"
)

// moment is what a crash would leave: the journal up to some byte, and the
// server as it was then.
type moment struct {
	journal []byte
	direct  map[mstrapi.ObjectID]planner.Set
	log     []string
}

// pathOf returns the file of a journal in a folder.
func pathOf(j *Journal) string { return j.w.(*fileJournal).path }

// film applies plan with a journal and returns the moments around every write,
// in order, and the whole journal.
func film(t *testing.T, f *fake, plan *planner.Plan, o Options) (moments []moment, whole []byte, base string) {
	t.Helper()
	state := t.TempDir()
	o.RunID, o.Concurrency = "run-1", 1
	j, err := NewFolder(state).OpenJournal(t.Context(), plan, o, Destination{Dir: filepath.Join(state, "reports")})
	if err != nil {
		t.Fatal(err)
	}
	snap := func() {
		text, err := os.ReadFile(pathOf(j))
		if err != nil {
			t.Error(err)
		}
		moments = append(moments, moment{text, maps.Clone(f.direct), slices.Clone(f.log)})
	}
	snap()
	f.patch = func(mstrapi.ObjectID, bool) { snap() }
	o.Journal = j
	Apply(t.Context(), f, plan, o)
	f.patch = nil
	snap()
	if err := j.Abandon(); err != nil {
		t.Fatal(err)
	}
	return moments, moments[len(moments)-1].journal, filepath.Base(pathOf(j))
}

// crash puts a journal into a fresh state folder and the server into the state
// of m.
func crash(t *testing.T, f *fake, m moment, journal []byte, base string) (state string) {
	t.Helper()
	state = t.TempDir()
	if err := os.MkdirAll(journalDir(state), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(journalDir(state), base), journal, 0o600); err != nil {
		t.Fatal(err)
	}
	f.back(m)
	return state
}

// back puts the server into the state of m, without faults.
func (f *fake) back(m moment) {
	f.direct, f.log = maps.Clone(m.direct), slices.Clone(m.log)
	f.faults = map[mstrapi.ObjectID][]patchFault{}
}

func crashServer() (*fake, *planner.Plan) {
	f := newFake()
	f.has("g1", 3, 4)
	f.has("g2", 6)
	f.has("u1", 8)
	f.has("u2", 9)
	plan := f.plan("g1 +2 -3 -4<u1", "g2 +5 -6", "u1 +4 -8", "u2 -9", "u3 +7")
	f.faults[oid("g2")] = []patchFault{lostUndone, fine}
	f.faults[oid("u2")] = []patchFault{refused}
	f.faults[oid("u3")] = []patchFault{lie}
	plan.Commands = []string{"assign-watch-kpi-insight"}
	return f, plan
}

// TestRecoverAfterACrashAnywhere cuts the journal at every byte and recovers
// with the server as it was at that moment: nothing that the server did is
// missing from the report, nothing is invented.
func TestRecoverAfterACrashAnywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, plan := crashServer()
		moments, whole, _ := film(t, f, plan, Options{})
		ready := len(moments[0].journal)
		if len(whole) == ready {
			t.Fatal("the journal has no record of a write")
		}
		t.Logf("%d bytes, the first write after %d", len(whole), ready)
		for cut := 0; cut <= len(whole); cut++ {
			if cut < ready-200 && cut%16 != 0 {
				continue // the plan in it: nothing was written yet
			}
			last := 0
			for i, m := range moments {
				if len(m.journal) <= cut {
					last = i
				}
			}
			checkRecovery(t, f, plan, moments[last], whole[:cut], ready)
			// Before and after a PATCH the journal is the same: both can be.
			if last > 0 && cut == len(moments[last-1].journal) {
				checkRecovery(t, f, plan, moments[last-1], whole[:cut], ready)
			}
		}
	})
}

// checkRecovery recovers from memory: ten thousand files take too long.
func checkRecovery(t *testing.T, f *fake, plan *planner.Plan, m moment, journal []byte, ready int) {
	t.Helper()
	f.back(m)
	cut := len(journal)
	content, err := parseJournal(bytes.NewReader(journal), "j", only(plan.Environment.URL))
	if errors.Is(err, errNeverBegun) {
		if len(f.did()) > 0 {
			t.Fatalf("cut at %d: nothing to recover, but the server did %v", cut, f.did())
		}
		return
	}
	if err != nil {
		t.Fatalf("cut at %d: %v", cut, err)
	}
	r, err := newDeadRun(nil, "j", content).reconstruct(t.Context(), f, RecoverOptions{})
	if err != nil {
		t.Fatalf("cut at %d: %v", cut, err)
	}
	for _, w := range truthful(f, r) {
		t.Errorf("cut at %d: %s", cut, w)
	}
	want := len(plan.Changes)
	if cut < ready {
		want = len(r.Principals) // the plan in it may be torn; nothing was written
	}
	if len(r.Principals) != want || !r.Run.Recovered {
		t.Errorf("cut at %d: %d principals, want %d; recovered %v", cut, len(r.Principals), want, r.Run.Recovered)
	}
}

func TestRecoverOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, plan := crashServer()
		moments, _, base := film(t, f, plan, Options{})
		// moments: start, then before and after each of: g1, g2, g2 again, u1, u2,
		// u3, g1, g2; then the end.
		tests := []struct {
			at   int
			want string
		}{
			{0, "interrupted; g1 not-attempted; g2 not-attempted; u1 not-attempted; u2 not-attempted; u3 not-attempted"},
			{1, "interrupted; g1 unverified held 3 held 4; g2 not-attempted; u1 not-attempted; u2 not-attempted; u3 not-attempted"},
			{2, "interrupted; g1 held-back +2 held 3 held 4; g2 not-attempted; u1 not-attempted; u2 not-attempted; u3 not-attempted"},
			{7, "interrupted; g1 held-back +2 held 3 held 4; g2 held-back +5 held 6; u1 unverified; u2 not-attempted; u3 not-attempted"},
			{8, "interrupted; g1 held-back +2 held 3 held 4; g2 held-back +5 held 6; u1 applied +4 -8; u2 not-attempted; u3 not-attempted"},
			{13, "interrupted; g1 unverified +2; g2 held-back +5 held 6; u1 applied +4 -8; u2 failed; u3 unverified"},
			{14, "interrupted; g1 applied +2 -3 -4; g2 held-back +5 held 6; u1 applied +4 -8; u2 failed; u3 unverified"},
			{17, "partial; g1 applied +2 -3 -4; g2 applied +5 -6; u1 applied +4 -8; u2 failed; u3 unverified"},
		}
		for _, tt := range tests {
			m := moments[tt.at]
			state := crash(t, f, m, m.journal, base)
			dead, err := NewFolder(state).FindOpen(t.Context(), nil)
			if err != nil || len(dead) != 1 {
				t.Fatalf("FindOpen = %v, %v", dead, err)
			}
			dead[0].Destination.Dir = filepath.Join(state, "reports")
			r, _, err := Recover(t.Context(), f, dead[0], RecoverOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := sketch(r); got != tt.want {
				t.Errorf("died at moment %d: %s\nwant              %s", tt.at, got, tt.want)
			}
		}
	})
}

// TestRecoveryThenRerunConverges dies after every write, recovers, plans anew
// and applies: the two reports together account for everything that was done.
func TestRecoveryThenRerunConverges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, plan := crashServer()
		moments, _, base := film(t, f, plan, Options{})
		for i, m := range moments {
			state := crash(t, f, m, m.journal, base)
			dead, err := NewFolder(state).FindOpen(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			dead[0].Destination.Dir = filepath.Join(state, "reports")
			first, _, err := Recover(t.Context(), f, dead[0], RecoverOptions{})
			if err != nil {
				t.Fatal(err)
			}
			second := Apply(t.Context(), f, f.replan(plan), Options{RunID: "run-2"})
			if second.Run.Outcome != RunSucceeded && second.Run.Outcome != RunInSync {
				t.Errorf("moment %d: the second run ends with %s", i, sketch(second))
			}
			var told []string
			for _, r := range []*Report{first, second} {
				for _, p := range r.Principals {
					for _, id := range p.Granted {
						told = append(told, fmt.Sprintf("did %s +%d", name(p.Principal.ID), id))
					}
					for _, id := range p.Revoked {
						told = append(told, fmt.Sprintf("did %s -%d", name(p.Principal.ID), id))
					}
				}
			}
			slices.Sort(told)
			if did := f.did(); !slices.Equal(did, told) {
				t.Errorf("moment %d: the server did %v, the reports say %v", i, did, told)
			}
		}
	})
}

// TestRecoverInFlight dies with one write in flight, of a kind that the longer
// story above does not have.
func TestRecoverInFlight(t *testing.T) {
	tests := []struct {
		name   string
		has    []mstrapi.PrivilegeID
		plan   string
		faults []patchFault
		at     int // moments: start, then before and after each PATCH
		want   string
	}{
		{"with a revoke held back", []mstrapi.PrivilegeID{8, 9}, "u1 +1 -8 -9<u2", nil, 2, "interrupted; u1 held-back +1 -8 held 9"},
		{"half done, then sent again", []mstrapi.PrivilegeID{8}, "u1 +1 -8", []patchFault{lostHalf, fine}, 3, "interrupted; u1 unverified +1"},
		{"half done, then done", []mstrapi.PrivilegeID{8}, "u1 +1 -8", []patchFault{lostHalf, fine}, 4, "interrupted; u1 applied +1 -8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.has("u1", tt.has...)
				plan := f.plan(tt.plan)
				f.faults[oid("u1")] = tt.faults
				moments, _, base := film(t, f, plan, Options{})
				dead, err := NewFolder(crash(t, f, moments[tt.at], moments[tt.at].journal, base)).FindOpen(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				r, err := dead[0].reconstruct(t.Context(), f, RecoverOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got := sketch(r); got != tt.want {
					t.Errorf("Recover = %s, want %s", got, tt.want)
				}
				for _, w := range truthful(f, r) {
					t.Error(w)
				}
			})
		})
	}
}

func TestRecoverDoesNotWriteAReportTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, both := range []bool{false, true} {
			f := newFake()
			plan := f.plan("u1 +2")
			state := t.TempDir()
			dest := Destination{Dir: filepath.Join(state, "reports")}
			if both {
				dest.File = filepath.Join(state, "last.json")
			}
			o := Options{RunID: "r"}
			j, err := NewFolder(state).OpenJournal(t.Context(), plan, o, dest)
			if err != nil {
				t.Fatal(err)
			}
			o.Journal = j
			r := Apply(t.Context(), f, plan, o)
			// It dies after the folder's report and before the file's.
			if _, err := r.Deliver(t.Context(), Destination{Dir: dest.Dir}, nil); err != nil {
				t.Fatal(err)
			}
			if err := j.Abandon(); err != nil {
				t.Fatal(err)
			}
			dead, err := NewFolder(state).FindOpen(t.Context(), only(plan.Environment.URL))
			if err != nil || len(dead) != 1 {
				t.Fatalf("FindOpen = %v, %v, want one", dead, err)
			}
			got, paths, err := Recover(t.Context(), f, dead[0], RecoverOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Run.Recovered || got.Digest != r.Digest {
				t.Errorf("the report was made anew")
			}
			names, _ := reportFiles(dest.Dir)
			if len(names) != 1 {
				t.Errorf("reports = %v, want one", names)
			}
			if both {
				if file, err := ReadReportFile(dest.File); err != nil || file.Digest != r.Digest || len(paths) != 2 {
					t.Errorf("file = %v, %v, paths %v; want the same report", file, err, paths)
				}
			}
			if links, err := verified(dest.Dir); err != nil || len(brokenOf(links)) > 0 {
				t.Errorf("VerifyChain = %v, %v", links, err)
			}
		}
	})
}

func TestRecoverUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			err     error
			accept  bool
			wantErr bool
		}{
			{&mstrapi.Error{Status: 503}, false, true},
			{&mstrapi.Error{Status: 503}, true, false},
			{&mstrapi.Error{Status: 404, Code: "ERR004", Message: "no such user"}, false, false},
		}
		for _, tt := range tests {
			f, plan := crashServer()
			moments, _, base := film(t, f, plan, Options{})
			state := crash(t, f, moments[2], moments[2].journal, base)
			f.unreadable[oid("g1")] = tt.err
			dead, err := NewFolder(state).FindOpen(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			dead[0].Destination.Dir = filepath.Join(state, "reports")
			r, _, err := Recover(t.Context(), f, dead[0], RecoverOptions{AcceptUnread: tt.accept})
			if (err != nil) != tt.wantErr {
				t.Fatalf("%v, accept %v: Recover = %v", tt.err, tt.accept, err)
			}
			if err != nil {
				if again, _ := NewFolder(state).FindOpen(t.Context(), nil); len(again) != 1 {
					t.Errorf("after an error the journal is not open any more")
				}
				continue
			}
			if mstrapi.IsNotFound(tt.err) {
				if len(r.Principals) != len(plan.Changes)-1 || len(r.Findings) != 1 || r.Findings[0].Code != planner.CodeGonePrincipal {
					t.Errorf("a group that is gone: %s, findings %v", sketch(r), r.Findings)
				}
				continue
			}
			if g := of(t, r, "g1"); g.Outcome != Unverified || g.After != nil || g.Error == nil {
				t.Errorf("g1 = %s, after %v, error %v; want unverified, null, why", g.Outcome, g.After, g.Error)
			}
		}
	})
}

func TestRecoverCommands(t *testing.T) {
	const cmd = "assign-watch-kpi-insight"
	journalAt := func(t *testing.T, until func(j *Journal)) (*fake, *Report) {
		f := newFake()
		plan := f.plan("u1 +2")
		plan.Commands = []string{cmd}
		state := t.TempDir()
		j, err := NewFolder(state).OpenJournal(t.Context(), plan, Options{RunID: "r"}, Destination{Dir: state + "/reports"})
		if err != nil {
			t.Fatal(err)
		}
		until(j)
		if err := j.Abandon(); err != nil {
			t.Fatal(err)
		}
		f.queue = []any{mstrapi.QueueEntry{Status: 3, Progress: 100}}
		dead, err := NewFolder(state).FindOpen(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := Recover(t.Context(), f, dead[0], RecoverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return f, r
	}
	now := time.Now()
	tests := []struct {
		name  string
		until func(j *Journal)
		want  CommandOutcome
	}{
		{"never submitted", func(*Journal) {}, CommandNotAttempted},
		{"being submitted", func(j *Journal) { j.command(typeCommandIntent, CommandResult{Name: cmd}, now) }, CommandInterrupted},
		{"queued", func(j *Journal) {
			j.command(typeCommandIntent, CommandResult{Name: cmd}, now)
			j.command(typeCommandQueued, CommandResult{Name: cmd, QueueID: "Q"}, now)
		}, CommandSucceeded},
		{"ended", func(j *Journal) {
			j.command(typeCommandDone, CommandResult{Name: cmd, Outcome: CommandFailed, IServerErrorCode: 7}, now)
		}, CommandFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, r := journalAt(t, tt.until); r.Commands[0].Outcome != tt.want {
				t.Errorf("command = %s, want %s", r.Commands[0].Outcome, tt.want)
			}
		})
	}
}

func TestDamagedJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, plan := crashServer()
		moments, whole, base := film(t, f, plan, Options{})
		lines := strings.SplitAfter(string(whole), "\n")
		flip := func(s string) string { return strings.Replace(s, "direct", "dirext", 1) }
		tests := map[string]string{
			"a changed line":   strings.Join(lines[:7], "") + flip(lines[7]) + strings.Join(lines[8:], ""),
			"a missing line":   strings.Join(slices.Delete(slices.Clone(lines), 9, 10), ""),
			"a line twice":     strings.Join(lines[:9], "") + lines[8] + strings.Join(lines[9:], ""),
			"zeros within":     strings.Join(lines[:8], "") + strings.Repeat("\x00", 40) + "\n" + strings.Join(lines[8:], ""),
			"no begin":         strings.Join(lines[1:], ""),
			"something else":   "hello\nworld\n",
			"intent too early": lines[0] + lines[len(lines)-2],
		}
		for name, text := range tests {
			state := crash(t, f, moments[0], []byte(text), base)
			if _, err := NewFolder(state).FindOpen(t.Context(), nil); !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), base) {
				t.Errorf("%s: FindOpen = %v, want an error about the damaged file", name, err)
			}
		}
		state := crash(t, f, moments[0], whole, base)
		if dead, err := NewFolder(state).FindOpen(t.Context(), only("https://other.example.com")); err != nil || len(dead) != 0 {
			t.Errorf("another server's journal: %v, %v", dead, err)
		}
	})
}

func TestFindOpenWithoutFolder(t *testing.T) {
	if dead, err := NewFolder(filepath.Join(t.TempDir(), "none")).FindOpen(t.Context(), nil); err != nil || dead != nil {
		t.Errorf("FindOpen = %v, %v, want nothing", dead, err)
	}
}

func TestJournalLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		plan := f.plan("u1 +2")
		state := t.TempDir()
		for i := range keepJournals + 3 {
			o := Options{RunID: fmt.Sprintf("run-%d", i)}
			j, err := NewFolder(state).OpenJournal(t.Context(), plan, o, Destination{File: "r.json"})
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(pathOf(j)); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("journal = %v, %v, want mode 0600", info.Mode(), err)
			}
			dead, err := NewFolder(state).FindOpen(t.Context(), only(plan.Environment.URL))
			if err != nil || len(dead) != 1 || !filepath.IsAbs(dead[0].Destination.File) {
				t.Fatalf("FindOpen = %v, %v, want one with an absolute destination", dead, err)
			}
			if err := j.Close(time.Now()); err != nil {
				t.Fatal(err)
			}
			if err := j.intent(&job{t: &task{change: &plan.Changes[0], res: Result{Before: &Sets{}}}}, mstrapi.PrivilegePatch{}, planner.Set{}, time.Now()); err == nil {
				t.Fatal("a closed journal takes records")
			}
			time.Sleep(time.Second)
		}
		if dead, err := NewFolder(state).FindOpen(t.Context(), nil); err != nil || len(dead) != 0 {
			t.Errorf("FindOpen = %v, %v, want none", dead, err)
		}
		entries, _ := os.ReadDir(journalDir(state))
		if len(entries) != keepJournals {
			t.Errorf("%d journals are kept, want %d", len(entries), keepJournals)
		}
	})
}

func TestOpenJournalRefuses(t *testing.T) {
	f := newFake()
	state := t.TempDir()
	if _, err := NewFolder(state).OpenJournal(t.Context(), f.plan(), Options{}, Destination{}); err == nil {
		t.Error("a run without id got a journal")
	}
	o := Options{RunID: "r", StartedAt: time.Unix(0, 0)}
	if _, err := NewFolder(state).OpenJournal(t.Context(), f.plan(), o, Destination{}); err != nil {
		t.Fatal(err)
	}
	if _, err := NewFolder(state).OpenJournal(t.Context(), f.plan(), o, Destination{}); err == nil {
		t.Error("two journals of one run")
	}
}

func TestJournalAlwaysHasADestination(t *testing.T) {
	f := newFake()
	state := t.TempDir()
	if _, err := NewFolder(state).OpenJournal(t.Context(), f.plan("u1 +2"), Options{RunID: "r"}, Destination{}); err != nil {
		t.Fatal(err)
	}
	dead, err := NewFolder(state).FindOpen(t.Context(), nil)
	if err != nil || len(dead) != 1 || dead[0].Destination.Dir != ReportsDir(state) {
		t.Fatalf("FindOpen = %+v, %v, want one with the state folder's reports", dead, err)
	}
	if _, paths, err := Recover(t.Context(), f, dead[0], RecoverOptions{}); err != nil || len(paths) != 1 {
		t.Errorf("Recover = %v, %v", paths, err)
	}
}

func TestClosedRecordWithoutRename(t *testing.T) {
	f := newFake()
	state := t.TempDir()
	j, err := NewFolder(state).OpenJournal(t.Context(), f.plan("u1 +2"), Options{RunID: "r"}, Destination{})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.append(record{Type: typeClosed}, true); err != nil {
		t.Fatal(err)
	}
	j.Abandon()
	if dead, err := NewFolder(state).FindOpen(t.Context(), nil); err != nil || len(dead) != 0 {
		t.Errorf("FindOpen = %v, %v, want none", dead, err)
	}
	if _, err := os.Stat(pathOf(j) + closedSuffix); err != nil {
		t.Error(err)
	}
}

// TestNoWriteWithoutDurableIntent breaks the journal in the middle of a run.
func TestNoWriteWithoutDurableIntent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.has("g1", 3)
		plan := f.plan("g1 +2 -3", "u1 +5", "u2 +6")
		state := t.TempDir()
		o := Options{RunID: "r", Concurrency: 1}
		j, err := NewFolder(state).OpenJournal(t.Context(), plan, o, Destination{Dir: state + "/reports"})
		if err != nil {
			t.Fatal(err)
		}
		o.Journal = j
		f.patch = func(id mstrapi.ObjectID, done bool) {
			if done && name(id) == "u1" {
				j.w.(*fileJournal).f.Close() // as a full disk: the next write fails
			}
		}
		r := Apply(t.Context(), f, plan, o)
		want := "partial; g1 held-back +2 held 3; u1 applied +5; u2 not-attempted"
		if got := sketch(r); got != want {
			t.Errorf("Apply = %s\nwant    %s", got, want)
		}
		if r.Error == nil || r.Error.Code != CodeJournal || ExitCode(r) != ExitIncomplete {
			t.Errorf("error = %v, exit %d; want the journal, exit 4: something was written", r.Error, ExitCode(r))
		}
		for _, w := range truthful(f, r) {
			t.Error(w)
		}
		// The dead journal alone tells the same.
		dead, err := NewFolder(state).FindOpen(t.Context(), nil)
		if err != nil || len(dead) != 1 {
			t.Fatalf("FindOpen = %v, %v", dead, err)
		}
		again, _, err := Recover(context.Background(), f, dead[0], RecoverOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := sketch(again); got != "interrupted"+strings.TrimPrefix(want, "partial") {
			t.Errorf("Recover = %s", got)
		}
	})
}

// TestJournalStaysBroken: after a failure a journal takes nothing more, even if it
// could: a torn line must stay the last one.
func TestJournalStaysBroken(t *testing.T) {
	f := newFake()
	j, err := NewFolder(t.TempDir()).OpenJournal(t.Context(), f.plan("u1 +2"), Options{RunID: "r"}, Destination{})
	if err != nil {
		t.Fatal(err)
	}
	good := j.w.(*fileJournal).f
	bad, err := os.Open(pathOf(j)) // not for writing
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	j.w.(*fileJournal).f = bad
	if err := j.command(typeCommandIntent, CommandResult{Name: "c"}, time.Now()); err == nil {
		t.Fatal("a file that is not for writing took a record")
	}
	j.w.(*fileJournal).f = good
	before, _ := os.Stat(pathOf(j))
	if err := j.command(typeCommandIntent, CommandResult{Name: "c"}, time.Now()); err == nil {
		t.Error("a journal that failed takes records again")
	}
	if after, _ := os.Stat(pathOf(j)); after.Size() != before.Size() {
		t.Error("something was written after the failure")
	}
	if err := j.sync(); err == nil {
		t.Error("a journal that failed says that all is on disk")
	}
}

// only returns a function for FindOpen that means the server at url.
func only(url string) func(string) bool { return func(other string) bool { return other == url } }

// TestRecoverJudges dies when everything is written, and somebody else changes
// things before the recovery: what is there then decides.
func TestRecoverJudges(t *testing.T) {
	for _, tt := range []struct {
		name        string
		other       func(*fake)
		u1, u9, run string
	}{
		{"nothing", func(*fake) {}, "applied", "", "succeeded"},
		{"what was granted was taken back", func(f *fake) { f.has("u1") }, "drifted", "", "partial"},
		{"who was only touched lost it", func(f *fake) { f.has("u9") }, "applied", "drifted", "partial"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				f.has("g1", 3)
				f.has("u9", 3)
				plan := f.plan("g1 -3", "u1 +1")
				u9 := planner.Principal{Kind: mstrapi.User, ID: oid("u9"), Name: "u9", Login: "u9"}
				f.kind[u9.ID] = u9.Kind
				plan.Watch = []planner.Watch{{Wanted: planner.Wanted{Listed: planner.SetOf(3)}, Principals: []planner.Principal{u9}}}
				moments, whole, base := film(t, f, plan, Options{})
				dead, err := NewFolder(crash(t, f, moments[len(moments)-1], whole, base)).FindOpen(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				tt.other(f)
				r, err := dead[0].reconstruct(t.Context(), f, RecoverOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got := of(t, r, "u1").Outcome; string(got) != tt.u1 {
					t.Errorf("u1 is %s, want %s", got, tt.u1)
				}
				if got := of(t, r, "u9").Outcome; tt.u9 != "" && string(got) != tt.u9 {
					t.Errorf("u9 is %s, want %s", got, tt.u9)
				}
				if string(r.Run.Outcome) != tt.run {
					t.Errorf("the run is %s, want %s", r.Run.Outcome, tt.run)
				}
			})
		})
	}
}

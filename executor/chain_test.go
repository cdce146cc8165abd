package executor

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

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
	paths, err := r.Deliver(t.Context(), Destination{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(paths[0])
}

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
			r, err := readReportFile(filepath.Join(dir, names[1]))
			if err != nil {
				t.Fatal(err)
			}
			r.Error.Message = "yes"
			if err := r.Seal(); err != nil {
				t.Fatal(err)
			}
			if err := WriteFile(filepath.Join(dir, names[1]), r); err != nil {
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
			os.Remove(filepath.Join(dir, chainFile))
		}, []string{"chain.json: unreadable"}},
		{"foolish chain.json", func(t *testing.T, dir string, names []string) {
			os.WriteFile(filepath.Join(dir, chainFile), []byte(`{"format":"x"}`), 0o600)
		}, []string{"chain.json: unreadable"}},
		{"empty chain.json", func(t *testing.T, dir string, names []string) {
			os.WriteFile(filepath.Join(dir, chainFile), []byte(`{"format":"privsync/chain/v1"}`), 0o600)
		}, []string{"chain.json: does not name"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, names := chainOf(t, 4)
			tt.tamper(t, dir, names)
			links, err := VerifyChain(dir)
			if err != nil {
				t.Fatal(err)
			}
			broken := Broken(links)
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
	t.Run("without chain.json", func(t *testing.T) {
		dir, _ := chainOf(t, 3)
		os.Remove(filepath.Join(dir, chainFile))
		appendReport(t, dir, "later", 9)
		if links, err := VerifyChain(dir); err != nil || len(links) != 4 || len(Broken(links)) > 0 {
			t.Errorf("VerifyChain = %+v, %v; want four sound links", links, err)
		}
	})
	t.Run("died between report and chain.json", func(t *testing.T) {
		dir, _ := chainOf(t, 2)
		head, err := os.ReadFile(filepath.Join(dir, chainFile))
		if err != nil {
			t.Fatal(err)
		}
		appendReport(t, dir, "third", 5)
		if err := os.WriteFile(filepath.Join(dir, chainFile), head, 0o600); err != nil {
			t.Fatal(err)
		}
		if links, err := VerifyChain(dir); err != nil || len(Broken(links)) > 0 {
			t.Errorf("VerifyChain = %+v, %v; want it sound", links, err)
		}
		appendReport(t, dir, "fourth", 6)
		if links, err := VerifyChain(dir); err != nil || len(links) != 4 || len(Broken(links)) > 0 {
			t.Errorf("VerifyChain = %+v, %v; want four sound links", links, err)
		}
	})
	t.Run("the newest removed", func(t *testing.T) {
		dir, names := chainOf(t, 3)
		os.Remove(filepath.Join(dir, names[2]))
		appendReport(t, dir, "later", 9)
		links, err := VerifyChain(dir)
		if broken := Broken(links); err != nil || len(broken) != 1 || broken[0].RunID != "later" {
			t.Errorf("VerifyChain = %+v, %v; want it broken before the later report", links, err)
		}
	})
}

// TestChainOrderIsTheOrderOfWriting: a long run starts first and ends last.
func TestChainOrderIsTheOrderOfWriting(t *testing.T) {
	dir, _ := chainOf(t, 0)
	appendReport(t, dir, "short", 5)
	appendReport(t, dir, "long", 1)
	links, err := VerifyChain(dir)
	if err != nil || len(links) != 2 || links[0].RunID != "short" || len(Broken(links)) > 0 {
		t.Errorf("VerifyChain = %+v, %v; want short, then long, sound", links, err)
	}
}

func TestDeliverTwice(t *testing.T) {
	dir, _ := chainOf(t, 1)
	r := Refuse(nil, Options{RunID: "run-0", StartedAt: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)}, &Error{Code: CodeGuard})
	if _, err := r.Deliver(t.Context(), Destination{Dir: dir}); !errors.Is(err, ErrDelivered) {
		t.Errorf("Deliver = %v, want ErrDelivered", err)
	}
	if _, err := r.Deliver(t.Context(), Destination{}); err == nil {
		t.Error("Deliver to nowhere succeeded")
	}
}

func TestConcurrentDeliveries(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			r := Refuse(nil, Options{RunID: fmt.Sprintf("run-%d", i), StartedAt: time.Unix(0, 0)}, &Error{Code: CodeGuard})
			if _, err := r.Deliver(t.Context(), Destination{Dir: dir}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	links, err := VerifyChain(dir)
	if err != nil || len(links) != 12 || len(Broken(links)) > 0 {
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
			paths, err := r.Deliver(t.Context(), d)
			if err != nil || len(paths) == 0 {
				t.Fatalf("Deliver = %v, %v", paths, err)
			}
			for _, path := range paths {
				if got, err := readReportFile(path); err != nil || got.Digest != r.Digest || got.Previous != r.Previous {
					t.Errorf("sealed %t, folder %t: %s: %v", sealed, folder, path, err)
				}
			}
		}
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
		{"empty", "", "unexpected EOF"},
		{"list", "[]", "not a JSON object"},
		{"no format", "{}", "not a privsync report"},
		{"a plan", `{"format":"privsync/plan/v1"}`, "format is"},
		{"edited", strings.Replace(text, `"zoe"`, `"eve"`, 1), "does not match the digest"},
		{"no digest", strings.Replace(text, `"digest": "`+r.Digest+`"`, `"digest": ""`, 1), "does not match the digest"},
		{"truncated", text[:len(text)-20], "EOF"},
		{"twice", strings.Replace(text, `"format"`, `"error": null, "format"`, 1), "stands twice"},
		{"more text", text + "{}", "more text"},
		{"unknown member", strings.Replace(text, `"format"`, `"x": 1, "format"`, 1), "unknown member"},
		{"unknown field", strings.Replace(text, `"kind":"user"`, `"kind":"user","x":1`, 1), "unknown field"},
		{"principals no list", strings.Replace(text, `"principals": [`, `"principals": {"a":[`, 1), "principals is not a list"},
		{"wrong type", strings.Replace(text, `"attempts":0`, `"attempts":"0"`, 1), "principal 1"},
		{"impossible privilege", strings.Replace(text, `"direct":[3]`, `"direct":[70000]`, 1), "principal 1"},
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

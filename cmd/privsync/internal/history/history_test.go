package history

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// day returns a moment of the n-th day.
func day(n int) time.Time { return time.Date(2026, 1, n, 12, 0, 0, 0, time.UTC) }

const (
	demo  = mstrapi.ObjectID("6C9DFE134D0F8764893B469525E38EB0")
	shift = mstrapi.ObjectID("1B7E0F5A4C3D2E9F8A6B5C4D3E2F1A0B")
)

// reported makes a report of the n-th day.
func reported(n int, command string, level mstrapi.Level, results ...executor.Result) *executor.Report {
	r := &executor.Report{
		Run:         executor.Run{ID: fmt.Sprint("run", n), Command: command, StartedAt: day(n), FinishedAt: day(n).Add(time.Hour)},
		Environment: planner.Environment{URL: "https://bi"}, Scope: planner.Scope{Level: level}, Principals: results, Digest: fmt.Sprint("sha256:", n),
		Privileges: []planner.PrivilegeRef{{ID: 53, Name: "Monitor"}},
	}
	return r
}

func user(login string, before, after *executor.Sets, granted ...mstrapi.PrivilegeID) executor.Result {
	res := executor.Result{Principal: planner.Principal{Kind: mstrapi.User, ID: demo, Name: "Demo", Login: login}, Before: before, After: after, Granted: granted}
	for _, q := range granted {
		res.Grant = append(res.Grant, planner.PlannedPrivilege{PrivilegeRef: planner.PrivilegeRef{ID: q}, Ticket: "CHG-1"})
	}
	return res
}

func direct(ids ...mstrapi.PrivilegeID) *executor.Sets {
	return &executor.Sets{Direct: planner.SetOf(ids...)}
}

// byRole is what an audit says of privileges that a security role gives.
func byRole(ids ...mstrapi.PrivilegeID) *executor.Sets {
	s := &executor.Sets{}
	for _, q := range ids {
		s.Sources = append(s.Sources, executor.PrivilegeSource{Privilege: q, Roles: []mstrapi.RoleRef{{}}})
	}
	return s
}

// inMemory is a chain in memory.
type inMemory []*executor.Report

func (m inMemory) source() Source {
	var left inMemory
	return Source{
		Name: "memory",
		Verify: func(context.Context) (*executor.Chain, error) {
			left = m
			return &executor.Chain{Links: make([]executor.ChainLink, len(m))}, nil
		},
		Report: func(context.Context, executor.ChainLink) (*executor.Report, error) {
			r := left[0]
			left = left[1:]
			return r, nil
		},
	}
}

// told is the events of privilege 53 in short.
func told(t *testing.T, name string, chain inMemory) string {
	t.Helper()
	f := NewFollow(mstrapi.User, name, "")
	if err := f.Read(t.Context(), []Source{chain.source()}); err != nil {
		t.Fatal(err)
	}
	doc, err := f.Since(planner.Tool{}, 53)
	if err != nil {
		return err.Error()
	}
	p := doc.Privileges[0]
	var out []string
	for _, e := range p.Events {
		by := "nobody"
		if e.By != nil {
			by = e.By.ID + " " + e.Ticket
		}
		if e.OutOfBand != (e.By == nil) {
			t.Errorf("%s: out of band %t, by %v", e.What, e.OutOfBand, e.By)
		}
		out = append(out, fmt.Sprintf("%s %s %s", e.What, e.Until.Format("01-02"), by))
	}
	if p.Held {
		out = append(out, "held")
	}
	return strings.Join(out, "; ")
}

func TestSince(t *testing.T) {
	server := mstrapi.LevelServer
	for name, test := range map[string]struct {
		chain inMemory
		want  string
	}{
		"held all along": {inMemory{reported(1, "audit", server, user("demo", nil, direct(53)))}, "held"},
		"granted by a run": {inMemory{
			reported(1, "audit", server, user("demo", nil, direct())),
			reported(2, "apply", server, user("demo", direct(), direct(53), 53)),
		}, "gained 01-02 run2 CHG-1; held"},
		"granted by nobody between runs": {inMemory{
			reported(1, "apply", server, user("demo", direct(), direct())),
			reported(3, "apply", server, user("demo", direct(53), direct(53))),
		}, "gained 01-03 nobody; held"},
		"granted by nobody during a run": {inMemory{reported(1, "apply", server, user("demo", direct(), direct(53)))}, "gained 01-01 nobody; held"},
		"granted, taken, granted again": {inMemory{
			reported(1, "apply", server, user("demo", direct(), direct(53), 53)),
			reported(2, "apply", server, user("demo", direct(), direct(53), 53)),
		}, "gained 01-01 run1 CHG-1; lost 01-02 nobody; gained 01-02 run2 CHG-1; held"},
		"a report that could not read it": {inMemory{
			reported(1, "apply", server, user("demo", direct(), direct(53), 53)),
			reported(2, "audit", server, user("demo", nil, nil)),
			reported(3, "audit", server, user("demo", nil, direct(53))),
		}, "gained 01-01 run1 CHG-1; held"},
		"a report of another level": {inMemory{
			reported(1, "audit", server, user("demo", nil, direct(53))),
			{Run: executor.Run{ID: "x", Command: "audit", StartedAt: day(2), FinishedAt: day(2)}, Environment: planner.Environment{URL: "https://bi"},
				Scope: planner.Scope{Level: mstrapi.LevelProject}, Principals: []executor.Result{user("demo", nil, direct())}, Digest: "sha256:x"},
			reported(3, "audit", server, user("demo", nil, direct(53))),
		}, "held"},
		"a role, of which runs do not tell": {inMemory{
			reported(1, "audit", mstrapi.LevelAll, user("demo", nil, byRole(53))),
			reported(2, "apply", mstrapi.LevelAll, user("demo", direct(), direct())),
			reported(3, "audit", mstrapi.LevelAll, user("demo", nil, byRole(53))),
		}, "held"},
		"a run first, then an audit that knows a role": {inMemory{
			reported(1, "apply", mstrapi.LevelAll, user("demo", direct(), direct())),
			reported(2, "audit", mstrapi.LevelAll, user("demo", nil, byRole(53))),
		}, "held"},
		"another name before": {inMemory{
			reported(1, "apply", server, user("old", direct(), direct(53), 53)),
			reported(2, "audit", server, user("demo", nil, direct(53))),
		}, "gained 01-01 run1 CHG-1; held"},
		"another name since": {inMemory{
			reported(1, "apply", server, user("demo", direct(), direct(53), 53)),
			reported(2, "audit", server, user("new", nil, direct())),
		}, "gained 01-01 run1 CHG-1; lost 01-02 nobody"},
		"nobody of that name": {inMemory{reported(1, "audit", server, user("other", nil, direct(53)))}, ErrNotSeen.Error()},
	} {
		if got := told(t, "demo", test.chain); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if test.want != ErrNotSeen.Error() {
			if got := told(t, string(demo), test.chain); got != test.want {
				t.Errorf("%s, by id: %s, want %s", name, got, test.want)
			}
		}
	}
}

// TestSinceSeveralServers: the reports of two servers are not one history.
func TestSinceSeveralServers(t *testing.T) {
	chain := inMemory{reported(1, "audit", mstrapi.LevelServer, user("demo", nil, direct(53))), reported(2, "audit", mstrapi.LevelServer, user("demo", nil, direct()))}
	chain[1].Environment.URL = "https://other"
	if got := told(t, "demo", chain); !strings.Contains(got, "several servers: https://bi, https://other") {
		t.Error(got)
	}
	f := NewFollow(mstrapi.User, "demo", "https://bi")
	if err := f.Read(t.Context(), []Source{chain.source()}); err != nil {
		t.Fatal(err)
	}
	if doc, err := f.Since(planner.Tool{}, 53); err != nil || !doc.Privileges[0].Held || doc.Looks != 1 {
		t.Errorf("of one server: %+v, %v", doc, err)
	}
}

// TestReportsOfBetween names the last of several runs, and no run for what was undone
// and done again by others.
func TestReportsOfBetween(t *testing.T) {
	server := mstrapi.LevelServer
	group := func(before, after *executor.Sets, granted ...mstrapi.PrivilegeID) executor.Result {
		res := user("", before, after, granted...)
		res.Principal = planner.Principal{Kind: mstrapi.Group, ID: shift, Name: "Shift"}
		return res
	}
	inherited := &executor.Sets{Inherited: planner.SetOf(53), Sources: []executor.PrivilegeSource{{Privilege: 53, Groups: []mstrapi.ObjectRef{{ID: shift, Name: "Shift"}}}}}
	run := reported(2, "apply", server, user("demo", direct(), direct(53), 53))
	for name, test := range map[string]struct {
		a, b    *executor.Report
		between inMemory
		want    string
	}{
		"by a run": {reported(1, "audit", server, user("demo", nil, direct())), reported(5, "audit", server, user("demo", nil, direct(53))), inMemory{run}, "gained run2"},
		"undone and done again": {reported(1, "audit", server, user("demo", nil, direct())), reported(5, "audit", server, user("demo", nil, direct(53))),
			inMemory{run, reported(3, "apply", server, user("demo", direct(), direct()))}, "gained nobody"},
		"by the later run": {reported(1, "audit", server, user("demo", nil, direct())), reported(5, "audit", server, user("demo", nil, direct(53))),
			inMemory{run, reported(3, "apply", server, user("demo", direct(), direct(53), 53))}, "gained run3"},
		"before A": {reported(3, "audit", server, user("demo", nil, direct())), reported(5, "audit", server, user("demo", nil, direct(53))), inMemory{run}, "gained nobody"},
		"through a group": {reported(1, "audit", server, user("demo", nil, direct()), group(nil, direct())),
			reported(5, "audit", server, user("demo", nil, inherited), group(nil, direct(53))), inMemory{reported(2, "apply", server, group(direct(), direct(53), 53))},
			"gained run2; gained run2 through Shift"},
		"into a group that has it": {reported(1, "audit", server, user("demo", nil, direct()), group(nil, direct(53))),
			reported(5, "audit", server, user("demo", nil, inherited), group(nil, direct(53))), inMemory{reported(2, "apply", server, group(direct(53), direct(53)))}, "gained nobody"},
		"by the run of B": {reported(1, "apply", server, user("demo", direct(), direct())), run, nil, "gained run2"},
		"nothing at hand": {reported(1, "audit", server, user("demo", nil, direct())), reported(5, "audit", server, user("demo", nil, direct(53))), nil, "gained unknown"},
		"only in A":       {reported(1, "audit", server, user("demo", nil, direct(53))), reported(5, "audit", server), nil, "not looked at in b"},
		"unread in B":     {reported(1, "audit", server, user("demo", nil, direct(53))), reported(5, "audit", server, user("demo", nil, nil)), nil, "not looked at in b"},
		"roles, of which a run does not tell": {reported(1, "audit", mstrapi.LevelAll, user("demo", nil, byRole(53))),
			reported(5, "apply", mstrapi.LevelAll, user("demo", direct(), direct())), nil, ""},
		"roles of two audits": {reported(1, "audit", mstrapi.LevelAll, user("demo", nil, byRole(53))), reported(5, "audit", mstrapi.LevelAll, user("demo", nil, direct())), nil, "lost unknown"},
	} {
		x := NewBetween(ReportDoc{"a", test.a}, ReportDoc{"b", test.b}, func(url string) bool { return url == "https://bi" })
		if test.between != nil {
			if err := x.Read(t.Context(), []Source{test.between.source()}); err != nil {
				t.Fatal(err)
			}
		}
		d := x.Reports(planner.Tool{})
		var out []string
		for _, c := range d.Changes {
			by := "unknown"
			if c.Cause != nil {
				by = "nobody"
				if c.Cause.By != nil {
					by = c.Cause.By.ID
				}
				for _, g := range c.Cause.Through {
					by += " through " + g.Name
				}
			}
			out = append(out, string(c.What)+" "+by)
		}
		for _, m := range d.NotLookedAt {
			out = append(out, "not looked at in "+m.In)
		}
		if got := strings.Join(out, "; "); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if d.Equal != (test.want == "") {
			t.Errorf("%s: equal %t", name, d.Equal)
		}
	}
}

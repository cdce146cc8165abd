package pgstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"privsync/executor"
	"privsync/executor/pgstore"
	"privsync/mstrapi"
	"privsync/planner"
)

// sight is what a report saw of a user: nil that it could not read it.
type sight map[string]*executor.Sets

func held(direct, inherited []mstrapi.PrivilegeID) *executor.Sets {
	return &executor.Sets{Direct: planner.SetOf(direct...), Inherited: planner.SetOf(inherited...)}
}

// userID makes an id of a short name.
func userID(name string) mstrapi.ObjectID {
	return mstrapi.ObjectID(strings.Repeat("0", 32-len(name)) + strings.ToUpper(name))
}

// TestHistory: who held what is told at any time by the latest report before it, in the
// order of the runs and not of their storing, and "nobody" only where somebody looked.
func TestHistory(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.open()
	day := func(n int) time.Time { return time.Date(2026, 3, n, 2, 0, 0, 0, time.UTC) }
	add := func(id string, at time.Time, saw sight) {
		t.Helper()
		r := &executor.Report{
			Format: executor.ReportFormat, Run: executor.Run{ID: id, Command: "audit", StartedAt: at, FinishedAt: at, Outcome: executor.RunInSync},
			Environment: planner.Environment{URL: target.URL}, Scope: planner.Scope{Level: mstrapi.LevelServer},
			Privileges: []planner.PrivilegeRef{{ID: 53, Name: "Bypass"}, {ID: 54, Name: "Other"}},
		}
		for name, sets := range saw {
			r.Principals = append(r.Principals, executor.Result{Principal: planner.Principal{Kind: mstrapi.User, ID: userID(name), Name: name, Login: name}, After: sets})
		}
		if _, err := s.Deliver(t.Context(), r, executor.Destination{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	ids := func(n ...mstrapi.PrivilegeID) []mstrapi.PrivilegeID { return n }
	add("r2", day(2), sight{"a": held(ids(53), nil), "b": held(nil, ids(53))})
	add("r5", day(5), sight{"a": held(nil, nil), "b": nil, "c": held(ids(53), ids(53))})
	// One that is stored late, as an import is.
	add("r3", day(3), sight{"a": held(ids(53, 54), nil), "b": held(nil, ids(53))})
	add("r6", day(6), sight{"a": held(ids(53), nil)})

	reader := d.open()
	at := func(when time.Time, privilege string) (*executor.HeldAt, error) {
		return reader.HeldAt(t.Context(), []string{privilege}, when, "")
	}
	names := func(list []executor.SeenAt) string {
		var out []string
		for _, x := range list {
			out = append(out, x.Principal.Login)
		}
		return strings.Join(out, " ")
	}
	for _, tt := range []struct {
		when                      time.Time
		holders, unknown, notSeen string
	}{
		{day(2), "a:r2 b:r2", "", "c"},
		{day(4), "a:r3 b:r3", "", "c"},
		{day(5), "c:r5", "b", ""},
		{day(9), "a:r6 c:r5", "b", ""},
	} {
		doc, err := at(tt.when, "bypass")
		if err != nil {
			t.Errorf("%s: %v", tt.when, err)
			continue
		}
		var holders []string
		for _, h := range doc.Holders {
			holders = append(holders, h.Principal.Login+":"+h.Run)
		}
		if got := strings.Join(holders, " "); got != tt.holders || names(doc.Unknown) != tt.unknown || names(doc.NotSeen) != tt.notSeen {
			t.Errorf("%s: holders %q, unknown %q, not seen %q, want %q, %q and %q", tt.when.Format(time.DateOnly), got, names(doc.Unknown), names(doc.NotSeen), tt.holders, tt.unknown, tt.notSeen)
		}
	}
	for _, tt := range []struct {
		when      time.Time
		privilege string
	}{{day(1), "53"}, {day(5), "99"}, {day(5), "Unheard Of"}} {
		if doc, err := at(tt.when, tt.privilege); !errors.Is(err, pgstore.ErrNotLooked) {
			t.Errorf("%s %s: %+v, %v, want ErrNotLooked", tt.when, tt.privilege, doc, err)
		}
	}

	var got string
	err := d.admin.QueryRow(t.Context(), `SELECT string_agg(concat_ws(',', login, privilege, privilege_name, direct, inherited, since_run, last_run, coalesce(gone_run, '-')), ' ' ORDER BY login, privilege, since)
		FROM privsync.history`).Scan(&got)
	const want = "a,53,Bypass,t,f,r2,r3,r5 a,53,Bypass,t,f,r6,r6,- a,54,Other,t,f,r3,r3,r5 b,53,Bypass,f,t,r2,r3,- c,53,Bypass,t,t,r5,r5,-"
	if err != nil || got != want {
		t.Errorf("history = %q, %v, want %q", got, err, want)
	}
}

package executor_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
	"privsync/policy"
)

// A stage is a small server and one apply on it.
type stage struct {
	sim *mstrtest.Server
	w   *mstrapi.Writer
}

// Ids of the small server: group g, users u and v (both in g) and w (in none).
var (
	idG = mstrtest.DerivedID("group", "g")
	idU = mstrtest.DerivedID("user", "u")
	idV = mstrtest.DerivedID("user", "v")
	idW = mstrtest.DerivedID("user", "w")
)

func newStage(t *testing.T, o mstrtest.Options, edit func(*mstrtest.Environment)) *stage {
	t.Helper()
	env := &mstrtest.Environment{
		Groups: []mstrtest.Group{{ID: idG, Name: "g"}},
		Users: []mstrtest.User{
			{ID: idU, Login: "u", Name: "u", Groups: []mstrapi.ObjectID{idG}},
			{ID: idV, Login: "v", Name: "v", Groups: []mstrapi.ObjectID{idG}},
			{ID: idW, Login: "w", Name: "w"},
			{ID: mstrtest.DerivedID("user", "svc"), Login: mstrtest.ServiceLogin, Name: "svc", Password: mstrtest.ServicePassword, Privileges: []mstrapi.PrivilegeID{50}},
		},
	}
	names := map[mstrapi.PrivilegeID]string{
		50: mstrtest.UserManagerName, 61: mstrtest.LibraryWebName, 62: mstrtest.WatchlistName, 63: mstrtest.InsightName,
	}
	for id := mstrapi.PrivilegeID(1); id <= 80; id++ {
		name := names[id]
		if name == "" {
			name = fmt.Sprintf("Privilege %d", id)
		}
		env.Catalogue = append(env.Catalogue, mstrapi.Privilege{ID: id, Name: name})
	}
	if edit != nil {
		edit(env)
	}
	s := &stage{sim: mstrtest.NewServer(env, o)}
	t.Cleanup(s.sim.Close)
	var err error
	if s.w, err = mstrapi.OpenWriter(t.Context(), config(s.sim)); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) plan(t *testing.T, text string) (*planner.State, *planner.Plan) {
	t.Helper()
	pol, err := policy.Parse("p.yaml", []byte("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: p, owner: o}\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	state, err := planner.Observe(t.Context(), s.w, pol, planner.ObserveOptions{URL: worldURL})
	if err != nil {
		t.Fatal(err)
	}
	plan := planner.Make(pol, state, planner.MakeOptions{})
	if err := plan.Seal(); err != nil {
		t.Fatal(err)
	}
	return state, plan
}

func (s *stage) apply(t *testing.T, text string, o executor.Options) *executor.Report {
	t.Helper()
	state, plan := s.plan(t, text)
	o.RunID, o.InSync, o.Catalogue = "r", executor.InSyncOf(state, plan), state.Catalogue
	r := executor.Apply(t.Context(), s.w, plan, o)
	reportBytes(t, r)
	return r
}

// once runs f when the first request of the method and path arrives.
func (s *stage) once(method, path string, f func()) {
	done := false
	s.sim.OnRequest(func(_ int, r *http.Request) {
		if !done && r.Method == method && strings.Contains(r.URL.Path, path) {
			done = true
			f()
		}
	})
}

// outcome says how the run and one principal ended.
func outcome(t *testing.T, r *executor.Report, id mstrapi.ObjectID) string {
	t.Helper()
	for _, p := range r.Principals {
		if p.Principal.ID == id {
			return fmt.Sprintf("%d %s %s", executor.ExitCode(r), r.Run.Outcome, p.Outcome)
		}
	}
	return fmt.Sprintf("%d %s absent", executor.ExitCode(r), r.Run.Outcome)
}

func has(r *executor.Report, code planner.Code, text string) bool {
	for _, f := range r.Findings {
		if f.Code == code && strings.Contains(f.Message, text) {
			return true
		}
	}
	return false
}

// inBubble is a subtest with a clock of its own.
func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// TestVerifiedIsTheWholeSet: what is there when the run ends decides, whoever
// brought it about.
func TestVerifiedIsTheWholeSet(t *testing.T) {
	effects := mstrtest.Quirks{SideEffects: []mstrtest.SideEffect{{Privilege: 25, Needs: []mstrapi.PrivilegeID{26}}}}
	const only25 = "principals: [{user: w, mode: authoritative, privileges: [25]}]\n"
	inBubble(t, "a prerequisite comes along", func(t *testing.T) {
		s := newStage(t, mstrtest.Options{Quirks: effects}, nil)
		for night := range 4 {
			r := s.apply(t, only25, executor.Options{})
			if got := outcome(t, r, idW); got != "4 partial drifted" {
				t.Errorf("night %d: %s", night, got)
			}
			if !has(r, planner.CodeSideEffect, "prerequisites: [{privilege: 25, needs: [26]}]") {
				t.Errorf("night %d: no finding names the pair: %+v", night, r.Findings)
			}
		}
	})
	inBubble(t, "a prerequisite of one of several", func(t *testing.T) {
		s := newStage(t, mstrtest.Options{Quirks: effects}, nil)
		r := s.apply(t, "principals: [{user: w, mode: authoritative, privileges: [25, 30]}]\n", executor.Options{})
		if !has(r, planner.CodeSideEffect, `along with one of 25 "Privilege 25", 30 "Privilege 30"`) || !has(r, planner.CodeSideEffect, "prerequisites: [{privilege: 25, needs: [26]}] or prerequisites: [{privilege: 30, needs: [26]}]") {
			t.Errorf("no finding names what it may come from: %+v", r.Findings)
		}
	})
	inBubble(t, "two policies fight", func(t *testing.T) {
		s := newStage(t, mstrtest.Options{}, nil)
		s.once("PATCH", string(idW), func() { _ = s.sim.Grant(idW, 54) })
		r := s.apply(t, "principals: [{user: w, mode: authoritative, privileges: [53]}]\n", executor.Options{})
		if got := outcome(t, r, idW); got != "4 partial drifted" {
			t.Error(got)
		}
	})
	inBubble(t, "a forbidden one comes", func(t *testing.T) {
		s := newStage(t, mstrtest.Options{}, nil)
		s.once("PATCH", string(idW), func() { _ = s.sim.Grant(idW, 71) })
		r := s.apply(t, "principals: [{user: w, privileges: [53], forbid: [71]}]\n", executor.Options{})
		if got := outcome(t, r, idW); got != "4 partial drifted" {
			t.Error(got)
		}
	})
	inBubble(t, "one that does not matter comes", func(t *testing.T) {
		s := newStage(t, mstrtest.Options{}, nil)
		s.once("PATCH", string(idW), func() { _ = s.sim.Grant(idW, 72) })
		r := s.apply(t, "principals: [{user: w, privileges: [53]}]\n", executor.Options{})
		if got := outcome(t, r, idW); got != "0 succeeded applied" || !has(r, planner.CodeUnexpectedChange, `72 "Privilege 72" came`) {
			t.Errorf("%s, findings %+v", got, r.Findings)
		}
	})
	inBubble(t, "a saved plan judges, too", func(t *testing.T) {
		s := newStage(t, mstrtest.Options{}, nil)
		_, plan := s.plan(t, "principals: [{user: w, privileges: [53], forbid: [71]}]\n")
		plan, err := planner.ReadPlan(strings.NewReader(string(planBytes(t, plan))))
		if err != nil {
			t.Fatal(err)
		}
		s.once("PATCH", string(idW), func() { _ = s.sim.Grant(idW, 71) })
		if got := outcome(t, executor.Apply(t.Context(), s.w, plan, executor.Options{Saved: true}), idW); got != "4 partial drifted" {
			t.Error(got)
		}
	})
	inBubble(t, "what came to a group reaches its members", func(t *testing.T) {
		for _, saved := range []bool{false, true} {
			s := newStage(t, mstrtest.Options{Quirks: effects}, nil)
			state, plan := s.plan(t, "principals: [{group: g, privileges: [25]}, {user: v, forbid: [26]}]\n")
			o := executor.Options{InSync: executor.InSyncOf(state, plan)}
			if saved {
				var err error
				if plan, err = planner.ReadPlan(strings.NewReader(string(planBytes(t, plan)))); err != nil {
					t.Fatal(err)
				}
				o = executor.Options{Saved: true}
			}
			if got := outcome(t, executor.Apply(t.Context(), s.w, plan, o), idV); got != "4 partial drifted" {
				t.Errorf("saved %v: %s", saved, got)
			}
		}
	})
}

// TestInheritedInItsPlace: a direct grant is taken away because it is inherited
// only while it is.
func TestInheritedInItsPlace(t *testing.T) {
	const redundant = "defaults: {redundant: revoke}\nprincipals: [{user: u, privileges: [53]}]\n"
	both := func(e *mstrtest.Environment) {
		e.Groups[0].Privileges = []mstrapi.PrivilegeID{53}
		e.Users[0].Privileges = []mstrapi.PrivilegeID{53}
	}
	for name, leave := range map[string]func(s *stage) error{
		"the user leaves the group":     func(s *stage) error { return s.sim.SetGroups(idU) },
		"the group loses the privilege": func(s *stage) error { return s.sim.Revoke(idG, 53) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, mstrtest.Options{}, both)
				state, plan := s.plan(t, redundant)
				if err := leave(s); err != nil {
					t.Fatal(err)
				}
				r := executor.Apply(t.Context(), s.w, plan, executor.Options{InSync: executor.InSyncOf(state, plan)})
				if got := outcome(t, r, idU); got != "4 failed held-back" || len(s.sim.Writes()) > 0 {
					t.Errorf("%s after %d writes", got, len(s.sim.Writes()))
				}
			})
		})
	}
	t.Run("it still is", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, mstrtest.Options{}, both)
			if got := outcome(t, s.apply(t, redundant, executor.Options{}), idU); got != "0 succeeded applied" {
				t.Error(got)
			}
		})
	})
	t.Run("the first reading is old", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, mstrtest.Options{}, func(e *mstrtest.Environment) { e.Users[0].Privileges = []mstrapi.PrivilegeID{53} })
			if err := s.sim.Inject(mstrtest.Fault{Kind: mstrtest.OldRead, Path: "/users/" + string(idU), Skip: 1, Delay: 4 * time.Second}); err != nil {
				t.Fatal(err)
			}
			r := s.apply(t, "principals: [{group: g, privileges: [53]}, {user: u, mode: authoritative, privileges: []}]\n", executor.Options{})
			if got := outcome(t, r, idU); got != "0 succeeded applied" {
				t.Errorf("%s %+v", got, r.Principals)
			}
		})
	})
}

// TestReadingsThatLag: an old reading is waited for, to the end of the patience.
func TestReadingsThatLag(t *testing.T) {
	for lag, want := range map[time.Duration]string{5 * time.Second: "0 succeeded applied", time.Minute: "4 failed unverified"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, mstrtest.Options{}, nil)
			if err := s.sim.Inject(mstrtest.Fault{Kind: mstrtest.OldRead, Delay: lag}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if got := outcome(t, s.apply(t, "principals: [{user: w, privileges: [53]}]\n", executor.Options{}), idW); got != want {
				t.Errorf("lag %s: %s, want %s", lag, got, want)
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("lag %s: took %s", lag, took)
			}
		})
	}
}

// TestLostIsNotUndone: a write whose answer was lost is seen to have landed, or
// unverified; never failed.
func TestLostIsNotUndone(t *testing.T) {
	for delay, want := range map[time.Duration]string{8 * time.Second: "0 succeeded applied", time.Hour: "4 failed unverified"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, mstrtest.Options{}, nil)
			if err := s.sim.Inject(mstrtest.Fault{Kind: mstrtest.LateWrite, Delay: delay}); err != nil {
				t.Fatal(err)
			}
			r := s.apply(t, "principals: [{user: w, privileges: [53]}]\n", executor.Options{MaxAttempts: 1})
			if got := outcome(t, r, idW); got != want {
				t.Errorf("delay %s: %s, want %s", delay, got, want)
			}
			if want[0] == '4' && !strings.Contains(r.Principals[0].Error.Message, "unknown whether done") {
				t.Errorf("error = %q", r.Principals[0].Error.Message)
			}
			time.Sleep(2 * time.Hour)
			undo, err := executor.Rollback(context.WithoutCancel(t.Context()), s.w, r, executor.RollbackOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(undo.Changes) != 1 || len(undo.Changes[0].Revoke) != 1 {
				t.Errorf("delay %s: the rollback is %+v", delay, undo.Changes)
			}
		})
	}
}

// TestCommandIsReadBack: what the metadata command grants by itself is seen.
func TestCommandIsReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, mstrtest.Options{}, nil)
		text := "principals: [{user: w, privileges: [61], forbid: [62]}, {user: v, mode: authoritative, privileges: [61]}]\ncommands: [assign-watch-kpi-insight]\n"
		_, plan := s.plan(t, text)
		warned := 0
		for _, f := range plan.Findings {
			if f.Code == planner.CodeSideEffect && f.Severity == planner.SeverityWarning {
				warned++
			}
		}
		if warned != 2 {
			t.Errorf("findings = %+v, want one for each privilege", plan.Findings)
		}
		r := s.apply(t, text, executor.Options{})
		for _, id := range []mstrapi.ObjectID{idW, idV} {
			if got := outcome(t, r, id); got != "4 partial drifted" {
				t.Errorf("%s: %s", id, got)
			}
		}
	})
}

// TestAfterIsWhenTheRunEnds: the inherited part of after is read when all waves
// are done, also of those who were in sync all along.
func TestAfterIsWhenTheRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, mstrtest.Options{}, func(e *mstrtest.Environment) {
			e.Groups[0].Privileges = []mstrapi.PrivilegeID{53}
		})
		r := s.apply(t, "principals: [{group: g, mode: authoritative, privileges: [54]}, {user: u, privileges: [55]}, {user: v, forbid: [70]}]\n", executor.Options{})
		if executor.ExitCode(r) != 0 {
			t.Errorf("exit %d: %+v", executor.ExitCode(r), r.Summary)
		}
		for _, p := range r.Principals {
			if want := planner.SetOf(s.sim.Inherited(p.Principal.ID)...); !p.After.Inherited.Equal(want) {
				t.Errorf("%s inherits %v, after says %v", p.Principal.Name, want.IDs(), p.After.Inherited.IDs())
			}
		}
	})
}

// TestGoneMeanwhile: who is deleted while a run is under way leaves it.
func TestGoneMeanwhile(t *testing.T) {
	for name, written := range map[string]mstrapi.ObjectID{"before the write": idV, "in the write": idW} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, mstrtest.Options{}, nil)
				s.once("PATCH", string(written), func() { _ = s.sim.RemoveUser(idW) })
				state, plan := s.plan(t, "principals: [{user: v, privileges: [53]}, {user: w, privileges: [53]}]\n")
				r := executor.Apply(t.Context(), s.w, plan, executor.Options{Concurrency: 1, MaxStaleness: 1, InSync: executor.InSyncOf(state, plan)})
				if got := outcome(t, r, idW); got != "0 succeeded absent" || !has(r, planner.CodeGonePrincipal, "") {
					t.Errorf("%s, %+v", got, r.Findings)
				}
			})
		})
	}
}

// TestRulesAfterTheRun: what the server does along breaks a rule, and the report
// says so.
func TestRulesAfterTheRun(t *testing.T) {
	for _, tt := range []struct {
		name, rule string
		broken     int
		exit       int
	}{
		{"deny", "deny: [26]", 1, 4},
		{"conflict", "conflict: [25, 26]", 1, 4},
		{"another privilege", "deny: [27]", 0, 0},
		{"exempt", "deny: [26], except: [{user: w}]", 0, 0},
	} {
		inBubble(t, tt.name, func(t *testing.T) {
			s := newStage(t, mstrtest.Options{}, nil)
			s.sim.SetSideEffects([]mstrtest.SideEffect{{Privilege: 25, Needs: []mstrapi.PrivilegeID{26}}})
			r := s.apply(t, "rules:\n  - {name: r, "+tt.rule+"}\nprincipals:\n  - {user: w, privileges: [25]}\n", executor.Options{})
			if len(r.Rules) != 1 || r.Rules[0].Violations != tt.broken {
				t.Errorf("rules are %+v, want %d violations", r.Rules, tt.broken)
			}
			if got := has(r, planner.CodeRuleViolation, "26"); got != (tt.broken > 0) {
				t.Errorf("a finding about the rule: %v", got)
			}
			if got := executor.ExitCode(r); got != tt.exit {
				t.Errorf("exit %d, want %d (%s)", got, tt.exit, outcome(t, r, idW))
			}
		})
	}
}

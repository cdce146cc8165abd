package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"privsync/mstrapi"
	"privsync/policy"
)

// only returns the one finding of the plan, or fails.
func only(t *testing.T, plan *Plan, code Code) Finding {
	t.Helper()
	if len(plan.Findings) != 1 || plan.Findings[0].Code != code {
		t.Fatalf("findings = %v, want one %s", plan.Findings, code)
	}
	return plan.Findings[0]
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("message %q does not say %q", text, part)
		}
	}
}

// TestNames: whom an entry names, and what is said when it names nobody.
func TestNames(t *testing.T) {
	build := func() *model {
		m := newModel()
		m.group("Night Shift", nil)
		m.group("Twins", nil)
		m.group("Twins", nil)
		m.group("night shift", nil)
		m.user("Demo", nil)
		m.user("a*", nil)
		m.user("abc", nil)
		m.user(`o'brien "x"`, nil)
		return m
	}
	pin := func(e policy.Entry, id mstrapi.ObjectID) policy.Entry {
		e.Principal.ID = string(id)
		return e
	}
	demo, nightShift := idOf(mstrapi.User, 5), idOf(mstrapi.Group, 1)
	tests := []struct {
		name  string
		entry policy.Entry
		found mstrapi.ObjectID // "": nobody
		code  Code
		text  []string
	}{
		{"login in another case", entry(policy.User, "dEMO", policy.Additive, listed(1)), demo, "", nil},
		{"login with a wildcard", entry(policy.User, "a*", policy.Additive, listed(1)), idOf(mstrapi.User, 6), "", nil},
		{"login with quotes", entry(policy.User, `O'Brien "X"`, policy.Additive, listed(1)), idOf(mstrapi.User, 8), "", nil},
		{"group exactly", entry(policy.Group, "Night Shift", policy.Additive, listed(1)), nightShift, "", nil},
		{"group in another case", entry(policy.Group, "NIGHT SHIFT", policy.Additive, listed(1)), "", CodeUnknownPrincipal, []string{`"NIGHT SHIFT"`}},
		{"unknown", entry(policy.User, "demon", policy.Additive, listed(1)), "", CodeUnknownPrincipal, []string{`"demon"`}},
		{"two of the name", entry(policy.Group, "Twins", policy.Additive, listed(1)), "", CodeAmbiguousPrincipal, []string{string(idOf(mstrapi.Group, 2)), string(idOf(mstrapi.Group, 3))}},
		{"id decides", pin(entry(policy.Group, "Twins", policy.Additive, listed(1)), idOf(mstrapi.Group, 3)), idOf(mstrapi.Group, 3), "", nil},
		{"id of another", pin(entry(policy.User, "abc", policy.Additive, listed(1)), demo), demo, CodeNameMismatch, []string{"Demo", `"abc"`}},
		{"id of another group", pin(entry(policy.Group, "night shift", policy.Additive, listed(1)), nightShift), nightShift, CodeNameMismatch, []string{"Night Shift"}},
		{"id of nobody", pin(entry(policy.User, "demo", policy.Additive, listed(1)), idOf(mstrapi.User, 99)), "", CodeUnknownPrincipal, []string{string(idOf(mstrapi.User, 99))}},
		{"id of the other kind", pin(entry(policy.User, "demo", policy.Additive, listed(1)), nightShift), "", CodeUnknownPrincipal, nil},
	}
	for _, test := range tests {
		for _, way := range []string{"alone", "from the list", "bare rows"} {
			t.Run(test.name+"/"+way, func(t *testing.T) {
				m := build()
				m.bareRows = way == "bare rows"
				entries := []policy.Entry{test.entry}
				if way != "alone" {
					// Another of the kind, so that the list is read.
					other := covering(policy.User, "abc")
					if test.entry.Principal.Kind == policy.Group {
						other = covering(policy.Group, "night shift")
					}
					if test.name != "id of another group" {
						entries = append(entries, other)
					}
				}
				pol := policyOf(entries...)
				plan := planFor(t, m, pol)
				if test.found == "" && len(plan.Changes) > 0 || test.found != "" && reasonIn(plan, test.found, 1) != ReasonListed {
					t.Errorf("changes = %+v, want %q to be granted 1", plan.Changes, test.found)
				}
				if test.code == "" {
					if len(plan.Findings) > 0 {
						t.Errorf("findings = %v, want none", plan.Findings)
					}
					return
				}
				f := only(t, plan, test.code)
				contains(t, f.Message, test.text...)
				if want := pol.Principals[0].Principal.Pos; f.Position == nil || *f.Position != want || f.Severity != SeverityError {
					t.Errorf("finding = %+v, want an error at %s", f, want)
				}
				if len(plan.Blocking()) != 1 || !plan.Complete {
					t.Errorf("Blocking() = %v complete %v, want the finding and true", plan.Blocking(), plan.Complete)
				}
			})
		}
	}
	t.Run("suggestion", func(t *testing.T) {
		plan := planFor(t, build(), policyOf(covering(policy.Group, "Nigth Shift"), covering(policy.Group, "night shift")))
		contains(t, only(t, plan, CodeUnknownPrincipal).Message, `did you mean "Night Shift"?`)
	})
	t.Run("twice", func(t *testing.T) {
		pol := policyOf(pin(entry(policy.User, "Demo", policy.Additive, listed(1)), demo), entry(policy.User, "demo", policy.Additive, listed(2)))
		plan := planFor(t, build(), pol)
		f := only(t, plan, CodeAmbiguousPrincipal)
		contains(t, f.Message, pol.Principals[0].Principal.Pos.String())
		if *f.Position != pol.Principals[1].Principal.Pos || len(plan.Blocking()) != 1 {
			t.Errorf("finding = %+v, want it at the second, blocking", f)
		}
	})
	t.Run("disabled", func(t *testing.T) {
		m := build()
		m.byID[demo].row.Enabled = mstrapi.No
		f := only(t, planFor(t, m, policyOf(covering(policy.User, "demo"))), CodeDisabledUser)
		if f.Severity != SeverityWarning {
			t.Errorf("severity = %s, want warning", f.Severity)
		}
	})
}

// TestRedundantStaysWhileTheScanFails: what an unlisted group gives is not there
// for good, so a direct grant beside it is not redundant while nobody knows who
// is unlisted.
func TestRedundantStaysWhileTheScanFails(t *testing.T) {
	for _, fails := range []bool{false, true} {
		m := newModel()
		stray := m.group("Stray", ids(1))
		u := m.user("u", ids(1), stray)
		e := entry(policy.User, "u", policy.Additive, listed(1))
		e.Settings.Redundant = policy.RedundantRevoke
		pol := sketch(e)
		pol.Unlisted = policy.UnlistedRevoke
		pol = parsed(pol)
		if fails {
			m.fail = failWith("List group", errBroken)
		}
		plan := planFor(t, m, pol)
		if got := reasonIn(plan, u.row.ID, 1); got != "" {
			t.Errorf("scan fails %v: the direct grant is revoked as %s", fails, got)
		}
		if plan.Complete == fails {
			t.Errorf("scan fails %v: complete = %v", fails, plan.Complete)
		}
	}
}

// TestAwaits: who will be in sync only through a group says so; who holds it
// already, or does not belong to the group, does not.
func TestAwaits(t *testing.T) {
	m := newModel()
	g := m.group("g", nil)
	lacks := m.user("lacks", nil, g)
	m.user("has", ids(1), g)
	m.user("outside", ids(1))
	pol := policyOf(entry(policy.Group, "g", policy.Additive, listed(1)),
		entry(policy.User, "lacks", policy.Additive, listed(1)), entry(policy.User, "has", policy.Additive, listed(1)),
		entry(policy.User, "outside", policy.Additive, listed(1)))
	plan := planFor(t, m, pol)
	if len(plan.Changes) != 1 || len(plan.Watch) != 1 {
		t.Fatalf("changes = %v, watch = %v; want one of each", plan.Changes, plan.Watch)
	}
	if w := plan.Watch[0]; len(w.Principals) != 1 || w.Principals[0].ID != lacks.row.ID || len(w.Awaits) != 1 || w.Awaits[0].Privilege.ID != 1 || !slices.Equal(w.Awaits[0].Grants, []mstrapi.ObjectID{g.row.ID}) {
		t.Errorf("watch = %+v, want user lacks, privilege 1, group g", w)
	}
}

// TestMisspelledIsNotRevoked: what an authoritative entry lists by a name that
// the catalogue does not have may be what would be revoked as not listed.
func TestMisspelledIsNotRevoked(t *testing.T) {
	for _, wrong := range []bool{false, true} {
		m := newModel()
		u := m.user("u", ids(2))
		e := entry(policy.User, "u", policy.Authoritative, listed(1))
		if wrong {
			e.Listed = policy.ListOf(append(e.Listed.Items(), policy.Listed{Ref: policy.Ref{Name: "P22"}})...)
		}
		plan := planFor(t, m, policyOf(e))
		want := map[bool]Reason{false: ReasonNotListed, true: ""}[wrong]
		if got := reasonIn(plan, u.row.ID, 2); got != want {
			t.Errorf("misspelled %v: reason to revoke 2 = %q, want %q", wrong, got, want)
		}
	}
}

// TestPrivilegeNames: a privilege that the policy may not name blocks; the rest
// of its entry is still planned.
func TestPrivilegeNames(t *testing.T) {
	tests := []struct {
		ref  policy.Ref
		text []string
	}{
		{policy.Ref{ID: 77}, []string{"77"}},
		{policy.Ref{Name: "Use Usr Manager"}, []string{`did you mean "Use User Manager"?`}},
		{policy.Ref{Name: "Twice"}, []string{"31, 32", "write the number"}},
		{policy.Ref{Name: "P21"}, []string{"project-level", "outside the policy's scope", "server"}},
		{policy.Ref{ID: 21}, []string{"outside the policy's scope"}},
	}
	for _, test := range tests {
		t.Run(test.ref.String(), func(t *testing.T) {
			m := newModel()
			m.catalogue = append(m.catalogue, mstrapi.Privilege{ID: 31, Name: "Twice"}, mstrapi.Privilege{ID: 32, Name: "Twice"})
			u := m.user("u", ids(3))
			for _, where := range []string{"listed", "forbid", "rule"} {
				e := entry(policy.User, "u", policy.Additive, listed(1))
				pol := sketch(e)
				switch where {
				case "listed":
					pol.Principals[0].Listed = policy.ListOf(append(pol.Principals[0].Listed.Items(), policy.Listed{Ref: test.ref})...)
				case "forbid":
					pol.Principals[0].Forbid = []policy.Listed{{Ref: test.ref}}
				case "rule":
					pol.Rules = []policy.Rule{{Name: "r", Deny: []policy.Ref{test.ref}}}
				}
				pol = parsed(pol)
				plan := planFor(t, m, pol)
				f := only(t, plan, CodeUnknownPrivilege)
				contains(t, f.Message, test.text...)
				if len(plan.Blocking()) != 1 || reasonIn(plan, u.row.ID, 1) != ReasonListed {
					t.Errorf("%s: plan = %+v, want it blocked and 1 still granted", where, plan.Changes)
				}
				var want policy.Position
				switch where {
				case "listed":
					want = pol.Principals[0].Listed.Items()[1].Pos
				case "forbid":
					want = pol.Principals[0].Forbid[0].Pos
				case "rule":
					want = pol.Rules[0].Deny[0].Pos
				}
				if f.Position == nil || *f.Position != want {
					t.Errorf("%s: position = %v, want %s", where, f.Position, want)
				}
			}
		})
	}
}

// TestSelectors: what the conditions choose is tested by the property against
// the naive evaluator; here stand the odd cases.
func TestSelectors(t *testing.T) {
	enabled := func(b bool) *bool { return &b }
	choose := func(s policy.Selector) policy.Entry {
		return policy.Entry{Selector: &s, Listed: policy.ListOf(listed(1))}
	}
	t.Run("nobody", func(t *testing.T) {
		m := newModel()
		m.user("u", nil)
		pol := policyOf(choose(policy.Selector{Kind: policy.User, Conditions: policy.Conditions{LoginMatches: "x*"}}))
		f := only(t, planFor(t, m, pol), CodeSelectorEmpty)
		if want := pol.Principals[0].Selector.Pos; f.Severity != SeverityWarning || *f.Position != want {
			t.Errorf("finding = %+v, want a warning at %s", f, want)
		}
	})
	t.Run("unknown group", func(t *testing.T) {
		m := newModel()
		f := only(t, planFor(t, m, policyOf(choose(policy.Selector{Kind: policy.User, Conditions: policy.Conditions{MemberOf: "Nobody"}}))), CodeUnknownPrincipal)
		contains(t, f.Message, `"Nobody"`)
	})
	t.Run("enabled, from Everyone", func(t *testing.T) {
		m := newModel()
		m.bareRows = true
		m.principals = append(m.principals, &subject{row: mstrapi.PrincipalRow{Kind: mstrapi.Group, ID: mstrapi.EveryoneGroup, Name: "Everyone"}})
		m.byID[mstrapi.EveryoneGroup] = m.principals[0]
		for i := range 12 {
			u := m.user(fmt.Sprintf("u%d", i), nil, m.principals[0])
			if i%3 == 0 {
				u.row.Enabled = mstrapi.No
			}
		}
		plan := planFor(t, m, policyOf(choose(policy.Selector{Kind: policy.User, Conditions: policy.Conditions{Enabled: enabled(false)}})))
		if len(plan.Changes) != 4 || m.total("Principal") != 0 || m.total("GroupMembers") != 1 {
			t.Errorf("changes = %d, calls = %v, want 4 from one page of Everyone", len(plan.Changes), m.calls)
		}
	})
	t.Run("enabled, one by one", func(t *testing.T) {
		m := newModel()
		m.bareRows = true
		m.user("svc1", nil)
		m.user("svc2", nil).row.Enabled = mstrapi.No
		m.user("other", nil)
		plan := planFor(t, m, policyOf(choose(policy.Selector{Kind: policy.User, Conditions: policy.Conditions{LoginMatches: "svc*", NameMatches: "The *", Enabled: enabled(true)}})))
		if len(plan.Changes) != 1 || plan.Changes[0].Principal.Login != "svc1" {
			t.Errorf("changes = %+v, want svc1", plan.Changes)
		}
	})
	t.Run("selectors disagree", func(t *testing.T) {
		m := newModel()
		m.user("a", ids(2))
		m.user("b", ids(2))
		m.user("c", ids(2))
		one, two := choose(policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "*"}}), choose(policy.Selector{Kind: policy.User, Conditions: policy.Conditions{LoginMatches: "*"}})
		two.Settings.Mode = policy.Authoritative
		explicit := entry(policy.User, "c", policy.Authoritative)
		pol := policyOf(one, two, explicit)
		plan := planFor(t, m, pol)
		f := only(t, plan, CodeConflictingEntries)
		contains(t, f.Message, "mode", pol.Principals[0].Pos.String(), pol.Principals[1].Pos.String(), "1 other")
		if len(plan.Blocking()) != 1 {
			t.Error("selectors that disagree do not block")
		}
		if got := reasonIn(plan, m.principals[2].row.ID, 2); got != ReasonNotListed {
			t.Errorf("the explicit entry's mode gives %q, want the revoke of 2", got)
		}
	})
	t.Run("listed here, forbidden there", func(t *testing.T) {
		m := newModel()
		u := m.user("a", ids(1))
		e := entry(policy.User, "a", policy.Authoritative)
		e.Forbid = []policy.Listed{{Ref: policy.Ref{ID: 1}}}
		pol := policyOf(choose(policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "*"}}), e)
		plan := planFor(t, m, pol)
		f := only(t, plan, CodeConflictingEntries)
		contains(t, f.Message, pol.Principals[0].Listed.Items()[0].Pos.String(), pol.Principals[1].Forbid[0].Pos.String(), `1 "P1"`)
		if reasonIn(plan, u.row.ID, 1) != "" {
			t.Error("the contradictory privilege is changed all the same")
		}
	})
}

// TestExpiry: the last day counts to its end in UTC.
func TestExpiry(t *testing.T) {
	last := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		now    time.Time
		reason Reason
		code   Code
		text   []string
	}{
		{last.AddDate(0, -1, 0), "", "", nil},
		{last.AddDate(0, 0, -14).Add(-time.Second), "", "", nil},
		{last.AddDate(0, 0, -14), "", CodeExpiringSoon, []string{"2026-12-31", "CHG-1", "in 14 days"}},
		{last.AddDate(0, 0, -1).Add(23 * time.Hour), "", CodeExpiringSoon, []string{"in 1 day"}},
		{last.Add(23 * time.Hour), "", CodeExpiringSoon, []string{"ends with 2026-12-31, today"}},
		{last.Add(24 * time.Hour), ReasonExpired, CodeExpiredEntry, []string{"2026-12-31", "CHG-1"}},
		{last.Add(24 * time.Hour).In(time.FixedZone("west", -10*3600)), ReasonExpired, CodeExpiredEntry, nil},
	}
	for _, test := range tests {
		m := newModel()
		u := m.user("u", ids(1))
		l := until(1, last)
		l.Reason = "CHG-1"
		pol := policyOf(entry(policy.User, "u", policy.Additive, l))
		st, err := Observe(t.Context(), m, pol, ObserveOptions{Now: test.now})
		if err != nil {
			t.Fatal(err)
		}
		plan := Make(pol, st, MakeOptions{})
		if got := reasonIn(plan, u.row.ID, 1); got != test.reason {
			t.Errorf("at %s: reason = %q, want %q", test.now, got, test.reason)
		}
		if test.code == "" {
			if len(plan.Findings) > 0 {
				t.Errorf("at %s: findings = %v, want none", test.now, plan.Findings)
			}
			continue
		}
		f := only(t, plan, test.code)
		contains(t, f.Message, test.text...)
		if want := pol.Principals[0].Listed.Items()[0].Pos; f.Position == nil || *f.Position != want || f.Principal == nil || f.Principal.ID != u.row.ID || f.Privilege.ID != 1 {
			t.Errorf("at %s: finding = %+v, want it at %s for the user", test.now, f, want)
		}
	}
	// How long before is the policy's to say; 0 means never.
	for within, want := range map[int]int{0: 0, 1: 1, 2: 1, 5: 2, 6: 3} {
		m := newModel()
		m.user("u", ids(1, 2, 3))
		pol := sketch(entry(policy.User, "u", policy.Additive,
			until(1, testNow().AddDate(0, 0, 1)), until(2, testNow().AddDate(0, 0, 5)), until(3, testNow().AddDate(0, 0, 6))))
		pol.ExpiringWithinDays = within
		plan := planFor(t, m, parsed(pol))
		got := 0
		for _, f := range plan.Findings {
			if f.Code == CodeExpiringSoon {
				got++
			}
		}
		if got != want || len(plan.Changes) > 0 {
			t.Errorf("expiringWithinDays %d: findings = %v, want %d", within, plan.Findings, want)
		}
	}
	// A set's entry is told once, however many use it.
	m := newModel()
	m.user("a", nil)
	m.user("b", nil)
	l := until(1, testNow().AddDate(0, 0, -5))
	l.Set = "temporary"
	pol := policyOf(entry(policy.User, "a", policy.Additive, l), entry(policy.User, "b", policy.Additive, l))
	if f := only(t, planFor(t, m, pol), CodeExpiredEntry); f.Principal != nil {
		t.Errorf("finding = %+v, want it for nobody in particular", f)
	}
}

// TestUnlisted: who is protected is passed over, and reported.
func TestUnlisted(t *testing.T) {
	build := func() (*model, *policy.Policy) {
		m := newModel()
		m.group("System Administrators", ids(1, 2))
		m.group("Stray", ids(3))
		m.user("listed", ids(1))
		m.user("stray", ids(4, 21))
		m.user("empty", nil)
		pol := sketch(covering(policy.User, "listed"))
		pol.Safety = &policy.Safety{Protected: []policy.PrincipalRef{{Kind: policy.Group, Name: "System Administrators"}}}
		return m, pol
	}
	m, pol := build()
	pol.Unlisted = policy.UnlistedReport
	plan := planFor(t, m, parsed(pol))
	if len(plan.Changes) != 0 || len(plan.Findings) != 3 || plan.Findings[0].Code != CodeUnlistedPrincipal || plan.Drift() {
		t.Errorf("report: changes %v findings %v, want three findings", plan.Changes, plan.Findings)
	}
	if got := m.total("List"); got != 2 || m.total("Held") != 5 {
		t.Errorf("calls = %v, want two pages and five reads", m.calls)
	}
	m, pol = build()
	pol.Unlisted = policy.UnlistedRevoke
	plan = planFor(t, m, parsed(pol))
	only(t, plan, CodeProtectedPrincipal)
	if len(plan.Changes) != 2 || reasonIn(plan, idOf(mstrapi.Group, 2), 3) != ReasonUnlisted || reasonIn(plan, idOf(mstrapi.User, 4), 4) != ReasonUnlisted {
		t.Errorf("revoke: changes = %+v, want 3 from the group and 4 from the user", plan.Changes)
	}
	if s := plan.Summary; s.Principals != 3 || s.InSync != 1 || s.Changed != 2 || s.Unknown != 0 {
		t.Errorf("summary = %+v, want one in sync and two changed", s)
	}
	// The guards apply, and a percent is one of what the covered principals hold.
	for limit, over := range map[policy.Limit]bool{
		{Number: 1}: true, {Number: 2}: false, {Number: 100, Percent: true}: true,
	} {
		pol.Safety.MaxRevokes = &limit
		if guards := Guards(planFor(t, m, parsed(pol)), Overrides{}); (len(guards) == 1) != over {
			t.Errorf("maxRevokes %s: guards = %+v, want one: %v", limit, guards, over)
		}
	}
	pol.Safety.MaxRevokes, pol.Safety.MaxChangedPrincipals = nil, &policy.Limit{Number: 1}
	if guards := Guards(planFor(t, m, parsed(pol)), Overrides{}); len(guards) != 1 || guards[0].Name != GuardMaxChangedPrincipals {
		t.Errorf("maxChangedPrincipals 1: guards = %+v, want one", guards)
	}
	// If it is not certain who is listed, it is not certain who is not.
	m, pol = build()
	pol.Unlisted = policy.UnlistedRevoke
	pol.Principals = append(pol.Principals, covering(policy.User, "typo"))
	if plan = planFor(t, m, parsed(pol)); len(plan.Changes) != 0 {
		t.Errorf("with an unknown principal: changes = %+v, want none", plan.Changes)
	}
	m, pol = build()
	pol.Unlisted = policy.UnlistedReport
	m.fail = failing("List group", "Search group")
	if plan = planFor(t, m, parsed(pol)); plan.Complete || hasFinding(plan, CodeUnlistedPrincipal) {
		t.Errorf("without the list of groups: complete %v findings %v", plan.Complete, plan.Findings)
	}
}

// TestRuleMessages: a violation names the rule, who, every path, and whether it
// is new.
func TestRuleMessages(t *testing.T) {
	m := newModel()
	top := m.group("Top", ids(1))
	left, right := m.group("Left", nil, top), m.group("Right", nil, top)
	u := m.user("u", ids(1, 2), left, right)
	m.user("exempt", nil, left)
	admins := m.group("Admins", nil)
	m.byID[idOf(mstrapi.User, 5)].parents = append(m.byID[idOf(mstrapi.User, 5)].parents, admins.row.ID)
	pol := sketch(entry(policy.User, "u", policy.Additive, listed(3)), covering(policy.User, "exempt"))
	pol.Rules = []policy.Rule{
		{Name: "no ones", Deny: []policy.Ref{{ID: 1}}, Except: []policy.Exception{{PrincipalRef: policy.PrincipalRef{Kind: policy.Group, Name: "Admins"}}}},
		{Name: "four eyes", Conflict: []policy.Ref{{ID: 2}, {ID: 3}}, Severity: policy.RuleWarning},
		{Name: "cover", Require: []policy.Ref{{ID: 5}}, AtLeast: 2},
	}
	pol = parsed(pol)
	plan := planFor(t, m, pol)
	if len(plan.Findings) != 3 {
		t.Fatalf("findings = %v, want one for each rule", plan.Findings)
	}
	byRule := make(map[string]Finding)
	for _, f := range plan.Findings {
		for _, r := range pol.Rules {
			if strings.Contains(f.Message, r.Name) {
				byRule[r.Name] = f
				if f.Position == nil || *f.Position != r.Pos {
					t.Errorf("position of %s = %v, want %s", r.Name, f.Position, r.Pos)
				}
			}
		}
	}
	contains(t, byRule["no ones"].Message, `user "The u" (u)`, `1 "P1"`, "directly", `through "Left" ← "Top"`, `through "Right" ← "Top"`, "already")
	if f := byRule["no ones"]; f.Principal.ID != u.row.ID || len(f.Sources) != 1 || f.Sources[0].Name != "Top" {
		t.Errorf("finding = %+v, want the source Top", f)
	}
	contains(t, byRule["four eyes"].Message, `2 "P2" directly`, `3 "P3" directly`, "would")
	contains(t, byRule["cover"].Message, "0 enabled users of at least 2", "already")
	if len(plan.BrokenRules()) != 2 {
		t.Errorf("BrokenRules() = %v, want the two of severity error", plan.BrokenRules())
	}
	// An exception that does not exist must not go unnoticed.
	pol.Rules[0].Except[0].Name = "Admin"
	if plan = planFor(t, m, parsed(pol)); len(plan.Blocking()) != 1 {
		t.Errorf("Blocking() = %v, want the unknown exception", plan.Blocking())
	}
}

// TestRequireStopsEarly: others are read only until enough are found.
func TestRequireStopsEarly(t *testing.T) {
	for _, atLeast := range []int{1, 5, 1000} {
		m := newModel()
		for i := range 500 {
			m.user(fmt.Sprintf("u%03d", i), ids(5))
		}
		m.user("covered", ids(5)).row.Enabled = mstrapi.No
		pol := sketch(covering(policy.User, "covered"))
		pol.Rules = []policy.Rule{{Name: "r", Require: []policy.Ref{{ID: 5}}, AtLeast: atLeast}}
		plan := planFor(t, m, parsed(pol))
		if broken := len(plan.BrokenRules()) > 0; broken != (atLeast > 500) {
			t.Errorf("atLeast %d: findings = %v", atLeast, plan.Findings)
		}
		if got := m.total("Held"); atLeast < 10 && got > 1+minSearch {
			t.Errorf("atLeast %d: %d reads, want at most %d", atLeast, got, 1+minSearch)
		}
	}
	// Who cannot be read might have been one of them: say so, and be incomplete.
	m := newModel()
	m.user("a", ids(5))
	b := m.user("b", ids(5))
	m.fail = failing("Held user " + string(b.row.ID))
	pol := sketch(covering(policy.User, "a"))
	pol.Rules = []policy.Rule{{Name: "r", Require: []policy.Ref{{ID: 5}}, AtLeast: 2}}
	plan := planFor(t, m, parsed(pol))
	if plan.Complete || len(plan.BrokenRules()) != 1 {
		t.Errorf("complete %v findings %v, want it incomplete and broken", plan.Complete, plan.Findings)
	}
	contains(t, findingIn(plan, CodeRuleViolation).Message, "1 user could not be read")
	m.fail = failing("List user", "Search user")
	pol.Principals[0].Principal.ID = string(idOf(mstrapi.User, 1))
	if plan = planFor(t, m, parsed(pol)); plan.Complete || len(plan.BrokenRules()) != 1 {
		t.Errorf("without the list of users: complete %v findings %v", plan.Complete, plan.Findings)
	}
}

// TestGroupsInACircle cannot be on a sound server; planning must end all the
// same, and leave nobody without what is listed.
func TestGroupsInACircle(t *testing.T) {
	for _, style := range []bool{false, true} {
		m := newModel()
		m.parentStyle = style
		a, b, c := m.group("A", nil), m.group("B", nil), m.group("C", nil)
		a.parents = append(a.parents, b.row.ID)
		b.parents = append(b.parents, c.row.ID)
		c.parents = append(c.parents, a.row.ID)
		u := m.user("u", nil, a)
		pol := policyOf(
			entry(policy.Group, "A", policy.Additive, listed(1)), entry(policy.Group, "B", policy.Additive, listed(1)),
			entry(policy.User, "u", policy.Additive, listed(1)))
		plan := planFor(t, m, pol)
		for i := range plan.Changes {
			m.apply(&plan.Changes[i], true, true)
		}
		if !m.effective(u.row.ID).Has(1) || !m.effective(b.row.ID).Has(1) {
			t.Errorf("after %+v the user or group B lacks what is listed", plan.Changes)
		}
		if again := planFor(t, m, pol); len(again.Changes) > 0 {
			t.Errorf("second plan = %+v, want nothing", again.Changes)
		}
	}
}

package planner

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"privsync/mstrapi"
	"privsync/policy"
)

// drawModel draws a server: up to eight groups nested in any way, up to seven
// users, and direct grants everywhere.
func drawModel(t *rapid.T) *model {
	m := newModel()
	privileges := rapid.SliceOfNDistinct(rapid.SampledFrom(ids(1, 2, 3, 4, 9, 21)), 0, 4, rapid.ID)
	var groups []*subject
	for i := range rapid.IntRange(0, 8).Draw(t, "groups") {
		var parents []*subject
		for _, g := range groups {
			if rapid.IntRange(0, 9).Draw(t, "parent") < 4 {
				parents = append(parents, g)
			}
		}
		groups = append(groups, m.group(fmt.Sprintf("%c-group", 'A'+i), privileges.Draw(t, "direct"), parents...))
	}
	for i := range rapid.IntRange(1, 7).Draw(t, "users") {
		var parents []*subject
		for _, g := range groups {
			if rapid.IntRange(0, 9).Draw(t, "parent") < 3 {
				parents = append(parents, g)
			}
		}
		u := m.user(fmt.Sprintf("%s_user%d", rapid.SampledFrom([]string{"svc", "Dev"}).Draw(t, "login"), i), privileges.Draw(t, "direct"), parents...)
		if rapid.IntRange(0, 4).Draw(t, "disabled") == 0 {
			u.row.Enabled = mstrapi.No
		}
	}
	for _, s := range m.principals {
		if rapid.IntRange(0, 9).Draw(t, "security role") == 0 {
			s.other.Add(rapid.SampledFrom(ids(21, 22)).Draw(t, "role's"))
		}
	}
	m.actor = m.principals[len(m.principals)-1].row.ID
	m.flatIgnored = rapid.Bool().Draw(t, "flat ignored")
	m.flatWithGroups = rapid.Bool().Draw(t, "flat with groups")
	if !m.flatIgnored && !m.flatWithGroups {
		// A count that goes by the first page sees no groups on the second.
		m.pageCap = rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(t, "page cap")
	}
	m.bareRows = rapid.IntRange(0, 3).Draw(t, "bare rows") == 0
	// Names and ids must not go together.
	perm := rapid.Permutation(m.principals).Draw(t, "order")
	m.principals = perm
	return m
}

func drawRefs(t *rapid.T, label string, most int, scope policy.Level) []policy.Ref {
	var out []policy.Ref
	for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom(inScopeIDs(scope)), 0, most, rapid.ID).Draw(t, label) {
		out = append(out, policy.Ref{ID: int(p)})
	}
	return out
}

func inScopeIDs(scope policy.Level) []mstrapi.PrivilegeID {
	switch scope {
	case policy.LevelServer:
		return ids(1, 2, 3, 4, 9)
	case policy.LevelProject:
		return ids(21, 22)
	}
	return ids(1, 2, 3, 9, 21)
}

// drawPolicy draws a policy for the model.
func drawPolicy(t *rapid.T, m *model) *policy.Policy { return parsed(drawSketch(t, m)) }

// drawSketch draws what a policy is read from: explicit entries, sets, selectors, expiry,
// forbidden privileges, unlisted, protected principals and rules.
func drawSketch(t *rapid.T, m *model) *policy.Policy {
	pol := &policy.Policy{
		Name:               "drawn",
		Scope:              rapid.SampledFrom([]policy.Level{policy.LevelServer, policy.LevelServer, policy.LevelAll, policy.LevelProject}).Draw(t, "scope"),
		Unlisted:           rapid.SampledFrom([]policy.Unlisted{policy.UnlistedIgnore, policy.UnlistedIgnore, policy.UnlistedReport, policy.UnlistedRevoke}).Draw(t, "unlisted"),
		ExpiringWithinDays: rapid.SampledFrom([]int{14, 14, 1, 0}).Draw(t, "expiring within"),
	}
	settings := func() policy.Settings {
		s := policy.Settings{
			Mode:        rapid.SampledFrom([]policy.Mode{policy.Additive, policy.Authoritative}).Draw(t, "mode"),
			SatisfiedBy: rapid.SampledFrom([]policy.SatisfiedBy{policy.Effective, policy.Effective, policy.Direct}).Draw(t, "satisfiedBy"),
			Redundant:   rapid.SampledFrom([]policy.Redundant{policy.RedundantKeep, policy.RedundantRevoke}).Draw(t, "redundant"),
			Inherited:   rapid.SampledFrom([]policy.Inherited{policy.InheritedAllow, policy.InheritedReport}).Draw(t, "inherited"),
		}
		if s.SatisfiedBy == policy.Direct {
			s.Redundant = policy.RedundantKeep // the two together are a policy error
		}
		return s
	}
	common := settings() // of selectors, which must not disagree
	terms := func() (out policy.Terms) {
		switch rapid.IntRange(0, 5).Draw(t, "until") {
		case 0:
			out.Until = testNow().AddDate(0, 0, -rapid.IntRange(1, 3).Draw(t, "days")).Truncate(24 * 3600e9)
		case 1:
			out.Until = testNow().AddDate(0, 0, rapid.IntRange(0, 20).Draw(t, "days")).Truncate(24 * 3600e9)
		}
		return out
	}
	var sets [][]policy.Listed // each of one name, for entries to share
	for i := range rapid.IntRange(0, 2).Draw(t, "sets") {
		var set []policy.Listed
		for _, ref := range drawRefs(t, "set", 3, pol.Scope) {
			set = append(set, policy.Listed{Ref: ref, Terms: terms(), Set: fmt.Sprint("set", i)})
		}
		if len(set) > 0 {
			sets = append(sets, set)
		}
	}
	fill := func(e *policy.Entry) {
		var all []policy.Listed
		if len(sets) > 0 && rapid.IntRange(0, 2).Draw(t, "of a set") == 0 {
			all = slices.Clone(rapid.SampledFrom(sets).Draw(t, "which"))
		}
		for _, ref := range drawRefs(t, "listed", 3, pol.Scope) {
			all = append(all, policy.Listed{Ref: ref, Terms: terms()})
		}
		e.Listed = policy.ListOf(all...)
		for _, ref := range drawRefs(t, "forbid", 2, pol.Scope) {
			if !slices.ContainsFunc(e.Listed.Items(), func(l policy.Listed) bool { return l.ID == ref.ID }) {
				e.Forbid = append(e.Forbid, policy.Listed{Ref: ref, Terms: terms()})
			}
		}
		if len(all)+len(e.Forbid) == 0 && e.Settings.Mode == policy.Additive {
			e.Forbid = []policy.Listed{listed(rapid.SampledFrom(inScopeIDs(pol.Scope)).Draw(t, "something"))}
		}
	}
	var groupNames []string
	for _, s := range m.principals {
		if s.row.Kind == mstrapi.Group {
			groupNames = append(groupNames, s.row.Name)
		}
		if rapid.IntRange(0, 9).Draw(t, "covered") < 5 {
			name := s.row.Name
			if s.row.Kind == mstrapi.User {
				name = rapid.SampledFrom([]string{s.row.Login, strings.ToUpper(s.row.Login)}).Draw(t, "login")
			}
			e := policy.Entry{Principal: &policy.PrincipalRef{Kind: policy.Kind(s.row.Kind), Name: name}, Settings: settings()}
			fill(&e)
			pol.Principals = append(pol.Principals, e)
		}
	}
	ref := func(label string) policy.PrincipalRef {
		s := rapid.SampledFrom(m.principals).Draw(t, label)
		if s.row.Kind == mstrapi.User {
			return policy.PrincipalRef{Kind: policy.User, Name: s.row.Login}
		}
		return policy.PrincipalRef{Kind: policy.Group, Name: s.row.Name}
	}
	selector := func() *policy.Selector {
		sel := &policy.Selector{Kind: rapid.SampledFrom([]policy.Kind{policy.User, policy.Group}).Draw(t, "kind")}
		if len(groupNames) > 0 && rapid.Bool().Draw(t, "memberOf") {
			sel.MemberOf = rapid.SampledFrom(groupNames).Draw(t, "group")
			sel.Nested = rapid.Bool().Draw(t, "nested")
		}
		if sel.Kind == policy.User {
			sel.LoginMatches = rapid.SampledFrom([]string{"", "SVC_*", "dev*", "*_USER?", "?v*1"}).Draw(t, "loginMatches")
			switch rapid.IntRange(0, 3).Draw(t, "enabled") {
			case 0:
				sel.Enabled = new(bool)
			case 1:
				yes := true
				sel.Enabled = &yes
			}
		}
		sel.NameMatches = rapid.SampledFrom([]string{"", "", "The svc*", "B*", "?-group", "*e*"}).Draw(t, "nameMatches")
		if sel.Conditions == (policy.Conditions{}) {
			sel.NameMatches = "*" // everybody: a selector has a condition
		}
		return sel
	}
	excepting := func(sel *policy.Selector) *policy.Selector {
		for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "exceptions") {
			if rapid.Bool().Draw(t, "by selector") {
				other := selector()
				if other.Kind == sel.Kind {
					sel.Except = append(sel.Except, policy.Excepted{Selector: other})
				}
			} else if named := ref("excepted"); (sel.Kind == policy.User || named.Kind == policy.Group) &&
				!slices.ContainsFunc(sel.Except, func(x policy.Excepted) bool { return x.Principal != nil && *x.Principal == named }) {
				sel.Except = append(sel.Except, policy.Excepted{Principal: &named})
			}
		}
		return sel
	}
	for range rapid.SampledFrom([]int{0, 1, 2, 3}).Draw(t, "selectors") {
		sel := excepting(selector())
		e := policy.Entry{Selector: sel, Settings: common}
		fill(&e)
		pol.Principals = append(pol.Principals, e)
	}
	if rapid.Bool().Draw(t, "safety") {
		pol.Safety = &policy.Safety{Protected: []policy.PrincipalRef{ref("protected")}}
		if rapid.Bool().Draw(t, "protected by selector") {
			pol.Safety.ProtectedBy = append(pol.Safety.ProtectedBy, excepting(selector()))
		}
	}
	for i := range rapid.SampledFrom([]int{0, 1, 2, 4}).Draw(t, "rules") {
		r := policy.Rule{Name: fmt.Sprint("rule", i), Severity: rapid.SampledFrom([]policy.RuleSeverity{policy.RuleError, policy.RuleWarning}).Draw(t, "severity")}
		refs := drawRefs(t, "rule", 3, pol.Scope)
		switch {
		case len(refs) == 0:
			continue
		case len(refs) > 1 && rapid.Bool().Draw(t, "conflict"):
			r.Conflict = refs
		case rapid.Bool().Draw(t, "deny"):
			r.Deny = refs
			for range rapid.IntRange(0, 2).Draw(t, "excepts") {
				x := policy.Exception{PrincipalRef: ref("except"), Terms: terms()}
				if !slices.ContainsFunc(r.Except, func(other policy.Exception) bool { return other.PrincipalRef == x.PrincipalRef }) {
					r.Except = append(r.Except, x)
				}
			}
		default:
			r.Require, r.AtLeast = refs, rapid.IntRange(1, 4).Draw(t, "atLeast")
		}
		pol.Rules = append(pol.Rules, r)
	}
	if len(pol.Principals) == 0 && pol.Unlisted == policy.UnlistedIgnore {
		pol.Unlisted = policy.UnlistedReport // a policy covers somebody
	}
	return pol
}

// observeIn is observe for rapid.
func observeIn(t *rapid.T, m *model, pol *policy.Policy) *State {
	st, err := Observe(t.Context(), m, pol, ObserveOptions{URL: "https://bi.example.com", Now: testNow(), Concurrency: 4})
	if err != nil {
		t.Fatalf("Observe() error: %v", err)
	}
	return st
}

func makeIn(t *rapid.T, m *model, pol *policy.Policy) *Plan {
	plan := Make(pol, observeIn(t, m, pol), MakeOptions{})
	if !plan.Complete {
		t.Fatalf("plan is not complete: %v", plan.Findings)
	}
	return plan
}

// clearTimes takes out what differs from reading to reading.
func clearTimes(plan *Plan) *Plan {
	for i := range plan.Changes {
		plan.Changes[i].ObservedAt = testNow()
	}
	return plan
}

// asJSON is the document of a plan without its digest, which comes of the rest.
func asJSON(t rapid.TB, plan *Plan) string {
	var b bytes.Buffer
	if _, err := plan.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// naiveChunks is how many times TestAgreesWithNaive runs rapid.Check, which runs
// a hundred cases unless told otherwise.
const naiveChunks = 20

// TestAgreesWithNaive: the planner and an evaluator that knows everything and
// does everything the slow way decide the same, and find the same, in thousands
// of cases.
func TestAgreesWithNaive(t *testing.T) {
	var cases, together, contradictory atomic.Int64
	var failed atomic.Bool
	explained := answers{met: make(map[string]int)}
	t.Run("cases", func(t *testing.T) {
		for chunk := range naiveChunks {
			t.Run(fmt.Sprint(chunk), func(t *testing.T) {
				t.Parallel()
				if failed.Load() {
					t.Skip("another one has failed")
				}
				defer func() { failed.CompareAndSwap(false, t.Failed()) }()
				rapid.Check(t, func(t *rapid.T) {
					m := drawModel(t)
					m.parentStyle = rapid.Bool().Draw(t, "parent style")
					pol := drawPolicy(t, m)
					d := draftOf(pol, observeIn(t, m, pol))
					plan, want := d.plan(MakeOptions{}), newNaive(m, pol)
					cases.Add(1)
					agrees := agreesWithNaive(t, m, plan, want)
					if chunk%5 == 0 {
						explained.check(t, m, d, plan, want)
					}
					switch {
					case !agrees:
						contradictory.Add(1)
					case everythingIn(m, pol):
						together.Add(1)
					}
				})
			})
		}
	})
	t.Logf("%d cases: %d with nested groups, selectors, expiry, forbidden privileges and rules together, %d that contradict themselves",
		cases.Load(), together.Load(), contradictory.Load())
	explained.enough(t)
	if n := cases.Load(); n >= 1000 && (together.Load() < n/8 || contradictory.Load() > n/2) {
		t.Error("the cases do not reach what they are for")
	}
}

// everythingIn reports whether groups are nested, somebody is chosen by a
// selector, and entries expire, forbid and stand under rules.
func everythingIn(m *model, pol *policy.Policy) bool {
	nested := slices.ContainsFunc(m.principals, func(s *subject) bool { return s.row.Kind == mstrapi.Group && len(s.parents) > 0 })
	var selector, dated, forbids bool
	for _, e := range pol.Principals {
		selector = selector || e.Selector != nil
		forbids = forbids || len(e.Forbid) > 0
		for l := range e.Listed.All() {
			dated = dated || !l.Until.IsZero()
		}
	}
	return nested && selector && dated && forbids && len(pol.Rules) > 0
}

// agreesWithNaive compares; it reports false for a policy that contradicts
// itself, of which only that is compared.
func agreesWithNaive(t *rapid.T, m *model, plan *Plan, want *naive) bool {
	if !plan.Complete {
		t.Fatalf("plan is not complete: %v", plan.Findings)
	}
	if want.conflicts {
		if !hasFinding(plan, CodeConflictingEntries) {
			t.Fatalf("no finding %s: %v", CodeConflictingEntries, plan.Findings)
		}
		return false
	}
	changes, findings := planFacts(plan)
	if !maps.Equal(want.changes, changes) {
		t.Fatalf("changes differ (-naive +plan):\n%s", cmp.Diff(want.changes, changes))
	}
	if !maps.Equal(want.findings, findings) {
		t.Fatalf("findings differ (-naive +plan):\n%s", cmp.Diff(want.findings, findings))
	}
	checkOrder(t, plan)
	wantSummary := Summary{Principals: len(want.entries), Changed: len(plan.Changes), Findings: plan.Summary.Findings, Impact: plan.Summary.Impact}
	for _, c := range plan.Changes {
		wantSummary.Grants += len(c.Grant)
		wantSummary.Revokes += len(c.Revoke)
		if want.entries[c.Principal.ID] == nil {
			wantSummary.Principals++ // unlisted
		}
	}
	wantSummary.InSync = wantSummary.Principals - wantSummary.Changed
	if diff := cmp.Diff(wantSummary, plan.Summary); diff != "" {
		t.Fatalf("summary differs (-want +plan):\n%s", diff)
	}
	for _, c := range plan.Changes {
		if c.Principal.Kind == mstrapi.Group {
			below := 0
			for _, s := range m.principals {
				if s.row.Kind == mstrapi.User && m.ancestors(s.row.ID)[c.Principal.ID] {
					below++
				}
			}
			if c.Impact.Members != below {
				t.Fatalf("impact of %s = %d, want %d", c.Principal.ID, c.Impact.Members, below)
			}
		}
	}
	return true
}

// checkOrder: groups before users, then by display name in byte order, then by
// id; privileges by number; findings without a principal first.
func checkOrder(t *rapid.T, plan *Plan) {
	place := func(p *Principal) string {
		if p == nil {
			return ""
		}
		return fmt.Sprintf("%s\x00%s\x00%s", p.Kind, p.Name, p.ID) // "group" comes before "user"
	}
	for i := range plan.Changes {
		c := &plan.Changes[i]
		if i > 0 && place(&plan.Changes[i-1].Principal) >= place(&c.Principal) {
			t.Fatalf("change %d is out of order: %+v", i, c.Principal)
		}
		for _, list := range [][]PlannedPrivilege{c.Grant, c.Revoke} {
			for j := range list {
				if j > 0 && list[j-1].ID >= list[j].ID {
					t.Fatalf("privileges of %+v are out of order: %+v", c.Principal, list)
				}
				if name := fmt.Sprintf("P%d", list[j].ID); list[j].Name != name && list[j].Name != ManagerPrivilege {
					t.Fatalf("privilege %d is called %q", list[j].ID, list[j].Name)
				}
			}
		}
	}
	for i := range plan.Findings {
		if f := &plan.Findings[i]; f.Code == CodeRuleViolation && strings.Contains(f.Message, "this is so already") != f.Already {
			t.Fatalf("the message contradicts already=%v: %s", f.Already, f.Message)
		}
		if i > 0 && place(plan.Findings[i-1].Principal) > place(plan.Findings[i].Principal) {
			t.Fatalf("finding %d is out of order: %+v", i, plan.Findings[i])
		}
	}
}

// TestPlanIsTheWholeAnswer: once a plan is applied, the next one is empty.
func TestPlanIsTheWholeAnswer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		m.parentStyle = rapid.Bool().Draw(t, "parent style")
		pol := drawPolicy(t, m)
		plan := makeIn(t, m, pol)
		for i := range plan.Changes {
			m.apply(&plan.Changes[i], true, true)
		}
		if again := makeIn(t, m, pol); len(again.Changes) > 0 {
			t.Fatalf("second plan changes %+v, want nothing", again.Changes)
		}
	})
}

// TestStylesAgree: whichever groups the server names as sources, the plan is the
// same, to the byte, but for what it comes to for users of whom not all is known.
func TestStylesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		pol := drawPolicy(t, m)
		holder := makeIn(t, m, pol)
		m.parentStyle = true
		parent := makeIn(t, m, pol)
		if err := levelEffects(holder, parent); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(asJSON(t, holder), asJSON(t, parent)); diff != "" {
			t.Fatalf("plans differ (-holder +parent):\n%s", diff)
		}
	})
}

// TestOrderDoesNotMatter: neither the order in which the server lists principals
// nor the order of the policy's entries shows in the changes.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		pol := drawPolicy(t, m)
		first := clearTimes(makeIn(t, m, pol))
		// As where each entry has a file, and the files are given in another order.
		other := *pol
		other.Principals = rapid.Permutation(pol.Principals).Draw(t, "entries")
		m.principals = rapid.Permutation(m.principals).Draw(t, "principals")
		second := clearTimes(makeIn(t, m, &other))
		// Who stands on the first page of members decides of whom all is known.
		if err := levelEffects(first, second); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(first.Changes, second.Changes) { // else cmp need not look
			if diff := cmp.Diff(first.Changes, second.Changes, cmp.Comparer(Set.Equal)); diff != "" {
				t.Fatalf("changes differ:\n%s", diff)
			}
		}
		// Which two of three entries are said to contradict each other may vary.
		if diff := cmp.Diff(first.Summary, second.Summary); diff != "" && !hasFinding(first, CodeConflictingEntries) {
			t.Fatalf("summaries differ:\n%s", diff)
		}
	})
}

// TestInputsStay: making a plan changes neither the policy nor the state.
func TestInputsStay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		pol := drawPolicy(t, m)
		before := parsed(pol)
		st := observeIn(t, m, pol)
		first := asJSON(t, Make(pol, st, MakeOptions{}))
		if second := asJSON(t, Make(pol, st, MakeOptions{})); first != second {
			t.Fatalf("second plan of the same state differs:\n%s", cmp.Diff(first, second))
		}
		if !reflect.DeepEqual(before, pol) {
			t.Fatalf("policy changed:\n%s", cmp.Diff(string(policyText(before)), string(policyText(pol))))
		}
	})
}

// TestNobodyLosesInPassing runs the waves in the order of the design, where any
// grant may fail, and holds back what relies on it. Whatever somebody had before
// and was meant to have in the end is never taken away in between, but for what
// is forbidden to a user.
func TestNobodyLosesInPassing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		m.parentStyle = rapid.Bool().Draw(t, "parent style")
		pol := drawPolicy(t, m)
		plan := makeIn(t, m, pol)
		end := m.clone()
		for i := range plan.Changes {
			end.apply(&plan.Changes[i], true, true)
		}
		keeps := make(map[mstrapi.ObjectID]Set)
		for _, s := range m.principals {
			keeps[s.row.ID] = m.effective(s.row.ID).Intersect(end.effective(s.row.ID))
		}
		check := func(step string) {
			for _, s := range m.principals {
				if lost := keeps[s.row.ID].Minus(m.effective(s.row.ID)); !lost.IsEmpty() {
					t.Fatalf("%s: %s %s loses %v in passing", step, s.row.Kind, s.row.ID, lost.IDs())
				}
			}
		}
		failed := make(map[string]bool) // "id privilege"
		failing := rapid.Bool().Draw(t, "failing")
		fails := func(c *Change) bool {
			if !failing || len(c.Grant) == 0 || rapid.IntRange(0, 2).Draw(t, "fails") > 0 {
				return false
			}
			for _, g := range c.Grant {
				failed[fmt.Sprint(c.Principal.ID, " ", g.ID)] = true
			}
			return true
		}
		held := func(c *Change, keepForbidden bool) *Change {
			out := *c
			out.Revoke = slices.DeleteFunc(slices.Clone(c.Revoke), func(r PlannedPrivilege) bool {
				return slices.ContainsFunc(r.ReliesOn, func(id mstrapi.ObjectID) bool { return failed[fmt.Sprint(id, " ", r.ID)] })
			})
			return &out
		}
		forgive := func(c *Change) {
			for _, r := range c.Revoke {
				if r.Reason == ReasonForbidden {
					keeps[c.Principal.ID] = keeps[c.Principal.ID].Minus(SetOf(r.ID))
				}
			}
		}
		for i := range plan.Changes {
			if c := &plan.Changes[i]; c.Principal.Kind == mstrapi.Group && !fails(c) {
				m.apply(c, true, false)
				check("grants on groups")
			}
		}
		for i := range plan.Changes {
			c := &plan.Changes[i]
			if c.Principal.Kind != mstrapi.User {
				continue
			}
			if failing {
				forgive(c)
			}
			m.apply(held(c, true), !fails(c), true)
			check("users")
		}
		for i := range plan.Changes {
			if c := &plan.Changes[i]; c.Principal.Kind == mstrapi.Group {
				m.apply(held(c, true), false, true)
				check("revokes on groups")
			}
		}
	})
}

// TestFaultsDoNoHarm: whatever cannot be read, the plan says that it is
// incomplete, and what it changes all the same takes nothing away from anybody
// that is listed for it, read or not, and nothing that a complete plan would not.
func TestFaultsDoNoHarm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		m.parentStyle = rapid.Bool().Draw(t, "parent style")
		pol := drawPolicy(t, m)
		seed := rapid.Uint64().Draw(t, "seed")
		one := rapid.IntRange(2, 12).Draw(t, "one call in")
		failed := make(map[string]bool)
		m.fail = func(call string, id mstrapi.ObjectID) error {
			if call == "Status" || call == "SessionUser" || call == "SessionPrivilege" || call == "Catalogue" {
				return nil
			}
			h := fnv.New64a()
			fmt.Fprint(h, seed, call, id)
			if h.Sum64()%uint64(one) != 0 {
				return nil
			}
			failed[call+" "+string(id)] = true
			return errBroken
		}
		plan := Make(pol, observeIn(t, m, pol), MakeOptions{})
		reads := false
		for call := range failed {
			reads = reads || strings.HasPrefix(call, "Held")
		}
		if reads && plan.Complete {
			t.Fatalf("the plan counts as complete although %v failed", failed)
		}
		m.fail = nil
		if len(plan.Blocking()) > 0 {
			return // nothing is applied
		}
		whole := makeIn(t, m, pol)
		end := m.clone()
		for i := range plan.Changes {
			c := &plan.Changes[i]
			for _, r := range c.Revoke {
				if reasonIn(whole, c.Principal.ID, r.ID) == "" {
					t.Fatalf("%s loses %d (%s), and would keep it by a complete plan; failed: %v", c.Principal.ID, r.ID, r.Reason, failed)
				}
			}
			if failed[fmt.Sprintf("Held %s %s", c.Principal.Kind, c.Principal.ID)] {
				t.Fatalf("%s changes although it could not be read", c.Principal.ID)
			}
			end.apply(c, true, true)
		}
		n := newNaive(m, pol)
		for _, s := range m.principals {
			for _, i := range n.entries[s.row.ID] {
				for l := range pol.Principals[i].Listed.All() {
					p := mstrapi.PrivilegeID(l.ID)
					if !l.Expired(testNow()) && m.effective(s.row.ID).Has(p) && !end.effective(s.row.ID).Has(p) {
						t.Fatalf("%s %s loses %d, which is listed for it; failed: %v", s.row.Kind, s.row.ID, p, failed)
					}
				}
			}
		}
	})
}

// drawManagerPolicy draws who has the session's privilege, and a policy that
// moves it about.
func drawManagerPolicy(t *rapid.T, m *model) *policy.Policy {
	pol := sketch()
	for _, s := range m.principals {
		above := s.row.Kind == mstrapi.Group && m.ancestors(m.actor)[s.row.ID]
		if !above && s.row.ID != m.actor && rapid.Bool().Draw(t, "left out") {
			continue
		}
		s.direct = s.direct.Minus(SetOf(managerID))
		if rapid.IntRange(0, 2).Draw(t, "has it") == 0 {
			s.direct.Add(managerID)
		}
		e := entry(policy.User, s.row.Login, rapid.SampledFrom([]policy.Mode{policy.Additive, policy.Authoritative}).Draw(t, "mode"))
		if s.row.Kind == mstrapi.Group {
			e.Principal = &policy.PrincipalRef{Kind: policy.Group, Name: s.row.Name}
		}
		e.Settings.SatisfiedBy = policy.Effective
		e.Settings.Redundant = rapid.SampledFrom([]policy.Redundant{policy.RedundantKeep, policy.RedundantRevoke}).Draw(t, "redundant")
		switch rapid.IntRange(0, 3).Draw(t, "wants") {
		case 0:
			e.Listed = policy.ListOf(listed(managerID))
		case 1:
			e.Forbid = []policy.Listed{listed(managerID)}
		default:
			e.Forbid = []policy.Listed{listed(8)} // which nobody has
		}
		pol.Principals = append(pol.Principals, e)
	}
	return parsed(pol)
}

// TestTheSessionKeepsItsPrivilege: of a plan that passes the guard of the
// session's own privilege, every single request of the waves, in any order
// within a wave, with any of them failing and what relies on it held back,
// leaves the session's user with that privilege.
func TestTheSessionKeepsItsPrivilege(t *testing.T) {
	judged := 0
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		m.parentStyle = rapid.Bool().Draw(t, "parent style")
		actor := rapid.SampledFrom(m.principals).Filter(func(s *subject) bool { return s.row.Kind == mstrapi.User }).Draw(t, "actor")
		m.actor = actor.row.ID
		draw := drawPolicy
		if rapid.Bool().Draw(t, "all about it") {
			draw = drawManagerPolicy
		}
		pol := draw(t, m)
		plan := makeIn(t, m, pol)
		if !m.effective(m.actor).Has(managerID) || !plan.Complete || len(Guards(plan, Overrides{})) > 0 {
			return
		}
		for _, c := range plan.Changes {
			if slices.ContainsFunc(c.Revoke, func(r PlannedPrivilege) bool { return r.ID == managerID }) {
				judged++
			}
		}
		failed := make(map[string]bool) // "id privilege"
		failing := rapid.Bool().Draw(t, "failing")
		request := func(wave string, c *Change, grants, revokes bool) {
			sent := *c
			sent.Revoke = slices.DeleteFunc(slices.Clone(c.Revoke), func(r PlannedPrivilege) bool {
				return slices.ContainsFunc(r.ReliesOn, func(id mstrapi.ObjectID) bool { return failed[fmt.Sprint(id, " ", r.ID)] })
			})
			if failing && rapid.IntRange(0, 2).Draw(t, "fails") == 0 {
				for _, g := range c.Grant {
					failed[fmt.Sprint(c.Principal.ID, " ", g.ID)] = true
				}
				return
			}
			m.apply(&sent, grants, revokes)
			if !m.effective(m.actor).Has(managerID) {
				t.Fatalf("%s: the session's user %s loses its privilege with the change of %s %s: %+v",
					wave, m.actor, c.Principal.Kind, c.Principal.ID, plan.Changes)
			}
		}
		order := make([]int, len(plan.Changes))
		for i := range order {
			order[i] = i
		}
		for _, wave := range []struct {
			name            string
			kind            mstrapi.Kind
			grants, revokes bool
		}{{"grants on groups", mstrapi.Group, true, false}, {"users", mstrapi.User, true, true}, {"revokes on groups", mstrapi.Group, false, true}} {
			for _, i := range rapid.Permutation(order).Draw(t, "order") {
				c := &plan.Changes[i]
				if c.Principal.Kind == wave.kind && (wave.grants && len(c.Grant) > 0 || wave.revokes && len(c.Revoke) > 0) {
					request(wave.name, c, wave.grants, wave.revokes)
				}
			}
		}
	})
	if judged == 0 && !testing.Short() {
		t.Error("no plan that was drawn revokes the privilege from anybody")
	}
}

package planner

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"privsync/mstrapi"
	"privsync/policy"
)

// impacts are all impacts of a plan.
func impacts(p *Plan) []*Impact {
	var out []*Impact
	if p.Summary.Impact != nil {
		out = append(out, p.Summary.Impact)
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		out = append(out, &c.Impact)
		for _, list := range [][]PlannedPrivilege{c.Grant, c.Revoke} {
			for j := range list {
				if list[j].Impact != nil {
					out = append(out, list[j].Impact)
				}
			}
		}
	}
	return out
}

// levelEffects takes out of two plans of the same server, which names sources in two
// ways, what need not be the same: by one naming more may be known than by the other.
// Where both know all they must agree.
func levelEffects(a, b *Plan) error {
	of, other := impacts(a), impacts(b)
	if len(of) != len(other) {
		return fmt.Errorf("%d and %d impacts", len(of), len(other))
	}
	for i, x := range of {
		y := other[i]
		if x.Unknown+y.Unknown == 0 && (x.Gain != y.Gain || x.Lose != y.Lose) {
			return fmt.Errorf("impact %d: %+v and %+v", i, *x.Effect, *y.Effect)
		}
		if x.Gain > y.Gain+y.Unknown || y.Gain > x.Gain+x.Unknown || x.Lose > y.Lose+y.Unknown || y.Lose > x.Lose+x.Unknown {
			return fmt.Errorf("impact %d: %+v and %+v cannot both be", i, *x.Effect, *y.Effect)
		}
		x.Effect, y.Effect = nil, nil
	}
	a.Summary.Impact, b.Summary.Impact = nil, nil
	return nil
}

// effect returns what n gains and loses of some privileges below a group, or itself.
func (n *naive) effect(c *Change, grant, revoke []PlannedPrivilege) (gain, lose int) {
	of := func(m *model, id mstrapi.ObjectID) Set { return m.byID[id].direct.Union(m.inherited(id)) }
	for _, s := range n.m.principals {
		id := s.row.ID
		if s.row.Kind != mstrapi.User || id != c.Principal.ID && !n.m.ancestors(id)[c.Principal.ID] {
			continue
		}
		before, after := of(n.m, id), of(n.after, id)
		if slices.ContainsFunc(grant, func(p PlannedPrivilege) bool { return !before.Has(p.ID) && after.Has(p.ID) }) {
			gain++
		}
		if slices.ContainsFunc(revoke, func(p PlannedPrivilege) bool { return before.Has(p.ID) && !after.Has(p.ID) }) {
			lose++
		}
	}
	return gain, lose
}

// checkWhole compares what the whole plan comes to, each user once.
func (n *naive) checkWhole(t *rapid.T, plan *Plan) {
	gained, lost, reached := make(map[mstrapi.ObjectID]bool), make(map[mstrapi.ObjectID]bool), make(map[mstrapi.ObjectID]bool)
	for _, s := range n.m.principals {
		id := s.row.ID
		if s.row.Kind != mstrapi.User {
			continue
		}
		before, after := s.direct.Union(n.m.inherited(id)), n.after.byID[id].direct.Union(n.after.inherited(id))
		for _, c := range plan.Changes {
			if id != c.Principal.ID && !n.m.ancestors(id)[c.Principal.ID] {
				continue
			}
			reached[id] = true
			for _, p := range c.Grant {
				gained[id] = gained[id] || !before.Has(p.ID) && after.Has(p.ID)
			}
			for _, p := range c.Revoke {
				lost[id] = lost[id] || before.Has(p.ID) && !after.Has(p.ID)
			}
		}
	}
	gain, lose := 0, 0
	for id := range reached {
		if gained[id] {
			gain++
		}
		if lost[id] {
			lose++
		}
	}
	whole := plan.Summary.Impact
	if right, _ := whole.bounds(gain, lose); !right || whole.Members < len(reached) || n.m.pageCap == 0 && whole.Members != len(reached) {
		t.Fatalf("the whole plan: %d members, effect = %+v, and %d are reached, %d gain, %d lose", whole.Members, *whole.Effect, len(reached), gain, lose)
	}
}

// bounds reports whether what a plan says of an effect can be true, and whether it
// says all of it.
func (e *Effect) bounds(gain, lose int) (right, exact bool) {
	return e.Gain <= gain && gain <= e.Gain+e.Unknown && e.Lose <= lose && lose <= e.Lose+e.Unknown, e.Unknown == 0
}

// TestEffects: what a plan says of whom it reaches is what becomes of the users by an
// evaluator that knows everything, exactly or within the bounds that it gives; and of
// everybody whom it has read it knows all but in a few cases.
func TestEffects(t *testing.T) {
	var exact, vague, partly atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		m.parentStyle = rapid.Bool().Draw(t, "parent style")
		pol := drawPolicy(t, m)
		plan := makeIn(t, m, pol)
		n := newNaive(m, pol)
		if n.conflicts {
			return
		}
		check := func(c *Change, what string, e *Impact, grant, revoke []PlannedPrivilege) {
			gain, lose := n.effect(c, grant, revoke)
			if e == nil || e.Effect == nil {
				t.Fatalf("%s of %s has no effect", what, c.Principal.Name)
			}
			right, all := e.bounds(gain, lose)
			if !right {
				t.Fatalf("%s of %s: effect = %+v, and %d gain, %d lose", what, c.Principal.Name, *e.Effect, gain, lose)
			}
			if c.Principal.Kind == mstrapi.Group && e.Members < max(e.Gain, e.Lose, e.Unknown) {
				t.Fatalf("%s of %s: %d members, effect = %+v", what, c.Principal.Name, e.Members, *e.Effect)
			}
			switch {
			case !all:
				vague.Add(1)
				if pol.Unlisted != policy.UnlistedIgnore && m.pageCap == 0 {
					t.Fatalf("%s of %s: effect = %+v although everybody was read", what, c.Principal.Name, *e.Effect)
				}
			case c.Principal.Kind == mstrapi.Group && lose > 0 && lose < e.Members:
				partly.Add(1)
			default:
				exact.Add(1)
			}
		}
		if len(plan.Changes) > 0 {
			n.checkWhole(t, plan)
		}
		for i := range plan.Changes {
			c := &plan.Changes[i]
			check(c, "change", &c.Impact, c.Grant, c.Revoke)
			if c.Principal.Kind != mstrapi.Group {
				continue
			}
			for _, p := range c.Grant {
				check(c, fmt.Sprint("grant ", p.ID), p.Impact, []PlannedPrivilege{p}, nil)
			}
			for _, p := range c.Revoke {
				check(c, fmt.Sprint("revoke ", p.ID), p.Impact, nil, []PlannedPrivilege{p})
			}
		}
	})
	t.Logf("%d effects exactly, %d of them on some of the members, %d within bounds", exact.Load()+partly.Load(), partly.Load(), vague.Load())
	if !testing.Short() && (partly.Load() < 3 || exact.Load() < 100) {
		t.Error("the cases do not reach what they are for")
	}
}

// TestEffectOfARoleAbove: what a group may hold through a security role alone keeps
// nobody's privilege, for a role holds in one project.
func TestEffectOfARoleAbove(t *testing.T) {
	m := newModel()
	staff := m.group("Staff", nil)
	staff.other.Add(21)
	m.user("ada", ids(21), staff)
	pol := sketch(entry(policy.User, "ada", policy.Additive, until(21, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))))
	pol.Scope = policy.LevelProject
	plan := planFor(t, m, parsed(pol))
	if len(plan.Changes) != 1 {
		t.Fatalf("changes = %+v, want one revoke", plan.Changes)
	}
	if e := plan.Changes[0].Impact.Effect; e.Lose+e.Unknown != 1 {
		t.Errorf("effect = %+v, want one user who may lose it", *e)
	}
}

// TestEffectOfARevoke: members who keep a privilege elsewhere do not lose it, and it is
// told where; nobody is asked about for that.
func TestEffectOfARevoke(t *testing.T) {
	everyUser := policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "*"}}, Forbid: []policy.Listed{listed(8)}}
	for _, way := range []string{"everybody covered", "group alone", "second page"} {
		t.Run(way, func(t *testing.T) {
			m := newModel()
			everyone := m.add(mstrapi.PrincipalRow{Kind: mstrapi.Group, ID: mstrapi.EveryoneGroup, Name: "Everyone"}, ids(1), nil)
			staff := m.group("Staff", ids(1, 2))
			for i := range 201 {
				m.user(fmt.Sprintf("u%03d", i), nil, staff, everyone)
			}
			for i := range 3 {
				m.user(fmt.Sprintf("guest%d", i), nil, staff)
			}
			if way == "second page" {
				m.pageCap = 150
			}
			entries := []policy.Entry{entry(policy.Group, "Staff", policy.Authoritative, listed(2))}
			if way != "group alone" {
				entries = append(entries, everyUser)
			}
			plan := planFor(t, m, policyOf(entries...))
			if len(plan.Changes) != 1 {
				t.Fatalf("changes = %+v, want that of Staff", plan.Changes)
			}
			c := plan.Changes[0]
			want := Impact{204, &Effect{Lose: 3}}
			through := &Effect{Lose: 3, Through: []Keeping{{Source: "group", ID: mstrapi.EveryoneGroup, Name: "Everyone", Users: 201}}}
			users := 204
			if way == "group alone" {
				want, through, users = Impact{204, &Effect{Unknown: 204}}, &Effect{Unknown: 204}, 0
			}
			if diff := cmp.Diff(want, c.Impact); diff != "" {
				t.Errorf("impact differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(&Impact{204, through}, c.Revoke[0].Impact); diff != "" {
				t.Errorf("impact of the revoke differs (-want +got):\n%s", diff)
			}
			// What the users hold names the group: no second page is needed.
			if m.calls["GroupMembers"] != 1 || m.total("Memberships") != 0 || m.calls["Held user"] != users || m.calls["Held group"] != 1 {
				t.Errorf("calls = %v, want one page of members and nothing for the effect", m.calls)
			}
		})
	}
}

// TestEffectOfAGrant: who has it already gains nothing; the second page of members is
// read for that if at least a hundred users are not placed without it, and nothing else.
func TestEffectOfAGrant(t *testing.T) {
	for _, c := range []struct{ users, page, covered, pages, gain, unknown int }{
		{204, 0, 204, 1, 180, 0},
		{250, 150, 250, 2, 226, 0},
		{249, 150, 249, 1, 126, 99},
		{250, 150, 50, 1, 26, 200}, // on the first page
		{250, 50, 250, 1, 26, 200}, // four more pages for 200 users
	} {
		m := newModel()
		m.pageCap = c.page
		staff := m.group("Staff", nil)
		var entries []policy.Entry
		for i := range c.users {
			var has []mstrapi.PrivilegeID
			if i < 24 {
				has = ids(1)
			}
			login := fmt.Sprintf("u%03d", i)
			m.user(login, has, staff)
			if i < c.covered {
				entries = append(entries, covering(policy.User, login))
			}
		}
		plan := planFor(t, m, policyOf(append(entries, entry(policy.Group, "Staff", policy.Additive, listed(1)))...))
		if diff := cmp.Diff(Impact{c.users, &Effect{Gain: c.gain, Unknown: c.unknown}}, plan.Changes[0].Impact); diff != "" {
			t.Errorf("%+v: impact differs (-want +got):\n%s", c, diff)
		}
		if m.calls["GroupMembers"] != c.pages || m.total("Memberships") != 0 || m.calls["Held user"] != c.covered {
			t.Errorf("%+v: calls = %v", c, m.calls)
		}
	}
}

// TestEffectNeedsNoAnswer: that members beyond the first page cannot be read makes the
// effect vague, not the plan incomplete.
func TestEffectNeedsNoAnswer(t *testing.T) {
	m := newModel()
	m.pageCap = 140
	staff := m.group("Staff", nil)
	for i := range 250 {
		m.user(fmt.Sprintf("u%03d", i), nil, staff)
	}
	pages := 0
	m.fail = func(call string, _ mstrapi.ObjectID) error {
		if strings.HasPrefix(call, "GroupMembers") {
			pages++
			switch {
			case pages > 20:
				t.Fatal("the members are asked for again and again")
			case pages > 1:
				return &mstrapi.Error{Method: "GET", Path: "/api/x", Status: 500, Message: "no"}
			}
		}
		return nil
	}
	plan := planFor(t, m, policyOf(entry(policy.Group, "Staff", policy.Additive, listed(1)),
		policy.Entry{Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{NameMatches: "*"}}, Forbid: []policy.Listed{listed(8)}}))
	if !plan.Complete || len(plan.Changes) != 1 || len(plan.Findings) > 0 {
		t.Fatalf("complete = %t, changes = %+v, findings = %v, want a whole plan", plan.Complete, plan.Changes, plan.Findings)
	}
	if diff := cmp.Diff(Impact{250, &Effect{Gain: 140, Unknown: 110}}, plan.Changes[0].Impact); diff != "" {
		t.Errorf("impact differs (-want +got):\n%s", diff)
	}
}

// TestMarkAdministrative: by the vendor's names, in any case of letters, or by what the
// policy names instead, by name or number.
func TestMarkAdministrative(t *testing.T) {
	grants := []PlannedPrivilege{
		{PrivilegeRef: PrivilegeRef{50, "use user manager"}}, {PrivilegeRef: PrivilegeRef{53, "Monitor Database Connections"}},
		{PrivilegeRef: PrivilegeRef{153, "Grant/Revoke privileges"}},
	}
	with := func(s *policy.Safety) *policy.Policy {
		pol := sketch(covering(policy.User, "u"))
		pol.Safety = s
		return parsed(pol)
	}
	for _, c := range []struct {
		pol  *policy.Policy
		want []mstrapi.PrivilegeID
	}{
		{nil, ids(50, 153)},
		{with(nil), ids(50, 153)},
		{with(&policy.Safety{ServerLock: true}), ids(50, 153)},
		{with(&policy.Safety{Administrative: []policy.Ref{{ID: 53}, {Name: "Use User Manager"}}}), ids(50, 53)},
	} {
		plan := &Plan{Changes: []Change{{Grant: slices.Clone(grants), Revoke: slices.Clone(grants)}}}
		plan.MarkAdministrative(c.pol)
		for _, list := range [][]PlannedPrivilege{plan.Changes[0].Grant, plan.Changes[0].Revoke} {
			var got []mstrapi.PrivilegeID
			for _, p := range list {
				if p.Administrative {
					got = append(got, p.ID)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("administrative by %+v differs (-want +got):\n%s", c.pol, diff)
			}
		}
	}
}

// TestEffectInDocument: an effect is written, read again, and covered by the digest; a
// plan without one says nothing rather than 0.
func TestEffectInDocument(t *testing.T) {
	m := newModel()
	staff := m.group("Staff", nil)
	m.user("u", nil, staff)
	plan := planFor(t, m, policyOf(entry(policy.Group, "Staff", policy.Additive, listed(1))))
	if err := plan.Seal(); err != nil {
		t.Fatal(err)
	}
	text := string(written(t, plan))
	if want := `"impact": {"members":1,"gain":0,"lose":0,"unknown":1}`; !strings.Contains(text, want) {
		t.Errorf("plan = %s\nwant %s in it", text, want)
	}
	again, err := ReadPlan(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(plan.Changes[0].Impact, again.Changes[0].Impact); diff != "" {
		t.Errorf("impact differs after reading (-want +got):\n%s", diff)
	}
	if _, err := ReadPlan(strings.NewReader(strings.Replace(text, `"unknown":1`, `"unknown":2`, 1))); err == nil {
		t.Error("an edited effect is read")
	}
	without, err := json.Marshal(Impact{Members: 3})
	if err != nil || string(without) != `{"members":3}` {
		t.Errorf("an impact without an effect = %s, %v", without, err)
	}
}

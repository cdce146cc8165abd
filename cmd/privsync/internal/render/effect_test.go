package render

import (
	"testing"

	"privsync/planner"
)

// TestEffectWords: who keeps a privilege and by what is told; less than everything is
// called that; and no name is taken for a word of ours.
func TestEffectWords(t *testing.T) {
	through := func(source string, n int, name string) planner.Keeping {
		k := planner.Keeping{Source: source, Users: n, Name: name}
		if source == planner.ThroughGroup {
			k.ID = oid(1)
		}
		return k
	}
	for _, c := range []struct {
		members int
		e       planner.Effect
		granted bool
		want    string
	}{
		{204, planner.Effect{Lose: 3, Through: []planner.Keeping{through("group", 201, "Everyone")}}, false, "204 members, 3 lose it, 201 keep it through Everyone"},
		{204, planner.Effect{Lose: 3, Through: []planner.Keeping{through("group", 180, "Night, 5 lose it"), through("direct", 40, "")}}, false,
			`204 members, 3 lose it, 201 keep it (180 through "Night, 5 lose it", 40 directly)`},
		{204, planner.Effect{Lose: 3, Unknown: 200, Through: []planner.Keeping{through("direct", 1, "")}}, false,
			"204 members, at least 3 lose it, 1 keeps it directly, 200 not known"},
		{204, planner.Effect{Unknown: 204}, true, "204 members, at least 0 gain it, 204 not known"},
		{204, planner.Effect{Gain: 180}, true, "204 members, 180 gain it, 24 have it already"},
		{1, planner.Effect{Gain: 1}, true, "1 member, 1 gains it"},
		{2, planner.Effect{Gain: 1}, true, "2 members, 1 gains it, 1 has it already"},
		{2, planner.Effect{Through: []planner.Keeping{through("group", 2, "")}}, false, "2 members, 0 lose it, 2 keep it through " + string(oid(1))},
		{2, planner.Effect{Through: []planner.Keeping{through("group", 2, "\x1b[2J")}}, false, `2 members, 0 lose it, 2 keep it through "\x1b[2J"`},
	} {
		if got := effect(&planner.Impact{Members: c.members, Effect: &c.e}, c.granted, plainName); got != c.want {
			t.Errorf("effect(%d, %+v) = %s, want %s", c.members, c.e, got, c.want)
		}
	}
	if got := effect(nil, true, plainName); got != "" {
		t.Errorf("effect(nil) = %q", got)
	}
	if got := effect(&planner.Impact{Members: 3}, true, plainName); got != "" {
		t.Errorf("effect without one = %q", got)
	}
	if got := effect(&planner.Impact{Members: 2, Effect: &planner.Effect{Through: []planner.Keeping{through("group", 2, "@all `x`")}}}, false, spanName); got != "2 members, 0 lose it, 2 keep it through ``@all `x` ``" && got != "2 members, 0 lose it, 2 keep it through `` @all `x` ``" {
		t.Errorf("effect in Markdown = %s", got)
	}
}

// TestReach: what a change comes to stands beside whom it reaches, also where it is
// nothing.
func TestReach(t *testing.T) {
	some := []planner.PlannedPrivilege{planned(2, planner.ReasonListed)}
	for _, c := range []struct {
		i             planner.Impact
		grant, revoke []planner.PlannedPrivilege
		want          string
	}{
		{planner.Impact{}, some, nil, ""},
		{planner.Impact{Members: 3}, some, nil, "reaches 3 users"},
		{planner.Impact{Members: 3, Effect: &planner.Effect{Gain: 1, Lose: 2}}, some, some, "reaches 3 users: 1 gain, 2 lose"},
		{planner.Impact{Members: 3, Effect: &planner.Effect{Gain: 1, Unknown: 2}}, some, nil, "reaches 3 users: at least 1 gain, 2 not known"},
		{planner.Impact{Effect: &planner.Effect{Lose: 1}}, nil, some, ""},
		{planner.Impact{Effect: &planner.Effect{}}, nil, some, "the user holds the same before and after"},
	} {
		if got := reach(c.i, c.grant, c.revoke); got != c.want {
			t.Errorf("reach(%+v) = %s, want %s", c.i, got, c.want)
		}
	}
}

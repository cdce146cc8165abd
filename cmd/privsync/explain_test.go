package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
)

// TestExplainOnALattice asks about a user below 60 levels of two groups, of which each
// belongs to both above it: 2^60 paths lead to the top.
func TestExplainOnALattice(t *testing.T) {
	const levels = 60
	env, err := loadEnvironment("")
	if err != nil {
		t.Fatal(err)
	}
	id := func(level, side int) mstrapi.ObjectID { return mstrtest.DerivedID("group", fmt.Sprint(level, side)) }
	for level := range levels {
		for side := range 2 {
			g := mstrtest.Group{ID: id(level, side), Name: fmt.Sprintf("L%02d-%d", level, side)}
			if level+1 < levels {
				g.Groups = []mstrapi.ObjectID{id(level+1, 0), id(level+1, 1)}
			}
			if level == levels-1 && side == 0 {
				g.Privileges = []mstrapi.PrivilegeID{53}
			}
			if level == 0 && side == 1 {
				g.Privileges = []mstrapi.PrivilegeID{53}
			}
			env.Groups = append(env.Groups, g)
		}
	}
	env.Users = append(env.Users, mstrtest.User{ID: mstrtest.DerivedID("user", "low"), Login: "low", Name: "Low", Privileges: []mstrapi.PrivilegeID{54},
		Groups: []mstrapi.ObjectID{id(0, 0), id(0, 1)}})
	for _, style := range []mstrtest.SourceStyle{mstrtest.Holder, mstrtest.Parent} {
		p := programOf(t, env, mstrtest.Options{SourceStyle: style})
		p.file("lattice.yaml", "apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: lattice}\nprincipals:\n  - user: low\n    mode: authoritative\n    forbid: [53]\nrules:\n  - {name: none, deny: [53], severity: warning}\n")
		// Also a privilege that no group holds, and one that the user lacks.
		code, stdout, stderr := p.run("explain", "user", "low", "-f", "lattice.yaml")
		if code != 0 {
			t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
		}
		if n := strings.Count(stdout, "\n"); n > 200 {
			t.Errorf("%d lines", n)
		}
		for _, want := range []string{
			"\n  through group \"L00-1\"\n",
			"    and by more paths to group \"L59-0\"\n",
			"54 Monitor",
		} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%q is not in\n%s", want, stdout)
			}
		}
		if code, stdout, _ = p.run("explain", "user", "low", "55"); code != 0 || !strings.Contains(stdout, "not held") {
			t.Errorf("a privilege that is not held: %d\n%s", code, stdout)
		}
		code, stdout, _ = p.run("explain", "user", "low", "53", "--format", "json")
		var doc explanation
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 {
			t.Fatal(code, err)
		}
		e := doc.Privileges[0]
		if len(e.Paths) != maxPaths || !e.MorePaths || len(e.Holders) != 2 || e.Holders[0].Name != "L00-1" || e.Holders[0].MorePaths || !e.Holders[1].MorePaths {
			t.Errorf("%d paths, more %t, holders %+v", len(e.Paths), e.MorePaths, e.Holders)
		}
		for _, path := range e.Paths[1:] {
			if len(path) != levels || path[levels-1].Name != "L59-0" {
				t.Errorf("path %v", path)
			}
		}
	}
}

// TestWays finds every path where there are few, grouped by where they lead, and ends
// where groups contain themselves.
func TestWays(t *testing.T) {
	x := &explainer{row: mstrapi.PrincipalRow{ID: "u"}, parents: map[mstrapi.ObjectID][]mstrapi.ObjectRef{}, direct: nil}
	ref := func(s string) mstrapi.ObjectRef { return mstrapi.ObjectRef{ID: mstrapi.ObjectID(s), Name: s} }
	edges := func(spec string) {
		for _, e := range strings.Fields(spec) {
			x.parents[mstrapi.ObjectID(e[:1])] = append(x.parents[mstrapi.ObjectID(e[:1])], ref(e[1:]))
		}
	}
	edges("ua ub ac bc cd da ab dd du")
	got := func(holders ...string) string {
		x.direct = map[mstrapi.ObjectID]planner.Set{}
		for _, h := range holders {
			x.direct[mstrapi.ObjectID(h)] = planner.SetOf(1)
		}
		hs, paths := x.ways(1)
		var b strings.Builder
		for _, h := range hs {
			fmt.Fprintf(&b, "%s(%t) ", h.Name, h.MorePaths)
		}
		for _, path := range paths {
			for _, p := range path {
				b.WriteString(p.Name)
			}
			b.WriteByte(' ')
		}
		return strings.TrimSpace(b.String())
	}
	for holders, want := range map[string]string{
		"":    "",
		"z":   "",
		"a":   "a(false) a bcda",
		"d":   "d(false) acd abcd bcd",
		"c b": "b(false) c(false) b ab ac abc bc",
	} {
		if g := got(strings.Fields(holders)...); g != want {
			t.Errorf("ways to %q = %s, want %s", holders, g, want)
		}
	}
}

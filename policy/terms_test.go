package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTermsOfWhatAnItemStandsIn follows the last day and the reason of an entry and of
// inclusions to every privilege.
func TestTermsOfWhatAnItemStandsIn(t *testing.T) {
	p, err := Parse("p.yaml", []byte(`apiVersion: privsync/v1
kind: Policy
metadata: {name: p}
safety: {protected: [{group: Admins}, {users: {memberOf: Admins, except: [{user: a}]}}, {groups: {nameMatches: "A*"}}]}
privilegeSets:
  base: {privileges: [1, {privilege: 2, until: 2026-01-01, reason: own}]}
  more: {privileges: [3], include: [{set: base, until: 2026-03-03, reason: inner}]}
principals:
- user: a
  until: 2026-12-31
  reason: entry
  description: what it is for
  sets: [{set: more, until: 2026-06-30}, base]
  privileges: [{privilege: 4, until: 2027-01-01}, {privilege: 5, until: 2026-02-02, description: five}, 6]
  forbid: [7, {privilege: 8, until: 2026-05-05, reason: ban}]
- user: b
  sets: [base]
rules:
- name: r
  deny: [9]
  except: [{user: a, until: 2026-04-04, reason: x, description: y}, {group: G}]
`))
	if err != nil {
		t.Fatal(err)
	}
	say := func(list []Listed) string {
		var b strings.Builder
		for _, l := range list {
			fmt.Fprintf(&b, "%d", l.ID)
			if !l.Until.IsZero() {
				b.WriteString(" until " + l.Until.Format("01-02"))
			}
			if l.Ends != (Position{}) {
				fmt.Fprintf(&b, "@%d", l.Ends.Line)
			}
			fmt.Fprintf(&b, " %s; ", l.Reason)
		}
		return strings.TrimSuffix(b.String(), "; ")
	}
	a, other := p.Principals[0], p.Principals[1]
	// A set that is included twice with different terms counts with both.
	if got, want := say(a.Listed.Items()), "3 until 06-30@13 entry; 1 until 03-03@7 inner; 2 until 01-01 own; 1 until 12-31@9 entry; 2 until 01-01 own; 4 until 12-31@9 entry; 5 until 02-02 entry; 6 until 12-31@9 entry"; got != want {
		t.Errorf("listed\n%s, want\n%s", got, want)
	}
	if got, want := say(a.Forbid), "7 until 12-31@9 entry; 8 until 05-05 ban"; got != want {
		t.Errorf("forbids %s, want %s", got, want)
	}
	if got, want := say(other.Listed.Items()), "1 ; 2 until 01-01 own"; got != want {
		t.Errorf("the other one lists %s, want %s", got, want)
	}
	if a.Terms.Description != "what it is for" || !slices.ContainsFunc(a.Listed.Items(), func(l Listed) bool { return l.Description == "five" }) {
		t.Errorf("descriptions: %+v", a)
	}
	if x := p.Rules[0].Except[0]; x.Name != "a" || x.Until.Format("2006-01-02") != "2026-04-04" || x.Reason != "x" || x.Description != "y" {
		t.Errorf("exception %+v", x)
	}
	if s := p.Safety; len(s.Protected) != 1 || len(s.ProtectedBy) != 2 || s.ProtectedBy[0].MemberOf != "Admins" || len(s.ProtectedBy[0].Except) != 1 || s.ProtectedBy[1].Kind != Group {
		t.Errorf("protected %+v", p.Safety)
	}
}

package policy

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A packed list must be the list that was written, with every place.
func TestListsArePacked(t *testing.T) {
	p := mustParse(t, `
privilegeSets:
  s: {privileges: [7]}
principals:
- user: a
  sets: [s]
  privileges:
  - 65535
  - Web user
  - {privilege: 3, until: 2026-12-31, reason: r}
  - {privilege: Web user 2, reason: other}
- user: b
  privileges: [Web user, 3]
- user: c
  sets: [s]
- user: d
  mode: authoritative
  privileges: []
`)
	text := func(l List) []string {
		var out []string
		for item := range l.All() {
			out = append(out, fmt.Sprintf("%s at %d:%d set %q until %d reason %q", item, item.Pos.Line-p.Principals[0].Pos.Line, item.Pos.Column, item.Set, item.Until.Year(), item.Reason))
		}
		return out
	}
	for i, want := range [][]string{
		{
			`7 at -2:20 set "s" until 1 reason ""`, `65535 at 3:5 set "" until 1 reason ""`, `Web user at 4:5 set "" until 1 reason ""`,
			`3 at 5:17 set "" until 2026 reason "r"`, `Web user 2 at 6:17 set "" until 1 reason "other"`,
		},
		{`Web user at 8:16 set "" until 1 reason ""`, `3 at 8:26 set "" until 1 reason ""`},
		{`7 at -2:20 set "s" until 1 reason ""`},
		nil,
	} {
		l := p.Principals[i].Listed
		if diff := cmp.Diff(want, text(l)); diff != "" {
			t.Errorf("entry %d (-want +got):\n%s", i, diff)
		}
		if got := len(l.Items()); got != l.Len() || got != len(want) {
			t.Errorf("entry %d has %d items, Len is %d, want %d", i, got, l.Len(), len(want))
		}
		if !l.Equal(ListOf(l.Items()...)) || l.Equal(ListOf(append(l.Items(), Listed{})...)) {
			t.Errorf("entry %d: Equal is wrong", i)
		}
	}
	// Whoever stops early is heard in both parts.
	for n := range 5 {
		seen := 0
		for range p.Principals[0].Listed.All() {
			if seen++; seen > n {
				break
			}
		}
		if seen != n+1 {
			t.Errorf("All went on to %d after a break at %d", seen, n+1)
		}
	}
	if items := p.Principals[0].Listed.Items(); slices.ContainsFunc(items, func(l Listed) bool { return l.Pos.File != "p.yaml" }) {
		t.Errorf("items of another file: %v", items)
	}
}

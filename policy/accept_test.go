package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"privsync/mstr"
)

func TestDesignPolicy(t *testing.T) {
	p, err := Load([]string{"testdata/design.yaml"}, Options{})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	at := func(line, column int) Position { return Position{"testdata/design.yaml", line, column} }
	settings := Settings{Additive, Effective, RedundantKeep, InheritedAllow, MissingBlock}
	authoritative := settings
	authoritative.Mode = Authoritative
	until := time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
	want := &Policy{
		Name: "production", Owner: "bi-platform", Scope: LevelServer,
		Environment: Environment{URL: "https://bi.example.com/MicroStrategyLibrary", LoginMode: "standard", URLPos: at(8, 8)},
		Defaults:    settings,
		Safety: &Safety{
			MaxRevokes:           &Limit{Number: 25, Pos: at(12, 15)},
			MaxChangedPrincipals: &Limit{Number: 200, Pos: at(13, 25)},
			Protected:            []PrincipalRef{{User, "Administrator", "", at(14, 22)}, {Group, "System Administrators", "", at(14, 46)}},
		},
		Principals: []Entry{
			{
				Principal: &PrincipalRef{Group, "Night Shift", "", at(23, 12)},
				Settings:  authoritative, Stated: Settings{Mode: Authoritative}, Pos: at(23, 5),
				Listed: ListOf([]Listed{
					{Ref: Ref{Name: "Monitor Database Connections", Pos: at(18, 18)}, Set: "monitoring"},
					{Ref: Ref{ID: 54, Pos: at(18, 48)}, Set: "monitoring"},
					{Ref: Ref{Name: "Web user", Pos: at(21, 18)}, Set: "base"},
				}...),
			},
			{
				Principal: &PrincipalRef{User, "demo", "6C9DFE134D0F8764893B469525E38EB0", at(26, 11)},
				Settings:  settings, Pos: at(26, 5),
				Listed: ListOf([]Listed{
					{Ref: Ref{Name: "Create configuration objects", Pos: at(29, 9)}},
					{Ref: Ref{ID: 54, Pos: at(30, 21)}, Terms: Terms{Until: until, Reason: "CHG-1234"}},
				}...),
				Forbid: []Listed{{Ref: Ref{Name: "Bypass all object security access checks", Pos: at(31, 14)}}},
			},
			{
				Selector: &Selector{Kind: User, Conditions: Conditions{MemberOf: "Contractors", Nested: true}, MemberOfPos: at(32, 23), Pos: at(32, 12)},
				Settings: settings, Pos: at(32, 5),
				Forbid: []Listed{{Ref: Ref{Name: "Web administration", Pos: at(33, 14)}}},
			},
		},
		Unlisted: UnlistedIgnore, UnlistedPos: at(34, 1), ExpiringWithinDays: 14,
		Rules: []Rule{
			{Name: "bypass-only-for-admins", Severity: RuleError, Deny: []Ref{{Name: "Bypass all object security access checks", Pos: at(37, 12)}},
				Except: []Exception{{PrincipalRef: PrincipalRef{Group, "System Administrators", "", at(38, 22)}}}, Pos: at(36, 11)},
			{Name: "four-eyes", Severity: RuleError, Pos: at(39, 11),
				Conflict: []Ref{{Name: "Create and edit users and groups", Pos: at(40, 16)}, {Name: "Assign security roles", Pos: at(40, 50)}}},
		},
		Commands: []Command{{"assign-watch-kpi-insight", at(41, 12)}},
	}
	want.Files, want.Digest, want.BaseDigest = p.Files, p.Digest, p.BaseDigest
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("Load(design.yaml) (-want +got):\n%s", diff)
	}
	if len(p.Files) != 1 || !strings.HasPrefix(p.Digest, "sha256:") || !strings.HasPrefix(p.Files[0].Digest, "sha256:") || p.Digest == p.Files[0].Digest {
		t.Errorf("Files = %v, Digest = %s", p.Files, p.Digest)
	}
}

func TestNamesSurvive(t *testing.T) {
	names := []string{"no", "on", "yes", "off", "true", "0123", "1E10", "1e-3", "0x1F", "0o17", "1_000", "1:30", "2026-01-01", "2026-01-01T10:00:00Z",
		".inf", ".nan", "-5", "+5", "1.50", "é", "a b", "<<x", "= x", "54 ", "nullable", "12345678901234567890123456789012"}
	for _, name := range names {
		for _, written := range []string{name, "'" + name + "'", `"` + name + `"`} {
			if strings.TrimSpace(name) != name && written == name {
				continue
			}
			body := fmt.Sprintf("privilegeSets:\n  %[1]s: {privileges: [1]}\nprincipals:\n- user: %[1]s\n  sets: [%[1]s]\n- group: %[1]s\n  forbid: [x%[2]s]\n", written, "")
			p := mustParse(t, body)
			if got := p.Principals[0].Principal.Name; got != name {
				t.Errorf("user: %s is %q, want %q", written, got, name)
			}
			if got := p.Principals[1].Principal.Name; got != name {
				t.Errorf("group: %s is %q, want %q", written, got, name)
			}
			if got := p.Principals[0].Listed.Items()[0].Set; got != name {
				t.Errorf("set %s is %q, want %q", written, got, name)
			}
		}
	}
	for _, name := range []string{"null", "~", "Null", "NULL"} {
		if got := mustParse(t, "principals:\n- user: '"+name+"'\n  forbid: [1]\n").Principals[0].Principal.Name; got != name {
			t.Errorf("user: '%s' is %q", name, got)
		}
	}
}

func TestIDsSurvive(t *testing.T) {
	for _, id := range []string{
		"6C9DFE134D0F8764893B469525E38EB0", "12345678901234567890123456789012", "00000000000000000000000000000054",
		"1E101234567890123456789012345678", "12345678901234567890123456789E10", "0b101010101010101010101010101010", "6c9dfe134d0f8764893b469525e38eb0",
	} {
		for _, written := range []string{id, "'" + id + "'", `"` + id + `"`} {
			p := mustParse(t, "principals:\n- user: a\n  id: "+written+"\n  forbid: [1]\n")
			if got := p.Principals[0].Principal.ID; got != strings.ToUpper(id) {
				t.Errorf("id: %s is %q", written, got)
			}
		}
	}
}

func TestPrivilegeNumbers(t *testing.T) {
	p := mustParse(t, "principals:\n- user: a\n  privileges: [54, '55', \"56\", 65535, 0x1F, '1_0', 5.0, -1, 1E3]\n")
	var got []string
	for l := range p.Principals[0].Listed.All() {
		got = append(got, fmt.Sprintf("%d/%s", l.ID, l.Name))
	}
	want := []string{"54/", "55/", "56/", "65535/", "0/0x1F", "0/1_0", "0/5.0", "0/-1", "0/1E3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("privileges (-want +got):\n%s", diff)
	}
}

func TestSettings(t *testing.T) {
	p := mustParse(t, `
defaults: {mode: authoritative, inherited: report, expiringWithinDays: 0}
principals:
- user: a
  forbid: [1]
- user: b
  forbid: [1]
  mode: additive
  satisfiedBy: direct
- user: c
  forbid: [1]
  redundant: revoke
  inherited: allow
- user: leaver
  mode: authoritative
  privileges: []
`)
	want := []Settings{
		{Authoritative, Effective, RedundantKeep, InheritedReport, MissingBlock},
		{Additive, Direct, RedundantKeep, InheritedReport, MissingBlock},
		{Authoritative, Effective, RedundantRevoke, InheritedAllow, MissingBlock},
		{Authoritative, Effective, RedundantKeep, InheritedReport, MissingBlock},
	}
	stated := []Settings{{}, {Mode: Additive, SatisfiedBy: Direct}, {Redundant: RedundantRevoke, Inherited: InheritedAllow}, {Mode: Authoritative}}
	for i, e := range p.Principals {
		if e.Settings != want[i] || e.Stated != stated[i] {
			t.Errorf("entry %d: settings %v, stated %v, want %v, %v", i, e.Settings, e.Stated, want[i], stated[i])
		}
	}
	if p.ExpiringWithinDays != 0 {
		t.Errorf("ExpiringWithinDays = %d, want 0", p.ExpiringWithinDays)
	}
	if e := p.Principals[3]; e.Listed.Len() != 0 || len(e.Forbid) != 0 {
		t.Errorf("leaver lists %v and forbids %v, want nothing", e.Listed, e.Forbid)
	}
}

func TestSelectors(t *testing.T) {
	p := mustParse(t, `
principals:
- users: {memberOf: G, nested: True, loginMatches: 'svc_*', nameMatches: "? Robot", enabled: false}
  forbid: [1]
- groups: {memberOf: {group: G, id: c82C6B1011D2894CC0009D9F29718E4F}, nameMatches: 2026-*}
  forbid: [1]
`)
	no := false
	at := func(line, column int) Position { return Position{"p.yaml", line, column} }
	want := []*Selector{
		{User, Conditions{MemberOf: "G", Nested: true, LoginMatches: "svc_*", NameMatches: "? Robot", Enabled: &no}, at(6, 21), at(6, 10), nil},
		{Group, Conditions{MemberOf: "G", MemberOfID: "C82C6B1011D2894CC0009D9F29718E4F", NameMatches: "2026-*"}, at(8, 22), at(8, 11), nil},
	}
	got := []*Selector{p.Principals[0].Selector, p.Principals[1].Selector}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("selectors (-want +got):\n%s", diff)
	}
}

func TestRulesAndLimits(t *testing.T) {
	p := mustParse(t, `
safety: {maxRevokes: 10%, maxChangedPrincipals: 0}
unlisted: revoke
rules:
- {name: a, require: [1, B], atLeast: 2, severity: warning, description: why}
`)
	if got := p.Safety.MaxRevokes.String() + " " + p.Safety.MaxChangedPrincipals.String(); got != "10% 0" {
		t.Errorf("limits are %s, want 10%% 0", got)
	}
	if p.Unlisted != UnlistedRevoke {
		t.Errorf("Unlisted = %s, want revoke", p.Unlisted)
	}
	r := p.Rules[0]
	if r.AtLeast != 2 || r.Severity != RuleWarning || len(r.Require) != 2 || r.Require[1].String() != "B" || r.Require[0].String() != "1" {
		t.Errorf("rule = %+v", r)
	}
}

// Every listing is kept: which of two dates counts is the planner's business.
func TestSetsFlatten(t *testing.T) {
	p := mustParse(t, `
privilegeSets:
  top: {privileges: [1, A], include: [left, right]}
  left: {include: [bottom], privileges: [2]}
  right: {privileges: [{privilege: 1, until: 2026-01-31, reason: r}], include: [bottom]}
  bottom: {privileges: [9]}
principals:
- user: a
  sets: [top]
- user: b
  sets: [top]
  privileges: [1]
- user: c
  sets: [top]
- user: d
  sets: [bottom, left]
`)
	text := func(ls []Listed) string {
		var out []string
		for _, l := range ls {
			s := l.String() + "@" + l.Set
			if !l.Until.IsZero() {
				s += l.Until.Format("<=2006-01-02")
			}
			out = append(out, s)
		}
		return strings.Join(out, " ")
	}
	top := "1@top A@top 2@left 9@bottom 1@right<=2026-01-31"
	for i, want := range []string{top, top + " 1@", top, "9@bottom 2@left"} {
		if got := text(p.Principals[i].Listed.Items()); got != want {
			t.Errorf("entry %d lists %s, want %s", i, got, want)
		}
	}
	a, c := p.Principals[0].Listed.Shared(), p.Principals[2].Listed.Shared()
	if b := p.Principals[1].Listed.Shared(); unsafe.SliceData(a) != unsafe.SliceData(c) || unsafe.SliceData(a) != unsafe.SliceData(b) {
		t.Error("entries with the same sets do not share one slice")
	}
	if cap(a) != len(a) {
		t.Errorf("a shared slice has room for %d more: append would write into it", cap(a)-len(a))
	}
}

func TestSetsAreBounded(t *testing.T) {
	out := &collector{}
	p := newParser("p.yaml", out)
	d := p.parse([]byte(header + `
privilegeSets:
  a: {privileges: [1, 2, 3]}
  b: {privileges: [4, 5, 6], include: [a]}
  c: {privileges: [7, 8, 9], include: [b]}
unlisted: report
`))
	sets := newSetTable([]*document{d}, out)
	sets.most = 20
	use := func(name string) int {
		return len(sets.flatten([]inclusion{{word: word{name, Position{"p.yaml", 99, 1}}}}, Terms{}, Position{}).listed)
	}
	if got := [3]int{use("b"), use("b"), use("c")}; got != [3]int{6, 6, 9} {
		t.Errorf("flattened to %v, want [6 6 9]: the second b is shared and costs nothing", got)
	}
	if got := use("a"); got != 0 {
		t.Errorf("flattened to %d beyond the bound", got)
	}
	if sets.spend(1, Position{}) {
		t.Error("an entry with a list of its own is not counted")
	}
	if diff := cmp.Diff([]string{"p.yaml:99:1: the sets in use stand for more than 20 privileges; entries that include the same sets, without until and the like, share them: grant groups instead of users"}, problemLines(out.error())); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestAliases(t *testing.T) {
	p := mustParse(t, `
principals:
- &first
  group: G
  forbid: &list [1, &name no]
- group: H
  forbid: *list
- group: *name
  privileges: [*name]
`)
	if got := p.Principals[1].Forbid; len(got) != 2 || got[0].ID != 1 || got[1].Name != "no" {
		t.Errorf("forbid: *list is %v", got)
	}
	e := p.Principals[2]
	if e.Principal.Name != "no" || e.Listed.Items()[0].Pos != (Position{"p.yaml", 12, 16}) {
		t.Errorf("aliases of a name: %v, %v", e.Principal, e.Listed.Items()[0].Pos)
	}
}

func TestLongListsFindRepetitions(t *testing.T) {
	names := strings.Split(manyNames(100), ", ")
	list := strings.Join(append(names, names[3], names[50]), ", ")
	_, err := Parse("p.yaml", []byte(header+"privilegeSets: {"+strings.Join(names, ": {privileges: [1]}, ")+": {privileges: [1]}, "+names[70]+": {privileges: [1]}}\n"+
		"principals:\n- user: a\n  forbid: ["+list+"]\n  sets: ["+list+"]\n"))
	got := problemsOf(t, err)
	if len(got) != 5 {
		t.Errorf("problems = %q, want two in forbid, two in sets, one in privilegeSets", got)
	}
}

// TestLongMappingsFindRepetitions: a key that stands twice is found however many keys
// stand around it.
func TestLongMappingsFindRepetitions(t *testing.T) {
	for _, n := range []int{1, 15, 16, 17, 18, 40} {
		products := mstr.Products()[1 : n+1 : n+1]
		text := "safety:\n  licences:\n"
		for i, product := range append(products, products[n/2]) {
			text += fmt.Sprintf("    %s: {max: %d}\n", product, i)
		}
		text += "overlays:\n"
		for i := range n + 1 {
			text += fmt.Sprintf("  o%d: {safety: {maxRevokes: %d}}\n", i%n, i)
		}
		_, err := Parse("p.yaml", []byte(header+text+"unlisted: report\n"))
		line := strings.Count(header, "\n") + 3
		want := []string{
			fmt.Sprintf("p.yaml:%d:5: key %q is given twice in licences: first at %d:5", line+n, products[n/2], line+n/2),
			fmt.Sprintf("p.yaml:%d:3: key \"o0\" is given twice in overlays: first at %d:3", line+2+2*n, line+2+n),
		}
		if diff := cmp.Diff(want, problemLines(err)); diff != "" {
			t.Errorf("%d keys (-want +got):\n%s", n, diff)
		}
	}
}

func TestExpired(t *testing.T) {
	until := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	lastMoment := time.Date(2026, 3, 1, 23, 59, 59, 999, time.UTC)
	for _, tt := range []struct {
		until, now time.Time
		want       bool
	}{
		{until, lastMoment, false},
		{until, lastMoment.Add(time.Second), true},
		{until, time.Date(2026, 3, 2, 0, 30, 0, 0, time.FixedZone("", 3600)), false}, // still 1 March in UTC
		{time.Time{}, lastMoment, false},
	} {
		if got := (Terms{Until: tt.until}).Expired(tt.now); got != tt.want {
			t.Errorf("Listed{Until: %v}.Expired(%v) = %v, want %v", tt.until, tt.now, got, tt.want)
		}
	}
}

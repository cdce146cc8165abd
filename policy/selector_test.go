package policy

import (
	"strings"
	"testing"
)

// TestMatch: what is known decides, and what is not known decides nothing.
func TestMatch(t *testing.T) {
	full := Candidate{User, "Ann Lee", "svc_ann", Yes}
	for _, tt := range []struct {
		selector string
		who      Candidate
		want     Answer
	}{
		{"users: {loginMatches: 'SVC_*'}", full, Yes},
		{"users: {loginMatches: 'bob*'}", full, No},
		{"users: {loginMatches: 'SVC_*'}", Candidate{User, "Ann Lee", "", Yes}, Unknown},
		{"users: {nameMatches: 'Ann *'}", full, Yes},
		{"users: {nameMatches: 'ann *'}", full, No},
		{"users: {enabled: true}", full, Yes},
		{"users: {enabled: false}", full, No},
		{"users: {enabled: false}", Candidate{User, "Ann Lee", "svc_ann", No}, Yes},
		{"users: {enabled: false}", Candidate{User, "Ann Lee", "svc_ann", Unknown}, Unknown},
		// One certain no is enough, whatever else is not known.
		{"users: {loginMatches: 'svc*', nameMatches: 'Bob', enabled: true}", Candidate{User, "Ann", "", Unknown}, No},
		{"users: {loginMatches: 'bob', enabled: true}", Candidate{User, "Ann", "ann", Unknown}, No},
		{"users: {loginMatches: 'ann', enabled: true}", Candidate{User, "Ann", "ann", Unknown}, Unknown},
		// Members of a group are known from its list alone.
		{"users: {memberOf: Staff, nested: true}", full, Yes},
		{"users: {memberOf: Staff}", Candidate{Group, "Staff", "", Unknown}, No},
		{"groups: {nameMatches: 'St*'}", Candidate{Group, "Staff", "", Unknown}, Yes},
		{"groups: {nameMatches: 'St*'}", Candidate{User, "Stan", "stan", Yes}, No},
	} {
		s := mustParse(t, "principals:\n- "+tt.selector+"\n  forbid: [1]\n").Principals[0].Selector
		if got := s.Match(tt.who); got != tt.want {
			t.Errorf("%s: Match(%+v) = %d, want %d", tt.selector, tt.who, got, tt.want)
		}
	}
}

func TestSelectorWords(t *testing.T) {
	for written, want := range map[string]string{
		"users: {memberOf: Staff, nested: true, loginMatches: a*, nameMatches: 'B *', enabled: false}": `every user in group "Staff" at any depth, with a login like "a*", with a name like "B *", disabled`,
		"users: {enabled: true}": "every user enabled",
		"groups: {memberOf: {group: Staff, id: 6C9DFE134D0F8764893B469525E38EB0}, nested: true, except: [{group: Bots, until: 2026-12-31}, {groups: {nameMatches: X}}]}": `every group in group "Staff" at any depth (6C9DFE134D0F8764893B469525E38EB0) but not group "Bots" and its members (until 2026-12-31) and not every group with a name like "X"`,
	} {
		if got := mustParse(t, "principals:\n- "+written+"\n  forbid: [1]\n").Principals[0].Selector.String(); got != want {
			t.Errorf("%s is %s\nwant %s", written, got, want)
		}
	}
	if got := (&Conditions{}).Words(Group); got != "every group" {
		t.Errorf("no conditions are %q", got)
	}
}

// A selector stands under an alias as well as anything else.
func TestProtectedSelectorByAlias(t *testing.T) {
	p := mustParse(t, "principals:\n- users: &s {memberOf: Staff}\n  forbid: [1]\nsafety: {protected: [{users: *s}]}\n")
	if got := p.Safety.ProtectedBy; len(got) != 1 || got[0].MemberOf != "Staff" {
		t.Errorf("protected: [{users: *s}] is %+v", got)
	}
}

// Names that differ only in case look alike, whatever letters they have.
func TestLookAlikesInCase(t *testing.T) {
	for _, pair := range [][2]string{{"desk", "Desk"}, {"Night Shift", "night shift"}, {"KIOSK", "kiosk"}, {"Ärzte", "ärzte"}, {"admin", "Admin"}} {
		p := mustParse(t, "principals:\n- group: "+pair[0]+"\n  forbid: [1]\n- group: "+pair[1]+"\n  forbid: [1]\n")
		if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0].Message, "looks like") {
			t.Errorf("groups %q and %q: warnings %v", pair[0], pair[1], p.Warnings)
		}
	}
}

// A letter that is defined to be blank is as invisible as one that is no letter.
func TestInvisibleCharactersInNames(t *testing.T) {
	for _, blank := range []string{"\u200b", "\u3164", "\u00ad", "\U000e0041"} {
		p := mustParse(t, "principals:\n- group: \"Desk\"\n  forbid: [1]\n- group: \"De"+blank+"sk\"\n  forbid: [1]\n")
		var all []string
		for _, w := range p.Warnings {
			all = append(all, w.Message)
		}
		if text := strings.Join(all, "\n"); !strings.Contains(text, "an invisible character") || !strings.Contains(text, "looks like") {
			t.Errorf("group with %q: warnings %s", blank, text)
		}
	}
}

package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestSuggest(t *testing.T) {
	names := []string{"Web administration", "Web user", "Monitor Database Connections", "forbid", "sets", "id", "warning", "éclair"}
	long := strings.Repeat("x", 200)
	tests := []struct {
		name       string
		candidates []string
		want       string
	}{
		{"web administration", names, "Web administration"},
		{"Web adminstration", names, "Web administration"},
		{"Web adminsitration", names, "Web administration"},
		{"fobrid", names, "forbid"},
		{"set", names, "sets"},
		{"idd", names, "id"},
		{"eclair", names, "éclair"},
		{"warn", names, "warning"},
		{"Web", names, ""}, // begins two
		{"Monitor Jobs", names, ""},
		{"nonsense", names, ""},
		{"forbid", []string{"forbid"}, ""},
		{"x", []string{"y"}, ""}, // nothing in common
		{"", names, ""},
		{long, []string{long + "y"}, long + "y"}, // begins one
		{long[1:] + "y", []string{long}, ""},
		{long, []string{strings.ToUpper(long)}, strings.ToUpper(long)},
		{"abcd", []string{"abce", "abcf"}, "abce"},
		{"monitor\xff", []string{"monitor"}, "monitor"},
	}
	for _, tt := range tests {
		if got := Suggest(tt.name, tt.candidates); got != tt.want {
			t.Errorf("Suggest(%.40q) = %.40q, want %.40q", tt.name, got, tt.want)
		}
	}
	many := make([]string, maxSuggestCandidates+1)
	for i := range many {
		many[i] = fmt.Sprintf("unlike %d", i)
	}
	many[maxSuggestCandidates] = "forbid"
	if got := Suggest("fobrid", many); got != "" {
		t.Errorf("Suggest among too many = %q", got)
	}
	if got := Suggest("FORBID", many); got != "forbid" {
		t.Errorf("Suggest among too many by letter case = %q, want forbid", got)
	}
}

func TestFoldLogin(t *testing.T) {
	for _, pair := range [][2]string{{"Demo", "dEMO"}, {"ſvc", "SVC"}, {"K1", "\u212a1"}, {"É", "é"}, {"Σ", "ς"}, {"a", "b"}, {"İ", "i"}} {
		if got, want := FoldLogin(pair[0]) == FoldLogin(pair[1]), strings.EqualFold(pair[0], pair[1]); got != want {
			t.Errorf("foldLogin takes %q and %q for equal: %v, EqualFold: %v", pair[0], pair[1], got, want)
		}
	}
}

package mstr

import (
	"strings"
	"testing"
)

func TestWildcard(t *testing.T) {
	tests := []struct {
		pattern, text string
		want          bool
	}{
		{"", "", true}, {"*", "", true}, {"?", "", false}, {"a*", "abc", true}, {"*c", "abc", true}, {"a*c", "ac", true},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"*a*b*", "xxaxxbxx", true}, {"*a*b", "aab", true}, {"*ab", "aaab", true},
		{"a**", "a", true}, {"?", "é", true}, {"x", "xy", false}, {"[a]", "a", false}, {"***a", "bbbb", false},
	}
	for _, test := range tests {
		if got := Wildcard(test.pattern, test.text); got != test.want {
			t.Errorf("Wildcard(%q, %q) = %v, want %v", test.pattern, test.text, got, test.want)
		}
	}
	if long := strings.Repeat("a", 2000); Wildcard(strings.Repeat("*a", 50)+"b", long) {
		t.Error("a long text matches what is not in it")
	}
}

package render

import (
	"strings"

	"privsync/planner"
)

// longestFence is the longest run of backticks that a code span can have inside:
// parsers stop looking for longer fences (cmark at 80).
const longestFence = 16

// span puts s, clean and cut to at most n runes, into a code span, in which
// nothing but its own fence means anything.
func span(s string, n int) string {
	s = clip(Clean(s), n)
	if s == "" {
		return "(empty)"
	}
	run, longest := 0, 0
	for i := range len(s) {
		if s[i] != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	if longest > longestFence {
		s, longest = strings.ReplaceAll(s, "`", `\x60`), 0
	}
	fence := strings.Repeat("`", longest+1)
	// One space at both ends is taken away again by the parser, unless the span
	// is all spaces.
	if first, last := s[0], s[len(s)-1]; first == '`' || last == '`' || first == ' ' || last == ' ' {
		if strings.Trim(s, " ") != "" {
			s = " " + s + " "
		}
	}
	return fence + s + fence
}

// spanWho is a principal in a code span.
func spanWho(p planner.Principal) string { return names{}.span(p) }

// span is told in a code span.
func (n names) span(p planner.Principal) string {
	alike := n.alike(p)
	p.Name, p.Login, p.Tenant = clip(Clean(p.Name), clipName), clip(Clean(p.Login), clipName), clip(Clean(p.Tenant), clipName)
	short := who(p)
	if alike {
		short += " " + Clean(string(p.ID))
	}
	return span(short, 3*clipName+80)
}

func spanPrivilege(p planner.PrivilegeRef) string { return span(privilege(p), clipName) }

// reasonWord is a reason as a word where it is one of ours.
func reasonWord(r planner.Reason) string {
	switch r {
	case planner.ReasonListed, planner.ReasonNotListed, planner.ReasonForbidden, planner.ReasonExpired,
		planner.ReasonRedundant, planner.ReasonDependent, planner.ReasonUnlisted, planner.ReasonRollback:
		return string(r)
	}
	return span(string(r), clipName)
}

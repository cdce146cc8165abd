package render

import (
	"fmt"
	"strings"

	"privsync/planner"
)

// reach says whom a change reaches and what it comes to for them, or "" for what
// goes without saying: a user's own change that the user will notice.
func reach(i planner.Impact, grant, revoke []planner.PlannedPrivilege) string {
	if i.Members == 0 {
		if e := i.Effect; e != nil && e.Gain+e.Lose+e.Unknown == 0 {
			return "the user holds the same before and after"
		}
		return ""
	}
	text := "reaches " + count(i.Members, "user")
	if i.Effect == nil {
		return text
	}
	var parts []string
	if len(grant) > 0 {
		parts = append(parts, fmt.Sprintf("%s%d gain", least(i.Effect), i.Gain))
	}
	if len(revoke) > 0 {
		parts = append(parts, fmt.Sprintf("%s%d lose", least(i.Effect), i.Lose))
	}
	return text + ": " + strings.Join(parts, ", ") + notKnown(i.Effect)
}

func least(e *planner.Effect) string {
	if e.Unknown > 0 {
		return "at least "
	}
	return ""
}

func notKnown(e *planner.Effect) string {
	if e.Unknown > 0 {
		return fmt.Sprintf(", %d not known", e.Unknown)
	}
	return ""
}

// effect says what one privilege of a group's change comes to for its members: "204
// members, 3 lose it, 201 keep it through Everyone". It is "" where nobody worked it
// out. name shows the name of a group.
func effect(i *planner.Impact, granted bool, name func(string) string) string {
	if i == nil || i.Effect == nil {
		return ""
	}
	n, verb, rest := i.Lose, "lose", "keep it"
	if granted {
		n, verb, rest = i.Gain, "gain", "have it already"
	}
	if n == 1 {
		verb += "s"
	}
	text := fmt.Sprintf("%s, %s%d %s it", count(i.Members, "member"), least(i.Effect), n, verb)
	if others := i.Members - n - i.Unknown; others > 0 {
		if others == 1 {
			rest = strings.Replace(strings.Replace(rest, "keep", "keeps", 1), "have", "has", 1)
		}
		text += fmt.Sprintf(", %d %s%s", others, rest, keepingWords(i.Through, others, name))
	}
	return text + notKnown(i.Effect)
}

// keepingWords says by what n members keep a privilege.
func keepingWords(through []planner.Keeping, n int, name func(string) string) string {
	by := func(k planner.Keeping) string {
		if k.Source == planner.ThroughDirect {
			return "directly"
		}
		if k.Name == "" {
			k.Name = string(k.ID)
		}
		return "through " + name(k.Name)
	}
	if len(through) == 0 {
		return ""
	}
	if through[0].Users == n {
		return " " + by(through[0])
	}
	ways := make([]string, len(through))
	for i, k := range through {
		ways[i] = fmt.Sprintf("%d %s", k.Users, by(k))
	}
	return " (" + strings.Join(ways, ", ") + ")"
}

// plainName is the name of a group as it is if it is one plain word, and quoted if not:
// nothing in it can be taken for words of ours.
func plainName(s string) string {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return Quote(s)
		}
	}
	return s
}

// spanName is the name of a group in a code span.
func spanName(s string) string { return span(s, clipName) }

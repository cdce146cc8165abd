package render

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/executor"
	"privsync/planner"
)

// changeWords are what a grant and a revoke are called: an audit changes nothing,
// so there they are missing and surplus.
type changeWords struct{ grant, revoke string }

// wordsOf returns what changes are called that are only found to be wanted, or are made.
func wordsOf(found bool) changeWords {
	if found {
		return changeWords{"missing", "surplus"}
	}
	return changeWords{"grant", "revoke"}
}

func (w changeWords) of(granted bool) string {
	if granted {
		return w.grant
	}
	return w.revoke
}

// count says how many there are.
func (w changeWords) count(grant, revoke []planner.PlannedPrivilege) string {
	if w.grant == "missing" {
		return fmt.Sprintf("%d %s, %d %s", len(grant), w.grant, len(revoke), w.revoke)
	}
	return clean.Count(len(grant), w.grant) + ", " + clean.Count(len(revoke), w.revoke)
}

// touched gives the grants of a principal and then its revokes, and which of them each is.
func touched(grant, revoke []planner.PlannedPrivilege) iter.Seq2[*planner.PlannedPrivilege, bool] {
	return func(yield func(*planner.PlannedPrivilege, bool) bool) {
		for i := range len(grant) + len(revoke) {
			if i < len(grant) && !yield(&grant[i], true) || i >= len(grant) && !yield(&revoke[i-len(grant)], false) {
				return
			}
		}
	}
}

// noter gives a last word of ours on one grant or revoke, or "".
type noter func(g *planner.PlannedPrivilege, granted bool) string

// effectOf notes what a plan's change comes to; name shows the name of a group.
func effectOf(name func(string) string) noter {
	return func(g *planner.PlannedPrivilege, granted bool) string { return effect(g.Impact, granted, name) }
}

// becameOf notes what became of a change, from what was there at the end, where the
// outcome alone does not tell it.
func becameOf(res *executor.Result) noter {
	partly := res.Outcome == executor.Failed || res.Outcome == executor.HeldBack || res.Outcome == executor.Unverified
	return func(g *planner.PlannedPrivilege, granted bool) string {
		done, so := res.Granted, "is there"
		if !granted {
			done, so = res.Revoked, "is gone"
			if slices.ContainsFunc(res.HeldBack, func(p planner.PrivilegeRef) bool { return p.ID == g.ID }) {
				return "held back"
			}
		}
		switch {
		case !partly:
			return ""
		case slices.Contains(done, g.ID):
			return "done and verified"
		case res.After != nil && res.After.Direct.Has(g.ID) == granted:
			return so
		case res.Outcome == executor.Unverified:
			return "unknown whether done"
		case res.After == nil && res.Outcome != executor.Failed:
			return "not read again"
		}
		return "not done" // refused, or never sent
	}
}

// why joins the reason of a change, whom it waits for and a note.
func why(g *planner.PlannedPrivilege, known names, note string) string {
	return cmp.Or(joined("; ", when(g.Administrative && g.Reason == planner.ReasonListed, "ADMINISTRATIVE"), Clean(string(g.Reason)), when(g.Until != "", "until %s", Clean(g.Until)),
		clip(Clean(g.Ticket), clipMessage), known.relies(g.ReliesOn), note), "no reason given")
}

// touchText says on one line what a plan does; verb is what a grant or a revoke is called.
func touchText(verb string, to planner.Principal, g *planner.PlannedPrivilege, granted bool, known names) string {
	at := "from"
	if granted {
		at = "to"
	}
	return fmt.Sprintf("%s %s %s %s (%s)", verb, privilege(g.PrivilegeRef), at, who(to), why(g, known, effect(g.Impact, granted, plainName)))
}

// reach says whom a change reaches and what it comes to for them, or "" for what
// goes without saying: a user's own change that the user will notice.
func reach(i planner.Impact, grant, revoke []planner.PlannedPrivilege) string {
	if i.Members == 0 {
		if e := i.Effect; e != nil && e.Gain+e.Lose+e.Unknown == 0 {
			return "the user holds the same before and after"
		}
		return ""
	}
	text := "reaches " + clean.Count(i.Members, "user")
	if i.Effect == nil {
		return text
	}
	return text + ": " + joined(", ", when(len(grant) > 0, "%s%d gain", least(i.Effect), i.Gain), when(len(revoke) > 0, "%s%d lose", least(i.Effect), i.Lose)) + notKnown(i.Effect)
}

func least(e *planner.Effect) string { return when(e.Unknown > 0, "at least ") }

func notKnown(e *planner.Effect) string { return when(e.Unknown > 0, ", %d not known", e.Unknown) }

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
	text := fmt.Sprintf("%s, %s%d %s it", clean.Count(i.Members, "member"), least(i.Effect), n, verb)
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

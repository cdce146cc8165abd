package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// foldFrom is how many items of a kind are folded away.
const foldFrom = 12

// foldChangesFrom is how many principals are folded away: what matters stands above.
const foldChangesFrom = 5

// fold frames a section: a heading, and a <details> if it has many items.
func fold(heading, summary string, n int) (open, close string) {
	if n < foldFrom {
		return "\n### " + heading + "\n\n", ""
	}
	return folded(heading, summary)
}

// folded frames a section that is folded away.
func folded(heading, summary string) (open, close string) {
	return "\n### " + heading + "\n\n<details><summary>" + summary + "</summary>\n\n", "\n</details>\n"
}

func guardSection(gs []planner.Guard) section {
	refused := 0
	for _, g := range gs {
		if !g.Allowed {
			refused++
		}
	}
	heading := "⛔ " + clean.Count(refused, "guard") + " exceeded: apply refuses this"
	if refused == 0 {
		heading = "⚠️ " + clean.Count(len(gs), "guard") + " exceeded, allowed by a flag"
	}
	return section{open: "\n### " + heading + "\n\n", noun: "guard", n: len(gs), weight: 4, item: func(i int) (string, string) {
		g := gs[i]
		state := "refused"
		if g.Allowed {
			state = "allowed"
		}
		short := fmt.Sprintf("- **%s** %s: %s, the limit is %s\n", state, span(g.Name, clipName), span(g.Actual, clipName), span(g.Limit, clipName))
		return short + when(g.Message != "", "  - %s\n", span(g.Message, clipMessage)) +
			when(len(g.Offenders) > 0, "  - foremost: %s\n", andMore(g.Offenders, len(g.Offenders), "", spanWho)), short
	}}
}

// findingSection is the section of the findings of one severity.
func findingSection(all []planner.Finding, severity planner.Severity) section {
	var fs []planner.Finding
	for _, f := range all {
		known := f.Severity == planner.SeverityError || f.Severity == planner.SeverityWarning
		if f.Severity == severity || !known && severity == planner.SeverityInfo {
			fs = append(fs, f)
		}
	}
	s := section{n: len(fs), item: func(i int) (string, string) { return findingItem(fs[i]) }}
	switch severity {
	case planner.SeverityError:
		s.noun, s.weight = "error finding", 6
		s.open = "\n### ⛔ " + clean.Count(len(fs), s.noun) + "\n\n"
	case planner.SeverityWarning:
		s.noun, s.weight = "warning", 3
		s.open, s.close = fold("⚠️ "+clean.Count(len(fs), s.noun), "Show the warnings", len(fs))
	default:
		s.noun, s.weight = "info", 1
		s.open, s.close = fold("ℹ️ "+clean.Count(len(fs), s.noun), "Show the infos", len(fs))
	}
	return s
}

func findingItem(f planner.Finding) (full, short string) {
	short = "- " + span(string(f.Code), clipName)
	if f.Principal != nil {
		short += " " + spanWho(*f.Principal)
	}
	if f.Privilege != nil {
		short += " " + spanPrivilege(*f.Privilege)
	}
	from, at := sourcesNotIn(f), place(f.Position)
	full = short + when(f.Message != "", ": %s", span(f.Message, clipMessage)) + when(len(from) > 0, " from %s", andMore(from, mostNamed, "", spanName)) + when(at != "", " at %s", span(at, clipName))
	return full + "\n", short + "\n"
}

// mostNamed is how many are named in one item.
const mostNamed = 5

// hit is one thing that a plan does, and to how many users it makes a difference.
type hit struct {
	c     *planner.Change
	g     *planner.PlannedPrivilege
	users int
}

// hitsOf lists what changes do of one kind.
func hitsOf(changes []weighed, kind int) []hit {
	var hits []hit
	for _, c := range changes {
		for g := range c.each(kind) {
			hits = append(hits, hit{c.Change, g, usersOf(c.Change, g, kind != revokes)})
		}
	}
	return hits
}

func byUsers(a, b hit) int { return cmp.Compare(b.users, a.users) }

// administrativeSection lists the grants of administrative privileges, the widest
// effect first.
func administrativeSection(changes []weighed) section {
	hits := hitsOf(changes, administrativeGrants)
	slices.SortStableFunc(hits, byUsers)
	return section{
		open: "\n### ⚠️ " + clean.Count(len(hits), "grant") + " of administrative privileges\n\n", noun: "administrative grant", n: len(hits), weight: 6,
		item: func(i int) (string, string) {
			h := hits[i]
			short := fmt.Sprintf("- %s to %s", spanPrivilege(h.g.PrivilegeRef), spanWho(h.c.Principal))
			text, at := cmp.Or(effect(h.g.Impact, true, spanName), reach(h.c.Impact, h.c.Grant, h.c.Revoke)), originWords(h.g.Origin)
			return short + when(text != "", ": **%s**", text) + when(at != "", " at %s", span(at, 2*clipName)) + "\n", short + "\n"
		},
	}
}

// overviewSection says for each privilege whom its grants (or revokes) hit: those first
// that make a difference to the most users.
func overviewSection(heading, noun string, changes []weighed, kind int) section {
	byPrivilege := make(map[mstrapi.PrivilegeID][]hit)
	users := make(map[mstrapi.PrivilegeID]int)
	for _, h := range hitsOf(changes, kind) {
		byPrivilege[h.g.ID] = append(byPrivilege[h.g.ID], h)
		users[h.g.ID] += h.users
	}
	ids := slices.SortedFunc(maps.Keys(byPrivilege), func(a, b mstrapi.PrivilegeID) int {
		return cmp.Or(cmp.Compare(users[b], users[a]), cmp.Compare(len(byPrivilege[b]), len(byPrivilege[a])), cmp.Compare(a, b))
	})
	return section{
		open: "\n### " + heading + "\n\n", noun: noun, n: len(ids), weight: 2,
		item: func(i int) (string, string) {
			on := byPrivilege[ids[i]]
			short := fmt.Sprintf("- %s on %s", spanPrivilege(on[0].g.PrivilegeRef), clean.Count(len(on), "principal"))
			on = slices.Clone(on)
			slices.SortStableFunc(on, byUsers)
			return short + ": " + andMore(on, mostNamed, "", func(h hit) string {
				who := spanWho(h.c.Principal)
				if text := effect(h.g.Impact, kind != revokes, spanName); text != "" {
					who += " (**" + text + "**)"
				} else if n := h.c.Impact.Members; n > 0 {
					who += " (**reaches " + clean.Count(n, "user") + "**)"
				}
				return who
			}) + "\n", short + "\n"
		},
	}
}

// changeSection lists the principals with what changes on them.
func changeSection(changes []weighed, known names) section {
	s := section{noun: "principal", n: len(changes), weight: 8}
	words := wordsOf(false)
	s.open, s.close = fold("Changes by principal", "Show the changes of "+clean.Count(s.n, "principal"), s.n+foldFrom-foldChangesFrom)
	s.item = func(i int) (string, string) {
		c := changes[i]
		reaches := reach(c.Impact, c.Grant, c.Revoke)
		head := fmt.Sprintf("- %s: %s%s", known.span(c.Principal), words.count(c.Grant, c.Revoke), when(reaches != "", ", **%s**", reaches))
		return head + "\n" + changeLines(c.Grant, c.Revoke, known, words, effectOf(spanName)), head + " (too long to list here)\n"
	}
	return s
}

// changeLines lists revokes and grants.
func changeLines(grant, revoke []planner.PlannedPrivilege, known names, words changeWords, note noter) string {
	var b strings.Builder
	write := func(g *planner.PlannedPrivilege, granted bool) {
		sign := "➖"
		if granted {
			sign = "➕"
		}
		relies, noted, at := known.relies(g.ReliesOn), note(g, granted), originWords(g.Origin)
		fmt.Fprintf(&b, "  - %s %s %s (%s%s%s%s%s)%s\n", sign, words.of(granted), spanPrivilege(g.PrivilegeRef), reasonWord(g.Reason),
			when(g.Until != "", "; until %s", span(g.Until, clipName)), when(g.Ticket != "", "; %s", span(g.Ticket, clipName)),
			when(relies != "", "; %s", span(relies, 2*clipName)), when(noted != "", "; **%s**", noted), when(at != "", " %s", span(at, 2*clipName)))
	}
	for i := range revoke {
		write(&revoke[i], false)
	}
	for i := range grant {
		write(&grant[i], true)
	}
	return b.String()
}

// lines is a section whose items are lines that cannot be shortened.
func lines(open, noun string, weight, n int, line func(i int) string) section {
	return section{open: open, noun: noun, n: n, weight: weight, item: func(i int) (string, string) {
		s := line(i)
		return s, s
	}}
}

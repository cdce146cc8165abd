package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"privsync/mstrapi"
	"privsync/planner"
)

// changed is what Markdown shows of one principal's grants and revokes.
type changed struct {
	principal     planner.Principal
	grant, revoke []planner.PlannedPrivilege
	impact        planner.Impact
}

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
	heading := "⛔ " + count(refused, "guard") + " exceeded: apply refuses this"
	if refused == 0 {
		heading = "⚠️ " + count(len(gs), "guard") + " exceeded, allowed by a flag"
	}
	return section{open: "\n### " + heading + "\n\n", noun: "guard", n: len(gs), weight: 4, item: func(i int) (string, string) {
		g := gs[i]
		state := "refused"
		if g.Allowed {
			state = "allowed"
		}
		short := fmt.Sprintf("- **%s** %s: %s, the limit is %s\n", state, span(g.Name, clipName), span(g.Actual, clipName), span(g.Limit, clipName))
		full := short
		if g.Message != "" {
			full += "  - " + span(g.Message, clipMessage) + "\n"
		}
		if len(g.Offenders) > 0 {
			var s []string
			for _, p := range g.Offenders {
				s = append(s, spanWho(p))
			}
			full += "  - foremost: " + strings.Join(s, ", ") + "\n"
		}
		return full, short
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
		s.open = "\n### ⛔ " + count(len(fs), s.noun) + "\n\n"
	case planner.SeverityWarning:
		s.noun, s.weight = "warning", 3
		s.open, s.close = fold("⚠️ "+count(len(fs), s.noun), "Show the warnings", len(fs))
	default:
		s.noun, s.weight = "info", 1
		s.open, s.close = fold("ℹ️ "+count(len(fs), s.noun), "Show the infos", len(fs))
	}
	return s
}

func findingItem(f planner.Finding) (full, short string) {
	var b strings.Builder
	b.WriteString("- " + span(string(f.Code), clipName))
	if f.Principal != nil {
		b.WriteString(" " + spanWho(*f.Principal))
	}
	if f.Privilege != nil {
		b.WriteString(" " + spanPrivilege(*f.Privilege))
	}
	short = b.String() + "\n"
	if f.Message != "" {
		b.WriteString(": " + span(f.Message, clipMessage))
	}
	if s := sourcesNotIn(f); len(s) > 0 {
		const most = 5
		b.WriteString(" from ")
		for i, name := range s[:min(len(s), most)] {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(span(name, clipName))
		}
		if n := len(s) - most; n > 0 {
			fmt.Fprintf(&b, " and %d more", n)
		}
	}
	if p := place(f.Position); p != "" {
		b.WriteString(" at " + span(p, clipName))
	}
	return b.String() + "\n", short
}

// administrativeSection lists the grants of administrative privileges, the widest
// effect first.
func administrativeSection(changes []weighed) section {
	type hit struct {
		c *planner.Change
		g *planner.PlannedPrivilege
	}
	var hits []hit
	for _, c := range changes {
		for g := range c.each(administrativeGrants) {
			hits = append(hits, hit{c.Change, g})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(usersOf(b.c, b.g, true), usersOf(a.c, a.g, true)) })
	return section{
		open: "\n### ⚠️ " + count(len(hits), "grant") + " of administrative privileges\n\n", noun: "administrative grant", n: len(hits), weight: 6,
		item: func(i int) (string, string) {
			h := hits[i]
			short := fmt.Sprintf("- %s to %s\n", spanPrivilege(h.g.PrivilegeRef), spanWho(h.c.Principal))
			full := strings.TrimSuffix(short, "\n")
			if text := effect(h.g.Impact, true, spanName); text != "" {
				full += ": **" + text + "**"
			} else if r := reach(h.c.Impact, h.c.Grant, h.c.Revoke); r != "" {
				full += ": **" + r + "**"
			}
			if at := originWords(h.g.Origin); at != "" {
				full += " at " + span(at, 2*clipName)
			}
			return full + "\n", short
		},
	}
}

// overviewSection says for each privilege whom its grants (or revokes) hit: those first
// that make a difference to the most users.
func overviewSection(heading, noun string, changes []weighed, kind int) section {
	granted := kind != revokes
	type on struct {
		c     *planner.Change
		g     *planner.PlannedPrivilege
		users int
	}
	type hit struct {
		privilege planner.PrivilegeRef
		users     int
		on        []on
	}
	index := make(map[mstrapi.PrivilegeID]int)
	var hits []hit
	for _, c := range changes {
		for g := range c.each(kind) {
			at, ok := index[g.ID]
			if !ok {
				at = len(hits)
				index[g.ID] = at
				hits = append(hits, hit{privilege: g.PrivilegeRef})
			}
			users := usersOf(c.Change, g, granted)
			hits[at].users += users
			hits[at].on = append(hits[at].on, on{c.Change, g, users})
		}
	}
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(b.users, a.users), cmp.Compare(len(b.on), len(a.on)), cmp.Compare(a.privilege.ID, b.privilege.ID))
	})
	const most = 5
	return section{
		open: "\n### " + heading + "\n\n", noun: noun, n: len(hits), weight: 2,
		item: func(i int) (string, string) {
			h := hits[i]
			slices.SortStableFunc(h.on, func(a, b on) int { return cmp.Compare(b.users, a.users) })
			short := fmt.Sprintf("- %s on %s\n", spanPrivilege(h.privilege), count(len(h.on), "principal"))
			var s []string
			for _, x := range h.on[:min(len(h.on), most)] {
				who := spanWho(x.c.Principal)
				if text := effect(x.g.Impact, granted, spanName); text != "" {
					who += " (**" + text + "**)"
				} else if n := x.c.Impact.Members; n > 0 {
					who += " (**reaches " + count(n, "user") + "**)"
				}
				s = append(s, who)
			}
			rest := ""
			if n := len(h.on) - most; n > 0 {
				rest = fmt.Sprintf(" and %d more", n)
			}
			return strings.TrimSuffix(short, "\n") + ": " + strings.Join(s, ", ") + rest + "\n", short
		},
	}
}

// changeSection lists the principals with what changes on them.
func changeSection(changes []changed, known names) section {
	s := section{noun: "principal", n: len(changes), weight: 8}
	words := wordsOf(false)
	s.open, s.close = fold("Changes by principal", "Show the changes of "+count(s.n, "principal"), s.n+foldFrom-foldChangesFrom)
	s.item = func(i int) (string, string) {
		c := changes[i]
		head := fmt.Sprintf("- %s: %s", known.span(c.principal), words.count(c.grant, c.revoke))
		if r := reach(c.impact, c.grant, c.revoke); r != "" {
			head += ", **" + r + "**"
		}
		return head + "\n" + changeLines(c.grant, c.revoke, known, words, effectOf(spanName)), head + " (too long to list here)\n"
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
		fmt.Fprintf(&b, "  - %s %s %s (%s", sign, words.of(granted), spanPrivilege(g.PrivilegeRef), reasonWord(g.Reason))
		if g.Until != "" {
			b.WriteString("; until " + span(g.Until, clipName))
		}
		if g.Ticket != "" {
			b.WriteString("; " + span(g.Ticket, clipName))
		}
		if r := known.relies(g.ReliesOn); r != "" {
			b.WriteString("; " + span(r, 2*clipName))
		}
		if n := note(g, granted); n != "" {
			b.WriteString("; **" + n + "**")
		}
		b.WriteString(")")
		if at := originWords(g.Origin); at != "" {
			b.WriteString(" " + span(at, 2*clipName))
		}
		b.WriteString("\n")
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

package render

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// The kinds of what a plan does, what a reviewer must see first first.
const (
	administrativeGrants = iota
	otherGrants
	revokes
	kinds
)

// kindOf returns of which kind one of them is.
func kindOf(g *planner.PlannedPrivilege, granted bool) int {
	switch {
	case !granted:
		return revokes
	case g.Administrative:
		return administrativeGrants
	}
	return otherGrants
}

// weighed is a change and what it comes to: the foremost kind of what it does, and the
// users to whom the widest of these makes a difference.
type weighed struct {
	*planner.Change
	kind, users int
}

// each gives what the change does of one kind.
func (w weighed) each(kind int) iter.Seq[*planner.PlannedPrivilege] {
	return func(yield func(*planner.PlannedPrivilege) bool) {
		for g, granted := range touched(w.Grant, w.Revoke) {
			if kindOf(g, granted) == kind && !yield(g) {
				return
			}
		}
	}
}

// byWeight returns the changes of a plan in the order in which a reviewer must see
// them: grants of administrative privileges, other grants, revokes; of each the widest
// effect first.
func byWeight(p *planner.Plan) []weighed {
	out := make([]weighed, len(p.Changes))
	for i := range p.Changes {
		c := &p.Changes[i]
		w := weighed{c, revokes, 0}
		for g, granted := range touched(c.Grant, c.Revoke) {
			kind := kindOf(g, granted)
			if kind < w.kind {
				w.kind, w.users = kind, 0
			}
			if kind == w.kind {
				w.users = max(w.users, usersOf(c, g, granted))
			}
		}
		out[i] = w
	}
	slices.SortStableFunc(out, func(a, b weighed) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(b.users, a.users)) })
	return out
}

// usersOf returns how many users gain or lose a privilege by a change, counting those
// of whom it is not known.
func usersOf(c *planner.Change, p *planner.PlannedPrivilege, granted bool) int {
	i := p.Impact
	if i == nil {
		i = &c.Impact // of a user's own change: of all its privileges together
	}
	switch {
	case i.Effect == nil && c.Principal.Kind == mstrapi.Group:
		return i.Members
	case i.Effect == nil:
		return 1
	case granted:
		return i.Gain + i.Unknown
	}
	return i.Lose + i.Unknown
}

// Recap writes the foremost of what a plan does, in about so many lines, for a person
// who is asked right below it.
func Recap(w io.Writer, p *planner.Plan, lines int, o Options) error {
	b := bufio.NewWriter(w)
	t := &textWriter{w: b, o: o}
	t.line(bold, "%s", headline(p, o.Guards, Clean))
	known := planNames(p)
	changes := byWeight(p)
	left, room := 0, max(lines-3, 1)
	for kind := range kinds {
		s, sign := green, "+ grant "
		if kind == revokes {
			s, sign = red, "- revoke"
		}
		for _, c := range changes {
			for g := range c.each(kind) {
				if room--; room < 0 {
					left++
					continue
				}
				text := "  " + touchText(sign, c.Principal, g, kind != revokes, known)
				if o.Width >= 40 {
					text = clip(text, o.Width)
				}
				t.line(s, "%s", text)
			}
		}
	}
	if left > 0 {
		t.line(bold, "  … and %d more", left)
	}
	for _, c := range p.Commands {
		t.line(plain, "  > run command %s", Clean(c))
	}
	return b.Flush()
}

// headline says in one line what a plan does, on which server, whom it reaches, and
// what guards, rules and licences say. name shows names from outside.
func headline(p *planner.Plan, guards []planner.Guard, name func(string) string) string {
	s := p.Summary
	what := noPlan(p)
	switch {
	case len(p.Changes) > 0:
		if what != "" {
			what += "; without it "
		}
		what += fmt.Sprintf("%s, %s on %d of %s", clean.Count(s.Grants, "grant"), clean.Count(s.Revokes, "revoke"), s.Changed, clean.Count(s.Principals, "principal"))
	case what == "" && !p.Complete:
		what = "no changes, but not everything could be read"
	case what == "":
		what = "no changes"
	}
	reaches := ""
	if i := s.Impact; i != nil && i.Effect != nil {
		reaches = fmt.Sprintf("reaches %s: %s%d gain, %s%d lose%s", clean.Count(i.Members, "user"), least(i.Effect), i.Gain, least(i.Effect), i.Lose, notKnown(i.Effect))
	} else if n := mostReached(p); n > 0 {
		reaches = "reaches " + clean.Count(n, "user") + " and more"
	}
	return joined("; ", what+" at "+name(p.Environment.URL), when(len(p.Commands) > 0, "%s", clean.Count(len(p.Commands), "command")), reaches,
		guardsVerdict(guards, name), rulesVerdict(p.Rules), licencesVerdict(p.Licences, name))
}

// noPlan says why there is no plan, or only one that is never applied; "" if there is.
func noPlan(p *planner.Plan) string {
	names, conflicts := 0, 0
	for _, f := range p.Blocking() {
		if f.Code == planner.CodeConflictingEntries {
			conflicts++
		} else {
			names++
		}
	}
	parts := joined(", ", when(names > 0, "%s cannot be resolved", clean.Count(names, "name")), when(conflicts > 0, "%s in the policy", clean.Count(conflicts, "contradiction")))
	return when(parts != "", "No plan: %s", parts)
}

func guardsVerdict(guards []planner.Guard, name func(string) string) string {
	var refused, allowed []string
	for _, g := range guards {
		if g.Allowed {
			allowed = append(allowed, name(g.Name))
		} else {
			refused = append(refused, name(g.Name))
		}
	}
	switch {
	case len(refused) > 0:
		return "REFUSED by " + clean.Count(len(refused), "guard") + ": " + strings.Join(refused, ", ")
	case len(allowed) > 0:
		return "guards: " + strings.Join(allowed, ", ") + " allowed by a flag"
	}
	return "no guard exceeded"
}

func rulesVerdict(rules []planner.RuleResult) string {
	broken, n := 0, 0
	for _, r := range rules {
		if r.Violations > 0 {
			broken++
			n += r.Violations
		}
	}
	switch {
	case len(rules) == 0:
		return ""
	case broken > 0:
		return fmt.Sprintf("%d of %s broken (%s)", broken, clean.Count(len(rules), "rule"), clean.Count(n, "violation"))
	}
	return clean.Count(len(rules), "rule") + " kept"
}

// licencesVerdict says which products are consumed more or less.
func licencesVerdict(l *planner.Licences, name func(string) string) string {
	if l == nil {
		return ""
	}
	var parts []string
	for _, p := range l.Products {
		if p.Difference == 0 && p.AtMost == nil {
			continue
		}
		text := fmt.Sprintf("%+d", p.Difference)
		if p.AtMost != nil && *p.AtMost != p.Difference {
			text += fmt.Sprintf(" to %+d", *p.AtMost)
		}
		parts = append(parts, text+" "+name(p.Name))
	}
	if len(parts) == 0 {
		return "licences: no difference"
	}
	return "licences: " + strings.Join(parts, ", ")
}

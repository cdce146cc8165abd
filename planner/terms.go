package planner

import (
	"fmt"
	"slices"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// ending tells of the end of what, where it is over or near.
func (c *compiled) ending(t policy.Terms, pos policy.Position, what string) (Finding, bool) {
	if t.Until.IsZero() {
		return Finding{}, false
	}
	if t.Reason != "" {
		what += fmt.Sprintf(" (%s)", clean.Text(t.Reason))
	}
	last := t.Until.UTC().Format(day)
	// Whole days: 0 on the last day itself.
	left := int(t.Until.Sub(c.now.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
	switch within := c.pol.ExpiringWithinDays; {
	case t.Expired(c.now):
		return finding(CodeExpiredEntry, SeverityInfo, "%s ended with %s", what, last).at(position(pos)), true
	case within > 0 && left <= within:
		when := "today"
		if left > 0 {
			when = "in " + clean.Count(left, "day")
		}
		return finding(CodeExpiringSoon, SeverityWarning, "%s ends with %s, %s", what, last, when).at(position(pos)), true
	}
	return Finding{}, false
}

// exceptionFindings tells of exceptions from rules and selectors whose last day is over
// or near.
func (c *compiled) exceptionFindings() []Finding {
	var out []Finding
	tell := func(t policy.Terms, pos policy.Position, who, from, after string) {
		f, ok := c.ending(t, pos, fmt.Sprintf("the exception of %s from %s", who, from))
		if ok && f.Code == CodeExpiredEntry {
			f.Message += ": " + after
		}
		if ok {
			out = append(out, f)
		}
	}
	for _, r := range c.pol.Rules {
		for _, x := range r.Except {
			tell(x.Terms, x.Pos, describeRef(x.PrincipalRef), "rule "+clean.Quote(r.Name), "it exempts nobody any more")
		}
	}
	selector := func(s *policy.Selector, after string) {
		for _, x := range s.Except {
			tell(x.Terms, x.Pos, exceptedWords(&x), "the selector at "+clean.Text(s.Pos.String()), after)
		}
	}
	for i := range c.pol.Principals {
		if s := c.pol.Principals[i].Selector; s != nil {
			selector(s, "the entry covers it again")
		}
	}
	if c.pol.Safety != nil {
		for _, s := range c.pol.Safety.ProtectedBy {
			selector(s, "it is protected again")
		}
	}
	return out
}

// exceptedWords names whom a selector passes over.
func exceptedWords(x *policy.Excepted) string {
	if x.Selector != nil {
		return clean.Text(clean.Clip(x.Selector.String(), maxOriginWords))
	}
	return describeRef(*x.Principal)
}

// outerEnding tells of the end of the entry, or of the inclusion of a set, that l has its
// last day from.
func (c *compiled) outerEnding(e *policy.Entry, l *policy.Listed) (Finding, bool) {
	if l.Ends == e.Pos {
		return c.ending(policy.Terms{Until: l.Until, Reason: e.Terms.Reason}, l.Ends, "the entry")
	}
	return c.ending(policy.Terms{Until: l.Until, Reason: l.Reason}, l.Ends, "the inclusion of a set")
}

// expiryFindings tells of what ends or has ended in the entries, once for each place
// in the policy.
func (c *compiled) expiryFindings(st *State) []Finding {
	type place struct {
		pos policy.Position
		ref string
	}
	found := make(map[place]int)
	var out []Finding
	undated := make(map[sharedList]bool)
	for i := range c.pol.Principals {
		e := &c.pol.Principals[i]
		note := func(l *policy.Listed, forbids bool) {
			if l.Until.IsZero() {
				return
			}
			at := place{l.Pos, l.Ref.String()}
			if l.Ends != (policy.Position{}) {
				at = place{l.Ends, l.Until.String()}
			}
			if n, told := found[at]; told {
				// Several principals share it through a set.
				if n >= 0 && out[n].Principal != nil && l.Ends == (policy.Position{}) {
					out[n].Principal = nil
				}
				return
			}
			found[at] = -1
			var f Finding
			var ok bool
			if l.Ends != (policy.Position{}) {
				f, ok = c.outerEnding(e, l)
			} else {
				f, ok = c.expiry(l, forbids)
			}
			if !ok {
				return
			}
			if who := c.explicitPrincipal(st, int32(i)); who != nil && (l.Set == "" || l.Ends == e.Pos) {
				f.Principal = who
			}
			found[at] = len(out)
			out = append(out, f)
		}
		for j := range e.Forbid {
			note(&e.Forbid[j], true)
		}
		if shared := e.Listed.Shared(); len(shared) > 0 && len(shared) == e.Listed.Len() {
			// Very many entries have the same list, and most lists have no dates.
			key := sharedList{&shared[0], len(shared)}
			without, known := undated[key]
			if !known {
				without = !slices.ContainsFunc(shared, func(l policy.Listed) bool { return !l.Until.IsZero() })
				undated[key] = without
			}
			if without {
				continue
			}
		}
		for l := range e.Listed.All() {
			note(&l, false)
		}
	}
	return out
}

// expiry tells of the end of one privilege of an entry.
func (c *compiled) expiry(l *policy.Listed, forbids bool) (Finding, bool) {
	var ref PrivilegeRef
	for _, p := range c.cat.byName[l.Name] {
		ref = PrivilegeRef{ID: p.ID, Name: p.Name}
	}
	if l.ID != 0 {
		ref = c.cat.ref(mstrapi.PrivilegeID(l.ID))
	}
	label := l.Ref.String()
	if ref.ID != 0 {
		label = c.cat.label(ref.ID)
	}
	what := "the entry for privilege "
	if forbids {
		what = "the ban of privilege "
	}
	f, ok := c.ending(l.Terms, l.Pos, what+label)
	if ref.ID > 0 && ref.ID <= mstrapi.MaxPrivilegeID {
		f.Privilege = &ref
	}
	return f, ok
}

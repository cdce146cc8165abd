package planner

import (
	"fmt"
	"slices"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// ending is one thing that ends: its terms, where they stand, and how a message begins
// that tells of its end.
type ending struct {
	terms policy.Terms
	pos   policy.Position
	what  string
}

// ending tells of an end that is over or near.
func (d *draft) ending(e ending) (Finding, bool) {
	f := Finding{Position: position(e.pos)}
	if e.terms.Until.IsZero() {
		return f, false
	}
	if e.terms.Reason != "" {
		e.what += fmt.Sprintf(" (%s)", clean.Text(e.terms.Reason))
	}
	last := e.terms.Until.UTC().Format(day)
	// Whole days: 0 on the last day itself.
	left := int(e.terms.Until.Sub(d.c.now.UTC().Truncate(24*time.Hour)) / (24 * time.Hour))
	switch within := d.c.pol.ExpiringWithinDays; {
	case e.terms.Expired(d.c.now):
		f.Code, f.Severity = CodeExpiredEntry, SeverityInfo
		f.Message = fmt.Sprintf("%s ended with %s", e.what, last)
		return f, true
	case within > 0 && left <= within:
		f.Code, f.Severity = CodeExpiringSoon, SeverityWarning
		when := "today"
		if left > 0 {
			when = "in " + plural(left, "day", "days")
		}
		f.Message = fmt.Sprintf("%s ends with %s, %s", e.what, last, when)
		return f, true
	}
	return f, false
}

// exceptionFindings tells of exceptions from rules and selectors whose last day is over
// or near.
func (d *draft) exceptionFindings() []Finding {
	var out []Finding
	for _, r := range d.c.pol.Rules {
		for _, x := range r.Except {
			e := ending{x.Terms, x.Pos, fmt.Sprintf("the exception of %s from rule %s", describeRef(x.PrincipalRef), clean.Quote(r.Name))}
			f, ok := d.ending(e)
			if !ok {
				continue
			}
			if f.Code == CodeExpiredEntry {
				f.Message += ": it exempts nobody any more"
			}
			out = append(out, f)
		}
	}
	for i := range d.c.pol.Principals {
		if s := d.c.pol.Principals[i].Selector; s != nil {
			out = append(out, d.exceptedFindings(s, "the entry covers it again")...)
		}
	}
	if d.c.pol.Safety != nil {
		for _, s := range d.c.pol.Safety.ProtectedBy {
			out = append(out, d.exceptedFindings(s, "it is protected again")...)
		}
	}
	return out
}

// exceptedFindings tells of exceptions from one selector; after is what holds for
// whoever was excepted.
func (d *draft) exceptedFindings(s *policy.Selector, after string) []Finding {
	var out []Finding
	for _, x := range s.Except {
		f, ok := d.ending(ending{x.Terms, x.Pos, fmt.Sprintf("the exception of %s from the selector at %s", exceptedWords(&x), clean.Text(s.Pos.String()))})
		if !ok {
			continue
		}
		if f.Code == CodeExpiredEntry {
			f.Message += ": " + after
		}
		out = append(out, f)
	}
	return out
}

// exceptedWords names whom a selector passes over.
func exceptedWords(x *policy.Excepted) string {
	if x.Selector != nil {
		return clean.Text(cutText(x.Selector.String(), maxOriginWords))
	}
	return describeRef(*x.Principal)
}

// outerEnding is the end of an entry, or of the inclusion of a set, that l has its
// last day from.
func outerEnding(e *policy.Entry, l *policy.Listed) ending {
	if l.Ends == e.Pos {
		return ending{policy.Terms{Until: l.Until, Reason: e.Terms.Reason}, l.Ends, "the entry"}
	}
	return ending{policy.Terms{Until: l.Until, Reason: l.Reason}, l.Ends, "the inclusion of a set"}
}

// expiryFindings tells of what ends or has ended in the entries, once for each place
// in the policy.
func (d *draft) expiryFindings() []Finding {
	type place struct {
		pos policy.Position
		ref string
	}
	found := make(map[place]int)
	var out []Finding
	undated := make(map[sharedList]bool)
	for i := range d.c.pol.Principals {
		e := &d.c.pol.Principals[i]
		note := func(l *policy.Listed, forbids bool) {
			if l.Until.IsZero() {
				return
			}
			at := place{l.Pos, l.Ref.String()}
			if l.Ends != (policy.Position{}) {
				at = place{l.Ends, l.Until.String()}
			}
			if at.pos == (policy.Position{}) {
				at.pos.Line = -1 - i // hand-made policies: each entry is a place
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
				f, ok = d.ending(outerEnding(e, l))
			} else {
				f, ok = d.expiry(l, forbids)
			}
			if !ok {
				return
			}
			if who := d.explicitPrincipal(int32(i)); who != nil && (l.Set == "" || l.Ends == e.Pos) {
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
func (d *draft) expiry(l *policy.Listed, forbids bool) (Finding, bool) {
	var ref PrivilegeRef
	for _, p := range d.c.cat.byName[l.Name] {
		ref = PrivilegeRef{ID: p.ID, Name: p.Name}
	}
	if l.ID != 0 {
		ref = d.c.cat.ref(mstrapi.PrivilegeID(l.ID))
	}
	label := l.Ref.String()
	if ref.ID != 0 {
		label = d.c.cat.label(ref.ID)
	}
	what := "the entry for privilege "
	if forbids {
		what = "the ban of privilege "
	}
	f, ok := d.ending(ending{l.Terms, l.Pos, what + label})
	if ref.ID > 0 && ref.ID <= mstrapi.MaxPrivilegeID {
		f.Privilege = &ref
	}
	return f, ok
}

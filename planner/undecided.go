package planner

import (
	"fmt"
	"slices"

	"privsync/mstrapi"
)

// undecided returns why it is not known what the policy wants of a covered
// principal, or what to do about it: an entry names a privilege that there is
// not, entries contradict each other, a selector that could not be resolved may
// choose it, or a revoke depends on somebody who could not be read.
func (d *draft) undecided() map[mstrapi.ObjectID]string {
	out := make(map[mstrapi.ObjectID]string)
	put := func(o *Observed, why string) {
		if _, known := out[o.Principal.ID]; !known && why != "" {
			out[o.Principal.ID] = why
		}
	}
	for _, s := range d.p.caution.suppressed {
		put(s.who, fmt.Sprintf("the revoke of privilege %s depends on somebody who could not be read", d.c.cat.label(s.privilege)))
	}
	unclear := slices.ContainsFunc(d.c.entries, func(e entrySets) bool { return e.vague || e.unclear })
	if !unclear && len(d.c.conflicts) == 0 && len(d.c.doubtful) == 0 {
		return out
	}
	for _, o := range d.st.covered {
		if o.Err == nil {
			put(o, d.whyUndecided(o))
		}
	}
	return out
}

// whyUndecided returns why what the policy wants of o is not known, or "".
func (d *draft) whyUndecided(o *Observed) string {
	for _, e := range o.entries {
		if d.c.entries[e].vague || d.c.entries[e].unclear {
			return fmt.Sprintf("the entry at %s names a privilege that the server's catalogue does not have", d.c.pol.Principals[e].Pos)
		}
	}
	for _, i := range d.c.doubtful {
		if slices.Contains(d.st.vacant, i) {
			continue // told once, as the absence that the policy wants reported
		}
		if mayChoose(d.c.pol.Principals[i].Selector, o) && !slices.Contains(o.entries, i) {
			return fmt.Sprintf("the selector at %s may choose it, and whom it chooses could not be read", d.c.pol.Principals[i].Pos)
		}
	}
	w := d.c.wantFor(o)
	if !w.contradicted.IsEmpty() {
		return "entries that cover it contradict each other about privilege " + joinIDs(w.contradicted.IDs())
	}
	if len(o.entries) > 1 && !isExplicit(d.c.pol, o.entries) {
		first := d.c.pol.Principals[d.c.deciding(o.entries)].Settings
		for _, e := range o.entries {
			if setting := differing(first, d.c.pol.Principals[e].Settings); setting != "" {
				return "selectors that choose it disagree about " + setting
			}
		}
	}
	return ""
}

// Undecided returns why it is not known what the policy wants of a covered
// principal or what to do about it. It is no part of the document: who is only
// looked at counts as unknown by it.
func (p *Plan) Undecided(id mstrapi.ObjectID) (why string, undecided bool) {
	why, undecided = p.undecided[id]
	return why, undecided
}

// Concerned returns the principals that the finding is about.
func (f *Finding) Concerned() []mstrapi.ObjectID {
	switch {
	case len(f.concerned) > 0:
		return f.concerned
	case f.Principal != nil:
		return []mstrapi.ObjectID{f.Principal.ID}
	}
	return nil
}

package planner

import (
	"fmt"
	"slices"
	"strings"

	"privsync/mstrapi"
	"privsync/policy"
)

// Names of the privileges that the metadata command 1 is about, as the vendor's
// text on it gives them: it grants [CommandWatchlist] and [CommandInsight] to
// every user who holds [CommandNeeds].
const (
	CommandNeeds     = "Use Library Web"
	CommandWatchlist = "Use Library Watchlist"
	CommandInsight   = "Use Library Insight"
)

// commandFindings tells of users to whom the policy's metadata command will grant
// what the policy forbids them or, in authoritative mode, does not list.
func (d *draft) commandFindings(plan *Plan) []Finding {
	if !d.complete || len(plan.Commands) == 0 {
		return nil
	}
	var needs mstrapi.PrivilegeID
	var gifts Set
	for _, p := range d.st.Catalogue {
		switch {
		case strings.EqualFold(p.Name, CommandNeeds):
			needs = p.ID
		case strings.EqualFold(p.Name, CommandWatchlist), strings.EqualFold(p.Name, CommandInsight):
			gifts.Add(p.ID)
		}
	}
	if needs == 0 {
		return nil
	}
	against := make(map[mstrapi.PrivilegeID][]*Observed)
	for _, o := range d.st.covered {
		if o.Err != nil || o.Principal.Kind != mstrapi.User {
			continue
		}
		w := d.c.wantFor(o)
		if !w.listed.Has(needs) && !o.Direct.Has(needs) && !o.Inherited.Has(needs) || w.forbidden.Has(needs) {
			continue
		}
		unwanted := w.forbidden
		if w.settings.Mode == policy.Authoritative {
			unwanted = unwanted.Union(gifts.Minus(w.listed))
		}
		for q := range gifts.Intersect(unwanted).All() {
			against[q] = append(against[q], o)
		}
	}
	var out []Finding
	for q := range gifts.All() {
		users := against[q]
		if len(users) == 0 {
			continue
		}
		ref := d.c.cat.ref(q)
		f := Finding{
			Code: CodeSideEffect, Severity: SeverityWarning, Privilege: &ref,
			Message: fmt.Sprintf("the command %s grants privilege %s to every user who holds %s, and the policy forbids it to, or does not list it for, %s",
				plan.Commands[0], d.c.cat.label(q), d.c.cat.label(needs), nameSome(users)),
		}
		if i := slices.IndexFunc(d.c.pol.Commands, func(c policy.Command) bool { return c.Name == plan.Commands[0] }); i >= 0 {
			f.Position = position(d.c.pol.Commands[i].Pos)
		}
		out = append(out, f)
	}
	return out
}

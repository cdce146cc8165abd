package planner

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// settleRoles finds out which privileges come from a group that holds them
// through a security role only. The server may name the group alone; but what a
// role gives holds in one project, so whoever is below the group does not inherit
// it. Only project-level privileges fit into a role, and only those matter that
// something is decided about, or all where everybody is listed with what they hold.
func (ob *observer) settleRoles(ctx context.Context, c *compiled) error {
	if ob.st.Level == mstrapi.LevelServer {
		return nil
	}
	decided := c.projectLevel()
	wanted := decided
	if ob.st.everybody {
		wanted = c.cat.projectLevel()
	}
	if wanted.IsEmpty() {
		return nil
	}
	for {
		kin := newLineage(ob.st, new(needs))
		for _, o := range ob.st.byID {
			if o.held == nil || o.Err != nil || o.held.settled {
				continue
			}
			for q := range o.held.inherited.Intersect(wanted).All() {
				kin.wantRead(kin.trace(o, q), q)
			}
		}
		if len(kin.needs.held) == 0 {
			kin.settle(wanted, decided, c.cat)
			return nil
		}
		if err := ob.fetchHeld(ctx, kin.needs.held); err != nil {
			return err
		}
	}
}

// settle marks what comes from roles of groups, once all of these are read. Where one
// could not be read, nothing is known about whoever is below it if it matters for what
// is decided; otherwise the server's word stands.
func (l *lineage) settle(wanted, decided Set, cat *privilegeIndex) {
	type found struct {
		inherited, elsewhere Set
		others               map[mstrapi.PrivilegeID]otherSources
		unread               map[mstrapi.PrivilegeID]*Observed
	}
	profiles := make(map[*profile]*found)
	for _, o := range l.st.byID {
		if o.held == nil || o.Err != nil || o.held.settled || profiles[o.held] != nil {
			continue
		}
		f := &found{unread: make(map[mstrapi.PrivilegeID]*Observed), others: make(map[mstrapi.PrivilegeID]otherSources)}
		for q := range o.held.inherited.Intersect(wanted).All() {
			var lost *Observed
			granted := false
			roles := o.held.others[q]
			for _, g := range l.trace(o, q).groups {
				switch {
				case g.Err != nil:
					lost = g
				case g.Direct.Has(q):
					granted = true
				}
				if g.Err == nil && g.held != nil {
					more := g.held.others[q]
					roles.other = roles.other || more.other
					roles.roles = append(roles.roles[:len(roles.roles):len(roles.roles)], more.roles...)
				}
			}
			switch {
			case granted:
			case lost != nil && decided.Has(q):
				f.unread[q] = lost
			case lost != nil:
			default:
				f.inherited.Add(q)
				roles.other = roles.other || len(roles.roles) == 0
			}
			if roles.other || len(roles.roles) > 0 {
				f.elsewhere.Add(q)
				f.others[q] = otherSources{cloneRoles(roles.roles), roles.other}
			}
		}
		profiles[o.held] = f
	}
	for _, o := range l.st.byID {
		f := profiles[o.held]
		if o.held == nil || f == nil || o.Err != nil {
			continue
		}
		if !o.held.settled {
			o.held.settled = true
			o.held.inherited, o.held.elsewhere = o.held.inherited.Minus(f.inherited), o.held.elsewhere.Union(f.elsewhere)
			for q, others := range f.others {
				o.held.setOthers(q, others)
			}
		}
		o.Inherited = o.held.inherited
		if len(f.unread) > 0 {
			q := slices.Min(slices.Collect(maps.Keys(f.unread))) // the same in every plan of this state
			g := f.unread[q]
			o.Err = fmt.Errorf("whether %s gives privilege %s in every project: %w", g.Principal.Label(), cat.label(q), g.Err)
		}
	}
}

// projectLevel returns the project-level privileges about which it matters
// whether they are inherited.
func (c *compiled) projectLevel() Set {
	var out Set
	report := false
	for i := range c.entries {
		out = out.Union(c.entries[i].listed).Union(c.entries[i].forbidden)
		report = report || c.pol.Principals[i].Settings.Inherited == policy.InheritedReport
	}
	out = out.Union(c.ruled)
	if report {
		return c.cat.projectLevel()
	}
	return out.Intersect(c.cat.projectLevel())
}

// projectLevel returns all project-level privileges.
func (cat *privilegeIndex) projectLevel() Set {
	var out Set
	for id, level := range cat.levels {
		if level == mstrapi.LevelProject {
			out.Add(id)
		}
	}
	return out
}

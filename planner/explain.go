package planner

import (
	"fmt"
	"slices"

	"privsync/mstrapi"
	"privsync/policy"
)

// Explained says what a plan does about one principal, privilege by privilege, and
// why. It is for one goroutine.
type Explained struct {
	d      *draft
	plan   *Plan
	id     mstrapi.ObjectID
	seen   *Observed // nil: the plan read nothing about it
	change *Change   // nil: the plan does not change it
}

// Explain is [Make], and says besides what that plan does about the principal with the
// id, and why.
func Explain(pol *policy.Policy, st *State, o MakeOptions, id mstrapi.ObjectID) (*Plan, *Explained) {
	d := draftOf(pol, st)
	plan := d.plan(o)
	return plan, d.explained(plan, id)
}

func (d *draft) explained(plan *Plan, id mstrapi.ObjectID) *Explained {
	x := &Explained{d: d, plan: plan, id: id, seen: d.st.byID[id]}
	if i := slices.IndexFunc(plan.Changes, func(c Change) bool { return c.Principal.ID == id }); i >= 0 {
		x.change = &plan.Changes[i]
	}
	return x
}

// Entries returns the entries that cover the principal, and the place among them of
// the one whose settings hold.
func (x *Explained) Entries() (entries []*policy.Entry, deciding int) {
	if x.seen == nil {
		return nil, 0
	}
	for i, e := range x.seen.entries {
		entries = append(entries, &x.d.c.pol.Principals[e])
		if e == x.d.c.deciding(x.seen.entries) {
			deciding = i
		}
	}
	return entries, deciding
}

// Number returns the number of the privilege that ref names; 0 where that is not clear.
func (x *Explained) Number(ref policy.Ref) mstrapi.PrivilegeID { return x.d.c.idOf(ref) }

// NeededBy returns the listed privileges that need the one (prerequisites), which is
// listed thereby.
func (x *Explained) NeededBy(q mstrapi.PrivilegeID) []PrivilegeRef {
	var out []PrivilegeRef
	if x.seen == nil {
		return nil
	}
	for p := range x.d.c.relation.dependents(SetOf(q)).All() {
		if slices.ContainsFunc(x.seen.entries, func(e int32) bool { return x.d.c.entries[e].listed.Has(p) }) {
			out = append(out, x.d.c.cat.ref(p))
		}
	}
	return out
}

// Exempt returns the exception of the rule with that place in the policy that the
// principal is, or belongs to as above tells of groups; nil for none.
func (x *Explained) Exempt(rule int, above func(group mstrapi.ObjectID) bool) (but *policy.Exception, itself bool) {
	except := x.d.c.pol.Rules[rule].Except
	for i := range except {
		e, ok := x.d.st.except[[2]int{rule, i}]
		if ok && !except[i].Expired(x.d.c.now) && (e.ID == x.id || e.Kind == mstrapi.Group && above(e.ID)) {
			return &except[i], e.ID == x.id
		}
	}
	return nil, false
}

// Undecided returns why it is not known what the policy wants of the principal, or "".
func (x *Explained) Undecided() string { return x.plan.undecided[x.id] }

// Findings returns the findings of the plan that concern the principal and the
// privilege, 0: no single one that there is.
func (x *Explained) Findings(q mstrapi.PrivilegeID) []Finding {
	return x.plan.findingsWhere(func(f *Finding) bool {
		var about mstrapi.PrivilegeID
		if f.Privilege != nil {
			about = f.Privilege.ID
		}
		mine := slices.Contains(f.Concerned(), x.id) || f.Code == CodeUnknownPrivilege && x.seen != nil && slices.Contains(x.seen.entries, f.entry-1)
		// What is required of all concerns nobody by name.
		required := f.Code == CodeRuleViolation && len(f.Concerned()) == 0 && about != 0
		return about == q && (mine || required)
	})
}

// Decision says what the plan does with one privilege of the principal, and why.
func (x *Explained) Decision(q mstrapi.PrivilegeID) string {
	is := func(p PlannedPrivilege) bool { return p.ID == q }
	if x.change != nil {
		if i := slices.IndexFunc(x.change.Grant, is); i >= 0 {
			return fmt.Sprintf("grant (%s)", x.change.Grant[i].Reason) + x.despiteInheriting(q)
		}
		if i := slices.IndexFunc(x.change.Revoke, is); i >= 0 {
			return fmt.Sprintf("revoke (%s)", x.change.Revoke[i].Reason)
		}
	}
	return "no change: " + x.whyNot(q)
}

// despiteInheriting says why a privilege is granted that comes from elsewhere already.
func (x *Explained) despiteInheriting(q mstrapi.PrivilegeID) string {
	o := x.seen
	switch {
	case o.Inherited.Has(q) && x.d.c.wantFor(o).settings.SatisfiedBy == policy.Direct:
		return ": inheriting it is not enough (satisfiedBy: direct)"
	case o.Inherited.Has(q):
		return ": the plan takes it from the groups that give it now"
	case o.elsewhere().Has(q):
		return ": what a security role gives holds in one project, a grant in every one"
	}
	return ""
}

// whyNot says why the plan leaves a privilege as it is.
func (x *Explained) whyNot(q mstrapi.PrivilegeID) string {
	d, o := x.d, x.seen
	if !d.c.inScope(q) {
		return fmt.Sprintf("it lies outside the policy's scope (level: %s)", d.c.pol.Scope)
	}
	if _, gone := d.st.gone[x.id]; gone {
		return "the server names the principal and does not have it"
	}
	if o != nil && o.Err != nil || !d.complete {
		return "not everything that it depends on could be read"
	}
	for _, s := range d.p.caution.suppressed {
		if s.who == o && s.privilege == q {
			return "its revoke is not planned: " + d.p.caution.whySuppressed(s)
		}
	}
	if o == nil || !o.Covered {
		return x.whyUnlisted(q)
	}
	w := d.c.wantFor(o)
	direct, inherited, elsewhere := o.Direct.Has(q), o.Inherited.Has(q), o.elsewhere().Has(q)
	switch {
	case w.contradicted.Has(q):
		return "it is listed and forbidden, which has to be settled first"
	case w.undecided.Has(q):
		return "whether it is listed or forbidden is not known" + because(d.whyUndecided(o))
	case w.listed.Has(q):
		return x.whyListed(w, q)
	case direct && w.needs.need(o.Direct.Intersect(w.listed.Union(w.undecided))).Has(q):
		return "what stays needs it (prerequisites)"
	case w.forbidden.Has(q) && d.p.inheritedAfter(o, w, false).Has(q):
		return "it is forbidden, but comes from a group, where alone it can be revoked"
	case w.forbidden.Has(q) && elsewhere:
		return "it is forbidden, but comes from a security role, which privsync does not take away"
	case w.forbidden.Has(q) && inherited:
		return "it is forbidden, and the groups that give it now lose it"
	case w.forbidden.Has(q):
		return "it is forbidden, and not held"
	case direct && w.spared.Has(q):
		return "it is listed for somebody whom the server does not have, who may go by this name now"
	case direct && w.settings.Mode != d.c.pol.Principals[d.c.deciding(o.entries)].Settings.Mode:
		return "what is not listed is left alone until it is known what is" + because(d.whyUndecided(o))
	case direct:
		return fmt.Sprintf("it is not listed, and what is held directly is left alone (mode: %s)", w.settings.Mode)
	case inherited && d.c.cat.levels[q] != mstrapi.LevelProject:
		return "it is not listed, but inherited: only a direct grant can be revoked"
	case inherited || elsewhere:
		return "it is not listed, but comes from a group or a security role: only a direct grant can be revoked"
	case w.expired.Has(q):
		return "its last day is over, and it is not held"
	}
	return "it is not listed, and not held"
}

func because(why string) string {
	if why == "" {
		return ": a selector whose group the server does not have may choose the principal"
	}
	return ": " + why
}

// whyListed says why nothing is done about a privilege that is listed.
func (x *Explained) whyListed(w *want, q mstrapi.PrivilegeID) string {
	d, o := x.d, x.seen
	inherited := o.Inherited.Has(q)
	switch {
	case !o.Direct.Has(q) && inherited:
		return fmt.Sprintf("it is listed, and inheriting it is enough (satisfiedBy: %s)", w.settings.SatisfiedBy)
	case !o.Direct.Has(q):
		return "it is listed, and a group that the plan changes will give it"
	case !inherited:
		return "it is listed and held directly"
	case w.settings.Redundant != policy.RedundantRevoke:
		return fmt.Sprintf("it is listed and held directly; that it is inherited as well does not matter (redundant: %s)", w.settings.Redundant)
	case !d.p.inheritedAfter(o, w, false).Has(q):
		return "it is listed and held directly; the groups that give it now lose it"
	case w.needs.need(o.Direct).Has(q):
		return "it is listed and held directly; what stays needs it (prerequisites)"
	}
	return "it is listed and held directly; what groups hand down that contain themselves does not count"
}

// whyUnlisted says why nothing is done about a principal that no entry covers.
func (x *Explained) whyUnlisted(q mstrapi.PrivilegeID) string {
	d, o := x.d, x.seen
	why := fmt.Sprintf("no entry covers the principal (unlisted: %s)", d.c.pol.Unlisted)
	switch {
	case d.c.pol.Unlisted != policy.UnlistedRevoke || o != nil && !o.Direct.Has(q):
	case d.st.isProtected[x.id]:
		return "no entry covers the principal, but it is protected (unlisted: revoke passes it over)"
	case d.st.absent:
		return why + ", and nothing is revoked from such while the policy names somebody that the server does not have"
	case d.st.onlyEveryone:
		return why + ", and nothing is revoked from such while not all users of the server are known"
	case !d.c.knowsUnlisted(d.st) || o == nil || !o.scanned:
		return why + ", and nothing is revoked from such while it is not known whom the policy covers"
	}
	return why
}

package planner

import (
	"cmp"
	"fmt"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// describe adds the findings about what a covered principal inherits: after the
// plan, or in an audit now.
func (d *draft) describe(o *Observed, w *want, dec *decision) {
	d.describeSpared(o, w)
	if d.st.judging != JudgeProjected {
		now := *dec
		now.inherited = o.Inherited
		dec = &now
	}
	for q := range w.forbidden.Intersect(dec.inherited.Union(o.elsewhere())).All() {
		sources, from := d.sources(o, q)
		how := "inherits it from"
		if !dec.inherited.Has(q) {
			how = "holds it through"
		}
		f := finding(CodeInheritedForbidden, SeverityError, "%s is forbidden privilege %s but %s %s", o.Principal.Label(), d.c.cat.label(q), how, from)
		f.Sources = sources
		d.findings = append(d.findings, f.about(o.Principal).of(d.c.cat.ref(q)).at(d.c.forbidPosition(w, q)))
	}
	if w.settings.Inherited == policy.InheritedReport {
		for q := range dec.inherited.Minus(w.listed).Minus(w.forbidden).Minus(w.undecided).All() {
			sources, from := d.sources(o, q)
			f := finding(CodeInheritedNotListed, SeverityWarning, "%s inherits privilege %s, which is not listed for it, from %s", o.Principal.Label(), d.c.cat.label(q), from)
			f.Sources = sources
			d.findings = append(d.findings, f.about(o.Principal).of(d.c.cat.ref(q)).at(d.c.entryPosition(w)))
		}
	}
	if w.settings.Redundant == policy.RedundantKeep && w.settings.SatisfiedBy != policy.Direct {
		d.describeRedundant(o, w)
	}
}

// describeRedundant gives one finding for all direct grants that o inherits as
// well, and goes on to inherit whatever the plan does.
func (d *draft) describeRedundant(o *Observed, w *want) {
	twice := w.listed.Intersect(o.Direct).Intersect(o.Inherited).Minus(d.p.lossy)
	if twice.IsEmpty() {
		return
	}
	text := fmt.Sprintf("holds %s directly and inherits it as well", d.c.cat.some(twice))
	if n := twice.Len(); n > 1 {
		text = fmt.Sprintf("holds %d privileges directly and inherits them as well: %s", n, joinIDs(twice.IDs()))
	}
	f := finding(CodeRedundantDirect, SeverityInfo, "%s %s", o.Principal.Label(), text).about(o.Principal).at(d.c.entryPosition(w))
	f.Privilege = d.c.cat.only(twice)
	d.findings = append(d.findings, f)
}

// describeSpared tells what o keeps although nothing lists it for o: the policy
// lists it for somebody whom the server does not have, who may be o by another
// name.
func (d *draft) describeSpared(o *Observed, w *want) {
	spared := w.spared.Intersect(o.Direct)
	if w.settings.Mode != policy.Authoritative || spared.IsEmpty() {
		return
	}
	f := finding(CodeUnknownPrincipal, SeverityWarning,
		"the revoke of %s from %s is not planned: the policy lists it for a %s that the server does not have, who may go by this name now",
		d.c.cat.some(spared), o.Principal.Label(), o.Principal.Kind).about(o.Principal).at(d.c.entryPosition(w))
	f.Privilege = d.c.cat.only(spared)
	d.findings = append(d.findings, f)
}

// sources returns the groups that o will inherit q from, and says in words what
// it comes from, security roles as well.
func (d *draft) sources(o *Observed, q mstrapi.PrivilegeID) ([]Source, string) {
	groups, others := d.p.holders(o, q)
	var out []Source
	var names []string
	for _, g := range groups {
		out = append(out, Source{Kind: mstrapi.Group, ID: g.Principal.ID, Name: g.Principal.Name})
		names = append(names, g.Principal.Label())
	}
	names = append(names, others.words()...)
	if len(names) == 0 {
		names = append(names, "a group that could not be determined")
	}
	return out, joinAnd(names)
}

// words names the sources one by one.
func (s otherSources) words() []string {
	var out []string
	for _, r := range s.roles {
		role, project := "a security role", "one project"
		if name := cmp.Or(r.Role.Name, string(r.Role.ID)); name != "" {
			role = "security role " + clean.Quote(name)
		}
		if name := cmp.Or(r.Project.Name, string(r.Project.ID)); name != "" {
			project = "project " + clean.Quote(name)
		}
		out = append(out, role+" in "+project)
	}
	if s.other {
		out = append(out, "a source that is neither a group nor a security role")
	}
	return out
}

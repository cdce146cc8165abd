package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// consult adds what the policy says, and what a plan would do. Unless only is
// set, the privileges that the policy names for the principal and that it lacks
// are explained as well.
func (x *explainer) consult(ctx context.Context, doc *explanation, only mstrapi.PrivilegeID) error {
	state, err := x.observe(ctx, x.r, x.policy, planner.ObserveOptions{Concurrency: x.concurrency, Now: x.at})
	if err != nil {
		return err
	}
	plan, _, err := x.decide(x.policy, state, planner.MakeOptions{TTL: defaultPlanTTL}, planner.Overrides{})
	if err != nil {
		return err
	}
	v := &verdict{explainer: x, plan: plan, who: doc.Principal}
	if o := state.Lookup(x.row.ID); o != nil {
		for _, i := range state.Entries(o) {
			v.entries = append(v.entries, x.policy.Principals[i])
		}
	}
	v.deciding = max(0, slices.IndexFunc(v.entries, func(e policy.Entry) bool { return e.Principal != nil }))
	doc.Policy, doc.Overlay, doc.Date = x.policy.Name, x.policy.EnvironmentSelected, plan.Policy.InForce.Date
	for i, e := range v.entries {
		c := covering(e, i == v.deciding)
		c.Terms = strings.TrimLeft(x.terms(e.Terms), ",: ")
		doc.CoveredBy = append(doc.CoveredBy, c)
	}
	doc.Says = v.ofPrincipal()
	if only == 0 {
		v.addLacking(doc)
	}
	for i := range doc.Privileges {
		p := &doc.Privileges[i]
		p.Says = v.ofPrivilege(p.PrivilegeRef)
		p.Decision = v.decision(p)
	}
	return nil
}

// verdict says what a policy and its plan mean for one principal.
type verdict struct {
	*explainer
	plan     *planner.Plan
	who      planner.Principal
	entries  []policy.Entry // that cover the principal
	deciding int            // the one of entries whose settings hold
}

func covering(e policy.Entry, decides bool) coveringEntry {
	c := coveringEntry{Position: e.Pos, Selector: e.Selector != nil, Mode: e.Settings.Mode, Decides: decides, Stated: []string{}, Default: []string{}}
	if e.Selector != nil {
		c.Chooses = e.Selector.String()
	}
	for _, s := range [][3]string{
		{"mode", string(e.Stated.Mode), string(e.Settings.Mode)},
		{"satisfiedBy", string(e.Stated.SatisfiedBy), string(e.Settings.SatisfiedBy)},
		{"redundant", string(e.Stated.Redundant), string(e.Settings.Redundant)},
		{"inherited", string(e.Stated.Inherited), string(e.Settings.Inherited)},
	} {
		if s[1] != "" {
			c.Stated = append(c.Stated, s[0]+" "+s[1])
		} else {
			c.Default = append(c.Default, s[0]+" "+s[2])
		}
	}
	return c
}

// ofPrincipal says what concerns the principal and no single privilege.
func (v *verdict) ofPrincipal() []string {
	var says []string
	if len(v.entries) == 0 && v.policy.Unlisted != policy.UnlistedIgnore {
		says = append(says, fmt.Sprintf("unlisted: %s", v.policy.Unlisted))
	}
	if v.protected() {
		says = append(says, "protected: a plan that would change it is refused")
	}
	for _, f := range v.plan.Findings {
		if f.Principal != nil && f.Principal.ID == v.who.ID && f.Privilege == nil {
			says = append(says, findingSays(f))
		}
	}
	return says
}

func (v *verdict) protected() bool {
	return slices.ContainsFunc(v.plan.Safety.Protected, func(p planner.Principal) bool { return p.ID == v.who.ID })
}

// ofPrivilege says what entries, rules and findings say of one privilege.
func (v *verdict) ofPrivilege(p planner.PrivilegeRef) []string {
	var says []string
	for _, e := range v.entries {
		says = append(says, v.entrySays(e, p)...)
	}
	for i := range v.policy.Rules {
		says = append(says, v.ruleSays(&v.policy.Rules[i], p)...)
	}
	for _, f := range v.plan.Findings {
		if f.Privilege == nil || f.Privilege.ID != p.ID {
			continue
		}
		// What is required of all concerns nobody by name. An entry's date stands
		// with the entry.
		if f.Principal != nil && f.Principal.ID == v.who.ID || f.Principal == nil && f.Code == planner.CodeRuleViolation {
			says = append(says, findingSays(f))
		}
	}
	return says
}

func findingSays(f planner.Finding) string {
	return fmt.Sprintf("finding %s (%s): %s", f.Code, f.Severity, f.Message)
}

// addLacking adds the privileges in scope that the covering entries list or
// forbid, or that the plan grants, and that the principal does not hold.
func (v *verdict) addLacking(doc *explanation) {
	known := make(map[mstrapi.PrivilegeID]bool, len(doc.Privileges))
	for _, p := range doc.Privileges {
		known[p.ID] = true
	}
	add := func(id mstrapi.PrivilegeID) {
		if entry, ok := v.catalogue[id]; ok && !known[id] {
			known[id] = true
			doc.Privileges = append(doc.Privileges, v.privilege(mstrapi.Held{ID: id, Level: entry.Level()}, false))
		}
	}
	byName := make(map[string]mstrapi.PrivilegeID, len(v.catalogue))
	for id, p := range v.catalogue {
		if _, twice := byName[p.Name]; twice {
			id = 0 // a name of two is none: a finding says so
		}
		byName[p.Name] = id
	}
	ref := func(r policy.Ref) {
		id := mstrapi.PrivilegeID(r.ID)
		if r.ID == 0 {
			id = byName[r.Name]
		}
		add(id)
	}
	for _, e := range v.entries {
		for l := range e.Listed.All() {
			ref(l.Ref)
		}
		for _, f := range e.Forbid {
			ref(f.Ref)
		}
	}
	slices.SortFunc(doc.Privileges, func(a, b explainedPrivilege) int { return cmp.Compare(a.ID, b.ID) })
}

// decision returns what the plan does with one privilege of the principal, and
// why.
func (v *verdict) decision(p *explainedPrivilege) string {
	for _, c := range v.plan.Changes {
		if c.Principal.ID != v.who.ID {
			continue
		}
		for _, g := range c.Grant {
			if g.ID == p.ID {
				return fmt.Sprintf("grant (%s)", g.Reason) + v.despiteInheriting(p)
			}
		}
		for _, g := range c.Revoke {
			if g.ID == p.ID {
				return fmt.Sprintf("revoke (%s)", g.Reason)
			}
		}
	}
	return "no change: " + v.whyNot(p)
}

// despiteInheriting says why a privilege is granted that is inherited already.
func (v *verdict) despiteInheriting(p *explainedPrivilege) string {
	switch {
	case len(v.entries) == 0:
		return ""
	case !v.inherits(p) && (len(p.Roles) > 0 || p.Other):
		return ": what a security role gives holds in one project, a grant in every one"
	case !v.inherits(p):
		return ""
	case v.entries[v.deciding].Settings.SatisfiedBy == policy.Direct:
		return ": inheriting it is not enough (satisfiedBy: direct)"
	}
	return ": the plan takes it from the groups that give it now"
}

// inherits reports whether a group hands the privilege down. A group that the
// server names without a way to one that holds it directly has it from a security
// role, which gives only project-level privileges.
func (v *verdict) inherits(p *explainedPrivilege) bool {
	return len(p.Paths) > 0 || len(p.Sources) > 0 && p.Level != mstrapi.LevelProject
}

// whyNot says why the plan leaves a privilege as it is.
func (v *verdict) whyNot(p *explainedPrivilege) string {
	if v.policy.Scope != policy.LevelAll && string(p.Level) != string(v.policy.Scope) {
		return fmt.Sprintf("it lies outside the policy's scope (level: %s)", v.policy.Scope)
	}
	if slices.ContainsFunc(v.plan.Findings, func(f planner.Finding) bool {
		return f.Code == planner.CodeReadFailed && (f.Principal == nil || f.Principal.ID == v.who.ID)
	}) {
		return "not everything that it depends on could be read"
	}
	switch {
	case len(v.entries) > 0:
	case v.policy.Unlisted == policy.UnlistedRevoke && p.Direct && v.protected():
		return "no entry covers the principal, but it is protected (unlisted: revoke passes it over)"
	default:
		return fmt.Sprintf("no entry covers the principal (unlisted: %s)", v.policy.Unlisted)
	}
	var listed, forbidden bool
	for _, e := range v.entries {
		for l := range e.Listed.All() {
			listed = listed || means(l.Ref, p.PrivilegeRef) && !l.Expired(v.at)
		}
		forbidden = forbidden || slices.ContainsFunc(e.Forbid, func(f policy.Listed) bool { return means(f.Ref, p.PrivilegeRef) && !f.Expired(v.at) })
	}
	inherited := v.inherits(p)
	settings := v.entries[v.deciding].Settings
	switch {
	case listed && forbidden:
		return "it is listed and forbidden, which has to be settled first"
	case listed && p.Direct && inherited:
		return fmt.Sprintf("it is listed and held directly; that it is inherited as well does not matter (redundant: %s)", settings.Redundant)
	case listed && p.Direct:
		return "it is listed and held directly"
	case listed && inherited:
		return fmt.Sprintf("it is listed, and inheriting it is enough (satisfiedBy: %s)", settings.SatisfiedBy)
	case listed:
		return "it is listed, and a group that the plan changes will give it"
	case forbidden && !inherited && (len(p.Roles) > 0 || p.Other):
		return "it is forbidden, but comes from a security role, which privsync does not take away"
	case forbidden && inherited:
		return "it is forbidden, but comes from a group, where alone it can be revoked"
	case forbidden:
		return "it is forbidden, and not held"
	case p.Direct:
		return fmt.Sprintf("it is not listed, and what is held directly is left alone (mode: %s)", settings.Mode)
	case inherited:
		return "it is not listed, but inherited: only a direct grant can be revoked"
	}
	return "it is not listed, and not held"
}

func means(ref policy.Ref, p planner.PrivilegeRef) bool {
	return ref.ID != 0 && ref.ID == int(p.ID) || ref.ID == 0 && ref.Name == p.Name
}

// entrySays lists where an entry speaks of the privilege.
func (x *explainer) entrySays(e policy.Entry, p planner.PrivilegeRef) []string {
	var says []string
	for l := range e.Listed.All() {
		if !means(l.Ref, p) {
			continue
		}
		text := "listed at " + l.Pos.String()
		if l.Set != "" {
			text += fmt.Sprintf(" through set %s", clean.Quote(l.Set))
		}
		says = append(says, text+x.terms(l.Terms))
	}
	for _, f := range e.Forbid {
		if means(f.Ref, p) {
			says = append(says, "forbidden at "+f.Pos.String()+x.terms(f.Terms))
		}
	}
	return says
}

// terms says how long something counts and why.
func (x *explainer) terms(t policy.Terms) string {
	text := ""
	if !t.Until.IsZero() {
		word := "until"
		if t.Expired(x.at) {
			word = "expired, its last day was"
		}
		text += fmt.Sprintf(", %s %s", word, t.Until.Format(time.DateOnly))
		if t.Ends != (policy.Position{}) {
			text += " (by " + t.Ends.String() + ")"
		}
	}
	if t.Reason != "" {
		text += fmt.Sprintf(" (%s)", t.Reason)
	}
	if t.Description != "" {
		text += ": " + t.Description
	}
	return text
}

// ruleSays says that a rule speaks of the privilege, and whether the principal
// is one of its exceptions.
func (x *explainer) ruleSays(rule *policy.Rule, p planner.PrivilegeRef) []string {
	for _, part := range []struct {
		word string
		refs []policy.Ref
	}{{"denies", rule.Deny}, {"lists among conflicting", rule.Conflict}, {"requires", rule.Require}} {
		for _, ref := range part.refs {
			if !means(ref, p) {
				continue
			}
			text := fmt.Sprintf("rule %s (%s) %s it, at %s", clean.Quote(rule.Name), rule.Severity, part.word, ref.Pos)
			if len(rule.Require) > 0 {
				text += fmt.Sprintf(", of at least %d enabled users", rule.AtLeast)
			}
			if who := x.exempt(rule); who != "" {
				text += ", except " + who
			}
			return []string{text}
		}
	}
	return nil
}

// exempt names the exception of a rule that the principal is or belongs to.
func (x *explainer) exempt(rule *policy.Rule) string {
	for _, ref := range rule.Except {
		if ref.Expired(x.at) {
			continue
		}
		id := mstrapi.ObjectID(strings.ToUpper(ref.ID))
		is := func(kind mstrapi.Kind, candidate mstrapi.ObjectID, name string) bool {
			switch {
			case mstrapi.Kind(ref.Kind) != kind:
				return false
			case id != "":
				return id == candidate
			case kind == mstrapi.User:
				return strings.EqualFold(ref.Name, name)
			}
			return ref.Name == name
		}
		name := x.row.Name
		if x.row.Kind == mstrapi.User {
			name = x.row.Login
		}
		if is(x.row.Kind, x.row.ID, name) {
			return fmt.Sprintf("%s %s itself", ref.Kind, clean.Quote(ref.Name)) + x.terms(ref.Terms)
		}
		for _, parents := range x.parents {
			for _, g := range parents {
				if is(mstrapi.Group, g.ID, g.Name) {
					return fmt.Sprintf("members of group %s", clean.Quote(ref.Name)) + x.terms(ref.Terms)
				}
			}
		}
	}
	return ""
}

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
	var plan *planner.Plan
	err = x.awaitDone(func() error {
		plan, x.decided = planner.Explain(x.policy, state, planner.MakeOptions{Tool: toolRef()}, x.row.ID)
		return nil
	})
	if err != nil {
		return err
	}
	doc.Policy, doc.Overlay, doc.Date = x.policy.Name, x.policy.EnvironmentSelected, plan.Policy.InForce.Date
	entries, deciding := x.decided.Entries()
	for i, e := range entries {
		c := covering(e, i == deciding)
		c.Terms = strings.TrimLeft(x.terms(e.Terms), ",: ")
		doc.CoveredBy = append(doc.CoveredBy, c)
	}
	doc.Says = x.ofPrincipal(plan, len(entries) > 0)
	if only == 0 {
		x.addLacking(doc, entries)
	}
	for i := range doc.Privileges {
		p := &doc.Privileges[i]
		p.Says = x.ofPrivilege(p.ID, entries)
		p.Decision = x.decided.Decision(p.ID)
	}
	return nil
}

func covering(e *policy.Entry, decides bool) coveringEntry {
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
func (x *explainer) ofPrincipal(plan *planner.Plan, covered bool) []string {
	var says []string
	if !covered && x.policy.Unlisted != policy.UnlistedIgnore {
		says = append(says, fmt.Sprintf("unlisted: %s", x.policy.Unlisted))
	}
	if slices.ContainsFunc(plan.Safety.Protected, func(p planner.Principal) bool { return p.ID == x.row.ID }) {
		says = append(says, "protected: a plan that would change it is refused")
	}
	says = append(says, x.found(0)...)
	if why := x.decided.Undecided(); why != "" {
		says = append(says, "what to do about it is not known: "+why)
	}
	if why := planEnding(plan, planner.Guards(plan, planner.Overrides{}), false, false); why != nil {
		says = append(says, fmt.Sprintf("nothing of the whole plan would be applied: %v", why))
	}
	return says
}

// found tells the plan's findings about a privilege of the principal.
func (x *explainer) found(p mstrapi.PrivilegeID) []string {
	var says []string
	for _, f := range x.decided.Findings(p) {
		says = append(says, fmt.Sprintf("finding %s (%s): %s", f.Code, f.Severity, f.Message))
	}
	return says
}

// ofPrivilege says what entries, rules and findings say of one privilege.
func (x *explainer) ofPrivilege(p mstrapi.PrivilegeID, entries []*policy.Entry) []string {
	var says []string
	for _, e := range entries {
		for l := range e.Listed.All() {
			if x.decided.Number(l.Ref) != p {
				continue
			}
			text := "listed at " + l.Pos.String()
			if l.Set != "" {
				text += fmt.Sprintf(" through set %s", clean.Quote(l.Set))
			}
			says = append(says, text+x.terms(l.Terms))
		}
		for _, f := range e.Forbid {
			if x.decided.Number(f.Ref) == p {
				says = append(says, "forbidden at "+f.Pos.String()+x.terms(f.Terms))
			}
		}
	}
	for _, q := range x.decided.NeededBy(p) {
		says = append(says, fmt.Sprintf("listed with %d %s, which needs it (prerequisites)", q.ID, clean.Quote(q.Name)))
	}
	for i := range x.policy.Rules {
		if text := x.ruleSays(i, p); text != "" {
			says = append(says, text)
		}
	}
	return append(says, x.found(p)...)
}

// addLacking adds the privileges that the covering entries list or forbid and that
// the principal does not hold.
func (x *explainer) addLacking(doc *explanation, entries []*policy.Entry) {
	known := make(map[mstrapi.PrivilegeID]bool, len(doc.Privileges))
	for _, p := range doc.Privileges {
		known[p.ID] = true
	}
	add := func(ref policy.Ref) {
		id := x.decided.Number(ref)
		if entry, ok := x.catalogue[id]; ok && !known[id] {
			known[id] = true
			doc.Privileges = append(doc.Privileges, x.privilege(mstrapi.Held{ID: id, Level: entry.Level()}, false))
		}
	}
	for _, e := range entries {
		for l := range e.Listed.All() {
			add(l.Ref)
		}
		for _, f := range e.Forbid {
			add(f.Ref)
		}
	}
	slices.SortFunc(doc.Privileges, func(a, b explainedPrivilege) int { return cmp.Compare(a.ID, b.ID) })
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

// ruleSays says that a rule speaks of the privilege, and whether the principal is one
// of its exceptions; "" if it does not.
func (x *explainer) ruleSays(number int, p mstrapi.PrivilegeID) string {
	rule := &x.policy.Rules[number]
	for _, part := range []struct {
		word string
		refs []policy.Ref
	}{{"denies", rule.Deny}, {"lists among conflicting", rule.Conflict}, {"requires", rule.Require}} {
		at := slices.IndexFunc(part.refs, func(ref policy.Ref) bool { return x.decided.Number(ref) == p })
		if at < 0 {
			continue
		}
		text := fmt.Sprintf("rule %s (%s) %s it, at %s", clean.Quote(rule.Name), rule.Severity, part.word, part.refs[at].Pos)
		if len(rule.Require) > 0 {
			text += fmt.Sprintf(", of at least %d enabled users", rule.AtLeast)
		}
		switch but, itself := x.decided.Exempt(number, x.below); {
		case but == nil:
		case itself:
			text += fmt.Sprintf(", except %s %s itself", but.Kind, clean.Quote(but.Name)) + x.terms(but.Terms)
		default:
			text += fmt.Sprintf(", except members of group %s", clean.Quote(but.Name)) + x.terms(but.Terms)
		}
		return text
	}
	return ""
}

// below reports whether the principal belongs to the group at any depth.
func (x *explainer) below(group mstrapi.ObjectID) bool {
	for _, parents := range x.parents {
		if slices.ContainsFunc(parents, func(p mstrapi.ObjectRef) bool { return p.ID == group }) {
			return true
		}
	}
	return false
}

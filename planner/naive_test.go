package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"privsync/mstrapi"
	"privsync/policy"
)

// naive judges a policy against the truth of a model, straight from the design
// page's table: slow, and with everything known. It shares no code with the
// planner but sets.
type naive struct {
	m   *model
	pol *policy.Policy

	entries   map[mstrapi.ObjectID][]int // who is covered by which entries
	unlisted  map[mstrapi.ObjectID]bool
	after     *model // the truth after the plan
	changes   map[string]bool
	findings  map[string]bool
	conflicts bool
}

// newNaive evaluates. What it finds is written as text, so that it can be
// compared with what a plan says (see planFacts).
func newNaive(m *model, pol *policy.Policy) *naive {
	n := &naive{
		m: m, pol: pol, after: m.clone(),
		entries:  make(map[mstrapi.ObjectID][]int),
		unlisted: make(map[mstrapi.ObjectID]bool),
		changes:  make(map[string]bool), findings: make(map[string]bool),
	}
	for i, e := range pol.Principals {
		found := 0
		for _, s := range m.principals {
			if n.covers(e, s) {
				n.entries[s.row.ID] = append(n.entries[s.row.ID], i)
				found++
			}
		}
		if e.Selector != nil && found == 0 {
			n.findings[fmt.Sprintf("%s - - at %s", CodeSelectorEmpty, e.Selector.Pos)] = true
		}
		for l := range e.Listed.All() {
			n.expiry(l)
		}
		for _, l := range e.Forbid {
			n.expiry(l)
		}
	}
	for _, r := range pol.Rules {
		for _, x := range r.Except {
			switch l := (policy.Listed{Terms: x.Terms}); {
			case x.Until.IsZero():
			case isOver(l):
				n.findings[fmt.Sprintf("%s - - at %s", CodeExpiredEntry, x.Pos)] = true
			case pol.ExpiringWithinDays > 0 && daysAfter(l) <= pol.ExpiringWithinDays:
				n.findings[fmt.Sprintf("%s - - at %s", CodeExpiringSoon, x.Pos)] = true
			}
		}
	}
	if pol.Safety != nil {
		for _, sel := range pol.Safety.ProtectedBy {
			if !slices.ContainsFunc(m.principals, func(s *subject) bool { return n.covers(policy.Entry{Selector: sel}, s) }) {
				n.findings[fmt.Sprintf("%s - - at %s", CodeSelectorEmpty, sel.Pos)] = true
			}
		}
	}
	if pol.Unlisted != policy.UnlistedIgnore {
		for _, s := range m.principals {
			if n.entries[s.row.ID] == nil {
				n.unlisted[s.row.ID] = true
			}
		}
	}
	// Groups before users, parents before children.
	done := make(map[mstrapi.ObjectID]bool)
	var visit func(s *subject)
	visit = func(s *subject) {
		if done[s.row.ID] {
			return
		}
		done[s.row.ID] = true
		for _, p := range s.parents {
			visit(m.byID[p])
		}
		n.decide(s)
	}
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		for _, s := range m.principals {
			if s.row.Kind == kind {
				visit(s)
			}
		}
	}
	n.judge()
	return n
}

func (n *naive) covers(e policy.Entry, s *subject) bool {
	if e.Principal != nil {
		if mstrapi.Kind(e.Principal.Kind) != s.row.Kind {
			return false
		}
		if s.row.Kind == mstrapi.User {
			return strings.EqualFold(e.Principal.Name, s.row.Login)
		}
		return e.Principal.Name == s.row.Name
	}
	sel := e.Selector
	if mstrapi.Kind(sel.Kind) != s.row.Kind {
		return false
	}
	if sel.MemberOf != "" {
		in := false
		for _, p := range s.parents {
			in = in || n.m.byID[p].row.Name == sel.MemberOf
		}
		if sel.Nested {
			for a := range n.m.ancestors(s.row.ID) {
				in = in || n.m.byID[a].row.Name == sel.MemberOf
			}
		}
		if !in {
			return false
		}
	}
	if sel.LoginMatches != "" && !globbed(strings.ToLower(sel.LoginMatches), strings.ToLower(s.row.Login)) {
		return false
	}
	if sel.NameMatches != "" && !globbed(sel.NameMatches, s.row.Name) {
		return false
	}
	if sel.Enabled != nil && *sel.Enabled != (s.row.Enabled == mstrapi.Yes) {
		return false
	}
	for _, x := range sel.Except {
		out := n.covers(policy.Entry{Principal: x.Principal, Selector: x.Selector}, s)
		for a := range n.m.ancestors(s.row.ID) {
			out = out || x.Principal != nil && n.covers(policy.Entry{Principal: x.Principal}, n.m.byID[a])
		}
		if out {
			return false
		}
	}
	return true
}

// globbed matches a text of ASCII with a pattern by trying everything that a star may be.
func globbed(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return globbed(pattern[1:], text) || text != "" && globbed(pattern, text[1:])
	}
	return text != "" && (pattern[0] == '?' || pattern[0] == text[0]) && globbed(pattern[1:], text[1:])
}

// daysAfter is how many days after today l's last day is: 0 for today, negative
// if it is over.
func daysAfter(l policy.Listed) int {
	year, month, date := testNow().UTC().Date()
	return int(l.Until.Sub(time.Date(year, month, date, 0, 0, 0, 0, time.UTC)).Hours()) / 24
}

func isOver(l policy.Listed) bool { return !l.Until.IsZero() && daysAfter(l) < 0 }

func (n *naive) expiry(l policy.Listed) {
	switch {
	case l.Until.IsZero():
	case isOver(l):
		n.findings[fmt.Sprintf("%s - %d at %s", CodeExpiredEntry, l.ID, l.Pos)] = true
	case n.pol.ExpiringWithinDays > 0 && daysAfter(l) <= n.pol.ExpiringWithinDays: // days before its last day
		n.findings[fmt.Sprintf("%s - %d at %s", CodeExpiringSoon, l.ID, l.Pos)] = true
	}
}

func (n *naive) inScope(s Set) Set {
	out := Set{}
	for p := range s.All() {
		if n.pol.Scope == policy.LevelAll || string(n.m.levelOf(p)) == string(n.pol.Scope) {
			out.Add(p)
		}
	}
	return out
}

func (n *naive) isProtected(s *subject) bool {
	if n.pol.Safety == nil {
		return false
	}
	for _, ref := range n.pol.Safety.Protected {
		if n.covers(policy.Entry{Principal: &ref}, s) {
			return true
		}
	}
	for _, sel := range n.pol.Safety.ProtectedBy {
		if n.covers(policy.Entry{Selector: sel}, s) {
			return true
		}
	}
	return false
}

// decide applies the table to one principal, whose groups were decided before.
func (n *naive) decide(s *subject) {
	id := s.row.ID
	covered := n.entries[id] != nil
	d := n.inScope(s.direct)
	if n.unlisted[id] && !d.IsEmpty() {
		switch {
		case n.pol.Unlisted == policy.UnlistedReport:
			n.findings[fmt.Sprintf("%s %s -", CodeUnlistedPrincipal, id)] = true
		case n.isProtected(s):
			n.findings[fmt.Sprintf("%s %s -", CodeProtectedPrincipal, id)] = true
		default:
			for p := range d.All() {
				n.revoke(s, p, ReasonUnlisted)
			}
		}
	}
	if !covered {
		return
	}
	l, x, f, settings, explicit := n.wants(id)
	if !explicit {
		for _, i := range n.entries[id] {
			n.conflicts = n.conflicts || n.pol.Principals[i].Settings != settings
		}
	}
	if explicit && s.row.Enabled == mstrapi.No {
		n.findings[fmt.Sprintf("%s %s -", CodeDisabledUser, id)] = true
	}
	inh, roles := n.inScope(n.after.inherited(id)), n.inScope(n.after.elsewhere(id))
	for _, c := range n.m.catalogue {
		p := c.ID
		inL, inX, inF, inD, inI := l.Has(p), x.Has(p) && !l.Has(p), f.Has(p), d.Has(p), inh.Has(p)
		if inL && inF {
			n.conflicts = true
			continue
		}
		switch {
		case inL && !inD && !inI:
			n.grant(s, p)
		case inL && !inD && inI:
			if settings.SatisfiedBy == policy.Direct {
				n.grant(s, p)
			}
		case inL && inD && inI:
			if settings.Redundant == policy.RedundantRevoke {
				n.revoke(s, p, ReasonRedundant)
			}
		case inD && inF:
			n.revoke(s, p, ReasonForbidden)
		case inD && inX:
			n.revoke(s, p, ReasonExpired)
		case inD && !inL && settings.Mode == policy.Authoritative:
			n.revoke(s, p, ReasonNotListed)
		}
		if (inI || roles.Has(p)) && inF {
			n.findings[fmt.Sprintf("%s %s %d from %s", CodeInheritedForbidden, id, p, n.holders(id, p))] = true
		}
		if inI && !inL && !inF && settings.Inherited == policy.InheritedReport {
			n.findings[fmt.Sprintf("%s %s %d from %s", CodeInheritedNotListed, id, p, n.holders(id, p))] = true
		}
	}
}

// wants adds up what the entries that cover a principal list, listed until a day that is
// over, and forbid.
func (n *naive) wants(id mstrapi.ObjectID) (l, x, f Set, settings policy.Settings, explicit bool) {
	for _, i := range n.entries[id] {
		e := n.pol.Principals[i]
		for item := range e.Listed.All() {
			if isOver(item) {
				x.Add(mstrapi.PrivilegeID(item.ID))
			} else {
				l.Add(mstrapi.PrivilegeID(item.ID))
			}
		}
		for _, item := range e.Forbid {
			if !isOver(item) {
				f.Add(mstrapi.PrivilegeID(item.ID))
			}
		}
		if e.Principal != nil || settings == (policy.Settings{}) {
			settings = e.Settings
		}
		explicit = explicit || e.Principal != nil
	}
	return l, x, f, settings, explicit
}

func (n *naive) grant(s *subject, p mstrapi.PrivilegeID) {
	n.changes[fmt.Sprintf("grant %d to %s: %s", p, s.row.ID, ReasonListed)] = true
	a := n.after.byID[s.row.ID]
	a.direct = a.direct.Union(SetOf(p))
}

func (n *naive) revoke(s *subject, p mstrapi.PrivilegeID, reason Reason) {
	n.changes[fmt.Sprintf("revoke %d from %s: %s", p, s.row.ID, reason)] = true
	a := n.after.byID[s.row.ID]
	a.direct = a.direct.Minus(SetOf(p))
}

// holders names the groups above a principal that hold p after the plan.
func (n *naive) holders(id mstrapi.ObjectID, p mstrapi.PrivilegeID) string {
	var out []string
	for _, a := range slices.Sorted(maps.Keys(n.m.ancestors(id))) {
		if n.after.byID[a].direct.Has(p) {
			out = append(out, string(a))
		}
	}
	return strings.Join(out, ",")
}

// judge applies the rules to what is true after the plan.
func (n *naive) judge() {
	reached := make(map[mstrapi.ObjectID]bool)
	for _, s := range n.m.principals {
		for a := range n.m.ancestors(s.row.ID) {
			if s.row.Kind == mstrapi.User && !n.m.byID[a].direct.Equal(n.after.byID[a].direct) {
				reached[s.row.ID] = true
			}
		}
	}
	for i, r := range n.pol.Rules {
		for _, s := range n.m.principals {
			id := s.row.ID
			if n.entries[id] == nil && !reached[id] {
				continue
			}
			before, after := n.m.effective(id), n.after.effective(id)
			exempt := false
			for _, x := range r.Except {
				if isOver(policy.Listed{Terms: x.Terms}) {
					continue
				}
				exempt = exempt || n.covers(policy.Entry{Principal: &x.PrincipalRef}, s)
				for a := range n.m.ancestors(id) {
					exempt = exempt || n.covers(policy.Entry{Principal: &x.PrincipalRef}, n.m.byID[a])
				}
			}
			for _, ref := range r.Deny {
				if p := mstrapi.PrivilegeID(ref.ID); after.Has(p) && !exempt {
					n.findings[fmt.Sprintf("%s %s %d at %s %s already=%v from %s", CodeRuleViolation, id, p, r.Pos, r.Severity, before.Has(p), n.holders(id, p))] = true
				}
			}
			held, already := 0, true
			for _, ref := range r.Conflict {
				if p := mstrapi.PrivilegeID(ref.ID); after.Has(p) {
					held++
					already = already && before.Has(p)
				}
			}
			if held > 1 {
				n.findings[fmt.Sprintf("%s %s - at %s %s already=%v", CodeRuleViolation, id, r.Pos, r.Severity, already)] = true
			}
		}
		for _, ref := range r.Require {
			p := mstrapi.PrivilegeID(ref.ID)
			before, after := 0, 0
			for _, s := range n.m.principals {
				if s.row.Kind != mstrapi.User || s.row.Enabled != mstrapi.Yes {
					continue
				}
				if id := s.row.ID; s.direct.Union(n.m.inherited(id)).Has(p) {
					before++
				}
				if id := s.row.ID; n.after.byID[id].direct.Union(n.after.inherited(id)).Has(p) {
					after++
				}
			}
			if after < n.pol.Rules[i].AtLeast {
				n.findings[fmt.Sprintf("%s - %d at %s %s already=%v", CodeRuleViolation, p, r.Pos, r.Severity, before < r.AtLeast)] = true
			}
		}
	}
}

// planFacts writes a plan's changes and findings as newNaive writes its own.
func planFacts(plan *Plan) (changes, findings map[string]bool) {
	changes, findings = make(map[string]bool), make(map[string]bool)
	for _, c := range plan.Changes {
		for _, g := range c.Grant {
			changes[fmt.Sprintf("grant %d to %s: %s", g.ID, c.Principal.ID, g.Reason)] = true
		}
		for _, r := range c.Revoke {
			changes[fmt.Sprintf("revoke %d from %s: %s", r.ID, c.Principal.ID, r.Reason)] = true
		}
	}
	for _, f := range plan.Findings {
		who, what := "-", "-"
		if f.Principal != nil {
			who = string(f.Principal.ID)
		}
		if f.Privilege != nil {
			what = f.Privilege.ID.String()
		}
		var from []string
		for _, s := range f.Sources {
			from = append(from, string(s.ID))
		}
		slices.Sort(from)
		text := fmt.Sprintf("%s %s %s", f.Code, who, what)
		switch f.Code {
		case CodeRedundantDirect:
			continue
		case CodeInheritedForbidden, CodeInheritedNotListed:
			text += " from " + strings.Join(from, ",")
		case CodeSelectorEmpty:
			text += fmt.Sprintf(" at %s", f.Position)
		case CodeExpiredEntry, CodeExpiringSoon:
			text = fmt.Sprintf("%s - %s at %s", f.Code, what, f.Position)
		case CodeRuleViolation:
			if f.Count > 1 {
				// One finding about many stands for one about each.
				for _, id := range f.concerned {
					one := fmt.Sprintf("%s %s %s at %s %s already=%v", f.Code, id, what, f.Position, f.Severity, f.Already)
					if what != "-" {
						one += " from " + strings.Join(from, ",")
					}
					findings[one] = true
				}
				continue
			}
			text += fmt.Sprintf(" at %s %s already=%v", f.Position, f.Severity, f.Already)
			if what != "-" && who != "-" {
				text += " from " + strings.Join(from, ",")
			}
		}
		findings[text] = true
	}
	return changes, findings
}

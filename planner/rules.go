package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// maxTraced bounds for how many violations the memberships of a user are read
// so that every path can be named. Further ones name the groups that hold the
// privilege, without the way from there.
const maxTraced = 1000

// maxPaths bounds how many paths one message names, and maxSteps how many
// groups are looked at to find them.
const (
	maxPaths = 10
	maxSteps = 10_000
)

// requirement is one privilege that a require rule names.
type requirement struct {
	rule      int
	privilege mstrapi.PrivilegeID
}

// holders counts the users who hold a required privilege.
type holders struct {
	before, after int         // enabled users who hold it before and after the plan
	open          []*Observed // users who hold it and of whom it is not known whether they are enabled
}

func severityOf(r *policy.Rule) Severity {
	if r.Severity == policy.RuleWarning {
		return SeverityWarning
	}
	return SeverityError
}

// judgeRules judges one principal by what it will hold, in an audit by what it
// holds.
func (d *draft) judgeRules(o *Observed, direct, inherited Set) {
	if d.ruled.IsEmpty() {
		return
	}
	after := direct.Union(inherited).Intersect(d.ruled)
	before := o.Direct.Union(o.Inherited).Intersect(d.ruled)
	everywhere := [2]Set{before, after}
	if roles := o.elsewhere().Intersect(d.ruled); !roles.IsEmpty() {
		// Who holds it in one project holds it, but not in every one.
		before, after = before.Union(roles), after.Union(roles)
	}
	if after.IsEmpty() && before.IsEmpty() {
		return
	}
	for i := range d.rules {
		sets := &d.rules[i]
		for q := range after.Intersect(sets.deny).All() {
			if !d.exempt(i, o) {
				d.violation(i, o, direct, SetOf(q), before.Has(q))
			}
		}
		if held := after.Intersect(sets.conflict); held.Len() > 1 {
			d.violation(i, o, direct, held, held.Equal(held.Intersect(before)))
		}
		d.countRequired(i, o, everywhere[0], everywhere[1])
	}
}

// exempt reports whether an exception of the rule is o or contains it.
func (d *draft) exempt(rule int, o *Observed) bool {
	except := d.pol.Rules[rule].Except
	for i := range except {
		if e, ok := d.st.except[[2]int{rule, i}]; ok && !except[i].Expired(d.now) && e.ID == o.Principal.ID {
			return true
		}
	}
	for i := range except {
		if e, ok := d.st.except[[2]int{rule, i}]; ok && !except[i].Expired(d.now) && e.Kind == mstrapi.Group && d.kin.above(e.ID, o) {
			return true
		}
	}
	return false
}

// breach is one principal that holds what a rule does not allow: one privilege of
// a deny rule, or several of a conflict rule.
type breach struct {
	rule    int
	who     *Observed
	direct  Set
	held    Set
	already bool
}

// violation notes a breach.
func (d *draft) violation(rule int, o *Observed, direct, held Set, already bool) {
	d.offend(rule, o)
	d.breaches = append(d.breaches, breach{rule, o, direct.Intersect(held), held, already})
}

// common is what breaches have in common that one finding tells of: the rule, the
// privileges, and the groups that they come from.
func (d *draft) common(b *breach) string {
	key := fmt.Sprint(b.rule, " ", b.held.IDs(), b.already)
	for q := range b.held.All() {
		groups, others := d.holders(b.who, q)
		key += fmt.Sprint(" ", q, idsOf(groups), others)
	}
	return key
}

// ruleFindings tells of the breaches: those of many who hold the privileges
// through the same groups, and none directly, in one finding.
func (d *draft) ruleFindings() {
	slices.SortStableFunc(d.breaches, func(a, b breach) int { return cmp.Or(cmp.Compare(a.rule, b.rule), compareObserved(a.who, b.who)) })
	shared := make(map[string][]*breach)
	var order []string
	for i := range d.breaches {
		b := &d.breaches[i]
		key := fmt.Sprint(i)
		if b.direct.IsEmpty() {
			key = d.common(b)
		}
		if shared[key] == nil {
			order = append(order, key)
		}
		shared[key] = append(shared[key], b)
	}
	for _, key := range order {
		d.ruleFinding(shared[key])
	}
}

// ruleFinding tells of breaches that have everything in common.
func (d *draft) ruleFinding(list []*breach) {
	b := list[0]
	rule := &d.pol.Rules[b.rule]
	who := b.who.Principal
	f := Finding{Code: CodeRuleViolation, Severity: severityOf(rule), Principal: &who, Position: position(rule.Pos), Already: b.already}
	if ids := b.held.IDs(); len(ids) == 1 {
		ref := d.cat.ref(ids[0])
		f.Privilege = &ref
	}
	var parts []string
	seen := make(map[mstrapi.ObjectID]bool)
	for q := range b.held.All() {
		groups, others := d.holders(b.who, q)
		for _, g := range groups {
			if !seen[g.Principal.ID] {
				seen[g.Principal.ID] = true
				f.Sources = append(f.Sources, Source{Kind: mstrapi.Group, ID: g.Principal.ID, Name: g.Principal.Name})
			}
		}
		parts = append(parts, fmt.Sprintf("privilege %s %s", d.cat.label(q), d.ways(b.who, b.direct.Has(q), groups, others)))
	}
	slices.SortFunc(f.Sources, func(a, b Source) int {
		p, q := Principal{Kind: a.Kind, ID: a.ID, Name: a.Name}, Principal{Kind: b.Kind, ID: b.ID, Name: b.Name}
		return p.Compare(&q)
	})
	when := "the plan would make it so"
	if b.already {
		when = "this is so already"
	}
	subject := who.label() + " holds"
	if len(list) > 1 {
		f.Principal, f.Count = nil, len(list)
		if len(f.Sources) == 1 {
			f.Principal = &Principal{Kind: mstrapi.Group, ID: f.Sources[0].ID, Name: f.Sources[0].Name}
		}
		names := make([]string, 0, maxNamedUsers)
		for _, m := range list[:min(len(list), maxNamedUsers)] {
			names = append(names, m.who.Principal.label())
		}
		if more := len(list) - len(names); more > 0 {
			names = append(names, plural(more, "other", "others"))
		}
		subject = fmt.Sprintf("%d principals (%s) hold", len(list), joinAnd(names))
		for _, m := range list {
			f.concerned = append(f.concerned, m.who.Principal.ID)
		}
	}
	f.Message = fmt.Sprintf("rule %s: %s %s; %s", clean.Quote(rule.Name), subject, strings.Join(parts, ", and "), when)
	d.findings = append(d.findings, f)
}

// ways says how a privilege arrives: directly, and by every path from the
// groups that hold it.
func (d *draft) ways(o *Observed, direct bool, groups []*Observed, others otherSources) string {
	var ways []string
	if direct {
		ways = append(ways, "directly")
	}
	for _, words := range others.words() {
		ways = append(ways, "through "+words)
	}
	if len(groups) > 0 {
		paths, more := d.paths(o, groups)
		for _, p := range paths {
			ways = append(ways, "through "+p)
		}
		if more {
			ways = append(ways, "through more paths")
		}
	}
	return strings.Join(ways, ", ")
}

// paths returns the ways up from o to the groups. A group to which no way is
// known is named alone.
func (d *draft) paths(o *Observed, groups []*Observed) (paths []string, more bool) {
	reached := make(map[mstrapi.ObjectID]bool, len(groups))
	for _, g := range groups {
		reached[g.Principal.ID] = false
	}
	steps := 0
	var up func(parents, trail []mstrapi.ObjectID)
	up = func(parents, trail []mstrapi.ObjectID) {
		for _, id := range parents {
			if steps++; steps > maxSteps || len(paths) > maxPaths {
				more = true
				return
			}
			if slices.Contains(trail, id) {
				continue
			}
			here := append(slices.Clip(trail), id)
			if _, holds := reached[id]; holds {
				reached[id] = true
				names := make([]string, len(here))
				for i, step := range here {
					names[i] = d.st.groupName(step)
				}
				paths = append(paths, pathText(names))
			}
			up(d.parentsOf(id), here)
		}
	}
	up(d.ownParents(o), nil)
	for _, g := range groups {
		if !reached[g.Principal.ID] && len(paths) <= maxPaths {
			paths = append(paths, pathText([]string{g.Principal.Name}))
		}
	}
	slices.Sort(paths)
	if len(paths) > maxPaths {
		paths, more = paths[:maxPaths], true
	}
	return paths, more
}

// ownParents returns the direct parents of o. Those of a user are asked for if
// they were not read and not too many were asked for yet.
func (d *draft) ownParents(o *Observed) []mstrapi.ObjectID {
	if o.Principal.Kind == mstrapi.Group {
		return d.parentsOf(o.Principal.ID)
	}
	if !o.parents.known && d.st.traced+len(d.needs.memberOf) < maxTraced {
		put(&d.needs.memberOf, o)
	}
	return o.parents.ids
}

func (d *draft) parentsOf(id mstrapi.ObjectID) []mstrapi.ObjectID {
	list := d.st.parents[id]
	if !list.known {
		put(&d.needs.parents, id)
	}
	return list.ids
}

// countRequired counts o among those who hold what a require rule asks for.
func (d *draft) countRequired(rule int, o *Observed, before, after Set) {
	if o.Principal.Kind != mstrapi.User || o.Enabled == mstrapi.No || o.Enabled == mstrapi.Unknown && o.asked {
		return
	}
	sets := &d.rules[rule]
	for q := range sets.require.Intersect(before.Union(after)).All() {
		h := d.required[requirement{rule, q}]
		if h == nil {
			h = &holders{}
			d.required[requirement{rule, q}] = h
		}
		known := o.Enabled == mstrapi.Yes
		if known && before.Has(q) {
			h.before++
		}
		if known && after.Has(q) {
			h.after++
		}
		if !known {
			h.open = append(h.open, o)
		}
	}
}

// checkRequired judges the require rules: first by the principals that were
// judged anyway, then by reading others until enough are found.
func (d *draft) checkRequired() {
	var short []requirement
	for i := range d.rules {
		for q := range d.rules[i].require.All() {
			if h := d.required[requirement{i, q}]; h == nil || h.after < d.pol.Rules[i].AtLeast {
				short = append(short, requirement{i, q})
			}
		}
	}
	if len(short) == 0 {
		return
	}
	unsettled := short[:0:0]
	for _, r := range short {
		h := d.required[r]
		if h == nil || len(h.open) == 0 {
			unsettled = append(unsettled, r)
			continue
		}
		// Only as many as could be enough; of the rest nobody needs to know.
		slices.SortFunc(h.open, compareObserved)
		missing := d.pol.Rules[r.rule].AtLeast - h.after
		for _, o := range h.open[:min(missing, len(h.open))] {
			put(&d.needs.enabled, o)
		}
	}
	if len(d.needs.enabled) > 0 || len(unsettled) == 0 {
		return
	}
	d.searchOthers(unsettled)
}

// searchOthers looks for holders among the users that the policy does not
// cover, in growing steps.
func (d *draft) searchOthers(short []requirement) {
	if !d.st.usersRead {
		d.needs.everyUser = true
		return
	}
	var unread []mstrapi.PrincipalRow
	unreadable, scanned := 0, 0
	for _, row := range d.st.users {
		o := d.st.byID[row.ID]
		switch {
		case o == nil:
			unread = append(unread, row)
			continue
		case d.judged(o):
			continue
		}
		scanned++
		if o.Err != nil {
			unreadable++
			continue
		}
		w := d.wantOf(o)
		direct, inherited := o.Direct, o.Inherited
		if d.st.judging == JudgeProjected {
			inherited = d.inheritedAfter(o, w, true)
		}
		if w != nil && d.st.judging == JudgeProjected {
			dec := decide(w, o.Direct, inherited)
			direct = dec.direct(o.Direct)
		}
		before, after := o.Direct.Union(o.Inherited), direct.Union(inherited)
		for _, r := range short {
			if q := r.privilege; before.Has(q) || after.Has(q) {
				d.countRequired(r.rule, o, before.Intersect(SetOf(q)), after.Intersect(SetOf(q)))
			}
		}
	}
	for _, o := range d.st.covered {
		if o.Err != nil && o.Principal.Kind == mstrapi.User {
			unreadable++
		}
	}
	missing := false
	for _, r := range short {
		rule, h := &d.pol.Rules[r.rule], d.required[r]
		if h == nil {
			h = &holders{}
		}
		if h.after >= rule.AtLeast {
			continue
		}
		if len(h.open) > 0 {
			slices.SortFunc(h.open, compareObserved)
			for _, o := range h.open[:min(rule.AtLeast-h.after, len(h.open))] {
				put(&d.needs.enabled, o)
			}
			continue
		}
		missing = true
		if len(unread) > 0 {
			continue
		}
		ref := d.cat.ref(r.privilege)
		when, already := "the plan would make it so", h.before < rule.AtLeast
		if already {
			when = "this is so already"
		}
		text := fmt.Sprintf("rule %s: %s of at least %d would hold privilege %s; %s",
			clean.Quote(rule.Name), plural(h.after, "enabled user", "enabled users"), rule.AtLeast, d.cat.label(r.privilege), when)
		if unreadable > 0 {
			text += fmt.Sprintf(" (%s could not be read)", plural(unreadable, "user", "users"))
		}
		if d.broken[r.rule] == nil {
			d.broken[r.rule] = &offenders{}
		}
		d.broken[r.rule].short += rule.AtLeast - h.after
		d.findings = append(d.findings, Finding{
			Code: CodeRuleViolation, Severity: severityOf(rule), Privilege: &ref, Message: text, Position: position(rule.Pos), Already: already,
		})
	}
	if missing && len(unread) > 0 {
		step := max(minSearch, scanned)
		d.needs.principals = append(d.needs.principals, unread[:min(step, len(unread))]...)
	}
}

// minSearch is how many users are read at first when a require rule looks for
// holders; each further step reads as many as were read so far.
const minSearch = 64

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

// judgement judges principals by the rules of a policy: by what they will hold, or in an
// audit by what they hold.
type judgement struct {
	c     *compiled
	st    *State
	needs *needs
	p     *projection

	required map[requirement]*holders
	breaches []breach
	broken   map[int]*offenders // by rule
	findings []Finding
}

func newJudgement(p *projection) *judgement {
	return &judgement{c: p.c, st: p.st, needs: p.needs, p: p, required: make(map[requirement]*holders), broken: make(map[int]*offenders)}
}

// projected reports whether the rules judge what will be there.
func (j *judgement) projected() bool {
	return j.st.judging == JudgeProjected && !j.c.ruled.IsEmpty()
}

// judges reports whether rules judge o.
func (s *State) judges(o *Observed) bool { return o.Covered || s.reached[o.Principal.ID] }

func severityOf(r *policy.Rule) Severity {
	if r.Severity == policy.RuleWarning {
		return SeverityWarning
	}
	return SeverityError
}

// judge judges one principal by what it will hold, in an audit by what it
// holds.
func (j *judgement) judge(o *Observed, direct, inherited Set) {
	if j.c.ruled.IsEmpty() {
		return
	}
	after := direct.Union(inherited).Intersect(j.c.ruled)
	before := o.Direct.Union(o.Inherited).Intersect(j.c.ruled)
	everywhere := [2]Set{before, after}
	if roles := o.elsewhere().Intersect(j.c.ruled); !roles.IsEmpty() {
		// Who holds it in one project holds it, but not in every one.
		before, after = before.Union(roles), after.Union(roles)
	}
	if after.IsEmpty() && before.IsEmpty() {
		return
	}
	for i := range j.c.rules {
		sets := &j.c.rules[i]
		for q := range after.Intersect(sets.deny).All() {
			if !j.exempt(i, o) {
				j.violation(i, o, direct, SetOf(q), before.Has(q))
			}
		}
		if held := after.Intersect(sets.conflict); held.Len() > 1 {
			j.violation(i, o, direct, held, held.Equal(held.Intersect(before)))
		}
		j.countRequired(i, o, everywhere[0], everywhere[1])
	}
}

// exempt reports whether an exception of the rule is o or contains it.
func (j *judgement) exempt(rule int, o *Observed) bool {
	var groups []mstrapi.ObjectID
	for i := range j.c.pol.Rules[rule].Except {
		switch e := j.st.except[[2]int{rule, i}]; {
		case e.ID == o.Principal.ID:
			return true
		case e.Kind == mstrapi.Group:
			groups = append(groups, e.ID)
		}
	}
	return slices.ContainsFunc(groups, func(id mstrapi.ObjectID) bool { return j.p.kin.above(id, o) })
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
func (j *judgement) violation(rule int, o *Observed, direct, held Set, already bool) {
	j.offend(rule, o)
	j.breaches = append(j.breaches, breach{rule, o, direct.Intersect(held), held, already})
}

// common is what breaches have in common that one finding tells of: the rule, the
// privileges, and the groups that they come from.
func (j *judgement) common(b *breach) string {
	key := fmt.Sprint(b.rule, " ", b.held.IDs(), b.already)
	for q := range b.held.All() {
		groups, others := j.p.holders(b.who, q)
		key += fmt.Sprint(" ", q, idsOf(groups), others)
	}
	return key
}

// ruleFindings tells of the breaches: those of many who hold the privileges
// through the same groups, and none directly, in one finding.
func (j *judgement) ruleFindings() {
	slices.SortStableFunc(j.breaches, func(a, b breach) int { return cmp.Or(cmp.Compare(a.rule, b.rule), compareObserved(a.who, b.who)) })
	shared := make(map[string][]*breach)
	var order []string
	for i := range j.breaches {
		b := &j.breaches[i]
		key := fmt.Sprint(i)
		if b.direct.IsEmpty() {
			key = j.common(b)
		}
		if shared[key] == nil {
			order = append(order, key)
		}
		shared[key] = append(shared[key], b)
	}
	for _, key := range order {
		j.ruleFinding(shared[key])
	}
}

// ruleFinding tells of breaches that have everything in common.
func (j *judgement) ruleFinding(list []*breach) {
	b := list[0]
	rule := &j.c.pol.Rules[b.rule]
	who := b.who.Principal
	f := Finding{Code: CodeRuleViolation, Severity: severityOf(rule), Principal: &who, Position: position(rule.Pos), Already: b.already}
	if ids := b.held.IDs(); len(ids) == 1 {
		ref := j.c.cat.ref(ids[0])
		f.Privilege = &ref
	}
	var parts []string
	seen := make(map[mstrapi.ObjectID]bool)
	for q := range b.held.All() {
		groups, others := j.p.holders(b.who, q)
		for _, g := range groups {
			if !seen[g.Principal.ID] {
				seen[g.Principal.ID] = true
				f.Sources = append(f.Sources, Source{Kind: mstrapi.Group, ID: g.Principal.ID, Name: g.Principal.Name})
			}
		}
		parts = append(parts, fmt.Sprintf("privilege %s %s", j.c.cat.label(q), j.ways(b.who, b.direct.Has(q), groups, others)))
	}
	slices.SortFunc(f.Sources, func(a, b Source) int {
		p, q := Principal{Kind: a.Kind, ID: a.ID, Name: a.Name}, Principal{Kind: b.Kind, ID: b.ID, Name: b.Name}
		return p.Compare(&q)
	})
	subject := who.Label() + " holds"
	if len(list) > 1 {
		f.Principal, f.Count = nil, len(list)
		if len(f.Sources) == 1 {
			f.Principal = &Principal{Kind: mstrapi.Group, ID: f.Sources[0].ID, Name: f.Sources[0].Name}
		}
		who := make([]*Observed, len(list))
		for i, m := range list {
			who[i] = m.who
			f.concerned = append(f.concerned, m.who.Principal.ID)
		}
		subject = fmt.Sprintf("%d principals (%s) hold", len(list), nameSome(who))
	}
	f.Message = fmt.Sprintf("rule %s: %s %s; %s", clean.Quote(rule.Name), subject, strings.Join(parts, ", and "), whenBroken(b.already))
	j.findings = append(j.findings, f)
}

// ways says how a privilege arrives: directly, and by every path from the
// groups that hold it.
func (j *judgement) ways(o *Observed, direct bool, groups []*Observed, others otherSources) string {
	var ways []string
	if direct {
		ways = append(ways, "directly")
	}
	for _, words := range others.words() {
		ways = append(ways, "through "+words)
	}
	if len(groups) > 0 {
		paths, more := j.paths(o, groups)
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
func (j *judgement) paths(o *Observed, groups []*Observed) (paths []string, more bool) {
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
					names[i] = j.st.groupName(step)
				}
				paths = append(paths, pathText(names))
			}
			up(j.parentsOf(id), here)
		}
	}
	up(j.ownParents(o), nil)
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
func (j *judgement) ownParents(o *Observed) []mstrapi.ObjectID {
	if o.Principal.Kind == mstrapi.Group {
		return j.parentsOf(o.Principal.ID)
	}
	if !o.parents.known && j.st.traced+len(j.needs.memberOf) < maxTraced {
		put(&j.needs.memberOf, o)
	}
	return o.parents.ids
}

func (j *judgement) parentsOf(id mstrapi.ObjectID) []mstrapi.ObjectID {
	list := j.st.parents[id]
	if !list.known {
		put(&j.needs.parents, id)
	}
	return list.ids
}

// results counts the people who break each rule.
func (j *judgement) results(c Coverage) []RuleResult {
	out := make([]RuleResult, 0, len(j.c.pol.Rules))
	everybody := j.st.judging != JudgeProjected && c.Known != nil && c.LookedAt >= *c.Known
	unread := slices.ContainsFunc(j.st.covered, func(o *Observed) bool { return o.Err != nil })
	for i := range j.c.pol.Rules {
		r := &j.c.pol.Rules[i]
		out = append(out, RuleResult{Name: r.Name, Severity: severityOf(r), Violations: j.offenders(i).count(), Complete: !j.c.rules[i].vague && (everybody || len(r.Require) > 0 && !j.st.onlyEveryone && !unread)})
	}
	return out
}

// offenders are the people who break one rule.
type offenders struct {
	people map[idKey]struct{}
	others int // members of groups whose members were counted and not read
	short  int // people who are missing, by a require rule
}

func (b *offenders) count() int {
	return len(b.people) + b.others + b.short
}

func (j *judgement) offenders(rule int) *offenders {
	b := j.broken[rule]
	if b == nil {
		b = &offenders{people: make(map[idKey]struct{})}
		j.broken[rule] = b
	}
	return b
}

// offend notes that o breaks the rule: a user as one person, a group as the users
// in it. Where everybody is judged these are judged themselves.
func (j *judgement) offend(rule int, o *Observed) {
	b := j.offenders(rule)
	if o.Principal.Kind == mstrapi.User {
		b.people[keyOf(o.Principal.ID)] = struct{}{}
		return
	}
	if j.st.judging == JudgeEverybody {
		return
	}
	m := j.st.members[o.Principal.ID]
	switch {
	case m == nil:
		if !slices.Contains(j.needs.count, o) {
			j.needs.count = append(j.needs.count, o)
		}
	case m.complete:
		for _, k := range m.keys {
			b.people[k] = struct{}{}
		}
	case m.err == nil:
		b.others = max(b.others, m.count)
	}
}

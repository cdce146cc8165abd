package planner

import (
	"fmt"
	"slices"

	"privsync/clean"
	"privsync/mstrapi"
)

// minSearch is how many users are read at first when a require rule looks for
// holders; each further step reads as many as were read so far.
const minSearch = 64

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

func (j *judgement) holders(r requirement) *holders {
	h := j.required[r]
	if h == nil {
		h = new(holders)
		j.required[r] = h
	}
	return h
}

// missing returns how many holders the rule lacks.
func (j *judgement) missing(r requirement) int {
	return j.c.pol.Rules[r.rule].AtLeast - j.holders(r).after
}

// countRequired counts o among those who hold what a require rule asks for.
func (j *judgement) countRequired(rule int, o *Observed, before, after Set) {
	if o.Principal.Kind != mstrapi.User || o.Enabled == mstrapi.No || o.Enabled == mstrapi.Unknown && o.asked {
		return
	}
	for q := range j.c.rules[rule].require.Intersect(before.Union(after)).All() {
		h := j.holders(requirement{rule, q})
		if o.Enabled != mstrapi.Yes {
			h.open = append(h.open, o)
			continue
		}
		if before.Has(q) {
			h.before++
		}
		if after.Has(q) {
			h.after++
		}
	}
}

// checkRequired judges the require rules: first by the principals that were
// judged anyway, then by reading others until enough are found.
func (j *judgement) checkRequired() {
	var short []requirement
	for i := range j.c.rules {
		for q := range j.c.rules[i].require.All() {
			if r := (requirement{i, q}); j.missing(r) > 0 && !j.askEnabled(r) {
				short = append(short, r)
			}
		}
	}
	if len(short) == 0 || len(j.needs.enabled) > 0 {
		return
	}
	if !j.st.usersRead {
		j.needs.everyUser = true
		return
	}
	j.searchOthers(short)
}

// askEnabled asks whether holders are enabled, where that is not known of some: as many
// as could be enough; of the rest nobody needs to know.
func (j *judgement) askEnabled(r requirement) bool {
	open := j.holders(r).open
	slices.SortFunc(open, compareObserved)
	for _, o := range open[:min(j.missing(r), len(open))] {
		put(&j.needs.enabled, o)
	}
	return len(open) > 0
}

// searchOthers looks for holders among the users that the policy does not
// cover, in growing steps.
func (j *judgement) searchOthers(short []requirement) {
	var unread []mstrapi.PrincipalRow
	unreadable, scanned := 0, 0
	for _, row := range j.st.users {
		o := j.st.byID[row.ID]
		switch {
		case o == nil:
			unread = append(unread, row)
			continue
		case j.st.judges(o):
			continue
		}
		scanned++
		if o.Err != nil {
			unreadable++
			continue
		}
		before, after := j.held(o)
		for _, r := range short {
			q := SetOf(r.privilege)
			j.countRequired(r.rule, o, before.Intersect(q), after.Intersect(q))
		}
	}
	for _, o := range j.st.covered {
		if o.Err != nil && o.Principal.Kind == mstrapi.User {
			unreadable++
		}
	}
	searching := false
	for _, r := range short {
		switch {
		case j.missing(r) <= 0, j.askEnabled(r):
		case len(unread) > 0:
			searching = true
		default:
			j.tooFew(r, unreadable)
		}
	}
	if searching {
		j.needs.principals = append(j.needs.principals, unread[:min(max(minSearch, scanned), len(unread))]...)
	}
}

// held returns what somebody who is not judged holds, and what it will hold; in an
// audit what it holds.
func (j *judgement) held(o *Observed) (before, after Set) {
	before = o.Direct.Union(o.Inherited)
	if j.st.judging != JudgeProjected {
		return before, before
	}
	direct, inherited := j.p.heldAfter(o, true)
	return before, direct.Union(inherited)
}

// tooFew tells that not enough users hold what the rule asks for.
func (j *judgement) tooFew(r requirement, unreadable int) {
	rule, h := &j.c.pol.Rules[r.rule], j.holders(r)
	ref := j.c.cat.ref(r.privilege)
	already := h.before < rule.AtLeast
	text := fmt.Sprintf("rule %s: %s of at least %d would hold privilege %s; %s",
		clean.Quote(rule.Name), clean.Count(h.after, "enabled user"), rule.AtLeast, j.c.cat.label(r.privilege), whenBroken(already))
	if unreadable > 0 {
		text += fmt.Sprintf(" (%s could not be read)", clean.Count(unreadable, "user"))
	}
	j.offenders(r.rule).short += rule.AtLeast - h.after
	j.findings = append(j.findings, Finding{
		Code: CodeRuleViolation, Severity: severityOf(rule), Privilege: &ref, Message: text, Position: position(rule.Pos), Already: already,
	})
}

// whenBroken says in words since when a rule is broken.
func whenBroken(already bool) string {
	if already {
		return "this is so already"
	}
	return "the plan would make it so"
}

package planner

import (
	"context"
	"slices"

	"privsync/mstrapi"
)

// Judging says whom the rules of a policy judge, and by what.
type Judging int

const (
	// JudgeProjected, the zero value, is for a plan: everybody whom the policy
	// covers and every user whom a planned group change reaches, as they will be.
	JudgeProjected Judging = iota
	// JudgeEverybody is for an audit: all users and groups of the server, as they
	// are. Everybody is read if a rule denies something.
	JudgeEverybody
	// JudgeCovered is the cheap audit: those whom the policy covers, as they are.
	JudgeCovered
)

// Coverage says how much of the server a document speaks of.
type Coverage struct {
	Covered  int  `json:"covered"`         // principals that the policy covers
	Known    *int `json:"known,omitempty"` // users and groups of the server; nil: it does not tell
	LookedAt int  `json:"lookedAt"`        // principals whose privileges were read and judged
}

// RuleResult is what became of one rule of the policy.
type RuleResult struct {
	Name     string   `json:"name"`
	Severity Severity `json:"severity"`
	// Violations counts people: a group that breaks the rule counts as its members.
	Violations int `json:"violations"`
	// Complete: everybody on the server was judged, by all that the rule names; false:
	// only those whom [Coverage] counts as looked at, or some privilege of the rule
	// is not in the catalogue.
	Complete bool `json:"complete"`
}

// countKnown asks how many users and groups the server has, where no list was
// read that tells. What it does not tell stays unknown.
func (ob *observer) countKnown(ctx context.Context) error {
	for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
		if _, ok := ob.known(kind); ok {
			continue
		}
		page, err := ob.r.ListPage(ctx, kind, mstrapi.Query{}, 0, 1)
		if err != nil {
			if ob.isFatal(ctx, err) {
				return err
			}
			ob.log.DebugContext(ctx, "how many there are is not known", "kind", string(kind), "error", err)
			continue
		}
		if page.Total >= 0 {
			ob.noteTotal(kind, page.Total)
		}
	}
	return nil
}

func (ob *observer) known(kind mstrapi.Kind) (int, bool) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	n, ok := ob.st.known[kind]
	return n, ok
}

// noteTotal notes how many users or groups the server has.
func (ob *observer) noteTotal(kind mstrapi.Kind, n int) {
	ob.mu.Lock()
	defer ob.mu.Unlock()
	ob.st.known[kind] = n
}

// coverage counts who is covered, known and looked at.
func (d *draft) coverage() Coverage {
	c := Coverage{Covered: len(d.st.covered) + d.st.lostNames}
	users, haveUsers := d.st.known[mstrapi.User]
	groups, haveGroups := d.st.known[mstrapi.Group]
	if haveUsers && haveGroups && !d.st.onlyEveryone {
		n := users + groups - len(d.st.gone)
		c.Known = &n
	}
	for _, list := range [][]*Observed{d.st.covered, d.st.unlisted, d.st.strangers} {
		for _, o := range list {
			if o.Err == nil {
				c.LookedAt++
			}
		}
	}
	return c
}

// ruleResults counts the people who break each rule.
func (d *draft) ruleResults(c Coverage) []RuleResult {
	out := make([]RuleResult, 0, len(d.pol.Rules))
	if !d.complete {
		return out
	}
	everybody := d.st.judging != JudgeProjected && c.Known != nil && c.LookedAt >= *c.Known
	unread := slices.ContainsFunc(d.st.covered, func(o *Observed) bool { return o.Err != nil })
	for i := range d.pol.Rules {
		r := &d.pol.Rules[i]
		out = append(out, RuleResult{Name: r.Name, Severity: severityOf(r), Violations: d.broken[i].count(), Complete: !d.rules[i].vague && (everybody || len(r.Require) > 0 && !d.st.onlyEveryone && !unread)})
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
	if b == nil {
		return 0
	}
	return len(b.people) + b.others + b.short
}

// offend notes that o breaks the rule: a user as one person, a group as the users
// in it. Where everybody is judged these are judged themselves.
func (d *draft) offend(rule int, o *Observed) {
	b := d.broken[rule]
	if b == nil {
		b = &offenders{people: make(map[idKey]struct{})}
		d.broken[rule] = b
	}
	if o.Principal.Kind == mstrapi.User {
		b.people[keyOf(o.Principal.ID)] = struct{}{}
		return
	}
	if d.st.judging == JudgeEverybody {
		return
	}
	m := d.st.members[o.Principal.ID]
	switch {
	case m == nil:
		if !slices.Contains(d.needs.count, o) {
			d.needs.count = append(d.needs.count, o)
		}
	case m.complete:
		for _, k := range m.keys {
			b.people[k] = struct{}{}
		}
	case m.err == nil:
		b.others = max(b.others, m.count)
	}
}

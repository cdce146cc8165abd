package planner

import (
	"context"

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
		page, err := ob.r.List(kind, mstrapi.Query{}).Page(ctx, 0, 1)
		if err != nil {
			if isFatal(ctx, err) {
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

func (rd *reading) known(kind mstrapi.Kind) (int, bool) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	n, ok := rd.st.known[kind]
	return n, ok
}

// noteTotal notes how many users or groups the server has.
func (rd *reading) noteTotal(kind mstrapi.Kind, n int) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	rd.st.known[kind] = n
}

// coverage counts who is covered, known and looked at.
func (d *draft) coverage() Coverage {
	c := Coverage{Covered: len(d.st.covered) + d.st.lostNames}
	users, haveUsers := d.st.existing(mstrapi.User)
	groups, haveGroups := d.st.existing(mstrapi.Group)
	if haveUsers && haveGroups && !d.st.onlyEveryone {
		n := users + groups
		c.Known = &n
	}
	for o := range d.st.all() {
		if o.Err == nil {
			c.LookedAt++
		}
	}
	return c
}

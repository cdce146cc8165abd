package planner

import (
	"encoding/json"
	"fmt"

	"privsync/mstrapi"
	"privsync/policy"
)

// Wanted is what the policy wants of one principal, as far as it takes to judge
// the principal by a reading: a plan carries it, so that whoever applies the plan
// can tell whether the policy is fulfilled without having the policy. All sets
// are privileges in scope. The zero value wants nothing.
type Wanted struct {
	Listed    Set  `json:"listed"`    // to be held
	Forbidden Set  `json:"forbidden"` // not to be held, directly or inherited
	Expired   Set  `json:"expired"`   // not to be held directly: their last day is over
	Exclusive bool `json:"exclusive"` // authoritative: nothing else is to be held directly
	Direct    bool `json:"direct"`    // satisfiedBy: direct: what is listed is to be held directly
	Lean      Set  `json:"lean"`      // redundant: revoke: not to be held directly and inherited
	// Accepted is what the plan itself leaves otherwise: the policy contradicts
	// itself, or what it takes to decide could not be read.
	Accepted Set `json:"accepted"`
	// Endured is what is forbidden and goes on being inherited, as the plan's
	// findings say.
	Endured Set `json:"endured"`
	// Denied is what rules of severity error do not allow it to hold, however it
	// comes by it, and the plan's findings do not tell of. A rule whose exceptions are groups is left out where it is not
	// known whether the principal is in one of them.
	Denied []Denied `json:"denied,omitempty"`
}

// Denied is privileges that a rule does not allow a principal to hold; with
// Together, two of them at once.
type Denied struct {
	Rule       string `json:"rule"`
	Privileges Set    `json:"privileges"`
	Together   bool   `json:"together,omitempty"`
}

// broken returns which of held break the rule.
func (d *Denied) broken(held Set) Set {
	against := held.Intersect(d.Privileges)
	if d.Together && against.Len() < 2 {
		return Set{}
	}
	return against
}

// Broken returns the rules that a principal breaks who holds direct and
// inherited, beyond what the plan accepts.
func (w *Wanted) Broken(direct, inherited Set) []Denied {
	if w == nil {
		return nil
	}
	var out []Denied
	for _, d := range w.Denied {
		d.Privileges = d.broken(direct.Union(inherited)).Minus(w.Accepted)
		if !d.Privileges.IsEmpty() {
			out = append(out, d)
		}
	}
	return out
}

// Judge returns what is listed and missing, and what is there against the
// policy, for a principal that holds direct and inherited. A nil Wanted has
// nothing to say.
func (w *Wanted) Judge(direct, inherited Set) (missing, surplus Set) {
	if w == nil {
		return Set{}, Set{}
	}
	held := direct
	if !w.Direct {
		held = direct.Union(inherited)
	}
	missing = w.Listed.Minus(held).Minus(w.Accepted)
	surplus = direct.Intersect(w.Forbidden.Union(w.Expired))
	if w.Exclusive {
		surplus = surplus.Union(direct.Minus(w.Listed))
	}
	surplus = surplus.Union(w.Lean.Intersect(direct).Intersect(inherited)).Minus(w.Accepted)
	surplus = surplus.Union(inherited.Intersect(w.Forbidden).Minus(w.Endured))
	for _, d := range w.Broken(direct, inherited) {
		surplus = surplus.Union(d.Privileges)
	}
	return missing, surplus
}

// Watch is covered principals that need no change of their own and that the plan
// may touch all the same: through a group, or through a metadata command. What
// became of them is read once the plan is applied.
type Watch struct {
	Wanted     Wanted      `json:"wanted"`
	Awaits     []Awaited   `json:"awaits"` // sorted by privilege
	Principals []Principal `json:"principals"`
}

// Awaited is a privilege that is listed and that only this plan's grants on
// groups are to give.
type Awaited struct {
	Privilege PrivilegeRef       `json:"privilege"`
	Grants    []mstrapi.ObjectID `json:"grants"` // the groups, sorted; one is enough
}

// wanted puts together what is wanted of o, given what the plan does.
func (d *draft) wanted(o *Observed, w *want, dec *decision) *Wanted {
	out := &Wanted{
		Listed: w.listed, Forbidden: w.forbidden, Expired: w.expired, Accepted: w.undecided,
		Exclusive: w.settings.Mode == policy.Authoritative, Direct: w.settings.SatisfiedBy == policy.Direct,
	}
	direct := dec.direct(o.Direct)
	if w.settings.Redundant == policy.RedundantRevoke && !out.Direct {
		out.Lean = w.listed
		if w.needs != nil {
			out.Lean = out.Lean.Minus(w.needs.need(direct)) // which the server grants along
		}
	}
	out.Endured = dec.inherited.Intersect(w.forbidden)
	out.Denied = d.denied(o, dec)
	missing, surplus := out.Judge(direct, dec.inherited)
	out.Accepted = out.Accepted.Union(missing).Union(surplus)
	return out
}

// denied returns what the rules of severity error deny o, other than what o holds
// already and what the plan brings: the plan's findings tell of that.
func (d *draft) denied(o *Observed, dec *decision) []Denied {
	var out []Denied
	told := dec.direct(o.Direct).Union(o.Inherited).Union(dec.inherited).Union(d.p.gaining)
	for i := range d.c.rules {
		rule, sets := &d.c.pol.Rules[i], &d.c.rules[i]
		if severityOf(rule) != SeverityError || d.maybeExempt(i, o) {
			continue
		}
		if deny := sets.deny.Minus(told); !deny.IsEmpty() {
			out = append(out, Denied{Rule: rule.Name, Privileges: deny})
		}
		if sets.conflict.Len() > 1 && sets.conflict.Intersect(told).Len() < 2 {
			out = append(out, Denied{Rule: rule.Name, Privileges: sets.conflict, Together: true})
		}
	}
	return out
}

// maybeExempt reports whether o is exempt from the rule, or may be by what was read
// so far: nothing is read for its sake.
func (d *draft) maybeExempt(rule int, o *Observed) bool {
	for i := range d.c.pol.Rules[rule].Except {
		e, ok := d.st.except[[2]int{rule, i}]
		switch {
		case !ok:
		case e.ID == o.Principal.ID, e.Kind == mstrapi.Group && e.ID == mstrapi.EveryoneGroup:
			return true
		case e.Kind == mstrapi.Group && !(o.Principal.Kind == mstrapi.User && o.parents.known && o.parents.err == nil && len(o.parents.ids) == 0):
			return true
		}
	}
	return false
}

// watch fills plan with what is wanted of covered principals that it does not
// change, where it changes a group or runs a command: otherwise it touches
// nobody else.
func (d *draft) watch(plan *Plan) {
	var lost Set // by some group
	groups := false
	changed := make(map[mstrapi.ObjectID]bool, len(plan.Changes))
	for i := range plan.Changes {
		c := &plan.Changes[i]
		changed[c.Principal.ID] = true
		if c.Principal.Kind == mstrapi.Group {
			groups, lost = true, lost.Union(c.revoked())
		}
	}
	if !d.complete || !groups && len(plan.Commands) == 0 {
		return
	}
	awaits := make(map[mstrapi.ObjectID][]Awaited)
	for _, a := range d.awaits {
		awaits[a.principal] = append(awaits[a.principal], a.Awaited)
	}
	plan.unchanged = make(map[mstrapi.ObjectID]*Wanted)
	shared := make(map[string]*Wanted)
	watches := make(map[string]int)
	for _, o := range d.st.covered {
		if o.Err != nil || changed[o.Principal.ID] {
			continue
		}
		w := d.c.wantFor(o)
		want := d.wanted(o, w, &decision{inherited: d.p.inheritedAfter(o, w, d.st.judges(o))})
		text, _ := json.Marshal(want) // numbers and names: it cannot fail
		key := string(text)
		if known := shared[key]; known != nil {
			want = known
		}
		shared[key] = want
		plan.unchanged[o.Principal.ID] = want
		mine := awaits[o.Principal.ID]
		byCommand := len(plan.Commands) > 0 && o.Principal.Kind == mstrapi.User && (want.Exclusive || !want.Forbidden.IsEmpty())
		leans := want.Listed.Minus(o.Direct).Intersect(o.Inherited).Intersect(lost)
		if len(mine) == 0 && want.Forbidden.IsEmpty() && !byCommand && leans.IsEmpty() {
			continue
		}
		for _, a := range mine {
			key += fmt.Sprint(" ", a.Privilege.ID, a.Grants)
		}
		at, known := watches[key]
		if !known {
			at = len(plan.Watch)
			watches[key] = at
			plan.Watch = append(plan.Watch, Watch{Wanted: *want, Awaits: orEmpty(mine)})
		}
		plan.Watch[at].Principals = append(plan.Watch[at].Principals, o.Principal)
	}
}

// Unchanged returns what is wanted of a covered principal that the plan does not
// change; nil where the plan cannot touch it, and in a plan that was read from a
// file, which holds [Plan.Watch] instead.
func (p *Plan) Unchanged(id mstrapi.ObjectID) *Wanted { return p.unchanged[id] }

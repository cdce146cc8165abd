package executor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// visit is a principal that is read again when the waves and the commands are
// done, because they may have touched it after its last reading.
type visit struct {
	principal planner.Principal
	claimed   *planner.Principal // what a saved plan calls it; nil: principal is the server's own
	wanted    *planner.Wanted
	awaits    []planner.Awaited
	last      *Sets // the last reading before; nil: none
	sets      *Sets // nil: not read
	err       error
	gone      bool
	stopped   bool // not read, because the run was stopped
	settled   bool // it holds directly what last says, as far as the run knows
	relied    planner.Set
}

// touched is what the run has changed for others than those it wrote to.
type touched struct {
	gained map[mstrapi.ObjectID]planner.Set   // by groups, which hand it down
	lost   map[mstrapi.ObjectID]planner.Set   // by groups, which handed it down
	odd    struct{ gained, lost planner.Set } // of these what the plan does not ask for
}

// touched compares what the groups held before the run with what they hold now.
// Where that is not known, what was planned counts.
func (r *run) touched() touched {
	out := touched{gained: make(map[mstrapi.ObjectID]planner.Set), lost: make(map[mstrapi.ObjectID]planner.Set)}
	for _, t := range r.tasks {
		if t.change.Principal.Kind != mstrapi.Group || !t.wrote || t.res.Before == nil {
			continue
		}
		before, after := t.res.Before.Direct, t.expected.Union(planned(t.change.Grant)).Minus(planned(t.change.Revoke))
		if t.res.After != nil {
			after = t.res.After.Direct
		}
		gained, lost := after.Minus(before), before.Minus(after)
		if t.res.Outcome == Unverified {
			// It may come later.
			gained = gained.Union(planned(t.change.Grant))
			lost = lost.Union(planned(t.change.Revoke))
		}
		if !gained.IsEmpty() {
			out.gained[t.change.Principal.ID] = gained
		}
		if !lost.IsEmpty() {
			out.lost[t.change.Principal.ID] = lost
		}
		out.odd.gained = out.odd.gained.Union(gained.Minus(planned(t.change.Grant)))
		out.odd.lost = out.odd.lost.Union(before.Minus(after).Minus(planned(t.change.Revoke)))
	}
	return out
}

// about returns the groups other than the principal itself that gained what it did not
// inherit, and those that lost what it did.
func (m *touched) about(id mstrapi.ObjectID, inherited planner.Set) (reach, deprive []mstrapi.ObjectID) {
	for g, gained := range m.gained {
		if g != id && !gained.Minus(inherited).IsEmpty() {
			reach = append(reach, g)
		}
	}
	for g, lost := range m.lost {
		if g != id && !lost.Intersect(inherited).IsEmpty() {
			deprive = append(deprive, g)
		}
	}
	return reach, deprive
}

// all returns what is in some of the sets.
func all(sets map[mstrapi.ObjectID]planner.Set) (out planner.Set) {
	for _, s := range sets {
		out = out.Union(s)
	}
	return out
}

// lookAgain reads everybody whom the waves or the commands may have touched after
// the last reading.
func (r *run) lookAgain(commands []CommandResult) {
	m := r.touched()
	r.touches = m
	ran := slices.ContainsFunc(commands, func(c CommandResult) bool { return c.Outcome != CommandNotAttempted })
	r.ran = ran
	watched := r.watched()
	var list, unsure []*visit
	consider := func(v *visit, seenIn wave) {
		switch {
		case r.died, // what it read last may be long ago
			len(v.awaits) > 0,
			ran && v.principal.Kind == mstrapi.User && r.commandTouches(v.last):
			list = append(list, v)
		case v.last != nil:
			reach, deprive := m.about(v.principal.ID, v.last.Inherited)
			if len(deprive) > 0 || seenIn != users && len(reach) > 0 {
				unsure = append(unsure, v)
			}
		}
	}
	for _, t := range r.tasks {
		if !t.gone && t.res.After != nil {
			consider(&visit{
				principal: t.change.Principal, wanted: t.change.Wanted, last: t.res.After,
				settled: t.wrote && !(ran && t.change.Principal.Kind == mstrapi.User), relied: t.relied,
			}, t.seenIn)
		}
	}
	if r.o.InSync != nil {
		for p := range r.o.InSync {
			if _, changed := r.byID[p.Principal.ID]; changed || p.Outcome != InSync && p.After == nil {
				continue
			}
			v := &visit{principal: p.Principal, wanted: r.plan.Unchanged(p.Principal.ID), last: p.After}
			if w := watched[p.Principal.ID]; w != nil {
				v.wanted, v.awaits = &w.Wanted, w.Awaits
			}
			consider(v, 0)
		}
	} else {
		// Of those in a saved plan it is not known what they held.
		brought, taken := all(m.gained), all(m.lost)
		for i := range r.plan.Watch {
			w := &r.plan.Watch[i]
			if len(w.Awaits) == 0 && !ran && w.Wanted.Forbidden.Intersect(brought).IsEmpty() && w.Wanted.Listed.Intersect(taken).IsEmpty() {
				continue
			}
			for _, p := range w.Principals {
				v := &visit{principal: p, wanted: &w.Wanted, awaits: w.Awaits}
				if r.o.Saved {
					v.claimed, v.principal = &p, planner.Unnamed(p)
				}
				list = append(list, v)
			}
		}
	}
	list = append(list, r.below(unsure, &m)...)
	slices.SortFunc(list, func(a, b *visit) int { return a.principal.Compare(&b.principal) })
	for _, v := range list {
		r.again[v.principal.ID] = v
	}
	concurrently(r.o.Concurrency, slices.Values(list), r.visit)
}

// below returns those of list who belong to one of the groups that gained what
// they did not inherit, or lost what they did. The members are asked for where that takes fewer requests
// than reading everybody on the list; if they cannot be read everybody counts.
func (r *run) below(list []*visit, m *touched) []*visit {
	if len(list) <= 2*(len(m.gained)+len(m.lost)) || r.stopped() {
		return list
	}
	members := make(map[mstrapi.ObjectID]map[mstrapi.ObjectID]bool)
	deep := slices.ContainsFunc(list, func(v *visit) bool { return v.principal.Kind == mstrapi.Group })
	of := func(group mstrapi.ObjectID) map[mstrapi.ObjectID]bool { // nil: not known
		known, ok := members[group]
		if !ok {
			var err error
			if known, err = r.membersOf(group, deep); err != nil {
				r.o.Logger.Warn("members of a changed group not read, so everybody is read again", "group", string(group), "error", err)
			}
			members[group] = known
		}
		return known
	}
	var out []*visit
	for _, v := range list {
		reach, deprive := m.about(v.principal.ID, v.last.Inherited)
		if slices.ContainsFunc(append(reach, deprive...), func(group mstrapi.ObjectID) bool {
			if group == mstrapi.EveryoneGroup && v.principal.Kind == mstrapi.User {
				return true
			}
			in := of(group)
			return in == nil || in[v.principal.ID]
		}) {
			out = append(out, v)
		}
	}
	return out
}

// membersOf returns who is in the group at any depth; with deep also the groups.
func (r *run) membersOf(group mstrapi.ObjectID, deep bool) (map[mstrapi.ObjectID]bool, error) {
	in := make(map[mstrapi.ObjectID]bool)
	todo := []mstrapi.ObjectID{group}
	for len(todo) > 0 {
		id := todo[0]
		todo = todo[1:]
		// A flat list may leave the groups out.
		rows, err := r.s.Members(id, !deep).All(r.ctx)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.Kind == mstrapi.Group && !in[row.ID] && row.ID != group {
				todo = append(todo, row.ID)
			}
			in[row.ID] = true
		}
	}
	return in, nil
}

// visit reads v, and reads it again while what is wrong may be a reading that
// lags behind the run's writes.
func (r *run) visit(v *visit) {
	if r.halted() {
		v.stopped = r.stopped()
		v.err = errNotReadAgain
		return
	}
	if v.claimed != nil {
		id := planner.IdentifyOne(r.ctx, r.look, r.o.Actor.ID, *v.claimed)
		switch {
		case id.Err == nil:
			v.principal = id.Principal
		case !id.Gone: // which is told below
			r.noteOutage(id.Err)
			v.err = id.Err
			return
		}
		if id.Mismatch {
			r.tell(id.Finding(*v.claimed))
		}
	}
	r.patiently(r.ctx, func() bool {
		o, err := planner.ReadPrincipal(r.ctx, r.look, v.principal.Kind, v.principal.ID, r.level)
		if err != nil {
			r.noteOutage(err)
			if v.gone = isGone(r.ctx, r.look, r.o.Actor, v.principal, err); v.gone {
				r.tell(goneFinding(v.principal, 0))
			}
			v.err = err
			return true
		}
		v.sets = r.sets(o)
		missing, surplus := v.wanted.Judge(v.sets.Direct, v.sets.Inherited)
		steady := !v.settled || v.sets.Direct.Equal(v.last.Direct)
		return steady && missing.Union(surplus).IsEmpty() && !r.mayHide(v)
	})
}

// mayHide reports whether the reading of v, if it is older than what the run did,
// hides that something is missing or against the policy: it still shows as
// inherited what a group lost, or does not show what a group gained, without the
// plan, which foresees what its own changes bring about; or it does not show what a
// command may have granted.
func (r *run) mayHide(v *visit) bool {
	if v.wanted == nil {
		return false
	}
	lost, came := r.touches.odd.lost.Intersect(v.sets.Inherited), r.touches.odd.gained
	if v.last != nil {
		lost = lost.Intersect(v.last.Inherited)
	}
	if !lost.Intersect(v.wanted.Listed.Union(v.relied)).Minus(v.sets.Direct).IsEmpty() {
		return true
	}
	if !came.Intersect(v.wanted.Forbidden).Minus(v.wanted.Endured).Minus(v.sets.Inherited).IsEmpty() {
		return true
	}
	if !r.ran || v.principal.Kind != mstrapi.User || !r.commandTouches(v.sets) {
		return false
	}
	gifts := r.gifts().Minus(v.sets.Direct)
	if v.wanted.Exclusive {
		return !gifts.Minus(v.wanted.Listed).IsEmpty()
	}
	return !gifts.Intersect(v.wanted.Forbidden).IsEmpty()
}

// errNotReadAgain is why a principal is unknown that a run which was stopped may
// have touched.
var errNotReadAgain = fmt.Errorf("it may have changed after it was read, and was not read again: %w", errStopped)

// conclude puts what was read into the result of a principal that the plan does
// not change, and reports whether it belongs into the report.
func (v *visit) conclude(r *run, res *Result) bool {
	switch {
	case v.gone:
		return false
	case v.err != nil:
		res.Outcome, res.After = UnknownState, nil
		res.Error = reportError("read when the run was done", v.err)
		return true
	}
	res.After = v.sets
	if res.Outcome != InSync {
		return true // what is wanted of it could not be decided
	}
	missing, surplus := v.wanted.Judge(v.sets.Direct, v.sets.Inherited)
	if waits := v.unverified(r); !missing.IsEmpty() && surplus.IsEmpty() && len(waits) > 0 {
		res.Outcome = HeldBack
		res.Error = &Error{Message: "a grant on a group was to give it " + nameAwaited(waits) + ", and is not verified"}
		return true
	}
	if !missing.Union(surplus).IsEmpty() {
		res.Outcome = Drifted
		res.Error = &Error{Message: r.wrongly(missing, surplus)}
		r.tellBroken(v.principal, v.wanted.Broken(v.sets.Direct, v.sets.Inherited))
	}
	return true
}

// tellBroken adds a finding for each rule that p breaks now although the plan did
// not make it so, and counts it for the rule.
func (r *run) tellBroken(p planner.Principal, broken []planner.Denied) {
	for _, d := range broken {
		f := planner.Finding{
			Code: planner.CodeRuleViolation, Severity: planner.SeverityError, Principal: &p,
			Message: fmt.Sprintf("rule %s: %s holds privilege %s since this run, which the plan did not foresee", clean.Quote(d.Rule), p.Label(), r.names(d.Privileges)),
		}
		if ids := d.Privileges.IDs(); len(ids) == 1 {
			f.Privilege = &planner.PrivilegeRef{ID: ids[0], Name: cmp.Or(r.nameOf(ids[0]), ids[0].String())}
		}
		r.tell(f)
		r.mu.Lock()
		if r.broken == nil {
			r.broken = make(map[string]int)
		}
		r.broken[d.Rule]++
		r.mu.Unlock()
	}
}

// rules returns what became of the rules: what the plan says of them, and what
// was found broken since.
func (r *run) rules(planned []planner.RuleResult) []planner.RuleResult {
	out := slices.Clone(planned)
	for i := range out {
		out[i].Violations += r.broken[out[i].Name]
	}
	return out
}

// result is that of a principal that the report would not list otherwise.
func (v *visit) result(at time.Time) Result {
	return Result{Principal: v.principal, Outcome: InSync, StartedAt: at, Grant: []planner.PlannedPrivilege{}, Revoke: []planner.PlannedPrivilege{}}
}

// unverified returns what v awaits of groups none of whose grants was seen.
func (v *visit) unverified(r *run) []planner.Awaited {
	return slices.DeleteFunc(slices.Clone(v.awaits), func(a planner.Awaited) bool {
		return slices.ContainsFunc(a.Grants, func(id mstrapi.ObjectID) bool {
			t := r.byID[id]
			return t != nil && t.verified.Has(a.Privilege.ID)
		})
	})
}

// watched returns what the plan says of principals without a change of their own.
func (r *run) watched() map[mstrapi.ObjectID]*planner.Watch {
	out := make(map[mstrapi.ObjectID]*planner.Watch)
	for i := range r.plan.Watch {
		for _, p := range r.plan.Watch[i].Principals {
			out[p.ID] = &r.plan.Watch[i]
		}
	}
	return out
}

func nameAwaited(list []planner.Awaited) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = fmt.Sprintf("privilege %d %s", a.Privilege.ID, clean.Quote(a.Privilege.Name))
	}
	return strings.Join(names, ", ")
}

// conclude judges everybody who was written by the last reading.
func (r *run) conclude() {
	for _, t := range r.tasks {
		if v := r.again[t.change.Principal.ID]; v != nil && !t.gone {
			switch {
			case v.gone:
				t.gone = true
			case v.err == nil:
				t.res.After = v.sets
			default:
				t.res.After = nil
				if t.res.Outcome == Applied {
					t.stopped = t.stopped || v.stopped
					r.end(t, Unverified, reportError("read when the run was done", v.err))
				} else if t.res.Outcome == InSync {
					r.end(t, UnknownState, reportError("read when the run was done", v.err))
				}
			}
		}
		if t.gone || t.res.After == nil {
			continue
		}
		after := t.res.After
		if t.wrote && (t.res.Outcome == Applied || t.res.Outcome == HeldBack) {
			t.res.Came = after.Direct.Minus(t.expected).IDs()
			t.res.Went = t.expected.Minus(after.Direct).IDs()
		}
		if t.res.Outcome != Applied && t.res.Outcome != InSync {
			continue
		}
		missing, surplus := t.change.Wanted.Judge(after.Direct, after.Inherited)
		if t.change.Wanted == nil {
			missing, surplus = planned(t.change.Grant).Minus(after.Direct), planned(t.change.Revoke).Intersect(after.Direct)
		}
		// What was revoked because it was inherited as well.
		missing = missing.Union(t.relied.Minus(after.Inherited).Minus(after.Direct))
		if !missing.Union(surplus).IsEmpty() {
			r.end(t, Drifted, &Error{Message: r.wrongly(missing, surplus)})
			r.tellBroken(t.change.Principal, t.change.Wanted.Broken(after.Direct, after.Inherited))
		}
	}
	r.tellUnexpected()
}

// wrongly says what is missing and what is there against the policy.
func (r *run) wrongly(missing, surplus planner.Set) string {
	var parts []string
	if !missing.IsEmpty() {
		parts = append(parts, "lacks "+r.names(missing))
	}
	if !surplus.IsEmpty() {
		parts = append(parts, "holds, against the policy, "+r.names(surplus))
	}
	return "when the run ended it " + strings.Join(parts, ", and ")
}

// maxNamed bounds how many privileges a message names.
const maxNamed = 10

// names names privileges as far as their names are known.
func (r *run) names(s planner.Set) string {
	var out []string
	for id := range s.All() {
		if len(out) == maxNamed {
			out = append(out, fmt.Sprintf("and %d more", s.Len()-maxNamed))
			break
		}
		if name := r.nameOf(id); name != "" {
			out = append(out, fmt.Sprintf("%d %s", id, clean.Quote(name)))
		} else {
			out = append(out, id.String())
		}
	}
	return strings.Join(out, ", ")
}

// nameOf returns the name of a privilege, or "".
func (r *run) nameOf(id mstrapi.PrivilegeID) string {
	if i, ok := slices.BinarySearchFunc(r.o.Catalogue, id, func(p mstrapi.Privilege, id mstrapi.PrivilegeID) int { return cmp.Compare(p.ID, id) }); ok {
		return r.o.Catalogue[i].Name
	}
	for i := range r.plan.Changes {
		for _, list := range [][]planner.PlannedPrivilege{r.plan.Changes[i].Grant, r.plan.Changes[i].Revoke} {
			for _, p := range list {
				if p.ID == id {
					return p.Name
				}
			}
		}
	}
	return ""
}

// compareFindings sorts what a run found by principal, code and privilege.
func compareFindings(a, b planner.Finding) int {
	principal := func(f *planner.Finding) planner.Principal {
		if f.Principal == nil {
			return planner.Principal{Kind: mstrapi.Group}
		}
		return *f.Principal
	}
	privilege := func(f *planner.Finding) mstrapi.PrivilegeID {
		if f.Privilege == nil {
			return 0
		}
		return f.Privilege.ID
	}
	p, q := principal(&a), principal(&b)
	return cmp.Or(p.Compare(&q), cmp.Compare(a.Code, b.Code), cmp.Compare(privilege(&a), privilege(&b)), cmp.Compare(a.Message, b.Message))
}

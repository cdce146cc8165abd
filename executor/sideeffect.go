package executor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"privsync/mstrapi"
	"privsync/planner"
)

// tellUnexpected adds the findings about what came and went although nobody
// asked for it.
func (r *run) tellUnexpected() {
	pairs := make(map[pair]*together)
	for _, t := range r.tasks {
		if t.gone || len(t.res.Came)+len(t.res.Went) == 0 {
			continue
		}
		r.along(t, pairs)
		if t.res.Outcome == Drifted {
			continue // its error says so
		}
		who := t.change.Principal
		var parts []string
		for _, part := range []struct {
			list []mstrapi.PrivilegeID
			verb string
		}{{t.res.Came, "came"}, {t.res.Went, "went"}} {
			if len(part.list) > 0 {
				parts = append(parts, r.names(planner.SetOf(part.list...))+" "+part.verb)
			}
		}
		r.tell(planner.Finding{
			Code: planner.CodeUnexpectedChange, Severity: planner.SeverityWarning, Principal: &who,
			Message: fmt.Sprintf("%s: %s while this run wrote, which it did not ask for: another administrator or the server itself did it", who.Label(), strings.Join(parts, ", and ")),
		})
	}
	for _, p := range slices.SortedFunc(maps.Keys(pairs), func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.along, b.along), cmp.Compare(a.with, b.with))
	}) {
		ref := planner.PrivilegeRef{ID: p.along, Name: cmp.Or(r.nameOf(p.along), p.along.String())}
		var declare []string
		for id := range pairs[p].with.All() {
			needing, needed := id.String(), p.along.String()
			if p.revoked {
				needing, needed = needed, needing
			}
			declare = append(declare, fmt.Sprintf("prerequisites: [{privilege: %s, needs: [%s]}]", needing, needed))
		}
		what, among := "granted", ""
		if p.revoked {
			what = "revoked"
		}
		if len(declare) > 1 {
			among = "one of "
		}
		r.tell(planner.Finding{
			Code: planner.CodeSideEffect, Severity: planner.SeverityWarning, Privilege: &ref,
			Message: fmt.Sprintf("privilege %s was %s along with %s%s on %d of the principals that were written, without being asked for; if the server does so by itself, declare it: %s",
				r.names(planner.SetOf(p.along)), what, among, r.names(pairs[p].with), pairs[p].principals, strings.Join(declare, " or ")),
		})
	}
}

// pair is a privilege that came or went along with one of those that a run wrote.
type pair struct {
	along   mstrapi.PrivilegeID
	with    string // the numbers of those that may be the cause
	revoked bool   // it went when they were revoked
}

// together is on how many principals a pair was seen.
type together struct {
	with       planner.Set
	principals int
}

// maxCauses bounds how many privileges a finding names as the possible cause.
const maxCauses = 5

// along counts what came with a grant, or went with a revoke, other than what the
// policy declares and what a metadata command grants.
func (r *run) along(t *task, pairs map[pair]*together) {
	granted, revoked := planner.SetOf(t.res.Granted...), planner.SetOf(t.res.Revoked...)
	known := r.needed(granted)
	if r.ran && t.change.Principal.Kind == mstrapi.User {
		known = known.Union(r.gifts())
	}
	count := func(along mstrapi.PrivilegeID, causes planner.Set, wentAlong bool) {
		if n := causes.Len(); n > 0 && n <= maxCauses {
			p := pair{along, fmt.Sprint(causes.IDs()), wentAlong}
			if pairs[p] == nil {
				pairs[p] = &together{with: causes}
			}
			pairs[p].principals++
		}
	}
	for _, came := range t.res.Came {
		if !known.Has(came) {
			count(came, r.causes(granted, func(after *Sets) bool { return after.Direct.Has(came) }, false), false)
		}
	}
	for _, went := range t.res.Went {
		count(went, r.causes(revoked, func(after *Sets) bool { return !after.Direct.Has(went) }, true), true)
	}
}

// causes returns those of written that everybody who was granted them (or lost
// them) shows the effect of.
func (r *run) causes(written planner.Set, shows func(*Sets) bool, revoked bool) planner.Set {
	for _, t := range r.tasks {
		if t.res.After == nil || shows(t.res.After) {
			continue
		}
		did := t.res.Granted
		if revoked {
			did = t.res.Revoked
		}
		written = written.Minus(planner.SetOf(did...))
	}
	return written
}

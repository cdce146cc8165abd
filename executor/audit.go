package executor

import (
	"iter"
	"slices"
	"strconv"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// Audit returns the report of a run that only looked: every principal that the
// policy covers with what it holds and why. A principal is [Drifted] if plan
// changes it, if it holds an inherited privilege that is forbidden to it, or if
// it breaks a rule of severity error; its Grant and Revoke are what would mend
// it. state is what plan was made from. Nothing is changed.
//
// Of a state of everybody ([planner.ObserveOptions]) everybody is listed. Whoever plan changes although no entry covers it (`unlisted: revoke`) is listed
// as drifted, too. A principal that could not be judged is unknown, whatever the
// cause.
//
// The run's outcome is in-sync, drifted, or partial if something was not found,
// not read, or could not be judged.
func Audit(state *planner.State, plan *planner.Plan, o Options) *Report {
	o.Catalogue = state.Catalogue
	return audit(alsoWrong(state, plan), plan, o)
}

// alsoWrong yields the principals that the policy covers, and those whom no entry covers and of whom the audit has
// something to say: everybody was asked for, plan changes them, or a rule of severity error is broken.
func alsoWrong(state *planner.State, plan *planner.Plan) iter.Seq[seen] {
	return func(yield func(seen) bool) {
		told := make(map[mstrapi.ObjectID]bool)
		tell := func(o *planner.Observed) bool {
			if o == nil || told[o.Principal.ID] {
				return true
			}
			told[o.Principal.ID] = true
			return yield(seen{o, state.Held(o)})
		}
		for _, all := range []iter.Seq[*planner.Observed]{state.Principals(), state.Everybody()} {
			for o := range all {
				if !tell(o) {
					return
				}
			}
		}
		for i := range plan.Changes {
			if !tell(state.Lookup(plan.Changes[i].Principal.ID)) {
				return
			}
		}
		for i := range plan.Findings {
			if f := &plan.Findings[i]; f.Principal != nil && (brokenRule(*f) || readFailed(*f)) && !tell(state.Lookup(f.Principal.ID)) {
				return
			}
		}
	}
}

// InSyncOf yields the principals that the policy covers and plan does not
// change, for [Options].InSync: in-sync, or unknown if they could not be read.
func InSyncOf(state *planner.State, plan *planner.Plan) iter.Seq[Result] {
	return func(yield func(Result) bool) {
		changed := make(map[mstrapi.ObjectID]bool, len(plan.Changes))
		for i := range plan.Changes {
			changed[plan.Changes[i].Principal.ID] = true
		}
		undecided := undecidedIn(plan, plan.Findings)
		for o := range state.Principals() {
			if changed[o.Principal.ID] {
				continue
			}
			res := resultOf(o, nil)
			res.doubt(undecided)
			if !yield(res) {
				return
			}
		}
	}
}

// seen is one principal as it was observed, with what it holds and from where; held is
// nothing to go by if it could not be read.
type seen struct {
	*planner.Observed
	held iter.Seq[mstrapi.Held]
}

// resultOf is the result of a principal that was only looked at.
func resultOf(o *planner.Observed, sources []PrivilegeSource) Result {
	res := Result{Principal: o.Principal, Outcome: InSync, StartedAt: o.At, Grant: []planner.PlannedPrivilege{}, Revoke: []planner.PlannedPrivilege{}}
	if o.Err != nil {
		res.Outcome = UnknownState
		res.Error = reportError("", o.Err)
		return res
	}
	res.Before = &Sets{Direct: o.Direct, Inherited: o.Inherited, Sources: sources}
	res.After = res.Before
	return res
}

// undecidedIn returns why principals could not be judged: findings say that
// something could not be read, also of those that were read themselves, and of
// which a change is not planned because it depends on another reading; or what the
// policy wants of them is not known.
func undecidedIn(plan *planner.Plan, findings []planner.Finding) func(mstrapi.ObjectID) (string, bool) {
	read := make(map[mstrapi.ObjectID]string)
	for i := range findings {
		f := &findings[i]
		if f.Code != planner.CodeReadFailed || f.Principal == nil || f.Principal.ID == "" {
			continue
		}
		if _, known := read[f.Principal.ID]; !known {
			read[f.Principal.ID] = f.Message
		}
	}
	return func(id mstrapi.ObjectID) (string, bool) {
		if why, ok := read[id]; ok {
			return why, true
		}
		return plan.Undecided(id)
	}
}

// doubt makes a principal that seems to be in sync unknown if it is undecided.
func (r *Result) doubt(undecided func(mstrapi.ObjectID) (string, bool)) {
	if why, ok := undecided(r.Principal.ID); ok && r.Outcome == InSync {
		r.Outcome = UnknownState
		r.Error = &Error{Message: clean.Clip(why, maxErrorText)}
	}
}

func audit(all iter.Seq[seen], plan *planner.Plan, o Options) *Report {
	o.Command = "audit"
	o = o.withDefaults(plan)
	report := newReport(plan, o)
	report.Rules, report.Exceptions = orEmpty(plan.Rules), plan.Exceptions()
	changes := make(map[mstrapi.ObjectID]*planner.Change, len(plan.Changes))
	for i := range plan.Changes {
		changes[plan.Changes[i].Principal.ID] = &plan.Changes[i]
	}
	wrong := make(map[mstrapi.ObjectID]bool)
	for i := range report.Findings {
		if f := &report.Findings[i]; inheritedForbidden(*f) || brokenRule(*f) {
			for _, id := range f.Concerned() {
				wrong[id] = true
			}
		}
	}
	undecided := undecidedIn(plan, report.Findings)
	shared := make(sourcePool)
	for s := range all {
		var sources []PrivilegeSource
		if s.Err == nil {
			sources = shared.intern(s.held)
		}
		res := resultOf(s.Observed, sources)
		if s.Err == nil {
			c := changes[s.Principal.ID]
			if c != nil {
				res.Grant, res.Revoke = orEmpty(c.Grant), orEmpty(c.Revoke)
			}
			if c != nil || wrong[s.Principal.ID] {
				res.Outcome = Drifted
			}
		}
		res.doubt(undecided)
		if res.StartedAt.IsZero() {
			res.StartedAt = o.StartedAt
		}
		report.Principals = append(report.Principals, res)
	}
	slices.SortStableFunc(report.Principals, func(a, b Result) int { return a.Principal.Compare(&b.Principal) })
	report.count(o, 0)
	missing, surplus := 0, 0
	for i := range report.Principals {
		missing += len(report.Principals[i].Grant)
		surplus += len(report.Principals[i].Revoke)
	}
	report.Summary.Missing, report.Summary.Surplus = &missing, &surplus
	report.Run.Outcome = RunInSync
	switch {
	case report.Summary.Unknown > 0, !plan.Complete, unresolved(report.Findings):
		report.Run.Outcome = RunPartial
	case plan.Policy.Name == "" && plan.Policy.Digest == "":
		// Without a policy nothing is against it; findings say what is wrong.
	case report.Summary.Drifted > 0, slices.ContainsFunc(report.Findings, func(f planner.Finding) bool {
		return drift(f) || brokenRule(f)
	}):
		// A broken rule counts even where its principal is not covered.
		report.Run.Outcome = RunDrifted
	}
	if o.Stop.Err() != nil {
		report.Run.Outcome = RunInterrupted
	}
	return report
}

// sourcePool shares equal lists of sources: most users hold what they hold
// through the same groups as many others, and 100,000 lists of 60 entries would
// not fit into memory.
type sourcePool map[string][]PrivilegeSource

func (p sourcePool) intern(held iter.Seq[mstrapi.Held]) []PrivilegeSource {
	var key []byte
	var list []PrivilegeSource
	note := func(kind string, ref mstrapi.ObjectRef) {
		key = strconv.AppendQuote(append(append(key, kind...), ref.ID...), ref.Name)
	}
	for h := range held {
		key = strconv.AppendBool(strconv.AppendBool(strconv.AppendInt(key, int64(h.ID), 10), h.Direct), h.Other)
		for _, g := range h.Groups {
			note(" group ", g)
		}
		for _, r := range h.Roles {
			note(" role ", r.Role)
			note(" in ", r.Project)
		}
		list = append(list, PrivilegeSource{Privilege: h.ID, Direct: h.Direct, Groups: orEmpty(h.Groups), Roles: h.Roles, Other: h.Other})
	}
	if old, ok := p[string(key)]; ok {
		return old
	}
	p[string(key)] = list
	return list
}

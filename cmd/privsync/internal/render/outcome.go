package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/executor"
)

// outcomeView is what views show of an outcome of principals.
type outcomeView struct {
	executor.Outcome
	style style
	said  string // a sentence's worth of words
	n     int    // how many have it
}

// word is the outcome as a word of a sentence.
func (o outcomeView) word() string { return strings.ReplaceAll(string(o.Outcome), "-", " ") }

// outcomesByUrgency are the outcomes in the order in which a report's principals are
// shown: what needs a person first.
func outcomesByUrgency(s executor.Summary) []outcomeView {
	return []outcomeView{
		{executor.Failed, alarm, "the server refused or an error ended it", s.Failed},
		{executor.Unverified, alarm, "written, but reading it back does not show what was planned", s.Unverified},
		{executor.UnknownState, alarm, "could not be read completely", s.Unknown},
		{executor.Stale, yellow, "changed since the plan was made; not touched", s.Stale},
		{executor.HeldBack, yellow, "what a change relies on is not verified, or the run ended between its waves", s.HeldBack},
		{executor.NotAttempted, yellow, "the run ended before its turn", s.NotAttempted},
		{executor.Drifted, yellow, "differs from the policy", s.Drifted},
		{executor.Applied, green, "done and verified", s.Applied},
		{executor.InSync, green, "as the policy says", s.InSync},
	}
}

// outcomeCounts are the outcomes in the order in which their numbers are shown.
func outcomeCounts(s executor.Summary) []outcomeView {
	order := []executor.Outcome{
		executor.InSync, executor.Applied, executor.Drifted, executor.Failed, executor.Unverified, executor.Stale, executor.HeldBack, executor.NotAttempted, executor.UnknownState,
	}
	out := outcomesByUrgency(s)
	slices.SortFunc(out, func(a, b outcomeView) int {
		return cmp.Compare(slices.Index(order, a.Outcome), slices.Index(order, b.Outcome))
	})
	return out
}

// viewOf is what is shown of an outcome of r, which may be of an audit without a policy.
// One that this version does not know has no words.
func viewOf(r *executor.Report, o executor.Outcome) outcomeView {
	for _, v := range outcomesByUrgency(r.Summary) {
		if v.Outcome == o {
			if o == executor.InSync && withoutPolicy(r.Policy) {
				v.said = "no policy wants anything of them"
			}
			return v
		}
	}
	return outcomeView{Outcome: o, style: green}
}

// byOutcome gives the indexes of the principals of each outcome, in order.
func byOutcome(r *executor.Report) map[executor.Outcome][]int {
	m := make(map[executor.Outcome][]int)
	for i := range r.Principals {
		o := r.Principals[i].Outcome
		m[o] = append(m[o], i)
	}
	return m
}

// occurring gives the outcomes that occur in groups, the urgent first. One that this
// version does not know comes before all others rather than being lost.
func occurring(groups map[executor.Outcome][]int) []executor.Outcome {
	urgency := outcomesByUrgency(executor.Summary{})
	place := func(o executor.Outcome) int {
		return slices.IndexFunc(urgency, func(v outcomeView) bool { return v.Outcome == o })
	}
	return slices.SortedFunc(maps.Keys(groups), func(a, b executor.Outcome) int { return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b)) })
}

func runStyle(o executor.RunOutcome) style {
	switch o {
	case executor.RunInSync, executor.RunSucceeded:
		return green
	case executor.RunPartial, executor.RunDrifted:
		return yellow
	}
	return alarm
}

// isAudit reports whether r only looked: then it says what everybody holds.
func isAudit(r *executor.Report) bool { return r.Run.Command == "audit" }

// runOutcome is the verdict on all, in the report's own word.
func runOutcome(r *executor.Report) string {
	return Clean(string(r.Run.Outcome)) + when(r.Run.Recovered, " (recovered)")
}

// changeTotals says what an apply did, or what an audit found.
func changeTotals(r *executor.Report) string {
	if !isAudit(r) {
		return clean.Count(r.Summary.Grants, "grant") + " and " + clean.Count(r.Summary.Revokes, "revoke") + " verified"
	}
	missing, surplus := drift(r)
	return fmt.Sprintf("%d missing, %d surplus", missing, surplus)
}

// drift counts what the drifted principals lack and what they have too much.
func drift(r *executor.Report) (missing, surplus int) {
	if s := r.Summary; s.Missing != nil && s.Surplus != nil {
		return *s.Missing, *s.Surplus
	}
	for i := range r.Principals {
		if p := &r.Principals[i]; p.Outcome == executor.Drifted {
			missing += len(p.Grant)
			surplus += len(p.Revoke)
		}
	}
	return missing, surplus
}

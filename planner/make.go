package planner

import (
	"cmp"
	"slices"
	"time"

	"privsync/mstrapi"
	"privsync/policy"
)

// DefaultTTL is how long a saved plan may be applied where [MakeOptions] does
// not say.
const DefaultTTL = 24 * time.Hour

// MakeOptions are what a plan needs besides the policy and the state. The zero
// value makes a plan that is valid for [DefaultTTL]. The moment that a run judges at
// is the state's: what was read for one day is not decided about on the next.
type MakeOptions struct {
	Tool   Tool
	TTL    time.Duration
	Maker  string      // see [Plan]
	Source *Provenance // see [Plan]
}

// Make computes what would have to change so that the server in st matches pol.
// It is pure: the same input gives the same plan, and neither pol nor st
// changes. st must have been observed for pol (see [Observe]); otherwise the
// plan is incomplete and changes nothing. The plan is not sealed: see
// [Plan.Seal].
func Make(pol *policy.Policy, st *State, o MakeOptions) *Plan { return draftOf(pol, st).plan(o) }

// draftOf decides what [Make] puts into a plan.
func draftOf(pol *policy.Policy, st *State) *draft {
	return evaluate(compile(pol, newPrivilegeIndex(st.Catalogue, st.Level), st.Now), st)
}

// plan writes down what was decided.
func (d *draft) plan(o MakeOptions) *Plan {
	pol, st := d.c.pol, d.st
	created := st.Now.UTC().Truncate(time.Second)
	plan := &Plan{
		Format:      PlanFormat,
		Tool:        o.Tool,
		Maker:       o.Maker,
		Source:      o.Source,
		CreatedAt:   created,
		ExpiresAt:   created.Add(cmp.Or(o.TTL, DefaultTTL)),
		Environment: st.Environment,
		Actor:       st.Actor,
		Policy:      RefOf(pol, st.Now),
		Scope:       Scope{Level: st.Level},
		Safety:      d.safety(),
		Changes:     d.changes,
		Findings:    append(d.allFindings(), missingMap(st.licences)...),
		Commands:    make([]string, 0, len(pol.Commands)),

		Prerequisites: d.c.prerequisites(),
	}
	for _, cmd := range pol.Commands {
		plan.Commands = append(plan.Commands, cmd.Name)
	}
	plan.Findings = append(plan.Findings, d.commandFindings(plan)...)
	slices.SortStableFunc(plan.Findings, compareFindings)
	d.watch(plan)
	plan.Licences = d.licences
	plan.MarkAdministrative(pol)
	plan.Coverage = d.coverage()
	if d.complete {
		plan.Rules = d.rules.results(plan.Coverage)
	}
	plan.undecided = d.undecided()
	plan.exceptions = d.c.exceptions(st)
	plan.Complete = !slices.ContainsFunc(plan.Findings, func(f Finding) bool { return f.Code == CodeReadFailed })
	plan.Summary = d.summary(plan)
	return plan
}

func (d *draft) safety() Safety {
	s := Safety{Protected: []Principal{}, ActorLoses: d.c.cat.refs(d.lost), ActorRisks: d.risks}
	for _, o := range d.st.covered {
		if o.Err == nil {
			s.ObservedDirect += o.Direct.Len()
		}
	}
	if limits := d.c.pol.Safety; limits != nil {
		if limits.MaxRevokes != nil {
			s.MaxRevokes = limits.MaxRevokes.String()
		}
		if limits.MaxChangedPrincipals != nil {
			s.MaxChangedPrincipals = limits.MaxChangedPrincipals.String()
		}
		if limits.Approval != nil {
			s.Approval = approvalOf(limits.Approval, d.c.cat)
		}
		s.Licences = licenceLimits(limits.Licences)
		s.ServerLock = limits.ServerLock
		s.Protected = append(s.Protected, d.st.protected...)
		slices.SortFunc(s.Protected, func(a, b Principal) int { return a.Compare(&b) })
	}
	return s
}

func (d *draft) summary(plan *Plan) Summary {
	s := Summary{Principals: len(d.st.covered) + d.st.lostNames, Unknown: d.st.lostNames, Changed: len(plan.Changes)}
	changed := make(map[mstrapi.ObjectID]bool, len(plan.Changes))
	for i := range plan.Changes {
		changed[plan.Changes[i].Principal.ID] = true
	}
	for _, o := range d.st.covered {
		if _, undecided := plan.undecided[o.Principal.ID]; o.Err != nil || undecided && !changed[o.Principal.ID] {
			s.Unknown++
		}
	}
	for _, c := range plan.Changes {
		s.Grants += len(c.Grant)
		s.Revokes += len(c.Revoke)
		if o := d.st.byID[c.Principal.ID]; o != nil && !o.Covered {
			s.Principals++
		}
	}
	s.InSync = s.Principals - s.Changed - s.Unknown
	s.Impact = d.impact
	s.Findings = CountFindings(plan.Findings)
	return s
}

// CountFindings counts findings by severity. One of a severity that no version of the
// program knows counts as an info.
func CountFindings(findings []Finding) FindingCounts {
	var n FindingCounts
	for i := range findings {
		switch findings[i].Severity {
		case SeverityError:
			n.Error++
		case SeverityWarning:
			n.Warning++
		default:
			n.Info++
		}
	}
	return n
}

package planner

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// Guard is a limit that a plan exceeds. Guards are judged from the plan alone
// (see [Guards]), so that a saved plan can be judged again.
type Guard struct {
	Name      string      `json:"guard"`  // maxRevokes, maxChangedPrincipals, licences, protected, ownPrivilege
	Actual    string      `json:"actual"` // the number that was exceeded with
	Limit     string      `json:"limit"`
	Message   string      `json:"message"`   // names the number, the limit and how to allow it
	Offenders []Principal `json:"offenders"` // at most ten, the worst first
	Allowed   bool        `json:"allowed"`   // an explicit flag allowed it
}

// Names of the guards.
const (
	GuardMaxRevokes           = "maxRevokes"
	GuardMaxChangedPrincipals = "maxChangedPrincipals"
	GuardProtected            = "protected"
	GuardOwnPrivilege         = "ownPrivilege"
)

// Overrides are limits that flags set in place of the policy's. The zero value
// sets none. What is protected, and the session's own privilege, no flag gives
// up.
type Overrides struct {
	MaxRevokes           *policy.Limit // --max-revokes
	MaxChangedPrincipals *policy.Limit // --max-changed
	Licences             []string      // --allow-licences: products whose guard is open
}

// maxOffenders bounds the offenders of a guard.
const maxOffenders = 10

// Guards returns the limits that the plan exceeds, in a fixed order; none means
// that it may be applied. One that exceeds the policy's limit but not the one
// that a flag set is returned as Allowed, so that the report can tell. Only the
// guard of the session's own privilege holds without a safety section.
func Guards(p *Plan, o Overrides) []Guard {
	var out []Guard
	if g, ok := countGuard(GuardMaxRevokes, "--max-revokes", p.revokes(), p.Safety.MaxRevokes, o.MaxRevokes, p.Safety.ObservedDirect); ok {
		g.Offenders = p.worst(func(c *Change) int { return len(c.Revoke) })
		out = append(out, g)
	}
	if g, ok := countGuard(GuardMaxChangedPrincipals, "--max-changed", len(p.Changes), p.Safety.MaxChangedPrincipals, o.MaxChangedPrincipals, p.Summary.Principals); ok {
		g.Offenders = p.worst(func(c *Change) int { return len(c.Grant) + len(c.Revoke) })
		out = append(out, g)
	}
	out = append(out, p.licenceGuards(o.Licences)...)
	if g, ok := p.protectedGuard(); ok {
		out = append(out, g)
	}
	if g, ok := p.ownGuard(); ok {
		out = append(out, g)
	}
	return out
}

func (p *Plan) revokes() int {
	n := 0
	for _, c := range p.Changes {
		n += len(c.Revoke)
	}
	return n
}

// worst returns the principals with the highest weight above 0, in report order
// where equal.
func (p *Plan) worst(weight func(*Change) int) []Principal {
	type weighed struct {
		who    Principal
		weight int
	}
	var all []weighed
	for i := range p.Changes {
		if n := weight(&p.Changes[i]); n > 0 {
			all = append(all, weighed{p.Changes[i].Principal, n})
		}
	}
	slices.SortStableFunc(all, func(a, b weighed) int { return cmp.Compare(b.weight, a.weight) })
	out := make([]Principal, 0, min(len(all), maxOffenders))
	for _, w := range all[:min(len(all), maxOffenders)] {
		out = append(out, w.who)
	}
	return out
}

// countGuard judges a number by the policy's limit and by the one that a flag
// set. of is what a percent is of.
func countGuard(name, flag string, actual int, written string, override *policy.Limit, of int) (Guard, bool) {
	g := Guard{Name: name, Actual: strconv.Itoa(actual), Limit: written}
	over := false
	if written != "" {
		limit, err := policy.ParseLimit(written)
		if err != nil {
			g.Message = fmt.Sprintf("%s: the plan's limit %s cannot be read: make a new plan", name, clean.Quote(clean.Clip(written, 20)))
			return g, true
		}
		over = exceeds(actual, limit, of)
	}
	switch {
	case override == nil && !over, override != nil && !over && !exceeds(actual, *override, of):
		return g, false
	case override != nil && !exceeds(actual, *override, of):
		g.Allowed = true
		g.Message = fmt.Sprintf("%s: %d, more than the policy's limit of %s; allowed by %s %s", name, actual, limitText(written, of), flag, override)
		return g, true
	}
	whose := "the policy's limit"
	if override != nil {
		g.Limit = override.String()
		whose = "the limit that " + flag + " sets"
	}
	least := strconv.Itoa(actual)
	g.Message = fmt.Sprintf("%s: %d, more than %s of %s; look at the plan first, and only if all of it is meant allow it with %s %s or with safety: {%s: %s} in the policy",
		name, actual, whose, limitText(g.Limit, of), flag, least, name, least)
	return g, true
}

func limitText(limit string, of int) string {
	if strings.HasSuffix(limit, "%") {
		return fmt.Sprintf("%s of %d", limit, of)
	}
	return limit
}

func exceeds(actual int, l policy.Limit, of int) bool {
	if l.Percent {
		return int64(actual)*100 > int64(l.Number)*int64(of)
	}
	return actual > l.Number
}

func (p *Plan) protectedGuard() (Guard, bool) {
	g := Guard{Name: GuardProtected, Limit: "0", Offenders: []Principal{}}
	n := 0
	protected := make(map[mstrapi.ObjectID]bool, len(p.Safety.Protected))
	for _, q := range p.Safety.Protected {
		protected[q.ID] = true
	}
	for _, c := range p.Changes {
		if protected[c.Principal.ID] {
			n++
			if len(g.Offenders) < maxOffenders {
				g.Offenders = append(g.Offenders, c.Principal)
			}
		}
	}
	if n == 0 {
		return g, false
	}
	g.Actual = strconv.Itoa(n)
	g.Message = fmt.Sprintf("protected: %s would change, first of all %s; look at the plan first, and only if this is meant take it out of safety: {protected: …} in the policy, otherwise out of principals",
		clean.Count(n, "protected principal"), g.Offenders[0].Label())
	return g, true
}

func (p *Plan) ownGuard() (Guard, bool) {
	if n := len(p.Safety.ActorRisks); n > 0 && len(p.Safety.ActorLoses) == 0 {
		return Guard{
			Name: GuardOwnPrivilege, Actual: strconv.Itoa(n), Limit: "0", Offenders: slices.Clone(p.Safety.ActorRisks[:min(n, maxOffenders)]),
			Message: fmt.Sprintf("ownPrivilege: which privileges user %s, whose session this is, works with is not known (the catalogue has no %s), and something would be revoked from that user or from groups above it: from %s, first of all %s; name them with safety: {ownPrivileges: [NUMBER]} in the policy and give that with -f, or use another account. No flag allows this",
				clean.Quote(p.Actor.Name), clean.Quote(ManagerPrivilege), clean.Count(n, "principal"), p.Safety.ActorRisks[0].Label()),
		}, true
	}
	if len(p.Safety.ActorLoses) == 0 {
		return Guard{}, false
	}
	names := make([]string, len(p.Safety.ActorLoses))
	var lost Set
	for i, ref := range p.Safety.ActorLoses {
		names[i] = fmt.Sprintf("%d %s", ref.ID, clean.Quote(ref.Name))
		lost.Add(ref.ID)
	}
	g := Guard{Name: GuardOwnPrivilege, Actual: strconv.Itoa(len(names)), Limit: "0"}
	g.Offenders = p.worst(func(c *Change) int {
		n := 0
		for _, r := range c.Revoke {
			if lost.Has(r.ID) {
				n++
				if c.Principal.ID == p.Actor.ID {
					n += int(mstrapi.MaxPrivilegeID)
				}
			}
		}
		return n
	})
	g.Message = fmt.Sprintf("ownPrivilege: user %s, whose session this is, would lose privilege %s, which the work needs; list it for that user in the policy, or use another account. No flag allows this",
		clean.Quote(p.Actor.Name), joinAnd(names))
	return g, true
}

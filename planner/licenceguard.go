package planner

import (
	"fmt"
	"slices"
	"strconv"

	"privsync/clean"
	"privsync/policy"
)

// GuardLicences is the name of the guard of licences; see [LicenceLimit].
const GuardLicences = "licences"

// LicenceLimit bounds how many users may consume a product. Product is empty for
// every product that has no limit of its own. Max is nil for as many as the server
// is entitled to.
type LicenceLimit struct {
	Product string `json:"product,omitempty"`
	Max     *int   `json:"max,omitempty"`
}

// AllOtherProducts is what --allow-licences takes where no product can be named:
// no licence map tells which there are.
const AllOtherProducts = "default"

// licenceLimits returns the policy's limits, as the plan carries them.
func licenceLimits(limits []policy.LicenceLimit) []LicenceLimit {
	var out []LicenceLimit
	for _, l := range limits {
		limit := LicenceLimit{Product: l.Product}
		if !l.Entitled {
			limit.Max = &l.Max
		}
		out = append(out, limit)
	}
	return out
}

// licenceGuards returns a guard for each product that exceeds its limit, or of which
// a number is needed and not known.
func (p *Plan) licenceGuards(allow []string) []Guard {
	var out []Guard
	named := make(map[string]bool)
	for _, l := range p.Safety.Licences {
		named[l.Product] = true
	}
	judge := func(product string, limit *int) {
		g, closed := p.licenceGuard(product, limit)
		if !closed {
			return
		}
		if slices.Contains(allow, product) {
			g.Allowed = true
			g.Message += "; allowed by --allow-licences " + product
		} else {
			g.Message += "; look at the plan first, and only if this is meant allow it with --allow-licences " + product
		}
		out = append(out, g)
	}
	for _, l := range p.Safety.Licences {
		switch {
		case l.Product != "":
			judge(l.Product, l.Max)
		case p.Licences == nil:
			judge(AllOtherProducts, nil)
		default:
			for _, q := range p.Licences.Products {
				if !named[q.Name] {
					judge(q.Name, nil)
				}
			}
			for _, q := range p.Licences.NotRead {
				if !named[q.Name] {
					judge(q.Name, nil)
				}
			}
		}
	}
	return out
}

// grantsAnything reports whether the plan grants a privilege: otherwise nobody comes
// to consume anything.
func (p *Plan) grantsAnything() bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return len(c.Grant) > 0 })
}

// licenceGuard judges one product; max is nil for as many as the server is entitled
// to. It reports whether the guard is closed.
func (p *Plan) licenceGuard(product string, max *int) (Guard, bool) {
	g := Guard{Name: GuardLicences, Actual: "not known", Limit: "entitled", Offenders: []Principal{}}
	if max != nil {
		g.Limit = strconv.Itoa(*max)
	}
	unknown := func(why string) (Guard, bool) { return g.unknownUsers(product, why) }
	if !p.grantsAnything() {
		return g, false // who is over already can always come down
	}
	if p.Licences == nil {
		return unknown("there is no licence map (learn one with privsync licences learn), or the plan undoes a run, which is not counted")
	}
	if slices.ContainsFunc(p.Licences.NotRead, func(q LicenceProduct) bool { return q.Name == product }) {
		return unknown("the licence map could not ask about it")
	}
	i := slices.IndexFunc(p.Licences.Products, func(q ProductForecast) bool { return q.Name == product })
	if i >= 0 && max == nil && p.Licences.Products[i].Unlimited {
		return g, false
	}
	if n := len(p.Licences.UnknownGrants); n > 0 {
		ref := p.Licences.UnknownGrants[0]
		return unknown(fmt.Sprintf("the plan grants %s of which the licence map does not know what they consume, first of all %d", clean.Count(n, "privilege"), ref.ID))
	}
	if i < 0 {
		return g, false // the server does not have it
	}
	return p.Licences.Products[i].guard(g, max, p.Licences.ComplianceTime != nil)
}

// guard completes g, the guard of the product, by how many users would consume it.
func (q *ProductForecast) guard(g Guard, max *int, counted bool) (Guard, bool) {
	for _, c := range q.Gains[:min(len(q.Gains), maxOffenders)] {
		g.Offenders = append(g.Offenders, c.Principal)
	}
	most, atMost := q.Difference, ""
	if q.AtMost != nil {
		most, atMost = *q.AtMost, "up to "
	}
	if most <= 0 {
		return g, false
	}
	limit, what := q.Entitled, "the licences there are"
	if max != nil {
		limit, what = max, "the policy's limit"
	}
	if limit == nil {
		why := "there is no result of a licence count of the server (the findings say why; see --licence-scan)"
		if counted {
			why = "the server's last licence count does not tell, and users come to consume it"
		}
		g.Message = fmt.Sprintf("licences: %d users would consume %s, and how many licences there are is not known: %s", q.Now+most, q.Name, why)
		return g, true
	}
	after, whose := q.Now+most, ""
	if q.AtLeast && after <= *limit {
		// The users who were counted are not all: the server's own count is.
		if q.LastUsage == nil {
			return g.unknownUsers(q.Name, "not all users were counted, and the server's last licence count does not tell how many consume it")
		}
		after, whose = *q.LastUsage+most, fmt.Sprintf(" (the server's last count of %d and %d more)", *q.LastUsage, most)
	}
	if after <= *limit {
		return g, false
	}
	g.Actual, g.Limit = strconv.Itoa(after), strconv.Itoa(*limit)
	g.Message = fmt.Sprintf("licences: %s%d users would consume %s%s, more than %s, %d", atMost, after, q.Name, whose, what, *limit)
	return g, true
}

// unknownUsers closes g because nobody knows how many users would consume a product.
func (g Guard) unknownUsers(product, why string) (Guard, bool) {
	g.Message = fmt.Sprintf("licences: how many users would consume %s is not known: %s", product, why)
	return g, true
}

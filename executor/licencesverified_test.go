package executor

import (
	"testing"

	"privsync/mstrapi"
	"privsync/planner"
)

// What failed, was held back or was not seen is in no number of a report.
func TestVerifiedLicences(t *testing.T) {
	const group, ann, bob, eve mstrapi.ObjectID = "A0", "A1", "A2", "A3"
	through := func(q mstrapi.PrivilegeID, source string, changes ...mstrapi.ObjectID) []planner.Through {
		return []planner.Through{{Privilege: planner.PrivilegeRef{ID: q}, Source: source, Changes: changes}}
	}
	consumer := func(id mstrapi.ObjectID, through []planner.Through) planner.Consumer {
		return planner.Consumer{Principal: planner.Principal{Kind: mstrapi.User, ID: id}, Through: through}
	}
	change := func(id mstrapi.ObjectID) planner.Change { return planner.Change{Principal: planner.Principal{ID: id}} }
	most := 3
	plan := &planner.Plan{Changes: []planner.Change{change(group), change(ann), change(bob), change(eve)}}
	// Ann gains the product by a grant of her own and by one on the group, Bob frees it
	// by two revokes, Eve exchanges what gives it to her.
	forecast := &planner.Licences{Complete: true, Products: []planner.ProductForecast{{
		ID: 2, Name: "CLIENT_WEB", Now: 5, After: 5, AtMost: &most,
		Gains: []planner.Consumer{consumer(ann, append(through(17, planner.ThroughDirect, ann), through(18, planner.ThroughGroup, group)...))},
		Frees: []planner.Consumer{consumer(bob, append(through(17, planner.ThroughDirect, bob), through(19, planner.ThroughGroup, group)...))},
		Exchanges: []planner.Exchange{{
			Principal: planner.Principal{Kind: mstrapi.User, ID: eve}, Loses: through(17, planner.ThroughDirect, eve), Gains: through(18, planner.ThroughDirect, eve),
		}},
	}}}
	result := func(id mstrapi.ObjectID, o Outcome) Result {
		return Result{Principal: planner.Principal{ID: id}, Outcome: o}
	}
	all := []Result{result(group, Applied), result(ann, Applied), result(bob, Applied), result(eve, InSync)}
	with := func(change func([]Result)) []Result {
		list := append([]Result(nil), all...)
		change(list)
		return list
	}
	for _, test := range []struct {
		name     string
		results  []Result
		after    int
		complete bool
	}{
		{"everything was seen", all, 5, true},
		{"nothing was attempted", nil, 5, false},
		{"her own grant failed, the group's was seen", with(func(r []Result) { r[1].Outcome = Failed }), 5, false},
		{"no grant was seen", with(func(r []Result) {
			r[1].Outcome, r[0].Outcome, r[0].Revoked = Failed, Unverified, []mstrapi.PrivilegeID{19}
		}), 4, false},
		{"a grant was seen before the rest failed", with(func(r []Result) {
			r[0].Outcome, r[1].Outcome, r[1].Granted = Failed, Failed, []mstrapi.PrivilegeID{17}
		}), 6, false},
		{"one of two revokes was held back", with(func(r []Result) { r[0].Outcome, r[0].Granted = HeldBack, []mstrapi.PrivilegeID{18} }), 6, false},
		{"a revoke failed", with(func(r []Result) { r[2].Outcome = Failed }), 6, false},
		{"only the loss of the exchange was seen", with(func(r []Result) { r[3].Outcome, r[3].Revoked = Unverified, []mstrapi.PrivilegeID{17} }), 4, false},
		{"neither half of the exchange was seen", with(func(r []Result) { r[3].Outcome = Stale }), 5, false},
	} {
		got := verifiedLicences(forecast, plan, test.results)
		p := got.Products[0]
		if p.After != test.after || p.Difference != test.after-5 || *p.AtMost != test.after-5+3 || got.Complete != test.complete {
			t.Errorf("%s: after %d (%+d, at most %+d), complete %v; want %d, complete %v", test.name, p.After, p.Difference, *p.AtMost, got.Complete, test.after, test.complete)
		}
	}
	if p := forecast.Products[0]; p.After != 5 || len(p.Gains) != 1 || len(p.Frees) != 1 || *p.AtMost != 3 || !forecast.Complete {
		t.Errorf("the forecast was changed: %+v", p)
	}
}

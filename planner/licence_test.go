package planner

import (
	"strings"
	"testing"
	"time"

	"privsync/mstrapi"
)

func seats(n int) *int { return &n }

func TestLicenceGuard(t *testing.T) {
	count := mstrapi.User
	grant := []Change{{Principal: Principal{Kind: count, ID: "A"}, Grant: []PlannedPrivilege{{PrivilegeRef: PrivilegeRef{ID: 17}}}}}
	web := func(change func(*ProductForecast)) *Licences {
		p := ProductForecast{ID: 2, Name: "CLIENT_WEB", Now: 10, After: 12, Difference: 2, Entitled: seats(20), LastUsage: seats(15)}
		change(&p)
		now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
		return &Licences{ComplianceTime: &now, Products: []ProductForecast{p}}
	}
	limit := []LicenceLimit{{Product: "CLIENT_WEB", Max: seats(11)}}
	entitled := []LicenceLimit{{}}
	for _, test := range []struct {
		name     string
		limits   []LicenceLimit
		licences *Licences
		changes  []Change
		want     string // in the message; empty: open
	}{
		{"over", limit, web(func(*ProductForecast) {}), grant, "12 users would consume CLIENT_WEB, more than the policy's limit, 11"},
		{"at the limit", []LicenceLimit{{Product: "CLIENT_WEB", Max: seats(12)}}, web(func(*ProductForecast) {}), grant, ""},
		{"over and coming down", limit, web(func(p *ProductForecast) { p.Now, p.After, p.Difference = 20, 19, -1 }), grant, ""},
		{"over and staying", limit, web(func(p *ProductForecast) { p.Now, p.After, p.Difference = 20, 20, 0 }), grant, ""},
		{"entitled enough", entitled, web(func(*ProductForecast) {}), grant, ""},
		{"entitled to less", entitled, web(func(p *ProductForecast) { p.Entitled = seats(11) }), grant, "more than the licences there are, 11"},
		{"no limit", entitled, web(func(p *ProductForecast) { p.Entitled, p.Unlimited = nil, true }), grant, ""},
		{"not listed, nobody new", entitled, web(func(p *ProductForecast) { p.Entitled, p.After, p.Difference = nil, 10, 0 }), grant, ""},
		{"not listed, somebody new", entitled, web(func(p *ProductForecast) { p.Entitled = nil }), grant, "12 users would consume CLIENT_WEB, and how many licences there are is not known: the server's last licence count does not tell"},
		{"not all counted, count of the server enough", entitled, web(func(p *ProductForecast) { p.AtLeast = true }), grant, ""},
		{"not all counted, count of the server too high", entitled, web(func(p *ProductForecast) { p.AtLeast, p.LastUsage = true, seats(19) }), grant, "the server's last count of 19 and 2 more"},
		{"not all counted, no count of the server", entitled, web(func(p *ProductForecast) { p.AtLeast, p.LastUsage = true, nil }), grant, "not all users were counted"},
		{"at most", entitled, web(func(p *ProductForecast) { p.AtMost = seats(11) }), grant, "up to 21 users"},
		{"no map", limit, nil, grant, "there is no licence map"},
		{"no map, all products", entitled, nil, grant, "--allow-licences default"},
		{"no map, nothing granted", limit, nil, nil, ""},
		{"unknown privilege", limit, &Licences{UnknownGrants: []PrivilegeRef{{ID: 99}}}, grant, "does not know what they consume"},
		{"not read", limit, &Licences{NotRead: []LicenceProduct{{ID: 2, Name: "CLIENT_WEB"}}}, grant, "could not ask about it"},
		{"the server does not have it", limit, &Licences{}, grant, ""},
	} {
		plan := &Plan{Safety: Safety{Licences: test.limits}, Licences: test.licences, Changes: test.changes}
		got := Guards(plan, Overrides{})
		if (len(got) > 0) != (test.want != "") || len(got) > 0 && !strings.Contains(got[0].Message, test.want) {
			t.Errorf("%s: guards %+v, want %q", test.name, got, test.want)
		}
		for _, g := range Guards(plan, Overrides{Licences: []string{"CLIENT_WEB", "default"}}) {
			if !g.Allowed {
				t.Errorf("%s: %+v is not allowed", test.name, g)
			}
		}
	}
}

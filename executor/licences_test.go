package executor_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
	"privsync/policy"
)

// licenceMapOf is what licences learn comes to on the server of env, asked about a
// user who holds everything but what lacks says.
func licenceMapOf(env *mstrtest.Environment, lacks func(mstrapi.PrivilegeID) bool) *planner.LicenceMap {
	m := &planner.LicenceMap{Format: planner.LicenceMapFormat, Digest: "sha256:0"}
	m.Environment.IServerVersion = cmp.Or(env.IServerVersion, "11.4.0000.0100")
	var consuming planner.Set
	names := mstrapi.LicenceProducts()
	for _, l := range env.Licences {
		p := planner.MappedProduct{ID: l.Product, Name: names[l.Product].Name}
		for _, id := range l.Privileges {
			if !lacks(id) {
				p.Privileges = append(p.Privileges, planner.PrivilegeRef{ID: id})
				consuming.Add(id)
			}
		}
		if len(p.Privileges) > 0 {
			m.Products = append(m.Products, p)
		}
	}
	for _, p := range env.Catalogue {
		ref := planner.PrivilegeRef{ID: p.ID, Name: p.Name}
		switch {
		case lacks(p.ID):
			m.Unknown = append(m.Unknown, planner.UnknownPrivilege{PrivilegeRef: ref})
		case !consuming.Has(p.ID):
			m.NoProduct = append(m.NoProduct, ref)
		}
	}
	return m
}

// addServiceAccounts puts some users, directly or through a group, into the group
// that the server counts no licences for.
func addServiceAccounts(rng *rand.Rand, env *mstrtest.Environment) {
	inner := mstrtest.Group{ID: mstrtest.DerivedID("group", "robots"), Name: "robots", Groups: []mstrapi.ObjectID{mstrtest.ServiceAccountsGroup}}
	env.Groups = append(env.Groups, mstrtest.Group{ID: mstrtest.ServiceAccountsGroup, Name: "MicroStrategy Service Accounts"}, inner)
	for i := range env.Users {
		switch rng.IntN(6) {
		case 0:
			env.Users[i].Groups = append(slices.Clone(env.Users[i].Groups), mstrtest.ServiceAccountsGroup)
		case 1:
			env.Users[i].Groups = append(slices.Clone(env.Users[i].Groups), inner.ID)
		}
	}
}

// addRoles gives some users and groups a security role.
func addRoles(rng *rand.Rand, env *mstrtest.Environment) {
	project := mstrtest.Project{ID: mstrtest.DerivedID("project", "P"), Name: "P"}
	role := mstrtest.SecurityRole{ID: mstrtest.DerivedID("securityRole", "R"), Name: "R"}
	for _, p := range env.Catalogue {
		if p.ProjectLevel && rng.IntN(2) == 0 {
			role.Privileges = append(role.Privileges, p.ID)
		}
	}
	env.Projects, env.Roles = append(env.Projects, project), append(env.Roles, role)
	grant := []mstrtest.RoleGrant{{Role: role.ID, Project: project.ID}}
	for i := range env.Users {
		if rng.IntN(4) == 0 {
			env.Users[i].Roles = grant
		}
	}
	for i := range env.Groups {
		if rng.IntN(6) == 0 {
			env.Groups[i].Roles = grant
		}
	}
}

// consumers are the users whom the server's own audit counts, by product.
func consumers(t *rapid.T, r *mstrapi.Reader) map[int][]mstrapi.ObjectID {
	if err := mstrapi.StartLicenceAudit(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	var audit mstrapi.LicenceAudit
	for range 10 {
		// The simulator's audit is done after a few questions.
		if _, err := r.ComplianceRunning(t.Context()); err != nil {
			t.Fatal(err)
		}
		var err error
		if audit, err = r.LicenceAudit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	out := make(map[int][]mstrapi.ObjectID)
	for _, u := range audit.Users {
		for _, p := range u.Products {
			if u.Enabled {
				out[p] = append(out[p], u.ID)
			}
		}
	}
	for _, list := range out {
		slices.Sort(list)
	}
	return out
}

func idsIn(list []planner.Consumer) []mstrapi.ObjectID {
	var out []mstrapi.ObjectID
	for _, c := range list {
		out = append(out, c.Principal.ID)
	}
	slices.Sort(out)
	return out
}

func without(a, b []mstrapi.ObjectID) []mstrapi.ObjectID {
	return slices.DeleteFunc(slices.Clone(a), func(id mstrapi.ObjectID) bool { return slices.Contains(b, id) })
}

// TestForecastIsTrue compares the forecast of plans with the server's own audits
// before and after the apply: where everybody is covered, product by product and
// user by user; elsewhere numbers are lower bounds and those who were read exact.
// With a map that does not know everything they are bounds.
func TestForecastIsTrue(t *testing.T) {
	seen := make(map[string]int)
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		w, err := newWorld(rng, worldOptions{size: mstrtest.Size{
			Users: rapid.IntRange(1, 14).Draw(t, "users"), Groups: rapid.SampledFrom([]int{1, 3, 6, 8}).Draw(t, "groups"),
			Privileges: rapid.IntRange(4, 20).Draw(t, "privileges"), Depth: rapid.IntRange(1, 8).Draw(t, "depth"),
		}})
		if err != nil {
			t.Fatal(err)
		}
		mstrtest.RandomLicences(rng, w.env)
		if rapid.Bool().Draw(t, "roles") {
			addRoles(rng, w.env)
			seen["roles"]++
		}
		if rapid.Bool().Draw(t, "service accounts") {
			addServiceAccounts(rng, w.env)
		}
		pol := *w.pol
		pol.Safety = nil
		everybody := rapid.Bool().Draw(t, "everybody")
		if everybody {
			pol.Principals = append(slices.Clone(pol.Principals), policy.Entry{
				Selector: &policy.Selector{Kind: policy.User, Conditions: policy.Conditions{LoginMatches: "*"}}, Settings: pol.Defaults,
			})
		}
		partialMap := rapid.IntRange(0, 3).Draw(t, "partial map") == 0
		lacks := func(id mstrapi.PrivilegeID) bool { return partialMap && id%3 == 0 }
		sim := w.serve(mstrtest.Options{
			PageCap:     rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "page cap"),
			SourceStyle: rapid.SampledFrom([]mstrtest.SourceStyle{mstrtest.Holder, mstrtest.Parent}).Draw(t, "style"),
		})
		defer sim.Close()
		wr, err := mstrapi.OpenWriter(t.Context(), config(sim))
		if err != nil {
			t.Fatal(err)
		}
		defer wr.Close(context.WithoutCancel(t.Context()))
		before := consumers(t, wr.Reader)
		compliance, err := wr.Compliance(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		state, err := planner.Observe(t.Context(), wr.Reader, &pol, planner.ObserveOptions{
			URL: worldURL, Now: planDate(), Licences: &planner.LicenceInput{Map: licenceMapOf(w.env, lacks), Compliance: compliance},
		})
		if err != nil {
			t.Fatal(err)
		}
		plan := planner.Make(&pol, state, planner.MakeOptions{Tool: planner.Tool{Name: "privsync", Version: "test"}})
		if err := plan.Seal(); err != nil {
			t.Fatal(err)
		}
		checkSchema(t, "plan", planBytes(t, plan))
		if len(planner.Guards(plan, planner.Overrides{})) > 0 || len(plan.Blocking()) > 0 {
			t.Skip("refused")
		}
		report := executor.Apply(t.Context(), wr, plan, executor.Options{RunID: "run", Stats: wr.Stats, VerifyTimeout: -1})
		if report.Summary.Applied != len(plan.Changes) {
			t.Fatalf("applied %d of %d", report.Summary.Applied, len(plan.Changes))
		}
		after := consumers(t, wr.Reader)
		doubted := slices.ContainsFunc(plan.Findings, func(f planner.Finding) bool { return f.Code == planner.CodeLicenceUncertain })
		for i, p := range plan.Licences.Products {
			gained, freed := without(after[p.ID], before[p.ID]), without(before[p.ID], after[p.ID])
			most := p.Difference
			if p.AtMost != nil {
				most = *p.AtMost
			}
			if p.Entitled == nil && !p.Unlimited {
				t.Errorf("product %d: entitled is not known", p.ID)
			}
			if v := report.Licences.Products[i]; v.Now != p.Now || v.After != p.After || v.Difference != p.Difference {
				t.Errorf("product %d: forecast %d, then %d; everything was applied, and the report says %d, then %d", p.ID, p.Now, p.After, v.Now, v.After)
			}
			switch {
			case partialMap:
				seen["partial map"]++
				if p.Now > len(before[p.ID]) || p.After > len(after[p.ID]) {
					t.Errorf("product %d: forecast %d, then %d; the server counts only %d, then %d", p.ID, p.Now, p.After, len(before[p.ID]), len(after[p.ID]))
				}
				if (p.Now < len(before[p.ID]) || p.After < len(after[p.ID])) && !(p.AtLeast && (doubted || !everybody)) {
					t.Errorf("product %d: forecast %d, then %d; the server counts %d, then %d, and nothing says so", p.ID, p.Now, p.After, len(before[p.ID]), len(after[p.ID]))
				}
				if everybody && len(after[p.ID])-len(before[p.ID]) > most {
					t.Errorf("product %d: forecast %+d at most; the server counts %d, then %d\n%s", p.ID, most, len(before[p.ID]), len(after[p.ID]), w.text)
				}
			case everybody:
				seen["everybody"]++
				if !plan.Licences.Complete || p.AtLeast {
					t.Errorf("everybody is covered, and the forecast is incomplete: %+v %+v", plan.Licences.Counted, plan.Findings)
				}
				if p.Now != len(before[p.ID]) || p.After != len(after[p.ID]) || p.AtMost != nil {
					t.Errorf("product %d: forecast %d, then %d (at most %v); the server counts %d, then %d\n%s", p.ID, p.Now, p.After, p.AtMost, len(before[p.ID]), len(after[p.ID]), w.text)
				}
				if !slices.Equal(idsIn(p.Gains), gained) || !slices.Equal(idsIn(p.Frees), freed) {
					t.Errorf("product %d: gains %v, frees %v; truly %v and %v", p.ID, idsIn(p.Gains), idsIn(p.Frees), gained, freed)
				}
			default:
				seen["some"]++
				if p.Now > len(before[p.ID]) || p.After > len(after[p.ID]) {
					t.Errorf("product %d: forecast %d, then %d; the server counts only %d, then %d", p.ID, p.Now, p.After, len(before[p.ID]), len(after[p.ID]))
				}
				if extra := append(without(idsIn(p.Gains), gained), without(idsIn(p.Frees), freed)...); len(extra) > 0 {
					t.Errorf("product %d: gains or frees that did not come: %v", p.ID, extra)
				}
				if len(gained) > len(p.Gains)+most-p.Difference {
					t.Errorf("product %d: %d gained it, the forecast says at most %d\n%s", p.ID, len(gained), len(p.Gains)+most-p.Difference, w.text)
				}
				for _, id := range append(without(gained, idsIn(p.Gains)), without(freed, idsIn(p.Frees))...) {
					if o := state.Lookup(id); o != nil && o.Err == nil && !o.At.IsZero() && o.Enabled != mstrapi.Unknown {
						t.Errorf("product %d: %s was read and what becomes of it was not foretold", p.ID, id)
					}
				}
			}
			seen["gains"], seen["frees"], seen["apart"] = seen["gains"]+len(gained), seen["frees"]+len(freed), seen["apart"]+p.Apart
			for _, c := range append(slices.Clone(p.Gains), p.Frees...) {
				if len(c.Through) == 0 {
					t.Errorf("product %d: %s gains or frees it through nothing", p.ID, c.Principal.ID)
				}
			}
		}
	})
	t.Log(seen)
	for _, what := range []string{"gains", "frees", "apart", "roles", "everybody", "some", "partial map"} {
		if seen[what] == 0 && !testing.Short() {
			t.Errorf("the cases do not reach what they are for: %v", seen)
		}
	}
}

// A free that a privilege may prevent of which the map does not know what it consumes
// counts for the guard as if it did not come.
func TestDoubtfulFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		user := mstrtest.DerivedID("user", "ann")
		env := &mstrtest.Environment{
			Catalogue: []mstrapi.Privilege{{ID: 17, Name: "Web administration"}, {ID: 18, Name: "Web user"}, {ID: 50, Name: mstrtest.UserManagerName}},
			Users: []mstrtest.User{
				{ID: mstrtest.DerivedID("user", mstrtest.ServiceLogin), Login: mstrtest.ServiceLogin, Name: "Service", Password: mstrtest.ServicePassword, Privileges: []mstrapi.PrivilegeID{50}},
				{ID: user, Login: "ann", Name: "Ann", Privileges: []mstrapi.PrivilegeID{17, 18}},
			},
			Licences: []mstrtest.Licence{{Product: 2, Privileges: []mstrapi.PrivilegeID{17, 18}, Max: 5}},
		}
		sim := mstrtest.NewServer(env, mstrtest.Options{})
		defer sim.Close()
		wr, err := mstrapi.OpenWriter(t.Context(), config(sim))
		if err != nil {
			t.Fatal(err)
		}
		defer wr.Close(t.Context())
		pol, err := policy.Parse("policy.yaml", []byte("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: p}\nprincipals:\n  - {user: ann, forbid: [17]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		m := licenceMapOf(env, func(id mstrapi.PrivilegeID) bool { return id == 18 })
		state, err := planner.Observe(t.Context(), wr.Reader, pol, planner.ObserveOptions{URL: worldURL, Now: planDate(), Licences: &planner.LicenceInput{Map: m}})
		if err != nil {
			t.Fatal(err)
		}
		plan := planner.Make(pol, state, planner.MakeOptions{})
		p := plan.Licences.Products[0]
		if p.Now != 1 || p.After != 0 || p.AtMost == nil || *p.AtMost != 0 || !p.AtLeast || plan.Licences.Complete {
			t.Errorf("forecast %+v, want one free that may not come", p)
		}
		if err := sim.Revoke(user, 17); err != nil {
			t.Fatal(err)
		}
		if got := sim.Licensed(user); !slices.Equal(got, []int{2}) {
			t.Errorf("the server counts %v for her, want product 2", got)
		}
	})
}

//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
	"privsync/policy"
)

// constantRequests is how many requests a run may send besides those that grow
// with the policy: login, versions, catalogue and the like.
const constantRequests = 12

// A shape is a kind of policy, and how many requests an apply of it may take.
type shape struct {
	name   string
	policy func(s scene) string
	// bounds returns the formula. Endpoints that it does not name share
	// [constantRequests], less what the bounds have taken of it.
	bounds func(s scene, plan *planner.Plan) []bound
	twice  bool // the second of two applies is counted

	licences bool // with a licence map
}

// A bound is the most requests that some endpoints together may have.
type bound struct {
	endpoints []mstrtest.Endpoint
	limit     int
	formula   string
	constant  int // of limit, taken from constantRequests
}

// formulas: N covered principals, C changed ones, P pages of a whole list.

func pages(rows, size int) int { return (rows + size - 1) / size }

func (s scene) groups() int { return 2 + pages(s.Users, 200) + pages(pages(s.Users, 200), 10) }

// allUsers are the generated users and the one that privsync works as.
func (s scene) allUsers() int { return s.Users + 1 }

// enabled bounds how many requests it takes to learn which of n users that
// entries name are disabled, where the rows of lists do not tell.
func (s scene) enabled(n int) int { return min(n, pages(s.allUsers(), s.PageCap)) + 1 }

const enabledFormula = "min(named, P of Everyone) + 1"

// reads bounds the privilege reads and the writes for users.
func reads(covered int, plan *planner.Plan) []bound { return readsAgain(covered, 0, plan) }

// readsAgain is reads where changed groups reach so many of the covered users,
// who are read once more when the run is done.
func readsAgain(covered, reached int, plan *planner.Plan) []bound {
	changed := changesOf(plan, mstrapi.User)
	return []bound{
		{[]mstrtest.Endpoint{mstrtest.UserPrivileges}, covered + changed + reached, "N + C + those whom a changed group may have touched", 0},
		{[]mstrtest.Endpoint{mstrtest.PatchUser}, changed, "C", 0},
	}
}

func changesOf(plan *planner.Plan, kind mstrapi.Kind) int {
	n := 0
	for _, c := range plan.Changes {
		if c.Principal.Kind == kind {
			n++
		}
	}
	return n
}

// writesOfGroups counts the waves that groups are written in: a group that gains
// and loses is written in two.
func writesOfGroups(plan *planner.Plan) int {
	n := 0
	for _, c := range plan.Changes {
		if c.Principal.Kind == mstrapi.Group {
			n += min(len(c.Grant), 1) + min(len(c.Revoke), 1)
		}
	}
	return n
}

// firstUsers is a policy for the first n users, each with lines.
func firstUsers(n int, lines func(n int) string) string {
	var b strings.Builder
	b.WriteString(policyHead + "principals:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - user: %s\n%s", userLogin(i+1), lines(i+1))
	}
	return b.String()
}

func forbidStray(int) string { return fmt.Sprintf("    forbid: [%d]\n", strayPrivilege()) }

func shapes() []shape {
	const few = 3
	looks := []mstrtest.Endpoint{mstrtest.ListUsers, mstrtest.GetUser, mstrtest.GroupMembers}
	listed := func(s scene, plan *planner.Plan) []bound {
		if names, p := s.Users, pages(s.allUsers(), s.PageCap); names < p {
			// The page that tells how many there are counts to the constant.
			return append(reads(s.Users, plan),
				bound{looks, names + 1 + s.enabled(names), "min(names, P) + 1 + " + enabledFormula, 1})
		}
		return append(reads(s.Users, plan),
			bound{looks, pages(s.allUsers(), s.PageCap) + s.enabled(s.Users), "min(names, P) + " + enabledFormula, 0})
	}
	fewNames := func(s scene, plan *planner.Plan) []bound {
		return append(reads(few, plan),
			bound{looks, min(few, pages(s.allUsers(), s.PageCap)) + 1 + s.enabled(few), "min(names, P) + 1 + " + enabledFormula, 1})
	}
	return []shape{
		{name: "every user by login", policy: func(s scene) string { return s.listPolicy(withSets) }, bounds: listed},
		{name: "the same again: nothing to do", policy: func(s scene) string { return s.listPolicy(withSets) }, bounds: listed, twice: true},
		{name: "every user by id pin", policy: func(s scene) string { return s.listPolicy(withPins) }, bounds: listed},
		{name: "few users by login", policy: func(scene) string { return firstUsers(few, forbidStray) }, bounds: fewNames},
		{
			name: "few users by id pin",
			policy: func(scene) string {
				return firstUsers(few, func(n int) string { return fmt.Sprintf("    id: %s\n", userID(n)) + forbidStray(n) })
			},
			bounds: fewNames,
		},
		{
			name: "selector memberOf", policy: func(scene) string { return selectorPolicy() },
			bounds: func(s scene, plan *planner.Plan) []bound {
				return append(reads(s.Users, plan),
					bound{[]mstrtest.Endpoint{mstrtest.ListGroups, mstrtest.GetGroup}, 2, "min(names, P) + 1", 1},
					bound{[]mstrtest.Endpoint{mstrtest.GroupMembers}, pages(s.Users, s.PageCap), "P of the group", 0})
			},
		},
		{name: "groups change, nested members follow", policy: nestedPolicy, bounds: func(s scene, plan *planner.Plan) []bound {
			groups, writes := changesOf(plan, mstrapi.Group), writesOfGroups(plan)
			watched := 0 // by the plan, because a group may touch them
			for _, w := range plan.Watch {
				watched += len(w.Principals)
			}
			return append(readsAgain(s.Users, watched+min(s.Users, 200), plan), // 200 are in the group that loses something
				bound{[]mstrtest.Endpoint{mstrtest.ListUsers}, min(s.Users, pages(s.allUsers(), s.PageCap)), "min(names, P)", 0},
				bound{[]mstrtest.Endpoint{mstrtest.ListGroups}, min(2, pages(s.groups(), s.PageCap)) + 1, "min(names, P) + 1", 1},
				bound{[]mstrtest.Endpoint{mstrtest.GroupPrivileges}, s.groups() + writes, "groups + writes", 0},
				bound{[]mstrtest.Endpoint{mstrtest.PatchGroup}, writes, "one for each wave", 0},
				bound{[]mstrtest.Endpoint{mstrtest.GroupMemberships}, s.groups(), "groups", 0},
				bound{[]mstrtest.Endpoint{mstrtest.GroupMembers, mstrtest.GetUser},
					groups + min(s.Users, pages(min(s.Users, 2000), s.PageCap)+pages(min(s.Users, 200), s.PageCap)) + s.enabled(s.Users),
					"changed groups + min(N, P of them) + " + enabledFormula, 0})
		}},
		{
			name: "a large group changes, few users are listed",
			policy: func(scene) string {
				return policyHead + fmt.Sprintf("principals:\n  - group: Company\n    privileges: [%d]\n", strayPrivilege()) +
					strings.TrimPrefix(firstUsers(few, func(int) string { return fmt.Sprintf("    privileges: [%d]\n", strayPrivilege()) }), policyHead+"principals:\n")
			},
			bounds: func(s scene, plan *planner.Plan) []bound {
				writes := writesOfGroups(plan)
				return append(readsAgain(few, few, plan),
					bound{[]mstrtest.Endpoint{mstrtest.ListUsers}, few + 1, "min(names, P) + 1", 1},
					bound{[]mstrtest.Endpoint{mstrtest.ListGroups}, 2, "min(names, P) + 1", 1},
					bound{[]mstrtest.Endpoint{mstrtest.GroupPrivileges}, 1 + writes, "groups + writes", 0},
					bound{[]mstrtest.Endpoint{mstrtest.PatchGroup}, writes, "one for each wave", 0},
					bound{[]mstrtest.Endpoint{mstrtest.GroupMemberships}, 4, "groups above them", 0},
					bound{[]mstrtest.Endpoint{mstrtest.GroupMembers, mstrtest.GetUser}, 1 + min(few, pages(s.Users, s.PageCap)) + s.enabled(few), "changed groups + min(N, P of them) + " + enabledFormula, 0})
			},
		},
		{
			name: "unlisted: report", policy: func(scene) string { return unlistedPolicy(few) },
			bounds: func(s scene, plan *planner.Plan) []bound {
				return append(reads(s.allUsers(), plan),
					bound{[]mstrtest.Endpoint{mstrtest.ListUsers, mstrtest.GetUser}, pages(s.allUsers(), s.PageCap) + s.enabled(few), "P + " + enabledFormula, 0},
					bound{[]mstrtest.Endpoint{mstrtest.ListGroups}, pages(s.groups(), s.PageCap), "P", 0},
					bound{[]mstrtest.Endpoint{mstrtest.GroupPrivileges}, s.groups(), "groups", 0})
			},
		},
	}
}

// nestedPolicy grants a privilege to a division and revokes one from a team, and
// wants both for every user: who is below which group decides who is granted
// what.
func nestedPolicy(s scene) string {
	lost := s.teamPrivileges()[0]
	var b strings.Builder
	fmt.Fprintf(&b, "%sprincipals:\n  - group: Division 1\n    privileges: [%d]\n  - group: Team 2\n    forbid: [%d]\n", policyHead, strayPrivilege(), lost)
	for n := 1; n <= s.Users; n++ {
		fmt.Fprintf(&b, "  - user: %s\n    privileges: [%d, %d]\n", userLogin(n), strayPrivilege(), lost)
	}
	return b.String()
}

// count is how many requests an apply took.
type count struct {
	plan *planner.Plan
	by   map[mstrtest.Endpoint]int64
}

// countRequests applies the policy of the shape to the scene, without a network.
func countRequests(ctx context.Context, s scene, sh shape) (count, error) {
	env := s.environment()
	server := mstrtest.NewServer(env, s.options())
	defer server.Close()
	var licences *planner.LicenceInput
	if sh.licences {
		licences = licenceInput(env)
	}
	if sh.twice {
		if _, err := applyOnce(ctx, server, sh.policy(s), licences); err != nil {
			return count{}, err
		}
		server.ResetLog()
	}
	plan, err := applyOnce(ctx, server, sh.policy(s), licences)
	return count{plan, server.Counts()}, err
}

func applyOnce(ctx context.Context, server *mstrtest.Server, text string, licences *planner.LicenceInput) (*planner.Plan, error) {
	pol, err := policy.Parse("policy.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	cfg := config("http://127.0.0.1"+server.PathPrefix(), 8)
	cfg.Transport = server.Transport()
	w, err := mstrapi.OpenWriter(ctx, cfg)
	if err != nil {
		return nil, err
	}
	st, err := planner.Observe(ctx, w.Reader, pol, planner.ObserveOptions{URL: w.URL(), Licences: licences})
	if err != nil {
		return nil, err
	}
	plan := planner.Make(pol, st, planner.MakeOptions{})
	if err := plan.Seal(); err != nil {
		return nil, err
	}
	report := executor.Apply(ctx, w, plan, executor.Options{Stats: w.Stats})
	if report.Run.Outcome != executor.RunSucceeded && report.Run.Outcome != executor.RunInSync {
		return nil, fmt.Errorf("the run ended as %s", report.Run.Outcome)
	}
	return plan, w.Close(ctx)
}

// judge compares counts with the bounds of a shape and tells what exceeds them:
// for each bound the requests and the limit, the constant ones last.
func (c count) judge(bounds []bound) []judgement {
	rest := maps.Clone(c.by)
	constant := constantRequests
	var out []judgement
	for _, b := range bounds {
		var n int64
		var names []string
		for _, e := range b.endpoints {
			n += rest[e]
			delete(rest, e)
			names = append(names, string(e))
		}
		constant -= b.constant
		out = append(out, judgement{strings.Join(names, " + "), n, b.limit, b.formula})
	}
	var n int64
	for _, k := range rest {
		n += k
	}
	names := make([]string, 0, len(rest))
	for _, e := range slices.Sorted(maps.Keys(rest)) {
		names = append(names, fmt.Sprintf("%d %s", rest[e], e))
	}
	return append(out, judgement{"everything else", n, constant, "constant: " + strings.Join(names, ", ")})
}

type judgement struct {
	what    string
	n       int64
	limit   int
	formula string
}

func measureRequests(ctx context.Context, b *bench) error {
	s := scene{Users: b.scale(10_000, 300), PageCap: b.scale(1000, 100)}
	s.Stray = s.Users / 10
	for _, sh := range withLicences(shapes()) {
		c, err := countRequests(ctx, s, sh)
		if err != nil {
			return fmt.Errorf("%s: %w", sh.name, err)
		}
		r := row{Case: sh.name, Unit: "requests", OK: true}
		var details []string
		for _, j := range c.judge(sh.bounds(s, c.plan)) {
			r.Value += float64(j.n)
			r.Limit += float64(j.limit)
			text := fmt.Sprintf("%s %d ≤ %d", j.what, j.n, j.limit)
			if j.n > int64(j.limit) {
				r.OK = false
				text += " EXCEEDED (" + j.formula + ")"
			}
			details = append(details, text)
		}
		r.Detail = strings.Join(details, "; ")
		b.add(r)
	}
	return nil
}

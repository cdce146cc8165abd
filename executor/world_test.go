package executor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/mstrapi/mstrtest"
	"privsync/planner"
	"privsync/policy"
	"privsync/schema"
)

// A world is a random server and a random policy for it, with what the policy
// means for everybody, worked out from the environment alone.
type world struct {
	env   *mstrtest.Environment
	text  string // the policy as YAML
	pol   *policy.Policy
	scope planner.Set // the privileges that may be touched
	wants map[mstrapi.ObjectID]*want
	depth int             // of the longest chain of nested groups
	lean  bool            // redundant: revoke
	odd   mstrtest.Quirks // what worldOptions.odd made of the server
}

// A want is what the policy means for one principal that it covers.
type want struct {
	listed, forbidden, expired planner.Set
	authoritative, onlyDirect  bool
	covered                    bool // some entry covers it
	protected                  bool
}

// worldOptions say what a world may have; the zero value is all that can go
// through to the end without being refused.
type worldOptions struct {
	size   mstrtest.Size
	limits bool // a safety section that may refuse the plan, an entry for the session's own user
	odd    oddities
}

// oddities are what real servers have and well-kept ones have not.
type oddities struct {
	doubled  bool // groups of one name
	nameless bool // privileges without a name
	guests   bool // users outside Everyone
	ghosts   bool // users and groups that lists name and that do not exist
}

// newWorld draws a world. Half of them get one chain of all their groups.
func newWorld(rng *rand.Rand, o worldOptions) (*world, error) {
	w := &world{env: mstrtest.Random(rng, o.size), wants: make(map[mstrapi.ObjectID]*want)}
	w.sortGroups()
	if rng.IntN(2) == 0 {
		for i := 1; i < len(w.env.Groups); i++ {
			g := &w.env.Groups[i]
			if above := w.env.Groups[i-1].ID; !slices.Contains(g.Groups, above) {
				g.Groups = append(g.Groups, above)
			}
		}
	}
	w.sortGroups()
	w.makeOdd(rng, o.odd)
	b := &policyBuilder{world: w, rng: rng, limits: o.limits}
	w.text = b.build()
	if o.odd.ghosts {
		w.addGhosts(rng) // no entry of the policy names them
	}
	var err error
	w.pol, err = policy.Parse("random.yaml", []byte(w.text))
	return w, err
}

func (w *world) makeOdd(rng *rand.Rand, odd oddities) {
	if odd.doubled {
		for i := range w.env.Groups {
			if g := &w.env.Groups[i]; g.ID != mstrapi.EveryoneGroup && rng.IntN(2) == 0 {
				g.Name = w.env.Groups[rng.IntN(len(w.env.Groups))].Name
				g.Tenant = fmt.Sprint("Tenant ", i)
			}
		}
	}
	if odd.nameless {
		for _, p := range w.env.Catalogue {
			if p.ID != managerID && rng.IntN(3) == 0 {
				w.odd.Nameless = append(w.odd.Nameless, p.ID)
			}
		}
	}
	if odd.guests {
		for i := range w.env.Users {
			w.env.Users[i].Guest = rng.IntN(3) == 0
		}
	}
}

// addGhosts adds users with direct grants who are in groups, a group in a group, and a
// group above users: lists name them, and none of them exists.
func (w *world) addGhosts(rng *rand.Rand) {
	groups := slices.Clone(w.env.Groups)
	for i := range 1 + rng.IntN(3) {
		login := fmt.Sprint("ghost", i)
		u := mstrtest.User{ID: mstrtest.DerivedID("user", login), Login: login, Name: "Gone", Guest: rng.IntN(2) == 0}
		for _, g := range groups {
			if g.ID != mstrapi.EveryoneGroup && rng.IntN(2) == 0 {
				u.Groups = append(u.Groups, g.ID)
			}
		}
		for _, p := range w.env.Catalogue {
			if p.ID != managerID && rng.IntN(4) == 0 {
				u.Privileges = append(u.Privileges, p.ID)
			}
		}
		w.env.Users = append(w.env.Users, u)
		w.odd.Ghosts = append(w.odd.Ghosts, u.ID)
	}
	below := mstrtest.Group{ID: mstrtest.DerivedID("group", "ghost below"), Name: "Gone", Groups: []mstrapi.ObjectID{groups[rng.IntN(len(groups))].ID}}
	above := mstrtest.Group{ID: mstrtest.DerivedID("group", "ghost above"), Name: "Gone"}
	for i := range w.env.Users {
		if u := &w.env.Users[i]; rng.IntN(3) == 0 {
			u.Groups = append(slices.Clone(u.Groups), above.ID)
		}
	}
	w.env.Groups = append(w.env.Groups, below, above)
	w.odd.Ghosts = append(w.odd.Ghosts, below.ID, above.ID)
}

// doubled reports whether several groups have the name.
func (w *world) doubled(name string) bool {
	n := 0
	for _, g := range w.env.Groups {
		if g.Name == name {
			n++
		}
	}
	return n > 1
}

// put adds the world's oddities to what a server is like.
func (w *world) put(q *mstrtest.Quirks) { q.Ghosts, q.Nameless = w.odd.Ghosts, w.odd.Nameless }

// sortGroups puts groups behind those they are in, and measures the depth.
func (w *world) sortGroups() {
	depth := make(map[mstrapi.ObjectID]int)
	parents := w.parents()
	var measure func(mstrapi.ObjectID) int
	measure = func(id mstrapi.ObjectID) int {
		if depth[id] == 0 {
			deepest := 0
			for _, p := range parents[id] {
				deepest = max(deepest, measure(p))
			}
			depth[id] = deepest + 1
		}
		return depth[id]
	}
	for _, g := range w.env.Groups {
		w.depth = max(w.depth, measure(g.ID))
	}
	depth[mstrapi.EveryoneGroup] = 0 // the first: no server puts it into another group
	slices.SortStableFunc(w.env.Groups, func(a, b mstrtest.Group) int { return depth[a.ID] - depth[b.ID] })
}

// parents returns the direct parents of groups, and of users, who are all in
// the group Everyone but for guests.
func (w *world) parents() map[mstrapi.ObjectID][]mstrapi.ObjectID {
	out := make(map[mstrapi.ObjectID][]mstrapi.ObjectID)
	for _, g := range w.env.Groups {
		out[g.ID] = g.Groups
	}
	for _, u := range w.env.Users {
		out[u.ID] = u.Groups
		if !u.Guest {
			out[u.ID] = append([]mstrapi.ObjectID{mstrapi.EveryoneGroup}, u.Groups...)
		}
	}
	return out
}

// belongs reports whether id is in the group, with nested at any depth.
func (w *world) belongs(id, group mstrapi.ObjectID, nested bool) bool {
	parents := w.parents()
	for todo := slices.Clone(parents[id]); len(todo) > 0; todo = todo[1:] {
		if todo[0] == group {
			return true
		}
		if nested {
			todo = append(todo, parents[todo[0]]...)
		}
	}
	return false
}

// policyBuilder draws a policy.
type policyBuilder struct {
	*world
	rng    *rand.Rand
	limits bool

	// Selectors list only privileges that no user's own entry forbids, and the
	// other way round: entries that contradict each other are another matter.
	selectorLists, selectorForbids planner.Set
	sets                           map[string]planner.Set
}

func (b *policyBuilder) chance(percent int) bool { return b.rng.IntN(100) < percent }

func (b *policyBuilder) pick(percent int, from planner.Set) (out planner.Set) {
	for id := range from.All() {
		if b.chance(percent) {
			out.Add(id)
		}
	}
	return out
}

// refs writes privileges, some by number and some by name.
func (b *policyBuilder) refs(s planner.Set) []any {
	out := []any{}
	for _, p := range b.env.Catalogue {
		switch {
		case !s.Has(p.ID):
		case b.chance(50) && !slices.Contains(b.odd.Nameless, p.ID):
			out = append(out, p.Name)
		default:
			out = append(out, p.ID)
		}
	}
	return out
}

func (b *policyBuilder) build() string {
	level := []string{"server", "server", "all", "project"}[b.rng.IntN(4)]
	for _, p := range b.env.Catalogue {
		if level == "all" || (level == "project") == p.ProjectLevel {
			b.scope.Add(p.ID)
		}
	}
	b.selectorLists = b.pick(15, b.scope)
	b.selectorForbids = b.pick(15, b.scope.Minus(b.selectorLists))
	var out strings.Builder
	write := func(indent string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // of maps of strings and numbers
		}
		out.WriteString(indent)
		out.Write(text)
		out.WriteByte('\n')
	}
	defaults := &want{authoritative: b.chance(30), onlyDirect: b.chance(20)}
	redundant := !defaults.onlyDirect && b.chance(30)
	out.WriteString("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: random, owner: tests}\nscope: {level: " + level + "}\n")
	settings := map[string]any{"mode": mode(defaults.authoritative), "satisfiedBy": satisfied(defaults.onlyDirect)}
	if redundant {
		settings["redundant"] = "revoke"
		b.lean = true
	}
	write("defaults: ", settings)

	b.sets = make(map[string]planner.Set)
	if may := b.scope.Minus(b.selectorForbids); !may.IsEmpty() && b.chance(60) {
		defined := make(map[string]any)
		inner, outer := b.pick(25, may), b.pick(25, may)
		inner.Add(may.IDs()[0])
		outer.Add(may.IDs()[0])
		defined["inner"] = map[string]any{"privileges": b.refs(inner)}
		defined["outer"] = map[string]any{"privileges": b.refs(outer), "include": []string{"inner"}}
		b.sets["inner"], b.sets["outer"] = inner, inner.Union(outer)
		write("privilegeSets: ", defined)
	}

	var entries []any
	for _, g := range b.env.Groups {
		if b.chance(70) {
			entries = b.entry(entries, "group", g.Name, g.ID, defaults, redundant)
		}
	}
	for _, u := range b.env.Users {
		if u.Login != mstrtest.ServiceLogin && b.chance(70) || b.limits && b.chance(5) {
			entries = b.entry(entries, "user", u.Login, u.ID, defaults, redundant)
		}
	}
	if b.chance(40) {
		entries = b.selector(entries, defaults)
	}
	if len(entries) == 0 {
		g := b.env.Groups[0]
		entries = append(entries, map[string]any{"group": g.Name, "forbid": b.refs(planner.SetOf(b.scope.IDs()[0]))})
		b.wants[g.ID] = &want{covered: true, forbidden: planner.SetOf(b.scope.IDs()[0]), authoritative: defaults.authoritative, onlyDirect: defaults.onlyDirect}
	}
	b.rng.Shuffle(len(entries), func(i, k int) { entries[i], entries[k] = entries[k], entries[i] })
	out.WriteString("principals:\n")
	for _, e := range entries {
		write("  - ", e)
	}
	b.unlisted(&out, write)
	return out.String()
}

func mode(authoritative bool) string {
	if authoritative {
		return "authoritative"
	}
	return "additive"
}

func satisfied(onlyDirect bool) string {
	if onlyDirect {
		return "direct"
	}
	return "effective"
}

// entry adds an entry that names one principal.
func (b *policyBuilder) entry(entries []any, kind, name string, id mstrapi.ObjectID, defaults *want, redundant bool) []any {
	e := map[string]any{kind: name}
	if b.chance(40) || kind == "group" && b.doubled(name) {
		e["id"] = id
	}
	w := &want{covered: true, authoritative: defaults.authoritative, onlyDirect: defaults.onlyDirect}
	if b.chance(50) {
		w.authoritative = b.chance(50)
		e["mode"] = mode(w.authoritative)
	}
	if !redundant && b.chance(30) {
		w.onlyDirect = b.chance(50)
		e["satisfiedBy"] = satisfied(w.onlyDirect)
	}
	may := b.scope
	if kind == "user" {
		may = may.Minus(b.selectorForbids)
	}
	own := b.pick(20, may)
	list := b.refs(own)
	listed := own
	for _, name := range []string{"inner", "outer"} {
		if s, ok := b.sets[name]; ok && b.chance(15) {
			e["sets"] = []string{name}
			listed = listed.Union(s)
			break
		}
	}
	// Entries that have expired, and one that has not.
	expired := b.pick(8, may.Minus(listed))
	for id := range expired.All() {
		list = append(list, map[string]any{"privilege": id, "until": "2025-12-31", "reason": "CHG-1"})
	}
	if rest := may.Minus(listed).Minus(expired).IDs(); len(rest) > 0 && b.chance(10) {
		list = append(list, map[string]any{"privilege": rest[0], "until": "2998-12-31"})
		listed.Add(rest[0])
	}
	w.listed, w.expired = listed, expired
	free := b.scope.Minus(listed).Minus(expired)
	if kind == "user" {
		free = free.Minus(b.selectorLists)
	}
	if w.forbidden = b.pick(8, free); !w.forbidden.IsEmpty() {
		e["forbid"] = b.refs(w.forbidden)
	}
	switch {
	case len(list) > 0:
		e["privileges"] = list
	case e["sets"] == nil && e["forbid"] == nil && !w.authoritative:
		return entries
	case e["sets"] == nil && e["forbid"] == nil:
		e["mode"] = "authoritative"
		e["privileges"] = list
	}
	b.wants[id] = w
	return append(entries, e)
}

// selector adds an entry for the users of a group.
func (b *policyBuilder) selector(entries []any, defaults *want) []any {
	g := b.env.Groups[b.rng.IntN(len(b.env.Groups))]
	nested := b.chance(60)
	var from any = g.Name
	if b.doubled(g.Name) {
		from = map[string]any{"group": g.Name, "id": g.ID}
	}
	e := map[string]any{"users": map[string]any{"memberOf": from, "nested": nested}}
	lists, forbids := b.selectorLists, b.selectorForbids
	if lists.IsEmpty() && forbids.IsEmpty() {
		return entries
	}
	if !lists.IsEmpty() {
		e["privileges"] = b.refs(lists)
	}
	if !forbids.IsEmpty() {
		e["forbid"] = b.refs(forbids)
	}
	for _, u := range b.env.Users {
		if !b.belongs(u.ID, g.ID, nested) {
			continue
		}
		if u.Login == mstrtest.ServiceLogin && !b.limits {
			return entries // a guard might have to save the session's own user
		}
	}
	for _, u := range b.env.Users {
		if !b.belongs(u.ID, g.ID, nested) {
			continue
		}
		w := b.wants[u.ID]
		if w == nil {
			w = &want{covered: true, authoritative: defaults.authoritative, onlyDirect: defaults.onlyDirect}
			b.wants[u.ID] = w
		}
		w.listed, w.forbidden = w.listed.Union(lists), w.forbidden.Union(forbids)
		w.expired = w.expired.Minus(w.listed)
	}
	return append(entries, e)
}

// unlisted writes the sections that are about everybody else.
func (b *policyBuilder) unlisted(out *strings.Builder, write func(string, any)) {
	safety := map[string]any{}
	if revoke := b.chance(20); revoke {
		out.WriteString("unlisted: revoke\n")
		protected := []any{map[string]any{"user": mstrtest.ServiceLogin}}
		for _, u := range b.env.Users {
			if u.Login == mstrtest.ServiceLogin {
				continue
			}
			if b.wants[u.ID] == nil && b.chance(20) {
				protected = append(protected, map[string]any{"user": u.Login, "id": u.ID})
				b.wants[u.ID] = &want{protected: true}
			}
		}
		safety["protected"] = protected
		for id := range b.parents() {
			if b.wants[id] == nil {
				b.wants[id] = &want{authoritative: true}
			}
		}
		for _, u := range b.env.Users {
			if u.Login == mstrtest.ServiceLogin {
				b.wants[u.ID].protected = true
			}
		}
	}
	if b.limits && b.chance(25) {
		safety["maxRevokes"] = []any{b.rng.IntN(6), fmt.Sprint(b.rng.IntN(100), "%")}[b.rng.IntN(2)]
	}
	if b.limits && b.chance(25) {
		safety["maxChangedPrincipals"] = b.rng.IntN(12)
	}
	if len(safety) > 0 {
		write("safety: ", safety)
	}
}

// serve starts a server of the world.
func (w *world) serve(o mstrtest.Options) *mstrtest.Server { return mstrtest.NewServer(w.env, o) }

const worldURL = "http://127.0.0.1/MicroStrategyLibrary"

// config is that of a client in the same process.
func config(sim *mstrtest.Server) mstrapi.Config {
	return mstrapi.Config{
		URL: worldURL, LoginMode: mstrapi.Standard, Username: mstrtest.ServiceLogin, Password: mstrtest.ServicePassword,
		Transport: sim.Transport(), Concurrency: 4,
	}
}

// plan observes with a client that cannot write, and plans.
func (w *world) plan(ctx context.Context, r planner.Reader, concurrency int) (*planner.State, *planner.Plan, error) {
	state, err := planner.Observe(ctx, r, w.pol, planner.ObserveOptions{URL: worldURL, Now: planDate(), Concurrency: concurrency})
	if err != nil {
		return nil, nil, err
	}
	plan := planner.Make(w.pol, state, planner.MakeOptions{
		Tool: planner.Tool{Name: "privsync", Version: "test"},
	})
	return state, plan, plan.Seal()
}

// holding is one privilege of one principal.
type holding struct {
	id        mstrapi.ObjectID
	privilege mstrapi.PrivilegeID
}

// direct returns the direct grants of everybody.
func (w *world) direct(sim *mstrtest.Server) map[mstrapi.ObjectID]planner.Set {
	out := make(map[mstrapi.ObjectID]planner.Set)
	for id, held := range sim.Snapshot().Direct {
		out[id] = planner.SetOf(held...)
	}
	return out
}

// trespasses returns changes from before to the server's present state that the
// policy has no part in: others' privileges, and those outside the scope.
func (w *world) trespasses(sim *mstrtest.Server, before map[mstrapi.ObjectID]planner.Set, others map[holding]bool) (wrong []string) {
	for id, now := range w.direct(sim) {
		changed := now.Minus(before[id]).Union(before[id].Minus(now))
		covered := w.wants[id]
		for q := range changed.All() {
			if others[holding{id, q}] {
				continue
			}
			gone := before[id].Has(q)
			switch {
			case !w.scope.Has(q):
				wrong = append(wrong, fmt.Sprintf("%s: privilege %d is outside the scope and was changed", id, q))
			case covered == nil || covered.protected:
				wrong = append(wrong, fmt.Sprintf("%s: privilege %d was changed, and the policy does not cover the principal", id, q))
			case !gone && !covered.listed.Has(q):
				wrong = append(wrong, fmt.Sprintf("%s: privilege %d was granted and is not listed", id, q))
			case gone && !covered.authoritative && !covered.forbidden.Has(q) && !covered.expired.Has(q) && !covered.listed.Has(q):
				wrong = append(wrong, fmt.Sprintf("%s: privilege %d was revoked, and additive mode leaves it alone", id, q))
			}
		}
	}
	return wrong
}

// unfulfilled returns where the server's present state is not what the policy
// says.
func (w *world) unfulfilled(sim *mstrtest.Server) (wrong []string) {
	for id, want := range w.wants {
		if want.protected {
			continue
		}
		have := planner.SetOf(sim.Effective(id)...)
		if want.onlyDirect {
			have = planner.SetOf(sim.Direct(id)...)
		}
		for q := range want.listed.Minus(have).All() {
			wrong = append(wrong, fmt.Sprintf("%s: privilege %d is listed and missing", id, q))
		}
		for q := range w.excess(sim, id).All() {
			wrong = append(wrong, fmt.Sprintf("%s: privilege %d is granted against the policy", id, q))
		}
	}
	return wrong
}

// against returns what a principal that holds direct and inherited lacks, or holds
// against the policy; empty for one that the policy has no part in.
func (w *world) against(id mstrapi.ObjectID, direct, inherited planner.Set) planner.Set {
	want := w.wants[id]
	if want == nil || want.protected {
		return planner.Set{}
	}
	held := direct
	if !want.onlyDirect {
		held = direct.Union(inherited)
	}
	var twice planner.Set
	if w.lean {
		twice = want.listed.Intersect(direct).Intersect(inherited)
	}
	bad := twice.Union(want.listed.Minus(held).Union(direct.Intersect(want.forbidden.Union(want.expired))))
	if want.authoritative {
		bad = bad.Union(direct.Minus(want.listed))
	}
	return bad
}

// relies reports whether a revoke took away what was to stay through a group.
func relies(p *executor.Result) bool {
	return slices.ContainsFunc(p.Revoke, func(r planner.PlannedPrivilege) bool {
		return len(r.ReliesOn) > 0 || r.Reason == planner.ReasonRedundant
	})
}

// mentioned reports whether a finding of severity error is about the principal.
func mentioned(r *executor.Report, id mstrapi.ObjectID) bool {
	return slices.ContainsFunc(r.Findings, func(f planner.Finding) bool {
		return f.Severity == planner.SeverityError && f.Principal != nil && f.Principal.ID == id
	})
}

// excess returns the direct grants that the principal must not have.
func (w *world) excess(sim *mstrtest.Server, id mstrapi.ObjectID) planner.Set {
	want := w.wants[id]
	direct := planner.SetOf(sim.Direct(id)...).Intersect(w.scope)
	out := direct.Intersect(want.forbidden.Union(want.expired))
	if want.authoritative {
		out = out.Union(direct.Minus(want.listed))
	}
	return out
}

// A doing is what a server does besides what it is asked.
type doing struct {
	others map[holding]bool // what somebody else has changed meanwhile
	along  bool             // writes have side effects
	late   bool             // writes may be carried out late, readings may be old
}

// lies returns where the report says something else than the server's log and
// state. before is the state when the run began, log what the server saw of the
// run.
func (w *world) lies(sim *mstrtest.Server, r *executor.Report, before map[mstrapi.ObjectID]planner.Set, log []mstrtest.Request, d doing) (wrong []string) {
	others := d.others
	type written struct{ granted, revoked planner.Set }
	writes := make(map[mstrapi.ObjectID]*written)
	patches := make(map[mstrapi.ObjectID]int)
	for _, q := range log {
		if q.Method == "PATCH" {
			patches[mstrapi.ObjectID(q.Path[strings.LastIndexByte(q.Path, '/')+1:])]++
		}
		if len(q.Granted)+len(q.Revoked) == 0 {
			continue
		}
		d := writes[q.Target]
		if d == nil {
			d = &written{}
			writes[q.Target] = d
		}
		d.granted = d.granted.Union(planner.SetOf(q.Granted...))
		d.revoked = d.revoked.Union(planner.SetOf(q.Revoked...))
	}
	foreign := func(id mstrapi.ObjectID) (s planner.Set) {
		for h := range others {
			if h.id == id {
				s.Add(h.privilege)
			}
		}
		return s
	}
	counts := make(map[executor.Outcome]int)
	grants, revokes := 0, 0
	reported := make(map[mstrapi.ObjectID]bool)
	for i := range r.Principals {
		p := &r.Principals[i]
		id := p.Principal.ID
		say := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("%s %s %s: ", p.Principal.Kind, id, p.Outcome)+fmt.Sprintf(format, args...))
		}
		if reported[id] {
			say("reported twice")
		}
		reported[id] = true
		counts[p.Outcome]++
		grants += len(p.Granted)
		revokes += len(p.Revoked)
		foreign := foreign(id)
		now := planner.SetOf(sim.Direct(id)...).Intersect(w.scope)
		grant, revoke := numbers(p.Grant), numbers(p.Revoke)
		granted, revoked := planner.SetOf(p.Granted...), planner.SetOf(p.Revoked...)
		done := written{}
		if d := writes[id]; d != nil {
			done = *d
		}
		differ := func(a, b planner.Set) planner.Set { return a.Minus(b).Union(b.Minus(a)).Minus(foreign) }

		if p.Before != nil {
			if d := differ(p.Before.Direct, before[id].Intersect(w.scope)); !d.IsEmpty() && p.Outcome != executor.InSync {
				say("before is %v, true was %v", p.Before.Direct.IDs(), before[id].IDs())
			}
		}
		if p.After != nil {
			if diff := differ(p.After.Direct, now); !diff.IsEmpty() && (!d.late || p.Outcome != executor.Unverified) {
				say("after is %v, true is %v", p.After.Direct.IDs(), now.IDs())
			}
			inherited := planner.SetOf(sim.Inherited(id)...).Intersect(w.scope)
			if ended := r.Summary.Unverified+r.Summary.Failed == 0 && r.Run.Outcome != executor.RunInterrupted; ended && !d.late && len(others) == 0 && !p.After.Inherited.Equal(inherited) {
				say("inherits %v after the run, true is %v", p.After.Inherited.IDs(), inherited.IDs())
			}
			incomplete := slices.ContainsFunc(r.Findings, func(f planner.Finding) bool { return f.Code == planner.CodeReadFailed })
			if p.Outcome == executor.InSync || p.Outcome == executor.Applied && !incomplete {
				if bad := w.against(id, p.After.Direct, p.After.Inherited); !bad.IsEmpty() && !mentioned(r, id) {
					say("%v is against the policy", bad.IDs())
				}
				if bad := w.against(id, now, inherited); !bad.IsEmpty() && len(others) == 0 && !mentioned(r, id) && r.Run.Outcome != executor.RunInterrupted {
					say("%v is against the policy on the server", bad.IDs())
				}
			}
		}
		if bad := granted.Minus(grant).Union(revoked.Minus(revoke)); !bad.IsEmpty() {
			say("did %v, which was not planned", bad.IDs())
		}
		if bad := granted.Minus(done.granted).Union(revoked.Minus(done.revoked)).Minus(foreign); !bad.IsEmpty() {
			say("claims %v, which the server never did", bad.IDs())
		}
		if missing := done.granted.Minus(granted).Union(done.revoked.Minus(revoked)).Minus(foreign); !missing.IsEmpty() &&
			!d.along && (p.After != nil && !d.late || p.Outcome != executor.Unverified) {
			say("is silent about %v, which the server did", missing.IDs())
		}
		if bad := done.granted.Minus(grant).Union(done.revoked.Minus(revoke)); !bad.IsEmpty() && !d.along {
			say("wrote %v, which was not planned", bad.IDs())
		}
		if patches[id] != p.Attempts && r.Summary.Retries == 0 {
			say("%d attempts, the server saw %d", p.Attempts, patches[id])
		}
		if p.Attempts > patches[id] {
			say("%d attempts, the server saw only %d", p.Attempts, patches[id])
		}

		var held planner.Set
		for _, ref := range p.HeldBack {
			held.Add(ref.ID)
		}
		if bad := held.Minus(now).Minus(foreign).Intersect(before[id]); !bad.IsEmpty() && !d.along {
			say("held back %v, which is gone", bad.IDs())
		}
		if bad := held.Intersect(revoked); !bad.IsEmpty() {
			say("held back and revoked %v", bad.IDs())
		}
		missing := grant.Minus(now).Union(revoke.Intersect(now)).Minus(foreign)
		if d.along {
			missing = planner.Set{} // a later write may have taken it along
		}
		if !done.granted.Union(done.revoked).IsEmpty() {
			switch p.Outcome {
			case executor.Failed, executor.Stale, executor.NotAttempted, executor.InSync:
				if len(p.Granted)+len(p.Revoked) == 0 {
					say("the server did %v and %v", done.granted.IDs(), done.revoked.IDs())
				}
			}
		}
		switch p.Outcome {
		case executor.Drifted:
			if p.Error == nil {
				say("without an error")
			}
			inherited := planner.SetOf(sim.Inherited(id)...).Intersect(w.scope)
			if w.against(id, now, inherited).IsEmpty() && inherited.Intersect(w.wants[id].forbidden).IsEmpty() && !d.late && len(others) == 0 && !relies(p) {
				say("is as the policy wants it")
			}
		case executor.Applied, executor.InSync:
			if !missing.IsEmpty() {
				say("%v is not so", missing.IDs())
			}
			if p.After == nil {
				say("without evidence")
			}
			if p.Outcome == executor.InSync && patches[id] > 0 {
				say("written to")
			}
		case executor.Failed, executor.Unverified:
			if p.Error == nil {
				say("without an error")
			}
			if p.Outcome == executor.Failed && len(p.Grant)+len(p.Revoke) > 0 && p.After != nil && missing.IsEmpty() && foreign.IsEmpty() && !d.along {
				say("everything is as planned")
			}
		case executor.HeldBack:
			// One that needs nothing itself waits for a grant on a group.
			waits := len(p.Grant)+len(p.Revoke) == 0 && p.Error != nil && patches[id] == 0
			if len(p.HeldBack) == 0 && !waits {
				say("nothing was held back")
			}
		case executor.NotAttempted, executor.UnknownState, executor.Stale:
			if patches[id] > 0 {
				say("written to")
			}
			if p.Outcome == executor.Stale && foreign.IsEmpty() {
				say("nobody changed it")
			}
		default:
			say("is no outcome of an apply")
		}
	}
	for id := range writes {
		if !reported[id] {
			wrong = append(wrong, fmt.Sprintf("%s: written to, and not in the report", id))
		}
	}
	s := r.Summary
	for _, c := range []struct {
		name      string
		got, want int
	}{
		{"principals", s.Principals, len(r.Principals)}, {"in-sync", s.InSync, counts[executor.InSync]}, {"applied", s.Applied, counts[executor.Applied]},
		{"failed", s.Failed, counts[executor.Failed]}, {"stale", s.Stale, counts[executor.Stale]}, {"held-back", s.HeldBack, counts[executor.HeldBack]},
		{"unverified", s.Unverified, counts[executor.Unverified]}, {"not-attempted", s.NotAttempted, counts[executor.NotAttempted]},
		{"unknown", s.Unknown, counts[executor.UnknownState]}, {"drifted", s.Drifted, counts[executor.Drifted]}, {"grants", s.Grants, grants}, {"revokes", s.Revokes, revokes},
	} {
		if c.got != c.want {
			wrong = append(wrong, fmt.Sprintf("summary: %s = %d, the lines say %d", c.name, c.got, c.want))
		}
	}
	return wrong
}

func numbers(list []planner.PlannedPrivilege) (s planner.Set) {
	for _, p := range list {
		s.Add(p.ID)
	}
	return s
}

// reportBytes returns the report as it is written, checked with its schema and
// by reading it back.
func reportBytes(t rapid.TB, r *executor.Report) []byte {
	t.Helper()
	if r.Digest == "" {
		if err := r.Seal(); err != nil {
			t.Fatalf("report: %v", err)
		}
	}
	var b bytes.Buffer
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatalf("report: %v", err)
	}
	checkSchema(t, "report", b.Bytes())
	if _, err := executor.ReadReport(bytes.NewReader(b.Bytes())); err != nil {
		t.Errorf("reading the report: %v", err)
	}
	return b.Bytes()
}

// planBytes does the same for a plan.
func planBytes(t rapid.TB, p *planner.Plan) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		t.Fatalf("plan: %v", err)
	}
	checkSchema(t, "plan", b.Bytes())
	return b.Bytes()
}

func checkSchema(t rapid.TB, name string, text []byte) {
	t.Helper()
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := schema.Validate(name, doc); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// retries collects what a client says about its retries.
type retries struct {
	mu      sync.Mutex
	count   int64
	reasons map[string]int
	wrong   []string // records that say too little
}

func (r *retries) Enabled(context.Context, slog.Level) bool { return true }
func (r *retries) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *retries) WithGroup(string) slog.Handler            { return r }

func (r *retries) Handle(_ context.Context, record slog.Record) error {
	if record.Message != "retrying request" {
		return nil
	}
	attrs := make(map[string]slog.Value)
	record.Attrs(func(a slog.Attr) bool { attrs[a.Key] = a.Value; return true })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if r.reasons == nil {
		r.reasons = make(map[string]int)
	}
	r.reasons[attrs["reason"].String()]++
	for _, key := range []string{"method", "path", "attempt", "status", "code", "wait", "reason"} {
		if _, ok := attrs[key]; !ok {
			r.wrong = append(r.wrong, fmt.Sprintf("a retry without %s: %v", key, attrs))
		}
	}
	if record.Level != slog.LevelDebug || attrs["attempt"].Int64() < 1 || attrs["reason"].String() == "" {
		r.wrong = append(r.wrong, fmt.Sprintf("a retry at level %s: %v", record.Level, attrs))
	}
	return nil
}

// caseCount returns how many cases a suite runs: what the variable says, or the
// short form's number.
func caseCount(t rapid.TB, variable string, short int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return short
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s = %q, want a number above 0", variable, text)
	}
	return n
}

// planDate is when random policies are judged: between their dates.
func planDate() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

package planner

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"privsync/clean"
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
	return evaluate(compile(pol, newCatalogue(st.Catalogue, st.Level), st.Now), st)
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
	plan.normalise()
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

// draft is a plan in the making. It counts only if nothing is missing.
type draft struct {
	c     *compiled
	st    *State
	needs *needs
	p     *projection
	rules *judgement

	complete bool
	changes  []Change
	awaits   []await
	findings []Finding
	lost     Set                                               // by the session's user
	risks    []Principal                                       // whose revokes may be that, where nobody knows
	waits    map[*Observed]map[mstrapi.PrivilegeID][]*Observed // users whose grant a group's revoke relies on
	licences *Licences
	impact   *Impact // of all changes together
}

// evaluate decides everything that the state allows to decide; what it lacks
// stands in needs.
func evaluate(c *compiled, st *State) *draft {
	clear(c.conflicts)
	p := project(c, st)
	d := &draft{
		c: c, st: st, needs: p.needs, p: p, rules: newJudgement(p),
		waits: make(map[*Observed]map[mstrapi.PrivilegeID][]*Observed),
	}
	if st.trimmed || !d.needs.isEmpty() {
		return d
	}
	d.countMembers()
	if !d.needs.isEmpty() {
		return d
	}
	d.decideUsers()
	d.describeGroups()
	d.judgeNow()
	d.lost, d.risks = p.actorLoses(d.changes), p.actorRisks(d.changes)
	d.rules.checkRequired()
	d.rules.ruleFindings()
	licences, doubts := p.forecast(d.changes)
	d.licences, d.findings = licences, append(d.findings, doubts...)
	d.measure()
	if !d.needs.isEmpty() {
		return d
	}
	d.complete = true
	slices.SortFunc(d.changes, func(a, b Change) int { return a.Principal.Compare(&b.Principal) })
	return d
}

// countMembers asks for the members of the groups that change: how many users
// they reach, and for rules who these are.
func (d *draft) countMembers() {
	for _, g := range d.p.groups {
		if d.p.decisions[g].isEmpty() {
			continue
		}
		m := d.st.members[g.Principal.ID]
		switch {
		case m != nil && m.err != nil:
			d.needs.addBroken(g, m.err)
		case len(d.c.pol.Rules) > 0 && d.st.judging == JudgeProjected && !d.st.expanded[g.Principal.ID]:
			d.needs.expand = append(d.needs.expand, g)
		case d.p.wantsRows(g):
			d.needs.rows = append(d.needs.rows, g)
		case m == nil:
			d.needs.count = append(d.needs.count, g)
		}
	}
}

// decideUsers goes through everybody who is not a group: those that the policy
// covers, those that no entry covers where these lose what they hold, and those
// whom a changed group reaches. On the way it notes whose entries contradict
// each other.
func (d *draft) decideUsers() {
	var own want
	for _, o := range d.st.covered {
		w := d.c.wantIn(o, &own)
		d.c.noteConflicts(o, w)
		if o.Principal.Kind == mstrapi.User && o.Err == nil {
			d.decideUser(o, w)
		}
	}
	for _, o := range d.st.unlisted {
		if o.Principal.Kind == mstrapi.User && o.Err == nil {
			d.decideUser(o, d.p.unlistedWant(o))
		}
	}
	for _, o := range d.st.unlisted {
		if o.Principal.Kind == mstrapi.Group && o.Err == nil && d.p.active[o] == nil {
			d.decideUser(o, nil)
		}
	}
	for _, o := range d.st.strangers {
		if o.Err == nil {
			d.decideUser(o, nil)
		}
	}
}

// judgeNow judges everybody who was read by what is there, where an audit asks
// for that.
func (d *draft) judgeNow() {
	if d.st.judging == JudgeProjected {
		return
	}
	for o := range d.st.all() {
		if o.Err == nil {
			d.rules.judge(o, o.Direct, o.Inherited)
		}
	}
}

// decideUser decides about one user; w is nil for one of whom nothing is
// wanted.
func (d *draft) decideUser(o *Observed, w *want) {
	judged := d.p.judged(o)
	if w == nil {
		if judged && d.rules.projected() {
			d.rules.judge(o, o.Direct, d.p.inheritedAfter(o, nil, true))
		}
		return
	}
	dec := decide(w, o.Direct, d.p.inheritedAfter(o, w, judged))
	d.p.spareUser(o, w, &dec)
	if !dec.isEmpty() {
		d.changes = append(d.changes, d.change(o, w, &dec, d.userReliesOn(o, &dec)))
		d.waitFor(o, &dec)
	}
	d.await(o, w, &dec)
	if o.Covered {
		d.describe(o, w, &dec)
	}
	if judged && d.rules.projected() {
		d.rules.judge(o, dec.direct(o.Direct), dec.inherited)
	}
}

// userReliesOn returns which grants on groups a revoke on a user relies on:
// those that are all that lets the user keep the privilege. What is forbidden
// is revoked in any case, but not from under the session itself.
func (d *draft) userReliesOn(o *Observed, dec *decision) func(mstrapi.PrivilegeID) []mstrapi.ObjectID {
	return func(q mstrapi.PrivilegeID) []mstrapi.ObjectID {
		if d.p.isForbidden(dec, q) && (o != d.p.actor || !d.p.work.Has(q)) {
			return nil
		}
		if len(d.p.gainers[q]) == 0 || !dec.inherited.Has(q) || d.p.stays(o, q) {
			return nil
		}
		return idsOf(d.p.gainersAbove(o, q))
	}
}

// waitFor notes the groups whose revoke would take from a user what it is
// granted in its place.
func (d *draft) waitFor(o *Observed, dec *decision) {
	for q := range dec.grant.Intersect(o.Inherited).Intersect(d.p.lossy).All() {
		if dec.inherited.Has(q) {
			continue
		}
		for _, g := range d.p.kin.trace(o, q).groups {
			if !slices.Contains(d.p.cut[q], g) {
				continue
			}
			if d.waits[g] == nil {
				d.waits[g] = make(map[mstrapi.PrivilegeID][]*Observed)
			}
			d.waits[g][q] = append(d.waits[g][q], o)
		}
	}
}

// describeGroups adds the groups' changes and findings, once it is known which
// users' grants they wait for.
func (d *draft) describeGroups() {
	for _, g := range d.p.groups {
		w, dec := d.p.active[g], d.p.decisions[g]
		if !dec.isEmpty() {
			d.changes = append(d.changes, d.change(g, w, dec, func(q mstrapi.PrivilegeID) []mstrapi.ObjectID {
				// Who else is below both groups is not known: every grant counts.
				return idsOf(append(slices.Clone(d.p.gainers[q]), d.waits[g][q]...))
			}))
		}
		d.await(g, w, dec)
		if g.Covered {
			d.describe(g, w, dec)
		}
		if d.rules.projected() && d.p.judged(g) {
			d.rules.judge(g, dec.direct(g.Direct), dec.inherited)
		}
	}
}

// await notes what makes o be in sync, where nothing is to be done for it and
// something for a group above it.
func (d *draft) await(o *Observed, w *want, dec *decision) {
	if !o.Covered || !dec.isEmpty() || d.p.gaining.IsEmpty() {
		return
	}
	for q := range w.listed.Intersect(d.p.gaining).Intersect(dec.inherited).Minus(o.Direct).Minus(o.Inherited).All() {
		d.awaits = append(d.awaits, await{o.Principal.ID, Awaited{Privilege: d.c.cat.ref(q), Grants: idsOf(d.p.gainersAbove(o, q))}})
	}
}

// await says that a covered principal is in sync only once one of the grants is
// verified.
type await struct {
	principal mstrapi.ObjectID
	Awaited
}

func idsOf(list []*Observed) []mstrapi.ObjectID {
	if len(list) == 0 {
		return nil
	}
	ids := make([]mstrapi.ObjectID, len(list))
	for i, o := range list {
		ids[i] = o.Principal.ID
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (d *draft) change(o *Observed, w *want, dec *decision, reliesOn func(mstrapi.PrivilegeID) []mstrapi.ObjectID) Change {
	revoke := dec.revoke()
	c := Change{
		Principal:  o.Principal,
		Grant:      make([]PlannedPrivilege, 0, dec.grant.Len()),
		Revoke:     make([]PlannedPrivilege, 0, revoke.Len()),
		Observed:   ObservedSets{Direct: o.Direct, Inherited: o.Inherited},
		ObservedAt: o.At,
		Wanted:     d.wanted(o, w, dec),
	}
	for q := range dec.grant.All() {
		c.Grant = append(c.Grant, PlannedPrivilege{PrivilegeRef: d.c.cat.ref(q), Reason: ReasonListed})
	}
	for q := range revoke.All() {
		c.Revoke = append(c.Revoke, PlannedPrivilege{PrivilegeRef: d.c.cat.ref(q), Reason: dec.reasonOf(q, w), ReliesOn: reliesOn(q)})
	}
	d.c.tell(&c, w)
	if m := d.st.members[o.Principal.ID]; m != nil {
		c.Impact.Members = m.count
	}
	return c
}

// describe adds the findings about what a covered principal inherits: after the
// plan, or in an audit now.
func (d *draft) describe(o *Observed, w *want, dec *decision) {
	d.describeSpared(o, w)
	if d.st.judging != JudgeProjected {
		now := *dec
		now.inherited = o.Inherited
		dec = &now
	}
	for q := range w.forbidden.Intersect(dec.inherited.Union(o.elsewhere())).All() {
		sources, from := d.sources(o, q)
		how := "inherits it from"
		if !dec.inherited.Has(q) {
			how = "holds it through"
		}
		f := finding(CodeInheritedForbidden, SeverityError, "%s is forbidden privilege %s but %s %s", o.Principal.label(), d.c.cat.label(q), how, from)
		f.Sources = sources
		d.findings = append(d.findings, f.about(o.Principal).of(d.c.cat.ref(q)).at(d.c.forbidPosition(w, q)))
	}
	if w.settings.Inherited == policy.InheritedReport {
		for q := range dec.inherited.Minus(w.listed).Minus(w.forbidden).Minus(w.undecided).All() {
			sources, from := d.sources(o, q)
			f := finding(CodeInheritedNotListed, SeverityWarning, "%s inherits privilege %s, which is not listed for it, from %s", o.Principal.label(), d.c.cat.label(q), from)
			f.Sources = sources
			d.findings = append(d.findings, f.about(o.Principal).of(d.c.cat.ref(q)).at(d.c.entryPosition(w)))
		}
	}
	if w.settings.Redundant == policy.RedundantKeep && w.settings.SatisfiedBy != policy.Direct {
		d.describeRedundant(o, w)
	}
}

// describeRedundant gives one finding for all direct grants that o inherits as
// well, and goes on to inherit whatever the plan does.
func (d *draft) describeRedundant(o *Observed, w *want) {
	twice := w.listed.Intersect(o.Direct).Intersect(o.Inherited).Minus(d.p.lossy)
	if twice.IsEmpty() {
		return
	}
	text := fmt.Sprintf("holds %s directly and inherits it as well", d.c.cat.some(twice))
	if n := twice.Len(); n > 1 {
		text = fmt.Sprintf("holds %d privileges directly and inherits them as well: %s", n, joinIDs(twice.IDs()))
	}
	f := finding(CodeRedundantDirect, SeverityInfo, "%s %s", o.Principal.label(), text).about(o.Principal).at(d.c.entryPosition(w))
	f.Privilege = d.c.cat.only(twice)
	d.findings = append(d.findings, f)
}

// describeSpared tells what o keeps although nothing lists it for o: the policy
// lists it for somebody whom the server does not have, who may be o by another
// name.
func (d *draft) describeSpared(o *Observed, w *want) {
	spared := w.spared.Intersect(o.Direct)
	if w.settings.Mode != policy.Authoritative || spared.IsEmpty() {
		return
	}
	f := finding(CodeUnknownPrincipal, SeverityWarning,
		"the revoke of %s from %s is not planned: the policy lists it for a %s that the server does not have, who may go by this name now",
		d.c.cat.some(spared), o.Principal.label(), o.Principal.Kind).about(o.Principal).at(d.c.entryPosition(w))
	f.Privilege = d.c.cat.only(spared)
	d.findings = append(d.findings, f)
}

// sources returns the groups that o will inherit q from, and says in words what
// it comes from, security roles as well.
func (d *draft) sources(o *Observed, q mstrapi.PrivilegeID) ([]Source, string) {
	groups, others := d.p.holders(o, q)
	var out []Source
	var names []string
	for _, g := range groups {
		out = append(out, Source{Kind: mstrapi.Group, ID: g.Principal.ID, Name: g.Principal.Name})
		names = append(names, g.Principal.label())
	}
	names = append(names, others.words()...)
	if len(names) == 0 {
		names = append(names, "a group that could not be determined")
	}
	return out, joinAnd(names)
}

// words names the sources one by one.
func (s otherSources) words() []string {
	var out []string
	for _, r := range s.roles {
		role, project := "a security role", "one project"
		if name := cmp.Or(r.Role.Name, string(r.Role.ID)); name != "" {
			role = "security role " + clean.Quote(name)
		}
		if name := cmp.Or(r.Project.Name, string(r.Project.ID)); name != "" {
			project = "project " + clean.Quote(name)
		}
		out = append(out, role+" in "+project)
	}
	if s.other {
		out = append(out, "a source that is neither a group nor a security role")
	}
	return out
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

package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// pageBuilder gathers a page.
type pageBuilder struct {
	page     *page
	names    map[mstrapi.PrivilegeID]string
	known    names
	findings map[mstrapi.ObjectID][]planner.Finding
	anchors  map[mstrapi.ObjectID]string
	dataFrom int // see HTMLOptions
}

func newPageBuilder(noun string, findings []planner.Finding, known names, o HTMLOptions) *pageBuilder {
	b := &pageBuilder{&page{Noun: noun}, make(map[mstrapi.PrivilegeID]string), known, byPrincipal(findings), make(map[mstrapi.ObjectID]string), o.DataFrom}
	for id, name := range o.Names {
		b.names[id] = Clean(name)
	}
	for _, f := range findings {
		if f.Privilege != nil {
			b.learn(*f.Privilege)
		}
	}
	return b
}

func (b *pageBuilder) learn(p planner.PrivilegeRef) {
	if p.Name != "" {
		b.names[p.ID] = Clean(p.Name)
	}
}

// label names a privilege by what the page knows.
func (b *pageBuilder) label(id mstrapi.PrivilegeID) string {
	return numbered(planner.PrivilegeRef{ID: id, Name: b.names[id]})
}

// toldPrincipal is what a document says of a principal.
type toldPrincipal struct {
	planner.Principal
	now           *executor.Sets // what it held when it was last read, nil for unknown; without sources where the document does not keep them
	grant, revoke []planner.PlannedPrivilege
	words         changeWords
	note          noter
	inSync        bool
	also          func(e *entry) // says the rest
}

// principals adds at most limit of n principals, and counts all of them: by what changes
// and by what they hold.
func (b *pageBuilder) principals(n, limit int, at func(i int) toldPrincipal) (*tally, *holdings) {
	reasons, holding := newTally(), newHoldings()
	for i := range n {
		s := at(i)
		for g, granted := range touched(s.grant, s.revoke) {
			b.learn(g.PrivilegeRef)
			reasons.add(g, granted)
		}
		if s.now != nil {
			holding.add(s.now.Direct, s.now.Inherited)
		}
	}
	chosen := choose(n, limit, func(i int) bool { return at(i).inSync })
	anchor := func(i int) string { return fmt.Sprintf("p%d", i) }
	for i, k := range chosen {
		if id := at(k).ID; id != "" {
			b.anchors[id] = anchor(i)
		}
	}
	for i, k := range chosen {
		e := b.entry(at(k))
		e.Anchor = anchor(i)
		b.page.Principals = append(b.page.Principals, e)
	}
	if left := n - len(chosen); left > 0 {
		b.page.Left = clean.Count(left, "principal") + " left out of this page, which would be too large to show. The totals count all; the JSON document has all."
	}
	return reasons, holding
}

// entry makes the entry of a principal.
func (b *pageBuilder) entry(s toldPrincipal) *entry {
	e := &entry{Kind: Clean(string(s.Kind)), Name: Clean(s.Name), Login: Clean(s.Login), ID: Clean(string(s.ID)), Tenant: Clean(s.Tenant), Known: s.now != nil, InSync: s.inSync}
	e.Name = cmp.Or(e.Name, e.Login, e.ID, "(no name)")
	if e.Login == e.Name {
		e.Login = ""
	}
	if s.now != nil {
		e.direct, e.inherited = s.now.Direct, s.now.Inherited
		e.Held, e.Direct = e.direct.Union(e.inherited).Len(), e.direct.Len()
	}
	for g, granted := range touched(s.grant, s.revoke) {
		switch {
		case granted == e.direct.Has(g.ID):
		case granted:
			e.missing.Add(g.ID)
		case g.Reason == planner.ReasonForbidden:
			e.forbidden.Add(g.ID)
		default:
			e.surplus.Add(g.ID)
		}
		e.Changes = append(e.Changes, changeLine{wordsOf(false).of(granted), s.words.of(granted), b.label(g.ID),
			why(g, b.known, s.note(g, granted)) + inBrackets(originWords(g.Origin))})
	}
	if s.ID != "" {
		for _, f := range b.findings[s.ID] {
			if f.Code == planner.CodeInheritedForbidden && f.Privilege != nil {
				e.forbidden.Add(f.Privilege.ID)
			}
			e.Notes = append(e.Notes, b.note(f))
		}
	}
	if s.now != nil {
		b.sources(e, s.now.Sources)
	}
	s.also(e)
	return e
}

// sources adds the graph of why e holds what it holds. from is what the server
// said, empty where the document does not keep it: then the groups are not told.
func (b *pageBuilder) sources(e *entry, from []executor.PrivilegeSource) {
	add := func(class, label string, ids []mstrapi.PrivilegeID, otherwise byte) {
		if len(ids) == 0 {
			return
		}
		list := make([]held, len(ids))
		for i, id := range ids {
			s := otherwise
			switch {
			case e.forbidden.Has(id):
				s = stateForbidden
			case otherwise == stateDirect && e.surplus.Has(id):
				s = stateSurplus
			}
			list[i] = held{string(s), b.label(id)}
		}
		e.Sources = append(e.Sources, source{class, label, list})
	}
	add("direct", "direct grants", e.direct.IDs(), stateDirect)
	e.from = heldBySource(&executor.Sets{Inherited: e.inherited, Sources: from})
	for _, h := range e.from {
		add("group", h.source, h.privileges, stateInherited)
	}
	add("none", "missing", e.missing.IDs(), stateMissing)
}

// note makes the view of a finding.
func (b *pageBuilder) note(f planner.Finding) toldFinding {
	n := tellFinding(f)
	if f.Principal != nil {
		n.Anchor = b.anchors[f.Principal.ID]
	}
	return n
}

// notes shares the findings out between the errors, which stand at the top, and
// the rest.
func (b *pageBuilder) notes(fs []planner.Finding) {
	const most = 5000
	for _, f := range fs {
		list := &b.page.Notes
		if f.Severity == planner.SeverityError {
			list = &b.page.Errors
		}
		if len(*list) < most {
			*list = append(*list, b.note(f))
		}
	}
	if left := len(fs) - len(b.page.Errors) - len(b.page.Notes); left > 0 {
		b.alarm(yellow, "Not all is shown", clean.Count(left, "finding")+" left out of this page; the JSON document has all.")
	}
}

func (b *pageBuilder) alarm(s style, word, text string) {
	b.page.Alarms = append(b.page.Alarms, alarmed{s.tone(), word, text})
}

// facts adds facts, clean; nothing for an empty value.
func facts(to []fact, more ...fact) []fact {
	for _, f := range more {
		if f.Value = Clean(f.Value); f.Value != "" {
			to = append(to, f)
		}
	}
	return to
}

// evidence adds what plans and reports have in common to be compared by.
func (b *pageBuilder) evidence(t planner.Tool, e planner.Environment, a planner.Actor, p planner.PolicyRef) {
	all := []fact{{"Policy digest", p.Digest}}
	for _, f := range p.Files {
		all = append(all, fact{"Policy file", f.Path + " " + f.Digest})
	}
	b.page.Evidence = facts(facts(b.page.Evidence, all...), fact{"Id of the session's user", string(a.ID)}, fact{"Intelligence Server", e.IServerVersion},
		fact{"Web", e.WebVersion}, fact{"Tool", t.Name + " " + t.Version})
}

// worst names those who are not as the policy wants it, what is worst first. Those that
// drifted are told apart from those of whom less is known.
func (b *pageBuilder) worst() {
	all := slices.DeleteFunc(slices.Clone(b.page.Principals), func(e *entry) bool { return e.InSync })
	weight := func(e *entry) int {
		n := 1000*e.forbidden.Len() + 10*e.surplus.Len() + e.missing.Len()
		switch {
		case e.Outcome == string(executor.Drifted):
			n += 1_000_000_000
		case e.Tone == "bad":
			n += 100_000
		}
		return n
	}
	slices.SortStableFunc(all, func(x, y *entry) int { return cmp.Compare(weight(y), weight(x)) })
	for len(all) > 0 {
		outcome := all[0].Outcome
		var alike, others []*entry
		for _, e := range all {
			if e.Outcome == outcome {
				alike = append(alike, e)
			} else {
				others = append(others, e)
			}
		}
		b.name("%s "+strings.ReplaceAll(outcome, "%", "%%")+", the worst first", alike)
		all = others
	}
}

// foremost names the principals of a plan that a reviewer must see first.
func (b *pageBuilder) foremost(doc *planner.Plan) {
	byAnchor := make(map[string]*entry, len(b.page.Principals))
	for _, e := range b.page.Principals {
		byAnchor[e.Anchor] = e
	}
	var all []*entry
	for _, c := range byWeight(doc) {
		if e := byAnchor[b.anchors[c.Principal.ID]]; e != nil {
			all = append(all, e)
		}
	}
	b.name("%s to change: administrative grants and the widest effect first", all)
}

// name names principals where attention is asked for.
func (b *pageBuilder) name(title string, all []*entry) {
	if len(all) == 0 {
		return
	}
	list := worstList{Title: fmt.Sprintf(title, clean.Count(len(all), "principal")), Named: all[:min(len(all), worstShown)]}
	if left := len(all) - worstShown; left > 0 {
		list.Left = fmt.Sprintf("… and %d more: choose the outcome in the filter to see them.", left)
	}
	b.page.Worst = append(b.page.Worst, list)
}

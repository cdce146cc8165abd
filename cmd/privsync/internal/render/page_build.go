package render

import (
	"cmp"
	"fmt"
	"slices"

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

func newPageBuilder(findings []planner.Finding, o HTMLOptions) *pageBuilder {
	b := &pageBuilder{page: &page{}, names: make(map[mstrapi.PrivilegeID]string), findings: byPrincipal(findings), anchors: make(map[mstrapi.ObjectID]string), dataFrom: o.DataFrom}
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

// entry makes the entry of a principal from what it held when it was last read
// (now; nil for unknown) and what was planned.
func (b *pageBuilder) entry(p planner.Principal, now *planner.ObservedSets, grant, revoke []planner.PlannedPrivilege) *entry {
	e := &entry{Kind: Clean(string(p.Kind)), Name: Clean(p.Name), Login: Clean(p.Login), ID: Clean(string(p.ID)), Tenant: Clean(p.Tenant), Known: now != nil}
	if e.Name == "" {
		e.Name = cmp.Or(e.Login, e.ID, "(no name)")
	}
	if e.Login == e.Name {
		e.Login = ""
	}
	if now != nil {
		e.direct, e.inherited = now.Direct, now.Inherited
		e.Held, e.Direct = e.direct.Union(e.inherited).Len(), e.direct.Len()
	}
	for _, g := range grant {
		if !e.direct.Has(g.ID) {
			e.missing.Add(g.ID)
		}
	}
	for _, r := range revoke {
		switch {
		case !e.direct.Has(r.ID):
		case r.Reason == planner.ReasonForbidden:
			e.forbidden.Add(r.ID)
		default:
			e.surplus.Add(r.ID)
		}
	}
	if p.ID != "" {
		for _, f := range b.findings[p.ID] {
			if f.Code == planner.CodeInheritedForbidden && f.Privilege != nil {
				e.forbidden.Add(f.Privilege.ID)
			}
			e.Notes = append(e.Notes, b.note(f))
		}
	}
	return e
}

// changes adds the lines of grants and revokes to e.
func (b *pageBuilder) changes(e *entry, grant, revoke []planner.PlannedPrivilege, words changeWords, note noter) {
	for g, granted := range touched(grant, revoke) {
		e.Changes = append(e.Changes, changeLine{wordsOf(false).of(granted), words.of(granted), b.label(g.ID),
			why(g, b.known, note(g, granted)) + inBrackets(originWords(g.Origin))})
	}
}

// sources adds the graph of why e holds what it holds. from is what the server
// said, empty where the document does not keep it: then the groups are not told.
func (b *pageBuilder) sources(e *entry, from []executor.PrivilegeSource) {
	if !e.Known {
		return
	}
	list := func(ids []mstrapi.PrivilegeID, otherwise byte) []held {
		out := make([]held, 0, len(ids))
		for _, id := range ids {
			s := otherwise
			switch {
			case e.forbidden.Has(id):
				s = stateForbidden
			case otherwise == stateDirect && e.surplus.Has(id):
				s = stateSurplus
			}
			out = append(out, held{string(s), b.label(id)})
		}
		return out
	}
	if !e.direct.IsEmpty() {
		e.Sources = append(e.Sources, source{"direct", "direct grants", list(e.direct.IDs(), stateDirect)})
	}
	e.from = heldBySource(&executor.Sets{Inherited: e.inherited, Sources: from})
	for _, h := range e.from {
		e.Sources = append(e.Sources, source{"group", h.source, list(h.privileges, stateInherited)})
	}
	if !e.missing.IsEmpty() {
		e.Sources = append(e.Sources, source{"none", "missing", list(e.missing.IDs(), stateMissing)})
	}
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
		n := b.note(f)
		switch {
		case f.Severity == planner.SeverityError && len(b.page.Errors) < most:
			b.page.Errors = append(b.page.Errors, n)
		case f.Severity != planner.SeverityError && len(b.page.Notes) < most:
			b.page.Notes = append(b.page.Notes, n)
		}
	}
	if left := len(fs) - len(b.page.Errors) - len(b.page.Notes); left > 0 {
		b.page.Alarms = append(b.page.Alarms, alarmed{"warn", "Not all is shown", count(left, "finding") + " left out of this page; the JSON document has all."})
	}
}

func (b *pageBuilder) guards(gs []planner.Guard) {
	for _, g := range gs {
		v := guarded{Tone: "bad", Word: "Refused", Name: Clean(g.Name), Actual: Clean(g.Actual), Limit: Clean(g.Limit), Message: Clean(g.Message)}
		if g.Allowed {
			v.Tone, v.Word = "warn", "Allowed by a flag"
		}
		for _, p := range g.Offenders {
			v.Offenders = append(v.Offenders, who(p))
		}
		b.page.Guards = append(b.page.Guards, v)
	}
}

// add appends an entry under its anchor.
func (b *pageBuilder) add(e *entry) { b.page.Principals = append(b.page.Principals, e) }

func (b *pageBuilder) anchor(n int, id mstrapi.ObjectID) string {
	a := fmt.Sprintf("p%d", n)
	if id != "" {
		b.anchors[id] = a
	}
	return a
}

func left(n int) string {
	if n <= 0 {
		return ""
	}
	return count(n, "principal") + " left out of this page, which would be too large to show. The totals count all; the JSON document has all."
}

// facts cleans the values and leaves out the empty ones.
func facts(all []fact) []fact {
	for i := range all {
		all[i].Value = Clean(all[i].Value)
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

// evidence is what plans and reports have in common to be compared by, and more.
func evidence(t planner.Tool, e planner.Environment, a planner.Actor, p planner.PolicyRef, more ...fact) []fact {
	all := append(more, fact{"Policy digest", p.Digest})
	for _, f := range p.Files {
		all = append(all, fact{"Policy file", f.Path + " " + f.Digest})
	}
	return facts(append(all, fact{"Id of the session's user", string(a.ID)}, fact{"Intelligence Server", e.IServerVersion},
		fact{"Web", e.WebVersion}, fact{"Tool", t.Name + " " + t.Version}))
}

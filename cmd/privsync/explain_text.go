package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/mstrapi"
	"privsync/planner"
)

// text renders the explanation for a person.
func (doc *explanation) text() string {
	var b strings.Builder
	who := fmt.Sprintf("%s %s", doc.Principal.Kind, render.Quote(doc.Principal.Name))
	if doc.Principal.Login != "" {
		who = fmt.Sprintf("%s %s %s", doc.Principal.Kind, render.Clean(doc.Principal.Login), render.Quote(doc.Principal.Name))
	}
	fmt.Fprintf(&b, "%s (%s)\n", who, doc.Principal.ID)
	doc.writePolicy(&b)
	doc.Licences.write(&b, doc.Principal.Kind)
	if len(doc.Privileges) == 0 {
		b.WriteString("holds nothing\n")
	}
	for i := range doc.Privileges {
		doc.Privileges[i].write(&b)
	}
	return b.String()
}

// writePolicy writes what the policy says of the principal as a whole.
func (doc *explanation) writePolicy(b *strings.Builder) {
	if doc.Policy == "" {
		return
	}
	fmt.Fprintf(b, "policy %s", render.Clean(doc.Policy))
	if doc.Overlay != "" {
		fmt.Fprintf(b, ", environment %s", render.Clean(doc.Overlay))
	}
	fmt.Fprintf(b, ", as of %s (UTC):\n", doc.Date)
	if len(doc.CoveredBy) == 0 {
		b.WriteString("  no entry covers it\n")
	}
	for _, e := range doc.CoveredBy {
		what := "entry"
		if e.Selector {
			what = "selector"
		}
		fmt.Fprintf(b, "  covered by the %s at %s (%s)", what, render.Clean(e.Position.String()), e.Mode)
		if e.Selector {
			fmt.Fprintf(b, ", which chooses %s", render.Clean(e.Chooses))
		}
		if e.Terms != "" {
			fmt.Fprintf(b, ", %s", render.Clean(e.Terms))
		}
		b.WriteByte('\n')
		if !e.Decides {
			continue
		}
		var parts []string
		if len(e.Stated) > 0 {
			parts = append(parts, strings.Join(e.Stated, ", ")+" (stated there)")
		}
		if len(e.Default) > 0 {
			parts = append(parts, strings.Join(e.Default, ", ")+" (defaults)")
		}
		fmt.Fprintf(b, "    its settings hold: %s\n", strings.Join(parts, "; "))
	}
	for _, s := range doc.Says {
		fmt.Fprintf(b, "  %s\n", render.Clean(s))
	}
}

// write writes why one privilege is held or not, and what becomes of it.
func (p *explainedPrivilege) write(b *strings.Builder) {
	name := render.Clean(p.Name)
	if name == "" {
		name = "(not in the catalogue)"
	}
	state := "held"
	if !p.Held {
		state = "not held"
	}
	fmt.Fprintf(b, "\n%d %s (%s): %s\n", p.ID, name, p.Level, state)
	p.writeWays(b)
	for _, s := range p.Says {
		fmt.Fprintf(b, "  policy: %s\n", render.Clean(s))
	}
	if p.Decision != "" {
		fmt.Fprintf(b, "  plan:   %s\n", render.Clean(p.Decision))
	}
}

// writeWays writes by which ways it is held.
func (p *explainedPrivilege) writeWays(b *strings.Builder) {
	if p.Direct {
		b.WriteString("  directly\n")
	}
	p.writePaths(b)
	if len(p.Paths) == 0 && len(p.Sources) > 0 {
		for _, g := range p.Sources {
			fmt.Fprintf(b, "  through group %s, says the server\n", render.Quote(g.Name))
		}
	}
	for _, r := range p.Roles {
		fmt.Fprintf(b, "  through security role %s in project %s, and in no other\n", called(r.Role), called(r.Project))
	}
	if p.Other {
		b.WriteString("  from a source that is neither a group nor a security role\n")
	}
}

// writePaths writes the paths to each group that holds the privilege.
func (p *explainedPrivilege) writePaths(b *strings.Builder) {
	rest := p.Paths
	unlisted := 0
	for _, g := range p.Holders {
		n := 0
		for n < len(rest) && rest[n][len(rest[n])-1].ID == g.ID {
			steps := make([]string, 0, len(rest[n]))
			for _, step := range rest[n] {
				steps = append(steps, render.Quote(step.Name))
			}
			fmt.Fprintf(b, "  through group %s\n", strings.Join(steps, " <- "))
			n++
		}
		rest = rest[n:]
		switch {
		case n == 0:
			unlisted++
		case g.MorePaths:
			fmt.Fprintf(b, "    and by more paths to group %s\n", render.Quote(g.Name))
		}
	}
	if unlisted > 0 {
		fmt.Fprintf(b, "  and through %s more\n", clean.Count(unlisted, "group"))
	}
}

// called is an object's name, or its id where the server does not tell its name.
func called(ref mstrapi.ObjectRef) string {
	return render.Quote(cmp.Or(ref.Name, string(ref.ID), "(not named)"))
}

// explainedLicences is which products a principal consumes.
type explainedLicences struct {
	Map planner.MapRef `json:"map"`
	// Enabled is nil where the server does not tell, and for groups: a group consumes
	// nothing itself, but each of its enabled members does what is said here.
	Enabled *bool `json:"enabled,omitempty"`
	// Apart says that the server's own audits show no licences for the principal.
	Apart    bool               `json:"apart,omitempty"`
	Products []explainedProduct `json:"products"` // by number
	// Unknown are privileges it holds of which the map does not know what they consume,
	// NotRead the products that the map could not ask about.
	Unknown []planner.PrivilegeRef   `json:"unknown,omitempty"`
	NotRead []planner.LicenceProduct `json:"notRead,omitempty"`
	Doubts  []string                 `json:"doubts,omitempty"`
}

// explainedProduct is one product with the ways of each privilege of it that is held.
type explainedProduct struct {
	planner.LicenceProduct
	Privileges []explainedPrivilege `json:"privileges"`
}

// consumed says which products the principal consumes by what it holds.
func (x *explainer) consumed(held []mstrapi.Held, version string) *explainedLicences {
	m := x.licences.Map
	out := &explainedLicences{
		Map: planner.MapRef{Digest: m.Digest, IServerVersion: m.Environment.IServerVersion}, Products: []explainedProduct{}, NotRead: m.NotRead,
	}
	if x.row.Kind == mstrapi.User {
		if x.row.Enabled != mstrapi.Unknown {
			enabled := x.row.Enabled == mstrapi.Yes
			out.Enabled = &enabled
		}
		_, service := x.parents[planner.ServiceAccounts]
		out.Apart = service || x.row.ID == mstrapi.AdministratorUser
	}
	if doubt := m.Doubt(version); doubt != "" {
		out.Doubts = append(out.Doubts, doubt)
	}
	byID := make(map[mstrapi.PrivilegeID]mstrapi.Held, len(held))
	for _, h := range held {
		byID[h.ID] = h
		if !m.Knows(h.ID) {
			out.Unknown = append(out.Unknown, planner.PrivilegeRef{ID: h.ID, Name: x.catalogue[h.ID].Name})
		}
	}
	for _, p := range m.Products {
		e := explainedProduct{LicenceProduct: planner.LicenceProduct{ID: p.ID, Name: p.Name}}
		for _, ref := range p.Privileges {
			if h, ok := byID[ref.ID]; ok {
				e.Privileges = append(e.Privileges, x.privilege(h, true))
			}
		}
		if len(e.Privileges) > 0 {
			out.Products = append(out.Products, e)
		}
	}
	slices.SortFunc(out.Products, func(a, b explainedProduct) int { return a.ID - b.ID })
	return out
}

// write writes which products the principal consumes, and by what.
func (l *explainedLicences) write(b *strings.Builder, kind mstrapi.Kind) {
	if l == nil {
		return
	}
	would := false
	switch {
	case len(l.Products) == 0:
		b.WriteString("licences: consumes none\n")
	case kind == mstrapi.Group:
		b.WriteString("licences: a group consumes none itself; each enabled member consumes\n")
	case l.Apart:
		b.WriteString("licences: counted apart: the vendor's own audits show none for the built-in administrator and service accounts (?); it holds privileges of\n")
	case l.Enabled == nil:
		b.WriteString("licences: consumes, if it is enabled, which the server does not tell\n")
	case !*l.Enabled:
		b.WriteString("licences: consumes none, because it is disabled; enabled it would consume\n")
		would = true
	default:
		b.WriteString("licences: consumes\n")
	}
	for _, p := range l.Products {
		word := "because it holds"
		if would || l.Apart {
			word = "by"
		}
		fmt.Fprintf(b, "  %s (%d), %s\n", render.Clean(p.Name), p.ID, word)
		for i := range p.Privileges {
			e := &p.Privileges[i]
			fmt.Fprintf(b, "    %d %s: %s\n", e.ID, render.Clean(e.Name), strings.Join(e.ways(), "; "))
		}
	}
	if n := len(l.Unknown); n > 0 {
		names := make([]string, 0, n)
		for _, ref := range l.Unknown {
			names = append(names, fmt.Sprintf("%d %s", ref.ID, render.Clean(ref.Name)))
		}
		fmt.Fprintf(b, "  not known: the licence map does not know what these consume: %s\n", strings.Join(names, ", "))
	}
	for _, p := range l.NotRead {
		fmt.Fprintf(b, "  not known: the licence map could not ask about %s\n", render.Clean(p.Name))
	}
	for _, d := range l.Doubts {
		fmt.Fprintf(b, "  not known: %s\n", d)
	}
}

// ways says in short how the privilege is held.
func (p *explainedPrivilege) ways() []string {
	var b strings.Builder
	p.writeWays(&b)
	var out []string
	for line := range strings.Lines(b.String()) {
		out = append(out, strings.TrimSpace(line))
	}
	return out
}

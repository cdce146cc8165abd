package main

import (
	"fmt"
	"slices"
	"strings"

	"privsync/cmd/privsync/internal/render"
	"privsync/mstrapi"
	"privsync/planner"
)

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

package main

import (
	"cmp"
	"fmt"
	"strings"

	"privsync/cmd/privsync/internal/render"
	"privsync/mstrapi"
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
		fmt.Fprintf(b, "  and through %s more\n", plural(unlisted, "group", "groups"))
	}
}

// called is an object's name, or its id where the server does not tell its name.
func called(ref mstrapi.ObjectRef) string {
	return render.Quote(cmp.Or(ref.Name, string(ref.ID), "(not named)"))
}

package render

import (
	"cmp"
	"strconv"
	"strings"

	"privsync/planner"
)

// apartMark follows whoever is counted apart: whether the server counts such users no
// document says.
const apartMark = "(?)"

// throughWords says by which privileges a product is consumed, and how each is held.
func throughWords(list []planner.Through) []string {
	var out []string
	for i := 0; i < len(list); {
		ref := list[i].Privilege
		var ways []string
		for ; i < len(list) && list[i].Privilege.ID == ref.ID; i++ {
			ways = append(ways, wayWords(&list[i]))
		}
		out = append(out, privilege(ref)+" ("+strings.Join(ways, ", ")+")")
	}
	return out
}

// wayWords says how a privilege is held.
func wayWords(t *planner.Through) string {
	var names []string
	for _, g := range t.Groups {
		names = append(names, Quote(cmp.Or(g.Name, string(g.ID))))
	}
	switch {
	case t.Source == planner.ThroughDirect:
		return "directly"
	case t.Source == planner.ThroughGroup && len(names) > 0:
		return "through group " + someOf(names)
	case t.Source == planner.ThroughGroup:
		return "through a group"
	case t.Source == planner.ThroughRole:
		return "by security role " + someOf(names)
	}
	return fromElsewhere
}

// licenceUse writes who consumes what.
func (t *textWriter) licenceUse(doc *planner.LicenceUse) {
	t.line(bold, "Who consumes licences, of those that policy %s covers", policyName(planner.PolicyRef{Name: doc.Policy.Name}))
	t.field("server", server(doc.Environment))
	t.field("actor", actor(doc.Actor))
	t.field("at", stamp(doc.ReadAt))
	t.field("counted", countedWords(doc.Counted, doc.ComplianceTime))
	t.errorFindings(doc.Findings)
	rows := [][]string{{"product", "users", "licences", "apart " + apartMark}}
	for i := range doc.Products {
		p := &doc.Products[i]
		if p.Users+p.Apart > 0 {
			rows = append(rows, []string{Clean(p.Name), atLeast(p.AtLeast, p.Users), seatsWords(p.Entitled, p.Unlimited), zeroBlank(p.Apart)})
		}
	}
	t.blank()
	if len(rows) == 1 {
		t.line(plain, "Nobody of them consumes anything.")
	} else {
		t.table(rows)
	}
	for i := range doc.Rows {
		r := &doc.Rows[i]
		if i == 0 || doc.Rows[i-1].Principal != r.Principal {
			t.part(bold, "%s", who(r.Principal))
		}
		mark := ""
		if r.Apart {
			mark = " " + apartMark
		}
		t.para(plain, 6, "  "+Clean(r.Product.Name)+mark+": "+strings.Join(throughWords(r.Through), "; "))
	}
	t.otherFindings(doc.Findings, nil)
}

// seatRows are the rows of [planner.LicenceUse] for [CSV]: one for each user and
// product.
func seatRows(doc *planner.LicenceUse, row func(...string)) {
	row("id", "login", "name", "product", "product_number", "counted", "privileges", "sources")
	for i := range doc.Rows {
		r := &doc.Rows[i]
		var privileges, sources []string
		for k := range r.Through {
			t := &r.Through[k]
			if k == 0 || r.Through[k-1].Privilege.ID != t.Privilege.ID {
				privileges = append(privileges, privilege(t.Privilege))
			}
			sources = append(sources, t.Privilege.ID.String()+" "+wayWords(t))
		}
		counted := "yes"
		if r.Apart {
			counted = "apart " + apartMark
		}
		row(string(r.Principal.ID), r.Principal.Login, r.Principal.Name, r.Product.Name, strconv.Itoa(r.Product.ID), counted,
			strings.Join(privileges, "; "), strings.Join(sources, "; "))
	}
}

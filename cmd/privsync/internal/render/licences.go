package render

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// maxSeated bounds how many users of one list of licences a page names.
const maxSeated = 500

// noSeats is said where nobody who was counted consumes anything.
const noSeats = "Nobody who was counted consumes any of the products of the licence map."

// seats are who consumes licences: a table of the products that somebody consumes, or
// comes to, and who makes its numbers.
type seats struct {
	Said string
	table
	Lists []seatList
}

// seatList are users who have to do with a product in one way: who comes to consume it
// and who no longer does, and what an audit tells of it.
type seatList struct {
	Title string // clean
	users []planner.Consumer
}

// Shown are those whom a page names.
func (l seatList) Shown() []planner.Consumer { return l.users[:min(len(l.users), maxSeated)] }

// Left says how many a page leaves out, or "".
func (l seatList) Left() string {
	if more := len(l.users) - maxSeated; more > 0 {
		return "and " + clean.Count(more, "user") + " more; the JSON document has them"
	}
	return ""
}

// seatsOf tells of licences; nil where they were not counted.
func seatsOf(l *planner.Licences) *seats {
	if l == nil {
		return nil
	}
	s := &seats{Said: countedWords(l.Counted, l.ComplianceTime), table: table{Heads: []string{"product", "now", "after", "difference", "licences", "apart " + apartMark}}}
	for i := range l.Products {
		p := &l.Products[i]
		if p.Now+p.After+p.Apart > 0 || p.AtMost != nil {
			difference := fmt.Sprintf("%+d", p.Difference)
			if p.AtMost != nil {
				difference += fmt.Sprintf(" to %+d", *p.AtMost)
			}
			s.Rows = append(s.Rows, []string{
				Clean(p.Name), atLeast(p.AtLeast, p.Now), atLeast(p.AtLeast, p.After), difference, seatsWords(p.Entitled, p.Unlimited), zeroBlank(p.Apart),
			})
		}
		add := func(before, after string, users []planner.Consumer) {
			if len(users) > 0 {
				s.Lists = append(s.Lists, seatList{Clean(p.Name) + ", " + before + clean.Count(len(users), "user") + after, users})
			}
		}
		add("gained by ", "", p.Gains)
		add("freed by ", "", p.Frees)
		add("cheapest seats: ", " by one privilege only", p.Cheapest)
		add("consumed by ", "", p.Consumers)
		add("counted apart "+apartMark+": ", "", p.ApartUsers)
	}
	return s
}

// SaidAll is a sentence on the numbers.
func (s *seats) SaidAll() string {
	return capital(s.Said) + "." + when(len(s.Rows) == 0, " %s", noSeats)
}

// atLeast is a number that may be a lower bound.
func atLeast(bound bool, n int) string {
	if bound {
		return "≥ " + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

// seatsWords says how many licences there are.
func seatsWords(entitled *int, unlimited bool) string {
	switch {
	case unlimited:
		return "no limit"
	case entitled != nil:
		return strconv.Itoa(*entitled)
	}
	return "not known"
}

func zeroBlank(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// countedWords says of how many users the numbers are.
func countedWords(c planner.CountedUsers, compliance *time.Time) string {
	text := clean.Count(c.Users, "user") + " counted, of an unknown number"
	if c.Of != nil {
		text = fmt.Sprintf("%d of %s counted", c.Users, clean.Count(*c.Of, "user"))
	}
	if compliance != nil {
		return text + "; licences by the server's count of " + stamp(*compliance)
	}
	return text + "; how many licences there are is not known"
}

// consumerWords says by what a user consumes a product.
func consumerWords(c planner.Consumer) string {
	return strings.Join(throughWords(c.Through), "; ") + when(len(c.Also) > 0, "; to give it up frees %s as well", Clean(strings.Join(c.Also, ", ")))
}

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
	name := func(g mstrapi.ObjectRef) string { return Quote(cmp.Or(g.Name, string(g.ID))) }
	switch {
	case t.Source == planner.ThroughDirect:
		return "directly"
	case t.Source == planner.ThroughGroup && len(t.Groups) > 0:
		return "through group " + someOf(t.Groups, name)
	case t.Source == planner.ThroughGroup:
		return "through a group"
	case t.Source == planner.ThroughRole:
		return "by security role " + someOf(t.Groups, name)
	}
	return fromElsewhere
}

// licences writes the table of licences, and who makes its numbers.
func (t *textWriter) licences(l *planner.Licences) {
	s := seatsOf(l)
	if s == nil {
		return
	}
	t.part(bold, "Licences (%s):", s.Said)
	if len(s.Rows) == 0 {
		t.line(plain, "  %s", noSeats)
		return
	}
	t.table(s.table)
	for _, list := range s.Lists {
		t.line(plain, "  %s:", list.Title)
		show, more := few(t, list.users, shownFindings)
		for _, c := range show {
			t.para(plain, 6, "    "+who(c.Principal)+": "+consumerWords(c))
		}
		if more > 0 {
			t.line(dim, "    … and %d more; --format json shows all", more)
		}
	}
}

// licenceTable is the table of licences: one row for each product.
func licenceTable(l *planner.Licences) section {
	s := seatsOf(l)
	if s == nil {
		return section{}
	}
	open := "\n### Licences\n\n" + capital(s.Said) + ".\n\n"
	if len(s.Rows) == 0 {
		return lines(open+noSeats+"\n", "product", 3, 1, func(int) string { return "\n" })
	}
	return s.section(open, "product", 3)
}

// licenceSection says who makes the numbers of the table of licences.
func licenceSection(l *planner.Licences) section {
	type seat struct {
		title string
		planner.Consumer
	}
	var all []seat
	if s := seatsOf(l); s != nil {
		for _, list := range s.Lists {
			for i, c := range list.users {
				title := ""
				if i == 0 {
					title = "- " + span(list.Title, clipMessage) + "\n"
				}
				all = append(all, seat{title, c})
			}
		}
	}
	s := section{noun: "seat", n: len(all), weight: 2}
	s.open, s.close = folded("Who consumes licences", "Show "+clean.Count(s.n, "seat"))
	s.item = func(i int) (string, string) {
		line := all[i].title + "  - " + spanWho(all[i].Principal)
		return line + ": " + span(consumerWords(all[i].Consumer), clipMessage) + "\n", line + "\n"
	}
	return s
}

// licenceUse writes who consumes what.
func (t *textWriter) licenceUse(doc *planner.LicenceUse) {
	t.line(bold, "Who consumes licences, of those that policy %s covers", policyName(planner.PolicyRef{Name: doc.Policy.Name}))
	t.field("server", server(doc.Environment))
	t.field("actor", actor(doc.Actor))
	t.field("at", stamp(doc.ReadAt))
	t.field("counted", countedWords(doc.Counted, doc.ComplianceTime))
	t.errorFindings(doc.Findings)
	products := table{Heads: []string{"product", "users", "licences", "apart " + apartMark}}
	for i := range doc.Products {
		if p := &doc.Products[i]; p.Users+p.Apart > 0 {
			products.Rows = append(products.Rows, []string{Clean(p.Name), atLeast(p.AtLeast, p.Users), seatsWords(p.Entitled, p.Unlimited), zeroBlank(p.Apart)})
		}
	}
	t.blank()
	if len(products.Rows) == 0 {
		t.line(plain, "Nobody of them consumes anything.")
	} else {
		t.table(products)
	}
	for i := range doc.Rows {
		r := &doc.Rows[i]
		if i == 0 || doc.Rows[i-1].Principal != r.Principal {
			t.part(bold, "%s", who(r.Principal))
		}
		t.para(plain, 6, "  "+Clean(r.Product.Name)+when(r.Apart, " %s", apartMark)+": "+strings.Join(throughWords(r.Through), "; "))
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

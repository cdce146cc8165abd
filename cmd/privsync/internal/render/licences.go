package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"privsync/planner"
)

// licenceHeads are the heads of the table of licences.
func licenceHeads() []string {
	return []string{"product", "now", "after", "difference", "licences", "apart " + apartMark}
}

// licenceRows are the rows of the table of licences: the products that somebody
// consumes, or comes to.
func licenceRows(l *planner.Licences) [][]string {
	var rows [][]string
	if l == nil {
		return nil
	}
	for _, p := range l.Products {
		if p.Now+p.After+p.Apart == 0 && p.AtMost == nil {
			continue
		}
		difference := fmt.Sprintf("%+d", p.Difference)
		if p.AtMost != nil {
			difference += fmt.Sprintf(" to %+d", *p.AtMost)
		}
		rows = append(rows, []string{
			Clean(p.Name), atLeast(p.AtLeast, p.Now), atLeast(p.AtLeast, p.After), difference, seatsWords(p.Entitled, p.Unlimited), zeroBlank(p.Apart),
		})
	}
	return rows
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
	text := count(c.Users, "user") + " counted, of an unknown number"
	if c.Of != nil {
		text = fmt.Sprintf("%d of %s counted", c.Users, count(*c.Of, "user"))
	}
	if compliance != nil {
		return text + "; licences by the server's count of " + stamp(*compliance)
	}
	return text + "; how many licences there are is not known"
}

// seatList are users who have to do with a product in one way.
type seatList struct {
	title string // clean
	users []planner.Consumer
}

// seatLists are who comes to consume what and who no longer does, and what an audit
// tells of each product.
func seatLists(l *planner.Licences) []seatList {
	var out []seatList
	if l == nil {
		return nil
	}
	for i := range l.Products {
		p := &l.Products[i]
		for _, list := range []struct {
			before, after string
			users         []planner.Consumer
		}{
			{"gained by ", "", p.Gains}, {"freed by ", "", p.Frees}, {"cheapest seats: ", " by one privilege only", p.Cheapest},
			{"consumed by ", "", p.Consumers}, {"counted apart " + apartMark + ": ", "", p.ApartUsers},
		} {
			if len(list.users) > 0 {
				out = append(out, seatList{Clean(p.Name) + ", " + list.before + count(len(list.users), "user") + list.after, list.users})
			}
		}
	}
	return out
}

// consumerWords says by what a user consumes a product.
func consumerWords(c *planner.Consumer) string {
	text := strings.Join(throughWords(c.Through), "; ")
	if len(c.Also) > 0 {
		text += "; to give it up frees " + Clean(strings.Join(c.Also, ", ")) + " as well"
	}
	return text
}

// table writes rows, the first of which are the heads. The first column is text, the
// others are numbers.
func (t *textWriter) table(rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i == 0 {
				b.WriteString(c + pad)
			} else {
				b.WriteString("  " + pad + c)
			}
		}
		t.line(plain, "  %s", strings.TrimRight(b.String(), " "))
	}
}

// noSeats is said where nobody who was counted consumes anything.
const noSeats = "Nobody who was counted consumes any of the products of the licence map."

// licences writes the table of licences, and who makes its numbers.
func (t *textWriter) licences(l *planner.Licences) {
	if l == nil {
		return
	}
	t.part(bold, "Licences (%s):", countedWords(l.Counted, l.ComplianceTime))
	rows := licenceRows(l)
	if len(rows) == 0 {
		t.line(plain, "  %s", noSeats)
		return
	}
	t.table(append([][]string{licenceHeads()}, rows...))
	for _, list := range seatLists(l) {
		t.line(plain, "  %s:", list.title)
		show := list.users
		if !t.o.Verbose && len(show) > shownFindings {
			show = show[:shownFindings]
		}
		for i := range show {
			t.para(plain, 6, "    "+who(show[i].Principal)+": "+consumerWords(&show[i]))
		}
		if more := len(list.users) - len(show); more > 0 {
			t.line(dim, "    … and %d more; --format json shows all", more)
		}
	}
}

// licenceTable is the table of licences: one row for each product.
func licenceTable(l *planner.Licences) section {
	rows := licenceRows(l)
	s := section{noun: "product", n: len(rows), weight: 3}
	if l == nil {
		return s
	}
	s.open = "\n### Licences\n\n" + capital(countedWords(l.Counted, l.ComplianceTime)) + ".\n\n"
	if len(rows) == 0 {
		return section{open: s.open + noSeats + "\n", noun: "product", n: 1, item: func(int) (string, string) { return "\n", "\n" }}
	}
	s.open += "| " + strings.Join(licenceHeads(), " | ") + " |\n|---|---:|---:|---:|---:|---:|\n"
	s.item = func(i int) (string, string) {
		cells := slices.Clone(rows[i])
		// In a cell no code span may hold what divides cells or ends spans.
		cells[0] = span(strings.NewReplacer("|", "¦", "`", "'", `\`, "/").Replace(cells[0]), clipName)
		row := "| " + strings.Join(cells, " | ") + " |\n"
		return row, row
	}
	return s
}

// licenceSection says who makes the numbers of the table of licences.
func licenceSection(l *planner.Licences) section {
	type seat struct {
		title string
		user  *planner.Consumer
	}
	var seats []seat
	for _, list := range seatLists(l) {
		for i := range list.users {
			title := ""
			if i == 0 {
				title = list.title
			}
			seats = append(seats, seat{title, &list.users[i]})
		}
	}
	s := section{noun: "seat", n: len(seats), weight: 2}
	s.open = "\n### Who consumes licences\n\n<details><summary>Show " + count(s.n, "seat") + "</summary>\n\n"
	s.close = "\n</details>\n"
	s.item = func(i int) (string, string) {
		head := ""
		if seats[i].title != "" {
			head = "- " + span(seats[i].title, clipMessage) + "\n"
		}
		short := head + "  - " + spanWho(seats[i].user.Principal) + "\n"
		return head + "  - " + spanWho(seats[i].user.Principal) + ": " + span(consumerWords(seats[i].user), clipMessage) + "\n", short
	}
	return s
}

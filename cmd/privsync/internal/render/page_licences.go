package render

import "privsync/planner"

// maxSeated bounds how many users of one list of licences a page names.
const maxSeated = 500

// seatsOf makes the page's part about licences; nil where they were not counted.
func seatsOf(l *planner.Licences) *seats {
	if l == nil {
		return nil
	}
	out := &seats{Said: capital(countedWords(l.Counted, l.ComplianceTime)) + ".", Heads: licenceHeads(), Rows: licenceRows(l)}
	if len(out.Rows) == 0 {
		out.Said += " " + noSeats
	}
	for _, list := range seatLists(l) {
		s := seated{Title: list.title}
		show := list.users[:min(len(list.users), maxSeated)]
		for i := range show {
			s.Users = append(s.Users, toldSeat{who(show[i].Principal), consumerWords(&show[i])})
		}
		if more := len(list.users) - len(show); more > 0 {
			s.Left = "and " + count(more, "user") + " more; the JSON document has them"
		}
		out.Lists = append(out.Lists, s)
	}
	return out
}

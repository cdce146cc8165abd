package render

import (
	"strconv"
	"strings"
	"time"

	"privsync/executor"
	"privsync/mstrapi"
)

// heldAt writes who held some privileges at a time.
func (t *textWriter) heldAt(d *executor.HeldAt) {
	t.line(bold, "Who held %s at %s", privileges(d.Privileges), d.At.UTC().Format(time.RFC3339))
	t.field("server", Clean(d.Server))
	t.field("reports", Clean(d.Source))
	t.blank()
	for i := range d.Holders {
		h := &d.Holders[i]
		t.line(plain, "%s: %s; last seen before then %s, run %s", who(h.Principal), heldThen(h.Holds, len(d.Privileges) > 1), seenTime(h.LastSeen), Clean(h.Run))
	}
	if len(d.Holders) == 0 {
		t.line(plain, "Nobody of those whom the reports looked at.")
	}
	for _, u := range d.Unknown {
		t.line(yellow, "%s: unknown, the last report before then could not read it (%s, run %s)", who(u.Principal), seenTime(u.LastSeen), Clean(u.Run))
	}
	for _, u := range d.NotSeen {
		t.line(yellow, "%s: never looked at before then", who(u.Principal))
	}
	t.part(plain, "%s; %d unknown, %d never looked at before then. Whom no report covers is not known here.", count(len(d.Holders), "holder"), len(d.Unknown), len(d.NotSeen))
}

func heldThen(holds []executor.HeldThen, several bool) string {
	var parts []string
	for _, h := range holds {
		var ways []string
		if h.Direct {
			ways = append(ways, "directly")
		}
		if h.Inherited {
			ways = append(ways, "through a group")
		}
		text := strings.Join(ways, " and ")
		if several {
			text = strconv.Itoa(int(h.ID)) + " " + text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func seenTime(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// heldAtRows are the rows for [CSV]: one for each privilege that somebody held, and one
// for each of whom that is not known.
func heldAtRows(d *executor.HeldAt, row func(...string)) {
	row("state", "kind", "id", "name", "login", "privilege", "privilege_name", "direct", "inherited", "last_seen", "run")
	add := func(state string, s *executor.SeenAt, privilege, name, direct, inherited string) {
		row(state, string(s.Principal.Kind), string(s.Principal.ID), s.Principal.Name, s.Principal.Login, privilege, name, direct, inherited, timeCell(s.LastSeen), s.Run)
	}
	names := make(map[mstrapi.PrivilegeID]string)
	for _, p := range d.Privileges {
		names[p.ID] = p.Name
	}
	for i := range d.Holders {
		h := &d.Holders[i]
		for _, held := range h.Holds {
			add("holds", &h.SeenAt, held.ID.String(), names[held.ID], strconv.FormatBool(held.Direct), strconv.FormatBool(held.Inherited))
		}
	}
	for i := range d.Unknown {
		add("unknown", &d.Unknown[i], "", "", "", "")
	}
	for i := range d.NotSeen {
		add("not-seen", &d.NotSeen[i], "", "", "", "")
	}
}

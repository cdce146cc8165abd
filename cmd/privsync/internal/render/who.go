package render

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"strconv"
	"time"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// maxTold bounds how many groups are named as one way in text and Markdown.
const maxTold = 20

// holderNames tells apart the groups, and the users, that would read alike.
func holderNames(doc *planner.Holders) names {
	n := newNames()
	for i := range doc.Holders {
		n.note(doc.Holders[i].Principal)
		for _, h := range doc.Holders[i].Holds {
			for _, g := range slices.Concat(h.Groups, h.From) {
				n.note(groupOf(g))
			}
		}
	}
	for _, u := range doc.Unread {
		n.note(u.Principal)
	}
	return n
}

func groupOf(g mstrapi.ObjectRef) planner.Principal {
	return planner.Principal{Kind: mstrapi.Group, ID: g.ID, Name: g.Name}
}

// holder is [who], with the id where that is needed to know who is meant: of namesakes,
// and of users whose login the server does not tell.
func (n names) holder(p planner.Principal) string {
	if (n.alike(p) || p.Kind == mstrapi.User && p.Login == "" && p.Name != "") && p.ID != "" {
		return who(p) + " (" + Clean(string(p.ID)) + ")"
	}
	return who(p)
}

// holdersOf splits the holders of a privilege into users and groups, with how each
// holds it.
func holdersOf(doc *planner.Holders, id mstrapi.PrivilegeID) iter.Seq2[*planner.Holder, *planner.Holding] {
	return func(yield func(*planner.Holder, *planner.Holding) bool) {
		for _, kind := range []mstrapi.Kind{mstrapi.User, mstrapi.Group} {
			for i := range doc.Holders {
				h := &doc.Holders[i]
				if (h.Principal.Kind == mstrapi.Group) != (kind == mstrapi.Group) {
					continue
				}
				for j := range h.Holds {
					if h.Holds[j].ID == id && !yield(h, &h.Holds[j]) {
						return
					}
				}
			}
		}
	}
}

// waysOf says by which ways a privilege is held; mark shows a name.
func waysOf(h *planner.Holding, mark namer) []string {
	var out []string
	if h.Direct {
		out = append(out, "directly")
	}
	if len(h.Groups) > 0 {
		text := "through " + someOf(h.Groups, mark.group)
		from := slices.DeleteFunc(slices.Clone(h.From), func(g mstrapi.ObjectRef) bool {
			return slices.ContainsFunc(h.Groups, func(via mstrapi.ObjectRef) bool { return via.ID == g.ID })
		})
		out = append(out, text+when(len(from) > 0, " from %s", someOf(from, mark.group)))
	}
	for _, r := range h.Roles {
		text := "by " + mark.said(roleSource(r)+", in no other")
		if len(h.Groups) > 0 && !h.Inherited {
			out[len(out)-1] += " " + text // the groups have it from the roles
		} else {
			out = append(out, text)
		}
	}
	if h.Other {
		out = append(out, fromElsewhere)
	}
	return out
}

// namer shows what comes from outside in one format.
type namer struct {
	who  func(planner.Principal) string
	said func(clean string) string
}

func (m namer) group(g mstrapi.ObjectRef) string { return m.who(groupOf(g)) }

// plainMark shows names in text, spanMark in Markdown.
func plainMark() namer { return namer{who, itself} }

func spanMark() namer {
	return namer{spanWho, func(s string) string { return span(s, 2*clipName) }}
}

// disabledMark says whether a user is enabled, where that is not as usual.
func disabledMark(h *planner.Holder) string {
	switch {
	case h.Principal.Kind == mstrapi.Group:
		return ""
	case h.Enabled == nil:
		return " [enabled: unknown]"
	case !*h.Enabled:
		return " [disabled]"
	}
	return ""
}

// holdersCount says how many hold a privilege.
func holdersCount(p *planner.AskedPrivilege) string {
	return clean.Count(p.Users, "user") + when(p.Disabled > 0, " (%d disabled)", p.Disabled) + ", " + clean.Count(p.Groups, "group")
}

// askedWords says what was asked for.
func askedWords(doc *planner.Holders) string {
	if len(doc.Privileges) == 1 {
		return privilege(doc.Privileges[0].PrivilegeRef)
	}
	return clean.Count(len(doc.Privileges), "privilege")
}

// readWords says how many were read of those that there are.
func readWords(doc *planner.Holders) string {
	of := func(c planner.ReadCount, noun string) string {
		if c.Known == nil {
			return clean.Count(c.Read, noun) + " of an unknown number"
		}
		return fmt.Sprintf("%d of %s", c.Read, clean.Count(*c.Known, noun))
	}
	return of(doc.Coverage.Users, "user") + ", " + of(doc.Coverage.Groups, "group") + when(!doc.Complete, ": NOT EVERYBODY")
}

func projectWords(p *planner.ProjectRef) string {
	if p == nil {
		return ""
	}
	if p.Name == "" {
		return Clean(string(p.ID))
	}
	return named(mstrapi.ObjectRef{ID: p.ID, Name: p.Name}) + " (" + Clean(string(p.ID)) + ")"
}

// holders writes who holds what.
func (t *textWriter) holders(doc *planner.Holders) {
	alike := holderNames(doc)
	t.line(bold, "Who holds %s", askedWords(doc))
	t.field("server", server(doc.Environment))
	t.field("actor", actor(doc.Actor))
	t.field("project", projectWords(doc.Project))
	t.field("at", stamp(doc.ReadAt))
	t.field("read", readWords(doc))
	t.errorFindings(doc.Findings)
	if len(doc.Unread) > 0 {
		t.part(alarm, "%s could not be read: whether they hold anything is not known", clean.Count(len(doc.Unread), "principal"))
		for _, u := range doc.Unread {
			t.para(alarm, 4, "  ? "+alike.holder(u.Principal)+": "+Clean(u.Message))
		}
	}
	for i := range doc.Privileges {
		p := &doc.Privileges[i]
		t.part(bold, "%s (%s): %s", privilege(p.PrivilegeRef), Clean(string(p.Level)), holdersCount(p))
		for h, holding := range holdersOf(doc, p.ID) {
			s := plain
			if h.Enabled != nil && !*h.Enabled {
				s = dim
			}
			t.line(s, "  %s%s: %s", alike.holder(h.Principal), disabledMark(h), strings.Join(waysOf(holding, namer{alike.holder, itself}), "; "))
		}
	}
	t.otherFindings(doc.Findings, nil)
}

// markdownHolders is the view of who holds what. Everybody is listed, however many.
func markdownHolders(doc *planner.Holders) string {
	alike := holderNames(doc)
	said := spanMark().said
	mark := namer{func(p planner.Principal) string { return said(alike.holder(p)) }, said}
	var b strings.Builder
	fmt.Fprintf(&b, "## Who holds %s on %s\n\n", span(askedWords(doc), clipName), span(doc.Environment.URL, clipName))
	if !doc.Complete {
		b.WriteString("⛔ **Not everybody could be read.**\n\n")
	}
	fmt.Fprintf(&b, "Read by %s at %s: %s.\n", span(actor(doc.Actor), clipName), stamp(doc.ReadAt), readWords(doc))
	if doc.Project != nil {
		fmt.Fprintf(&b, "\nIn project %s.\n", span(projectWords(doc.Project), clipName))
	}
	if len(doc.Unread) > 0 {
		fmt.Fprintf(&b, "\n### ⛔ %s could not be read\n\n", clean.Count(len(doc.Unread), "principal"))
		for _, u := range doc.Unread {
			fmt.Fprintf(&b, "- %s: %s\n", mark.who(u.Principal), span(u.Message, clipMessage))
		}
	}
	for _, f := range doc.Findings {
		text, _ := findingItem(f)
		b.WriteString("\n" + text)
	}
	for i := range doc.Privileges {
		p := &doc.Privileges[i]
		fmt.Fprintf(&b, "\n### %s: %s\n\n", spanPrivilege(p.PrivilegeRef), holdersCount(p))
		for h, holding := range holdersOf(doc, p.ID) {
			disabled := strings.Trim(disabledMark(h), " []")
			fmt.Fprintf(&b, "- %s%s: %s\n", mark.who(h.Principal), when(disabled != "", " **%s**", disabled), strings.Join(waysOf(holding, mark), "; "))
		}
	}
	fmt.Fprintf(&b, "\n---\n\nServer %s. %s\n", span(server(doc.Environment), clipMessage), toolWords(doc.Tool))
	return b.String()
}

// holderRows are who holds what, for [CSV]: a row for each principal and privilege, and
// for each principal that could not be read.
func holderRows(doc *planner.Holders, row func(...string)) {
	row("privilege", "privilege_name", "level", "holds", "kind", "id", "login", "name", "enabled", "direct", "inherited", "groups", "from_groups", "roles", "other_source", "error")
	for i := range doc.Privileges {
		p := &doc.Privileges[i]
		for h, holding := range holdersOf(doc, p.ID) {
			row(slices.Concat([]string{p.ID.String(), p.Name, string(p.Level), "yes"}, cellsOf(h.Principal), []string{
				enabledCell(h), yesNo(holding.Direct), yesNo(holding.Inherited),
				refsCell(holding.Groups), refsCell(holding.From), rolesCell(holding.Roles), yesNo(holding.Other), "",
			})...)
		}
	}
	for _, u := range doc.Unread {
		row(slices.Concat([]string{"", "", "", "unknown"}, cellsOf(u.Principal), []string{"", "", "", "", "", "", "", u.Message})...)
	}
}

func enabledCell(h *planner.Holder) string {
	switch {
	case h.Principal.Kind == mstrapi.Group:
		return ""
	case h.Enabled == nil:
		return "unknown"
	}
	return yesNo(*h.Enabled)
}

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
	t.part(plain, "%s; %d unknown, %d never looked at before then. Whom no report covers is not known here.", clean.Count(len(d.Holders), "holder"), len(d.Unknown), len(d.NotSeen))
}

func heldThen(holds []executor.HeldThen, several bool) string {
	var parts []string
	for _, h := range holds {
		text := joined(" and ", when(h.Direct, "directly"), when(h.Inherited, "through a group"))
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

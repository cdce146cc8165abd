package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/clean"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// capital returns s with its first letter in upper case; "Run" for none.
func capital(s string) string {
	if s == "" {
		return "Run"
	}
	if c := s[0]; 'a' <= c && c <= 'z' {
		return string(c-'a'+'A') + s[1:]
	}
	return s
}

// login returns a login as it is, or quoted where its ends could not be seen.
func login(s string) string {
	if s == "" || strings.ContainsAny(s, " \"`,;:()") {
		return Quote(s)
	}
	return Clean(s)
}

// identity names a principal without its kind: demo "Demo User", or "Night Shift".
func identity(p planner.Principal) string {
	switch {
	case p.Login != "" && p.Name != "" && p.Name != p.Login:
		return login(p.Login) + " " + Quote(p.Name)
	case p.Login != "":
		return login(p.Login)
	case p.Name != "":
		return Quote(p.Name)
	case p.ID != "":
		return Clean(string(p.ID))
	}
	return "(no name)"
}

// who names a principal: user demo "Demo User", group "Night Shift".
func who(p planner.Principal) string { return Who(p) }

// Who names a principal on one clean line: user demo "Demo User".
func Who(p planner.Principal) string {
	return joined(" ", Clean(string(p.Kind)), identity(p)) + when(p.Tenant != "", " of tenant %s", Quote(p.Tenant))
}

// privilege names a privilege: 53 Monitor Database Connections.
func privilege(p planner.PrivilegeRef) string {
	switch {
	case p.ID == 0:
		return Clean(p.Name)
	case p.Name == "":
		return p.ID.String() + " (not in the catalogue)"
	}
	return p.ID.String() + " " + Clean(p.Name)
}

// privileges names several.
func privileges(list []planner.PrivilegeRef) string { return andMore(list, len(list), "", privilege) }

// server names the server: its URL, and the versions that it told.
func server(e planner.Environment) string {
	versions := joined(", ", when(e.IServerVersion != "", "Intelligence Server %s", Clean(e.IServerVersion)), when(e.WebVersion != "", "web %s", Clean(e.WebVersion)))
	return Clean(e.URL) + when(versions != "", " (%s)", versions)
}

// actor names the session's user.
func actor(a planner.Actor) string {
	switch {
	case a.Name == "":
		return Clean(string(a.ID))
	case a.ID == "":
		return Quote(a.Name)
	}
	return Quote(a.Name) + " (" + Clean(string(a.ID)) + ")"
}

// policyName names the policy and the environment that was selected.
func policyName(p planner.PolicyRef) string {
	return cmp.Or(Clean(p.Name), "(without a name)") + when(p.Environment != "", " (environment %s)", Clean(p.Environment))
}

// withoutPolicy reports whether no policy was given.
func withoutPolicy(p planner.PolicyRef) bool { return p.Name == "" && p.Digest == "" }

// withWhat names the policy of a document after before, as show shows it, or says that
// there was none.
func withWhat(before string, p planner.PolicyRef, show func(string) string) string {
	if withoutPolicy(p) {
		return "without a policy"
	}
	return before + show(policyName(p))
}

// scope says which privileges may be touched.
func scope(s planner.Scope) string {
	switch s.Level {
	case mstrapi.LevelServer:
		return "server-level privileges"
	case mstrapi.LevelProject:
		return "project-level privileges"
	case mstrapi.LevelAll:
		return "all privileges"
	}
	return Clean(string(s.Level))
}

// stamp is a point in time, in UTC; "unknown" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// took is the duration of a run, or of one principal's part of it.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "unknown"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// place is a position in a policy file, or "" for none.
func place(p *policy.Position) string {
	if p == nil || p.File == "" {
		return ""
	}
	if p.Line == 0 {
		return Clean(p.File)
	}
	return Clean(fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column))
}

// failure is an error of a report on one line, the ticket last: it is what the
// vendor's support asks for.
func failure(e *executor.Error) string {
	head := joined(" ", when(e.Status != 0, "HTTP %d", e.Status), Clean(e.Code), when(e.IServerCode != 0, "(iServerCode %d)", e.IServerCode))
	return joined(": ", head, cmp.Or(Clean(e.Message), "no message")) + when(e.TicketID != "", " [ticket %s]", Clean(e.TicketID))
}

// severities says how many findings there are of each severity.
func severities(c planner.FindingCounts) string {
	return fmt.Sprintf("%s, %s, %s", clean.Count(c.Error, "error"), clean.Count(c.Warning, "warning"), clean.Count(c.Info, "info"))
}

// names resolves the ids that a document mentions to its principals, and tells apart
// those of its principals that are called the same.
type names struct {
	byID   map[mstrapi.ObjectID]planner.Principal // those that change
	called map[string]mstrapi.ObjectID            // who is called so; empty: several are
}

func newNames() names {
	return names{make(map[mstrapi.ObjectID]planner.Principal), make(map[string]mstrapi.ObjectID)}
}

// note takes down what p is called.
func (n names) note(p planner.Principal) {
	text := who(p)
	if first, ok := n.called[text]; ok && first != p.ID {
		p.ID = ""
	}
	n.called[text] = p.ID
}

func (n names) add(p planner.Principal, grant, revoke []planner.PlannedPrivilege) {
	if len(grant) > 0 || len(revoke) > 0 {
		n.byID[p.ID] = p
	}
	n.note(p)
}

func planNames(p *planner.Plan) names {
	n := newNames()
	for i := range p.Changes {
		n.add(p.Changes[i].Principal, p.Changes[i].Grant, p.Changes[i].Revoke)
	}
	return n
}

func reportNames(r *executor.Report) names {
	n := newNames()
	for i := range r.Principals {
		n.add(r.Principals[i].Principal, r.Principals[i].Grant, r.Principals[i].Revoke)
	}
	return n
}

// alike reports whether others are called as p is.
func (n names) alike(p planner.Principal) bool {
	id, ok := n.called[who(p)]
	return ok && id == ""
}

// told names the principal p of the document, with its id where others are called
// the same.
func (n names) told(p planner.Principal) string {
	if n.alike(p) {
		return who(p) + " " + Clean(string(p.ID))
	}
	return who(p)
}

// who names the principal with the id, by the id alone if the document does
// not describe it.
func (n names) who(id mstrapi.ObjectID) string {
	if p, ok := n.byID[id]; ok {
		return n.told(p)
	}
	return Clean(string(id))
}

// relies says whose grants a revoke waits for, or "".
func (n names) relies(ids []mstrapi.ObjectID) string {
	if len(ids) == 0 {
		return ""
	}
	return "waits for " + andMore(ids, 3, "", n.who)
}

// andMore names the first most of a list and says how many more there are, of a noun if
// one is given.
func andMore[T any](list []T, most int, noun string, name func(T) string) string {
	out := make([]string, min(len(list), most))
	for i := range out {
		out[i] = name(list[i])
	}
	text := strings.Join(out, ", ")
	switch more := len(list) - most; {
	case more <= 0:
	case noun == "":
		text += fmt.Sprintf(" and %d more", more)
	default:
		text += " and " + clean.Count(more, noun) + " more"
	}
	return text
}

// someOf names some of many groups.
func someOf[T any](list []T, name func(T) string) string {
	return andMore(list, maxTold, "group", name)
}

// itself is a name that is shown as it is.
func itself(s string) string { return s }

// when is a text where something is so, and "" where it is not.
func when(so bool, format string, args ...any) string {
	if !so {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

// joined joins the texts that are not "".
func joined(between string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), between)
}

// inBrackets is a text after a space and in brackets, or "".
func inBrackets(s string) string { return when(s != "", " [%s]", s) }

// byPrincipal indexes findings by the id of their principal.
func byPrincipal(fs []planner.Finding) map[mstrapi.ObjectID][]planner.Finding {
	m := make(map[mstrapi.ObjectID][]planner.Finding)
	for _, f := range fs {
		if f.Principal != nil && f.Principal.ID != "" {
			m[f.Principal.ID] = append(m[f.Principal.ID], f)
		}
	}
	return m
}

// coverageText says how much of the server a document speaks of; "" where the
// document does not say.
func coverageText(c *planner.Coverage) string {
	if c == nil || *c == (planner.Coverage{}) {
		return ""
	}
	known := "of an unknown number"
	if c.Known != nil {
		known = fmt.Sprintf("of %d on the server", *c.Known)
	}
	return fmt.Sprintf("%s covered, %d looked at, %s", clean.Count(c.Covered, "principal"), c.LookedAt, known)
}

// rulesText says which rules were judged and how many people break each; "" for
// none. Whom the rules did not look at is said as well.
func rulesText(c *planner.Coverage, rules []planner.RuleResult) string {
	if len(rules) == 0 {
		return ""
	}
	parts := make([]string, len(rules))
	everybody := true
	for i, r := range rules {
		parts[i] = fmt.Sprintf("%s: %s", Clean(r.Name), clean.Count(r.Violations, "violation"))
		everybody = everybody && r.Complete
	}
	text := strings.Join(parts, ", ")
	switch {
	case everybody:
		return text + "; everybody was judged"
	case c != nil && c.Known != nil && *c.Known >= c.LookedAt:
		return fmt.Sprintf("%s; %s not looked at", text, clean.Count(*c.Known-c.LookedAt, "principal"))
	}
	return text + "; not everybody was looked at"
}

// coverageMarkdown is a paragraph of both, or "".
func coverageMarkdown(c *planner.Coverage, rules []planner.RuleResult) string {
	var b strings.Builder
	if text := coverageText(c); text != "" {
		fmt.Fprintf(&b, "\nCoverage: %s.\n", text)
	}
	if text := rulesText(c, rules); text != "" {
		fmt.Fprintf(&b, "\nRules: %s.\n", span(text, clipMessage))
	}
	return b.String()
}

// originWords says where in a policy a planned privilege comes from: its place, and the
// set or the selector. A principal's own entry is named by the principal.
func originWords(o *planner.Origin) string {
	if o == nil {
		return ""
	}
	return joined(", ", clip(place(&o.Position), clipMessage), when(o.Set != "", "set %s", Quote(clip(Clean(o.Set), clipName))),
		when(o.Selector != "", "selector %s", clip(Clean(o.Selector), clipName)))
}

// provenanceWords says where a document comes from; "" where that is not known.
func provenanceWords(p *planner.Provenance) string {
	parts := provenanceParts(p, "by")
	for i := range parts {
		parts[i] = clip(parts[i], clipMessage)
	}
	return strings.Join(parts, ", ")
}

// provenanceParts are what is known of where a document comes from; by is what goes before
// its author.
func provenanceParts(p *planner.Provenance, by string) []string {
	var parts []string
	if p != nil {
		for _, f := range [][2]string{{"commit", p.Commit}, {"ref", p.Ref}, {"pull request", p.PullRequest}, {by, p.Author}, {"build", p.Build}} {
			if f[1] != "" {
				parts = append(parts, f[0]+" "+Clean(f[1]))
			}
		}
	}
	return parts
}

// fromMarkdown is a line of a footer; nothing for an empty text.
func fromMarkdown(what, text string) string {
	if text == "" {
		return ""
	}
	return "\n" + what + ": " + span(text, 2*clipMessage) + "\n"
}

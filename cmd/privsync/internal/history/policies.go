package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// PolicyDoc is a policy and what it was read from.
type PolicyDoc struct {
	File   string
	Policy *policy.Policy
}

func (d PolicyDoc) side() Side {
	p := d.Policy
	return Side{File: d.File, Digest: p.Digest, Server: p.Environment.URL, Policy: p.Name, Scope: string(cmp.Or(p.Scope, policy.LevelServer))}
}

// stated is what one policy says of one principal or selector, its sets expanded.
type stated struct {
	who      *planner.Principal
	selector string
	listed   map[planner.PrivilegeRef]policy.Terms
	forbid   map[planner.PrivilegeRef]policy.Terms
	settings [][2]string
}

// Policies says what the one policy wants and the other does not, sets expanded and
// without a server. Privileges that the one names and the other numbers are the same
// only if they are in the catalogue, which may be empty.
func Policies(tool planner.Tool, a, b PolicyDoc, catalogue []policy.CataloguePrivilege) *Diff {
	d := &Diff{Format: DiffFormat, Tool: tool, Kind: OfPolicies, A: a.side(), B: b.side(), Changes: []Change{}, NotLookedAt: []Missing{}}
	names := namesOf(catalogue)
	written := make(map[string]string)
	inA, inB := entriesOf(a.Policy, names, written), entriesOf(b.Policy, names, written)
	pairPins(d, inA, inB)
	for key := range either(inA, inB) {
		was, is := inA[key], inB[key]
		switch {
		case is == nil:
			why := fmt.Sprintf("no entry there: what it lists (%d) and forbids (%d) in %s is not wanted there, and nothing is revoked for that", len(was.listed), len(was.forbid), a.File)
			if b.Policy.Unlisted == policy.UnlistedRevoke {
				why = "no entry there, and unlisted: revoke takes away what it holds directly unless a selector covers it"
			}
			d.NotLookedAt = append(d.NotLookedAt, Missing{Principal: was.who, Selector: was.selector, In: "b", Why: why})
		case was == nil:
			d.NotLookedAt = append(d.NotLookedAt, Missing{Principal: is.who, Selector: is.selector, In: "a", Why: "no entry there"})
			d.compare(&stated{}, is)
		default:
			d.compare(was, is)
		}
	}
	d.Settings = append(d.Settings, policySettings(a.Policy, b.Policy)...)
	slices.SortStableFunc(d.Settings, func(a, b Setting) int {
		if of := (a.Principal != nil || a.Selector != ""); of != (b.Principal != nil || b.Selector != "") {
			if of {
				return 1
			}
			return -1
		}
		return cmp.Or(compareWho(a.Principal, a.Selector, b.Principal, b.Selector), cmp.Compare(a.Name, b.Name))
	})
	d.finish()
	return d
}

// pairPins brings entries together that name a principal alike, where one policy pins it
// to an id and the other does not: that is a setting that differs.
func pairPins(d *Diff, inA, inB map[string]*stated) {
	byName := func(in, other map[string]*stated) map[string][]string {
		out := make(map[string][]string)
		for key, s := range in {
			if s.who != nil && other[key] == nil {
				name := string(s.who.Kind) + " " + s.who.Name + strings.ToLower(s.who.Login)
				out[name] = append(out[name], key)
			}
		}
		return out
	}
	a, b := byName(inA, inB), byName(inB, inA)
	for name, keys := range a {
		if len(keys) != 1 || len(b[name]) != 1 {
			continue
		}
		was, is := inA[keys[0]], inB[b[name][0]]
		if was.who.Name+was.who.Login == "" || was.who.ID != "" && is.who.ID != "" {
			continue
		}
		d.Settings = append(d.Settings, Setting{Principal: is.who, Name: "id", Before: string(was.who.ID), After: string(is.who.ID)})
		delete(inB, b[name][0])
		inB[keys[0]] = is
	}
}

// compare compares what two policies say of one principal or selector.
func (d *Diff) compare(was, is *stated) {
	for _, kind := range []struct {
		was, is        map[planner.PrivilegeRef]policy.Terms
		verb           string
		added, dropped What
	}{
		{was.listed, is.listed, "listed", ListingAdded, ListingDropped},
		{was.forbid, is.forbid, "forbidden", ForbidAdded, ForbidDropped},
	} {
		said := func(of map[planner.PrivilegeRef]policy.Terms, q planner.PrivilegeRef) string {
			if t, ok := of[q]; ok {
				return termsSaid(kind.verb, t)
			}
			return ""
		}
		for q := range either(kind.was, kind.is) {
			c := Change{Principal: is.who, Selector: is.selector, Privilege: q, What: TermsChanged, BeforeSaid: said(kind.was, q), AfterSaid: said(kind.is, q)}
			switch {
			case c.BeforeSaid == c.AfterSaid:
				continue
			case c.BeforeSaid == "":
				c.What = kind.added
			case c.AfterSaid == "":
				c.What = kind.dropped
			}
			d.Changes = append(d.Changes, c)
		}
	}
	old := make(map[string]string)
	for _, s := range was.settings {
		old[s[0]] = s[1]
	}
	for _, s := range is.settings {
		if old[s[0]] != s[1] {
			d.Settings = append(d.Settings, Setting{Principal: is.who, Selector: is.selector, Name: s[0], Before: old[s[0]], After: s[1]})
		}
	}
}

func termsSaid(verb string, t policy.Terms) string {
	parts := []string{verb}
	if !t.Until.IsZero() {
		parts = append(parts, "until "+t.Until.Format(time.DateOnly))
	}
	if t.Reason != "" {
		parts = append(parts, t.Reason)
	}
	return strings.Join(parts, ", ")
}

// names finds privileges by what a policy writes.
type names struct {
	byNumber map[int]string
	byName   map[string]int // folded; 0: more than one
}

func namesOf(catalogue []policy.CataloguePrivilege) names {
	n := names{make(map[int]string), make(map[string]int)}
	for _, p := range catalogue {
		n.byNumber[p.ID] = p.Name
		key := foldName(p.Name)
		if _, twice := n.byName[key]; twice {
			n.byName[key] = 0
			continue
		}
		n.byName[key] = p.ID
	}
	return n
}

func foldName(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// ref is a privilege as both policies would name it: by number and name where the
// catalogue has it, otherwise as it is written.
func (n names) ref(r policy.Ref, written map[string]string) planner.PrivilegeRef {
	id := r.ID
	if id == 0 {
		id = n.byName[foldName(r.Name)]
	}
	if id != 0 {
		return planner.PrivilegeRef{ID: mstrapi.PrivilegeID(id), Name: n.byNumber[id]}
	}
	key := foldName(r.Name)
	if written[key] == "" {
		written[key] = r.Name
	}
	return planner.PrivilegeRef{Name: written[key]}
}

// entriesOf is what a policy says, by principal and selector. written are the spellings
// of names that are used so far.
func entriesOf(p *policy.Policy, n names, written map[string]string) map[string]*stated {
	out := make(map[string]*stated, len(p.Principals))
	for i := range p.Principals {
		e := &p.Principals[i]
		key := ""
		if e.Principal == nil {
			key = "selector " + e.Selector.String()
		} else {
			key = string(e.Principal.Kind) + " " + e.Principal.ID + " " + foldedName(e.Principal)
		}
		s := out[key]
		if s == nil {
			s = &stated{listed: make(map[planner.PrivilegeRef]policy.Terms), forbid: make(map[planner.PrivilegeRef]policy.Terms)}
			if e.Principal != nil {
				s.who = &planner.Principal{Kind: mstrapi.Kind(e.Principal.Kind), ID: mstrapi.ObjectID(e.Principal.ID), Name: e.Principal.Name}
				if e.Principal.Kind == policy.User {
					s.who.Name, s.who.Login = "", e.Principal.Name
				}
			} else {
				s.selector = e.Selector.String()
			}
			out[key] = s
		}
		for item := range e.Listed.All() {
			longer(s.listed, n.ref(item.Ref, written), item.Terms)
		}
		for _, item := range e.Forbid {
			longer(s.forbid, n.ref(item.Ref, written), item.Terms)
		}
		s.settings = append(s.settings, [][2]string{
			{"mode", string(e.Settings.Mode)}, {"satisfiedBy", string(e.Settings.SatisfiedBy)}, {"redundant", string(e.Settings.Redundant)},
			{"inherited", string(e.Settings.Inherited)}, {"missing", string(e.Settings.Missing)},
		}...)
	}
	return out
}

func foldedName(p *policy.PrincipalRef) string {
	if p.Kind == policy.User {
		return strings.ToLower(p.Name)
	}
	return p.Name
}

// longer notes the terms that count longest: a privilege that is listed twice is listed
// as long as one of the two is.
func longer(to map[planner.PrivilegeRef]policy.Terms, q planner.PrivilegeRef, t policy.Terms) {
	if old, known := to[q]; known && (old.Until.IsZero() || !t.Until.IsZero() && !t.Until.After(old.Until)) {
		return
	}
	to[q] = t
}

// policySettings is what differs in the sections that speak of nobody in particular.
func policySettings(a, b *policy.Policy) []Setting {
	var out []Setting
	add := func(name, before, after string) {
		if before != after {
			out = append(out, Setting{Name: name, Before: before, After: after})
		}
	}
	add("scope", string(cmp.Or(a.Scope, policy.LevelServer)), string(cmp.Or(b.Scope, policy.LevelServer)))
	add("unlisted", string(cmp.Or(a.Unlisted, policy.UnlistedIgnore)), string(cmp.Or(b.Unlisted, policy.UnlistedIgnore)))
	add("environment.url", a.Environment.URL, b.Environment.URL)
	add("expiringWithinDays", fmt.Sprint(a.ExpiringWithinDays), fmt.Sprint(b.ExpiringWithinDays))
	safeA, safeB := safetySaid(a.Safety), safetySaid(b.Safety)
	for i := range safeA {
		add("safety."+safeA[i][0], safeA[i][1], safeB[i][1])
	}
	rulesA, rulesB := rulesSaid(a.Rules), rulesSaid(b.Rules)
	for name := range either(rulesA, rulesB) {
		add("rule "+name, rulesA[name], rulesB[name])
	}
	add("prerequisites", prerequisitesSaid(a.Prerequisites), prerequisitesSaid(b.Prerequisites))
	add("commands", commandsSaid(a.Commands), commandsSaid(b.Commands))
	return out
}

func safetySaid(s *policy.Safety) [][2]string {
	if s == nil {
		s = &policy.Safety{}
	}
	var protected, licences []string
	for _, p := range s.Protected {
		protected = append(protected, strings.TrimSpace(fmt.Sprintf("%s %s %s", p.Kind, p.Name, p.ID)))
	}
	for _, p := range s.ProtectedBy {
		protected = append(protected, p.String())
	}
	for _, l := range s.Licences {
		most := fmt.Sprint(l.Max)
		if l.Entitled {
			most = "entitled"
		}
		licences = append(licences, l.Product+": "+most)
	}
	slices.Sort(protected)
	approval := ""
	if s.Approval != nil {
		approval = fmt.Sprintf("%d people", s.Approval.Required)
		if above := s.Approval.Above; above != nil {
			if above.Revokes != nil {
				approval += fmt.Sprintf(", above %s revokes", above.Revokes)
			}
			if len(above.GrantsOf) > 0 {
				approval += ", for grants of " + refsSaid(above.GrantsOf)
			}
		}
	}
	limit := func(l *policy.Limit) string {
		if l == nil {
			return ""
		}
		return l.String()
	}
	return [][2]string{
		{"maxRevokes", limit(s.MaxRevokes)}, {"maxChangedPrincipals", limit(s.MaxChangedPrincipals)}, {"protected", strings.Join(protected, "; ")},
		{"ownPrivileges", refsSaid(s.OwnPrivileges)}, {"licences", strings.Join(licences, "; ")}, {"approval", approval}, {"serverLock", fmt.Sprint(s.ServerLock)},
	}
}

func refsSaid(refs []policy.Ref) string {
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = r.String()
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func rulesSaid(rules []policy.Rule) map[string]string {
	out := make(map[string]string, len(rules))
	for _, r := range rules {
		text := string(r.Severity) + ": "
		switch {
		case len(r.Deny) > 0:
			text += "deny " + refsSaid(r.Deny)
		case len(r.Conflict) > 0:
			text += "conflict " + refsSaid(r.Conflict)
		default:
			text += fmt.Sprintf("require %s, at least %d", refsSaid(r.Require), r.AtLeast)
		}
		var except []string
		for _, x := range r.Except {
			except = append(except, strings.TrimSpace(fmt.Sprintf("%s %s %s", x.Kind, x.Name, x.ID))+termsSaid("", x.Terms))
		}
		if slices.Sort(except); len(except) > 0 {
			text += "; except " + strings.Join(except, "; ")
		}
		out[r.Name] = text
	}
	return out
}

func prerequisitesSaid(list []policy.Prerequisite) string {
	var out []string
	for _, p := range list {
		out = append(out, p.Privilege.String()+" needs "+refsSaid(p.Needs))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func commandsSaid(list []policy.Command) string {
	var out []string
	for _, c := range list {
		out = append(out, c.Name)
	}
	return strings.Join(out, ", ")
}

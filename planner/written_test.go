package planner

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"privsync/policy"
)

// writtenFile is what the file of a written policy is called in positions.
const writtenFile = "policy.yaml"

// parsed returns the policy that reading pol, written as a file, gives: with its defaults,
// positions and digest, or a panic where no file can say what pol does. A test that
// changes a policy passes it through here again.
func parsed(pol *policy.Policy) *policy.Policy {
	text := policyText(pol)
	out, err := policy.Parse(writtenFile, text)
	if err != nil {
		panic(fmt.Sprintf("%v\n%s", err, text))
	}
	return out
}

// readAsIs reports whether pol is what policy.Parse made, unchanged since.
func readAsIs(pol *policy.Policy) bool {
	if len(pol.Files) == 0 {
		return false
	}
	f := pol.Files[0]
	return f.Path != writtenFile || f.Digest == sumOf(policyText(pol))
}

// policyText writes a policy, an item a line. Positions are left out, and so is what
// holds without being said.
func policyText(pol *policy.Policy) []byte {
	if pol.Licences != nil || pol.Environment != (policy.Environment{}) || pol.EnvironmentName != "" {
		panic("the policy has sections that are not written")
	}
	w := make(yamlText, 0, 4096)
	w.add("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: ").quote(pol.Name).add("}\n")
	if pol.Scope != policy.LevelServer && pol.Scope != "" {
		w.add("scope: {level: ").add(string(pol.Scope)).add("}\n")
	}
	defaults := w.defaults(pol)
	if s := pol.Safety; s != nil {
		w.add("safety: {").safety(s).add("}\n")
	}
	w.sets(pol.Principals)
	section(&w, "principals", pol.Principals, func(e policy.Entry) { w.entry(&e, defaults) })
	if pol.Unlisted != policy.UnlistedIgnore && pol.Unlisted != "" {
		w.add("unlisted: ").add(string(pol.Unlisted)).add("\n")
	}
	section(&w, "rules", pol.Rules, func(r policy.Rule) { w.rule(&r) })
	section(&w, "prerequisites", pol.Prerequisites, func(p policy.Prerequisite) {
		w.key("privilege").ref(p.Privilege)
		list(&w, "needs", p.Needs, w.ref)
	})
	if len(pol.Commands) > 0 {
		w.add("commands: [")
		for _, c := range pol.Commands {
			w.next().add(c.Name)
		}
		w.add("]\n")
	}
	return w
}

// yamlText is YAML to which more is added.
type yamlText []byte

func (w *yamlText) add(text string) *yamlText {
	*w = append(*w, text...)
	return w
}

func (w *yamlText) quote(text string) *yamlText {
	*w = strconv.AppendQuote(*w, text)
	return w
}

// next separates a value from one before it in the same brackets.
func (w *yamlText) next() *yamlText {
	if last := (*w)[len(*w)-1]; last != '{' && last != '[' {
		w.add(", ")
	}
	return w
}

func (w *yamlText) key(name string) *yamlText { return w.next().add(name).add(": ") }

// word writes a key whose value is a word, unless that is otherwise or empty.
func (w *yamlText) word(key, value, otherwise string) {
	if value != "" && value != otherwise {
		w.key(key).add(value)
	}
}

// text writes a key whose value is any text, unless it is empty.
func (w *yamlText) text(key, value string) {
	if value != "" {
		w.key(key).quote(value)
	}
}

// section writes a key of the document whose value is a list of mappings.
func section[T any](w *yamlText, key string, items []T, write func(T)) {
	if len(items) > 0 {
		w.add(key).add(":\n")
	}
	for _, item := range items {
		w.add("  - {")
		write(item)
		w.add("}\n")
	}
}

// list writes a key whose value is a list, unless that is empty.
func list[T any](w *yamlText, key string, items []T, write func(T)) {
	if len(items) == 0 {
		return
	}
	w.key(key).add("[")
	for _, item := range items {
		w.next()
		write(item)
	}
	w.add("]")
}

// defaults writes what differs from what holds without defaults, and returns all of them.
func (w *yamlText) defaults(pol *policy.Policy) policy.Settings {
	const days = 14
	usual, d := policy.Nothing(policy.LevelServer).Defaults, pol.Defaults
	if own := d != (policy.Settings{}) && d != usual; own || pol.ExpiringWithinDays != days {
		w.add("defaults: {")
		if pol.ExpiringWithinDays != days {
			w.key("expiringWithinDays").add(strconv.Itoa(pol.ExpiringWithinDays))
		}
		if own {
			w.settings(d, usual)
		}
		w.add("}\n")
		if own {
			return d
		}
	}
	return usual
}

func (w *yamlText) settings(s, otherwise policy.Settings) {
	w.word("mode", string(s.Mode), string(otherwise.Mode))
	w.word("satisfiedBy", string(s.SatisfiedBy), string(otherwise.SatisfiedBy))
	w.word("redundant", string(s.Redundant), string(otherwise.Redundant))
	w.word("inherited", string(s.Inherited), string(otherwise.Inherited))
	w.word("missing", string(s.Missing), string(otherwise.Missing))
}

func (w *yamlText) safety(s *policy.Safety) *yamlText {
	if s.Licences != nil || s.Approval != nil {
		panic("the policy has guards that are not written")
	}
	for _, l := range []struct {
		key   string
		limit *policy.Limit
	}{{"maxRevokes", s.MaxRevokes}, {"maxChangedPrincipals", s.MaxChangedPrincipals}} {
		if l.limit != nil {
			w.key(l.key).add(l.limit.String())
		}
	}
	if len(s.Protected)+len(s.ProtectedBy) > 0 {
		w.key("protected").add("[")
		for i := range s.Protected {
			w.next().add("{").principal(&s.Protected[i]).add("}")
		}
		for _, sel := range s.ProtectedBy {
			w.next().add("{").selector(sel).add("}")
		}
		w.add("]")
	}
	list(w, "ownPrivileges", s.OwnPrivileges, w.ref)
	list(w, "administrative", s.Administrative, w.ref)
	if s.ServerLock {
		w.key("serverLock").add("true")
	}
	return w
}

// sets writes the sets that entries list privileges of.
func (w *yamlText) sets(entries []policy.Entry) {
	items := make(map[string][]policy.Listed)
	var names []string
	for _, e := range entries {
		known := len(names)
		for l := range e.Listed.All() {
			if l.Set == "" {
				continue
			}
			if items[l.Set] == nil {
				names = append(names, l.Set)
			}
			if slices.Contains(names[known:], l.Set) {
				items[l.Set] = append(items[l.Set], l)
			}
		}
	}
	if len(names) > 0 {
		w.add("privilegeSets:\n")
	}
	for _, name := range names {
		w.add("  ").quote(name).add(": {")
		list(w, "privileges", items[name], w.listed)
		w.add("}\n")
	}
}

func (w *yamlText) entry(e *policy.Entry, defaults policy.Settings) {
	if e.Terms != (policy.Terms{}) {
		panic("the terms of an entry are not written")
	}
	if e.Principal != nil {
		w.principal(e.Principal)
	} else {
		w.selector(e.Selector)
	}
	var sets []string
	var own []policy.Listed
	for l := range e.Listed.All() {
		switch {
		case l.Set == "":
			own = append(own, l)
		case !slices.Contains(sets, l.Set):
			sets = append(sets, l.Set)
		}
	}
	if e.Listed.Len()+len(e.Forbid) == 0 {
		w.key("privileges").add("[]")
		defaults.Mode = "" // an empty list wants the mode to be said
	}
	w.settings(e.Settings, defaults)
	list(w, "sets", sets, func(name string) { w.quote(name) })
	list(w, "privileges", own, w.listed)
	list(w, "forbid", e.Forbid, w.listed)
}

func (w *yamlText) principal(p *policy.PrincipalRef) *yamlText {
	w.key(string(p.Kind)).quote(p.Name)
	w.text("id", p.ID)
	return w
}

func (w *yamlText) selector(s *policy.Selector) *yamlText {
	w.key(string(s.Kind) + "s").add("{")
	if s.MemberOfID != "" {
		w.key("memberOf").add("{group: ").quote(s.MemberOf).add(", id: ").quote(s.MemberOfID).add("}")
	} else {
		w.text("memberOf", s.MemberOf)
	}
	if s.Nested {
		w.key("nested").add("true")
	}
	w.text("loginMatches", s.LoginMatches)
	w.text("nameMatches", s.NameMatches)
	if s.Enabled != nil {
		w.key("enabled").add(strconv.FormatBool(*s.Enabled))
	}
	list(w, "except", s.Except, func(x policy.Excepted) {
		w.add("{")
		if x.Principal != nil {
			w.principal(x.Principal)
		} else {
			w.selector(x.Selector)
		}
		w.terms(x.Terms)
		w.add("}")
	})
	return w.add("}")
}

func (w *yamlText) rule(r *policy.Rule) {
	w.text("name", r.Name)
	w.word("severity", string(r.Severity), string(policy.RuleError))
	list(w, "deny", r.Deny, w.ref)
	list(w, "conflict", r.Conflict, w.ref)
	list(w, "require", r.Require, w.ref)
	if r.AtLeast > 0 {
		w.key("atLeast").add(strconv.Itoa(r.AtLeast))
	}
	list(w, "except", r.Except, func(x policy.Exception) {
		w.add("{").principal(&x.PrincipalRef).terms(x.Terms)
		w.add("}")
	})
}

func (w *yamlText) ref(r policy.Ref) {
	if r.ID != 0 {
		w.add(strconv.Itoa(r.ID))
	} else {
		w.quote(r.Name)
	}
}

func (w *yamlText) listed(l policy.Listed) {
	if l.Terms == (policy.Terms{}) {
		w.ref(l.Ref)
		return
	}
	w.add("{privilege: ").ref(l.Ref)
	w.terms(l.Terms)
	w.add("}")
}

func (w *yamlText) terms(t policy.Terms) {
	if !t.Until.IsZero() {
		w.key("until").add(t.Until.Format(time.DateOnly))
	}
	w.text("reason", t.Reason)
	w.text("description", t.Description)
}

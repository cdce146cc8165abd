package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"privsync/clean"
)

const defaultNoticeDays = 14

// assembler puts documents together. What it reports needs more than one place
// or more than one file to be seen.
type assembler struct {
	out      *collector
	docs     []*document
	all      document  // what is given once
	overlays []overlay // one per name, in the order of the files
}

// assemble returns the policy that docs make together, with the overlay called
// env in force. It is worth something only if out is empty afterwards. What warned
// holds, and what else deserves a warning, becomes the policy's.
func assemble(docs []*document, env string, out, warned *collector) *Policy {
	a := &assembler{out: out, docs: docs}
	a.join()
	clash := a.checkDefaults()
	if env != "" {
		if o := a.selected(env); o != nil {
			a.all.sections = a.all.with(o.sections)
		}
	}
	p := a.policy(env)
	p.Principals = a.principals(p.Defaults, clash)
	p.Rules = a.rules()
	for _, d := range docs {
		p.Prerequisites = append(p.Prerequisites, d.needs...)
		p.Files = append(p.Files, d.file)
		warned.join(&d.warned)
		for _, c := range d.commands {
			p.Commands = addCommand(out, p.Commands, c)
		}
	}
	a.checkNeeds(p)
	if a.whole(principalsKey, "unlisted", "commands") && len(p.Principals) == 0 && p.Unlisted == UnlistedIgnore && len(p.Commands) == 0 {
		out.add(docs[0].start, "write principals", "the policy covers nobody")
	}
	if p.Unlisted == UnlistedRevoke && (p.Safety == nil || p.Safety.MaxRevokes == nil) {
		warned.add(p.UnlistedPos, "write safety: {maxRevokes: N}", "unlisted: revoke without safety.maxRevokes: a file that is missing by mistake takes everything from whom it listed")
	}
	if out.count() == 0 {
		a.lookAlikes(p, warned)
	}
	p.Warnings = warned.problems()
	p.Digest, p.BaseDigest = digest(p.Files, env), baseDigest(docs)
	return p
}

// policy returns the part of the policy that is given once.
func (a *assembler) policy(env string) *Policy {
	s := &a.all
	p := Nothing(LevelServer)
	p.EnvironmentSelected, p.EnvironmentName = env, cmp.Or(env, s.metadata.environment.text)
	p.Name, p.Owner, p.Description = s.metadata.name.text, s.metadata.owner.text, s.metadata.description.text
	p.Scope = cmp.Or(Level(s.scope.text), p.Scope)
	p.Environment = Environment{URL: s.environment.url.text, LoginMode: s.environment.loginMode.text, URLPos: s.environment.url.pos}
	p.Defaults = s.defaults.settings()
	p.ExpiringWithinDays = defaultNoticeDays
	if s.defaults.expiringWithinDays != nil {
		p.ExpiringWithinDays = *s.defaults.expiringWithinDays
	}
	if s.safety.pos.Line != 0 {
		p.Safety = &s.safety.Safety
		p.Safety.ServerLock = s.safety.serverLock != nil && *s.safety.serverLock
	}
	if s.licences.path.given() {
		p.Licences = &LicenceFile{Path: s.licences.path.text, Pos: s.licences.path.pos}
	}
	if s.unlisted.given() {
		p.Unlisted, p.UnlistedPos = Unlisted(s.unlisted.text), s.unlisted.pos
	}
	return p
}

// whole reports whether the sections could be read in every file: only then is
// something that is not there really missing.
func (a *assembler) whole(sections ...string) bool {
	for _, d := range a.docs {
		if d.lost[everything] || slices.ContainsFunc(sections, func(s string) bool { return d.lost[s] }) {
			return false
		}
	}
	return true
}

// once makes more, if it is given, what into is; a second one is a problem.
func once[T interface{ place() Position }](out *collector, into *T, more T, hint, what string) {
	switch first := (*into).place(); {
	case more.place().Line == 0:
	case first.Line == 0:
		*into = more
	default:
		out.add(more.place(), hint, fmt.Sprintf("%s is given twice: first at %s", what, first))
	}
}

// join brings together what all files have once, and their overlays by name.
func (a *assembler) join() {
	places := map[string]int{}
	join := func(into, more *sections, hint, of string) {
		once(a.out, &into.environment, more.environment, hint, "environment"+of)
		once(a.out, &into.defaults, more.defaults, hint, "defaults"+of)
		once(a.out, &into.safety, more.safety, hint, "safety"+of)
	}
	const hint = "one file has it for all"
	a.metadata()
	for _, d := range a.docs {
		join(&a.all.sections, &d.sections, hint, "")
		once(a.out, &a.all.scope, d.scope, hint, "scope")
		once(a.out, &a.all.licences, d.licences, hint, "licences")
		once(a.out, &a.all.unlisted, d.unlisted, hint, "unlisted")
		for i := range d.overlays {
			o := &d.overlays[i]
			if at, known := places[o.name]; known {
				into, of := &a.overlays[at].sections, " of overlay "+clean.Quote(cut(o.name))
				once(a.out, &into.metadata, o.metadata, "", "metadata"+of)
				join(into, &o.sections, "", of)
				continue
			}
			places[o.name] = len(a.overlays)
			a.overlays = append(a.overlays, *o)
		}
	}
}

// metadata may stand in several files as long as they agree.
func (a *assembler) metadata() {
	all := &a.all.metadata
	for _, d := range a.docs {
		all.pos = cmp.Or(all.pos, d.metadata.pos)
		a.agree("metadata.name", &all.name, d.metadata.name)
		a.agree("metadata.owner", &all.owner, d.metadata.owner)
		a.agree("metadata.description", &all.description, d.metadata.description)
		a.agree("metadata.environment", &all.environment, d.metadata.environment)
	}
	if !all.name.given() && a.whole("metadata") {
		a.out.add(cmp.Or(all.pos, a.docs[0].start), "write metadata: {name: NAME}", "the policy has no metadata.name")
	}
}

func (a *assembler) agree(what string, all *word, w word) {
	switch {
	case !w.given():
	case !all.given():
		*all = w
	case all.text != w.text:
		a.out.add(w.pos, "", fmt.Sprintf("%s is %s here and %s at %s", what, clean.Quote(cut(w.text)), clean.Quote(cut(all.text)), all.pos))
	}
}

func (a *assembler) selected(env string) *overlay {
	var names, quoted []string
	for i, o := range a.overlays {
		if o.name == env {
			return &a.overlays[i]
		}
		names, quoted = append(names, o.name), append(quoted, clean.Quote(o.name))
	}
	if !a.whole("overlays") {
		return nil
	}
	slices.Sort(quoted)
	message, hint := fmt.Sprintf("unknown environment %s: the policy has no overlays", clean.Quote(cut(env))), ""
	if len(names) > 0 {
		message = fmt.Sprintf("unknown environment %s: the policy has overlays for %s", clean.Quote(cut(env)), cut(strings.Join(quoted, ", ")))
		hint = didYouMean(env, names)
	}
	a.out.add(a.docs[0].start, hint, message)
	return nil
}

// with returns s where o says nothing else.
func (s sections) with(o sections) sections {
	m, e := &s.metadata, &s.environment
	m.name, m.owner, m.description = cmp.Or(o.metadata.name, m.name), cmp.Or(o.metadata.owner, m.owner), cmp.Or(o.metadata.description, m.description)
	e.url, e.loginMode = cmp.Or(o.environment.url, e.url), cmp.Or(o.environment.loginMode, e.loginMode)
	s.defaults, s.safety = s.defaults.with(o.defaults), s.safety.with(o.safety)
	return s
}

func (s defaultsSection) with(o defaultsSection) defaultsSection {
	s.stated = o.stated.orElse(s.stated)
	s.redundant = cmp.Or(o.redundant, s.redundant)
	s.expiringWithinDays = cmp.Or(o.expiringWithinDays, s.expiringWithinDays)
	return s
}

func (s safetySection) with(o safetySection) safetySection {
	s.pos = cmp.Or(o.pos, s.pos)
	s.MaxRevokes = cmp.Or(o.MaxRevokes, s.MaxRevokes)
	s.MaxChangedPrincipals = cmp.Or(o.MaxChangedPrincipals, s.MaxChangedPrincipals)
	// Protection is only ever added: what the base protects stays so.
	s.Protected = addPrincipals(s.Protected, o.Protected)
	s.ProtectedBy = slices.Concat(s.ProtectedBy, o.ProtectedBy)
	s.Approval = cmp.Or(o.Approval, s.Approval)
	s.serverLock = cmp.Or(o.serverLock, s.serverLock)
	// Numbers and names differ from server to server, and what one is entitled to says
	// nothing about another.
	s.OwnPrivileges = either(o.OwnPrivileges, s.OwnPrivileges)
	s.Administrative = either(o.Administrative, s.Administrative)
	s.Licences = either(o.Licences, s.Licences)
	return s
}

func either[T any](list, otherwise []T) []T {
	if list != nil {
		return list
	}
	return otherwise
}

// settings fills what defaults do not give with what holds without them.
func (s defaultsSection) settings() Settings {
	return s.stated.orElse(Settings{Additive, Effective, RedundantKeep, InheritedAllow, MissingBlock})
}

// orElse returns s with its empty fields taken from d.
func (s Settings) orElse(d Settings) Settings {
	return Settings{cmp.Or(s.Mode, d.Mode), cmp.Or(s.SatisfiedBy, d.SatisfiedBy), cmp.Or(s.Redundant, d.Redundant), cmp.Or(s.Inherited, d.Inherited), cmp.Or(s.Missing, d.Missing)}
}

func (s Settings) restless() bool { return s.Redundant == RedundantRevoke && s.SatisfiedBy == Direct }

const restlessMessage = "redundant: revoke together with satisfiedBy: direct can never come to rest"

// variant is what defaults come to, without and with each overlay; where says
// which in a message.
type variant struct {
	where    string
	defaults defaultsSection
}

// checkDefaults reports defaults that contradict themselves, without and with each
// overlay, and returns the variants that entries have to be checked against, each once.
func (a *assembler) checkDefaults() []variant {
	variants := []variant{{defaults: a.all.defaults}}
	for _, o := range a.overlays {
		if o.defaults.pos.Line != 0 {
			variants = append(variants, variant{" in overlay " + clean.Quote(cut(o.name)), a.all.defaults.with(o.defaults)})
		}
	}
	var sound []variant
	// What holds for an entry in one overlay holds in all that come to the same.
	seen := map[Settings]bool{}
	for _, v := range variants {
		if s := v.defaults.settings(); s.restless() {
			a.out.add(v.defaults.redundant, "", restlessMessage+v.where)
		} else if !seen[s] {
			seen[s] = true
			sound = append(sound, v)
		}
	}
	return sound
}

// principals gives every entry its settings and its flattened list.
func (a *assembler) principals(defaults Settings, variants []variant) []Entry {
	n := 0
	for _, d := range a.docs {
		n += len(d.principals)
	}
	entries := make([]Entry, 0, n)
	sets := newSetTable(a.docs, a.out)
	settings := make([]Settings, len(variants))
	for i, v := range variants {
		settings[i] = v.defaults.settings()
	}
	seen := make(principalIndex, n)
	for _, d := range a.docs {
		for i := range d.principals {
			e := &d.principals[i]
			if e.Principal != nil {
				if first, twice := seen.add(e.Principal); twice {
					a.out.add(e.Principal.Pos, "make one entry of both", describe(*e.Principal)+" has an entry already: at "+first.String())
				}
			}
			e.Settings = e.Stated.orElse(defaults)
			if e.clash.Line != 0 {
				for i, s := range settings {
					if e.Stated.orElse(s).restless() {
						a.out.add(e.clash, "", restlessMessage+variants[i].where)
					}
				}
			}
			if len(e.sets) > 0 {
				flat := sets.flatten(e.sets, e.Terms, e.Pos)
				a.checkForbidden(e, flat)
				e.Listed.shared = flat.listed
			} else {
				a.checkForbidden(e, nil)
			}
			entries = append(entries, e.Entry)
		}
		// The entries are copied: what only served to read them may go.
		d.principals = nil
	}
	return entries
}

// checkForbidden reports what an entry both lists and forbids, by the text as
// written; [Policy.CheckCatalogue] knows which name is which number.
func (a *assembler) checkForbidden(e *entry, flat *flatList) {
	if len(e.Forbid) == 0 {
		return
	}
	own := flatList{listed: e.Listed.Items()}
	for _, f := range e.Forbid {
		pos, listed := own.find(f.Ref)
		if !listed && flat != nil {
			pos, listed = flat.find(f.Ref)
		}
		if listed {
			a.out.add(f.Pos, "", fmt.Sprintf("privilege %s is forbidden here and listed at %s", quoteRef(f.Ref), pos))
		}
	}
}

func (a *assembler) rules() []Rule {
	var all []Rule
	seen := map[string]Position{}
	for _, d := range a.docs {
		for _, r := range d.rules {
			if first, twice := seen[r.Name]; twice && r.Name != "" {
				a.out.add(r.Pos, "", fmt.Sprintf("rule %s is given twice: first at %s", clean.Quote(cut(r.Name)), first))
			} else {
				seen[r.Name] = r.Pos
			}
			all = append(all, r)
		}
	}
	return all
}

// digest covers what the files say and which overlay is in force, but neither
// their names nor their order: the same policy has the same digest however it
// is given on the command line.
func digest(files []File, env string) string {
	digests := make([]string, len(files))
	for i, f := range files {
		digests[i] = f.Digest
	}
	slices.Sort(digests)
	h := sha256.New()
	fmt.Fprintf(h, "privsync/policy/v1\nenvironment %q\n%s\n", env, strings.Join(digests, "\n"))
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

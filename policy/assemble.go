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
	overlays []overlay // one per name, in the order of the files
}

// assemble returns the policy that docs make together, with the overlay called
// env in force. It is worth something only if out is empty afterwards. What warned
// holds, and what else deserves a warning, becomes the policy's.
func assemble(docs []*document, env string, out, warned *collector) *Policy {
	a := &assembler{out: out, docs: docs}
	p := &Policy{Scope: LevelServer, Unlisted: UnlistedIgnore, EnvironmentSelected: env}

	metadata := a.metadata()
	scope := single(a, "scope", func(d *document) (word, Position) { return d.scope, d.scope.pos })
	environment := single(a, "environment", func(d *document) (environmentSection, Position) { return d.environment, d.environment.pos })
	defaults := single(a, "defaults", func(d *document) (defaultsSection, Position) { return d.defaults, d.defaults.pos })
	safety := single(a, "safety", func(d *document) (safetySection, Position) { return d.safety, d.safety.pos })
	licences := single(a, "licences", func(d *document) (licencesSection, Position) { return d.licences, d.licences.pos })
	unlisted := single(a, "unlisted", func(d *document) (word, Position) { return d.unlisted, d.unlisted.pos })
	a.mergeOverlays()

	variants := []variant{{defaults: defaults}}
	for _, o := range a.overlays {
		if o.defaults.pos.Line != 0 {
			variants = append(variants, variant{fmt.Sprintf(" in overlay %s", clean.Quote(cut(o.name))), defaults.with(o.defaults)})
		}
	}
	clash := a.checkDefaults(variants)

	if env != "" {
		if o := a.selected(env); o != nil {
			metadata, environment = metadata.with(o.metadata), environment.with(o.environment)
			defaults, safety = defaults.with(o.defaults), safety.with(o.safety)
		}
	}
	p.EnvironmentName = cmp.Or(env, metadata.environment.text)
	p.Name, p.Owner, p.Description = metadata.name.text, metadata.owner.text, metadata.description.text
	if scope.given() {
		p.Scope = Level(scope.text)
	}
	p.Environment = Environment{URL: environment.url.text, LoginMode: environment.loginMode.text}
	if environment.url.given() {
		p.Environment.URLPos = environment.url.pos
	}
	p.Defaults = defaults.settings()
	p.ExpiringWithinDays = defaultNoticeDays
	if defaults.expiringWithinDays != nil {
		p.ExpiringWithinDays = *defaults.expiringWithinDays
	}
	if safety.pos.Line != 0 {
		p.Safety = &Safety{safety.maxRevokes, safety.maxChangedPrincipals, safety.protected, safety.protectedBy, safety.ownPrivileges, safety.licences, safety.approval, safety.serverLock != nil && *safety.serverLock, safety.administrative}
	}
	if licences.path.given() {
		p.Licences = &LicenceFile{Path: licences.path.text, Pos: licences.path.pos}
	}
	if unlisted.given() {
		p.Unlisted, p.UnlistedPos = Unlisted(unlisted.text), unlisted.pos
	}
	p.Principals = a.principals(p.Defaults, clash)
	p.Rules = a.rules()
	p.Prerequisites = a.prerequisites()
	a.checkNeeds(p)
	p.Commands = a.commands()
	if a.whole(principalsKey, "unlisted", "commands") && len(p.Principals) == 0 && p.Unlisted == UnlistedIgnore && len(p.Commands) == 0 {
		out.add(docs[0].start, "write principals", "the policy covers nobody")
	}
	for _, d := range docs {
		p.Files = append(p.Files, d.file)
		warned.join(&d.warned)
	}
	if p.Unlisted == UnlistedRevoke && (p.Safety == nil || p.Safety.MaxRevokes == nil) {
		warned.add(unlisted.pos, "write safety: {maxRevokes: N}", "unlisted: revoke without safety.maxRevokes: a file that is missing by mistake takes everything from whom it listed")
	}
	if out.count() == 0 {
		a.lookAlikes(p, warned)
	}
	p.Warnings = warned.problems()
	p.Digest, p.BaseDigest = digest(p.Files, env), baseDigest(docs)
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

// single returns the one section that is given, or the zero value, and reports
// all further ones.
func single[T any](a *assembler, name string, of func(*document) (T, Position)) T {
	var section T
	var first Position
	for _, d := range a.docs {
		s, pos := of(d)
		switch {
		case pos.Line == 0:
		case first.Line == 0:
			section, first = s, pos
		default:
			a.out.add(pos, "one file has it for all", fmt.Sprintf("%s is given twice: first at %s", name, first))
		}
	}
	return section
}

// metadata may stand in several files as long as they agree.
func (a *assembler) metadata() metadataSection {
	var all metadataSection
	for _, d := range a.docs {
		if all.pos.Line == 0 {
			all.pos = d.metadata.pos
		}
		a.agree("metadata.name", &all.name, d.metadata.name)
		a.agree("metadata.owner", &all.owner, d.metadata.owner)
		a.agree("metadata.description", &all.description, d.metadata.description)
		a.agree("metadata.environment", &all.environment, d.metadata.environment)
	}
	if !all.name.given() && a.whole("metadata") {
		pos := all.pos
		if pos.Line == 0 {
			pos = a.docs[0].start
		}
		a.out.add(pos, "write metadata: {name: NAME}", "the policy has no metadata.name")
	}
	return all
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

// mergeOverlays joins the overlays of all files by name. A section of one
// overlay is given once.
func (a *assembler) mergeOverlays() {
	places := map[string]int{}
	for _, d := range a.docs {
		for _, o := range d.overlays {
			i, known := places[o.name]
			if !known {
				places[o.name] = len(a.overlays)
				a.overlays = append(a.overlays, o)
				continue
			}
			into := &a.overlays[i]
			overlaySection(a, o.name, "metadata", &into.metadata, o.metadata, into.metadata.pos, o.metadata.pos)
			overlaySection(a, o.name, "environment", &into.environment, o.environment, into.environment.pos, o.environment.pos)
			overlaySection(a, o.name, "defaults", &into.defaults, o.defaults, into.defaults.pos, o.defaults.pos)
			overlaySection(a, o.name, "safety", &into.safety, o.safety, into.safety.pos, o.safety.pos)
		}
	}
}

func overlaySection[T any](a *assembler, overlay, section string, into *T, more T, first, second Position) {
	switch {
	case second.Line == 0:
	case first.Line == 0:
		*into = more
	default:
		a.out.add(second, "", fmt.Sprintf("%s of overlay %s is given twice: first at %s", section, clean.Quote(cut(overlay)), first))
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

func (s metadataSection) with(o metadataSection) metadataSection {
	s.name, s.owner, s.description = or(o.name, s.name), or(o.owner, s.owner), or(o.description, s.description)
	return s
}

func (s environmentSection) with(o environmentSection) environmentSection {
	s.url, s.loginMode = or(o.url, s.url), or(o.loginMode, s.loginMode)
	return s
}

func (s defaultsSection) with(o defaultsSection) defaultsSection {
	s.mode, s.satisfiedBy = or(o.mode, s.mode), or(o.satisfiedBy, s.satisfiedBy)
	s.redundant, s.inherited = or(o.redundant, s.redundant), or(o.inherited, s.inherited)
	s.missing = or(o.missing, s.missing)
	s.expiringWithinDays = cmp.Or(o.expiringWithinDays, s.expiringWithinDays)
	return s
}

func (s safetySection) with(o safetySection) safetySection {
	if o.pos.Line != 0 {
		s.pos = o.pos
	}
	s.maxRevokes = cmp.Or(o.maxRevokes, s.maxRevokes)
	s.maxChangedPrincipals = cmp.Or(o.maxChangedPrincipals, s.maxChangedPrincipals)
	// Protection is only ever added: what the base protects stays so.
	s.protected = addPrincipals(s.protected, o.protected)
	s.protectedBy = slices.Concat(s.protectedBy, o.protectedBy)
	if o.ownPrivileges != nil {
		// Numbers and names differ from server to server.
		s.ownPrivileges = o.ownPrivileges
	}
	if o.administrative != nil {
		s.administrative = o.administrative
	}
	s.approval = cmp.Or(o.approval, s.approval)
	s.serverLock = cmp.Or(o.serverLock, s.serverLock)
	if o.licences != nil {
		// What one server is entitled to says nothing about another.
		s.licences = o.licences
	}
	return s
}

func or(w, otherwise word) word {
	if w.given() {
		return w
	}
	return otherwise
}

// settings fills what defaults do not give with what holds without them.
func (s defaultsSection) settings() Settings {
	return Settings{Mode(s.mode.text), SatisfiedBy(s.satisfiedBy.text), Redundant(s.redundant.text), Inherited(s.inherited.text), Missing(s.missing.text)}.
		orElse(Settings{Additive, Effective, RedundantKeep, InheritedAllow, MissingBlock})
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

// checkDefaults reports defaults that contradict themselves and returns the
// variants that entries have to be checked against, each once.
func (a *assembler) checkDefaults(variants []variant) []variant {
	var sound []variant
	// What holds for an entry in one overlay holds in all that come to the same.
	seen := map[Settings]bool{}
	for _, v := range variants {
		if s := v.defaults.settings(); !s.restless() {
			if !seen[s] {
				seen[s] = true
				sound = append(sound, v)
			}
			continue
		}
		a.out.add(v.defaults.redundant.pos, "", restlessMessage+v.where)
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

func (a *assembler) commands() []Command {
	var all []Command
	for _, d := range a.docs {
		for _, c := range d.commands {
			if i := slices.IndexFunc(all, func(other Command) bool { return other.Name == c.Name }); i >= 0 {
				a.out.add(c.Pos, "", commandTwice(c, all[i]))
				continue
			}
			all = append(all, c)
		}
	}
	return all
}

func commandTwice(second, first Command) string {
	return fmt.Sprintf("command %s is given twice: first at %s", clean.Quote(second.Name), first.Pos)
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

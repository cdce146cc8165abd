package render

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// From so many principals, or cells of the matrix, a page holds them as data, of which
// its script draws what is seen: a browser takes many seconds for the elements of all.
// Without script, and on paper, they are a plain list.
const (
	dataPrincipals = 400
	dataCells      = 50_000
)

// pageData is what the script of a large page draws. Its strings are clean. Texts that
// stand in many principals stand once in Words, Groups and Profiles, and are meant by
// their index.
type pageData struct {
	Columns    []string        `json:"columns"` // number and name of each privilege
	Words      []string        `json:"words"`   // the first is empty
	Groups     []string        `json:"groups"`  // sources, as sections name them
	Profiles   [][]fromGroup   `json:"profiles"`
	Principals []dataPrincipal `json:"principals"`
}

// fromGroup is a source and the columns of what comes from it.
type fromGroup struct {
	group   int
	columns []int
}

func (f fromGroup) MarshalJSON() ([]byte, error) { return json.Marshal([2]any{f.group, f.columns}) }

// dataPrincipal is an entry; the numbers without a comment are words.
type dataPrincipal struct {
	Anchor  string `json:"a"`
	Name    string `json:"n"`
	Login   string `json:"l,omitempty"`
	ID      string `json:"i,omitempty"`
	Kind    int    `json:"k"`
	Outcome int    `json:"o"`
	Tone    int    `json:"t"`
	Said    int    `json:"d,omitempty"`
	InSync  int    `json:"c,omitempty"` // 1: it is
	Held    int    `json:"h"`           // -1: not known
	Direct  int    `json:"b,omitempty"` // how many
	States  string `json:"s,omitempty"` // a letter a column, see stateOf; trailing dots are left out
	Profile int    `json:"p"`           // index
	Reach   string `json:"r,omitempty"`
	Effort  string `json:"f,omitempty"`
	Error   string `json:"e,omitempty"`
	Changes []any  `json:"x,omitempty"` // [class, verb, privilege, why], the first two words
	Notes   []any  `json:"w,omitempty"` // [severity, code, privilege, rest], the first two words
}

// stateOf is [entry.state], and of what should not be held also how it is held: x
// forbidden and direct, f forbidden and inherited, y both; s surplus and direct, t both.
// A dot is neither held nor meant to be.
func (e *entry) stateOf(id mstrapi.PrivilegeID) byte {
	s := e.state(id)
	direct, inherited := e.direct.Has(id), e.inherited.Has(id)
	switch {
	case s == 0:
		return '.'
	case s == stateForbidden && direct && inherited:
		return 'y'
	case s == stateForbidden && direct:
		return 'x'
	case s == stateSurplus && inherited:
		return 't'
	}
	return s
}

// indexer numbers texts.
type indexer struct {
	index map[string]int
	list  []string
}

func (x *indexer) of(s string) int {
	i, ok := x.index[s]
	if !ok {
		if x.index == nil {
			x.index = make(map[string]int)
		}
		i = len(x.list)
		x.index[s] = i
		x.list = append(x.list, s)
	}
	return i
}

// pack turns the principals into data where they are very many.
func (b *pageBuilder) pack(ids []mstrapi.PrivilegeID) {
	p := b.page
	n := len(p.Principals)
	if n == 0 || b.dataFrom > 0 && n < b.dataFrom || b.dataFrom == 0 && n <= dataPrincipals && n*len(ids) <= dataCells {
		return
	}
	column := make(map[mstrapi.PrivilegeID]int, len(ids))
	for i, id := range ids {
		column[id] = i
	}
	data := &pageData{Columns: []string{}, Profiles: [][]fromGroup{}}
	for _, c := range p.Columns {
		data.Columns = append(data.Columns, c.ID.String()+" "+c.Name)
	}
	var words, groups, profiles indexer
	words.of("")
	for _, e := range p.Principals {
		if !e.InMatrix {
			continue
		}
		d := dataPrincipal{
			Anchor: e.Anchor, Name: e.Name, Login: e.Login, ID: e.ID, Kind: words.of(e.Kind), Outcome: words.of(e.Outcome), Tone: words.of(e.Tone),
			Said: words.of(e.Said), Held: e.Held, Direct: e.Direct, Reach: e.Reach, Effort: e.Effort, Error: e.Error,
		}
		if e.Tenant != "" {
			d.Name += " (tenant " + e.Tenant + ")"
		}
		if e.InSync {
			d.InSync = 1
		}
		if !e.Known {
			d.Held = -1
		}
		states := make([]byte, len(ids))
		for i, id := range ids {
			states[i] = e.stateOf(id)
		}
		d.States = strings.TrimRight(string(states), ".")
		var key strings.Builder
		var from []fromGroup
		for _, h := range e.from {
			f := fromGroup{group: groups.of(h.source)}
			for _, id := range h.privileges {
				if i, ok := column[id]; ok {
					f.columns = append(f.columns, i)
				}
			}
			fmt.Fprint(&key, f.group, f.columns)
			from = append(from, f)
		}
		d.Profile = profiles.of(key.String())
		if d.Profile == len(data.Profiles) {
			data.Profiles = append(data.Profiles, from)
		}
		for _, c := range e.Changes {
			d.Changes = append(d.Changes, []any{words.of(c.Class), words.of(c.Verb), c.Privilege, c.Why})
		}
		for _, n := range e.Notes {
			d.Notes = append(d.Notes, []any{words.of(n.Severity), words.of(n.Code), n.Privilege, n.rest()})
		}
		data.Principals = append(data.Principals, d)
		p.Plain = append(p.Plain, e.plain())
	}
	data.Words, data.Groups = words.list, groups.list
	p.packed = data
	p.Principals, p.Packed = nil, true
}

// plainEntry is a principal in the list that stands for the matrix without script and on
// paper.
type plainEntry struct{ Who, Said string }

func (e *entry) plain() plainEntry {
	who := e.Name
	if e.Login != "" {
		who += " (" + e.Login + ")"
	}
	said := e.Outcome
	if e.Known {
		said += fmt.Sprintf("; holds %d, %d directly", e.Held, e.Direct)
	} else {
		said += "; what it holds is not known"
	}
	for _, c := range e.Changes {
		said += "; " + c.Verb + " " + c.Privilege
	}
	return plainEntry{who, clip(said, 4*clipMessage)}
}

// element is the script element that holds the data. JSON as Go writes it holds no angle
// bracket and no ampersand, so nothing in it can end the element.
func (d *pageData) element() (template.HTML, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("data of the page: %w", err)
	}
	return template.HTML(`<script type="application/json" id="data">` + string(text) + `</script>`), nil
}

// worstShown is how many principals are named where attention is asked for.
const worstShown = 20

// worst names those who are not as the policy wants it, what is worst first.
func (b *pageBuilder) worst() {
	var all []*entry
	for _, e := range b.page.Principals {
		if !e.InSync {
			all = append(all, e)
		}
	}
	weight := func(e *entry) int {
		n := 1000*e.forbidden.Len() + 10*e.surplus.Len() + e.missing.Len()
		if e.Tone == "bad" {
			n += 100_000
		}
		return n
	}
	slices.SortStableFunc(all, func(x, y *entry) int { return cmp.Compare(weight(y), weight(x)) })
	// Those that drifted are told apart from those of whom less is known.
	var outcomes []string
	byOutcome := make(map[string][]*entry)
	for _, e := range all {
		if byOutcome[e.Outcome] == nil {
			outcomes = append(outcomes, e.Outcome)
		}
		byOutcome[e.Outcome] = append(byOutcome[e.Outcome], e)
	}
	slices.SortStableFunc(outcomes, func(x, y string) int {
		return cmp.Compare(btoi(y == string(executor.Drifted)), btoi(x == string(executor.Drifted)))
	})
	for _, o := range outcomes {
		b.name("%s "+strings.ReplaceAll(o, "%", "%%")+", the worst first", byOutcome[o])
	}
}

// foremost names the principals of a plan that a reviewer must see first.
func (b *pageBuilder) foremost(doc *planner.Plan) {
	byAnchor := make(map[string]*entry, len(b.page.Principals))
	for _, e := range b.page.Principals {
		byAnchor[e.Anchor] = e
	}
	var all []*entry
	for _, c := range byWeight(doc) {
		if e := byAnchor[b.anchors[c.Principal.ID]]; e != nil {
			all = append(all, e)
		}
	}
	b.name("%s to change: administrative grants and the widest effect first", all)
}

// name names principals where attention is asked for.
func (b *pageBuilder) name(title string, all []*entry) {
	if len(all) == 0 {
		return
	}
	list := worstList{Title: fmt.Sprintf(title, count(len(all), "principal"))}
	for _, e := range all[:min(len(all), worstShown)] {
		w := worstEntry{Anchor: e.Anchor, Name: e.Name, Login: e.Login, Tone: e.Tone, Outcome: e.Outcome}
		var parts []string
		for _, part := range []struct {
			n    int
			word string
		}{{e.forbidden.Len(), "forbidden"}, {e.surplus.Len(), "surplus"}, {e.missing.Len(), "missing"}} {
			if part.n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
			}
		}
		if e.administrative > 0 {
			parts = append(parts, count(e.administrative, "grant")+" of administrative privileges")
		}
		if e.Reach != "" {
			parts = append(parts, e.Reach)
		}
		if e.Error != "" {
			parts = append(parts, clip(e.Error, clipMessage))
		}
		w.Said = strings.Join(parts, ", ")
		list.Named = append(list.Named, w)
	}
	if left := len(all) - worstShown; left > 0 {
		list.Left = fmt.Sprintf("… and %d more: choose the outcome in the filter to see them.", left)
	}
	b.page.Worst = append(b.page.Worst, list)
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// worstList are principals that need a person for one reason.
type worstList struct {
	Title string
	Named []worstEntry
	Left  string
}

// worstEntry is a principal that needs a person.
type worstEntry struct{ Anchor, Name, Login, Tone, Outcome, Said string }

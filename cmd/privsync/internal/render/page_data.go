package render

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strings"

	"privsync/mstrapi"
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
	data := &pageData{Columns: append([]string{}, p.Columns...), Profiles: [][]fromGroup{}}
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
		p.Plain = append(p.Plain, e.Plain())
	}
	data.Words, data.Groups = words.list, groups.list
	p.packed = data
	p.Principals, p.Packed = nil, true
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

package render

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
)

// The states of a cell of the matrix. A letter says the same as the colour.
const (
	stateDirect    = 'd'
	stateInherited = 'i'
	stateBoth      = 'b'
	stateMissing   = 'm'
	stateSurplus   = 's'
	stateForbidden = 'f'
)

// state says how e stands to a privilege; 0 for neither held nor meant to be.
func (e *entry) state(id mstrapi.PrivilegeID) byte {
	switch {
	case e.forbidden.Has(id):
		return stateForbidden
	case e.surplus.Has(id):
		return stateSurplus
	case e.missing.Has(id):
		return stateMissing
	case e.direct.Has(id) && e.inherited.Has(id):
		return stateBoth
	case e.direct.Has(id):
		return stateDirect
	case e.inherited.Has(id):
		return stateInherited
	}
	return 0
}

func cell(state byte) string {
	if state == 0 {
		return "<td>"
	}
	return fmt.Sprintf("<td class=%c>%c", state, state-'a'+'A')
}

// choose says which of n principals are shown: at most limit, those that are
// not in sync first, in the document's order.
func choose(n, limit int, inSync func(i int) bool) []int {
	chosen := make([]int, 0, min(n, limit))
	for _, wanted := range []bool{false, true} {
		for i := 0; i < n && len(chosen) < limit; i++ {
			if inSync(i) == wanted {
				chosen = append(chosen, i)
			}
		}
	}
	slices.Sort(chosen)
	return chosen
}

// matrix fills the columns and the cells of the chosen principals.
func (b *pageBuilder) matrix() {
	p := b.page
	seen := make(map[mstrapi.PrivilegeID]int)
	for _, e := range p.Principals {
		for id := range e.direct.Union(e.inherited).Union(e.missing).Union(e.forbidden).All() {
			seen[id]++
		}
	}
	ids := slices.SortedFunc(maps.Keys(seen), func(a, c mstrapi.PrivilegeID) int { return cmp.Or(cmp.Compare(seen[c], seen[a]), cmp.Compare(a, c)) })
	var left []string
	if n := len(ids) - maxColumns; n > 0 {
		ids = ids[:maxColumns]
		left = append(left, clean.Count(n, "privilege")+" that few hold")
	}
	slices.Sort(ids)
	for _, id := range ids {
		p.Columns = append(p.Columns, id.String()+" "+cmp.Or(b.names[id], "(name not in this "+p.Noun+")"))
	}
	p.Wide = len(ids) > 66
	rows := choose(len(p.Principals), maxCells/max(1, len(ids)), func(i int) bool { return p.Principals[i].InSync })
	if n := len(p.Principals) - len(rows); n > 0 {
		left = append(left, clean.Count(n, "principal"))
	}
	if len(left) > 0 {
		p.MatrixNote = "Left out of the matrix, which would be too large to show: " + strings.Join(left, ", ") + "."
	}
	var kinds, outcomes []string
	for _, i := range rows {
		e := p.Principals[i]
		e.InMatrix = true
		kinds, outcomes = append(kinds, e.Kind), append(outcomes, e.Outcome)
		if !e.Known {
			continue
		}
		var cells strings.Builder
		var states []byte
		for _, id := range ids {
			s := e.state(id)
			cells.WriteString(cell(s))
			if s != 0 {
				states = append(states, s)
			}
		}
		slices.Sort(states)
		e.States = string(slices.Compact(states))
		e.Cells = template.HTML(cells.String())
	}
	slices.Sort(kinds)
	slices.Sort(outcomes)
	p.Kinds, p.Outcomes = slices.Compact(kinds), slices.Compact(outcomes)
	b.pack(ids)
}

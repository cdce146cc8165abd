package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"privsync/mstrapi"
	"privsync/planner"
)

// Measures of a chart, in the units of its viewBox.
const (
	chartWidth  = 600
	chartLabel  = 256 // left of the bars
	chartRow    = 26
	chartNumber = 48 // right of the bars
	chartClip   = 34 // runes of a label
)

// bar is one named number.
type bar struct {
	Label, Tone string
	N           int
}

// chart is an SVG picture. Said is its content in words, for those who do not
// see it.
type chart struct {
	Title, Said string
	Keys        []toned // what the tones mean, where the labels do not tell
	Height      int
	Segments    []segment
	Labels      []chartText
}

// segment is a piece of a bar; Title is shown on hovering.
type segment struct {
	X, Y, Width, Height float64
	Tone, Title         string
}

type chartText struct {
	X, Y  float64
	Class string
	Text  string
}

// charts leaves out the charts that show nothing.
func charts(all ...chart) []chart {
	return slices.DeleteFunc(all, func(c chart) bool { return len(c.Segments) == 0 })
}

// stacked is one bar that shares a whole out, with its legend below.
func stacked(title string, bars []bar) chart {
	c := chart{Title: title}
	total := 0
	for _, b := range bars {
		total += max(0, b.N)
	}
	if total == 0 {
		return c
	}
	x, y := 0.0, 44.0
	var said []string
	for _, b := range bars {
		if b.N <= 0 {
			continue
		}
		text := fmt.Sprintf("%s %d", b.Label, b.N)
		said = append(said, text)
		width := float64(b.N) / float64(total) * chartWidth
		c.Segments = append(c.Segments, segment{x, 0, max(width-2, 1.5), 30, b.Tone, text})
		x += width
	}
	column := 0.0
	for _, b := range bars {
		if b.N <= 0 {
			continue
		}
		share := float64(b.N) / float64(total) * 100
		c.Segments = append(c.Segments, segment{column, y, 12, 12, b.Tone, ""})
		c.Labels = append(c.Labels, chartText{column + 20, y + 11, "", fmt.Sprintf("%s: %d (%.1f %%)", b.Label, b.N, share)})
		if column == 0 {
			column = chartWidth / 2
		} else {
			column, y = 0, y+24
		}
	}
	if column > 0 {
		y += 24
	}
	c.Height = int(y)
	c.Said = strings.Join(said, ", ")
	return c
}

// bars is a chart with a row for each label, each made of up to two parts.
func bars(title string, labels []string, parts [][]bar) chart {
	c := chart{Title: title}
	most := 0
	for _, row := range parts {
		n := 0
		for _, b := range row {
			n += b.N
		}
		most = max(most, n)
	}
	if most == 0 {
		return c
	}
	const room = chartWidth - chartLabel - chartNumber
	var said []string
	for i, row := range parts {
		y := float64(i * chartRow)
		c.Labels = append(c.Labels, chartText{chartLabel - 8, y + 16, "end", clip(labels[i], chartClip)})
		x, n := float64(chartLabel), 0
		var words []string
		for _, b := range row {
			if b.N <= 0 {
				continue
			}
			text := fmt.Sprintf("%d", b.N)
			if b.Label != "" {
				text += " " + b.Label
			}
			words = append(words, text)
			width := max(2, float64(b.N)/float64(most)*room)
			c.Segments = append(c.Segments, segment{x, y + 3, width, chartRow - 8, b.Tone, labels[i] + ": " + text})
			x += width
			n += b.N
		}
		c.Labels = append(c.Labels, chartText{x + 6, y + 16, "number", fmt.Sprint(n)})
		said = append(said, labels[i]+": "+strings.Join(words, ", "))
	}
	c.Height = len(parts) * chartRow
	c.Said = strings.Join(said, "; ")
	return c
}

// tally counts grants and revokes by reason.
type tally struct{ grants, revokes map[string]int }

func newTally() *tally { return &tally{make(map[string]int), make(map[string]int)} }

func (t *tally) add(g *planner.PlannedPrivilege, granted bool) {
	counts := t.revokes
	if granted {
		counts = t.grants
	}
	counts[Clean(string(g.Reason))]++
}

func (t *tally) chart(title string) chart {
	var labels []string
	var parts [][]bar
	for _, part := range []struct {
		sign, tone string
		counts     map[string]int
	}{{"+ grant", "grant", t.grants}, {"− revoke", "revoke", t.revokes}} {
		for _, b := range ranked(part.counts, 8) {
			labels = append(labels, part.sign+", "+b.Label)
			parts = append(parts, []bar{{"", part.tone, b.N}})
		}
	}
	return bars(title, labels, parts)
}

// ranked gives the most frequent keys first.
func ranked(counts map[string]int, most int) []bar {
	out := make([]bar, 0, len(counts))
	for k, n := range counts {
		out = append(out, bar{Label: k, N: n})
	}
	slices.SortFunc(out, func(a, b bar) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Label, b.Label)) })
	return out[:min(len(out), most)]
}

// findingChart counts findings by code.
func findingChart(fs []planner.Finding) chart {
	counts := make(map[string]int)
	tones := make(map[string]string)
	for _, f := range fs {
		code := Clean(string(f.Code))
		counts[code]++
		switch {
		case f.Severity == planner.SeverityError:
			tones[code] = "bad"
		case f.Severity == planner.SeverityWarning && tones[code] != "bad":
			tones[code] = "warn"
		case tones[code] == "":
			tones[code] = "info"
		}
	}
	var labels []string
	var parts [][]bar
	for _, b := range ranked(counts, 8) {
		labels = append(labels, b.Label)
		parts = append(parts, []bar{{"", tones[b.Label], b.N}})
	}
	return bars("Findings", labels, parts)
}

// holdings counts who holds each privilege directly, and who only through groups.
type holdings struct{ direct, inherited map[mstrapi.PrivilegeID]int }

func newHoldings() *holdings {
	return &holdings{make(map[mstrapi.PrivilegeID]int), make(map[mstrapi.PrivilegeID]int)}
}

func (h *holdings) add(direct, inherited planner.Set) {
	for id := range direct.All() {
		h.direct[id]++
	}
	for id := range inherited.Minus(direct).All() {
		h.inherited[id]++
	}
}

func (h *holdings) chart(title string, label func(mstrapi.PrivilegeID) string) chart {
	ids := make([]mstrapi.PrivilegeID, 0, len(h.direct)+len(h.inherited))
	for id := range h.direct {
		ids = append(ids, id)
	}
	for id := range h.inherited {
		if h.direct[id] == 0 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b mstrapi.PrivilegeID) int {
		return cmp.Or(cmp.Compare(h.direct[b]+h.inherited[b], h.direct[a]+h.inherited[a]), cmp.Compare(a, b))
	})
	var labels []string
	var parts [][]bar
	for _, id := range ids[:min(len(ids), 12)] {
		labels = append(labels, label(id))
		parts = append(parts, []bar{{"direct", "direct", h.direct[id]}, {"inherited only", "inherited", h.inherited[id]}})
	}
	c := bars(title, labels, parts)
	c.Keys = []toned{{"direct", "direct"}, {"inherited", "inherited only"}}
	return c
}

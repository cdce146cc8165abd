package render

import (
	"cmp"
	"fmt"
	"maps"
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
	bars = slices.DeleteFunc(bars, func(b bar) bool { return b.N <= 0 })
	total := 0.0
	for _, b := range bars {
		total += float64(b.N)
	}
	x := 0.0
	var said []string
	var legend []segment
	for i, b := range bars {
		text, share := fmt.Sprintf("%s %d", b.Label, b.N), float64(b.N)/total
		said = append(said, text)
		c.Segments = append(c.Segments, segment{x, 0, max(share*chartWidth-2, 1.5), 30, b.Tone, text})
		x += share * chartWidth
		column, y := float64(i%2)*chartWidth/2, 44+float64(i/2)*24
		legend = append(legend, segment{column, y, 12, 12, b.Tone, ""})
		c.Labels = append(c.Labels, chartText{column + 20, y + 11, "", fmt.Sprintf("%s: %d (%.1f %%)", b.Label, b.N, share*100)})
	}
	c.Segments = append(c.Segments, legend...)
	c.Height, c.Said = 44+(len(bars)+1)/2*24, strings.Join(said, ", ")
	return c
}

// row is a labelled row of bars.
type row struct {
	label string
	parts []bar
}

// rows is a chart with a row of bars for each label.
func rows(title string, all []row) chart {
	c := chart{Title: title, Height: len(all) * chartRow}
	length := func(r row) (n int) {
		for _, b := range r.parts {
			n += b.N
		}
		return n
	}
	most := 0
	for _, r := range all {
		most = max(most, length(r))
	}
	const room = chartWidth - chartLabel - chartNumber
	var said []string
	for i, r := range all {
		x, y := float64(chartLabel), float64(i*chartRow)
		c.Labels = append(c.Labels, chartText{chartLabel - 8, y + 16, "end", clip(r.label, chartClip)})
		var words []string
		for _, b := range r.parts {
			if b.N <= 0 {
				continue
			}
			text := strings.TrimSuffix(fmt.Sprintf("%d %s", b.N, b.Label), " ")
			words = append(words, text)
			width := max(2, float64(b.N)/float64(most)*room)
			c.Segments = append(c.Segments, segment{x, y + 3, width, chartRow - 8, b.Tone, r.label + ": " + text})
			x += width
		}
		c.Labels = append(c.Labels, chartText{x + 6, y + 16, "number", fmt.Sprint(length(r))})
		said = append(said, r.label+": "+strings.Join(words, ", "))
	}
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
	all := ranked(t.grants, "+ grant, ", func(string) string { return "grant" })
	return rows(title, append(all, ranked(t.revokes, "− revoke, ", func(string) string { return "revoke" })...))
}

// ranked are the eight most frequent keys.
func ranked(counts map[string]int, before string, tone func(key string) string) []row {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	var out []row
	for _, k := range keys[:min(len(keys), 8)] {
		out = append(out, row{before + k, []bar{{"", tone(k), counts[k]}}})
	}
	return out
}

// findingChart counts findings by code, in the tone of the worst.
func findingChart(fs []planner.Finding) chart {
	counts, tones := make(map[string]int), make(map[string]string)
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
	return rows("Findings", ranked(counts, "", func(code string) string { return tones[code] }))
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
	all := func(id mstrapi.PrivilegeID) int { return h.direct[id] + h.inherited[id] }
	ids := slices.AppendSeq(slices.Collect(maps.Keys(h.direct)), maps.Keys(h.inherited))
	slices.SortFunc(ids, func(a, b mstrapi.PrivilegeID) int { return cmp.Or(cmp.Compare(all(b), all(a)), cmp.Compare(a, b)) })
	ids = slices.Compact(ids)
	var held []row
	for _, id := range ids[:min(len(ids), 12)] {
		held = append(held, row{label(id), []bar{{"direct", "direct", h.direct[id]}, {"inherited only", "inherited", h.inherited[id]}}})
	}
	c := rows(title, held)
	c.Keys = []toned{{"direct", "direct"}, {"inherited", "inherited only"}}
	return c
}

package render

import (
	"html/template"

	"privsync/clean"
	"privsync/planner"
)

// page is everything that the template shows. Its strings are clean; the
// template escapes them.
type page struct {
	Style, Script template.HTML
	Policy        string // Content-Security-Policy

	Noun     string // plan, report
	Title    string
	Verdict  string
	Tone     string // good, warn, bad: of the verdict
	Sentence string
	Facts    []fact
	Evidence []fact // what an auditor compares
	Alarms   []alarmed
	Guards   []planner.Guard // drawn clean
	Tiles    []tile
	Charts   []chart
	Licences *seats

	Columns        []string // number and name of each privilege
	Kinds          []string
	Outcomes       []string
	Principals     []*entry
	Wide           bool   // the matrix is too wide for paper
	MatrixNote     string // what is left out of the matrix
	Left           string // which principals are left out of the page
	Packed         bool   // the principals are data, and a plain list
	Data           template.HTML
	Plain          [][2]string // who, and what is said
	Worst          []worstList // who needs a person most
	Errors         []toldFinding
	Notes          []toldFinding // warnings and infos
	Exceptions     []toldException
	Commands       []toned
	ExceptionsLeft string // how many are left out
	WholeReport    bool   // every covered principal is in the document

	packed *pageData // nil unless Packed
}

type fact struct{ Name, Value string }

type alarmed struct{ Tone, Word, Text string }

type tile struct {
	Label, Tone string
	Value       int64
}

type toned struct{ Tone, Text string }

// entry is one principal: a row of the matrix and a section.
type entry struct {
	Anchor                string
	Kind, Name, Login, ID string
	Tenant                string
	Outcome, Said, Tone   string
	Reach, Effort         string
	InSync                bool
	Known                 bool // what it holds is known
	InMatrix              bool
	Held, Direct          int
	States                string        // the states that occur, for the filter
	Cells                 template.HTML // made of constants only
	Changes               []changeLine
	Error                 string
	Notes                 []toldFinding
	Sources               []source

	administrative                                 int        // grants of administrative privileges, of a plan
	from                                           []heldFrom // where the inherited comes from
	direct, inherited, missing, surplus, forbidden planner.Set
}

// changeLine is a grant or a revoke.
type changeLine struct{ Class, Verb, Privilege, Why string }

// source is a node of a principal's graph, with what arrives through it.
type source struct {
	Class, Label string
	Privileges   []held
}

type held struct{ Class, Text string }

// Need says why a person must look at e, in a few words.
func (e *entry) Need() string {
	n := func(n int, word string) string { return when(n > 0, "%d %s", n, word) }
	return joined(", ", n(e.forbidden.Len(), "forbidden"), n(e.surplus.Len(), "surplus"), n(e.missing.Len(), "missing"),
		when(e.administrative > 0, "%s of administrative privileges", clean.Count(e.administrative, "grant")), e.Reach, clip(e.Error, clipMessage))
}

// Plain is e in the list that stands for the matrix without script and on paper.
func (e *entry) Plain() [2]string {
	said := e.Outcome + when(e.Known, "; holds %d, %d directly", e.Held, e.Direct) + when(!e.Known, "; what it holds is not known")
	for _, c := range e.Changes {
		said += "; " + c.Verb + " " + c.Privilege
	}
	return [2]string{e.Name + when(e.Login != "", " (%s)", e.Login), clip(said, 4*clipMessage)}
}

// worstShown is how many principals are named where attention is asked for.
const worstShown = 20

// worstList are principals that need a person for one reason.
type worstList struct {
	Title string
	Named []*entry
	Left  string
}

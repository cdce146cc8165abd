package render

import (
	"html/template"

	"privsync/mstrapi"
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
	Guards   []guarded
	Tiles    []tile
	Charts   []chart
	Licences *seats

	Columns        []column
	Kinds          []string
	Outcomes       []string
	Principals     []*entry
	Wide           bool   // the matrix is too wide for paper
	MatrixNote     string // what is left out of the matrix
	Left           string // which principals are left out of the page
	Packed         bool   // the principals are data, and a plain list
	Data           template.HTML
	Plain          []plainEntry
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

type guarded struct {
	Tone, Word, Name, Actual, Limit, Message string
	Offenders                                []string
}

type tile struct {
	Label, Tone string
	Value       int64
}

type toned struct{ Tone, Text string }

// seats are who consumes licences: a table, and who makes its numbers.
type seats struct {
	Said  string
	Heads []string
	Rows  [][]string
	Lists []seated
}

// seated are users who have to do with a product in one way. Left says how many are
// left out.
type seated struct {
	Title string
	Users []toldSeat
	Left  string
}

type toldSeat struct{ Who, Through string }

// column is a privilege of the matrix.
type column struct {
	ID   mstrapi.PrivilegeID
	Name string
}

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

	administrative                                 int        // grants of administrative privileges
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

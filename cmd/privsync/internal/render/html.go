package render

import (
	"bufio"
	"crypto/sha256"
	_ "embed" // the page's style, script and template
	"encoding/base64"
	"html/template"
	"io"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

//go:embed page/page.tmpl
var pageTemplate string

//go:embed page/page.css
var pageStyle string

// pageShared is the beginning of both scripts.
//
//go:embed page/pageshared.js
var pageShared string

//go:embed page/page.js
var pageScript string

//go:embed page/pagedata.js
var pageDataScript string

// Limits of a page: a browser must still be able to show it. What is left out
// is said on the page.
const (
	// DefaultMaxPrincipals is how many principals a page shows; those that need
	// a person come before those that are in sync.
	DefaultMaxPrincipals = 5000

	maxColumns = 1000      // privileges in the matrix
	maxCells   = 2_000_000 // of the matrix
)

// HTMLOptions are the settings of [HTML]. The zero value is ready to use.
type HTMLOptions struct {
	// Guards are the guards that a plan exceeds: a plan does not hold them. For
	// a report they are taken from the report.
	Guards []planner.Guard

	// Names are the catalogue's names of privileges, for those that the document
	// names nowhere: it names what changes, not what is merely held.
	Names map[mstrapi.PrivilegeID]string

	// MaxPrincipals is how many principals are shown, 0 for
	// [DefaultMaxPrincipals]. The totals count all of them.
	MaxPrincipals int

	// DataFrom is from how many principals on the page holds them as data; 0 for 400,
	// or 50,000 cells of the matrix.
	DataFrom int
}

// HTML writes doc, a *planner.Plan or an *executor.Report, as one HTML page
// that needs nothing else: no network, no other file. A Content-Security-Policy
// forbids everything but the page's own style and script, which it names by
// their digests. Without JavaScript the page can be read whole; with it the
// matrix can be filtered, searched and sorted. Very many principals are held as
// data, of which the script draws what is seen; without it they are a plain list. The error is the writer's, or
// says that doc is of another type or nil.
func HTML(w io.Writer, doc any, o HTMLOptions) error {
	if o.MaxPrincipals <= 0 {
		o.MaxPrincipals = DefaultMaxPrincipals
	}
	var p *page
	switch doc := present(doc).(type) {
	case *planner.Plan:
		p = pageOfPlan(doc, o)
	case *executor.Report:
		p = pageOfReport(doc, o)
	default:
		return unknownDocument(doc)
	}
	// Style and script go in as they are, outside the template's own escaping:
	// it takes comments out of them, and the digests would no longer fit.
	p.Style = template.HTML("<style>" + pageStyle + "</style>")
	script := pageShared + pageScript
	if p.packed != nil {
		script = pageShared + pageDataScript
		var err error
		if p.Data, err = p.packed.element(); err != nil {
			return err
		}
	}
	p.Script = template.HTML("<script>" + script + "</script>")
	p.Policy = contentPolicy(pageStyle, script)
	return writePage(w, pageTemplate, p)
}

// writePage draws a page; its template cleans what the page does not hold clean.
func writePage(w io.Writer, text string, page any) error {
	t, err := template.New("page").Funcs(template.FuncMap{"clean": Clean, "who": Who, "through": consumerWords}).Parse(text)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	if err := t.Execute(b, page); err != nil {
		return err
	}
	return b.Flush()
}

// contentPolicy is the page's Content-Security-Policy. Trusted Types make the
// browser refuse every way to turn a string into HTML or script.
func contentPolicy(style, script string) string {
	digest := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; style-src " + digest(style) + "; script-src " + digest(script) +
		"; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
}

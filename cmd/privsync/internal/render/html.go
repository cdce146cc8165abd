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

//go:embed page/page.js
var pageScript string

// Limits of a page: a browser must still be able to show it. What is left out
// is said on the page.
const (
	// DefaultMaxPrincipals is how many principals a page shows; those that need
	// a person come before those that are in sync.
	DefaultMaxPrincipals = 5000

	maxColumns = 1000    // privileges in the matrix
	maxCells   = 400_000 // of the matrix
	maxSourced = 200_000 // privileges in the principals' source graphs
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
}

// HTML writes doc, a *planner.Plan or an *executor.Report, as one HTML page
// that needs nothing else: no network, no other file. A Content-Security-Policy
// forbids everything but the page's own style and script, which it names by
// their digests. Without JavaScript the page can be read whole; with it the
// matrix can be filtered, searched and sorted. The error is the writer's, or
// says that doc is of another type or nil.
func HTML(w io.Writer, doc any, o HTMLOptions) error {
	if o.MaxPrincipals <= 0 {
		o.MaxPrincipals = DefaultMaxPrincipals
	}
	var p *page
	switch doc := doc.(type) {
	case *planner.Plan:
		if doc == nil {
			return errNilDocument
		}
		p = pageOfPlan(doc, o)
	case *executor.Report:
		if doc == nil {
			return errNilDocument
		}
		p = pageOfReport(doc, o)
	default:
		return unknownDocument(doc)
	}
	// Style and script go in as they are, outside the template's own escaping:
	// it takes comments out of them, and the digests would no longer fit.
	p.Style = template.HTML("<style>" + pageStyle + "</style>")
	p.Script = template.HTML("<script>" + pageScript + "</script>")
	p.Policy = contentPolicy(pageStyle, pageScript)
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	if err := t.Execute(b, p); err != nil {
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

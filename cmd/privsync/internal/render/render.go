// Package render shows plans, reports and policy problems to people: as text
// for a terminal, as Markdown for a pull request, as one HTML page for an audit,
// and as annotations for a GitHub workflow.
//
// [Text], [Markdown] and [HTML] each take a *[planner.Plan] or an
// *[executor.Report]. [Clean] makes a string from outside harmless; every name,
// login, message, path, version and id in a document goes through it, because
// whoever may choose a display name on the server would otherwise choose what
// the reviewer sees. [ProblemsText], [GitHub] and [ProblemsJSON] show what
// policy validation found.
//
// The package reads values and decides nothing: no exit code, no guard, no
// outcome is worked out here, and nothing is changed in the documents. All
// functions may be called concurrently, also for the same document.
package render

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unicode/utf8"

	"privsync/clean"
	"privsync/cmd/privsync/internal/history"
	"privsync/executor"
	"privsync/planner"
)

// errNilDocument is returned for a nil plan or report.
var errNilDocument = errors.New("no document to render")

// Options are the settings of [Text]. The zero value gives plain text without
// colour and without wrapping.
type Options struct {
	// Color adds ANSI colours. Only set it for a terminal.
	Color bool

	// Width, in columns, is where findings and messages are wrapped; lines of
	// changes never are. 0, and anything below 40, does not wrap.
	Width int

	// Guards are the guards that a plan exceeds: a plan does not hold them. For
	// a report they are taken from the report.
	Guards []planner.Guard

	// Verbose shows every finding, and every principal of an audit. Otherwise at
	// most 20 warnings or infos of one code and 200 principals that are in sync
	// are shown, and the rest counted; errors and drift are always all shown.
	Verbose bool

	// AfterPlan is for a report that follows the text of its plan: what the plan
	// has said already, down to the changes of those that are done and verified,
	// is not said again.
	AfterPlan bool
}

// Text writes doc, a *planner.Plan, an *executor.Report, a *planner.Holders, a
// *planner.LicenceUse, a *history.Diff, a *history.Since or an *executor.Fleet, as text for a terminal or a mail. Changes and errors are always complete; principals that
// are in sync are only counted, unless the report is that of an audit, which says
// of each what it holds and from where. The error is the writer's, or says that
// doc is of another type or nil.
func Text(w io.Writer, doc any, o Options) error {
	b := bufio.NewWriter(w)
	t := &textWriter{w: b, o: o}
	switch doc := present(doc).(type) {
	case *planner.Plan:
		t.plan(doc)
	case *executor.Report:
		t.report(doc)
	case *planner.Holders:
		t.holders(doc)
	case *planner.LicenceUse:
		t.licenceUse(doc)
	case *history.Diff:
		t.diff(doc)
	case *history.Since:
		t.history(doc)
	case *executor.HeldAt:
		t.heldAt(doc)
	case *executor.Fleet:
		t.fleet(doc)
	default:
		return unknownDocument(doc)
	}
	return b.Flush()
}

// present is doc, and nil for a nil pointer.
func present(doc any) any {
	if v := reflect.ValueOf(doc); v.Kind() == reflect.Pointer && v.IsNil() {
		return nil
	}
	return doc
}

func unknownDocument(doc any) error {
	if doc == nil {
		return errNilDocument
	}
	return fmt.Errorf("cannot render a %T", doc)
}

// Clean is [clean.Text]: text from outside, safe to show in a terminal and in the log
// of a CI system.
func Clean(s string) string { return clean.Text(s) }

// Quote is [clean.Quote].
func Quote(s string) string { return clean.Quote(s) }

// clip cuts s, which must be clean, to at most n runes; a cut ends in "…".
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	count := 0
	for i := range s {
		if count == n-1 && utf8.RuneCountInString(s[i:]) > 1 {
			return s[:i] + "…"
		}
		count++
	}
	return s
}

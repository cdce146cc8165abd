package render

import (
	"reflect"
	"strings"
	"time"

	"pgregory.net/rapid"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
)

// marker stands in every hostile string, so that a test can find where text
// from outside ended up.
const marker = "ZQX"

// payloads are strings that somebody could choose as a display name to attack
// whoever reads a view.
func payloads() []string {
	return []string{
		"@admin", "@org/team", "#1", "GH-1", "owner/repo#1", "deadbeefcafe", "https://evil.example/x", "www.evil.example", "mailto:a@evil.example", "a@evil.example",
		"[x](https://evil.example)", "![x](https://evil.example/i.png)", "[x][y]", "<https://evil.example>",
		"<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>",
		"\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)", "javascript:alert(1)", "{{.}}", "{{template \"x\"}}", "${alert(1)}", "`${alert(1)}`",
		"--><script>alert(1)</script>", "]]><script>alert(1)</script>", "</style><script>alert(1)</script>", "</title><script>alert(1)</script>", "</details>", "<!--", "&lt;b&gt;", "&#60;b&#62;",
		"a|b", `a\|b`, "|---|---|", "`", "``", "```", "`a`", "` `", "```` `````", "`````````````````````````````````", "\\`", "\\", "\\\\",
		"\n# heading", "\r\n\r\n# heading", "\n\n<script>alert(1)</script>", "\n- item", "\n|a|b|\n|-|-|\n|c|d|", "\n~~~\n", "\t\tcode", "    code", "$`x`$", "$$x$$", ":rocket:", "**b**", "_i_", "~~s~~",
		"\x1b[2J\x1b[1;1H", "\x1b]8;;https://evil.example\x07x\x1b]8;;\x07", "\x9b31m", "\u009b31m", "\x00", "\x7f", "\u202egnp.exe", "\u2066\u2069", "\u200b\u200d\ufeff", "\u2028\u2029", "\xff\xfe", "\U000e0041",
		"::error file=x::y", "%0A::error::x", "::stop-commands::x", " ::add-mask::x", "\u00a0::set-env name=x::y", "##[error]x", "##", "#", "[command]", "##vso[task.setvariable variable=x]y", "section_start:1:x[collapsed=true]\r\x1b[0Kx", "section_end:1:x\r\x1b[0K", ":", "::", " ", "  ", "", "名前", "ﷺ", "Z\u0301\u0302\u0303",
	}
}

// hostileString draws a string made of payloads, with the marker in it; one in twenty is
// longer than what a view shows of one.
func hostileString() *rapid.Generator[string] {
	part := rapid.SampledFrom(payloads())
	return rapid.Custom(func(t *rapid.T) string {
		s := part.Draw(t, "before") + marker + part.Draw(t, "after")
		if rapid.IntRange(0, 19).Draw(t, "long") == 0 {
			more := part.Draw(t, "more") + marker
			s += strings.Repeat(more, 5*clipMessage/len(more))
		}
		return s
	})
}

// hostileStrings draws a few hostile strings and returns what gives them in turn, another
// first one for each place of a document: every place sees every payload in some run, and
// a document costs a few draws.
func hostileStrings(t *rapid.T) (next func() string) {
	few := rapid.SliceOfN(hostileString(), 7, 7).Draw(t, "strings")
	at := rapid.IntRange(0, len(few)-1).Draw(t, "first")
	return func() string { at++; return few[at%len(few)] }
}

// fill sets every string of v to what next returns, gives every slice n
// elements and every pointer a target. Enumerations of ours are filled as well:
// a document may come from a file.
func fill(v reflect.Value, n int, next func() string) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(day(2, 0, 0)))
		return
	case planner.Set:
		v.Set(reflect.ValueOf(planner.SetOf(1, 53, 54)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(next())
	case reflect.Int, reflect.Int64:
		if v.Type() == reflect.TypeFor[mstrapi.PrivilegeID]() {
			v.SetInt(53)
		} else {
			v.SetInt(2)
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n, next)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			// Lists of lists of lists grow out of all measure.
			fill(v.Index(i), max(min(n, 2), n/8), next)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue // no part of the document
			}
			fill(v.Field(i), n, next)
		}
	}
}

// hostilePlan, hostileReport and hostileGuards are documents in which every
// string comes from next.
func hostilePlan(n int, next func() string) *planner.Plan {
	var p planner.Plan
	fill(reflect.ValueOf(&p).Elem(), n, next)
	return &p
}

func hostileReport(n int, next func() string) *executor.Report {
	var r executor.Report
	fill(reflect.ValueOf(&r).Elem(), n, next)
	return &r
}

func hostileGuards(n int, next func() string) []planner.Guard {
	var g []planner.Guard
	fill(reflect.ValueOf(&g).Elem(), n, next)
	return g
}

// ours sets the enumerations of the documents back to values of ours, so that
// the views take their ordinary paths.
func ours(doc any, pick func(n int) int) {
	severity := func(fs []planner.Finding) {
		all := []planner.Severity{planner.SeverityError, planner.SeverityWarning, planner.SeverityInfo}
		for i := range fs {
			fs[i].Severity, fs[i].Code = all[pick(3)], planner.CodeInheritedForbidden
			fs[i].Principal.Kind = mstrapi.User
		}
	}
	switch doc := doc.(type) {
	case *planner.Plan:
		severity(doc.Findings)
		for i := range doc.Changes {
			doc.Changes[i].Principal.Kind = mstrapi.Group
		}
	case *executor.Report:
		severity(doc.Findings)
		all := outcomesByUrgency(executor.Summary{})
		for i := range doc.Principals {
			doc.Principals[i].Outcome = all[pick(len(all))].Outcome
			doc.Principals[i].Principal.Kind = mstrapi.User
		}
		doc.Run.Outcome = executor.RunPartial
		doc.Run.Command = []string{"audit", "apply"}[pick(2)]
	}
}

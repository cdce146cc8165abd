package render

import (
	"slices"
	"strings"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
)

// toldFinding is a finding in clean words; what it does not have is "".
type toldFinding struct {
	Severity, Code, Principal, Privilege, Message, Sources, Place string
	Anchor                                                        string // of the principal's section of a page
}

func tellFinding(f planner.Finding) toldFinding {
	t := toldFinding{Severity: Clean(string(f.Severity)), Code: Clean(string(f.Code)), Message: Clean(f.Message), Place: place(f.Position)}
	if f.Principal != nil {
		t.Principal = who(*f.Principal)
	}
	if f.Privilege != nil {
		t.Privilege = privilege(*f.Privilege)
	}
	t.Sources = strings.Join(sourcesNotIn(f), ", ")
	return t
}

// rest is what a finding says beside its code, principal and privilege.
func (t toldFinding) rest() string {
	return t.Message + when(t.Sources != "", " (from %s)", t.Sources) + inBrackets(t.Place)
}

// line is all of it; named says that the principal is named already.
func (t toldFinding) line(named bool) string {
	return t.Severity + " " + t.Code + when(t.Principal != "" && !named, " %s", t.Principal) + when(t.Privilege != "", " %s", t.Privilege) + when(t.Message != "", ": ") + t.rest()
}

// sourcesNotIn names the sources that the message of a finding does not name.
func sourcesNotIn(f planner.Finding) []string {
	var out []string
	for _, s := range f.Sources {
		if s.Name == "" || !strings.Contains(f.Message, s.Name) {
			out = append(out, who(planner.Principal{Kind: s.Kind, ID: s.ID, Name: s.Name}))
		}
	}
	return out
}

// isInfo reports whether a finding is one of those that nobody need do anything about.
func isInfo(f planner.Finding) bool {
	return f.Severity != planner.SeverityError && f.Severity != planner.SeverityWarning
}

// folds reports whether a finding is only counted, in the line of infos.
func (t *textWriter) folds(f planner.Finding) bool { return isInfo(f) && !t.o.Verbose }

// infoCounts says how many infos there are of each code, which name shows; "" for none.
func infoCounts(fs []planner.Finding, name func(string) string) string {
	n := make(map[planner.Code]int)
	several := false
	var codes []planner.Code
	for _, f := range fs {
		if !isInfo(f) {
			continue
		}
		if n[f.Code]++; n[f.Code] == 1 {
			codes = append(codes, f.Code)
		}
		several = several || f.Code == planner.CodeRedundantDirect && f.Privilege == nil
	}
	slices.Sort(codes)
	return andMore(codes, len(codes), "", func(c planner.Code) string {
		text := clean.Count(n[c], "info") + " of " + name(string(c))
		switch {
		case c == planner.CodeRedundantDirect && several:
			text = "redundant direct grants of " + clean.Count(n[c], "principal")
		case c == planner.CodeRedundantDirect:
			text = clean.Count(n[c], "redundant direct grant")
		case c == planner.CodeExpiredEntry:
			text = clean.Count(n[c], "expired entry")
		case c == planner.CodeGonePrincipal:
			text = clean.Count(n[c], "principal") + " gone from the server"
		default:
			return text
		}
		return text + " (" + string(c) + ")"
	})
}

func severityStyle(s planner.Severity) style {
	switch s {
	case planner.SeverityError:
		return alarm
	case planner.SeverityWarning:
		return yellow
	}
	return dim
}

// finding writes one finding. named says that the principal is named already.
func (t *textWriter) finding(f planner.Finding, named bool) {
	t.para(severityStyle(f.Severity), 6, "  ! "+tellFinding(f).line(named))
}

// errorFindings writes the findings of severity error, which come before
// everything else.
func (t *textWriter) errorFindings(fs []planner.Finding) {
	n := planner.CountFindings(fs).Error
	if n == 0 {
		return
	}
	t.part(alarm, "%s", clean.Count(n, "error finding"))
	for _, f := range fs {
		if f.Severity == planner.SeverityError {
			t.finding(f, false)
		}
	}
}

// ownFindings writes the findings of a principal inside its block. Errors stood
// at the top already, so they are only recalled.
func (t *textWriter) ownFindings(fs []planner.Finding) {
	for _, f := range fs {
		if t.folds(f) {
			continue
		}
		if f.Severity != planner.SeverityError {
			t.finding(f, true)
			continue
		}
		n := tellFinding(f)
		t.line(alarm, "  ! error %s (see above)", strings.TrimSuffix(n.Code+" "+n.Privilege, " "))
	}
}

// otherFindings writes the warnings and infos that stand in no principal's
// block: shown holds the ids of the principals that have one. Infos are counted.
func (t *textWriter) otherFindings(fs []planner.Finding, shown map[mstrapi.ObjectID]bool) {
	var codes []planner.Code
	byCode := make(map[planner.Code][]planner.Finding)
	n := 0
	for _, f := range fs {
		if f.Severity == planner.SeverityError || f.Principal != nil && shown[f.Principal.ID] || t.folds(f) {
			continue
		}
		if byCode[f.Code] == nil {
			codes = append(codes, f.Code)
		}
		byCode[f.Code] = append(byCode[f.Code], f)
		n++
	}
	if n > 0 {
		t.part(bold, "%s", clean.Count(n, "further finding"))
	}
	for _, c := range codes {
		show, more := few(t, byCode[c], shownFindings)
		for _, f := range show {
			t.finding(f, false)
		}
		if more > 0 {
			t.line(dim, "  … and %d more of %s; --format json shows all", more, Clean(string(c)))
		}
	}
	if text := infoCounts(fs, Clean); text != "" && !t.o.Verbose {
		t.blank()
		t.para(dim, 4, text+"; --verbose lists them")
	}
}

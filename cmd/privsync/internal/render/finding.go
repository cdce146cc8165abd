package render

import (
	"fmt"
	"slices"
	"strings"

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
	text := t.Message
	if t.Sources != "" {
		text += " (from " + t.Sources + ")"
	}
	return text + inBrackets(t.Place)
}

// line is all of it; named says that the principal is named already.
func (t toldFinding) line(named bool) string {
	text := t.Severity + " " + t.Code
	for _, part := range []string{t.Principal, t.Privilege} {
		if part != "" && !(named && part == t.Principal) {
			text += " " + part
		}
	}
	if t.Message != "" {
		text += ": "
	}
	return text + t.rest()
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

// infos counts the infos on one line.
func (t *textWriter) infos(fs []planner.Finding) {
	if text := infoCounts(fs, Clean); text != "" && !t.o.Verbose {
		t.blank()
		t.para(dim, 4, text+"; --verbose lists them")
	}
}

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
	parts := make([]string, len(codes))
	for i, c := range codes {
		switch {
		case c == planner.CodeRedundantDirect && several:
			parts[i] = "redundant direct grants of " + count(n[c], "principal") + " (" + string(c) + ")"
		case c == planner.CodeRedundantDirect:
			parts[i] = count(n[c], "redundant direct grant") + " (" + string(c) + ")"
		case c == planner.CodeExpiredEntry:
			parts[i] = count(n[c], "expired entry") + " (" + string(c) + ")"
		case c == planner.CodeGonePrincipal:
			parts[i] = count(n[c], "principal") + " gone from the server (" + string(c) + ")"
		default:
			parts[i] = fmt.Sprintf("%s of %s", count(n[c], "info"), name(string(c)))
		}
	}
	return strings.Join(parts, ", ")
}

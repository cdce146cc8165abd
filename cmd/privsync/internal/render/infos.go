package render

import (
	"fmt"
	"slices"
	"strings"

	"privsync/planner"
)

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

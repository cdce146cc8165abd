package planner

import (
	"fmt"
	"strings"

	"privsync/mstrapi"
)

// oddShown is how many odd entries of the catalogue a finding names.
const oddShown = 20

// oddFindings returns one finding that names what is odd in the catalogue, or none.
func oddFindings(odd []mstrapi.OddPrivilege) []Finding {
	if len(odd) == 0 {
		return nil
	}
	var named []string
	kept, lost := false, false
	for i, o := range odd {
		kept, lost = kept || o.Kept, lost || !o.Kept
		if i < oddShown {
			named = append(named, o.String())
		}
	}
	if more := len(odd) - oddShown; more > 0 {
		named = append(named, fmt.Sprintf("and %d more", more))
	}
	text := "the server's catalogue of privileges is odd: " + strings.Join(named, ", ")
	if kept {
		text += "; one without a name can be named by its number"
	}
	if lost {
		text += "; one without a number or a level cannot be named, and a second entry of the same counts once"
	}
	return []Finding{{Code: CodeOddCatalogue, Severity: SeverityWarning, Message: text}}
}

package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var catalogue = []CataloguePrivilege{
	{1, "Create application objects", true},
	{2, "Create configuration objects", false},
	{53, "Monitor Database Connections", false},
	{54, "Web administration", false},
	{60, "Twin", false},
	{61, "Twin", true},
	{61, "repeated number", true},
}

func TestCheckCatalogue(t *testing.T) {
	p := mustParse(t, `
privilegeSets:
  s: {privileges: [Monitor Database Conections, 2]}
principals:
- user: a
  sets: [s]
- user: b
  sets: [s]
  privileges: [99, Web administration]
  forbid: [54, Create configuration objects, nonsense]
- user: c
  privileges: [Twin, 60]
  forbid: [1, Create application objects, 53]
rules:
- {name: r1, deny: [web Administration], except: [{user: a}]}
- {name: r2, conflict: [53, Monitor Database Connections, 7, 8]}
- {name: r3, require: [61], atLeast: 1}
`)
	want := []string{
		`p.yaml:6:20: privilege "Monitor Database Conections" is not in the catalogue; did you mean "Monitor Database Connections"?`,
		`p.yaml:12:16: privilege 99 is not in the catalogue`,
		`p.yaml:13:12: privilege 54 is forbidden here and listed as "Web administration" at p.yaml:12:20: both are 54 "Web administration"`,
		`p.yaml:13:16: privilege "Create configuration objects" is forbidden here and listed as 2 at p.yaml:6:49: both are 2 "Create configuration objects"`,
		`p.yaml:13:46: privilege "nonsense" is not in the catalogue`,
		`p.yaml:15:16: privilege "Twin" is the name of 2 privileges: 60, 61; use the number`,
		`p.yaml:16:12: privilege 1 is a project-level privilege, outside the scope of the policy (server); leave it out or widen scope`,
		`p.yaml:16:15: privilege "Create application objects" is a project-level privilege, outside the scope of the policy (server); leave it out or widen scope`,
		`p.yaml:18:21: privilege "web Administration" is not in the catalogue; did you mean "Web administration"?`,
		`p.yaml:19:29: privilege "Monitor Database Connections" is the same as 53 at p.yaml:19:25`,
		`p.yaml:19:59: privilege 7 is not in the catalogue`,
		`p.yaml:19:62: privilege 8 is not in the catalogue`,
		`p.yaml:20:24: privilege 61 is a project-level privilege, outside the scope of the policy (server); leave it out or widen scope`,
	}
	ps := p.CheckCatalogue(catalogue)
	if diff := cmp.Diff(want, problemLines(ps)); diff != "" {
		t.Errorf("CheckCatalogue (-want +got):\n%s", diff)
	}
}

func TestCheckCatalogueScopes(t *testing.T) {
	for scope, want := range map[Level]string{LevelServer: "1", LevelProject: "2", LevelAll: ""} {
		p := mustParse(t, "scope: {level: "+string(scope)+"}\nprincipals:\n- user: a\n  privileges: [1, 2]\n")
		var outside []string
		for _, problem := range p.CheckCatalogue(catalogue) {
			outside = append(outside, strings.Fields(problem.Message)[1])
		}
		if got := strings.Join(outside, " "); got != want {
			t.Errorf("outside scope %s: %s, want %s", scope, got, want)
		}
	}
	p := mustParse(t, "principals:\n- user: a\n  privileges: [2]\n")
	if ps := p.CheckCatalogue(catalogue); ps != nil {
		t.Errorf("CheckCatalogue = %v, want nil", ps)
	}
}

// One wrong set that many entries use is one problem.
func TestCheckCatalogueReportsOnce(t *testing.T) {
	var b strings.Builder
	b.WriteString("privilegeSets: {s: {privileges: [999]}}\nprincipals:\n")
	for i := range 3_000 {
		fmt.Fprintf(&b, "- {user: u%d, sets: [s]}\n- {user: v%d, sets: [s], privileges: [2]}\n", i, i)
	}
	if ps := mustParse(t, b.String()).CheckCatalogue(catalogue); len(ps) != 1 {
		t.Errorf("CheckCatalogue gives %d problems, want 1: %.300s", len(ps), ps.Error())
	}
}

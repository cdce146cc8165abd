package render

import (
	"bytes"
	"strings"
	"testing"
)

// TestNamesakesAreToldApart: two groups of one name change, and a third of another.
func TestNamesakesAreToldApart(t *testing.T) {
	p := samplePlan()
	p.Changes = p.Changes[:3]
	for i := range p.Changes {
		p.Changes[i].Principal = group(i+1, "Finance")
	}
	p.Changes[2].Principal.Tenant = "Acme"
	var page bytes.Buffer
	if err := Markdown(&page, p, MarkdownOptions{}); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"text": text(t, p, Options{}), "Markdown": page.String()} {
		for i, want := range []string{
			`group "Finance" ` + string(p.Changes[0].Principal.ID), `group "Finance" ` + string(p.Changes[1].Principal.ID), `group "Finance" of tenant "Acme"`,
		} {
			if n := strings.Count(got, want); n == 0 {
				t.Errorf("%s: change %d: %q is missing in\n%s", name, i, want, got)
			}
		}
	}
}

package render

import "testing"

// TestLinks: only a plain web address becomes a link.
func TestLinks(t *testing.T) {
	good := "https://github.com/o/r/actions/runs/7"
	if got, want := (Links{good, good + "#artifacts"}).markdown(), "\nMade by [the run]("+good+"), [its artifacts]("+good+"#artifacts).\n"; got != want {
		t.Errorf("links = %q, want %q", got, want)
	}
	for _, bad := range []string{
		"", "javascript:alert(1)", "https://evil.example/)![x](https://evil.example/i.png", "https://user:pw@example.com/", "https://example.com/a b",
		"//example.com/x", "https://example.com/\n@admin", "https://example.com/`x`", "data:text/html,x", "https://", "https://example.com/<x>",
	} {
		if got := (Links{Run: bad, Artifacts: bad}).markdown(); got != "" {
			t.Errorf("links of %q = %q, want none", bad, got)
		}
	}
}

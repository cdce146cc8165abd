package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProblemsThatAreTheSame: an alias that stands for many mistakes gives each of
// them again and again, at one place.
func TestProblemsThatAreTheSame(t *testing.T) {
	var b strings.Builder
	b.WriteString("principals: [&a {user: a")
	for i := range 190 {
		fmt.Fprintf(&b, ", x%d: 1", i)
	}
	b.WriteString("}" + strings.Repeat(", *a", 60) + "]\n")
	_, err := Parse("p.yaml", []byte(b.String()))
	problems, ok := err.(Problems)
	if !ok || len(problems) < 190 || len(problems) > maxProblems+1 {
		t.Fatalf("Parse = %d problems, %T", len(problems), err)
	}
}

// TestLimitsHoldForAllFiles: what one file may not hold several may not hold together.
func TestLimitsHoldForAllFiles(t *testing.T) {
	t.Run("aliases", func(t *testing.T) {
		dir := t.TempDir()
		for i := range 4 {
			var b strings.Builder
			b.WriteString("apiVersion: privsync/v1\nkind: Policy\n")
			if i == 0 {
				b.WriteString("metadata: {name: many}\n")
			}
			fmt.Fprintf(&b, "principals:\n  - {group: g%d, privileges: &x [%s]}\n", i, manyNames(1000))
			for j := range 300 {
				fmt.Fprintf(&b, "  - {group: h%d-%d, privileges: *x}\n", i, j)
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.yaml", i)), []byte(b.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Load([]string{filepath.Join(dir, "0.yaml")}, Options{}); err != nil {
			t.Fatalf("one file is refused: %.300v", err)
		}
		const want = "3.yaml:"
		if _, err := Load([]string{dir}, Options{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "the aliases of the policy stand for more than") {
			t.Errorf("all files together: %.300v", err)
		}
	})
	t.Run("values", func(t *testing.T) {
		left := newAccount()
		left.values = 6500
		for i, refused := range []bool{false, false, true, true} {
			out := &collector{}
			data := header + "principals:\n- group: g\n  forbid: [" + manyNames(1000) + "]\n"
			parseFile(fmt.Sprintf("%d.yaml", i), []byte(data), left, out)
			if is := out.count() > 0; is != refused && i < 3 {
				t.Errorf("file %d: %v", i, out.error())
			}
		}
		if left.values >= 0 {
			t.Errorf("%d values are left", left.values)
		}
	})
}

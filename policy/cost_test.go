package policy

import (
	"fmt"
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

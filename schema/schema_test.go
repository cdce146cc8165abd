package schema

import "testing"

func TestCompiles(t *testing.T) {
	for _, n := range Names() {
		if _, err := Compiled(n); err != nil {
			t.Errorf("Compiled(%s): %v", n, err)
		}
	}
}

package policy

import (
	"strings"
	"testing"
)

func TestPrerequisites(t *testing.T) {
	const head = "apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: p}\n"
	tests := []struct{ name, text, want string }{ // want: nothing is wrong
		{"chain", "principals:\n  - user: u\n    privileges: [A]\n    forbid: [C]\nprerequisites:\n  - {privilege: A, needs: [B]}\n  - {privilege: B, needs: [C]}\n",
			`p.yaml:7:14: privilege "C" is forbidden here, and "A", which is listed at p.yaml:6:18, needs it (prerequisites at p.yaml:10:28)`},
		{"through a set", "privilegeSets: {s: {privileges: [1]}}\nprincipals:\n  - {user: u, sets: [s], forbid: [2]}\nprerequisites: [{privilege: 1, needs: [2]}]\n", "needs it"},
		{"well", "principals: [{user: u, privileges: [A], forbid: [D]}]\nprerequisites: [{privilege: A, needs: [B, C]}]\n", ""},
		{"itself", "principals: [{user: u, privileges: [A]}]\nprerequisites: [{privilege: A, needs: [A]}]\n", "needs itself"},
		{"no needs", "principals: [{user: u, privileges: [A]}]\nprerequisites: [{privilege: A}]\n", "has no needs"},
		{"empty needs", "principals: [{user: u, privileges: [A]}]\nprerequisites: [{privilege: A, needs: []}]\n", "needs"},
		{"unknown key", "principals: [{user: u, privileges: [A]}]\nprerequisites: [{privilege: A, need: [B]}]\n", "needs"},
	}
	for _, test := range tests {
		_, err := Parse("p.yaml", []byte(head+test.text))
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: Parse = %v", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: Parse = %v, want %q", test.name, err, test.want)
		}
	}
}

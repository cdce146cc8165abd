package policy

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"

	"privsync/schema"
)

func nodeOf(t *testing.T, text string) *yaml.Node {
	t.Helper()
	root, _, err := decode([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// The hand-written checks leave nothing for the schema to find, so the net below
// them is tested without them.
func TestSchemaNet(t *testing.T) {
	out := &collector{}
	p := newParser("p.yaml", out)
	p.checkEntry(nodeOf(t, "user: demo\nprivileges:\n- {privilege: 1, untl: x}\n- 2\n"))
	p.checkEntry(nodeOf(t, "user: demo\nforbid: [[1]]\nextra: 1\n"))
	p.checkRoot(nodeOf(t, "apiVersion: privsync/v1\nkind: Policy\nmetadata: &m {name: [x]}\nprincipals: nonsense\noverlays: {dev: {metadata: *m}, 'a/b~c': 1}\nunlisted: ~\n"))
	want := []string{
		"p.yaml:1:1: does not match the policy schema: additionalProperties 'extra' not allowed",
		"p.yaml:2:10: does not match the policy schema: expected string or number or boolean, but got array",
		"p.yaml:3:3: does not match the policy schema: additionalProperties 'untl' not allowed",
		"p.yaml:3:21: does not match the policy schema: expected string or number or boolean, but got array",
		"p.yaml:5:42: does not match the policy schema: expected object, but got string",
		`p.yaml:6:11: does not match the policy schema: value must be one of "ignore", "report", "revoke"`,
	}
	if diff := cmp.Diff(want, problemLines(out.error())); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if len(p.shapes) != 0 {
		t.Errorf("shapes that the schema refuses are remembered: %v", p.shapes)
	}
	p.schemaProblems(nodeOf(t, "a"), errors.New("no schema"))
	if got := p.out.list[len(p.out.list)-1].String(); got != "p.yaml:1:1: does not match the policy schema: no schema" {
		t.Errorf("another error is reported as %s", got)
	}
}

func TestShapes(t *testing.T) {
	same := [][2]string{
		{"{user: a, sets: [x]}", "{user: b, sets: [y, z, w]}"},
		{"{user: a, privileges: [A, 1]}", "{user: a, privileges: [B, 2]}"},
		{"{users: {memberOf: A, nested: true}}", "{users: {memberOf: B, nested: true}}"},
	}
	different := [][2]string{
		{"{user: a, sets: [x]}", "{group: a, sets: [x]}"},
		{"{user: a, sets: [x]}", "{user: a, sets: x}"},
		{"{user: a, sets: [x]}", "{user: a, sets: []}"},
		{"{user: a, mode: additive}", "{user: a, mode: authoritative}"},
		{"{user: a, privileges: [1]}", "{user: a, privileges: [{privilege: 1}]}"},
		{"{user: a, privileges: [1]}", "{user: a, privileges: [1, {privilege: 1}]}"},
		{"{user: a, privileges: [1]}", "{user: a, privileges: [a]}"},
		{"{users: {memberOf: A, nested: true}}", "{users: {memberOf: A, nested: false}}"},
	}
	shape := func(text string) string { return string(appendShape(nil, nodeOf(t, text), "")) }
	for _, pair := range same {
		if shape(pair[0]) != shape(pair[1]) {
			t.Errorf("%s and %s have different shapes", pair[0], pair[1])
		}
	}
	for _, pair := range different {
		if shape(pair[0]) == shape(pair[1]) {
			t.Errorf("%s and %s have the same shape", pair[0], pair[1])
		}
	}
}

// An editor reads a policy by YAML's rules for numbers and words, without
// privsync's: it must not underline what privsync accepts.
func TestEditorsAcceptTheDesign(t *testing.T) {
	for _, text := range []string{"testdata/design.yaml"} {
		p, err := Load([]string{text}, Options{})
		if err != nil || p == nil {
			t.Fatal(err)
		}
	}
	var doc any
	if err := yaml.Unmarshal([]byte(header+"principals:\n- user: 0123\n  sets: [1E10, true]\n  forbid: [no, 54, 0x1F]\n"), &doc); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate("policy", doc); err != nil {
		t.Errorf("the schema refuses names that look like numbers: %v", err)
	}
}

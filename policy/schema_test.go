package policy

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"privsync/schema"
)

// judge fails if the schema refuses what Parse accepts: editors and other programs
// read a policy by the schema alone.
func judge(t *testing.T, data []byte) (accepted bool) {
	t.Helper()
	if _, err := Parse("p.yaml", data); err != nil {
		return false
	}
	root, _, err := decode(data)
	if err != nil {
		t.Fatalf("a policy from what is not YAML: %v", err)
	}
	if err := schema.Validate("policy", schemaValue(root, "")); err != nil {
		t.Fatalf("the schema refuses what Parse accepts: %#v\n%s", err, data)
	}
	return true
}

// schemaValue turns a node into what the schema expects at its key: names that
// YAML takes for numbers, dates or booleans are text.
func schemaValue(n *yaml.Node, key string) any {
	switch n.Kind {
	case yaml.AliasNode:
		return schemaValue(n.Alias, key)
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = schemaValue(n.Content[i+1], n.Content[i].Value)
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, c := range n.Content {
			list[i] = schemaValue(c, key)
		}
		return list
	}
	if isNull(n) {
		return nil
	}
	switch key {
	case "nested", "enabled", "serverLock":
		if n.Tag == "!!bool" {
			return strings.EqualFold(n.Value, "true")
		}
	case "expiringWithinDays", "atLeast", "maxChangedPrincipals", "max", "required", "revokes", "maxRevokes",
		"privileges", "privilege", "forbid", "deny", "conflict", "require":
		if v, err := strconv.Atoi(n.Value); err == nil && allDigits(n.Value) {
			return v
		}
	}
	return n.Value
}

// corpus is every policy of the examples, the tests and the scripts.
func corpus(t *testing.T) [][]byte {
	t.Helper()
	var all [][]byte
	for _, root := range []string{"testdata", "../examples", "../cmd/privsync/testdata/script"} {
		err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, part := range regexp.MustCompile(`(?m)^-- .* --$`).Split(string(text), -1) {
				if strings.Contains(part, "apiVersion: privsync/v1") {
					all = append(all, []byte(part))
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 50 {
		t.Fatalf("found only %d policies: the test looks in the wrong places", len(all))
	}
	return all
}

// odd are values to put where others stand.
var odd = []string{"", "~", "x", "0", "1", "-1", "65536", "1.5", "1e3", "true", "no", "[]", "{}", "[x]", "[1, 1]", "{a: b}", "[[1]]", "[{privilege: 1}]", "[{group: G}]", "10%", "entitled",
	"2026-02-30", "2026-12-31", "'1'", "'25'", `"true"`, "6C9DFE134D0F8764893B469525E38EB0", "additive", "authoritative", "revoke", "direct", "report", "user", "' '", "\"\\u00a0\"", "!!str x", "!x {a: b}",
	"{memberOf: G}", "{memberOf: {group: G, id: 6C9DFE134D0F8764893B469525E38EB0}}", "{max: 1}", "{required: 1}", "{level: all}", "https://x/y", "http://u:p@x", strings.Repeat("y", 1030), strings.Repeat("é", 4097)}

func cloned(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = nil
	for _, inner := range n.Content {
		c.Content = append(c.Content, cloned(inner))
	}
	return &c
}

// mutate changes one thing below root: a key or value replaced, removed, doubled or
// moved, a key added.
func mutate(t *testing.T, random *rand.Rand, root *yaml.Node, keys []string) {
	t.Helper()
	var nodes []*yaml.Node
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		n.Content = slices.Clone(n.Content)
		nodes = append(nodes, n)
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(root)
	value := func() *yaml.Node {
		if random.IntN(3) == 0 {
			return cloned(nodes[random.IntN(len(nodes))])
		}
		n, _, err := decode([]byte(odd[random.IntN(len(odd))]))
		if err != nil {
			t.Fatal(err)
		}
		if n == nil {
			n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		}
		return n
	}
	n := nodes[random.IntN(len(nodes))]
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	if len(n.Content) == 0 || random.IntN(4) == 0 {
		if random.IntN(2) == 0 && n.Kind == yaml.ScalarNode {
			n.Value = odd[random.IntN(len(odd))]
		} else {
			*n = *value()
		}
		return
	}
	at := random.IntN(len(n.Content)/step) * step
	switch random.IntN(5) {
	case 0:
		n.Content = slices.Delete(n.Content, at, at+step)
	case 1:
		n.Content = append(n.Content, n.Content[at:at+step]...)
	case 2:
		n.Content[at+step-1] = value()
	case 3:
		if step == 1 {
			n.Content = append(n.Content, value())
			return
		}
		key := yaml.Node{Kind: yaml.ScalarNode, Value: keys[random.IntN(len(keys))]}
		n.Content = append(n.Content, &key, value())
	case 4:
		if n.Content[at].Kind == yaml.ScalarNode {
			c := *n.Content[at]
			c.Value, c.Tag = keys[random.IntN(len(keys))], ""
			n.Content[at] = &c
		}
	}
}

// TestSchemaTakesWhatParseTakes: of every policy there is, and of many that are like
// them but for one to three changes, whatever Parse accepts the schema accepts.
func TestSchemaTakesWhatParseTakes(t *testing.T) {
	text, err := schema.Text("policy")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, m := range regexp.MustCompile(`"(\w+)":`).FindAllSubmatch(text, -1) {
		keys = append(keys, string(m[1]))
	}
	policies := corpus(t)
	policies = slices.DeleteFunc(policies, func(data []byte) bool { return !judge(t, data) })
	random := rand.New(rand.NewPCG(10, 7))
	rounds, accepted := 2000, 0
	for range rounds {
		root, _, err := decode(policies[random.IntN(len(policies))])
		if err != nil || root == nil {
			continue
		}
		for range 1 + random.IntN(2) {
			mutate(t, random, root, keys)
		}
		data, err := yaml.Marshal(root)
		if err != nil {
			continue
		}
		if judge(t, data) {
			accepted++
		}
	}
	if accepted < rounds/20 || accepted == rounds {
		t.Errorf("%d of %d changed policies are accepted: the test changes them in the wrong way", accepted, rounds)
	}
}

// An editor reads a policy by YAML's rules for numbers and words, without
// privsync's: it must not underline what privsync accepts.
func TestEditorsAcceptTheDesign(t *testing.T) {
	p, err := Load([]string{"testdata/design.yaml"}, Options{})
	if err != nil || p == nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal([]byte(header+"principals:\n- user: 0123\n  sets: [1E10, true]\n  forbid: [no, 54, 0x1F]\n"), &doc); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate("policy", doc); err != nil {
		t.Errorf("the schema refuses names that look like numbers: %v", err)
	}
}

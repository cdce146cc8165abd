package main

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"

	"privsync/schema"
)

// policyReference describes every key of a policy, in the order of the schema,
// from the schema's own words, so that it cannot drift from what is checked.
func policyReference() (string, error) {
	text, err := schema.Text("policy")
	if err != nil {
		return "", err
	}
	// JSON is YAML, and a YAML node keeps the order of the keys.
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return "", err
	}
	r := reference{root: doc.Content[0], told: map[string]string{}}
	r.properties(r.root, "", 0)
	return strings.TrimRight(r.b.String(), "\n"), nil
}

// reference walks the schema.
type reference struct {
	root *yaml.Node
	told map[string]string // where the keys of a definition are told already
	b    strings.Builder
}

// deepest bounds the walk: a policy is at most five keys deep, and a schema that
// refers to itself must not hang the help.
const deepest = 8

func (r *reference) properties(node *yaml.Node, path string, depth int) {
	if depth > deepest {
		return
	}
	properties := child(node, "properties")
	if properties == nil {
		return
	}
	required := map[string]bool{}
	if list := child(node, "required"); list != nil {
		for _, item := range list.Content {
			required[item.Value] = true
		}
	}
	for i := 0; i+1 < len(properties.Content); i += 2 {
		name := properties.Content[i].Value
		r.property(path+name, properties.Content[i+1], required[name], depth)
	}
}

// property writes one key and what is below it.
func (r *reference) property(path string, node *yaml.Node, required bool, depth int) {
	at := func(key string) *yaml.Node { return r.resolve(node, key) }
	must := ""
	if required {
		must = "  (required)"
	}
	fmt.Fprintf(&r.b, "%s%s\n", path, must)
	if d := at("description"); d != nil {
		wrap(&r.b, d.Value, "    ", 76)
	}
	if e := at("enum"); e != nil {
		fmt.Fprintf(&r.b, "    one of: %s\n", strings.Join(values(e), ", "))
	}
	if d := at("default"); d != nil {
		fmt.Fprintf(&r.b, "    default: %s\n", d.Value)
	}
	if e := at("examples"); e != nil && at("enum") == nil && at("const") == nil && len(e.Content) > 0 {
		fmt.Fprintf(&r.b, "    example: %s\n", flow(e.Content[0]))
	}
	target := r.target(node)
	if ref := child(node, "$ref"); ref != nil && child(target, "properties") != nil {
		if told := r.told[ref.Value]; told != "" {
			fmt.Fprintf(&r.b, "    its keys: as under %s\n", told)
			return
		}
		r.told[ref.Value] = path
	}
	r.properties(target, path+".", depth+1)
	if items := r.resolve(node, "items"); items != nil {
		item := r.target(items)
		if ref := child(items, "$ref"); ref != nil && child(item, "properties") != nil {
			if told := r.told[ref.Value]; told != "" {
				fmt.Fprintf(&r.b, "    its keys: as under %s\n", told)
				return
			}
			r.told[ref.Value] = path + "[]"
		}
		r.properties(item, path+"[].", depth+1)
		if then := child(item, "then"); then != nil {
			r.properties(then, path+"[].", depth+1)
		}
	}
	if more := child(target, "additionalProperties"); more != nil && more.Kind == yaml.MappingNode {
		r.properties(r.target(more), path+".NAME.", depth+1)
	}
}

// resolve returns the value of key in node, or else in what it refers to.
func (r *reference) resolve(node *yaml.Node, key string) *yaml.Node {
	for range deepest {
		if v := child(node, key); v != nil {
			return v
		}
		next := r.target(node)
		if next == node {
			return nil
		}
		node = next
	}
	return nil
}

// target follows a $ref; a node without one is its own target.
func (r *reference) target(node *yaml.Node) *yaml.Node {
	ref := child(node, "$ref")
	if ref == nil {
		return node
	}
	name, ok := strings.CutPrefix(ref.Value, "#/$defs/")
	if !ok {
		return node
	}
	if found := child(child(r.root, "$defs"), name); found != nil {
		return found
	}
	return node
}

// child returns the value of key in a mapping, or nil.
func child(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

func values(list *yaml.Node) []string {
	out := make([]string, len(list.Content))
	for i, item := range list.Content {
		out[i] = item.Value
	}
	return out
}

// flow writes a node in YAML's flow style, as people write it in one line.
func flow(node *yaml.Node) string {
	var parts []string
	switch node.Kind {
	case yaml.SequenceNode:
		for _, item := range node.Content {
			parts = append(parts, flow(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			parts = append(parts, node.Content[i].Value+": "+flow(node.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return node.Value
}

// wrap writes text in lines of at most width, each after the indent.
func wrap(b *strings.Builder, text, indent string, width int) {
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
}

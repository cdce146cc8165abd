package topics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// width is the number of columns that the reference keeps within.
const width = 88

// maxPath bounds the path of a key: a schema whose lists hold themselves would
// otherwise never end.
const maxPath = 1000

// Reference returns a description of every key of a policy in Markdown, made
// from the text of schema/policy.schema.json. Sections and keys stand in the
// schema's own order, so the same schema gives the same bytes.
//
// A keyword of JSON Schema that it has no words for is an error: a schema must
// not grow a constraint that the reference keeps silent about. So is a key
// without a description.
func Reference(schema []byte) (string, error) {
	root, err := decodeOrdered(schema)
	if err != nil {
		return "", fmt.Errorf("policy schema: %w", err)
	}
	top, ok := root.(*object)
	if !ok {
		return "", errors.New("policy schema: not a JSON object")
	}
	r := &reference{defs: top.object("$defs"), documented: map[*object]string{}}
	r.queue = append(r.queue, section{path: "", node: top})
	// Sections are written breadth first: the file, then what it holds, then
	// what that holds.
	for len(r.queue) > 0 {
		next := r.queue[0]
		r.queue = r.queue[1:]
		if err := r.section(next); err != nil {
			return "", err
		}
	}
	return strings.TrimRight(r.out.String(), "\n") + "\n", nil
}

type section struct {
	path string // like principals[].users, empty for the file itself
	node *object
}

type reference struct {
	defs       *object
	documented map[*object]string // object schema -> the path of its section
	queue      []section
	out        strings.Builder
}

// understood are the keywords that some part of the generator puts into words,
// or that say nothing to a reader.
var understood = map[string]bool{
	"$schema": true, "$id": true, "$defs": true, "$ref": true, "title": true, "description": true, "examples": true,
	"type": true, "const": true, "enum": true, "default": true, "properties": true, "required": true,
	"additionalProperties": true, "propertyNames": true, "items": true, "minItems": true, "maxItems": true,
	"uniqueItems": true, "minProperties": true, "minimum": true, "maximum": true, "minLength": true,
	"maxLength": true, "pattern": true, "oneOf": true, "anyOf": true, "not": true, "if": true, "then": true,
	"else": true, "dependentRequired": true, "dependentSchemas": true,
}

// section writes one object: its sentence, its constraints, its keys.
func (r *reference) section(s section) error {
	fail := func(format string, args ...any) error {
		where := s.path
		if where == "" {
			where = "the file"
		}
		return fmt.Errorf("policy schema, %s: %s", where, fmt.Sprintf(format, args...))
	}
	if s.path == "" {
		r.out.WriteString("### The file\n\n")
	} else {
		fmt.Fprintf(&r.out, "### %s\n\n", s.path)
	}
	keys := s.node
	if then := s.node.object("then"); then != nil && s.node.object("properties") == nil {
		keys = then
	}
	if d := s.node.text("description"); d != "" {
		wrap(&r.out, "", "", d)
		r.out.WriteString("\n")
	}
	constraints, err := constraints(s.node)
	if err != nil {
		return fail("%v", err)
	}
	if len(constraints) > 0 {
		wrap(&r.out, "", "", strings.Join(constraints, " "))
		r.out.WriteString("\n")
	}
	properties := keys.object("properties")
	required := keys.texts("required")
	for _, name := range properties.keys {
		p, ok := properties.values[name].(*object)
		if !ok {
			return fail("%s is not a schema", name)
		}
		if err := r.property(s.path, name, p, slices.Contains(required, name)); err != nil {
			return fail("%s: %v", name, err)
		}
	}
	r.out.WriteString("\n")
	if s.path != "" {
		if err := r.examples(s.node); err != nil {
			return fail("%v", err)
		}
	}
	return nil
}

// property writes one key as a list item.
func (r *reference) property(parent, name string, p *object, required bool) error {
	p, err := r.resolve(p)
	if err != nil {
		return err
	}
	path := name
	if parent != "" {
		path = parent + "." + name
	}
	kind, err := r.kind(path, p)
	if err != nil {
		return err
	}
	head := fmt.Sprintf("`%s`: %s", name, kind)
	if required {
		head += "; must be given"
	}
	wrap(&r.out, "- ", "  ", head+".")
	description := p.text("description")
	if description == "" {
		return errors.New("no description")
	}
	bounds, err := bounds(p)
	if err != nil {
		return err
	}
	// A title that only repeats the key says nothing; others begin the sentence.
	if title := p.text("title"); title != "" && !strings.EqualFold(strings.ReplaceAll(title, " ", ""), name) {
		first, size := utf8.DecodeRuneInString(title)
		description = string(unicode.ToUpper(first)) + title[size:] + ". " + description
	}
	wrap(&r.out, "  ", "  ", strings.TrimSpace(description+" "+bounds))
	if p.object("properties") != nil || isList(p) || p.object("additionalProperties") != nil {
		return nil // its section shows examples
	}
	return r.inlineExamples(p)
}

// kind says in words what a value is, and queues a section for every object in
// it that has none yet.
func (r *reference) kind(path string, p *object) (string, error) {
	if len(path) > maxPath {
		return "", errors.New("nested too deeply")
	}
	if c, ok := p.values["const"]; ok {
		text, err := flow(c)
		return "always `" + text + "`", err
	}
	if list, ok := p.values["enum"].([]any); ok {
		words := make([]string, len(list))
		for i, v := range list {
			text, err := flow(v)
			if err != nil {
				return "", err
			}
			words[i] = "`" + text + "`"
			if d, ok := p.values["default"]; ok && d == v {
				words[i] += " (default)"
			}
		}
		return join(words, "or"), nil
	}
	byDefault := ""
	if d, ok := p.values["default"]; ok {
		text, err := flow(d)
		if err != nil {
			return "", err
		}
		byDefault = ", default `" + text + "`"
	}
	if isList(p) {
		items := p.object("items")
		if items == nil {
			return "", errors.New("a list without items")
		}
		items, err := r.resolve(items)
		if err != nil {
			return "", err
		}
		kind, err := r.kind(path+"[]", items)
		return "list of " + plural(kind) + byDefault, err
	}
	if p.object("properties") != nil || p.object("then").object("properties") != nil {
		prefix := ""
		if p.object("properties") == nil {
			scalar, err := r.resolve(p.object("else"))
			if err != nil {
				return "", err
			}
			prefix = scalar.text("title") + " or "
		}
		if known, ok := r.documented[p]; ok {
			return prefix + "mapping, see " + known, nil
		}
		r.documented[p] = path
		r.queue = append(r.queue, section{path, p})
		return prefix + "mapping, see " + path, nil
	}
	if values := p.object("additionalProperties"); values != nil {
		values, err := r.resolve(values)
		if err != nil {
			return "", err
		}
		kind, err := r.kind(path+".NAME", values)
		return "names, each with a " + kind, err
	}
	words := map[string]string{"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
	types := p.texts("type")
	// A scalar of any type is a name or a text: its own spelling counts.
	if slices.Contains(types, "string") && (slices.Contains(types, "number") || slices.Contains(types, "boolean")) {
		if title := p.text("title"); title == "privilege" || title == "name" {
			return title, nil
		}
		return "text" + byDefault, nil
	}
	var out []string
	for _, t := range types {
		if words[t] == "" {
			return "", fmt.Errorf("no words for the type %q", t)
		}
		out = append(out, words[t])
	}
	if len(out) == 0 {
		return "", errors.New("no type")
	}
	return join(out, "or") + byDefault, nil
}

// resolve follows $ref. What stands beside a $ref beats what it names.
func (r *reference) resolve(p *object) (*object, error) {
	for range 10 {
		ref := p.text("$ref")
		if ref == "" {
			for _, k := range p.keys {
				if !understood[k] {
					return nil, fmt.Errorf("no words for the keyword %q", k)
				}
			}
			return p, nil
		}
		name, ok := strings.CutPrefix(ref, "#/$defs/")
		target := r.defs.object(name)
		if !ok || target == nil {
			return nil, fmt.Errorf("$ref %q leads nowhere", ref)
		}
		if len(p.keys) == 1 {
			p = target
			continue
		}
		merged := &object{values: map[string]any{}}
		for _, from := range []*object{p, target} {
			for _, k := range from.keys {
				if _, have := merged.values[k]; !have && !(from == p && k == "$ref") {
					merged.keys = append(merged.keys, k)
					merged.values[k] = from.values[k]
				}
			}
		}
		p = merged
	}
	return nil, errors.New("$ref in a circle")
}

// constraints puts what an object demands of its keys into sentences.
func constraints(p *object) ([]string, error) {
	var out []string
	if p.object("additionalProperties") == nil && p.values["minProperties"] == json.Number("1") {
		out = append(out, "At least one key must be given.")
	}
	for keyword, words := range map[string]string{"oneOf": "Exactly one of %s must be given.", "anyOf": "At least one of %s must be given."} {
		list, ok := p.values[keyword].([]any)
		if !ok {
			continue
		}
		var names []string
		for _, item := range list {
			o, ok := item.(*object)
			if !ok || len(o.keys) != 1 || len(o.texts("required")) != 1 {
				return nil, fmt.Errorf("no words for this %s", keyword)
			}
			names = append(names, "`"+o.texts("required")[0]+"`")
		}
		out = append(out, fmt.Sprintf(words, join(names, "and")))
	}
	slices.Sort(out)
	if d := p.object("dependentRequired"); d != nil {
		for _, k := range d.keys {
			var needs []string
			for _, n := range d.texts(k) {
				needs = append(needs, "`"+n+"`")
			}
			out = append(out, fmt.Sprintf("`%s` needs %s.", k, join(needs, "and")))
		}
	}
	if d := p.object("dependentSchemas"); d != nil {
		for _, k := range d.keys {
			list, ok := d.object(k).get("anyOf").([]any)
			if !ok || len(d.object(k).keys) != 1 {
				return nil, fmt.Errorf("no words for dependentSchemas of %s", k)
			}
			var needs []string
			for _, item := range list {
				o, _ := item.(*object)
				for _, n := range o.texts("required") {
					needs = append(needs, "`"+n+"`")
				}
			}
			out = append(out, fmt.Sprintf("`%s` needs %s.", k, join(needs, "or")))
		}
	}
	if n := p.object("not"); n != nil {
		pairs, err := constants(n)
		if err != nil {
			return nil, err
		}
		out = append(out, fmt.Sprintf("Never %s together.", join(pairs, "and")))
	}
	if cond := p.object("if"); cond != nil && p.object("properties") != nil {
		pairs, err := constants(p.object("then"))
		if err != nil {
			return nil, err
		}
		empty := cond.texts("required")
		if len(empty) != 1 || cond.object("properties").object(empty[0]).get("maxItems") != json.Number("0") {
			return nil, errors.New("no words for this if")
		}
		out = append(out, fmt.Sprintf("`%s: []` is right only with %s.", empty[0], join(pairs, "and")))
	}
	return out, nil
}

// constants reads a schema that demands fixed values of some keys.
func constants(p *object) ([]string, error) {
	properties := p.object("properties")
	var out []string
	for _, k := range p.texts("required") {
		text, err := flow(properties.object(k).get("const"))
		if err != nil || properties.object(k).get("const") == nil {
			return nil, fmt.Errorf("no words for the condition on %s", k)
		}
		out = append(out, "`"+k+": "+text+"`")
	}
	return out, nil
}

// bounds puts the limits of a value into words. Patterns are left to the
// description, and so are limits of length that no person meets.
func bounds(p *object) (string, error) {
	var out []string
	lowest, low := p.values["minimum"].(json.Number)
	highest, high := p.values["maximum"].(json.Number)
	switch {
	// A billion stands for "no sensible limit".
	case low && high && len(highest) < 10:
		out = append(out, fmt.Sprintf("From %s to %s.", lowest, highest))
	case low && lowest != "0":
		out = append(out, fmt.Sprintf("At least %s.", lowest))
	}
	if n, ok := p.values["minItems"].(json.Number); ok {
		what := "items"
		if n == "1" {
			what = "item"
		}
		out = append(out, fmt.Sprintf("At least %s %s.", n, what))
	}
	if p.values["uniqueItems"] == true {
		out = append(out, "Each item once.")
	}
	return strings.Join(out, " "), nil
}

// inlineExamples writes the examples of a scalar on one line.
func (r *reference) inlineExamples(p *object) error {
	list, _ := p.values["examples"].([]any)
	if _, fixed := p.values["const"]; fixed || p.values["enum"] != nil || p.text("type") == "boolean" {
		return nil // its kind lists every value already
	}
	var words []string
	for _, v := range list {
		text, err := flow(v)
		if err != nil {
			return err
		}
		words = append(words, "`"+text+"`")
	}
	if len(words) > 0 {
		wrap(&r.out, "  ", "  ", "Example: "+strings.Join(words, ", "))
	}
	return nil
}

// examples writes the examples of an object as YAML, on one line where it fits.
func (r *reference) examples(p *object) error {
	list, _ := p.values["examples"].([]any)
	if len(list) > 0 {
		r.out.WriteString("For example:\n\n")
	}
	for i, v := range list {
		text, err := flow(v)
		if err != nil {
			return err
		}
		if utf8.RuneCountInString(text) > width-4 {
			node, err := yamlNode(v, 0)
			if err != nil {
				return err
			}
			var b bytes.Buffer
			enc := yaml.NewEncoder(&b)
			enc.SetIndent(2)
			if err := enc.Encode(node); err != nil {
				return err
			}
			text = strings.TrimRight(b.String(), "\n")
		}
		if i > 0 {
			r.out.WriteString("\n")
		}
		for line := range strings.SplitSeq(text, "\n") {
			r.out.WriteString("    " + line + "\n")
		}
	}
	if len(list) > 0 {
		r.out.WriteString("\n")
	}
	return nil
}

// flow returns a JSON value as YAML on one line.
func flow(v any) (string, error) {
	node, err := yamlNode(v, yaml.FlowStyle)
	if err != nil {
		return "", err
	}
	text, err := yaml.Marshal(node)
	return strings.TrimRight(string(text), "\n"), err
}

func yamlNode(v any, style yaml.Style) (*yaml.Node, error) {
	switch v := v.(type) {
	case *object:
		n := &yaml.Node{Kind: yaml.MappingNode, Style: style}
		for _, k := range v.keys {
			key, err := yamlNode(k, style)
			if err != nil {
				return nil, err
			}
			value, err := yamlNode(v.values[k], yaml.FlowStyle&style)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, key, value)
		}
		return n, nil
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: style}
		for _, item := range v {
			value, err := yamlNode(item, yaml.FlowStyle)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, value)
		}
		return n, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: v.String()}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	case string:
		// A date is a text to privsync: it is shown as people write it.
		if len(v) == 10 && strings.Count(v, "-") == 2 && v[0] == '2' {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: v}, nil
		}
		n := &yaml.Node{}
		n.SetString(v)
		return n, nil
	}
	return nil, fmt.Errorf("no YAML for %T", v)
}

func isList(p *object) bool { return p.text("type") == "array" }

// join lists words as a sentence does.
func join(words []string, last string) string {
	switch n := len(words); n {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:n-1], ", ") + " " + last + " " + words[n-1]
	}
}

// plural makes the first word of a kind, and what it is or'ed with, plural.
func plural(kind string) string {
	for _, word := range []string{"mapping", "privilege", "name", "text"} {
		if rest, ok := strings.CutPrefix(kind, word); ok {
			return word + "s" + strings.Replace(rest, "or mapping", "or mappings", 1)
		}
	}
	return kind
}

// wrap writes text within width columns: the first line begins with first, the
// others with rest. Code spans are not broken.
func wrap(b *strings.Builder, first, rest, text string) {
	line := first
	empty := true
	for _, word := range unbroken(text) {
		if !empty && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			b.WriteString(line + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	b.WriteString(line + "\n")
}

// unbroken splits text at spaces, but not inside `…`.
func unbroken(text string) []string {
	var words []string
	for _, w := range strings.Fields(text) {
		if n := len(words); n > 0 && strings.Count(words[n-1], "`")%2 == 1 {
			words[n-1] += " " + w
			continue
		}
		words = append(words, w)
	}
	return words
}

// object is a JSON object that remembers the order of its keys. A nil object
// has none.
type object struct {
	keys   []string
	values map[string]any
}

func (o *object) get(key string) any {
	if o == nil {
		return nil
	}
	return o.values[key]
}

func (o *object) object(key string) *object {
	v, _ := o.get(key).(*object)
	return v
}

func (o *object) text(key string) string {
	s, _ := o.get(key).(string)
	return s
}

// texts returns a list of strings; a single string counts as a list of one.
func (o *object) texts(key string) []string {
	switch v := o.get(key).(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, item := range v {
			if s, ok := item.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// decodeOrdered decodes one JSON document; objects become *object, numbers
// [json.Number].
func decodeOrdered(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decodeValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("text after the document")
	}
	return v, nil
}

func decodeValue(dec *json.Decoder) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := &object{values: map[string]any{}}
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key, ok := k.(string)
			if !ok {
				return nil, fmt.Errorf("key %v is not a string", k)
			}
			v, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			if _, twice := o.values[key]; twice {
				return nil, fmt.Errorf("key %q stands twice", key)
			}
			o.keys = append(o.keys, key)
			o.values[key] = v
		}
		_, err := dec.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.Token()
		return list, err
	}
	return t, nil
}

package schema_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"privsync/executor"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
	"privsync/schema"
)

type object = map[string]any

// TestDocumentsMatchTheirTypes holds the schemas of plan and report against the
// types that are written: the same keys everywhere, required unless left out
// when empty.
func TestDocumentsMatchTheirTypes(t *testing.T) {
	for name, typ := range map[string]reflect.Type{"plan": reflect.TypeFor[planner.Plan](), "report": reflect.TypeFor[executor.Report](), "licences": reflect.TypeFor[planner.LicenceMap](), "licence-use": reflect.TypeFor[planner.LicenceUse](), "who": reflect.TypeFor[planner.Holders](), "who-at": reflect.TypeFor[executor.HeldAt](), "fleet": reflect.TypeFor[executor.Fleet]()} {
		text, err := schema.Text(name)
		if err != nil {
			t.Fatal(err)
		}
		var root object
		if err := json.Unmarshal(text, &root); err != nil {
			t.Fatal(err)
		}
		m := matcher{t, root["$defs"].(object)}
		m.match(name, root, typ)
	}
}

// younger are members that are always written and that documents of older versions lack.
var younger = []string{"plan.coverage", "plan.rules", "report.rules"}

type matcher struct {
	t    *testing.T
	defs object
}

func (m matcher) match(at string, s object, typ reflect.Type) {
	m.t.Helper()
	for s["$ref"] != nil {
		s = m.defs[strings.TrimPrefix(s["$ref"].(string), "#/$defs/")].(object)
	}
	switch {
	case typ == reflect.TypeFor[time.Time]():
		m.is(at, s, "string")
	case typ == reflect.TypeFor[planner.Set]():
		m.is(at, s, "array")
	case typ.Kind() == reflect.Pointer:
		m.match(at, s, typ.Elem())
	case typ.Kind() == reflect.Slice:
		m.is(at, s, "array")
		m.match(at+"[]", s["items"].(object), typ.Elem())
	case typ.Kind() == reflect.String:
		if s["enum"] == nil && s["const"] == nil {
			m.is(at, s, "string")
		}
	case typ.Kind() == reflect.Bool:
		if s["const"] == nil {
			m.is(at, s, "boolean")
		}
	case typ.Kind() == reflect.Int, typ.Kind() == reflect.Int64:
		m.is(at, s, "integer")
	case typ.Kind() == reflect.Struct:
		m.object(at, s, typ)
	default:
		m.t.Errorf("%s: no rule for %v", at, typ)
	}
}

func (m matcher) is(at string, s object, want string) {
	m.t.Helper()
	if s["type"] != want && fmt.Sprint(s["type"]) != "["+want+" null]" {
		m.t.Errorf("%s is %v in the schema, want %s", at, s["type"], want)
	}
}

func (m matcher) object(at string, s object, typ reflect.Type) {
	m.t.Helper()
	if s["additionalProperties"] != false {
		m.t.Errorf("%s accepts unknown keys", at)
	}
	fields, required := map[string]reflect.Type{}, []string{}
	var nullable []string
	for _, f := range reflect.VisibleFields(typ) {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || tag == "-" || !f.IsExported() {
			continue
		}
		fields[tag] = f.Type
		// Members of an embedded pointer are left out with it.
		within := len(f.Index) > 1 && typ.FieldByIndex(f.Index[:1]).Type.Kind() == reflect.Pointer
		if options != "omitempty" && options != "omitzero" && !within && !slices.Contains(younger, at+"."+tag) {
			required = append(required, tag)
			if f.Type.Kind() == reflect.Pointer {
				nullable = append(nullable, tag)
			}
		}
	}
	properties := s["properties"].(object)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(properties))); diff != "" {
		m.t.Errorf("keys of %s (-type +schema):\n%s", at, diff)
		return
	}
	slices.Sort(required)
	inSchema := []string{}
	for _, r := range s["required"].([]any) {
		inSchema = append(inSchema, r.(string))
	}
	slices.Sort(inSchema)
	if diff := cmp.Diff(required, inSchema); diff != "" {
		m.t.Errorf("required keys of %s (-type +schema):\n%s", at, diff)
	}
	for key, typ := range fields {
		property := properties[key].(object)
		if slices.Contains(nullable, key) {
			for property["$ref"] != nil {
				property = m.defs[strings.TrimPrefix(property["$ref"].(string), "#/$defs/")].(object)
			}
			if !strings.HasSuffix(fmt.Sprint(property["type"]), " null]") {
				m.t.Errorf("%s.%s may be null in Go, but is %v in the schema", at, key, property["type"])
			}
		}
		m.match(at+"."+key, property, typ)
	}
}

// TestWordsMatchTheirConstants holds the words that the schemas allow against
// the constants of the type in Go.
func TestWordsMatchTheirConstants(t *testing.T) {
	tests := []struct {
		folders, typ, schema string
		path                 []string
	}{
		{"../planner ../executor", "Code", "plan", []string{"$defs", "finding", "properties", "code"}},
		{"../planner ../executor", "Code", "report", []string{"$defs", "finding", "properties", "code"}},
		{"../planner", "Severity", "plan", []string{"$defs", "finding", "properties", "severity"}},
		{"../planner", "Reason", "plan", []string{"$defs", "plannedPrivilege", "properties", "reason"}},
		{"../planner", "Reason", "report", []string{"$defs", "plannedPrivilege", "properties", "reason"}},
		{"../executor", "RunOutcome", "report", []string{"properties", "run", "properties", "outcome"}},
		{"../executor", "Outcome", "report", []string{"properties", "principals", "items", "properties", "outcome"}},
		{"../executor", "CommandOutcome", "report", []string{"properties", "commands", "items", "properties", "outcome"}},
		{"../mstrapi", "Level", "plan", []string{"$defs", "scope", "properties", "level"}},
		{"../mstrapi", "Kind", "plan", []string{"$defs", "kind"}},
		{"../policy", "Level", "policy", []string{"properties", "scope", "properties", "level"}},
		{"../policy", "Unlisted", "policy", []string{"properties", "unlisted"}},
		{"../policy", "Mode", "policy", []string{"$defs", "mode"}},
		{"../policy", "SatisfiedBy", "policy", []string{"$defs", "satisfiedBy"}},
		{"../policy", "Redundant", "policy", []string{"$defs", "redundant"}},
		{"../policy", "Inherited", "policy", []string{"$defs", "inherited"}},
		{"../policy", "Unlisted", "plan", inForce("unlisted")},
		{"../policy", "Mode", "plan", inForce("defaults", "mode")},
		{"../policy", "SatisfiedBy", "plan", inForce("defaults", "satisfiedBy")},
		{"../policy", "Redundant", "plan", inForce("defaults", "redundant")},
		{"../policy", "Inherited", "plan", inForce("defaults", "inherited")},
		{"../policy", "RuleSeverity", "policy", []string{"$defs", "rule", "properties", "severity"}},
	}
	for _, tt := range tests {
		text, err := schema.Text(tt.schema)
		if err != nil {
			t.Fatal(err)
		}
		var node any
		if err := json.Unmarshal(text, &node); err != nil {
			t.Fatal(err)
		}
		for _, step := range tt.path {
			node = node.(object)[step]
		}
		var words []string
		list, _ := node.(object)["enum"].([]any)
		for _, w := range list {
			words = append(words, w.(string))
		}
		slices.Sort(words)
		if diff := cmp.Diff(constants(t, tt.folders, tt.typ), words); diff != "" {
			t.Errorf("%s in schema %s (-constants +schema):\n%s", tt.typ, tt.schema, diff)
		}
	}
}

// inForce is the path to a property of what a plan says about its policy.
func inForce(keys ...string) []string {
	path := []string{"$defs", "policy", "properties", "inForce"}
	for _, key := range keys {
		path = append(path, "properties", key)
	}
	return path
}

// constants returns the string constants of a type that the packages in the
// folders, separated by blanks, declare, sorted.
func constants(t *testing.T, folders, typ string) []string {
	t.Helper()
	var words []string
	for folder := range strings.FieldsSeq(folders) {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if spec, ok := n.(*ast.ValueSpec); ok && typeName(spec.Type) == typ {
					words = append(words, literals(t, spec)...)
				}
				return true
			})
		}
	}
	slices.Sort(words)
	return words
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func literals(t *testing.T, spec *ast.ValueSpec) []string {
	t.Helper()
	var words []string
	for _, v := range spec.Values {
		if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			word, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			words = append(words, word)
		}
	}
	return words
}

// TestPrivilegeNumbersAgree: what a policy may ask for is what the client
// believes and what the documents can say.
func TestPrivilegeNumbersAgree(t *testing.T) {
	most := int(mstrapi.MaxPrivilegeID)
	for number, want := range map[int]bool{most: true, most + 1: false} {
		text := fmt.Sprintf("apiVersion: privsync/v1\nkind: Policy\nmetadata: {name: x}\nprincipals: [{user: a, forbid: [%d]}]\n", number)
		if _, err := policy.Parse("p.yaml", []byte(text)); (err == nil) != want {
			t.Errorf("a policy with privilege %d: %v", number, err)
		}
	}
	for _, name := range []string{"plan", "report"} {
		text, err := schema.Text(name)
		if err != nil {
			t.Fatal(err)
		}
		var doc object
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		if got := doc["$defs"].(object)["privilegeNumber"].(object)["maximum"]; got != float64(most) {
			t.Errorf("schema %s knows privilege numbers up to %v, want %d", name, got, most)
		}
	}
}

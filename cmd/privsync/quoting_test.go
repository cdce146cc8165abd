package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamesLookTheSame: a name that one message writes as Go does and another as
// package clean does looks like two names (\a and \x07), so nothing that people read
// comes from %q or strconv.Quote.
func TestNamesLookTheSame(t *testing.T) {
	// What is left is read by no person: keys and digests, a test server, man pages, or
	// text that is meant to be written into YAML.
	others := map[string]int{
		"policy/assemble.go": 1, "policy/nodes.go": 1, "schema/text.go": 1,
	}
	verb := regexp.MustCompile(`%[-+# 0-9.*\[\]]*q`)
	root := filepath.Join("..", "..")
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name := d.Name(); {
			case path != root && strings.HasPrefix(name, "."), name == "testdata", name == "mstrtest", name == "bench", name == "release", name == "man", name == "topics":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		at := filepath.ToSlash(rel)
		ast.Inspect(file, func(n ast.Node) bool {
			found := false
			switch n := n.(type) {
			case *ast.BasicLit:
				found = n.Kind == token.STRING && verb.MatchString(n.Value)
			case *ast.CallExpr:
				name, of := callee(n)
				found = of == "strconv" && (name == "Quote" || name == "QuoteToASCII" || name == "QuoteToGraphic")
			}
			if found {
				if others[at]--; others[at] < 0 {
					t.Errorf("%s: write names with %%s and clean.Quote, which looks the same everywhere", set.Position(n.Pos()))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 100 {
		t.Errorf("only %d files were found", files)
	}
	for path, left := range others {
		if left > 0 {
			t.Errorf("%s: %d exceptions fewer are needed", path, left)
		}
	}
}

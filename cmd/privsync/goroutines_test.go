package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestGoroutinesCatchPanics: a panic in a goroutine of its own ends the process, so
// everything that starts one goes through package panics, or calls nothing that can
// panic.
func TestGoroutinesCatchPanics(t *testing.T) {
	harmless := map[string]bool{"end": true, "cancel": true, "Sleep": true, "Cause": true}
	starters := map[string]string{"Go": "", "AfterFunc": "", "TryGo": ""}
	seen := 0
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		slashed := filepath.ToSlash(path)
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && path != root) {
			return filepath.SkipDir
		}
		// The benchmark and the makers of releases are no part of the program; of the
		// simulator only tests ask for what it does late.
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(slashed, "/internal/bench/") || strings.Contains(slashed, "/internal/release/") || strings.Contains(slashed, "/pgtest/") || d.Name() == "late.go" {
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		check := func(at ast.Node, body ast.Node) {
			seen++
			caught, danger := false, ""
			ast.Inspect(body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				name, of := callee(call)
				switch {
				case of == "panics" || name == "Catch":
					caught = true
				case !harmless[name]:
					danger = name
				}
				return true
			})
			if !caught && danger != "" {
				t.Errorf("%s: a goroutine that calls %s has no catch for a panic", files.Position(at.Pos()), danger)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				check(n, n.Call)
			case *ast.CallExpr:
				name, of := callee(n)
				if _, starts := starters[name]; starts && of != "panics" && len(n.Args) > 0 {
					if body, ok := n.Args[len(n.Args)-1].(*ast.FuncLit); ok {
						check(n, body)
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 10 {
		t.Errorf("only %d goroutines were found", seen)
	}
}

// callee returns the name of what is called, and of the package or variable before it.
func callee(call *ast.CallExpr) (name, of string) {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name, ""
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok {
			of = x.Name
		}
		return f.Sel.Name, of
	}
	return "", ""
}

package main

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImportDirections checks that imports run one way: planner <- executor <- cmd,
// above policy and mstrapi, which stand side by side on one floor.
func TestImportDirections(t *testing.T) {
	allowed := map[string][]string{
		"privsync/clean":                        {},
		"privsync/input":                        {},
		"privsync/mstr":                         {},
		"privsync/panics":                       {},
		"privsync/document":                     {"privsync/clean"},
		"privsync/schema":                       {"privsync/clean"},
		"privsync/signature":                    {"privsync/clean"},
		"privsync/policy":                       {"privsync/clean", "privsync/input", "privsync/panics", "privsync/mstr"},
		"privsync/mstrapi":                      {"privsync/clean", "privsync/input", "privsync/panics", "privsync/mstr"},
		"privsync/mstrapi/mstrtest":             {"privsync/mstr", "privsync/mstrapi"},
		"privsync/planner":                      {"privsync/clean", "privsync/document", "privsync/schema", "privsync/policy", "privsync/mstrapi", "privsync/panics"},
		"privsync/executor":                     {"privsync/clean", "privsync/document", "privsync/schema", "privsync/mstrapi", "privsync/planner", "privsync/panics"},
		"privsync/executor/pgstore":             {"privsync/clean", "privsync/document", "privsync/mstrapi", "privsync/planner", "privsync/executor", "privsync/panics"},
		"privsync/executor/pgstore/pgtest":      {},
		"privsync/examples":                     {},
		"privsync/cmd/privsync/internal/render": {"privsync/clean", "privsync/document", "privsync/schema", "privsync/policy", "privsync/mstrapi", "privsync/planner", "privsync/executor", "privsync/cmd/privsync/internal/history"},
		"privsync/cmd/privsync":                 {"*"},
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "privsync/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		may, known := allowed[p.ImportPath]
		if known {
			seen++
		}
		for _, i := range p.Imports {
			switch {
			case i != "privsync" && !strings.HasPrefix(i, "privsync/"), slices.Contains(may, "*"):
			case i == "privsync/cmd/privsync" || !known && i == "privsync/mstrapi/mstrtest" && !toolOrTest(p.ImportPath):
				t.Errorf("%s imports %s", p.ImportPath, i)
			case known && !slices.Contains(may, i):
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			if i == "privsync/cmd/privsync" {
				t.Errorf("a test of %s imports %s", p.ImportPath, i)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("go list knows %d of the %d packages named here", seen, len(allowed))
	}
}

// toolOrTest reports whether a package holds no part of the program: tests and
// benchmarks in packages of their own, which may use the simulator.
func toolOrTest(path string) bool {
	return strings.Contains(path, "/internal/") || strings.Contains(path, "bench") || strings.Contains(path, "chaos")
}

// TestOnlySimAndDemoUseTheSimulator checks the files of this package: nothing
// but tests, sim and demo may reach for the simulated server.
func TestOnlySimAndDemoUseTheSimulator(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=GoFiles,Dir", "privsync/cmd/privsync").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var p struct {
		Dir     string
		GoFiles []string
	}
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}
	for _, name := range p.GoFiles {
		if name != "sim.go" && name != "demo.go" && importsSimulator(t, p.Dir, name) {
			t.Errorf("%s imports the simulated server", name)
		}
	}
}

func importsSimulator(t *testing.T, dir, name string) bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, name), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range file.Imports {
		if i.Path.Value == `"privsync/mstrapi/mstrtest"` {
			return true
		}
	}
	return false
}

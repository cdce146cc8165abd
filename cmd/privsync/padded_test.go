package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"privsync/document"
	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// TestPaddedDocuments: what is wrong with a plan or a report is refused in one of
// 9 MiB as it is in a small one, whether it was padded by blanks, by one long text or
// by many principals; and the digest of all of them is right.
func TestPaddedDocuments(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	if code, _, stderr := p.run("plan", "-f", "policy.yaml", "--out", "plan.json"); code != executor.ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	if code, _, stderr := p.run("apply", "-f", "policy.yaml", "--yes", "--report", "report.json"); code != executor.ExitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	member := func(doc any, path ...any) any {
		for _, step := range path {
			switch at := step.(type) {
			case string:
				doc = doc.(map[string]any)[at]
			case int:
				doc = doc.([]any)[at]
			}
		}
		return doc
	}
	set := func(key string, value any, path ...any) func(any) {
		return func(doc any) { member(doc, path...).(map[string]any)[key] = value }
	}
	lacks := func(key string, path ...any) func(any) {
		return func(doc any) { delete(member(doc, path...).(map[string]any), key) }
	}
	capitals := func(key string, path ...any) func(any) {
		return func(doc any) {
			m := member(doc, path...).(map[string]any)
			m[strings.ToUpper(key)] = m[key]
			delete(m, key)
		}
	}
	rows := map[string]string{"plan.json": "changes", "report.json": "principals"}
	mistakes := map[string]map[string]func(any){
		"plan.json": {
			"an unknown member":            set("extra", 1),
			"an unknown member of actor":   set("extra", 1, "actor"),
			"a member in capitals":         capitals("complete"),
			"actor's name in capitals":     capitals("name", "actor"),
			"no commands":                  lacks("commands"),
			"no summary of findings":       lacks("findings", "summary"),
			"a change without observed":    lacks("observed", "changes", 1),
			"a change without impact":      lacks("impact", "changes", 1),
			"impact in capitals":           capitals("impact", "changes", 1),
			"an unknown member of a grant": set("extra", 1, "changes", 1, "grant", 0),
			"an unknown reason":            set("reason", "mood", "changes", 1, "grant", 0),
			"no name of a privilege":       lacks("name", "changes", 1, "grant", 0),
			"commands are null":            set("commands", nil),
			"a count below zero":           set("grants", -1, "summary"),
			"no version of the tool":       lacks("version", "tool"),
			"findings are an object":       set("findings", map[string]any{}),
			"a finding with any severity":  set("findings", []any{map[string]any{"code": "expired", "severity": "mild", "message": "x"}}),
			"a small id":                   set("id", "6c9dfe134d0f8764893b469525e38eb0", "changes", 1, "principal"),
		},
		"report.json": {
			"an unknown member":          set("extra", 1),
			"an unknown command":         set("command", "guess", "run"),
			"an unknown outcome":         set("outcome", "fine", "principals", 1),
			"no attempts":                lacks("attempts", "principals", 1),
			"outcome in capitals":        capitals("outcome", "principals", 1),
			"a principal without a name": lacks("name", "principals", 1, "principal"),
			"guards are null":            set("guards", nil),
			"no findings":                lacks("findings"),
			"recovered is false":         set("recovered", false, "run"),
			"a privilege without a name": lacks("name", "privileges", 0),
			"fewer retries than none":    set("retries", -1, "summary"),
		},
	}
	const size = 9 << 20
	paddings := map[string]func(file string, doc any){
		"small": func(string, any) {},
		"a long text": func(_ string, doc any) {
			set("name", strings.Repeat("long ", size/5), "policy")(doc)
		},
		"many principals": func(file string, doc any) {
			list := doc.(map[string]any)[rows[file]].([]any)
			for n := len(list); len(list) < 25_000; {
				list = append(list, list[len(list)%n])
			}
			doc.(map[string]any)[rows[file]] = list
		},
		"blanks": nil, // in the text
	}
	for file, all := range mistakes {
		original, err := os.ReadFile(filepath.Join(p.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		read := func(t *testing.T, padding string, mistake func(any)) error {
			dec := json.NewDecoder(bytes.NewReader(original))
			dec.UseNumber()
			var doc any
			if err := dec.Decode(&doc); err != nil {
				t.Fatal(err)
			}
			if pad := paddings[padding]; pad != nil {
				pad(file, doc)
			}
			if mistake != nil {
				mistake(doc)
			}
			format := doc.(map[string]any)["format"].(string)
			delete(doc.(map[string]any), "format")
			text, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			blanks := ""
			if padding == "blanks" {
				blanks = strings.Repeat(" \n", size/2)
			}
			text = append([]byte(`{"format":"`+format+`",`+blanks), text[1:]...)
			digest, err := document.ReadPart(bytes.NewReader(text), 1<<40, new(struct{}))
			if err != nil {
				t.Fatal(err)
			}
			old, _ := doc.(map[string]any)["digest"].(string)
			text = bytes.Replace(text, []byte(old), []byte(digest), 1)
			if padding != "small" && len(text) < size {
				t.Fatalf("%s is not padded by %s: %d bytes", file, padding, len(text))
			}
			_, err = (&app{}).readDocument(p.file(strings.ReplaceAll(t.Name(), "/", "_")+".json", string(text)))
			return err
		}
		names := slices.Sorted(maps.Keys(all))
		inMany := map[string]string{"plan.json": "impact in capitals", "report.json": "outcome in capitals"}
		for at, padding := range []string{"small", "a long text", "blanks", "many principals"} {
			t.Run(file+" with "+padding, func(t *testing.T) {
				t.Parallel()
				// A principal that stands twice is refused in a plan by its reader, and
				// nothing of that kind is looked for in a report.
				err := read(t, padding, nil)
				if twice := padding == "many principals" && file == "plan.json"; (err != nil) != twice {
					t.Errorf("%.300v", err)
				}
				for i, name := range names {
					switch {
					case padding == "small":
					case padding == "many principals" && name != inMany[file], padding != "many principals" && i%8 != at:
						continue // large documents take long; package schema has many more
					}
					if err := read(t, padding, all[name]); err == nil || errors.Is(err, errNotADocument) || strings.Contains(err.Error(), "digest") {
						t.Errorf("%s: %.300v", name, err)
					}
				}
			})
		}
	}
}

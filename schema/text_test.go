package schema

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

// mutations returns what may become of a document that matches its schema: at every
// place one thing is done, named by the keys of the result.
func mutations(t *testing.T, example string) map[string]any {
	out := map[string]any{}
	var walk func(at string, get func(doc any) any)
	change := func(name string, get func(doc any) any, f func(v any)) {
		doc := decode(t, example)
		f(get(doc))
		out[name] = doc
	}
	walk = func(at string, get func(doc any) any) {
		others := func(set func(v, to any)) {
			for name, to := range map[string]any{
				"null": nil, "a number": json.Number("7"), "a fraction": json.Number("-1.5"), "a text": "?", "no text": "", "true": true,
				"a list": []any{}, "a list of one": []any{"x"}, "an object": map[string]any{}, "an object of one": map[string]any{"x": "y"},
			} {
				change(at+" is "+name, get, func(v any) { set(v, to) })
			}
		}
		switch v := get(decode(t, example)).(type) {
		case map[string]any:
			change(at+" has more", get, func(v any) { v.(map[string]any)["extra"] = "x" })
			for key := range v {
				change(at+" lacks "+key, get, func(v any) { delete(v.(map[string]any), key) })
				change(at+" has in capitals "+key, get, func(v any) {
					m := v.(map[string]any)
					m[strings.ToUpper(key)] = m[key]
					delete(m, key)
				})
				parent, here := get, at
				at = here + "/" + key
				others(func(v, to any) { v.(map[string]any)[key] = to })
				walk(at, func(doc any) any { return parent(doc).(map[string]any)[key] })
				at = here
			}
		case []any:
			for i := range v {
				parent, here := get, at
				at = here + "/-"
				others(func(v, to any) { v.([]any)[i] = to })
				walk(at, func(doc any) any { return parent(doc).([]any)[i] })
				at = here
			}
		}
	}
	walk("", func(doc any) any { return doc })
	return out
}

// padded returns doc with a text of 9 MiB in it, and a long list.
func padded(doc any) any {
	root := doc.(map[string]any)
	if policy, ok := root["policy"].(map[string]any); ok {
		if _, ok := policy["name"].(string); ok {
			policy["name"] = strings.Repeat("long ", 9<<20/5)
		}
	}
	if findings, ok := root["findings"].([]any); ok && len(findings) > 0 {
		for range 1000 {
			findings = append(findings, findings[0])
		}
		root["findings"] = findings
	}
	return root
}

// numbered returns doc as ValidateText decodes it.
func numbered(t *testing.T, doc any) any {
	t.Helper()
	value, err := decoded([]byte(marshal(t, doc)))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func marshal(t *testing.T, doc any) string {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestValidateText: read piece by piece a document is judged as it is when it is read
// whole, whatever is wrong with it and however large it is.
func TestValidateText(t *testing.T) {
	for name, example := range map[string]string{"plan": examplePlan, "report": exampleReport} {
		for _, doc := range []any{decode(t, example), padded(decode(t, example))} {
			if err := ValidateText(name, strings.NewReader(marshal(t, doc))); err != nil {
				t.Errorf("%s: %.300v", name, err)
			}
		}
		if s, _ := Compiled(name); !accepts(s, numbered(t, decode(t, example))) {
			t.Errorf("%s: the example is not surely right", name)
		}
		refused, large := 0, map[string]bool{}
		for what, doc := range mutations(t, example) {
			want := Validate(name, doc)
			got := ValidateText(name, strings.NewReader(marshal(t, doc)))
			if (got == nil) != (want == nil) {
				t.Errorf("%s where %s: read piece by piece %v, whole %v", name, what, got, want)
			}
			if s, _ := Compiled(name); accepts(s, numbered(t, doc)) && want != nil {
				t.Errorf("%s where %s: is surely right, and %v", name, what, want)
			}
			if want == nil {
				continue
			}
			refused++
			// Of each kind of mistake some are looked at in a large document.
			_, kind, _ := strings.Cut(what, " ")
			kind, _, _ = strings.Cut(kind, " in capitals ")
			kind, _, _ = strings.Cut(kind, "lacks ")
			if large[kind] || strings.HasPrefix(what, "/policy") {
				continue
			}
			large[kind] = true
			if ValidateText(name, strings.NewReader(marshal(t, padded(doc)))) == nil {
				t.Errorf("%s where %s: accepted when it is large", name, what)
			}
		}
		if refused < 500 || len(large) < 10 {
			t.Errorf("%s: only %d mutations were refused, %d kinds", name, refused, len(large))
		}
	}
}

// Every list of a document, its lists of principals and findings first, is judged
// element by element: none of them grows with the document in memory.
func TestListsAreElementwise(t *testing.T) {
	for _, name := range []string{"plan", "report"} {
		s, err := Compiled(name)
		if err != nil {
			t.Fatal(err)
		}
		for member, of := range s.Properties {
			if len(of.Types) == 1 && of.Types[0] == "array" && !elementwise(of) {
				t.Errorf("%s: %s is not", name, member)
			}
		}
	}
}

func TestValidateTextIsBounded(t *testing.T) {
	blanks := io.LimitReader(endless(" "), maxElement+1)
	text := io.MultiReader(strings.NewReader(`{"format":"privsync/plan/v1","changes":[`), blanks)
	if err := ValidateText("plan", text); !errors.Is(err, errBudget) {
		t.Errorf("an endless element: %v", err)
	}
	text = io.MultiReader(strings.NewReader(`{"format":"privsync/plan/v1","actor":[`), io.LimitReader(endless("[],"), 3*maxElementValues), strings.NewReader("0]}"))
	if err := ValidateText("plan", text); err == nil || !strings.Contains(err.Error(), "values") {
		t.Errorf("too many values: %v", err)
	}
	for _, text := range []string{"", "{", `{"changes":[`, `{"changes":[{}`, `[]`, `7`, `{"changes":{}}`, `{"unknown":1}`} {
		if err := ValidateText("plan", strings.NewReader(text)); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

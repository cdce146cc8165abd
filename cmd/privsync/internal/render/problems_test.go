package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"privsync/policy"
)

func sampleProblems() policy.Problems {
	return policy.Problems{
		{Pos: policy.Position{File: "./policies/a,b:c.yaml", Line: 12, Column: 7}, Message: "unknown privilege 100%", Hint: `did you mean "Monitor Jobs"?`},
		{Pos: policy.Position{File: "missing.yaml"}, Message: "no such file"},
		{Message: "::error::x\n::error::y\r\x1b[2J\u202e\U000e0041"},
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name   string
		render func(b *bytes.Buffer, ps policy.Problems) error
		want   string
		empty  string
	}{
		{"text", func(b *bytes.Buffer, ps policy.Problems) error { return ProblemsText(b, ps, Options{}) },
			"./policies/a,b:c.yaml:12:7: unknown privilege 100%; did you mean \"Monitor Jobs\"?\n" +
				"missing.yaml: no such file\n" +
				`:\x3aerror::x\n:\x3aerror::y\r\x1b[2J\u202e\U000e0041` + "\n", ""},
		{"color", func(b *bytes.Buffer, ps policy.Problems) error { return ProblemsText(b, ps, Options{Color: true}) },
			"\x1b[1m./policies/a,b:c.yaml:12:7:\x1b[0m unknown privilege 100%; did you mean \"Monitor Jobs\"?\n" +
				"\x1b[1mmissing.yaml:\x1b[0m no such file\n" +
				`:\x3aerror::x\n:\x3aerror::y\r\x1b[2J\u202e\U000e0041` + "\n", ""},
		{"github", func(b *bytes.Buffer, ps policy.Problems) error { return GitHub(b, ps, nil, filepath.Clean) },
			"::error file=policies/a%2Cb%3Ac.yaml,line=12,col=7,title=privsync::unknown privilege 100%25 (did you mean \"Monitor Jobs\"?)\n" +
				"::error file=missing.yaml,title=privsync::no such file\n" +
				`::error title=privsync:::\x3aerror::x\n:\x3aerror::y\r\x1b[2J\u202e\U000e0041` + "\n", ""},
		{"json", func(b *bytes.Buffer, ps policy.Problems) error { return ProblemsJSON(b, ps, nil) },
			"{\n  \"valid\": false,\n  \"problems\": [\n    {\n      \"file\": \"./policies/a,b:c.yaml\",\n      \"line\": 12,\n      \"column\": 7,\n      \"message\": \"unknown privilege 100%\",\n      \"hint\": \"did you mean \\\"Monitor Jobs\\\"?\"\n    },\n    {\n      \"file\": \"missing.yaml\",\n      \"line\": 0,\n      \"column\": 0,\n      \"message\": \"no such file\"\n    },\n" +
				"    {\n      \"file\": \"\",\n      \"line\": 0,\n      \"column\": 0,\n      \"message\": \"::error::x\\n::error::y\\r\\u001b[2J\\u202e\\udb40\\udc41\"\n    }\n  ]\n}\n",
			"{\n  \"valid\": true,\n  \"problems\": []\n}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := c.render(&b, sampleProblems()); err != nil || b.String() != c.want {
				t.Errorf("got %q, %v\nwant %q", b.String(), err, c.want)
			}
			b.Reset()
			if err := c.render(&b, nil); err != nil || b.String() != c.empty {
				t.Errorf("no problems: got %q, %v, want %q", b.String(), err, c.empty)
			}
		})
	}
}

func TestProblemsJSONLosesNothing(t *testing.T) {
	var b bytes.Buffer
	if err := ProblemsJSON(&b, sampleProblems(), nil); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsFunc(b.String(), func(r rune) bool { return r != '\n' && promised(r) }) {
		t.Errorf("raw control characters in %q", b.String())
	}
	var doc struct{ Problems []struct{ Message string } }
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil || doc.Problems[2].Message != sampleProblems()[2].Message {
		t.Errorf("read back %+v, %v", doc, err)
	}
}

func TestProblemsReturnTheWritersError(t *testing.T) {
	for name, err := range map[string]error{
		"text":   ProblemsText(brokenWriter{}, sampleProblems(), Options{}),
		"github": GitHub(brokenWriter{}, sampleProblems(), nil, filepath.Clean),
		"json":   ProblemsJSON(brokenWriter{}, sampleProblems(), nil),
	} {
		if !errors.Is(err, errBroken) {
			t.Errorf("%s: got %v, want %v", name, err, errBroken)
		}
	}
}

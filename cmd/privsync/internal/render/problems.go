package render

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"privsync/clean"
	"privsync/document"
	"privsync/policy"
)

// ProblemsText writes one line per problem, file:line:column: message; hint. It
// writes nothing for no problems. The error is the writer's.
func ProblemsText(w io.Writer, ps policy.Problems, o Options) error {
	return problemsText(w, "", ps, o)
}

// WarningsText is [ProblemsText] for what does not make a policy invalid: each line
// begins with "warning: ".
func WarningsText(w io.Writer, ps policy.Problems, o Options) error {
	return problemsText(w, "warning: ", ps, o)
}

func problemsText(w io.Writer, prefix string, ps policy.Problems, o Options) error {
	b := bufio.NewWriter(w)
	t := &textWriter{w: b, o: o}
	for _, p := range ps {
		where := place(&p.Pos)
		if where != "" {
			where = t.paint(bold, where+":") + " "
		}
		b.WriteString(prefix + where + Clean(p.Message) + when(p.Hint != "", "; %s", Clean(p.Hint)) + "\n")
	}
	return b.Flush()
}

// ProblemsJSON writes the problems for a machine:
//
//	{"valid": false, "problems": [{"file": "…", "line": 1, "column": 2, "message": "…", "hint": "…"}]}
//
// Where there are warnings a member warnings holds them in the same form.
// Strings keep what they hold; characters that [Clean] would change are written
// as JSON escapes, so that the output can be shown raw. Bytes that are not
// UTF-8 become U+FFFD. The error is the writer's.
func ProblemsJSON(w io.Writer, ps, warnings policy.Problems) error {
	type problem struct {
		File    string `json:"file"`
		Line    int    `json:"line"`
		Column  int    `json:"column"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
	}
	doc := struct {
		Valid    bool      `json:"valid"`
		Problems []problem `json:"problems"`
		Warnings []problem `json:"warnings,omitempty"`
	}{Valid: len(ps) == 0, Problems: make([]problem, 0, len(ps))}
	for _, p := range ps {
		doc.Problems = append(doc.Problems, problem{p.Pos.File, p.Pos.Line, p.Pos.Column, p.Message, p.Hint})
	}
	for _, p := range warnings {
		doc.Warnings = append(doc.Warnings, problem{p.Pos.File, p.Pos.Line, p.Pos.Column, p.Message, p.Hint})
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("problems: %w", err)
	}
	_, err = io.WriteString(w, escapeJSON(string(data))+"\n")
	return err
}

// escapeJSON writes the characters of a JSON text that Clean would change as
// \u escapes. They can only stand inside its strings; its own line ends stay, and
// so do colons in a row: no line of JSON begins with a string's text.
func escapeJSON(s string) string {
	var b []byte
	for i, r := range s {
		if r == '#' && i > 0 && s[i-1] == '#' || r == ':' && clean.SectionMark(s[:i]) || r != '\n' && clean.Unsafe(r) {
			b = document.AppendEscape(b, r)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

package render_test

import (
	"encoding/csv"
	"errors"
	"slices"
	"strings"
	"testing"

	"privsync/cmd/privsync/internal/render"
)

func TestCell(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"Demo User":                 "Demo User",
		"CONTOSO\\demo":             "CONTOSO\\demo",
		"a=b, c-d, e@f":             "a=b, c-d, e@f",
		"=1+1":                      "'=1+1",
		"+1":                        "'+1",
		"-2":                        "'-2",
		"@SUM(A1)":                  "'@SUM(A1)",
		"  =1":                      "  '=1",
		"\u00a0=1":                  "\u00a0'=1",
		"＝1":                        "'＝1",
		"－1":                        "'－1",
		"\t=1":                      `\t=1`,
		"\r=1":                      `\r=1`,
		"x\n=1":                     `x\n=1`,
		"x;=cmd|' /C calc'!A0; -1;": "x;'=cmd|' /C calc'!A0; '-1;",
		"\xff":                      `\xff`,
		"\u202e=1":                  `\u202e=1`,
		"'=1":                       "'=1",
	} {
		got := render.Cell(in)
		if got != want {
			t.Errorf("Cell(%q) = %q, want %q", in, got, want)
		}
		if again := render.Cell(got); again != got {
			t.Errorf("Cell(%q) = %q: not the same again", got, again)
		}
	}
}

func TestCSV(t *testing.T) {
	rows := [][]string{{"name", "note"}, {`say "no"`, "a,b"}, {"=1", "x\ny"}}
	var b strings.Builder
	if err := render.CSV(&b, func(row func(...string)) {
		for _, cells := range rows {
			row(cells...)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if want := "name,note\n\"say \"\"no\"\"\",\"a,b\"\n'=1,x\\ny\n"; b.String() != want {
		t.Errorf("CSV = %q, want %q", b.String(), want)
	}
	got, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if want := [][]string{{"name", "note"}, {`say "no"`, "a,b"}, {"'=1", `x\ny`}}; err != nil || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("read again: %q, %v, want %q", got, err, want)
	}
}

type full struct{}

var errFull = errors.New("no space left on device")

func (full) Write([]byte) (int, error) { return 0, errFull }

// A disk that is full is told.
func TestCSVFull(t *testing.T) {
	if err := render.CSV(full{}, func(row func(...string)) { row("name") }); !errors.Is(err, errFull) {
		t.Errorf("CSV to a full disk = %v, want %v", err, errFull)
	}
}

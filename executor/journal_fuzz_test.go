package executor

import (
	"strings"
	"testing"
)

func FuzzParseJournal(f *testing.F) {
	f.Add("")
	f.Add("{}\n")
	f.Add(`{"format":"privsync/journal/v1"}` + "\n" + `{"type":"intent"}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		content, err := parseJournal(strings.NewReader(text), "journal", func(string) bool { return true })
		if err == nil && content == nil {
			t.Error("neither a journal nor an error")
		}
	})
}

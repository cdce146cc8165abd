package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"privsync/mstrapi/mstrtest"
)

// TestPaddedDocuments: blanks do not take a document out of the reach of its schema.
func TestPaddedDocuments(t *testing.T) {
	p := newProgram(t, mstrtest.Options{})
	if code, _, stderr := p.run("plan", "-f", "policy.yaml", "--out", "plan.json"); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	data, err := os.ReadFile(p.dir + "/plan.json")
	if err != nil {
		t.Fatal(err)
	}
	c := &compact{}
	padded := append([]byte("{"+strings.Repeat(" \n", maxChecked)), data[1:]...)
	if _, err := io.Copy(c, bytes.NewReader(padded)); err != nil || c.over {
		t.Fatalf("a padded document is too large to be checked (%v)", err)
	}
	if err := checkSchema("plan", c); err != nil {
		t.Errorf("checkSchema of a padded plan = %v", err)
	}
	wrong := &compact{}
	_, _ = wrong.Write(bytes.Replace(padded, []byte(`"scope"`), []byte(`"scpoe"`), 1))
	if err := checkSchema("plan", wrong); err == nil || errors.Is(err, errNotADocument) {
		t.Errorf("checkSchema of a padded plan with a mistake = %v", err)
	}
	text := &compact{}
	_, _ = text.Write([]byte(`{ "a \" b" : "c \\" , "d": 1 }`))
	if got := string(text.text); got != `{"a \" b":"c \\","d":1}` {
		t.Errorf("compact = %s", got)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"privsync/document"
)

// resealFile does what a forger does: the digest fits the document again.
func resealFile(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	text, err := os.ReadFile(path)
	ts.Check(err)
	var doc struct {
		Digest string `json:"digest"`
	}
	ts.Check(json.Unmarshal(text, &doc))
	digest, err := document.ReadPart(bytes.NewReader(text), 1<<40, new(struct{}))
	ts.Check(err)
	ts.Check(os.WriteFile(path, bytes.Replace(text, []byte(doc.Digest), []byte(digest), 1), 0o600))
}

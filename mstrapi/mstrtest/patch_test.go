package mstrtest

import (
	"encoding/json"
	"strings"
	"testing"

	"privsync/mstrapi"
)

// FuzzPatchBody asserts that a body is either refused as a whole or is JSON,
// whose changes name privileges that exist and that stand in it.
func FuzzPatchBody(f *testing.F) {
	f.Add(testdata(f, "patch.json"))
	f.Add(testdata(f, "patch-trailing-comma.txt"))
	f.Add(`{"operationList":[{"op":"add","path":"/privileges","value":["2",54,null]}]}`)
	f.Add(`{"operationList":[{"op":"add","path":"/changeJournal/userComments","value":"x"}]}`)
	f.Add(`{"operationList":null}`)
	s := NewServer(example(f), Options{IServerVersion: "11.5.1100"})
	f.Fuzz(func(t *testing.T, body string) {
		changes, comment, problem := s.parse(&call{body: []byte(body)}, mstrapi.Group)
		if problem != "" {
			if changes != nil || comment != "" {
				t.Fatalf("parse(%q) = %v, %q and the problem %s", body, changes, comment, problem)
			}
			return
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("parse(%q) took what is not JSON", body)
		}
		for _, c := range changes {
			for _, i := range c.values {
				id := s.st.catalogue[i].ID.String()
				if !strings.Contains(body, id) && !strings.Contains(body, `\u`) {
					t.Fatalf("parse(%q) found privilege %s", body, id)
				}
			}
		}
	})
}

package examples_test

import (
	"encoding/json"
	"strings"
	"testing"

	"privsync/document"
	"privsync/planner"
)

// generous returns the policy with a grant that nobody reviewed.
func generous(t *testing.T, policy string) string {
	t.Helper()
	const reviewed = "privileges: [Use Command Manager]"
	if !strings.Contains(policy, reviewed) {
		t.Fatalf("the policy lacks %q", reviewed)
	}
	return strings.Replace(policy, reviewed, "privileges: [Use Command Manager, Use Object Manager]", 1)
}

// forge puts in the place of the reviewed plan another one that says of itself that
// it was made from the reviewed one's policy, with a digest that fits.
func forge(t *testing.T, reviewed, other string) {
	t.Helper()
	var plans [2]struct {
		Policy planner.PolicyRef `json:"policy"`
		Digest string            `json:"digest"`
	}
	text := read(t, other)
	for i, file := range []string{read(t, reviewed), text} {
		if err := json.Unmarshal([]byte(file), &plans[i]); err != nil {
			t.Fatal(err)
		}
	}
	text = strings.ReplaceAll(text, plans[1].Policy.Digest, plans[0].Policy.Digest)
	for i, f := range plans[1].Policy.Files {
		text = strings.ReplaceAll(text, f.Digest, plans[0].Policy.Files[i].Digest)
	}
	digest, err := document.ReadPart(strings.NewReader(text), 1<<40, new(struct{}))
	if err != nil {
		t.Fatal(err)
	}
	write(t, reviewed, strings.Replace(text, plans[1].Digest, digest, 1))
}

package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"privsync/executor"
	"privsync/mstrapi/mstrtest"
)

// On a terminal the plan is shown and asked about, and so is the passphrase of a key.
func TestApproveAsksOnATerminal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		phrase, answer string
		code           int
	}{{"open sesame", "yes", executor.ExitOK}, {"open sesame", "y", executor.ExitError}, {"wrong", "", executor.ExitError}} {
		t.Run(tt.phrase+" "+tt.answer, func(t *testing.T) {
			t.Parallel()
			p, s := newProgram(t, mstrtest.Options{}), newScreen(t)
			_, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("open sesame"))
			if err != nil {
				t.Fatal(err)
			}
			p.file("key", string(pem.EncodeToMemory(block)))
			if code, _, stderr := p.run("plan", "-f", "policy.yaml", "--out", "plan.json", "--maker", "mallory"); code != executor.ExitOK {
				t.Fatal(stderr)
			}
			sent := p.server.Requests()
			cmd := s.start(p, "approve", "plan.json", "--key", "key", "--as", "alice")
			s.await("Passphrase of key:")
			s.typeLine(tt.phrase)
			if tt.answer != "" {
				s.await("Only 'yes' is accepted:")
				if !strings.Contains(s.content(), "Plan of policy") || !strings.Contains(s.content(), "Sign this plan for http://127.0.0.1:") {
					t.Errorf("the plan or its server is not shown:\n%s", s.content())
				}
				s.typeLine(tt.answer)
			}
			if code := p.wait(cmd); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s", code, tt.code, s.content())
			}
			if strings.Contains(s.content(), "sesame") {
				t.Errorf("the passphrase was echoed:\n%s", s.content())
			}
			_, err = os.Stat(filepath.Join(p.dir, "plan.json.alice.sig"))
			if signed := err == nil; signed != (tt.code == executor.ExitOK) || err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("signed: %v", err)
			}
			if n := p.server.Requests(); n != sent {
				t.Errorf("%d requests were sent", n-sent)
			}
		})
	}
}

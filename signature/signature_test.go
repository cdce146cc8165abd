package signature

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/crypto/ssh"
)

var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func edKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signerOf(t, private)
}

func signerOf(t *testing.T, private any) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tokenSigner signs as a security key does: over a hash of the application, flags, a
// counter, and a hash of the message.
type tokenSigner struct {
	private ed25519.PrivateKey
	public  ssh.PublicKey
	flags   byte
}

func newToken(t *testing.T, flags byte) *tokenSigner {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wire := ssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, public, "ssh:"})
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		t.Fatal(err)
	}
	return &tokenSigner{private, key, flags}
}

func (s *tokenSigner) PublicKey() ssh.PublicKey { return s.public }

func (s *tokenSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	application, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	rest := []byte{s.flags, 0, 0, 0, 7}
	blob := bytes.Join([][]byte{application[:], rest, message[:]}, nil)
	return &ssh.Signature{Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(s.private, blob), Rest: rest}, nil
}

func line(principals, options string, s ssh.Signer) string {
	return principals + " " + options + " " + string(ssh.MarshalAuthorizedKey(s.PublicKey()))
}

func parse(t *testing.T, lines ...string) *Signers {
	t.Helper()
	s, err := ParseSigners("signers", strings.NewReader(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t *testing.T, s ssh.Signer, message, namespace string) []byte {
	t.Helper()
	text, err := Sign(strings.NewReader(message), s, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestOpenSSHTakesWhatWeSign lets ssh-keygen judge a signature of every kind of key.
func TestOpenSSHTakesWhatWeSign(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("there is no ssh-keygen")
	}
	ec := func(c elliptic.Curve) ssh.Signer {
		k, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return signerOf(t, k)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]ssh.Signer{
		"ed25519": edKey(t), "p256": ec(elliptic.P256()), "p384": ec(elliptic.P384()), "p521": ec(elliptic.P521()),
		"rsa": signerOf(t, rsaKey), "sk": newToken(t, 1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			text := sign(t, s, "the plan\n", Plan)
			list := line("alice@example.com", `namespaces="privsync-*"`, s)
			for file, content := range map[string][]byte{"signers": []byte(list), "sig": text} {
				if err := os.WriteFile(filepath.Join(dir, file), content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), "ssh-keygen", "-Y", "verify", "-f", filepath.Join(dir, "signers"), "-I", "alice@example.com", "-n", Plan, "-s", filepath.Join(dir, "sig"))
			cmd.Stdin = strings.NewReader("the plan\n")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("ssh-keygen: %v: %s", err, out)
			}
			good, err := parse(t, list).Verify(strings.NewReader("the plan\n"), text, Plan, now)
			if err != nil || good.Name != "alice@example.com" || good.Key != ssh.FingerprintSHA256(s.PublicKey()) {
				t.Errorf("Verify = %+v, %v", good, err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	alice, bob := edKey(t), edKey(t)
	untouched := newToken(t, 0)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, alice, "plan", Plan)
	damaged := bytes.Replace(good, []byte("SIGNATURE-----\nU1NI"), []byte("SIGNATURE-----\nU1NJ"), 1)
	for _, c := range []struct {
		name, lines, message string
		text                 []byte
		want                 string
	}{
		{"another file", line("alice", "", alice), "plan 2", good, "not over this file"},
		{"another namespace", line("alice", "", alice), "plan", sign(t, alice, "plan", Report), `for the namespace "privsync-report"`},
		{"an unknown key", line("bob", "", bob), "plan", good, "signers does not name it"},
		{"an empty list", "# nobody", "plan", good, "signers does not name it"},
		{"expired", line("alice", `valid-before="20260701Z"`, alice), "plan", good, "signers:1: expired at 2026-07-01"},
		{"not yet valid", line("alice", `valid-after="202607011201Z"`, alice), "plan", good, "signers:1: valid only after 2026-07-01T12:01"},
		{"not for this", line("alice", `namespaces="git,!privsync-plan,*"`, alice), "plan", good, "does not allow it the namespace"},
		{"an authority", line("alice", "cert-authority", alice), "plan", good, "authority of certificates"},
		{"a pattern", line("*@example.com", "", alice), "plan", good, "nobody in particular"},
		{"a token that nobody touched", line("alice", "", untouched), "plan", sign(t, untouched, "plan", Plan), "not over this file"},
		{"damaged", line("alice", "", alice), "plan", damaged, "no SSH signature"},
		{"nothing", line("alice", "", alice), "plan", nil, "no SSH signature"},
		{"too large", line("alice", "", alice), "plan", make([]byte, MaxSize+1), "too large"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse(t, c.lines).Verify(strings.NewReader(c.message), c.text, Plan, now)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Verify = %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Sign(strings.NewReader("plan"), signerOf(t, short), Plan); err == nil {
		t.Error("a short RSA key signs")
	}
	broken := errors.New("the disk is broken")
	if _, err := parse(t, line("alice", "", alice)).Verify(iotest.ErrReader(broken), good, Plan, now); !errors.Is(err, ErrMessage) || !errors.Is(err, broken) {
		t.Errorf("Verify of what cannot be read = %v", err)
	}
}

// A key may stand in several lines: one that allows it is enough.
func TestVerifyTakesAnyLine(t *testing.T) {
	alice := edKey(t)
	s := parse(t, line("old@example.com", `valid-before="20200101"`, alice), "", "# since then", line(`"alice@example.com,a.smith"`, `valid-after="20200101",namespaces="privsync-plan"`, alice))
	good, err := s.Verify(strings.NewReader("plan"), sign(t, alice, "plan", Plan), Plan, now)
	if err != nil || good.Name != "alice@example.com,a.smith" {
		t.Errorf("Verify = %+v, %v", good, err)
	}
}

func TestPersons(t *testing.T) {
	a, b, c, d := edKey(t), edKey(t), edKey(t), edKey(t)
	person := func(s *Signers, k ssh.Signer) string {
		t.Helper()
		good, err := s.Verify(strings.NewReader("plan"), sign(t, k, "plan", Plan), Plan, now)
		if err != nil {
			t.Fatal(err)
		}
		return good.Person
	}
	s := parse(t, line("alice", "", a), line("ALICE,al", "", b), line("dave@example.com", "", d), line("al", `valid-before="20200101"`, c), line("carol", "", c))
	if person(s, a) != person(s, b) || person(s, b) != person(s, c) {
		t.Error("names and keys in common, also of lines that are not valid any more, do not make one person")
	}
	if person(s, a) == person(s, d) {
		t.Error("two people are one")
	}
	for names, want := range map[string]bool{"Dave@Example.com": true, "dave": true, "dave@example.org": false, "dav": false, "carol": false} {
		is := false
		for _, p := range s.People([]string{names}) {
			is = is || p == person(s, d)
		}
		if is != want {
			t.Errorf("%s is dave: %v, want %v", names, is, want)
		}
	}
}

func TestParseSignersNamesEveryProblem(t *testing.T) {
	key := string(ssh.MarshalAuthorizedKey(edKey(t).PublicKey()))
	text := "alice\nbob ssh-ed25519 AAAA\n\"carol " + key + "dave verify-required " + key + "erin valid-before=\"2026\" " + key +
		"frank valid-after=\"20260102\",valid-before=\"20260101\" " + key + "grace namespaces=\"a\",namespaces=\"b\" " + key + "good " + key
	_, err := ParseSigners("signers", strings.NewReader(text))
	if err == nil {
		t.Fatal("no error")
	}
	for n := 1; n <= 7; n++ {
		if !strings.Contains(err.Error(), fmt.Sprintf("signers:%d: ", n)) {
			t.Errorf("line %d is not named in %v", n, err)
		}
	}
	if strings.Contains(err.Error(), "signers:8") {
		t.Errorf("a good line is named in %v", err)
	}
	if _, err := ParseSigners("signers", io.LimitReader(zeros{}, maxSigners+10)); err == nil {
		t.Error("a file without an end is read")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"privsync-plan", "privsync-plan", true}, {"privsync-*", "privsync-plan", true}, {"*", "", true}, {"?", "", false},
		{"*plan", "privsync-plan", true}, {"p*-p*n", "privsync-plan", true}, {"privsync-pla?", "privsync-plan", true},
		{"privsync", "privsync-plan", false}, {"*report", "privsync-plan", false}, {"", "a", false},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("match(%q, %q) = %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

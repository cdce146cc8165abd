package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whoever has the public key can check the sums, and that nobody changed them.
func TestSignedSums(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("no ssh-keygen on this machine")
	}
	dir := t.TempDir()
	key, sums, allowed := filepath.Join(dir, "key"), filepath.Join(dir, "SHA256SUMS"), filepath.Join(dir, "allowed")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{sums: "00  a\n", allowed: "release " + string(public), sums + ".sig": "an older one"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := sign(key, sums); err != nil {
		t.Fatal(err)
	}
	verify := func(text string) error {
		cmd := exec.Command("ssh-keygen", "-Y", "verify", "-f", allowed, "-I", "release", "-n", "file", "-s", sums+".sig")
		cmd.Stdin = strings.NewReader(text)
		return cmd.Run()
	}
	if err := verify("00  a\n"); err != nil {
		t.Errorf("the signature does not hold: %v", err)
	}
	if err := verify("01  a\n"); err == nil {
		t.Error("the signature holds for other sums")
	}
	if err := sign(filepath.Join(dir, "nowhere"), sums); err == nil {
		t.Error("signed without a key")
	}
}

// The tool's modules come from the network, so this runs when a release is made:
// PRIVSYNC_RELEASE=1.
func TestBillOfMaterials(t *testing.T) {
	if os.Getenv("PRIVSYNC_RELEASE") == "" {
		t.Skip("PRIVSYNC_RELEASE is not set")
	}
	t.Chdir("../../../..")
	binary := filepath.Join(t.TempDir(), "privsync")
	if err := build(platform{"linux", "amd64"}, "v1.0.0", binary); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 9, 15, 0, 0, 0, 0, time.UTC)
	first, err := billOfMaterials(binary, "v1.0.0", at)
	if err != nil {
		t.Fatal(err)
	}
	second, err := billOfMaterials(binary, "v1.0.0", at)
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("the same binary gives two bills: %v", err)
	}
	var bill struct {
		BOMFormat  string
		Metadata   struct{ Component struct{ Version string } }
		Components []struct{ Name, Version string }
	}
	if err := json.Unmarshal(first, &bill); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{}
	for _, c := range bill.Components {
		names[c.Name] = c.Version
	}
	if bill.BOMFormat != "CycloneDX" || bill.Metadata.Component.Version != "v1.0.0" || names["github.com/spf13/cobra"] == "" || names["std"] == "" {
		t.Errorf("the bill names %q, %v", bill.Metadata.Component.Version, names)
	}
}

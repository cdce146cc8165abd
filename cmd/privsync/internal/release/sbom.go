package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// billOfMaterials returns what the binary is made of, in CycloneDX: the modules and
// the version of Go that its build information names. What differs from machine to
// machine (a serial number, the clock, checksums of the tool) is taken out, so that
// the same binary gives the same bytes.
func billOfMaterials(binary, version string, at time.Time) ([]byte, error) {
	out := binary + ".cdx.json"
	defer os.Remove(out)
	var said bytes.Buffer
	cmd := exec.Command("go", "tool", "-modfile=tools.mod", "cyclonedx-gomod", "bin", "-json", "-std", "-noserial", "-version", version, "-output", out, binary)
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("bill of materials: %w\n%s", err, said.Bytes())
	}
	data, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	var bill map[string]any
	if err := json.Unmarshal(data, &bill); err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	metadata, _ := bill["metadata"].(map[string]any)
	if components, _ := bill["components"].([]any); metadata == nil || len(components) == 0 {
		return nil, errors.New("bill of materials: it names no components")
	}
	metadata["timestamp"] = at.Format(time.RFC3339)
	delete(metadata, "tools")
	delete(bill, "serialNumber")
	data, err = json.MarshalIndent(bill, "", "  ")
	if err != nil {
		return nil, err
	}
	if dir := filepath.Dir(binary); bytes.Contains(data, []byte(dir)) {
		return nil, fmt.Errorf("bill of materials: it names the folder %s", dir)
	}
	return append(data, '\n'), nil
}

// sign writes the SSH signature of a file beside it, as FILE.sig. Whoever has the
// public key checks it with ssh-keygen -Y verify -n file.
func sign(key, file string) error {
	// ssh-keygen asks before it writes over a signature.
	if err := os.Remove(file + ".sig"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	cmd := exec.Command("ssh-keygen", "-Y", "sign", "-f", key, "-n", "file", file)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr // it may ask for a passphrase
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("sign %s: %w", filepath.Base(file), err)
	}
	return nil
}

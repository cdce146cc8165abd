// Package signature signs files and judges signatures in the format of
// "ssh-keygen -Y sign", and reads the list of those who may sign, the file
// allowed_signers of OpenSSH. [OpenKey] finds the key, in a file or in an agent;
// [Sign] signs; [Signers.Verify] says who signed. It knows nothing of what is signed,
// and takes no certificates: a person is known by a key.
package signature

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"privsync/clean"
)

// Namespaces keep a signature of one kind from being taken for one of another.
const (
	Plan   = "privsync-plan"   // the approval of a plan
	Report = "privsync-report" // a report, or the head of a chain of reports
)

// MaxSize bounds a signature in bytes: those of the largest keys are a tenth of it.
const MaxSize = 64 << 10

// minRSABits is the least length of an RSA key that counts.
const minRSABits = 2048

// Sign returns the signature of signer over message, as ssh-keygen writes it.
func Sign(message io.Reader, signer ssh.Signer, namespace string) ([]byte, error) {
	if err := usable(signer.PublicKey()); err != nil {
		return nil, err
	}
	s, err := sshsig.Sign(message, signer, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return sshsig.Armor(s), nil
}

// usable returns why a key is not taken: certificates, keys that are too short, and
// kinds that OpenSSH has given up.
func usable(key ssh.PublicKey) error {
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256:
		return nil
	case ssh.KeyAlgoRSA:
		if c, ok := key.(ssh.CryptoPublicKey); ok {
			if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= minRSABits {
				return nil
			}
		}
		return fmt.Errorf("the RSA key is shorter than %d bits", minRSABits)
	}
	return fmt.Errorf("a key of the kind %s is not taken: use ed25519, ECDSA, a security key or RSA", clean.Quote(key.Type()))
}

// Good is a signature that holds.
type Good struct {
	// Person is equal for all keys and all names that belong to one person.
	Person string
	Name   string // the principals of the line that names the key, as they stand there
	Key    string // fingerprint, SHA256:…
}

// ErrMessage is matched by errors that say that the message could not be read, as
// opposed to a signature that does not hold.
var ErrMessage = errors.New("what is signed cannot be read")

package signature

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// MaxKey bounds a key file in bytes.
const MaxKey = 64 << 10

// ErrPassphrase is matched by errors that say that a key needs a passphrase and that
// nobody gave one.
var ErrPassphrase = errors.New("the key is encrypted")

// ErrAgent is matched by errors that say that the key can be used only through an
// agent, and that no agent has it.
var ErrAgent = errors.New("no agent has the key")

// Key is a key that signs. Close it when done.
type Key struct {
	ssh.Signer
	agent net.Conn // nil: the key itself is at hand
}

// Fingerprint returns the public key's, SHA256:….
func (k *Key) Fingerprint() string { return ssh.FingerprintSHA256(k.PublicKey()) }

// Close gives up the connection to the agent, if there is one.
func (k *Key) Close() error {
	if k.agent == nil {
		return nil
	}
	return k.agent.Close()
}

// Source says where keys are found besides their files.
type Source struct {
	Agent      string                 // socket of an agent; empty for none
	Passphrase func() ([]byte, error) // asks for that of an encrypted key; nil: nobody can be asked
}

// OpenKey makes a key of the content of a key file: a private key, or a public one,
// whose private half is in the agent. Security keys, and encrypted keys if the agent
// has them, are used through the agent too. The errors match [ErrPassphrase] and
// [ErrAgent].
func OpenKey(content []byte, from Source) (*Key, error) {
	signer, err := ssh.ParsePrivateKey(content)
	var encrypted *ssh.PassphraseMissingError
	switch {
	case err == nil:
		return &Key{Signer: signer}, usable(signer.PublicKey())
	case errors.As(err, &encrypted):
		if public := encrypted.PublicKey; public != nil {
			if k, err := fromAgent(public, from.Agent); err == nil {
				return k, nil
			}
		}
		if from.Passphrase == nil {
			return nil, ErrPassphrase
		}
		phrase, err := from.Passphrase()
		if err != nil {
			return nil, err
		}
		if signer, err = ssh.ParsePrivateKeyWithPassphrase(content, phrase); err != nil {
			return nil, errors.New("the passphrase does not open the key")
		}
		return &Key{Signer: signer}, usable(signer.PublicKey())
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(content)
	if err != nil {
		if public = publicHalf(content); public == nil {
			return nil, errors.New("it is no private or public key as OpenSSH writes them")
		}
	}
	if err := usable(public); err != nil {
		return nil, err
	}
	return fromAgent(public, from.Agent)
}

// publicHalf returns the public key that stands readably in a private key of OpenSSH,
// or nil. Of a security key the rest is only a handle.
func publicHalf(content []byte) ssh.PublicKey {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "OPENSSH PRIVATE KEY" {
		return nil
	}
	body, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	if !ok {
		return nil
	}
	var outer struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public               []byte
		Rest                 []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(body, &outer) != nil || outer.Keys != 1 {
		return nil
	}
	key, err := ssh.ParsePublicKey(outer.Public)
	if err != nil {
		return nil
	}
	return key
}

func fromAgent(public ssh.PublicKey, socket string) (*Key, error) {
	print := ssh.FingerprintSHA256(public)
	if socket == "" {
		return nil, fmt.Errorf("%w %s: SSH_AUTH_SOCK names none", ErrAgent, print)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrAgent, print, err)
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w %s: %w", ErrAgent, print, err)
	}
	wire := public.Marshal()
	for _, s := range signers {
		if bytes.Equal(s.PublicKey().Marshal(), wire) {
			return &Key{Signer: s, agent: conn}, nil
		}
	}
	_ = conn.Close()
	return nil, fmt.Errorf("%w %s", ErrAgent, print)
}

// Check returns nil if text is a signature of k over message for namespace.
func (k *Key) Check(message io.Reader, text []byte, namespace string) error {
	sig, err := sshsig.Unarmor(text)
	if err != nil {
		return errors.New("it is no SSH signature")
	}
	if err := sshsig.Verify(message, sig, k.PublicKey(), sig.HashAlgorithm, namespace); err != nil {
		return fmt.Errorf("key %s: %w", k.Fingerprint(), err)
	}
	return nil
}

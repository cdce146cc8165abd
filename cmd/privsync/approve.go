package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os/user"
	"regexp"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/document"
	"privsync/executor"
	"privsync/input"
	"privsync/planner"
	"privsync/signature"
)

// signerName is what the name of a signature's file may hold.
var signerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$`)

func newApprove(a *app) *cobra.Command {
	var (
		key string
		as  string
		yes bool
	)
	cmd := &cobra.Command{
		Use:   "approve PLAN.json --key FILE",
		Short: "Sign a saved plan as its reviewer",
		Long: `Show a saved plan, ask, and write a detached SSH signature over exactly its bytes
beside it, as PLAN.json.NAME.sig: what "ssh-keygen -Y sign -n privsync-plan -f KEY
PLAN.json" writes as PLAN.json.sig is as good. Nothing is sent to a server.

The key is a file as ssh-keygen makes it: ed25519, ECDSA, RSA, or a security key. With
the file of the public key, with a security key, and with an encrypted key that is there
already, the agent signs (SSH_AUTH_SOCK).

NAME only names the file. Who approved is decided by the key alone, in the file that
"privsync apply PLAN.json --allowed-signers FILE --approvals N" is given. Whoever made
the plan cannot approve it, and an approval counts for one run.

Exit codes: 0 signed; 1 error; 3 the plan was edited or has expired.`,
		Example: `  privsync approve plan.json --key ~/.ssh/id_ed25519
  privsync approve plan.json --key ~/.ssh/id_ed25519_sk.pub --as alice
  privsync apply plan.json --allowed-signers /etc/privsync/allowed_signers --approvals 2`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case key == "":
				return hinted(errors.New("no key given"), "name the file of your key with --key, for example --key ~/.ssh/id_ed25519")
			case args[0] == "-":
				return hinted(errors.New("a plan from the standard input has no place for a signature beside it"), "name the plan's file")
			case !yes && !a.interactive():
				return hinted(errors.New("approve needs a yes, and there is no terminal to ask on"), "look at the plan with privsync show, then approve it with --yes")
			}
			return a.approve(args[0], key, as, yes)
		},
		ValidArgsFunction: completeJSONFile,
	}
	fs := cmd.Flags()
	fs.StringVar(&key, "key", "", "sign with the key in `FILE`, private or public")
	bindVariable(fs, "key", "PRIVSYNC_APPROVE_KEY")
	fs.StringVar(&as, "as", "", "write PLAN.json.`NAME`.sig (default: your login name on this machine)")
	fs.BoolVarP(&yes, "yes", "y", false, "sign without asking")
	return cmd
}

// approve shows the plan in path, asks, and signs it.
func (a *app) approve(path, keyFile, as string, yes bool) error {
	if as == "" {
		if u, err := user.Current(); err == nil {
			as = u.Username
		}
	}
	if !signerName.MatchString(as) {
		return hinted(fmt.Errorf("%s cannot be part of a file name", clean.Quote(as)), "give --as a name of letters, digits and . _ @ + -")
	}
	plan, sum, err := a.readPlan(path)
	if err != nil {
		return err
	}
	if err := plan.CheckSaved(plan.Environment.URL, a.now(), 0); err != nil {
		return refused(err, newPlanHint)
	}
	signer, err := a.openKey(keyFile)
	if err != nil {
		return err
	}
	defer signer.Close()
	out := path + "." + as + executor.SignatureSuffix
	if err := document.CheckFile(out); err != nil {
		return hinted(err, "approve a copy of the plan in a folder that you can write; the bytes count, not the name")
	}
	guards := planner.Guards(plan, planner.Overrides{})
	before, err := a.showAsked(a.stdout, plan, view{guards: guards})
	if err != nil {
		return err
	}
	if plan.Maker == "" {
		a.say("who made the plan is not known: apply will ask for --maker")
	}
	if !yes {
		if err := a.recap(plan, guards, before); err != nil {
			return err
		}
		if err := a.insist(fmt.Sprintf("Sign this plan for %s with key %s?", plan.Environment.URL, signer.Fingerprint()), "signed", "sign"); err != nil {
			return err
		}
	}
	text, err := await(a, func() (text []byte, err error) {
		err = withSame(path, sum, func(r io.Reader) (err error) {
			text, err = signature.Sign(r, signer, signature.Plan)
			return err
		})
		return text, err
	})
	if errors.Is(err, errPlanChanged) {
		return refused(fmt.Errorf("plan %s: %w: nothing was signed", path, err), "find out who changes it, and look at it again")
	}
	if err != nil {
		return err
	}
	if err := document.WriteFileMode(out, bytes.NewReader(text), 0o644); err != nil {
		return err
	}
	a.say("signed with key %s: %s", signer.Fingerprint(), out)
	return nil
}

// openKey finds the key that a file names.
func (a *app) openKey(path string) (*signature.Key, error) {
	content, err := await(a, func() ([]byte, error) {
		f, err := input.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := a.trusted(executor.CheckTrustedFile(f)); err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(f, signature.MaxKey+1))
		if err == nil && len(text) > signature.MaxKey {
			err = errors.New("too large for a key")
		}
		if err == nil && bytes.Contains(text, []byte("PRIVATE KEY")) {
			a.warnReadable(f)
		}
		return text, err
	})
	if err != nil {
		return nil, hinted(fmt.Errorf("key: %w", err), cmp.Or(hintOf(err), "name the file of your key, as ssh-keygen makes it"))
	}
	from := signature.Source{}
	from.Agent, _ = a.env("SSH_AUTH_SOCK")
	if a.interactive() {
		from.Passphrase = func() ([]byte, error) {
			phrase, err := a.askPassword("Passphrase of " + path + ": ")
			return []byte(phrase), err
		}
	}
	key, err := signature.OpenKey(content, from)
	switch {
	case errors.Is(err, signature.ErrPassphrase):
		return nil, hinted(fmt.Errorf("key %s: %w", path, err), "add it to your agent (ssh-add), or run this on a terminal, which asks for the passphrase")
	case errors.Is(err, signature.ErrAgent):
		return nil, hinted(fmt.Errorf("key %s: %w", path, err), "start an agent and add the key (ssh-add); ssh-keygen -Y sign -n "+signature.Plan+" -f KEY PLAN.json signs a plan as well")
	case err != nil:
		return nil, hinted(fmt.Errorf("key %s: %w", path, err), "name a key that ssh-keygen made: ed25519, ECDSA, RSA, or a security key")
	}
	return key, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/signature"
)

// verifyFlags are the flags of verify-reports.
type verifyFlags struct {
	state  stateFlags
	allow  string
	key    signKeyFlag
	least  count
	expect string
	accept bool
	prune  past
	format choice
}

func newVerifyReports(a *app) *cobra.Command {
	f := verifyFlags{least: count{1, 0, 1_000_000_000}, format: newChoice("text", "json")}
	cmd := &cobra.Command{
		Use:   "verify-reports {DIR | --state URL}",
		Short: "Check that no report in a folder was changed, removed or slipped in",
		Long: `Check the chain of reports in a folder that --report-dir wrote: each report names
the digest of the one before it, and chain.json names the newest. A report that
was edited, renamed, removed or slipped in breaks the chain, and is named. A
folder without reports is broken, too: see --min-reports.

A report after the newest that chain.json names was slipped in, or its run died in
just that moment. The journal of that run in the state folder tells; otherwise look
at the report and take it in with --accept-newer. Until then no run adds to the chain.
In a signed chain the next run with the key that signed such a report takes it in.

Whoever can write to the folder can also rewrite the whole chain, unless it is signed
(apply --sign-key): with --allowed-signers the head of the chain must bear a signature
of somebody in that file, in the namespace privsync-report, and so must every report
after the first that does. That shows a chain that was written anew, cut at its end, or
given another head. Only --expect-digest shows that an older head, signed in its time,
was put back with the reports after it taken away: keep the newest digest, which this
command prints, in another place (a ticket, a log), and ask whether it is still there.

--sign-key signs the head of a chain that is whole: before the first run that signs,
and when the key changes. With --accept-newer and --prune-before it is the key that
signs the head then.

--prune-before removes the reports of runs that began before a date or a time, if
the chain is whole, and writes into chain.json where it begins from then on. The
newest report always stays. Reports that are removed in another way break the chain.

Without DIR the reports in the store that --state or PRIVSYNC_STATE names are checked:
there the rows that close journals say which reports there must be, so that one that
was removed is missed, the newest too.

Exit codes: 0 the chain is whole; 1 it is broken, or cannot be read.`,
		Example: `  privsync verify-reports reports/
  privsync verify-reports reports/ --expect-digest sha256:… --min-reports 30
  privsync verify-reports reports/ --allowed-signers /etc/privsync/allowed_signers
  privsync verify-reports reports/ --prune-before 2026-01-01
  privsync verify-reports reports/ --prune-before 400d
  privsync verify-reports reports/ --format json | jq '.links[] | select(.problem)'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.verifyStore(cmd.Context(), &f)
			}
			return a.verifyReports(cmd.Context(), args[0], &f)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	f.state.register(cmd)
	addFormat(cmd, &f.format)
	fs := cmd.Flags()
	fs.Var(&f.least, "min-reports", "how many reports there must be at least, pruned ones included")
	fs.StringVar(&f.expect, "expect-digest", "", "the chain must hold the report with this `DIGEST`")
	fs.StringVar(&f.allow, "allowed-signers", "", "the chain must be signed by somebody in `FILE`, in the format of OpenSSH's allowed_signers")
	bindVariable(fs, "allowed-signers", "PRIVSYNC_ALLOWED_SIGNERS")
	f.key.register(cmd, "sign the head of the chain, if it is whole, with the SSH key in `FILE`")
	_ = cmd.MarkFlagFilename("allowed-signers")
	fs.BoolVar(&f.accept, "accept-newer", false, "take reports after the newest that chain.json names into the chain")
	fs.Var(&f.prune, "prune-before", "remove the reports of runs that began before this `TIME` (RFC 3339, a date, or an age in days like 400d), but the newest")
	for _, name := range []string{"min-reports", "expect-digest", "prune-before"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
	return cmd
}

// verifyReports checks, shows and, if it is whole, prunes the chain in dir.
func (a *app) verifyReports(ctx context.Context, dir string, f *verifyFlags) error {
	signer, err := f.key.signer(a)
	if err != nil {
		return err
	}
	var signers *signature.Signers
	if f.allow != "" {
		if signers, err = a.readSigners(f.allow); err != nil {
			return err
		}
	}
	if signer == nil && (f.accept || f.prune.given()) {
		if err := executor.CheckSigned(dir, nil); errors.Is(err, executor.ErrUnsigned) {
			return hinted(err, unsignedHint)
		}
	}
	if f.accept {
		taken, err := executor.AcceptNewer(ctx, dir, signer)
		for _, l := range taken {
			a.say("accepted %s (%s)", l.File, l.Digest)
		}
		if errors.Is(err, executor.ErrUnsigned) {
			return hinted(err, unsignedHint)
		}
		if err != nil {
			return hinted(fmt.Errorf("accept newer reports: %w", err), "only reports that are whole and follow each other can be accepted; a damaged chain.json is put back from a copy")
		}
	}
	dead, err := f.state.deadRuns(a, dir)
	if err != nil {
		return err
	}
	verify := func(explained func(string) bool) (*executor.Chain, error) {
		return await(a, func() (*executor.Chain, error) { return executor.VerifyChain(dir, explained) })
	}
	chain, err := verify(func(id string) bool { return dead[id] })
	if err != nil {
		return hinted(err, "name the folder that --report-dir names")
	}
	var by sealedBy
	judge := func() error {
		if signers != nil {
			by = a.checkSignatures(folderFiles(dir), chain, signers)
		}
		return f.judge(chain)
	}
	removed := 0
	end := judge()
	if end == nil && f.prune.given() {
		if removed, err = executor.PruneChain(ctx, dir, f.prune.from(a.now()), signer); err == nil {
			chain, err = verify(nil)
		}
		if errors.Is(err, executor.ErrUnsigned) {
			return hinted(err, unsignedHint)
		}
		if err != nil {
			return hinted(err, `run "privsync recover" if a run died, then prune again`)
		}
		end = judge()
	}
	if end == nil && signer != nil && chain.Digest != "" {
		if err := executor.SignHead(ctx, dir, chain.Digest, signer); err != nil {
			return err
		}
		a.say("signed the head of the chain")
		end = judge()
	}
	return a.showVerified(f, chain, by, removed, end)
}

// showVerified shows a chain that was checked, and returns end.
func (a *app) showVerified(f *verifyFlags, chain *executor.Chain, by sealedBy, removed int, end error) error {
	var err error
	if f.format.value == "json" {
		links := make([]signedLink, len(chain.Links))
		for i, l := range chain.Links {
			links[i] = signedLink{l, by.reports[l.File]}
		}
		err = writeJSON(a.stdout, struct {
			Format     string       `json:"format"`
			Sound      bool         `json:"sound"`
			Digest     string       `json:"digest,omitempty"`     // of the newest report
			Pruned     int          `json:"pruned,omitempty"`     // reports that were removed before the oldest
			Checkpoint string       `json:"checkpoint,omitempty"` // digest of the newest of them
			Removed    int          `json:"removed,omitempty"`    // by this command
			SignedBy   string       `json:"signedBy,omitempty"`   // who signed the head of the chain
			Links      []signedLink `json:"links"`
		}{verifyReportsFormat, end == nil, chain.Digest, chain.Pruned, chain.Checkpoint, removed, by.head, links})
	} else {
		err = a.showChain(chain, by, end == nil, removed)
	}
	if err != nil {
		return err
	}
	return end
}

// deadRuns returns the runs that died before they could name their report in the
// chain in dir. A state folder that is not there, or not to be believed, explains none.
func (s *stateFlags) deadRuns(a *app, dir string) (map[string]bool, error) {
	folder, err := s.find(a)
	if err != nil {
		return nil, nil
	}
	if err := executor.CheckState(folder); err != nil {
		a.log.Warn("the state folder explains nothing", "error", err)
		return nil, nil
	}
	return executor.DeadRunIDs(folder, dir)
}

// judge returns why the chain is not what it should be, or nil.
func (f *verifyFlags) judge(c *executor.Chain) error {
	broken := c.Broken()
	reports := len(c.Links) + c.Pruned
	switch {
	case len(broken) > 0:
		return hinted(errors.New("the chain of reports is broken in "+plural(len(broken), "place", "places")),
			"compare with a copy of the reports that was kept elsewhere; reports after the newest can be taken in with --accept-newer")
	case reports < f.least.value:
		return hinted(fmt.Errorf("there are %s, and there should be at least %d", plural(reports, "report", "reports"), f.least.value),
			"name the folder that --report-dir names, or the store that --state names; --min-reports says how many there must be")
	case f.expect != "" && !c.Holds(f.expect):
		return hinted(fmt.Errorf("no report of the chain has the digest %s", f.expect),
			"the report was edited or removed, the whole chain was written anew, or the report was pruned")
	}
	return nil
}

// signedLink is a link with who signed it.
type signedLink struct {
	executor.ChainLink
	SignedBy string `json:"signedBy,omitempty"`
}

func (a *app) showChain(c *executor.Chain, by sealedBy, sound bool, removed int) error {
	var b strings.Builder
	if c.Pruned > 0 {
		fmt.Fprintf(&b, "       %s pruned, the newest of them %s\n", plural(c.Pruned, "report", "reports"), render.Clean(c.Checkpoint))
	}
	for _, l := range c.Links {
		mark, when := "ok     ", ""
		switch {
		case l.Problem != "":
			mark = "BROKEN "
		case l.Beyond:
			mark = "newer  "
		}
		if !l.Started.IsZero() {
			when = "  " + l.Started.UTC().Format(time.DateTime)
		}
		file := l.File
		if file == "" {
			file = "(missing)"
		}
		if who := by.reports[l.File]; who != "" {
			when += "  signed by " + render.Clean(who)
		}
		fmt.Fprintf(&b, "%s%s%s\n", mark, render.Clean(file), when)
		switch {
		case l.Problem != "":
			fmt.Fprintf(&b, "       %s\n", render.Clean(l.Problem))
		case l.Beyond:
			b.WriteString("       after the newest that chain.json names; the journal of its run, which died, explains it\n")
		}
	}
	if removed > 0 {
		fmt.Fprintf(&b, "Removed %s.\n", plural(removed, "report", "reports"))
	}
	if sound {
		fmt.Fprintf(&b, "The chain is whole: %s.\n", plural(len(c.Links), "report", "reports"))
		if n := len(c.Links); n > 0 {
			if by.head != "" {
				fmt.Fprintf(&b, "signed by: %s\n", render.Clean(by.head))
			}
			fmt.Fprintf(&b, "newest digest: %s\n", render.Clean(c.Links[n-1].Digest))
		}
	}
	_, err := fmt.Fprint(a.stdout, b.String())
	return err
}

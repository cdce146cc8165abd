package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/executor/pgstore"
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
			return a.verifyReports(cmd.Context(), args, &f)
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
	fs.BoolVar(&f.accept, "accept-newer", false, "take reports after the newest that chain.json names into the chain")
	fs.Var(&f.prune, "prune-before", "remove the reports of runs that began before this `TIME` (RFC 3339, a date, or an age in days like 400d), but the newest")
	return cmd
}

// verified is a chain that was checked, or several one after the other.
type verified struct {
	chain  *executor.Chain
	by     sealedBy
	newest string // digest of the newest report of the chain that runs add to
}

// verifyReports checks, shows, prunes and signs the chain in a folder, or those in a store.
func (a *app) verifyReports(ctx context.Context, dirs []string, f *verifyFlags) error {
	if len(dirs) == 0 && !f.state.shared() {
		return hinted(errors.New("no reports given"), "name the folder that --report-dir names, or a store with --state or PRIVSYNC_STATE")
	}
	if len(dirs) == 0 && (f.accept || f.prune.given()) {
		return hinted(errors.New("--accept-newer and --prune-before are for folders: reports in a store stay, and none stands after the newest"), "leave them out")
	}
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
	look := func() (v verified, err error) {
		dead, err := f.state.deadRuns(a, dirs[0])
		if err != nil {
			return v, err
		}
		v.chain, err = await(a, func() (*executor.Chain, error) {
			return executor.VerifyChain(dirs[0], func(id string) bool { return dead[id] })
		})
		if err != nil {
			return v, hinted(err, "name the folder that --report-dir names")
		}
		v.newest = v.chain.Digest
		if signers != nil {
			v.by = a.checkSignatures(folderFiles(dirs[0]), v.chain, signers)
		}
		return v, nil
	}
	sign := func(newest string) error { return executor.SignHead(ctx, dirs[0], newest, signer) }
	if len(dirs) == 0 {
		access := pgstore.Reading
		if signer != nil {
			access = pgstore.Writing
		}
		store, err := f.state.postgres(a, access)
		if err != nil {
			return err
		}
		look = func() (verified, error) { return a.chainsOf(ctx, store, signers) }
		sign = func(newest string) error { return storeError(store.SignHead(ctx, newest, signer)) }
	} else if err := a.acceptNewer(ctx, dirs[0], f, signer); err != nil {
		return err
	}
	removed := 0
	v, err := look()
	if err != nil {
		return err
	}
	end := f.judge(v.chain)
	if end == nil && f.prune.given() {
		if removed, err = executor.PruneChain(ctx, dirs[0], f.prune.from(a.now()), signer); err == nil {
			v, err = look()
		}
		if errors.Is(err, executor.ErrUnsigned) {
			return hinted(err, unsignedHint)
		}
		if err != nil {
			return hinted(err, `run "privsync recover" if a run died, then prune again`)
		}
		end = f.judge(v.chain)
	}
	if end == nil && signer != nil && v.newest != "" {
		if err := sign(v.newest); err != nil {
			return err
		}
		a.say("signed the head of the chain")
		if v, err = look(); err != nil {
			return err
		}
		end = f.judge(v.chain)
	}
	return a.showVerified(f, v.chain, v.by, removed, end)
}

// acceptNewer takes newer reports into the chain in dir, if the flags say so.
func (a *app) acceptNewer(ctx context.Context, dir string, f *verifyFlags, signer executor.Signer) error {
	if signer == nil && (f.accept || f.prune.given()) {
		if err := executor.CheckSigned(dir, nil); errors.Is(err, executor.ErrUnsigned) {
			return hinted(err, unsignedHint)
		}
	}
	if !f.accept {
		return nil
	}
	taken, err := executor.AcceptNewer(ctx, dir, signer)
	for _, l := range taken {
		a.say("accepted %s (%s)", l.File, l.Digest)
	}
	switch {
	case errors.Is(err, executor.ErrUnsigned):
		return hinted(err, unsignedHint)
	case err != nil:
		return hinted(fmt.Errorf("accept newer reports: %w", err), "only reports that are whole and follow each other can be accepted; a damaged chain.json is put back from a copy")
	}
	return nil
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
		return hinted(errors.New("the chain of reports is broken in "+clean.Count(len(broken), "place")),
			"compare with a copy of the reports that was kept elsewhere; reports after the newest can be taken in with --accept-newer")
	case reports < f.least.value:
		return hinted(fmt.Errorf("there are %s, and there should be at least %d", clean.Count(reports, "report"), f.least.value),
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
		fmt.Fprintf(&b, "       %s pruned, the newest of them %s\n", clean.Count(c.Pruned, "report"), render.Clean(c.Checkpoint))
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
		fmt.Fprintf(&b, "Removed %s.\n", clean.Count(removed, "report"))
	}
	if sound {
		fmt.Fprintf(&b, "The chain is whole: %s.\n", clean.Count(len(c.Links), "report"))
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

// chainsOf checks all chains of the store, and puts them one after the other.
func (a *app) chainsOf(ctx context.Context, store *pgstore.Store, signers *signature.Signers) (verified, error) {
	all := verified{chain: new(executor.Chain), by: sealedBy{reports: map[string]string{}}}
	names, err := store.Chains(ctx)
	if err != nil {
		return all, storeError(err)
	}
	for _, name := range names {
		chain, err := store.Verify(ctx, name)
		if err != nil {
			return all, storeError(err)
		}
		var signed sealedBy
		if signers != nil {
			files, err := store.Signed(ctx, name)
			if err != nil {
				return all, storeError(err)
			}
			signed = a.checkSignatures(files, chain, signers)
		}
		for _, l := range chain.Links {
			who := signed.reports[l.File]
			l.File = pgstore.Qualified(name, l.File)
			if who != "" {
				all.by.reports[l.File] = who
			}
			all.chain.Links = append(all.chain.Links, l)
		}
		all.chain.Pruned += chain.Pruned
		all.chain.Checkpoint, all.chain.Digest, all.by.head, all.newest = chain.Checkpoint, chain.Digest, signed.head, chain.Digest
	}
	return all, nil
}

// sayStored says whether the report in the store is a sound link of its chain.
func (a *app) sayStored(ctx context.Context, store *pgstore.Store, e pgstore.Entry) error {
	chain, err := store.Verify(ctx, e.Chain)
	if err != nil {
		return storeError(err)
	}
	if len(chain.Broken()) > 0 || !chain.Holds(e.Digest) {
		a.log.Warn("the report does not belong to a whole chain of reports", "store", store.String(), "do", "privsync verify-reports --state …")
		return nil
	}
	a.say("the report belongs to the chain of reports in %s, which is whole", store)
	return nil
}

// storedReport reads the report that name names in the store.
func (a *app) storedReport(ctx context.Context, state *stateFlags, name string) (*executor.Report, error) {
	store, err := state.postgres(a, pgstore.Reading)
	if err != nil {
		return nil, err
	}
	doc, e, err := store.Find(ctx, name)
	if err != nil {
		return nil, hinted(storeError(err), "name a file, or a report of the store by the name that stderr gave it, by its digest, or by the id of its run")
	}
	f, err := doc.Open()
	if err != nil {
		return nil, storeError(err)
	}
	defer f.Close()
	report, err := await(a, func() (*executor.Report, error) { return executor.ReadReport(f) })
	if err != nil {
		return nil, fmt.Errorf("report %s: %w", doc.Name, err)
	}
	return report, a.sayStored(ctx, store, e)
}

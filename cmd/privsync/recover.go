package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/policy"
)

func newRecover(a *app) *cobra.Command {
	var (
		conn         connectionFlags
		state        = stateFlags{dirBeats: true}
		key          signKeyFlag
		lockTimeout  = span{zeroOK: true}
		acceptUnread bool
		verify       = span{value: executor.DefaultVerifyTimeout, zeroOK: true}
		to           executor.Destination
		format       = newChoice("text", "json")
	)
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Write the report of a run that died",
		Long: `Find the journals that runs on this server left open because they were killed or
could not write their reports, read from the server what was in flight, and
write the reports that those runs would have written, marked as recovered.
Nothing is changed on the server. The next apply does the same before it starts.

A report goes where the dead run's journal says only if nobody but you and root
can have written the journal, and never over a file that is no report; otherwise
it goes into the state folder.

With --accept-unread a report is written although a principal whose write was in
flight cannot be read; it is then unverified. --report and --report-dir name
another place for the report where the one that the dead run was given is gone.

Where such a run had the server's own lock (apply --server-lock), which the server keeps
until the dead session ends, that lock is removed by its id; --lock-timeout is how long
that is waited for.`,
		Example: `  privsync recover
  privsync recover --state-dir /var/lib/privsync --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			store, err := state.open(a)
			if err != nil {
				return err
			}
			signer, err := key.signer(a)
			if err != nil {
				return err
			}
			r, cfg, err := conn.reader(ctx, a, policy.Environment{})
			if err != nil {
				return err
			}
			server := serverOf(ctx, cfg, r)
			lock, err := store.Lock(ctx, server, a.lockHolder(a.now()), lockTimeout.value)
			if err != nil {
				return lockError(err)
			}
			defer a.releaseLock(lock)
			recovered, err := a.recoverDead(ctx, r, server, &state, lock, a.now().Add(lockTimeout.value), to, executor.RecoverOptions{AcceptUnread: acceptUnread, VerifyTimeout: verifyTimeout(verify), Signer: signer})
			if err != nil {
				return err
			}
			if len(recovered) == 0 {
				a.say("nothing to recover: no run on %s left its journal open", r.URL())
			}
			for i, report := range recovered {
				if i > 0 && format.value == "text" {
					fmt.Fprintln(a.stdout)
				}
				if err := a.render(a.stdout, report, view{format: format.value}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	conn.register(cmd)
	state.register(cmd)
	addFormat(cmd, &format)
	cmd.Flags().Var(&lockTimeout, "lock-timeout", "wait this long for a run on the same server to end")
	cmd.Flags().StringVar(&to.File, "report", "", "write the report to `FILE`, not where the dead run would have")
	cmd.Flags().StringVar(&to.Dir, "report-dir", "", "add the report to the chain in `DIR`, not where the dead run would have")
	cmd.Flags().BoolVar(&acceptUnread, "accept-unread", false, "write the report also when a write in flight cannot be judged")
	key.register(cmd, "sign the report, and the head of the chain that it goes into, with the SSH key in `FILE`")
	registerVerifyTimeout(cmd, &verify)
	return cmd
}

// recoverDead writes the reports of the runs on r's server that died: to to, or
// where these runs would have, if to is zero. The caller holds lock. A lock that such
// a run left on the server itself is removed, and waited for until the time. If that is
// not zero, so is the lock of a run whose report another account has written since, which
// could not remove it.
func (a *app) recoverDead(ctx context.Context, r *mstrapi.Reader, server executor.Target, state *stateFlags, lock executor.Lock, until time.Time, to executor.Destination, o executor.RecoverOptions) ([]*executor.Report, error) {
	store := state.store
	dead, err := store.FindOpen(ctx, sameServer(ctx, server))
	if err != nil {
		return nil, journalError(err)
	}
	if dead, err = a.ofThisServer(ctx, r, dead); err != nil {
		return nil, err
	}
	if len(dead) > 1 && to.File != "" {
		return nil, hinted(fmt.Errorf("%d runs died, and one file was named for their reports", len(dead)), "name a folder with --report-dir")
	}
	var reports []*executor.Report
	for _, d := range dead {
		switch err := a.destinationOf(ctx, d, to, o.Signer); {
		case err == nil:
		case d.Host != "":
			a.log.Warn("the report of a run that died is in the store, and is missing where that run was to write it as well", "run", d.Run.ID, "missing", err)
			d.Destination = store.Fallback()
		default:
			a.log.Warn("the place for the report of a run that died cannot be used; it goes to where reports without one go", "run", d.Run.ID, "place", store.String(), "error", err)
			d.Destination = store.Fallback()
		}
		d.Other = a.otherReport(d, state)
		report, paths, err := executor.Recover(ctx, r, d, o)
		if err != nil {
			return reports, hinted(err, `mend the cause and run "privsync recover"; --report-dir names another place for the report, --accept-unread reports what cannot be read as unverified`)
		}
		a.notice(fmt.Sprintf("recovered the report of run %s, which ended without one: %s", render.Clean(d.Run.ID), strings.Join(paths, ", ")))
		a.logAttention(report, strings.Join(paths, ", "))
		a.logCommands(report, strings.Join(paths, ", "))
		reports = append(reports, report)
	}
	expected := slices.ContainsFunc(dead, func(d *executor.DeadRun) bool { return d.ServerLock }) ||
		slices.ContainsFunc(lock.Left(), func(h executor.Holder) bool { return h.ServerLock })
	if !expected && until.IsZero() {
		return reports, nil
	}
	return reports, a.removeLeftLock(ctx, r, a.endedRuns(ctx, store, lock, reports), until, expected)
}

// otherReport returns the digest of the report that a run wrote itself where the store
// was lost to it, as far as that was on this machine.
func (a *app) otherReport(d *executor.DeadRun, state *stateFlags) string {
	if !state.shared() || d.Host != "" {
		return ""
	}
	name := executor.ReportFileName(d.Run)
	files := []string{d.Destination.File}
	if d.Destination.Dir != "" {
		files = append(files, filepath.Join(d.Destination.Dir, name))
	}
	if dir, err := state.find(a); err == nil {
		files = append(files, filepath.Join(executor.ReportsDir(dir), name), filepath.Join(dir, "report-"+name))
	}
	for _, file := range files {
		if report, err := executor.ReadReportFile(file); err == nil && report.Run.ID == d.Run.ID {
			return report.Digest
		}
	}
	return ""
}

// destinationOf decides where the report of d goes, and returns why it cannot go where
// that run was to write it.
func (a *app) destinationOf(ctx context.Context, d *executor.DeadRun, to executor.Destination, s executor.Signer) error {
	switch {
	case to != (executor.Destination{}):
		d.Destination = to
	case d.Destination == (executor.Destination{}):
	case d.Host != "":
		return fmt.Errorf("%s, of %s", strings.Trim(d.Destination.File+", "+d.Destination.Dir, ", "), d.Host)
	default:
		return d.CheckDestination(ctx, s)
	}
	return nil
}

// ofThisServer leaves out the runs that named another server at r's address under
// another account: one proxy may stand before both, and what was in flight on one
// must not be looked for on the other.
func (a *app) ofThisServer(ctx context.Context, r *mstrapi.Reader, dead []*executor.DeadRun) ([]*executor.DeadRun, error) {
	var out []*executor.DeadRun
	for _, d := range dead {
		if d.URL != r.URL() {
			who, err := sessionUser(ctx, r)
			if err != nil {
				return nil, err
			}
			if who.ID != d.Actor.ID {
				a.log.Warn("another account's run on a server with the same address left its journal open; recover it with --url and that account", "url", d.URL, "run", d.Run.ID, "account", d.Actor.Name)
				continue
			}
			a.notice(fmt.Sprintf("run %s was on %s, which has the same network address as %s: taken for one server", render.Clean(d.Run.ID), render.Clean(d.URL), r.URL()))
		}
		out = append(out, d)
	}
	return out, nil
}

// journalError adds what to do about journals that cannot be read.
func journalError(err error) error {
	if errors.Is(err, executor.ErrJournal) {
		return hinted(err, "what that run did cannot be told from its journal: compare the server with the policy (privsync audit), then move the file away")
	}
	if e := storeError(err); hintOf(e) != "" {
		return e
	}
	return hinted(err, "check who may read the state folder, or name another with --state-dir")
}

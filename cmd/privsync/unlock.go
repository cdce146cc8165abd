package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/mstrapi"
	"privsync/policy"
)

func newUnlock(a *app) *cobra.Command {
	var (
		conn       connectionFlags
		force, yes bool
		format     = newChoice("text", "json")
	)
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Show who has the server's own lock; with --force remove it",
		Long: `Show the lock on the server's configuration, which runs with --server-lock take:
who has it, from which machine, since when, under which id, and which run of privsync
the id names. Nothing is changed.

With --force that lock is removed, whosever it is, after a yes (without a terminal:
--yes). It is read once more before: if it is another one by then, nothing is removed.
A run that is alive and loses its lock so stops as soon as it notices: what it has in
flight is read back and reported. What died needs no force: the next apply of the same
account, or "privsync recover", removes the lock that it left, and the server drops it
with the session (about half an hour).

Exit codes: 0 shown, removed, or there is no lock; 1 error; 3 the lock changed while it
was asked about, and nothing was removed.`,
		Example: `  privsync unlock
  privsync unlock --force --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			switch {
			case yes && !force:
				return hinted(errors.New("--yes without --force: nothing would be asked"), "unlock shows the lock; unlock --force removes it")
			case force && !yes && !a.interactive():
				return hinted(errors.New("unlock --force needs a yes, and there is no terminal to ask on"), "look at the lock first (privsync unlock), then remove it with --force --yes")
			}
			r, _, err := conn.reader(ctx, a, policy.Environment{})
			if err != nil {
				return err
			}
			held, err := readServerLock(ctx, r)
			if err != nil {
				return err
			}
			removed := false
			if force && held.Held() {
				// Shown before it is asked about; on stderr, where the question stands.
				if err := a.showLock(a.stderr, held, false, "text"); err != nil {
					return err
				}
				if err := a.forceUnlock(ctx, r, held, yes); err != nil {
					return err
				}
				removed = true
			}
			return a.showLock(a.stdout, held, removed, format.value)
		},
	}
	conn.register(cmd)
	addFormat(cmd, &format)
	cmd.Flags().BoolVar(&force, "force", false, "remove the lock that is shown, whosever it is")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "remove it without asking")
	return cmd
}

// readServerLock reads the server's lock.
func readServerLock(ctx context.Context, r *mstrapi.Reader) (mstrapi.ConfigurationLock, error) {
	held, err := r.ConfigurationLock(ctx)
	switch {
	case err == nil:
	case executor.LockUnknown(err):
		err = hinted(fmt.Errorf("server lock: this version of the server does not know one: %w", err), "there is nothing to unlock")
	case mstrapi.IsForbidden(err):
		err = hinted(fmt.Errorf("server lock: not shown to this account: %w", err), "log in with an account that may look at the lock of the configuration")
	default:
		err = fmt.Errorf("server lock: %w", err)
	}
	return held, err
}

// forceUnlock removes held by force, if it is still there, and sees that it is gone.
func (a *app) forceUnlock(ctx context.Context, r *mstrapi.Reader, held mstrapi.ConfigurationLock, yes bool) error {
	if !yes {
		if err := a.insist("Remove this lock from "+r.URL()+"? A run that has it will stop.", "removed", "remove it"); err != nil {
			return err
		}
	}
	now, err := readServerLock(ctx, r)
	switch {
	case err != nil:
		return err
	case !now.Held():
		return refused(errors.New("the lock that was shown is gone already: nothing was removed"), "nothing is left to do")
	case now != held:
		return refused(fmt.Errorf("the lock is another one than was shown, nothing was removed: %s", executor.DescribeLock(now)), "look at it with \"privsync unlock\"")
	}
	removal := mstrapi.RemoveLock(ctx, r, held, true)
	now, err = readServerLock(ctx, r)
	switch {
	case err != nil:
		return errors.Join(removal, err)
	case now == held && removal != nil:
		return hinted(fmt.Errorf("the server did not remove the lock: %w", removal), "only who has it, or an administrator of the server, may remove it")
	case now == held:
		return hinted(errors.New("the server says that it removed the lock, and it is still there"), "have an administrator of the server look at it")
	case now.Held():
		a.say("somebody has taken the lock since: %s", executor.DescribeLock(now))
	}
	return nil
}

// lockView is a lock as it is shown.
type lockView struct {
	Locked    bool        `json:"locked"`
	Removed   bool        `json:"removed"`
	Type      string      `json:"lockType,omitempty"`
	ID        string      `json:"lockId,omitempty"`
	Comment   string      `json:"comment,omitempty"`
	Since     string      `json:"since,omitempty"`
	Machine   string      `json:"machine,omitempty"`
	OwnerID   string      `json:"ownerId,omitempty"`
	OwnerName string      `json:"ownerName,omitempty"`
	Run       *lockedByUs `json:"run,omitempty"` // what the id says
}

// lockedByUs is the run of privsync that a lock's id names.
type lockedByUs struct {
	ID   string `json:"id"`
	Host string `json:"host"`
	PID  int    `json:"pid"`
}

// showLock writes a lock for people or programs.
func (a *app) showLock(w io.Writer, l mstrapi.ConfigurationLock, removed bool, format string) error {
	run, ours := executor.ParseLockID(l.ID)
	if format == "json" {
		v := lockView{Locked: l.Held() && !removed, Removed: removed}
		if l.Held() {
			v.Type, v.ID, v.Comment, v.Machine = string(l.Type), l.ID, l.Comment, l.Machine
			v.OwnerID, v.OwnerName = string(l.OwnerID), l.Owner
			if !l.Since.IsZero() {
				v.Since = l.Since.Format(time.RFC3339)
			}
			if ours {
				v.Run = &lockedByUs{run.RunID, run.Host, run.PID}
			}
		}
		return writeJSON(w, v)
	}
	var err error
	switch {
	case removed:
		_, err = fmt.Fprintln(w, "removed")
	case !l.Held():
		_, err = fmt.Fprintln(w, "not locked")
	default:
		_, err = fmt.Fprintln(w, render.Clean("locked: "+executor.DescribeLock(l)))
		if ours && err == nil {
			_, err = fmt.Fprintf(w, "the id names privsync's run %s, process %d on %s\n", run.RunID, run.PID, run.Host)
		}
	}
	return err
}

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
	"privsync/policy"
)

func newCommand(a *app) *cobra.Command {
	var (
		conn        connectionFlags
		timeout     = span{value: executor.DefaultCommandTimeout}
		onServer    serverLockFlag
		lockTimeout = span{zeroOK: true}
		format      = newChoice("text", "json")
	)
	cmd := &cobra.Command{
		Use:   "command NAME",
		Short: "Run a metadata command and follow it to its end",
		Long: `Submit a metadata command, follow its queue entry with a growing pause, and say
how it ended. The only command is assign-watch-kpi-insight (metadata command 1),
which assigns the privilege to use the Watch KPI and Insight service. A policy
that lists it under commands has it run at the end of every apply.

The command changes who holds what, so with --server-lock it waits for the server's lock
as an apply does.

A submission whose answer was lost is not repeated. The exit code is 0 when the
command finished well, 1 when it failed or ran longer than --command-timeout,
130 when it was interrupted: then it goes on running in the server.`,
		Example: `  privsync command assign-watch-kpi-insight
  privsync command assign-watch-kpi-insight --command-timeout 30m --format json`,
		Args: func(_ *cobra.Command, args []string) error {
			names := executor.CommandNames()
			if len(args) != 1 {
				return fmt.Errorf("name one command: %s", strings.Join(names, ", "))
			}
			for _, name := range names {
				if args[0] == name {
					return nil
				}
			}
			if near := policy.Suggest(args[0], names); near != "" {
				return fmt.Errorf("unknown command %s; did you mean %s?", clean.Quote(args[0]), clean.Quote(near))
			}
			return fmt.Errorf("unknown command %s; there is %s", clean.Quote(args[0]), strings.Join(names, ", "))
		},
		ValidArgs: executor.CommandNames(),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := conn.config(a, policy.Environment{})
			if err != nil {
				return err
			}
			w, err := a.openWriter(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer a.logout(cmd.Context(), w)
			if onServer.wanted(false) {
				lock, err := a.takeServerLock(cmd.Context(), w, nil, a.now().Add(lockTimeout.value), lockTimeout.value)
				if err != nil {
					return err
				}
				defer a.releaseServerLock(cmd.Context(), lock)
			}
			p := a.startProgress(w.Pace)
			res := executor.RunCommand(a.interrupts.hard, w, args[0], executor.Options{
				RunID: a.runID, Stop: cmd.Context(), Logger: a.log, Progress: p.report, CommandTimeout: timeout.value,
			})
			p.end()
			if err := a.showCommand(res, format.value); err != nil {
				return err
			}
			return commandEnding(res)
		},
	}
	conn.register(cmd)
	addFormat(cmd, &format)
	cmd.Flags().Var(&timeout, "command-timeout", "how long the command is followed")
	onServer.register(cmd, "")
	cmd.Flags().Var(&lockTimeout, "lock-timeout", "wait this long for the server's lock")
	return cmd
}

func (a *app) showCommand(res executor.CommandResult, format string) error {
	if format == "json" {
		return writeJSON(a.stdout, res)
	}
	text := fmt.Sprintf("%s: %s", res.Name, res.Outcome)
	if res.QueueID != "" {
		text += fmt.Sprintf(" (queue entry %s, status %d, %d %%)", res.QueueID, res.Status, res.Progress)
	}
	_, err := fmt.Fprintln(a.stdout, render.Clean(text))
	return err
}

// commandEnding returns how a command's result ends the run.
func commandEnding(res executor.CommandResult) error {
	switch res.Outcome {
	case executor.CommandSucceeded:
		return nil
	case executor.CommandInterrupted, executor.CommandNotAttempted:
		if res.Error == nil {
			return errInterrupted
		}
	}
	why := errors.New(string(res.Outcome))
	if res.Error != nil {
		why = reportedError(res.Error)
	}
	hint := "look into the Intelligence Server's log for this command"
	if res.Outcome == executor.CommandTimedOut {
		hint = "it may still be running in the server: raise --command-timeout, or run the command again later"
	}
	return hinted(fmt.Errorf("command %s: %w", res.Name, why), hint)
}

// reportedError turns an error as a report tells it into one line.
func reportedError(e *executor.Error) error {
	var b strings.Builder
	b.WriteString(e.Message)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d", e.Status)
		if e.Code != "" {
			fmt.Fprintf(&b, " %s", e.Code)
		}
		b.WriteByte(')')
	}
	if e.IServerCode != 0 {
		fmt.Fprintf(&b, " (iServerCode %d)", e.IServerCode)
	}
	if e.TicketID != "" {
		fmt.Fprintf(&b, " [ticket %s]", e.TicketID)
	}
	return errors.New(b.String())
}

package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/executor/pgstore"
)

func newState(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Set up a store in PostgreSQL, fill it from a folder, and empty it into one",
		Long: `Locks, journals and reports are in a folder of one machine unless --state or
PRIVSYNC_STATE names a database: then several machines can share them, and runs
whose machine does not last leave nothing behind ("privsync help scaling").`,
		Example: `  privsync state init --state postgres://owner@db.example.com/privsync --writer privsync_run
  privsync apply -f policy.yaml --yes --state postgres://privsync_run@db.example.com/privsync`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newStateInit(a), newStateImport(a), newStateExport(a))
	return cmd
}

func newStateInit(a *app) *cobra.Command {
	var (
		state   stateFlags
		writers []string
		print   bool
	)
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the schema of the store, and let roles write into it",
		Long: `Make the schema in the database that --state names, or bring an older one to this
version of privsync. Its owner runs this: the role that the URL names. Each --writer
is a role that runs connect with: it may read and add rows, and change or remove
none. Run it again for further writers.

--print shows the SQL instead, for psql, and needs no connection.`,
		Example: `  privsync state init --state postgres://owner@db.example.com/privsync --writer privsync_run
  privsync state init --print --writer privsync_run | psql -v ON_ERROR_STOP=1 -d privsync`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, w := range writers {
				if strings.TrimSpace(w) == "" || strings.ContainsAny(w, "\x00\r\n") {
					return hinted(errors.New("--writer names no role"), "give the name of a role of the database")
				}
			}
			if print {
				if err := state.checkURL(); err != nil {
					return err
				}
				_, err := fmt.Fprint(a.stdout, pgstore.Script(state.schema, writers))
				return err
			}
			if state.url == "" {
				return hinted(errNoStore, "name the database with --state or PRIVSYNC_STATE, or print the SQL for psql with --print")
			}
			cfg, err := state.config(a)
			if err != nil {
				return err
			}
			done, err := pgstore.Init(cmd.Context(), cfg, writers)
			if err != nil {
				return storeError(err)
			}
			return a.sayInitialised(done, &state, writers)
		},
	}
	state.registerStore(cmd)
	cmd.Flags().StringArrayVar(&writers, "writer", nil, "let `ROLE` read and add rows; may be repeated")
	cmd.Flags().BoolVar(&print, "print", false, "show the SQL and do nothing")
	return cmd
}

// sayInitialised says what init did.
func (a *app) sayInitialised(done pgstore.Initialised, state *stateFlags, writers []string) error {
	text := fmt.Sprintf("made the schema %s, version %d", clean.Quote(state.schema), pgstore.Version)
	switch {
	case done.Already:
		text = fmt.Sprintf("already there: the schema %s, version %d", clean.Quote(state.schema), pgstore.Version)
	case done.Upgrade > 0:
		text = fmt.Sprintf("brought the schema %s from version %d to %d", clean.Quote(state.schema), done.Upgrade, pgstore.Version)
	}
	if len(writers) > 0 {
		text += "; may read and add rows: " + strings.Join(writers, ", ")
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

func newStateImport(a *app) *cobra.Command {
	var state stateFlags
	cmd := &cobra.Command{
		Use:   "import DIR",
		Short: "Take the chain of reports in a folder into the store",
		Long: `Take the chain of reports in DIR, which --report-dir wrote or which is "reports" in a
state folder, into the store: all of it or, if it is not whole, nothing. The documents
stay as they are, byte for byte, with their signatures. Run it again after further
runs: only what is new is added.

Into a store that has no report yet the chain comes as the one that runs add to; into
another as a chain of its own beside it.`,
		Example: `  privsync state import /var/lib/privsync/reports --state postgres://privsync_run@db.example.com/privsync`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := state.postgres(a, pgstore.Writing)
			if err != nil {
				return err
			}
			done, err := store.Import(cmd.Context(), args[0])
			if errors.Is(err, pgstore.ErrBroken) {
				return hinted(fmt.Errorf("nothing was imported: %w", err), "look at the folder with \"privsync verify-reports\", and compare it with a copy")
			}
			if err != nil {
				return storeError(fmt.Errorf("nothing was imported: %w", err))
			}
			_, err = fmt.Fprintf(a.stdout, "imported %s of %d into the chain %s\n", clean.Count(done.Added, "report"), done.Reports, clean.Quote(done.Chain))
			return err
		},
		ValidArgsFunction: completeFolder,
	}
	state.registerStore(cmd)
	return cmd
}

func newStateExport(a *app) *cobra.Command {
	var state stateFlags
	cmd := &cobra.Command{
		Use:   "export DIR",
		Short: "Write the reports of the store into a folder",
		Long: `Write the reports of the store into DIR, which must be new or empty: the files that a
folder of reports has, with the same names and bytes, and the signatures beside them.
The chain that runs add to goes into DIR itself, each other one into a folder below.
What was written is checked; if a chain is not whole the exit code is 1.`,
		Example: `  privsync state export copy/ --state postgres://privsync_read@db.example.com/privsync
  privsync verify-reports copy/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := state.postgres(a, pgstore.Reading)
			if err != nil {
				return err
			}
			n, err := store.Export(cmd.Context(), args[0])
			if errors.Is(err, pgstore.ErrBroken) {
				return hinted(fmt.Errorf("exported %s: %w", clean.Count(n, "report"), err), "privsync verify-reports --state URL says what is wrong in the store")
			}
			if err != nil {
				return storeError(fmt.Errorf("export: %w", err))
			}
			_, err = fmt.Fprintf(a.stdout, "exported %s\n", clean.Count(n, "report"))
			return err
		},
		ValidArgsFunction: completeFolder,
	}
	state.registerStore(cmd)
	return cmd
}

// completeFolder offers folders to shell completion.
func completeFolder(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"privsync/executor"
	"privsync/executor/pgstore"
)

// stateFlags say where locks, journals and reports without a place of their own are
// kept: in a folder of this machine, or in a database.
type stateFlags struct {
	dir          string
	url          string
	schema       string
	passwordFile string

	dirBeats bool           // a folder on the command line beats the database
	store    executor.Store // set by open
}

func (s *stateFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.dir, "state-dir", "", "keep journals, locks and reports in `DIR` (default: privsync in the XDG state folder)")
	s.registerStore(cmd)
}

// registerStore adds the flags of a store in a database.
func (s *stateFlags) registerStore(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&s.url, "state", "", "keep them in PostgreSQL, `URL` postgres://USER@HOST/DATABASE, for several machines (see help scaling)")
	fs.StringVar(&s.schema, "schema", pgstore.DefaultSchema, "`NAME` of the schema of --state")
	fs.StringVar(&s.passwordFile, "state-password-file", "", "read the password for --state from `FILE` (otherwise PGPASSWORD, PGPASSFILE)")
	bindVariable(fs, "state", "PRIVSYNC_STATE")
	bindVariable(fs, "schema", "PRIVSYNC_STATE_SCHEMA")
	bindVariable(fs, "state-password-file", "PRIVSYNC_STATE_PASSWORD_FILE")
}

// shared reports whether a store in a database is named.
func (s *stateFlags) shared() bool { return s.url != "" && !(s.dirBeats && s.dir != "") }

// find returns the state folder, which need not be there.
func (s *stateFlags) find(a *app) (string, error) {
	if s.dir != "" {
		return s.dir, nil
	}
	dir, err := executor.DefaultStateDir(func(name string) string { value, _ := a.env(name); return value })
	if err != nil {
		return "", hinted(err, "name a folder for journals and reports with --state-dir")
	}
	return dir, nil
}

// look returns the store for reading only: a folder need not be there.
func (s *stateFlags) look(a *app) (executor.Store, error) {
	if s.store != nil {
		return s.store, nil
	}
	if s.shared() {
		return s.database(a, pgstore.Reading)
	}
	dir, err := s.find(a)
	if err != nil {
		return nil, err
	}
	return executor.NewFolder(dir), nil
}

// open returns the store that the flags name. It is opened once.
func (s *stateFlags) open(a *app) (executor.Store, error) {
	if s.store != nil {
		return s.store, nil
	}
	if s.shared() {
		return s.database(a, pgstore.Writing)
	}
	dir, err := s.path(a)
	if err != nil {
		return nil, err
	}
	s.store = executor.NewFolder(dir)
	return s.store, nil
}

// database opens the store in the database.
func (s *stateFlags) database(a *app, access pgstore.Access) (executor.Store, error) {
	cfg, err := s.config(a)
	if err != nil {
		return nil, err
	}
	store, err := pgstore.Open(a.context(), cfg, access)
	if err != nil {
		return nil, storeError(err)
	}
	a.closers = append(a.closers, store.Close)
	if access == pgstore.Writing {
		a.warnLoose(store)
	}
	s.store = store
	return store, nil
}

// errNoStore says that no store in a database was named where there must be one.
var errNoStore = errors.New("no store given")

// postgres opens the store in the database, which must be named.
func (s *stateFlags) postgres(a *app, access pgstore.Access) (*pgstore.Store, error) {
	if !s.shared() {
		return nil, hinted(errNoStore, "name the database with --state or PRIVSYNC_STATE")
	}
	store, err := s.database(a, access)
	if err != nil {
		return nil, err
	}
	return store.(*pgstore.Store), nil
}

// checkURL returns why the URL of a database cannot be meant, or must not be given so.
func (s *stateFlags) checkURL() error {
	if !s.shared() {
		return nil
	}
	return storeError(pgstore.CheckURL(pgstore.Config{URL: s.url}))
}

// config returns what the flags say about the store in the database.
func (s *stateFlags) config(a *app) (pgstore.Config, error) {
	cfg := pgstore.Config{URL: s.url, Schema: s.schema, Tool: toolVersion()}
	if s.passwordFile == "" {
		a.warnPassfile()
		return cfg, nil
	}
	secret, err := await(a, func() (string, error) {
		secret, err := a.readSecretFile(s.passwordFile, "state-password-file")
		return secret.Reveal(), err
	})
	cfg.Password = secret
	return cfg, err
}

// warnPassfile warns if others can read the file of passwords that libpq would refuse then.
func (a *app) warnPassfile() {
	if password, _ := a.env("PGPASSWORD"); password != "" {
		return
	}
	path, _ := a.env("PGPASSFILE")
	if home, _ := a.env("HOME"); path == "" && home != "" {
		path = filepath.Join(home, ".pgpass")
	}
	if f, err := executor.OpenPlain(path); err == nil {
		a.warnReadable(f)
		_ = f.Close()
	}
}

// warnLoose warns if the run's own role could change what the store says.
func (a *app) warnLoose(store *pgstore.Store) {
	loose, err := store.Loose(a.context())
	if err != nil || len(loose) == 0 {
		return
	}
	a.log.Warn("the role of this run could change or remove reports and journals in the store, so they prove nothing against it", "store", store.String(), "tables", len(loose),
		"do", `let runs use a role that "privsync state init --writer" was given, and no owner or superuser`)
}

// storeError takes over what a store says is to be done.
func storeError(err error) error {
	var hint *pgstore.HintedError
	if errors.As(err, &hint) {
		return hinted(err, hint.Hint)
	}
	return err
}

// context returns the context that ends with the first interrupt.
func (a *app) context() context.Context { return a.interrupts.soft }

// path returns the state folder and makes it, readable by its owner only.
func (s *stateFlags) path(a *app) (string, error) {
	dir, err := s.find(a)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", hinted(fmt.Errorf("state folder: %w", err), "name a folder that can be written with --state-dir")
	}
	if err := a.checkState(dir); err != nil {
		return "", err
	}
	return dir, nil
}

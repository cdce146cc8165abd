package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"privsync/executor"
)

// stateFlags say where journals, locks and reports without a place of their own
// are kept.
type stateFlags struct {
	dir string

	store executor.Store // set by open
}

func (s *stateFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.dir, "state-dir", "", "keep journals, locks and reports in `DIR` (default: privsync in the XDG state folder)")
	_ = cmd.MarkFlagDirname("state-dir")
}

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
	dir, err := s.path(a)
	if err != nil {
		return nil, err
	}
	s.store = executor.NewFolder(dir)
	return s.store, nil
}

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

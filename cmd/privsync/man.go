package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// newMan returns the command that writes the manual pages. It is hidden:
// packagers use it, people read what it wrote.
func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a folder",
		Long:   "Write a manual page (section 1) for privsync and for each of its commands into DIR.",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("man: %w", err)
			}
			// A fixed date: the same source gives the same pages.
			date := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
			cmd.Root().DisableAutoGenTag = true
			header := &doc.GenManHeader{Section: "1", Manual: "privsync", Source: "privsync " + toolVersion(), Date: &date}
			if err := doc.GenManTree(cmd.Root(), header, args[0]); err != nil {
				return fmt.Errorf("man: %w", err)
			}
			a.say("manual pages: %s", args[0])
			return nil
		},
	}
}

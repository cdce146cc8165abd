//go:build man

package main

import (
	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/man"
)

// addMan adds the command that writes the manual pages. It is hidden: make uses it,
// people read what it wrote.
func addMan(a *app, root *cobra.Command) {
	root.AddCommand(&cobra.Command{
		Use:    "man DIR",
		Short:  "Write the manual pages into a folder",
		Long:   "Write a manual page (section 1) for privsync and each of its commands, and one (section 7) for each help topic, into DIR.",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := man.Generate(cmd.Root(), args[0]); err != nil {
				return err
			}
			a.say("manual pages: %s", args[0])
			return nil
		},
	})
}

package main

import (
	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/topics"
)

// addTopics adds the help topics: commands that only have a help text.
func addTopics(root *cobra.Command) error {
	for _, name := range topics.Names() {
		text, err := topics.Text(name)
		if err != nil {
			return err
		}
		root.AddCommand(&cobra.Command{Use: name, Short: topics.Summary(name), Long: text})
	}
	return nil
}

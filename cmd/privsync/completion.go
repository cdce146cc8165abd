package main

import "github.com/spf13/cobra"

// describeCompletion gives cobra's own completion command its place among the
// others.
func describeCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() } // without it a shell that is none is no error
			checkArguments(c)
			c.Short = "Print the completion script for a shell"
			c.Example = `  privsync completion bash > /etc/bash_completion.d/privsync
  privsync completion zsh > "${fpath[1]}/_privsync"`
		}
	}
}

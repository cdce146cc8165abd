package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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

// completeValues says what a shell offers for the values of flags: those that the flag
// allows; files where the usage names a FILE, folders for a DIR; and otherwise nothing,
// where files would mean nothing.
func completeValues(cmd *cobra.Command) {
	types := map[string][]string{
		"catalog": {"json"}, "licences": {"json"}, "out": {"json"}, "plans": {"json"}, "report": {"json"}, "save": {"json"},
		"file": {"yaml", "yml"}, "environment": {"yaml", "yml"}, "html": {"html"}, "metrics-file": {"prom"}, "log": {"jsonl"},
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		values, fixed := f.Value.(interface {
			complete(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)
		})
		what, _ := pflag.UnquoteUsage(f)
		switch {
		case fixed:
			_ = cmd.RegisterFlagCompletionFunc(f.Name, values.complete)
		case f.NoOptDefVal != "" || f.Annotations[cobra.BashCompFilenameExt] != nil: // no value, or its own types
		case what == "FILE":
			_ = cmd.MarkFlagFilename(f.Name, types[f.Name]...)
		case what == "DIR":
			_ = cmd.MarkFlagDirname(f.Name)
		default:
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions)
		}
	})
	for _, sub := range cmd.Commands() {
		completeValues(sub)
	}
}

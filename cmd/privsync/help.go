package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"privsync/clean"
	"privsync/cmd/privsync/internal/topics"
	"privsync/policy"
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

// flagHint says what was probably meant by a flag that a command does not have.
func flagHint(cmd *cobra.Command, err error) string {
	hint := fmt.Sprintf("%s --help lists the flags", cmd.CommandPath())
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return hint
	}
	name := unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); len(short) > 1 { // -auto-approve
		name, _, _ = strings.Cut(short, "=")
	}
	switch name {
	case "dry-run", "check", "noop", "diff":
		return `"privsync plan" is the dry run: it has nothing to write with`
	case "auto-approve", "approve", "force", "assume-yes", "non-interactive":
		if cmd.Flags().Lookup("yes") != nil {
			return "did you mean --yes?"
		}
	case "password", "api-token":
		return "no flag takes a secret: name a file with --" + name + "-file, or set PRIVSYNC_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	default:
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
		if near := policy.Suggest(name, known); near != "" {
			return fmt.Sprintf("did you mean --%s?", near)
		}
	}
	return hint
}

// unknownCommand is the error of a command that parent, which only has others below it,
// does not have.
func unknownCommand(parent *cobra.Command, name string) error {
	text := "unknown command " + clean.Quote(name)
	if parent.HasParent() {
		text += " for " + clean.Quote(parent.CommandPath())
	}
	return hinted(errors.New(text), commandHint(parent, name))
}

// commandHint says which of the commands below parent name was probably meant to be.
func commandHint(parent *cobra.Command, name string) string {
	var known []string
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			known = append(known, c.Name())
		}
	}
	if near := policy.Suggest(name, known); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return fmt.Sprintf("%s --help lists the commands", parent.CommandPath())
}

// argumentHint says what was probably meant by arguments that a command does not take.
func argumentHint(cmd *cobra.Command, args []string) string {
	if len(args) > 0 && cmd.HasAvailableSubCommands() {
		return commandHint(cmd, args[0])
	}
	if f := cmd.Flags().Lookup("file"); f != nil {
		for _, arg := range args {
			if mayBePolicy(arg) {
				return "did you mean -f " + arg + "?"
			}
		}
	}
	return "usage: " + cmd.UseLine()
}

// mayBePolicy reports whether path looks like that of a policy.
func mayBePolicy(path string) bool {
	info, err := os.Stat(path)
	lower := strings.ToLower(path)
	return strings.HasSuffix(lower, ".yaml") || strings.HasSuffix(lower, ".yml") || err == nil && info.IsDir()
}

// strictHelp makes help of something that is not there an error.
func strictHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			continue
		}
		c.Short = "Show the help of a command or of a topic: " + strings.Join(topics.Names(), ", ")
		complete := c.ValidArgsFunction
		c.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			found, directive := complete(cmd, args, begun) // the commands: topics do nothing, and are left out
			for _, name := range topics.Names() {
				if len(args) == 0 && strings.HasPrefix(name, begun) {
					found = append(found, cobra.CompletionWithDesc(name, topics.Summary(name)))
				}
			}
			return found, directive
		}
		c.Run = nil
		c.RunE = func(_ *cobra.Command, args []string) error {
			found, rest, err := root.Find(args)
			if err != nil || found == nil || len(rest) > 0 {
				name := strings.Join(args, " ")
				var known []string
				for _, k := range root.Commands() {
					known = append(known, k.Name())
				}
				hint := "privsync help lists the commands and the topics"
				if near := policy.Suggest(name, known); near != "" {
					hint = fmt.Sprintf("did you mean %s?", clean.Quote(near))
				}
				return hinted(fmt.Errorf("no command and no topic is called %s", clean.Quote(name)), hint)
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		}
	}
}

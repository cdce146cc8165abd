package main

import (
	"embed"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// topicFiles holds the texts of "privsync help TOPIC".
//
//go:embed topics/*.txt
var topicFiles embed.FS

// topics are the help topics besides the commands, in the order of the help.
var topics = []struct{ name, short string }{
	{"policy", "What a policy can say: every key, generated from its schema"},
	{"exit-codes", "What each exit code means, and what stops what"},
	{"formats", "Plans, reports and the other files: what is in them and who reads them"},
	{"security", "What privsync can do, what its account needs, how secrets are kept"},
	{"scaling", "Large servers, many servers"},
}

// addTopics adds the help topics: commands that only have a help text.
func addTopics(root *cobra.Command) error {
	for _, t := range topics {
		text, err := topicFiles.ReadFile("topics/" + t.name + ".txt")
		if err != nil {
			return fmt.Errorf("help topic: %w", err)
		}
		long := strings.TrimSpace(string(text))
		if t.name == "policy" {
			reference, err := policyReference()
			if err != nil {
				return fmt.Errorf("help topic policy: %w", err)
			}
			long += "\n\n" + reference
		}
		root.AddCommand(&cobra.Command{Use: t.name, Short: t.short, Long: long})
	}
	return nil
}

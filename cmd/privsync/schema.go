package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/policy"
	"privsync/schema"
)

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema NAME",
		Short: "Print a JSON Schema: " + strings.Join(schema.Names(), ", "),
		Long: `Print one of the JSON Schemas (draft 2020-12) that privsync itself checks with,
as one self-contained document.

An editor with a YAML language server completes and checks a policy when its
first line names the saved schema:

  # yaml-language-server: $schema=policy.schema.json

The names: ` + strings.Join(schema.Names(), ", ") + `.`,
		Example: `  privsync schema policy > policy.schema.json
  privsync schema report | jq .properties.run`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: schema.Names(),
		RunE: func(_ *cobra.Command, args []string) error {
			text, err := schema.Text(args[0])
			if err != nil {
				hint := "the names are " + strings.Join(schema.Names(), ", ")
				if near := policy.Suggest(args[0], schema.Names()); near != "" {
					hint = fmt.Sprintf("did you mean %s? %s", clean.Quote(near), hint)
				}
				return hinted(fmt.Errorf("there is no schema %s", clean.Quote(args[0])), hint)
			}
			_, err = a.stdout.Write(text)
			return err
		},
	}
}

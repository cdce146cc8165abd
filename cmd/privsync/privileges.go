package main

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"privsync/cmd/privsync/internal/render"
	"privsync/document"
	"privsync/planner"
	"privsync/policy"
)

func newPrivileges(a *app) *cobra.Command {
	var (
		conn   connectionFlags
		save   string
		format = newChoice("text", "json")
	)
	cmd := &cobra.Command{
		Use:   "privileges",
		Short: "Show or save the server's catalogue of privileges",
		Long: `Show every privilege that the server knows: number, level, name. These are the
names and numbers that a policy may use.

With --save the catalogue is written to a file, so that "privsync validate
--catalog FILE" can check names offline, for example in a pull request.`,
		Example: `  privsync privileges
  privsync privileges --save catalogue.json
  privsync privileges --format json | jq '.privileges[] | select(.level == "server") | .name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			cfg, err := conn.config(a, policy.Environment{})
			if err != nil {
				return err
			}
			r, err := a.openReader(ctx, cfg)
			if err != nil {
				return err
			}
			defer a.logout(ctx, r)
			status, err := r.Status(ctx)
			if err != nil {
				return fmt.Errorf("read the server's versions: %w", err)
			}
			list, err := r.Catalogue(ctx)
			if err != nil {
				return fmt.Errorf("read the catalogue: %w", err)
			}
			a.warnOdd(r)
			doc := &catalogue{
				Format: catalogueFormat, Tool: toolRef(),
				Environment: planner.Environment{URL: r.URL(), IServerVersion: status.IServerVersion, WebVersion: status.WebVersion},
				Privileges:  []cataloguedItem{},
			}
			for _, p := range list {
				doc.Privileges = append(doc.Privileges, cataloguedItem{p.ID, p.Name, p.Level(), p.Description, p.Categories})
			}
			slices.SortFunc(doc.Privileges, func(a, b cataloguedItem) int { return cmp.Compare(a.ID, b.ID) })
			if save != "" {
				if err := document.WriteFile(save, doc); err != nil {
					return hinted(fmt.Errorf("save the catalogue: %w", err), "name a file that can be written with --save")
				}
				a.say("catalogue: %s (%s)", save, plural(len(doc.Privileges), "privilege", "privileges"))
				if format.value == "text" {
					return nil
				}
			}
			if format.value == "json" {
				_, err := doc.WriteTo(a.stdout)
				return err
			}
			w := bufio.NewWriter(a.stdout)
			for _, p := range doc.Privileges {
				fmt.Fprintf(w, "%5d  %-7s  %s\n", p.ID, p.Level, render.Clean(p.Name))
			}
			return w.Flush()
		},
	}
	conn.register(cmd)
	addFormat(cmd, &format)
	cmd.Flags().StringVar(&save, "save", "", "write the catalogue as JSON to `FILE`")
	_ = cmd.MarkFlagFilename("save", "json")
	return cmd
}

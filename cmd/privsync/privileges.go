package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/document"
	"privsync/input"
	"privsync/mstrapi"
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
			r, _, err := conn.reader(ctx, a, policy.Environment{})
			if err != nil {
				return err
			}
			status, err := r.Status(ctx)
			if err != nil {
				return fmt.Errorf("read the server's versions: %w", err)
			}
			list, err := r.Catalogue(ctx)
			if err != nil {
				return fmt.Errorf("read the catalogue: %w", err)
			}
			a.warnOdd(r)
			doc := &savedCatalogue{
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
				a.say("catalogue: %s (%s)", save, clean.Count(len(doc.Privileges), "privilege"))
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
	return cmd
}

// catalogueFormat is the format of a saved catalogue.
const catalogueFormat = "privsync/catalogue/v1"

// maxCatalogue bounds a catalogue file; a server's has some 300 entries.
const maxCatalogue = 16 << 20

// savedCatalogue is the document that privileges --save writes and that validate
// --catalog reads.
type savedCatalogue struct {
	Format      string              `json:"format"`
	Tool        planner.Tool        `json:"tool"`
	Environment planner.Environment `json:"environment"`
	Privileges  []cataloguedItem    `json:"privileges"` // sorted by number
}

type cataloguedItem struct {
	ID          mstrapi.PrivilegeID `json:"id"`
	Name        string              `json:"name"`
	Level       mstrapi.Level       `json:"level"`
	Description string              `json:"description,omitempty"`
	Categories  []string            `json:"categories,omitempty"`
}

// WriteTo writes c as indented JSON.
func (c *savedCatalogue) WriteTo(w io.Writer) (int64, error) {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return 0, err
	}
	n, err := (&jsonSafe{w: w}).Write(append(data, '\n'))
	return int64(n), err
}

// readCatalogue reads a saved catalogue.
func readCatalogue(path string) ([]policy.CataloguePrivilege, error) {
	const hint = `save one with "privsync privileges --save FILE"`
	f, err := input.Open(path)
	if err != nil {
		return nil, hinted(fmt.Errorf("catalogue: %w", err), hint)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCatalogue+1))
	if err != nil {
		return nil, fmt.Errorf("catalogue %s: %w", path, err)
	}
	if len(data) > maxCatalogue {
		return nil, hinted(fmt.Errorf("catalogue %s is larger than %d bytes", path, maxCatalogue), hint)
	}
	if data, err = withoutMark(data); err != nil {
		return nil, hinted(fmt.Errorf("catalogue %s: %w", path, err), hint)
	}
	var c savedCatalogue
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, hinted(fmt.Errorf("catalogue %s: %w", path, err), hint)
	}
	if c.Format != catalogueFormat {
		return nil, hinted(fmt.Errorf("catalogue %s: format is %s, want %s", path, clean.Quote(c.Format), catalogueFormat), hint)
	}
	known := make([]policy.CataloguePrivilege, 0, len(c.Privileges))
	for _, p := range c.Privileges {
		if p.ID < 1 || p.ID > mstrapi.MaxPrivilegeID {
			return nil, hinted(fmt.Errorf("catalogue %s: entry %d %s is not a privilege", path, p.ID, clean.Quote(p.Name)), hint)
		}
		known = append(known, policy.CataloguePrivilege{ID: int(p.ID), Name: p.Name, ProjectLevel: p.Level == mstrapi.LevelProject})
	}
	return known, nil
}

// warnOdd says what was odd in the catalogue that r has read, where no plan does.
func (a *app) warnOdd(r *mstrapi.Reader) {
	for _, o := range r.OddPrivileges() {
		do := "nothing can name it"
		if o.Kept {
			do = "name it by its number"
		}
		a.log.Warn("odd entry in the server's catalogue of privileges", "what", o.String(), "do", do)
	}
}

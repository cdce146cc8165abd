package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/cmd/privsync/internal/history"
	"privsync/mstrapi"
	"privsync/policy"
)

func newHistory(a *app) *cobra.Command {
	var (
		from   chainFlags
		url    string
		format = newChoice("text", "json", "csv", "markdown")
	)
	cmd := &cobra.Command{
		Use:   "history {user|group} NAME [PRIVILEGE]",
		Short: "Say since when a principal holds what, by which run, and what changed without one",
		Long: `Say, from the reports of audits and other runs, since when a user (named by login) or a
group (named by name), or either by its id, holds what it holds: granted by which run,
with the policy, its commit, the ticket and who approved it, where the reports say so;
and what came or went without a run (out-of-band), between which moments.

The reports are those of the chains in each --report-dir, and where none is named those
in the store (--state) or in the state folder. Nothing is asked of a server. Reports that say nothing of the principal
are passed over; so are those of another level than a privilege's. That something was
never seen in a report does not mean that it never was.

Exit codes: 0; 1 no report speaks of the principal, or a chain of reports is broken.`,
		Example: `  privsync history user gmartins --report-dir reports/
  privsync history user gmartins "Use User Manager" --report-dir reports/ --report-dir audits/
  privsync history group "Night Shift" 53 --format json | jq '.privileges[].events'`,
		Args: onePrincipal,
		RunE: func(cmd *cobra.Command, args []string) error {
			doc, err := a.history(cmd.Context(), args, url, &from)
			if err != nil {
				return err
			}
			if err := a.writeAnswer(doc, format.value); err != nil {
				return err
			}
			return brokenChains(doc.Chains)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"user", "group"}, cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	addFormat(cmd, &format)
	from.register(cmd)
	cmd.Flags().StringVar(&url, "url", "", "only reports of the server with this `URL`, as the reports spell it")
	return cmd
}

// history follows a principal through the reports that from names.
func (a *app) history(ctx context.Context, args []string, url string, from *chainFlags) (*history.Since, error) {
	kind, name := mstrapi.Kind(args[0]), args[1]
	sources, err := from.sources(a)
	if err != nil {
		return nil, err
	}
	if len(sources) == 0 {
		return nil, hinted(errors.New("no reports are at hand"), "name a folder that runs wrote to with --report-dir")
	}
	f := history.NewFollow(kind, name, url)
	if err := a.awaitDone(func() error { return f.Read(ctx, sources) }); err != nil {
		return nil, fmt.Errorf("read the reports: %w", err)
	}
	var only mstrapi.PrivilegeID
	if len(args) == 3 && f.Met() {
		if only, err = reportedPrivilege(f.PrivilegeNames(), args[2]); err != nil {
			return nil, err
		}
	}
	doc, err := f.Since(toolRef(), only)
	switch {
	case errors.Is(err, history.ErrNotSeen):
		hint := "look into another folder with --report-dir, or look at the server: privsync explain"
		if near := policy.Suggest(name, f.Near()); near != "" {
			hint = fmt.Sprintf("did you mean %s? Otherwise %s", clean.Quote(near), hint)
		}
		return nil, also(hinted(fmt.Errorf("%s %s: %w", kind, clean.Quote(name), err), hint), brokenChains(f.Chains()))
	case errors.Is(err, history.ErrSeveral):
		return nil, hinted(err, "name one by its id, or the server with --url")
	}
	return doc, err
}

// reportedPrivilege returns the number of a privilege that is named by number, or by a
// name that some report has.
func reportedPrivilege(known map[mstrapi.PrivilegeID]string, text string) (mstrapi.PrivilegeID, error) {
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= int(mstrapi.MaxPrivilegeID) {
		return mstrapi.PrivilegeID(n), nil
	}
	return privilegeNamed(known, text, "the reports have", "the reports name no privilege", "nobody in these reports ever held one of that name; name it by number")
}

// privilegeNamed returns the number of the privilege that text names among those known,
// in any case; several and none are how the errors begin for more than one and for none.
func privilegeNamed(known map[mstrapi.PrivilegeID]string, text, several, none, hint string) (mstrapi.PrivilegeID, error) {
	var found []mstrapi.PrivilegeID
	for id, name := range known {
		if strings.EqualFold(name, text) {
			found = append(found, id)
		}
	}
	slices.Sort(found)
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return 0, hinted(fmt.Errorf("%s %d privileges called %s", several, len(found), clean.Quote(text)), fmt.Sprintf("name it by number: %v", found))
	}
	if near := policy.Suggest(text, slices.Sorted(maps.Values(known))); near != "" {
		hint = fmt.Sprintf("did you mean %s?", clean.Quote(near))
	}
	return 0, hinted(fmt.Errorf("%s %s", none, clean.Quote(text)), hint)
}

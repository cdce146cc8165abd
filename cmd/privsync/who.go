package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/executor"
	"privsync/executor/pgstore"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

func newWho(a *app) *cobra.Command {
	var (
		conn     connectionFlags
		project  string
		names    string
		state    stateFlags
		at       string
		deadline = span{value: defaultDeadline, zeroOK: true}
		format   = newChoice("text", "json", "csv", "markdown")
	)
	cmd := &cobra.Command{
		Use:   "who PRIVILEGE…",
		Short: "List everybody who effectively holds a privilege, and by which ways",
		Long: `List every user and every group that effectively holds a privilege, given by name or
by number: directly, through which groups, or by a security role in a project. Users
that are disabled are marked. Of several privileges each is listed for itself.

Everybody on the server is read, one request each: nothing less tells who holds a
privilege directly. A group that stands as the way may be the one that holds the
privilege or the user's own group above which it is held; what "from" names after it
holds it itself.

--project leaves out what security roles give in other projects. Server-level
privileges, and what is granted directly or through a group, hold in every project.

With --at no server is asked: the reports in the store that --state names say who held it
then, as the latest report before that time saw it, when and by which run that was, and at
whom no report had looked by then. Only principals that reports cover are known there, and
before the first report the exit code is 1. --url chooses among the servers of the store.

Exit codes: 0; 1 if not everybody could be read, whom the output then names: nobody
else is missing from the list. A server that gives no list of its users, but only the
members of the group Everyone, counts as one that was not read completely.`,
		Example: `  privsync who "Use User Manager"
  privsync who 53 54 --format csv > holders.csv
  privsync who "Bypass all object security access checks" --at 2026-03-03 --state postgres://privsync@db/privsync
  privsync who "Web administration" --format json | jq -r '.holders[].principal.login'
  privsync who "Use Report Objects" --project "MicroStrategy Tutorial"`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, done := a.within(cmd.Context(), deadline)
			defer done()
			if at != "" {
				if format.value == "markdown" || project != "" {
					return hinted(errors.New("--at knows no projects and no Markdown"), "leave --project out, and take text, json or csv")
				}
				return a.whoAt(ctx, &state, args, at, conn.url, format.value)
			}
			r, cfg, err := conn.reader(ctx, a, policy.Environment{})
			if err != nil {
				return err
			}
			doc, err := a.who(ctx, r, cfg.Concurrency, args, project)
			if err != nil {
				return err
			}
			if err := a.writeAnswer(doc, format.value); err != nil {
				return err
			}
			return whoEnding(doc)
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return completePrivileges(a, names), cobra.ShellCompDirectiveNoFileComp
		},
	}
	conn.register(cmd)
	addFormat(cmd, &format)
	addDeadline(cmd, &deadline)
	state.registerStore(cmd)
	cmd.Flags().StringVar(&at, "at", "", "ask the reports of the store (--state) who held it at this `TIME` (RFC 3339, or a date, which means the end of that day in UTC, and today now)")
	cmd.Flags().StringVar(&project, "project", "", "count security roles in the project with this `NAME` or id only")
	cmd.Flags().StringVar(&names, "catalog", "", "complete the names of privileges in the shell from the catalogue in `FILE`")
	return cmd
}

// who reads who holds the privileges that are named.
func (a *app) who(ctx context.Context, r *mstrapi.Reader, concurrency int, privileges []string, project string) (*planner.Holders, error) {
	start := a.now()
	list, err := r.Catalogue(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	var asked planner.Set
	for _, text := range privileges {
		id, err := findPrivilege(list, text)
		if err != nil {
			return nil, err
		}
		asked.Add(id)
	}
	var in *planner.ProjectRef
	if project != "" {
		if in, err = a.findProject(ctx, r, project); err != nil {
			return nil, err
		}
	}
	p := a.startProgress(r.Pace)
	defer p.end()
	doc, err := planner.Who(ctx, r, planner.WhoOptions{
		Tool: toolRef(), URL: r.URL(), Concurrency: concurrency, Now: start, Catalogue: list, Privileges: asked, Project: in,
		Progress: p.report, Logger: a.log,
	})
	if err != nil {
		return nil, fmt.Errorf("read from %s: %w", r.URL(), err)
	}
	return doc, nil
}

// findProject returns the project that is named by name or id. An id is taken as it is
// where the server does not show the project to the session's user.
func (a *app) findProject(ctx context.Context, r *mstrapi.Reader, text string) (*planner.ProjectRef, error) {
	list, err := r.Projects(ctx)
	id := mstrapi.ObjectID(strings.ToUpper(text))
	var found []mstrapi.ObjectRef
	var names []string
	for _, p := range list {
		if p.Name == text || p.ID == id {
			found = append(found, p)
		}
		names = append(names, p.Name)
	}
	switch {
	case len(found) == 1:
		return &planner.ProjectRef{ID: found[0].ID, Name: found[0].Name}, nil
	case len(found) > 1:
		ids := make([]string, len(found))
		for i, p := range found {
			ids[i] = string(p.ID)
		}
		return nil, hinted(fmt.Errorf("the server has %d projects called %s", len(found), clean.Quote(text)), "name one by its id: "+strings.Join(ids, ", "))
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case id.Valid():
		a.log.Warn("the server does not show such a project to the session's user: its id is taken as it is", "project", string(id))
		return &planner.ProjectRef{ID: id}, nil
	case err != nil:
		return nil, hinted(fmt.Errorf("read the projects: %w", err), "name the project by its id")
	}
	hint := "name the project by its id, or as a user who sees it"
	if near := policy.Suggest(text, names); near != "" {
		hint = fmt.Sprintf("did you mean %s?", clean.Quote(near))
	}
	return nil, hinted(fmt.Errorf("the server has no project %s that the session's user sees", clean.Quote(text)), hint)
}

// maxUnreadNamed is how many of those that could not be read an error names.
const maxUnreadNamed = 5

// whoEnding returns how the command ends: with an error if not everybody was read.
func whoEnding(doc *planner.Holders) error {
	if doc.Complete {
		return nil
	}
	var who []string
	for _, u := range doc.Unread[:min(len(doc.Unread), maxUnreadNamed)] {
		who = append(who, string(u.Principal.Kind)+" "+clean.Quote(cmp.Or(u.Principal.Login, u.Principal.Name, string(u.Principal.ID))))
	}
	what := "the lists of users and groups are not complete"
	if n := len(doc.Unread); n > 0 {
		what = fmt.Sprintf("%s could not be read: %s", clean.Count(n, "principal"), strings.Join(who, ", "))
		if n > len(who) {
			what += fmt.Sprintf(" and %d more", n-len(who))
		}
	}
	return hinted(fmt.Errorf("not everybody is in the list: %s", what), "the output names them and says why; ask again once that is mended")
}

// endOf returns the moment that --at means: a time, or the end of a day in UTC, which for
// the present day is now.
func endOf(text string, now time.Time) (time.Time, error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		end := day.AddDate(0, 0, 1).Add(-time.Millisecond)
		if end.After(now) && !day.After(now) {
			return now, nil
		}
		return end, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, hinted(fmt.Errorf("--at: %s is neither a date nor a time", clean.Quote(text)), "write it like 2026-03-03, which means the end of that day in UTC, or like 2026-03-03T12:00:00Z")
	}
	return at, nil
}

// whoAt says who held the privileges at a time, from the reports in the store.
func (a *app) whoAt(ctx context.Context, state *stateFlags, privileges []string, text, url, format string) error {
	at, err := endOf(text, a.now())
	if err != nil {
		return err
	}
	if at.After(a.now()) {
		return hinted(fmt.Errorf("--at: %s is yet to come", at.UTC().Format(time.RFC3339)), "without --at the server is asked for the present")
	}
	if !state.shared() {
		return hinted(errors.New("who --at reads the reports of a store, and none is named"), "name it with --state or PRIVSYNC_STATE; what one principal held tells privsync history, from a folder, too")
	}
	if url != "" {
		if url, err = mstrapi.BaseURL(url); err != nil {
			return err
		}
	}
	store, err := state.look(a)
	if err != nil {
		return err
	}
	database, ok := store.(*pgstore.Store)
	if !ok {
		return errors.New("this store has no history")
	}
	doc, err := await(a, func() (*executor.HeldAt, error) { return database.HeldAt(ctx, privileges, at, url) })
	if err != nil {
		return storeError(err)
	}
	doc.Tool = toolRef()
	return a.writeAnswer(doc, format)
}

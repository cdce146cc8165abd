package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"privsync/clean"
	"privsync/document"
	"privsync/mstrapi"
	"privsync/panics"
	"privsync/planner"
	"privsync/policy"
)

func newExport(a *app) *cobra.Command {
	var (
		conn  connectionFlags
		out   string
		name  string
		force bool
		level = newChoice("server", "project", "all")
	)
	cmd := &cobra.Command{
		Use:   "export [user|group NAME…]",
		Short: "Write a policy that describes the server's direct grants",
		Long: `Read the direct grants of every user and group, or of the named ones, and write
a policy that says just that: planning it changes nothing. It is the start of a
policy for a server that has none: take out, entry by entry, what should not be.

The policy names the server as environment.url. That alone sends no login there:
name the server with --url or PRIVSYNC_URL as well, or list it in PRIVSYNC_SERVERS
(base URLs separated by blanks or commas), or one a line in ~/.config/privsync/servers
or /etc/privsync/servers.

It is a safe start: no plan of it may revoke more than 25 privileges or change the
administrators (safety), and who holds a direct grant and is in no entry is reported
(unlisted). What you take out of an entry's list is revoked by the next apply.
Deleting a whole entry revokes nothing, and nor does a user or group that comes to
hold something later: only unlisted: revoke would.

Principals carry their id as a pin. A combination of three or more privileges that
three or more principals share becomes a set, named by what is in it: another export
differs from this one only where the server does. Principals without direct grants
are left out unless named; a policy of named ones says nothing of the others.`,
		Example: `  privsync export --out policy.yaml
  privsync export user demo gmartins group "Night Shift"
  privsync export --out policy.yaml && privsync plan -f policy.yaml --detailed-exitcode`,
		Args: func(_ *cobra.Command, args []string) error {
			_, err := parseNamed(args)
			return err
		},
		ValidArgsFunction: cobra.FixedCompletions([]string{"user", "group"}, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			named, err := parseNamed(args)
			if err != nil {
				return err
			}
			if info, err := os.Lstat(out); err == nil && info.Mode().IsRegular() && !force {
				return hinted(fmt.Errorf("%s is there already", out), "name another file with --out, or say --force to overwrite it")
			}
			r, cfg, err := conn.reader(ctx, a, policy.Environment{})
			if err != nil {
				return err
			}
			e := exporter{app: a, r: r, level: mstrapi.Level(level.value), concurrency: cfg.Concurrency}
			doc, summary, err := e.export(ctx, named, name)
			if err != nil {
				return err
			}
			if out == "" {
				if _, err := doc.WriteTo(a.stdout); err != nil {
					return err
				}
			} else {
				if err := document.WriteFile(out, doc); err != nil {
					return hinted(fmt.Errorf("save the policy: %w", err), "name a file that can be written with --out")
				}
				a.say("policy: %s", out)
			}
			for _, line := range summary {
				a.say("%s", line)
			}
			a.say("next: privsync plan -f %s (it finds nothing to do); take out what should not be, and plan again", cmp.Or(out, "FILE"))
			return nil
		},
	}
	conn.register(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&out, "out", "o", "", "write the policy to `FILE`, which must not exist yet")
	flags.BoolVar(&force, "force", false, "overwrite the file that --out names")
	flags.StringVar(&name, "name", "exported", "the policy's metadata.name")
	flags.Var(&level, "scope", "privileges to describe: server, project or all")
	_ = cmd.MarkFlagFilename("out", "yaml")
	return cmd
}

// named is a principal that the command line names.
type named struct {
	kind mstrapi.Kind
	name string
}

// parseNamed reads "user NAME… group NAME…".
func parseNamed(args []string) ([]named, error) {
	var list []named
	var kind mstrapi.Kind
	for _, arg := range args {
		switch {
		case arg == "user" || arg == "group":
			kind = mstrapi.Kind(arg)
		case kind == "":
			return nil, fmt.Errorf("say whether %s is a user or a group", clean.Quote(arg))
		default:
			list = append(list, named{kind, arg})
		}
	}
	if kind != "" && len(list) == 0 {
		return nil, fmt.Errorf("name a %s", kind)
	}
	return list, nil
}

// exporter reads what a policy is made of.
type exporter struct {
	*app
	r           *mstrapi.Reader
	level       mstrapi.Level
	concurrency int
}

// exported is one principal with its direct grants, by number.
type exported struct {
	row    mstrapi.PrincipalRow
	direct []mstrapi.PrivilegeID
}

// export returns the policy, and what there is to say about it, a line each.
func (e *exporter) export(ctx context.Context, names []named, policyName string) (*bytes.Buffer, []string, error) {
	catalogue, err := e.r.Catalogue(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read the catalogue: %w", err)
	}
	e.warnOdd(e.r)
	var rows []mstrapi.PrincipalRow
	if len(names) == 0 {
		for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
			all, err := e.r.List(kind, mstrapi.Query{}).All(ctx)
			if err != nil {
				return nil, nil, fmt.Errorf("list the %ss: %w", kind, err)
			}
			rows = append(rows, all...)
		}
		if e.r.OnlyEveryone() {
			e.log.Warn("the server gives no list of its users: the members of the group Everyone are exported, among which guests and some service accounts are not")
		}
	}
	for _, n := range names {
		row, err := findPrincipal(ctx, e.r, n.kind, n.name)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b mstrapi.PrincipalRow) int {
		// "group" sorts before "user".
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	rows = slices.CompactFunc(rows, func(a, b mstrapi.PrincipalRow) bool { return a.ID == b.ID })
	all, err := e.read(ctx, rows)
	if err != nil {
		return nil, nil, err
	}
	draft := &policyDraft{name: policyName, level: e.level, url: e.r.URL(), catalogue: catalogue, protected: administrators(rows), whole: len(names) == 0}
	draft.entries = all
	if draft.whole {
		draft.entries = slices.DeleteFunc(slices.Clone(all), func(p exported) bool { return len(p.direct) == 0 })
	}
	shown := make([]*mstrapi.PrincipalRow, len(draft.entries))
	for i := range draft.entries {
		shown[i] = &draft.entries[i].row
	}
	if err := planner.ReadTenants(ctx, e.r, e.concurrency, shown); err != nil {
		return nil, nil, fmt.Errorf("read the tenants: %w", err)
	}
	doc, sets, err := draft.write()
	if err != nil {
		return nil, nil, err
	}
	return doc, draft.summary(len(all), sets), nil
}

// read reads the direct grants of rows. An error ends it: a policy that lacks
// what could not be read would revoke it.
func (e *exporter) read(ctx context.Context, rows []mstrapi.PrincipalRow) ([]exported, error) {
	p := e.startProgress(e.r.Pace)
	defer p.end()
	all := make([]exported, len(rows))
	var done atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.concurrency)
	for i, row := range rows {
		panics.Go(g, func() error {
			held, err := e.r.Held(ctx, row.Kind, row.ID, e.level)
			if gone, fatal := isGone(ctx, e.r, row.Kind, row.ID, err); gone || fatal != nil {
				if gone {
					e.log.Info("left out: a list names it and the server does not have it", "kind", row.Kind, "id", row.ID, "name", row.Name)
				}
				return fatal
			}
			if err != nil {
				return fmt.Errorf("read the privileges of %s %s: %w", row.Kind, clean.Quote(row.Name), err)
			}
			all[i].row = row
			for _, h := range held {
				if h.Direct {
					all[i].direct = append(all[i].direct, h.ID)
				}
			}
			slices.Sort(all[i].direct)
			p.report("observe", int(done.Add(1)), len(rows))
			return nil
		})
	}
	err := g.Wait()
	return slices.DeleteFunc(all, func(p exported) bool { return p.row.ID == "" }), err
}

// findPrincipal is [planner.Find], with a hint where there is not one.
func findPrincipal(ctx context.Context, r *mstrapi.Reader, kind mstrapi.Kind, name string) (mstrapi.PrincipalRow, error) {
	row, err := planner.Find(ctx, r, kind, name)
	var not *planner.NotOne
	switch {
	case err == nil:
		return row, nil
	case !errors.As(err, &not):
		return row, fmt.Errorf("find %s %s: %w", kind, clean.Quote(name), err)
	case not.IDs != "":
		return row, hinted(err, "name one by its id: "+not.IDs)
	case not.OnlyEveryone:
		return row, hinted(err, cmp.Or(not.Meant, "check the spelling;")+" a guest or a service account may be outside that group: name it by its id")
	}
	return row, hinted(err, cmp.Or(not.Meant, "check the spelling; a user is named by its login"))
}

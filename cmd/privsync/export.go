package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"gopkg.in/yaml.v3"

	"privsync/clean"
	"privsync/cmd/privsync/internal/render"
	"privsync/executor"
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

Principals carry their id as a pin, and combinations that several principals
share become sets. Principals without direct grants are left out unless named.`,
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
			cfg, err := conn.config(a, policy.Environment{})
			if err != nil {
				return err
			}
			r, err := a.openReader(ctx, cfg)
			if err != nil {
				return err
			}
			defer a.logout(ctx, r)
			e := exporter{app: a, r: r, level: mstrapi.Level(level.value), concurrency: cfg.Concurrency}
			doc, err := e.export(ctx, named, name)
			if err != nil {
				return err
			}
			if out == "" {
				_, err := doc.WriteTo(a.stdout)
				return err
			}
			if err := executor.WriteFile(out, doc); err != nil {
				return hinted(fmt.Errorf("save the policy: %w", err), "name a file that can be written with --out")
			}
			a.say("policy: %s", out)
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
	_ = cmd.RegisterFlagCompletionFunc("scope", level.complete)
	_ = cmd.RegisterFlagCompletionFunc("name", cobra.NoFileCompletions)
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
			return nil, fmt.Errorf("say whether %q is a user or a group", arg)
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

func (e *exporter) export(ctx context.Context, names []named, policyName string) (*bytes.Buffer, error) {
	catalogue, err := e.r.Catalogue(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	e.warnOdd(e.r)
	var rows []mstrapi.PrincipalRow
	if len(names) == 0 {
		for _, kind := range []mstrapi.Kind{mstrapi.Group, mstrapi.User} {
			err := e.r.ListAll(ctx, kind, mstrapi.Query{}, func(row mstrapi.PrincipalRow) error {
				rows = append(rows, row)
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("list the %ss: %w", kind, err)
			}
		}
		if e.r.OnlyEveryone() {
			e.log.Warn("the server gives no list of its users: the members of the group Everyone are exported, among which guests and some service accounts are not")
		}
	}
	for _, n := range names {
		row, err := findPrincipal(ctx, e.r, n.kind, n.name)
		if err != nil {
			return nil, err
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
		return nil, err
	}
	if len(names) == 0 {
		all = slices.DeleteFunc(all, func(p exported) bool { return len(p.direct) == 0 })
	}
	return writePolicy(policyName, e.level, e.r.URL(), e.now(), catalogue, all)
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
			if mstrapi.IsNotFound(err) {
				who, asked := sessionUser(ctx, e.r)
				if asked != nil {
					return asked
				}
				if gone, _ := planner.IsGone(ctx, e.r, who.ID, row.Kind, row.ID, err); gone {
					e.log.Info("left out: a list names it and the server does not have it", "kind", row.Kind, "id", row.ID, "name", row.Name)
					return nil
				}
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

// meant returns the login or the name of the principal that name, which nobody has,
// most probably means, or "": a user's own name instead of its login, a name that
// begins in the same way. What cannot be read suggests nothing.
func meant(ctx context.Context, r *mstrapi.Reader, kind mstrapi.Kind, name string, near []string) string {
	if kind == mstrapi.User {
		var login string
		count := 0
		err := r.ListAll(ctx, kind, mstrapi.Query{NameBegins: name}, func(row mstrapi.PrincipalRow) error {
			if strings.EqualFold(row.Name, name) && row.Login != "" {
				login = row.Login
				count++
			}
			return nil
		})
		if err == nil && count == 1 {
			return login
		}
	}
	if s := policy.Suggest(name, near); s != "" {
		return s
	}
	start := []rune(name)
	if len(start) < 2 {
		return ""
	}
	q := mstrapi.Query{NameBegins: string(start[:1])}
	if kind == mstrapi.User {
		q = mstrapi.Query{LoginBegins: string(start[:1])}
	}
	page, err := r.ListPage(ctx, kind, q, 0, 1000)
	if err != nil {
		return ""
	}
	for _, row := range page.Rows {
		near = append(near, cmp.Or(row.Login, row.Name))
	}
	return policy.Suggest(name, near)
}

// objectID is what ids of objects look like.
var objectID = regexp.MustCompile(`^[0-9A-Fa-f]{32}$`)

// findPrincipal returns the one user with the login, or the one group with the
// name; where nobody has the name and it is an id, who has that.
func findPrincipal(ctx context.Context, r *mstrapi.Reader, kind mstrapi.Kind, name string) (mstrapi.PrincipalRow, error) {
	q := mstrapi.Query{NameBegins: name}
	if kind == mstrapi.User {
		q = mstrapi.Query{LoginBegins: name}
	}
	var found []mstrapi.PrincipalRow
	var near []string
	err := r.ListAll(ctx, kind, q, func(row mstrapi.PrincipalRow) error {
		// A login does not regard case, a group's name does.
		if kind == mstrapi.User && strings.EqualFold(row.Login, name) || kind == mstrapi.Group && row.Name == name {
			found = append(found, row)
		} else if len(near) < 1000 {
			near = append(near, cmp.Or(row.Login, row.Name))
		}
		return nil
	})
	if id := mstrapi.ObjectID(strings.ToUpper(name)); err == nil && len(found) == 0 && objectID.MatchString(name) {
		var row mstrapi.PrincipalRow
		if row, err = r.Principal(ctx, kind, id); err == nil {
			row.Kind = kind
			found = append(found, row)
		} else if mstrapi.IsNotFound(err) {
			err = nil
		}
	}
	switch {
	case err != nil:
		return mstrapi.PrincipalRow{}, fmt.Errorf("find %s %s: %w", kind, clean.Quote(name), err)
	case len(found) == 0:
		hint := "check the spelling; a user is named by its login"
		if s := meant(ctx, r, kind, name, near); s != "" {
			hint = fmt.Sprintf("did you mean %q?", s)
			if how := policy.Difference(name, s); how != "" {
				hint += " " + how
			}
		}
		return mstrapi.PrincipalRow{}, hinted(fmt.Errorf("the server has no %s %s", kind, clean.Quote(name)), hint)
	case len(found) > 1:
		ids := make([]string, len(found))
		for i, row := range found {
			ids[i] = string(row.ID)
		}
		return mstrapi.PrincipalRow{}, hinted(fmt.Errorf("the server has %d %ss called %s", len(found), kind, clean.Quote(name)), "name one by its id: "+strings.Join(ids, ", "))
	}
	return found[0], nil
}

// setLines is what a set takes besides its privileges: privilegeSets, its name, its
// description, and the key of its list.
const setLines = 4

// shortens reports whether a set makes the policy shorter when so many principals
// share a combination of so many privileges: the list then stands there once.
func shortens(sharers, privileges int) bool { return (sharers-1)*privileges > setLines }

// writePolicy writes the policy that says what all have.
func writePolicy(name string, level mstrapi.Level, url string, now time.Time, catalogue []mstrapi.Privilege, all []exported) (*bytes.Buffer, error) {
	refs := references(catalogue)
	sharers := map[string][]int{}
	var order []string
	for i, p := range all {
		if len(p.direct) == 0 || !catalogued(p.direct, refs) {
			continue
		}
		key := fmt.Sprint(p.direct)
		if sharers[key] == nil {
			order = append(order, key)
		}
		sharers[key] = append(sharers[key], i)
	}
	sets := map[string]string{}
	setNodes := mapping()
	for _, key := range order {
		users := sharers[key]
		if !shortens(len(users), len(all[users[0]].direct)) {
			continue
		}
		set := "shared-" + strconv.Itoa(len(sets)+1)
		sets[key] = set
		add(setNodes, set, mapping(
			pair{"description", scalar("held by " + plural(len(users), "principal", "principals"))},
			pair{"privileges", privilegeList(all[users[0]].direct, refs)},
		))
	}
	principals := &yaml.Node{Kind: yaml.SequenceNode}
	for _, p := range all {
		entry := mapping()
		name := p.row.Name
		if p.row.Kind == mstrapi.User {
			name = p.row.Login
		}
		add(entry, string(p.row.Kind), scalar(name))
		if p.row.Kind == mstrapi.User && p.row.Name != name {
			entry.Content[1].LineComment = "# " + render.Clean(p.row.Name)
		}
		add(entry, "id", scalar(string(p.row.ID)))
		known := slices.DeleteFunc(slices.Clone(p.direct), func(id mstrapi.PrivilegeID) bool { return refs[id] == "" })
		if len(known) == len(p.direct) {
			add(entry, "mode", scalar("authoritative"))
		} else {
			// What the policy cannot name must not be revoked by it.
			add(entry, "mode", scalar("additive"))
			entry.Content[len(entry.Content)-1].LineComment = "# holds privileges that the catalogue does not name: " + difference(p.direct, known)
		}
		if set := sets[fmt.Sprint(p.direct)]; set != "" {
			list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: []*yaml.Node{scalar(set)}}
			add(entry, "sets", list)
		} else {
			add(entry, "privileges", privilegeList(known, refs))
		}
		principals.Content = append(principals.Content, entry)
	}
	root := mapping(
		pair{"apiVersion", scalar("privsync/v1")},
		pair{"kind", scalar("Policy")},
		pair{"metadata", mapping(pair{"name", scalar(name)})},
		pair{"scope", mapping(pair{"level", scalar(string(level))})},
		pair{"environment", mapping(pair{"url", scalar(url)})},
	)
	if len(sets) > 0 {
		add(root, "privilegeSets", setNodes)
	}
	if len(principals.Content) == 0 {
		return nil, hinted(errors.New("nobody holds a direct grant: there is nothing to describe"), "name users or groups to write entries for them all the same")
	}
	add(root, "principals", principals)
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by privsync export on %s from\n# %s: the direct grants of %s.\n", now.UTC().Format(time.DateOnly), render.Clean(url), plural(len(all), "principal", "principals"))
	fmt.Fprintf(&b, "# A login goes to the server below only if --url or %s names it as well, or\n# %s, ~/.config/privsync/servers or %s lists it.\n", urlVariable, serversVariable, systemServers)
	b.WriteString("# Planning it changes nothing. Every entry is authoritative: what you take out of its\n# list is revoked by the next apply.\n")
	enc := yaml.NewEncoder(&jsonSafe{w: &b, yaml: true}) // its escapes mean the same in a double-quoted scalar
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return &b, enc.Close()
}

// references returns how a policy writes each privilege: by name, or by number
// where several have the name or where it looks like a number; "" is never
// among them.
func references(catalogue []mstrapi.Privilege) map[mstrapi.PrivilegeID]string {
	count := map[string]int{}
	for _, p := range catalogue {
		count[strings.ToLower(p.Name)]++
	}
	refs := make(map[mstrapi.PrivilegeID]string, len(catalogue))
	for _, p := range catalogue {
		ref := p.Name
		if _, err := strconv.Atoi(p.Name); err == nil || count[strings.ToLower(p.Name)] > 1 || p.Name != strings.TrimSpace(p.Name) || render.Clean(p.Name) != p.Name || ref == "" {
			ref = p.ID.String()
		}
		refs[p.ID] = ref
	}
	return refs
}

func catalogued(ids []mstrapi.PrivilegeID, refs map[mstrapi.PrivilegeID]string) bool {
	return !slices.ContainsFunc(ids, func(id mstrapi.PrivilegeID) bool { return refs[id] == "" })
}

// difference lists the ids in all that are not in known.
func difference(all, known []mstrapi.PrivilegeID) string {
	var out []string
	for _, id := range all {
		if !slices.Contains(known, id) {
			out = append(out, id.String())
		}
	}
	return strings.Join(out, ", ")
}

func privilegeList(ids []mstrapi.PrivilegeID, refs map[mstrapi.PrivilegeID]string) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, id := range ids {
		item := scalar(refs[id])
		if refs[id] == id.String() {
			item = &yaml.Node{Kind: yaml.ScalarNode, Value: refs[id]}
		} else {
			item.LineComment = "# " + id.String()
		}
		list.Content = append(list.Content, item)
	}
	if len(ids) == 0 {
		list.Style = yaml.FlowStyle
	}
	return list
}

// pair is a key with its value.
type pair struct {
	key   string
	value *yaml.Node
}

func mapping(pairs ...pair) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, p := range pairs {
		add(m, p.key, p.value)
	}
	return m
}

func add(m *yaml.Node, key string, value *yaml.Node) {
	m.Content = append(m.Content, scalar(key), value)
}

// scalar returns s as a YAML string: the encoder quotes it where YAML would take
// it for something else.
func scalar(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if n.Style == yaml.LiteralStyle || strings.ContainsFunc(s, fools) {
		// A name with line ends stays on one line, so that it cannot pass for YAML,
		// and what could fool a reader stands as an escape.
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

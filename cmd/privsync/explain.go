package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/planner"
	"privsync/policy"
)

// maxClimbed bounds how many groups are read on the way up: a server whose groups are
// that many above one user answers wrongly.
const maxClimbed = 5000

func newExplain(a *app) *cobra.Command {
	var (
		pol    policyFlags
		conn   connectionFlags
		names  string
		format = newChoice("text", "json")

		licences licenceFlags
	)
	cmd := &cobra.Command{
		Use:   "explain {user|group} NAME [PRIVILEGE]",
		Short: "Say why a principal holds, or lacks, a privilege: every path",
		Long: `Say by which ways a user (named by login) or a group (named by name) holds a
privilege: directly, and by each path of groups through which it arrives. Without
PRIVILEGE, everything that it holds is explained. A privilege is given by name or
by number. Paths stand together by the group that they lead to; at most 25 are listed,
and it is said to which groups there are more.

With -f the policy's part is said as well: which entries and selectors cover the
principal and whose settings hold, where and through which set they list or
forbid the privilege, which dates and rules speak of it, and what a plan would do
and why. What the policy names and the principal lacks is explained too.

With a licence map (--licences, or that of the policy) it is said which products the
principal consumes, and by which privileges.`,
		Example: `  privsync explain user gmartins
  privsync explain user gmartins "Monitor Database Connections"
  privsync explain group "Night Shift" 53 -f policy.yaml
  privsync explain user gmartins --licences licences.json`,
		Args: onePrincipal,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			var p *policy.Policy
			var environment policy.Environment
			if len(pol.files) > 0 {
				var err error
				if p, err = pol.load(a); err != nil {
					return err
				}
				environment = p.Environment
			}
			in, err := licences.readMap(a, p)
			if err != nil {
				return err
			}
			if in != nil && in.Map == nil {
				if licences.file != "" {
					return hinted(fmt.Errorf("licence map: %w", in.Err), "learn one with privsync licences learn")
				}
				a.log.Warn("the licence map that the policy names is not there, so licences are not explained", "file", in.Missing)
				in = nil
			}
			r, cfg, err := conn.reader(ctx, a, environment)
			if err != nil {
				return err
			}
			privilege := ""
			if len(args) == 3 {
				privilege = args[2]
			}
			x := &explainer{app: a, r: r, policy: p, at: pol.at(a), concurrency: cfg.Concurrency, licences: in}
			doc, err := x.explain(ctx, mstrapi.Kind(args[0]), args[1], privilege)
			if err != nil {
				return err
			}
			if format.value == "json" {
				return writeJSON(a.stdout, doc)
			}
			_, err = io.WriteString(a.stdout, doc.text())
			return err
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return []string{"user", "group"}, cobra.ShellCompDirectiveNoFileComp
			case 2:
				return completePrivileges(a, names), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	pol.register(cmd)
	conn.register(cmd)
	licences.registerFile(cmd)
	addFormat(cmd, &format)
	cmd.Flags().StringVar(&names, "catalog", "", "complete the names of privileges in the shell from the catalogue in `FILE`")
	return cmd
}

// onePrincipal checks arguments that name a principal, and perhaps a privilege.
func onePrincipal(_ *cobra.Command, args []string) error {
	switch {
	case len(args) < 2 || len(args) > 3:
		return errors.New("name a user or a group, and perhaps a privilege")
	case args[0] != "user" && args[0] != "group":
		return fmt.Errorf("%s is neither user nor group", clean.Quote(args[0]))
	}
	return nil
}

// completePrivileges offers the names in a saved catalogue; nothing where there
// is none.
func completePrivileges(a *app, file string) []string {
	if file == "" {
		return nil
	}
	known, err := await(a, func() ([]policy.CataloguePrivilege, error) { return readCatalogue(file) })
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(known))
	for _, p := range known {
		names = append(names, p.Name)
	}
	return names
}

// The formats of what commands print that has no other home.
const (
	explanationFormat   = "privsync/explain/v1"
	doctorFormat        = "privsync/doctor/v1"
	verifyReportsFormat = "privsync/verify-reports/v1"
)

// explanation is what explain --format json prints.
type explanation struct {
	Format     string               `json:"format"`
	Principal  planner.Principal    `json:"principal"`
	Policy     string               `json:"policy,omitempty"`      // empty: none was given
	Overlay    string               `json:"environment,omitempty"` // that --env selected
	Date       string               `json:"date,omitempty"`        // in UTC, that expiring entries are judged at
	CoveredBy  []coveringEntry      `json:"coveredBy"`
	Says       []string             `json:"policySays,omitempty"` // of the principal as a whole
	Licences   *explainedLicences   `json:"licences,omitempty"`   // nil: not asked for
	Privileges []explainedPrivilege `json:"privileges"`
}

// coveringEntry is an entry of the policy that covers the principal.
type coveringEntry struct {
	Position policy.Position `json:"position"`
	Selector bool            `json:"selector"`
	Chooses  string          `json:"chooses,omitempty"` // what a selector asks for
	Mode     policy.Mode     `json:"mode"`
	Decides  bool            `json:"decides"`         // its settings hold for the principal
	Terms    string          `json:"terms,omitempty"` // how long it counts, why, and what it is for
	// Stated and Default are the settings that the entry itself gives, and those
	// that it leaves to the policy's defaults, as in "mode additive".
	Stated  []string `json:"stated"`
	Default []string `json:"default"`
}

// explainedPrivilege says why one privilege is held or not.
type explainedPrivilege struct {
	planner.PrivilegeRef
	Level  mstrapi.Level `json:"level"`
	Held   bool          `json:"held"`
	Direct bool          `json:"direct"`
	// Paths lead from the principal's direct parent to a group that holds the
	// privilege directly, those to one such group one after the other.
	Paths     [][]mstrapi.ObjectRef `json:"paths"`
	MorePaths bool                  `json:"morePaths,omitempty"`
	Holders   []holder              `json:"holders"`               // all groups above that hold it directly, the nearest first
	Roles     []mstrapi.RoleRef     `json:"roles,omitempty"`       // security roles that give it in one project each
	Other     bool                  `json:"otherSource,omitempty"` // something that is none of these
	Sources   []mstrapi.ObjectRef   `json:"sources"`               // the groups that the server names
	Says      []string              `json:"policySays,omitempty"`
	Decision  string                `json:"decision,omitempty"` // grant, revoke or no change, with the reason
}

// explainer collects what an explanation needs.
type explainer struct {
	*app
	r           *mstrapi.Reader
	policy      *policy.Policy
	at          time.Time
	concurrency int
	licences    *planner.LicenceInput // nil: not asked for
	decided     *planner.Explained    // set where there is a policy

	catalogue map[mstrapi.PrivilegeID]mstrapi.Privilege
	row       mstrapi.PrincipalRow
	parents   map[mstrapi.ObjectID][]mstrapi.ObjectRef  // of the principal and of each group above
	direct    map[mstrapi.ObjectID]planner.Set          // of each group above
	roles     map[mstrapi.PrivilegeID][]mstrapi.RoleRef // of all groups above
}

func (x *explainer) explain(ctx context.Context, kind mstrapi.Kind, name, privilege string) (*explanation, error) {
	list, err := x.r.Catalogue(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	x.catalogue = make(map[mstrapi.PrivilegeID]mstrapi.Privilege, len(list))
	for _, p := range list {
		x.catalogue[p.ID] = p
	}
	var only mstrapi.PrivilegeID
	if privilege != "" {
		if only, err = findPrivilege(list, privilege); err != nil {
			return nil, err
		}
	}
	found, err := findPrincipal(ctx, x.r, kind, name)
	if err != nil {
		return nil, err
	}
	if x.row, err = x.r.Principal(ctx, kind, found.ID); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", kind, clean.Quote(name), err)
	}
	held, err := x.r.Held(ctx, kind, x.row.ID, mstrapi.LevelAll)
	if err != nil {
		return nil, fmt.Errorf("read the privileges of %s %s: %w", kind, clean.Quote(name), err)
	}
	if err := x.climb(ctx); err != nil {
		return nil, err
	}
	doc := &explanation{
		Format:     explanationFormat,
		Principal:  planner.Principal{Kind: kind, ID: x.row.ID, Name: x.row.Name, Login: x.row.Login},
		CoveredBy:  []coveringEntry{},
		Privileges: []explainedPrivilege{},
	}
	slices.SortFunc(held, func(a, b mstrapi.Held) int { return cmp.Compare(a.ID, b.ID) })
	for _, h := range held {
		if only == 0 || h.ID == only {
			doc.Privileges = append(doc.Privileges, x.privilege(h, true))
		}
	}
	if only != 0 && len(doc.Privileges) == 0 {
		doc.Privileges = append(doc.Privileges, x.privilege(mstrapi.Held{ID: only, Level: x.catalogue[only].Level()}, false))
	}
	if x.licences != nil {
		version, err := x.serverVersion(ctx, x.r)
		if err != nil {
			return nil, err
		}
		doc.Licences = x.consumed(held, version)
	}
	if x.policy != nil {
		return doc, x.consult(ctx, doc, only)
	}
	return doc, nil
}

// findPrivilege returns the number of a privilege given by number or name.
func findPrivilege(list []mstrapi.Privilege, text string) (mstrapi.PrivilegeID, error) {
	number, err := strconv.Atoi(text)
	known := make(map[mstrapi.PrivilegeID]string, len(list))
	for _, p := range list {
		if err == nil && int(p.ID) == number {
			return p.ID, nil
		}
		known[p.ID] = p.Name
	}
	return privilegeNamed(known, text, "the catalogue has", "the catalogue has no privilege", `"privsync privileges" lists them`)
}

// climb reads the groups above the principal, and what each holds directly.
func (x *explainer) climb(ctx context.Context) error {
	x.parents = map[mstrapi.ObjectID][]mstrapi.ObjectRef{}
	x.direct = map[mstrapi.ObjectID]planner.Set{}
	x.roles = map[mstrapi.PrivilegeID][]mstrapi.RoleRef{}
	type step struct {
		kind mstrapi.Kind
		id   mstrapi.ObjectID
	}
	queue := []step{{x.row.Kind, x.row.ID}}
	seen := map[mstrapi.ObjectID]bool{x.row.ID: true}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		parents, err := x.r.Memberships(ctx, s.kind, s.id)
		if err != nil && s.id != x.row.ID && x.gone(ctx, s.id, err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the groups above %s %s: %w", s.kind, s.id, err)
		}
		x.parents[s.id] = parents
		if s.id != x.row.ID {
			held, err := x.r.Held(ctx, mstrapi.Group, s.id, mstrapi.LevelAll)
			if err != nil && x.gone(ctx, s.id, err) {
				continue
			}
			if err != nil {
				return fmt.Errorf("read the privileges of group %s: %w", s.id, err)
			}
			var direct planner.Set
			for _, h := range held {
				if h.Direct {
					direct.Add(h.ID)
				}
				x.roles[h.ID] = append(x.roles[h.ID], h.Roles...)
			}
			x.direct[s.id] = direct
		}
		for _, p := range parents {
			if !seen[p.ID] {
				seen[p.ID] = true
				queue = append(queue, step{mstrapi.Group, p.ID})
			}
		}
		if len(seen) > maxClimbed {
			return fmt.Errorf("more than %d groups above %s %s", maxClimbed, x.row.Kind, clean.Quote(x.row.Name))
		}
	}
	return nil
}

// gone reports whether err says that a group above, which the server named, does
// not exist: nothing comes from it.
func (x *explainer) gone(ctx context.Context, id mstrapi.ObjectID, err error) bool {
	gone, _ := isGone(ctx, x.r, mstrapi.Group, id, err)
	if gone {
		x.log.Info("a group above does not exist: the server names it and does not have it", "id", id)
	}
	return gone
}

// privilege explains one privilege.
func (x *explainer) privilege(h mstrapi.Held, held bool) explainedPrivilege {
	e := explainedPrivilege{
		PrivilegeRef: planner.PrivilegeRef{ID: h.ID, Name: x.catalogue[h.ID].Name},
		Level:        cmp.Or(h.Level, x.catalogue[h.ID].Level()),
		Held:         held, Direct: h.Direct, Roles: h.Roles, Other: h.Other, Sources: h.Groups,
	}
	for _, r := range x.roles[h.ID] {
		if !slices.Contains(e.Roles, r) {
			e.Roles = append(slices.Clip(e.Roles), r)
		}
	}
	if e.Sources == nil {
		e.Sources = []mstrapi.ObjectRef{}
	}
	e.Holders, e.Paths = x.ways(h.ID)
	e.MorePaths = slices.ContainsFunc(e.Holders, func(g holder) bool { return g.MorePaths })
	return e
}

// On a lattice of groups the paths double with every level, so that they are not
// counted, and found only along groups that lead to one that holds the privilege.
const (
	// maxPaths bounds how many paths are listed for one privilege.
	maxPaths = 25
	// maxSteps bounds how many groups are looked at for the paths to one group: where
	// groups contain themselves a way up may lead nowhere.
	maxSteps = 10_000
)

// holder is a group above that holds a privilege directly. MorePaths says that not
// every path to it is listed.
type holder struct {
	mstrapi.ObjectRef
	MorePaths bool `json:"morePaths,omitempty"`
}

// ways returns the groups above the principal that hold the privilege directly, and
// paths to them.
func (x *explainer) ways(privilege mstrapi.PrivilegeID) ([]holder, [][]mstrapi.ObjectRef) {
	holders, paths := []holder{}, [][]mstrapi.ObjectRef{}
	queue := []mstrapi.ObjectID{x.row.ID}
	seen := map[mstrapi.ObjectID]bool{x.row.ID: true}
	for len(queue) > 0 {
		parents := x.parents[queue[0]]
		queue = queue[1:]
		for _, p := range parents {
			if seen[p.ID] {
				continue
			}
			seen[p.ID] = true
			queue = append(queue, p.ID)
			if direct := x.direct[p.ID]; direct.Has(privilege) {
				holders = append(holders, holder{ObjectRef: p})
			}
		}
	}
	for i := range holders {
		most := 0
		if room := maxPaths - len(paths); room > 0 {
			most = max(1, room/(len(holders)-i))
		}
		found, more := x.pathsTo(holders[i].ID, most)
		paths = append(paths, found...)
		holders[i].MorePaths = more
	}
	return holders, paths
}

// pathsTo returns at most most paths up to the group, the shortest first, and
// whether there may be more.
func (x *explainer) pathsTo(group mstrapi.ObjectID, most int) (paths [][]mstrapi.ObjectRef, more bool) {
	if most == 0 {
		return nil, true
	}
	far := x.distances(group)
	steps := 0
	var up func(id mstrapi.ObjectID, trail []mstrapi.ObjectRef)
	up = func(id mstrapi.ObjectID, trail []mstrapi.ObjectRef) {
		var next []mstrapi.ObjectRef
		for _, p := range x.parents[id] {
			if _, leads := far[p.ID]; leads && p.ID != x.row.ID && !slices.ContainsFunc(trail, func(q mstrapi.ObjectRef) bool { return q.ID == p.ID }) {
				next = append(next, p)
			}
		}
		slices.SortStableFunc(next, func(a, b mstrapi.ObjectRef) int { return cmp.Compare(far[a.ID], far[b.ID]) })
		for _, p := range next {
			steps++
			if more = more || len(paths) == most || steps > maxSteps; more {
				return
			}
			here := append(slices.Clone(trail), p)
			if p.ID == group {
				paths = append(paths, here)
				continue
			}
			up(p.ID, here)
		}
	}
	up(x.row.ID, nil)
	return paths, more
}

// distances returns how many steps lead from each group, and from the principal, up
// to the group, where any do.
func (x *explainer) distances(group mstrapi.ObjectID) map[mstrapi.ObjectID]int {
	below := make(map[mstrapi.ObjectID][]mstrapi.ObjectID, len(x.parents))
	for id, parents := range x.parents {
		for _, p := range parents {
			below[p.ID] = append(below[p.ID], id)
		}
	}
	far := map[mstrapi.ObjectID]int{group: 0}
	for queue := []mstrapi.ObjectID{group}; len(queue) > 0; queue = queue[1:] {
		for _, id := range below[queue[0]] {
			if _, known := far[id]; !known {
				far[id] = far[queue[0]] + 1
				queue = append(queue, id)
			}
		}
	}
	return far
}

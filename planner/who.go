package planner

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"privsync/mstrapi"
	"privsync/policy"
)

// HoldersFormat is the format of [Holders].
const HoldersFormat = "privsync/who/v1"

// Holders says who effectively holds some privileges, and by which ways. Its JSON form
// is described by schema/who.schema.json.
type Holders struct {
	Format      string       `json:"format"`
	Tool        Tool         `json:"tool"`
	ReadAt      time.Time    `json:"readAt"` // when the reading began, in UTC
	Environment Environment  `json:"environment"`
	Actor       Actor        `json:"actor"`
	Project     *ProjectRef  `json:"project,omitempty"` // nil: in any project
	Complete    bool         `json:"complete"`          // everybody on the server was read
	Coverage    ReadCoverage `json:"coverage"`
	// Privileges are those that were asked for, by number.
	Privileges []AskedPrivilege `json:"privileges"`
	// Holders are the groups and users that hold at least one of them, in report order.
	Holders []Holder `json:"holders"`
	// Unread are those of whom it is not known what they hold, in report order.
	Unread   []Unread  `json:"unread"`
	Findings []Finding `json:"findings"`
}

// Unread is somebody who could not be read, and why.
type Unread struct {
	Principal Principal `json:"principal"`
	Message   string    `json:"message"`
}

// ProjectRef is the project that was asked for. A name that the server does not tell is
// empty.
type ProjectRef struct {
	ID   mstrapi.ObjectID `json:"id"`
	Name string           `json:"name,omitempty"`
}

// ReadCoverage says how many there are on the server, and how many of them were read.
type ReadCoverage struct {
	Users  ReadCount `json:"users"`
	Groups ReadCount `json:"groups"`
}

// ReadCount is the numbers of one kind. Known is nil where the server does not tell how
// many there are, as where the members of Everyone stand for the list of users.
type ReadCount struct {
	Known *int `json:"known,omitempty"`
	Read  int  `json:"read"`
}

// AskedPrivilege is a privilege that was asked for, and how many hold it.
type AskedPrivilege struct {
	PrivilegeRef
	Level    mstrapi.Level `json:"level"`
	Users    int           `json:"users"`    // who hold it, the disabled ones too
	Disabled int           `json:"disabled"` // of these
	Groups   int           `json:"groups"`
}

// Holder is a user or a group that holds at least one of the privileges.
type Holder struct {
	Principal Principal `json:"principal"`
	Enabled   *bool     `json:"enabled,omitempty"` // of users; nil where the server does not tell
	Holds     []Holding `json:"holds"`             // by number
}

// Holding is one privilege that somebody holds, and by which ways.
type Holding struct {
	PrivilegeRef
	Direct bool `json:"direct"`
	// Inherited says that a group hands it down, and not only for one project.
	Inherited bool `json:"inherited"`
	// Groups are those that the server names as sources: which, the holder or the
	// immediate parent, it does not say. From are the groups that hold the privilege
	// themselves among those and the groups that these have it from.
	Groups []mstrapi.ObjectRef `json:"groups"`
	From   []mstrapi.ObjectRef `json:"from"`
	Roles  []mstrapi.RoleRef   `json:"roles,omitempty"` // security roles that give it, in one project each
	Other  bool                `json:"other,omitempty"` // something that is none of these
}

// WhoOptions are what [Who] needs besides the reader.
type WhoOptions struct {
	Tool        Tool
	URL         string // of the server
	Concurrency int    // requests under way at once; 0: 8
	Now         time.Time
	// Catalogue is the server's, as it was read; Privileges are numbers in it, at least
	// one.
	Catalogue  []mstrapi.Privilege
	Privileges Set
	Project    *ProjectRef // leaves out what security roles give in other projects; nil: in any
	Progress   func(phase string, done, total int)
	Logger     *slog.Logger // nil: none
}

// Who reads everybody on the server, and says who effectively holds some privileges. It
// takes the lists of users and groups, one request for each of them, which is what
// tells direct grants, and what tells whether a holder is enabled.
//
// What cannot be read about somebody stands in the result, which is not complete then.
// An error is one of [Observe].
func Who(ctx context.Context, r Reader, o WhoOptions) (*Holders, error) {
	level := levelOf(o.Catalogue, o.Privileges)
	pol := policy.Nothing(policy.Level(level))
	st, err := Observe(ctx, r, pol, ObserveOptions{
		URL: o.URL, Concurrency: o.Concurrency, Now: o.Now, Everybody: true, Asked: o.Privileges, Catalogue: o.Catalogue,
		Progress: o.Progress, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	plan := Make(pol, st, MakeOptions{Tool: o.Tool})
	doc := &Holders{
		Format: HoldersFormat, Tool: o.Tool, ReadAt: o.Now.UTC(), Environment: st.Environment, Actor: st.Actor, Project: o.Project,
		Privileges: []AskedPrivilege{}, Holders: []Holder{}, Unread: []Unread{}, Findings: []Finding{},
	}
	doc.add(st, o)
	doc.Complete = true
	unread := make(map[mstrapi.ObjectID]bool)
	for _, u := range doc.Unread {
		unread[u.Principal.ID] = true
	}
	for _, f := range plan.Findings {
		if f.Code == CodeReadFailed {
			doc.Complete = false
		}
		if f.Code != CodeReadFailed || f.Principal == nil || !unread[f.Principal.ID] {
			doc.Findings = append(doc.Findings, f)
		}
	}
	return doc, nil
}

// levelOf returns the level that the privileges have in common.
func levelOf(catalogue []mstrapi.Privilege, privileges Set) mstrapi.Level {
	level := mstrapi.Level("")
	for _, p := range catalogue {
		if !privileges.Has(p.ID) {
			continue
		}
		if level != "" && level != p.Level() {
			return mstrapi.LevelAll
		}
		level = p.Level()
	}
	return cmp.Or(level, mstrapi.LevelAll)
}

// add fills in who holds what.
func (doc *Holders) add(st *State, o WhoOptions) {
	index := make(map[mstrapi.PrivilegeID]int)
	for _, p := range st.Catalogue {
		if o.Privileges.Has(p.ID) {
			index[p.ID] = len(doc.Privileges)
			doc.Privileges = append(doc.Privileges, AskedPrivilege{PrivilegeRef: PrivilegeRef{ID: p.ID, Name: p.Name}, Level: p.Level()})
		}
	}
	ways := ways{newLineage(st, new(needs)), make(map[traceKey]Holding)}
	for _, who := range st.strangers {
		count := &doc.Coverage.Users
		if who.Principal.Kind == mstrapi.Group {
			count = &doc.Coverage.Groups
		}
		if who.Err != nil {
			doc.Unread = append(doc.Unread, Unread{who.Principal, who.Err.Error()})
			continue
		}
		count.Read++
		h := Holder{Principal: who.Principal}
		if who.Enabled != mstrapi.Unknown {
			enabled := who.Enabled == mstrapi.Yes
			h.Enabled = &enabled
		}
		held := who.effective()
		for q := range held.Intersect(o.Privileges).All() {
			i, asked := index[q]
			if !asked {
				continue
			}
			p := &doc.Privileges[i]
			holding := ways.of(who, p.PrivilegeRef)
			if o.Project != nil && !holding.within(o.Project) {
				continue
			}
			h.Holds = append(h.Holds, holding)
			switch {
			case who.Principal.Kind == mstrapi.Group:
				p.Groups++
			case who.Enabled == mstrapi.No:
				p.Disabled++
				p.Users++
			default:
				p.Users++
			}
		}
		if len(h.Holds) > 0 {
			doc.Holders = append(doc.Holders, h)
		}
	}
	known := func(kind mstrapi.Kind) *int {
		n, ok := st.existing(kind)
		if !ok || kind == mstrapi.User && st.onlyEveryone {
			return nil
		}
		return &n
	}
	doc.Coverage.Users.Known, doc.Coverage.Groups.Known = known(mstrapi.User), known(mstrapi.Group)
}

// ways finds by which ways somebody holds a privilege. Many hold one by the same ways.
type ways struct {
	*lineage
	known map[traceKey]Holding
}

func (w *ways) of(who *Observed, privilege PrivilegeRef) Holding {
	key := traceKey{who.held, privilege.ID}
	h, ok := w.known[key]
	if !ok {
		h = Holding{PrivilegeRef: privilege, Groups: []mstrapi.ObjectRef{}, From: []mstrapi.ObjectRef{}}
		if who.held != nil {
			h.Inherited = who.Inherited.Has(privilege.ID)
			h.Groups = orEmpty(w.st.groupsOf(who.held, privilege.ID))
			lacks := func(g *Observed) bool { return g.Err != nil || !g.Direct.Has(privilege.ID) }
			h.From = orEmpty(refsOf(slices.DeleteFunc(slices.Clone(w.trace(who, privilege.ID).groups), lacks)))
			others := who.held.others[privilege.ID]
			h.Roles, h.Other = others.roles, others.other
		}
		w.known[key] = h
	}
	h.Direct = who.Direct.Has(privilege.ID)
	return h
}

// within reports whether what h says holds in the project, as far as anybody knows, and
// leaves out of h what security roles give in others.
func (h *Holding) within(project *ProjectRef) bool {
	h.Roles = slices.DeleteFunc(slices.Clone(h.Roles), func(r mstrapi.RoleRef) bool {
		if r.Project.ID != "" {
			return r.Project.ID != project.ID
		}
		return r.Project.Name != "" && project.Name != "" && r.Project.Name != project.Name
	})
	return h.Direct || h.Inherited || h.Other || len(h.Roles) > 0
}

package planner

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"privsync/mstrapi"
)

// model is a server in memory: the truth that tests compare with, and a Reader
// of it. Its groups may be nested in any way; sources are named in either style.
type model struct {
	catalogue  []mstrapi.Privilege
	principals []*subject
	byID       map[mstrapi.ObjectID]*subject
	actor      mstrapi.ObjectID
	denied     bool          // the session's user lacks the privilege
	allowed    Set           // of which the session may be told that it has them; empty: all
	level      mstrapi.Level // that answers give every privilege; "": the catalogue's

	parentStyle    bool // sources name the immediate parents instead of the holders
	flatIgnored    bool
	flatWithGroups bool
	pageCap        int
	noTotal        bool
	unsteady       map[string]int                               // of "List" or "Members": so many later pages promise another total
	bareRows       bool                                         // rows lack login and enabled
	hidden         bool                                         // no answer tells a login
	lacking        map[mstrapi.ObjectID]bool                    // the whole list leaves them out
	fail           func(call string, id mstrapi.ObjectID) error // nil: nothing fails

	mu    sync.Mutex
	calls map[string]int
	asked map[string]int // calls by call and id
}

type subject struct {
	row     mstrapi.PrincipalRow
	parents []mstrapi.ObjectID
	direct  Set
	other   Set // held through a security role, in one project
}

func idOf(kind mstrapi.Kind, n int) mstrapi.ObjectID {
	if kind == mstrapi.Group {
		return mstrapi.ObjectID(fmt.Sprintf("AA%030X", n))
	}
	return mstrapi.ObjectID(fmt.Sprintf("BB%030X", n))
}

// managerID is the number of Use User Manager in the tests' catalogues.
const managerID mstrapi.PrivilegeID = 9

// newModel has server privileges 1 to 8 ("P1" …), Use User Manager as 9 and
// project privileges 21 and 22.
func newModel() *model {
	m := &model{byID: make(map[mstrapi.ObjectID]*subject), calls: make(map[string]int), asked: make(map[string]int)}
	for i := range 8 {
		m.catalogue = append(m.catalogue, mstrapi.Privilege{ID: mstrapi.PrivilegeID(i + 1), Name: fmt.Sprintf("P%d", i+1)})
	}
	m.catalogue = append(m.catalogue,
		mstrapi.Privilege{ID: managerID, Name: ManagerPrivilege},
		mstrapi.Privilege{ID: 21, Name: "P21", ProjectLevel: true},
		mstrapi.Privilege{ID: 22, Name: "P22", ProjectLevel: true})
	return m
}

func (m *model) group(name string, direct []mstrapi.PrivilegeID, parents ...*subject) *subject {
	return m.add(mstrapi.PrincipalRow{Kind: mstrapi.Group, ID: idOf(mstrapi.Group, len(m.principals)+1), Name: name}, direct, parents)
}

func (m *model) user(login string, direct []mstrapi.PrivilegeID, parents ...*subject) *subject {
	row := mstrapi.PrincipalRow{Kind: mstrapi.User, ID: idOf(mstrapi.User, len(m.principals)+1), Name: "The " + login, Login: login, Enabled: mstrapi.Yes}
	return m.add(row, direct, parents)
}

func (m *model) add(row mstrapi.PrincipalRow, direct []mstrapi.PrivilegeID, parents []*subject) *subject {
	s := &subject{row: row, direct: SetOf(direct...)}
	for _, p := range parents {
		s.parents = append(s.parents, p.row.ID)
	}
	m.principals = append(m.principals, s)
	m.byID[row.ID] = s
	return s
}

func ids(list ...mstrapi.PrivilegeID) []mstrapi.PrivilegeID { return list }

// ancestors returns every group above a principal.
func (m *model) ancestors(id mstrapi.ObjectID) map[mstrapi.ObjectID]bool {
	out := make(map[mstrapi.ObjectID]bool)
	var up func(id mstrapi.ObjectID)
	up = func(id mstrapi.ObjectID) {
		for _, p := range m.byID[id].parents {
			if !out[p] {
				out[p] = true
				up(p)
			}
		}
	}
	up(id)
	return out
}

func (m *model) inherited(id mstrapi.ObjectID) Set {
	s := Set{}
	for a := range m.ancestors(id) {
		s = s.Union(m.byID[a].direct)
	}
	return s
}

// elsewhere returns what roles give, its own and those of the groups above.
func (m *model) elsewhere(id mstrapi.ObjectID) Set {
	s := m.byID[id].other
	for a := range m.ancestors(id) {
		s = s.Union(m.byID[a].other)
	}
	return s
}

func (m *model) effective(id mstrapi.ObjectID) Set {
	return m.byID[id].direct.Union(m.inherited(id)).Union(m.elsewhere(id))
}

func (m *model) levelOf(p mstrapi.PrivilegeID) mstrapi.Level {
	if m.level != "" {
		return m.level
	}
	for _, c := range m.catalogue {
		if c.ID == p {
			return c.Level()
		}
	}
	return mstrapi.LevelServer
}

// clone copies the truth, not the counts.
func (m *model) clone() *model {
	c := newModel()
	c.catalogue, c.actor, c.parentStyle = m.catalogue, m.actor, m.parentStyle
	c.flatIgnored, c.flatWithGroups, c.pageCap, c.bareRows = m.flatIgnored, m.flatWithGroups, m.pageCap, m.bareRows
	for _, s := range m.principals {
		n := *s
		n.direct = s.direct.Union(Set{})
		c.principals = append(c.principals, &n)
		c.byID[n.row.ID] = &n
	}
	return c
}

func (m *model) call(ctx context.Context, name string, id mstrapi.ObjectID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls[name]++
	m.asked[name+" "+string(id)]++
	if m.fail != nil {
		return m.fail(name, id)
	}
	return nil
}

func (m *model) Status(ctx context.Context) (mstrapi.Status, error) {
	return mstrapi.Status{IServerVersion: "11.4.0000", WebVersion: "11.4"}, m.call(ctx, "Status", "")
}

func (m *model) SessionUser(ctx context.Context) (mstrapi.SessionUser, error) {
	u := mstrapi.SessionUser{ID: m.actor, FullName: "Session"}
	if s := m.byID[m.actor]; s != nil {
		u.FullName = s.row.Name
	}
	return u, m.call(ctx, "SessionUser", "")
}

func (m *model) SessionPrivilege(ctx context.Context, id mstrapi.PrivilegeID) (mstrapi.SessionPrivilege, error) {
	return mstrapi.SessionPrivilege{ID: id, UserLevelAllowed: !m.denied && (m.allowed.IsEmpty() || m.allowed.Has(id))}, m.call(ctx, "SessionPrivilege", "")
}

func (m *model) Catalogue(ctx context.Context) ([]mstrapi.Privilege, error) {
	return slices.Clone(m.catalogue), m.call(ctx, "Catalogue", "")
}

func (m *model) OddPrivileges() []mstrapi.OddPrivilege { return nil }

func (m *model) bare(row mstrapi.PrincipalRow) mstrapi.PrincipalRow {
	if m.bareRows || m.hidden {
		row.Login, row.Enabled = "", mstrapi.Unknown
	}
	return row
}

func (m *model) page(of string, rows []mstrapi.PrincipalRow, offset, limit int) mstrapi.Page {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pageCap > 0 {
		limit = min(limit, m.pageCap)
	}
	p := mstrapi.Page{Total: len(rows)}
	if m.noTotal {
		p.Total = -1
	}
	if m.unsteady[of] > 0 && offset > 0 {
		m.unsteady[of]--
		p.Total++
	}
	rows = rows[min(offset, len(rows)):]
	p.Rows = slices.Clone(rows[:min(limit, len(rows))])
	return p
}

func (m *model) list(kind mstrapi.Kind, q mstrapi.Query) []mstrapi.PrincipalRow {
	var rows []mstrapi.PrincipalRow
	begins := func(s, prefix string) bool {
		// Wildcards match anything, so the tests let everything through.
		return strings.ContainsAny(prefix, "*?") || strings.HasPrefix(strings.ToLower(s), strings.ToLower(prefix))
	}
	for _, s := range m.principals {
		if q == (mstrapi.Query{}) && m.lacking[s.row.ID] {
			continue
		}
		if s.row.Kind == kind && begins(s.row.Name, q.NameBegins) && begins(s.row.Login, q.LoginBegins) {
			rows = append(rows, m.bare(s.row))
		}
	}
	return rows
}

func (m *model) List(kind mstrapi.Kind, q mstrapi.Query) *mstrapi.Listing {
	return mstrapi.NewListing("/list", 4, func(ctx context.Context, offset, limit int) (mstrapi.Page, error) {
		name := "List "
		switch {
		case limit == 1:
			name = "Count " // only to learn how many there are
		case q != mstrapi.Query{}:
			name = "Search "
		}
		if err := m.call(ctx, name+string(kind), ""); err != nil {
			return mstrapi.Page{}, err
		}
		return m.page("List", m.list(kind, q), offset, limit), nil
	})
}

func (m *model) Principal(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) (mstrapi.PrincipalRow, error) {
	if err := m.call(ctx, "Principal", id); err != nil {
		return mstrapi.PrincipalRow{}, err
	}
	s := m.byID[id]
	if s == nil && (id == m.actor || id == mstrapi.EveryoneGroup) && id != "" {
		return mstrapi.PrincipalRow{Kind: kind, ID: id, Memberships: []mstrapi.ObjectRef{}}, nil
	}
	if s == nil || s.row.Kind != kind {
		return mstrapi.PrincipalRow{}, &mstrapi.Error{Method: "GET", Path: "/api/x", Status: 404, Code: "ERR004", Message: "no such object"}
	}
	row := s.row
	if m.hidden {
		row.Login = ""
	}
	row.Memberships = m.refs(s.parents)
	return row, nil
}

func (m *model) refs(list []mstrapi.ObjectID) []mstrapi.ObjectRef {
	out := []mstrapi.ObjectRef{}
	for _, id := range list {
		out = append(out, mstrapi.ObjectRef{ID: id, Name: m.byID[id].row.Name})
	}
	return out
}

func (m *model) Memberships(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID) ([]mstrapi.ObjectRef, error) {
	if err := m.call(ctx, "Memberships "+string(kind), id); err != nil {
		return nil, err
	}
	return m.refs(m.byID[id].parents), nil
}

// members returns who is in a group, in a fixed order.
func (m *model) members(group mstrapi.ObjectID, flat bool) []mstrapi.PrincipalRow {
	var rows []mstrapi.PrincipalRow
	for _, s := range m.principals {
		switch {
		case flat && !m.flatIgnored:
			if m.ancestors(s.row.ID)[group] && (m.flatWithGroups || s.row.Kind == mstrapi.User) {
				rows = append(rows, s.row)
			}
		case slices.Contains(s.parents, group):
			rows = append(rows, s.row)
		}
	}
	return rows
}

func (m *model) Members(group mstrapi.ObjectID, flat bool) *mstrapi.Listing {
	return mstrapi.NewListing("/members", 4, func(ctx context.Context, offset, limit int) (mstrapi.Page, error) {
		if err := m.call(ctx, "GroupMembers", group); err != nil {
			return mstrapi.Page{}, err
		}
		return m.page("GroupMembers", m.members(group, flat), offset, limit), nil
	})
}

func (m *model) Held(ctx context.Context, kind mstrapi.Kind, id mstrapi.ObjectID, level mstrapi.Level) ([]mstrapi.Held, error) {
	if err := m.call(ctx, "Held "+string(kind), id); err != nil {
		return nil, err
	}
	s := m.byID[id]
	if s == nil || s.row.Kind != kind {
		return nil, &mstrapi.Error{Method: "GET", Path: "/api/x", Status: 404, Code: "ERR004", Message: "no such object"}
	}
	sources := m.ancestors(id)
	if m.parentStyle {
		sources = make(map[mstrapi.ObjectID]bool)
		for _, p := range s.parents {
			sources[p] = true
		}
	}
	var out []mstrapi.Held
	for p := range m.effective(id).All() {
		h := mstrapi.Held{ID: p, Level: m.levelOf(p), Direct: s.direct.Has(p), Other: s.other.Has(p)}
		if level != mstrapi.LevelAll && h.Level != level {
			continue
		}
		for _, a := range slices.Sorted(maps.Keys(sources)) {
			from := m.byID[a]
			if m.parentStyle && m.effective(a).Has(p) || !m.parentStyle && (from.direct.Has(p) || from.other.Has(p)) {
				h.Groups = append(h.Groups, mstrapi.ObjectRef{ID: a, Name: from.row.Name})
			}
		}
		out = append(out, h)
	}
	return out, nil
}

// apply does a change to the truth.
func (m *model) apply(c *Change, grants, revokes bool) {
	s := m.byID[c.Principal.ID]
	if grants {
		for _, g := range c.Grant {
			s.direct = s.direct.Union(SetOf(g.ID))
		}
	}
	if revokes {
		for _, r := range c.Revoke {
			s.direct = s.direct.Minus(SetOf(r.ID))
		}
	}
}

package mstrtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"

	"privsync/mstrapi"
)

// maxFileSize bounds an environment file, in bytes.
const maxFileSize = 64 << 20

// fileVersion and fileKind are what an environment file says it is.
const (
	fileVersion = "privsync/v1"
	fileKind    = "Environment"
)

// The environment file. The comments of examples/environment.yaml describe it
// for people; [LoadEnvironment] says what is checked.
type fileDocument struct {
	APIVersion    string          `yaml:"apiVersion"`
	Kind          string          `yaml:"kind"`
	Server        fileServer      `yaml:"server,omitempty"`
	Projects      []fileProject   `yaml:"projects,omitempty"`
	Catalogue     []filePrivilege `yaml:"catalogue"`
	SecurityRoles []fileRole      `yaml:"securityRoles,omitempty"`
	Groups        []fileGroup     `yaml:"groups,omitempty"`
	Users         []fileUser      `yaml:"users,omitempty"`
	Licences      []fileLicence   `yaml:"licences,omitempty"`
}

type fileServer struct {
	IServerVersion string `yaml:"iServerVersion,omitempty"`
	WebVersion     string `yaml:"webVersion,omitempty"`
}

type fileProject struct {
	Name string `yaml:"name"`
	ID   string `yaml:"id,omitempty"`
}

type filePrivilege struct {
	ID          int      `yaml:"id"`
	Name        string   `yaml:"name"`
	Level       string   `yaml:"level,omitempty"`
	Description string   `yaml:"description,omitempty"`
	Categories  []string `yaml:"categories,omitempty,flow"`
}

type fileRole struct {
	Name       string   `yaml:"name"`
	ID         string   `yaml:"id,omitempty"`
	Privileges []string `yaml:"privileges"`
}

type fileLicence struct {
	Product    string   `yaml:"product"`
	Privileges []string `yaml:"privileges,flow"`
	Max        *int     `yaml:"max,omitempty"`
}

type fileRoleGrant struct {
	Role    string `yaml:"role"`
	Project string `yaml:"project"`
}

type fileGroup struct {
	Name       string          `yaml:"name"`
	ID         string          `yaml:"id,omitempty"`
	Tenant     string          `yaml:"tenant,omitempty"`
	Groups     []string        `yaml:"groups,omitempty"`
	Privileges []string        `yaml:"privileges,omitempty"`
	Roles      []fileRoleGrant `yaml:"roles,omitempty"`
}

type fileUser struct {
	Login      string          `yaml:"login"`
	Name       string          `yaml:"name"`
	ID         string          `yaml:"id,omitempty"`
	Tenant     string          `yaml:"tenant,omitempty"`
	Enabled    *bool           `yaml:"enabled,omitempty"`
	Guest      bool            `yaml:"guest,omitempty"`
	Password   string          `yaml:"password,omitempty"`
	APIToken   string          `yaml:"apiToken,omitempty"`
	Groups     []string        `yaml:"groups,omitempty"`
	Privileges []string        `yaml:"privileges,omitempty"`
	Roles      []fileRoleGrant `yaml:"roles,omitempty"`
}

// LoadEnvironment parses an environment file: one YAML document, strictly (an
// unknown or repeated key, a wrong type and a second document are errors), at
// most 64 MiB. Groups, projects and roles may be referred to by name or by id,
// privileges by name or by number; a name that several objects share must be
// replaced by the id. An object without an id gets [DerivedID]. All problems
// that [Environment.Validate] knows are reported at once.
func LoadEnvironment(data []byte) (*Environment, error) {
	if len(data) > maxFileSize {
		return nil, fmt.Errorf("environment: %d bytes, at most %d are read", len(data), maxFileSize)
	}
	var doc fileDocument
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return nil, fmt.Errorf("environment: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("environment: more than one YAML document")
	}
	if doc.APIVersion != fileVersion || doc.Kind != fileKind {
		return nil, fmt.Errorf("environment: apiVersion %q, kind %q: want %s, %s", doc.APIVersion, doc.Kind, fileVersion, fileKind)
	}
	env, problems := doc.environment()
	if err := env.Validate(); err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	return env, nil
}

// environment resolves the names in the document. A reference that cannot be
// resolved is a problem and left out.
func (d *fileDocument) environment() (*Environment, []error) {
	env := &Environment{IServerVersion: d.Server.IServerVersion, WebVersion: d.Server.WebVersion}
	var r resolver
	r.privileges.kind = "privilege"
	for _, p := range d.Catalogue {
		level := mstrapi.Level(p.Level)
		if level != "" && level != mstrapi.LevelServer && level != mstrapi.LevelProject {
			r.add("privilege %d: level %q is neither server nor project", p.ID, p.Level)
		}
		env.Catalogue = append(env.Catalogue, mstrapi.Privilege{
			ID: mstrapi.PrivilegeID(p.ID), Name: p.Name, Description: p.Description,
			Categories: p.Categories, ProjectLevel: level == mstrapi.LevelProject,
		})
		r.privileges.put(p.Name, strconv.Itoa(p.ID))
	}
	r.projects.kind = "project"
	for _, p := range d.Projects {
		id := idOf("project", p.Name, p.ID)
		env.Projects = append(env.Projects, Project{ID: id, Name: p.Name})
		r.projects.put(p.Name, string(id))
	}
	r.roles.kind = "security role"
	for _, role := range d.SecurityRoles {
		id := idOf("securityRole", role.Name, role.ID)
		env.Roles = append(env.Roles, SecurityRole{
			ID: id, Name: role.Name,
			Privileges: r.privilegeIDs("security role "+strconv.Quote(role.Name), role.Privileges),
		})
		r.roles.put(role.Name, string(id))
	}
	r.groups.kind = "group"
	for _, g := range d.Groups {
		r.groups.put(g.Name, string(idOf("group", g.Name, g.ID)))
	}
	for _, g := range d.Groups {
		where := "group " + strconv.Quote(g.Name)
		env.Groups = append(env.Groups, Group{
			ID: idOf("group", g.Name, g.ID), Name: g.Name, Tenant: g.Tenant,
			Groups:     r.groupIDs(where, g.Groups),
			Privileges: r.privilegeIDs(where, g.Privileges),
			Roles:      r.roleGrants(where, g.Roles),
		})
	}
	for _, u := range d.Users {
		where := "user " + strconv.Quote(u.Login)
		env.Users = append(env.Users, User{
			ID: idOf("user", u.Login, u.ID), Login: u.Login, Name: u.Name, Tenant: u.Tenant,
			Disabled: u.Enabled != nil && !*u.Enabled, Guest: u.Guest,
			Password: u.Password, APIToken: u.APIToken,
			Groups:     r.groupIDs(where, u.Groups),
			Privileges: r.privilegeIDs(where, u.Privileges),
			Roles:      r.roleGrants(where, u.Roles),
		})
	}
	for _, l := range d.Licences {
		product := slices.IndexFunc(mstrapi.LicenceProducts(), func(p mstrapi.LicenceProduct) bool { return p.Name == l.Product })
		if product < 0 {
			r.add("licences: no product is named %q", l.Product)
			continue
		}
		licence := Licence{Product: product, Max: mstrapi.Unlimited, Privileges: r.privilegeIDs("licence "+l.Product, l.Privileges)}
		if l.Max != nil {
			licence.Max = *l.Max
		}
		env.Licences = append(env.Licences, licence)
	}
	return env, r.problems
}

func idOf(kind, name, id string) mstrapi.ObjectID {
	if id != "" {
		return mstrapi.ObjectID(id)
	}
	return DerivedID(kind, name)
}

// resolver turns the references of a file into ids.
type resolver struct {
	problems                            []error
	privileges, projects, roles, groups names
}

// names knows the objects of one kind by name and by id.
type names struct {
	kind   string
	byName map[string]string
	twice  map[string]bool
	ids    map[string]bool
}

func (n *names) put(name, id string) {
	if n.byName == nil {
		n.byName, n.twice, n.ids = make(map[string]string), make(map[string]bool), make(map[string]bool)
	}
	if _, ok := n.byName[name]; ok {
		n.twice[name] = true
	}
	n.byName[name] = id
	n.ids[id] = true
}

func (n *names) find(ref string) (string, error) {
	switch id, ok := n.byName[ref]; {
	case n.ids[ref]:
		return ref, nil
	case n.twice[ref]:
		return "", fmt.Errorf("several objects are named %q: use the id of the %s", ref, n.kind)
	case ok:
		return id, nil
	}
	return "", fmt.Errorf("no %s is named %q or has that id", n.kind, ref)
}

func (r *resolver) add(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

func (r *resolver) find(n *names, where, ref string) (string, bool) {
	id, err := n.find(ref)
	if err != nil {
		r.add("%s: %w", where, err)
		return "", false
	}
	return id, true
}

func (r *resolver) groupIDs(where string, refs []string) []mstrapi.ObjectID {
	var ids []mstrapi.ObjectID
	for _, ref := range refs {
		if id, ok := r.find(&r.groups, where, ref); ok {
			ids = append(ids, mstrapi.ObjectID(id))
		}
	}
	return ids
}

func (r *resolver) privilegeIDs(where string, refs []string) []mstrapi.PrivilegeID {
	var ids []mstrapi.PrivilegeID
	for _, ref := range refs {
		if id, ok := r.find(&r.privileges, where, ref); ok {
			n, err := strconv.Atoi(id)
			if err != nil {
				r.add("%s: %w", where, err)
				continue
			}
			ids = append(ids, mstrapi.PrivilegeID(n))
		}
	}
	return ids
}

func (r *resolver) roleGrants(where string, refs []fileRoleGrant) []RoleGrant {
	var grants []RoleGrant
	for _, ref := range refs {
		role, ok1 := r.find(&r.roles, where, ref.Role)
		project, ok2 := r.find(&r.projects, where, ref.Project)
		if ok1 && ok2 {
			grants = append(grants, RoleGrant{Role: mstrapi.ObjectID(role), Project: mstrapi.ObjectID(project)})
		}
	}
	return grants
}

// YAML returns e as an environment file that [LoadEnvironment] reads back to
// the same environment. References are written as ids, so that no name can be
// mistaken.
func (e *Environment) YAML() ([]byte, error) {
	doc := fileDocument{
		APIVersion: fileVersion, Kind: fileKind,
		Server: fileServer{IServerVersion: e.IServerVersion, WebVersion: e.WebVersion},
	}
	for _, p := range e.Projects {
		doc.Projects = append(doc.Projects, fileProject{Name: p.Name, ID: string(p.ID)})
	}
	for _, p := range e.Catalogue {
		doc.Catalogue = append(doc.Catalogue, filePrivilege{
			ID: int(p.ID), Name: p.Name, Level: string(p.Level()), Description: p.Description, Categories: p.Categories,
		})
	}
	for _, r := range e.Roles {
		doc.SecurityRoles = append(doc.SecurityRoles, fileRole{Name: r.Name, ID: string(r.ID), Privileges: numbers(r.Privileges)})
	}
	for _, g := range e.Groups {
		doc.Groups = append(doc.Groups, fileGroup{
			Name: g.Name, ID: string(g.ID), Tenant: g.Tenant, Groups: texts(g.Groups),
			Privileges: numbers(g.Privileges), Roles: fileRoleGrants(g.Roles),
		})
	}
	for _, u := range e.Users {
		f := fileUser{
			Login: u.Login, Name: u.Name, ID: string(u.ID), Tenant: u.Tenant, Guest: u.Guest, Password: u.Password, APIToken: u.APIToken,
			Groups: texts(u.Groups), Privileges: numbers(u.Privileges), Roles: fileRoleGrants(u.Roles),
		}
		if u.Disabled {
			f.Enabled = new(bool)
		}
		doc.Users = append(doc.Users, f)
	}
	for _, l := range e.Licences {
		doc.Licences = append(doc.Licences, fileLicence{
			Product: mstrapi.LicenceProducts()[l.Product].Name, Privileges: numbers(l.Privileges), Max: &l.Max,
		})
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	return b.Bytes(), nil
}

func numbers(ids []mstrapi.PrivilegeID) []string {
	var out []string
	for _, id := range ids {
		out = append(out, id.String())
	}
	return out
}

func texts(ids []mstrapi.ObjectID) []string {
	var out []string
	for _, id := range ids {
		out = append(out, string(id))
	}
	return out
}

func fileRoleGrants(grants []RoleGrant) []fileRoleGrant {
	var out []fileRoleGrant
	for _, g := range grants {
		out = append(out, fileRoleGrant{Role: string(g.Role), Project: string(g.Project)})
	}
	return out
}

package mstrtest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"privsync/mstrapi"
)

// Ids that the vendor's metadata gives its built-in objects.
const (
	SystemAdministratorsGroup mstrapi.ObjectID = "5F3FAFE111D2D8CC6000CC8E67019608"
	UserAdministratorsGroup   mstrapi.ObjectID = "17CD5CDB43085A8A52533B86A05DCB3A"
	AdministratorUser                          = mstrapi.AdministratorUser
	ServiceAccountsGroup      mstrapi.ObjectID = "5B6C1434431D99F9A8230191FE5F6849"
)

// UserManagerName is the catalogue name of the privilege that a caller needs
// to read and to change privileges. An environment whose catalogue lacks it
// asks for nothing.
const UserManagerName = "Use User Manager"

// ServiceLogin and ServicePassword are the account that [Random] and
// [Generate] create for the client under test: it holds [UserManagerName]
// directly.
const (
	ServiceLogin    = "svc_privsync"
	ServicePassword = "privsync"
)

// Environment is what a simulated server starts from. Slices may be shared
// between principals: a server copies what it changes. The zero value is an
// empty server to which nobody can log in.
type Environment struct {
	IServerVersion string // "" means 11.4.0000.0100
	WebVersion     string // "" means the same
	Projects       []Project
	Catalogue      []mstrapi.Privilege
	Roles          []SecurityRole
	Groups         []Group
	Users          []User
	Licences       []Licence // products that users consume
}

// Project is a project, for project-level privileges and security roles.
type Project struct {
	ID   mstrapi.ObjectID
	Name string
}

// SecurityRole is a named set of project-level privileges.
type SecurityRole struct {
	ID         mstrapi.ObjectID
	Name       string
	Privileges []mstrapi.PrivilegeID
}

// RoleGrant gives a principal a security role in one project.
type RoleGrant struct {
	Role    mstrapi.ObjectID
	Project mstrapi.ObjectID
}

// Group is a user group. Groups lists its direct parents. Tenant is the name of the
// tenant that it belongs to; empty on a server without.
type Group struct {
	ID         mstrapi.ObjectID
	Name       string
	Tenant     string
	Groups     []mstrapi.ObjectID
	Privileges []mstrapi.PrivilegeID // direct grants
	Roles      []RoleGrant
}

// User is a user. Groups lists its direct groups; [mstrapi.EveryoneGroup]
// need not be among them: if the environment has it, every user but a Guest belongs to it.
// A blank password is legal. APIToken, if not empty, logs in with mode 4096. A Guest
// is outside Everyone, as real guests and some service accounts are.
type User struct {
	ID         mstrapi.ObjectID
	Login      string
	Name       string
	Tenant     string
	Disabled   bool
	Guest      bool
	Password   string
	APIToken   string
	Groups     []mstrapi.ObjectID
	Privileges []mstrapi.PrivilegeID // direct grants
	Roles      []RoleGrant
}

// DerivedID returns the id that an environment file gives an object without
// one: 32 hexadecimal digits that depend on nothing but kind and name.
func DerivedID(kind, name string) mstrapi.ObjectID {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	return mstrapi.ObjectID(strings.ToUpper(hex.EncodeToString(sum[:16])))
}

// Validate returns every contradiction in e, joined, or nil: ids that are not
// 32 upper-case hexadecimal digits or not unique, logins that are equal but
// for case, references to what is not there, groups that contain themselves.
func (e *Environment) Validate() error {
	v := validator{ids: make(map[mstrapi.ObjectID]string)}
	privileges := make(map[mstrapi.PrivilegeID]bool, len(e.Catalogue))
	for _, p := range e.Catalogue {
		switch {
		case p.ID < 1 || p.ID > mstrapi.MaxPrivilegeID:
			v.add("catalogue: privilege id %d is not between 1 and %d", p.ID, mstrapi.MaxPrivilegeID)
		case privileges[p.ID]:
			v.add("catalogue: privilege id %d twice", p.ID)
		case p.Name == "":
			v.add("catalogue: privilege %d has no name", p.ID)
		}
		privileges[p.ID] = true
	}
	projects := make(map[mstrapi.ObjectID]bool)
	for _, p := range e.Projects {
		v.id("project", p.Name, p.ID)
		projects[p.ID] = true
	}
	roles := make(map[mstrapi.ObjectID]bool)
	for _, r := range e.Roles {
		v.id("security role", r.Name, r.ID)
		v.privileges("security role", r.Name, r.Privileges, privileges)
		roles[r.ID] = true
	}
	groups := make(map[mstrapi.ObjectID]int, len(e.Groups))
	for i, g := range e.Groups {
		if g.Name == "" {
			v.add("group %s has no name", g.ID)
		}
		v.id("group", g.Name, g.ID)
		groups[g.ID] = i
	}
	check := func(kind, name string, parents []mstrapi.ObjectID, held []mstrapi.PrivilegeID, grants []RoleGrant) {
		for i, id := range parents {
			if _, ok := groups[id]; !ok {
				v.add("%s %q: no group has the id %q", kind, name, id)
			}
			if slices.Contains(parents[:i], id) {
				v.add("%s %q: group %q twice", kind, name, id)
			}
		}
		v.privileges(kind, name, held, privileges)
		for _, r := range grants {
			if !roles[r.Role] {
				v.add("%s %q: no security role has the id %q", kind, name, r.Role)
			}
			if !projects[r.Project] {
				v.add("%s %q: no project has the id %q", kind, name, r.Project)
			}
		}
	}
	for _, g := range e.Groups {
		check("group", g.Name, g.Groups, g.Privileges, g.Roles)
	}
	v.cycles(e.Groups, groups)
	logins := make(map[string]string, len(e.Users))
	for _, u := range e.Users {
		v.id("user", u.Login, u.ID)
		folded := strings.ToLower(u.Login)
		if u.Login == "" {
			v.add("user %s has no login", u.ID)
		} else if other, ok := logins[folded]; ok {
			v.add("users %q and %q have the same login but for case", other, u.Login)
		}
		logins[folded] = u.Login
		check("user", u.Login, u.Groups, u.Privileges, u.Roles)
	}
	products := make(map[int]bool)
	for _, l := range e.Licences {
		if l.Product < 0 || l.Product >= len(mstrapi.LicenceProducts()) || products[l.Product] {
			v.add("licences: product %d is not in the enumeration, or there twice", l.Product)
		}
		products[l.Product] = true
		v.privileges("licence", strconv.Itoa(l.Product), l.Privileges, privileges)
		if l.Max < mstrapi.Unlimited {
			v.add("licences: product %d: maximum %d", l.Product, l.Max)
		}
	}
	return errors.Join(v.problems...)
}

// validator collects what Validate finds.
type validator struct {
	problems []error
	ids      map[mstrapi.ObjectID]string
}

func (v *validator) add(format string, args ...any) {
	v.problems = append(v.problems, fmt.Errorf(format, args...))
}

func (v *validator) id(kind, name string, id mstrapi.ObjectID) {
	if !id.Valid() {
		v.add("%s %q: id %q is not 32 upper-case hexadecimal digits", kind, name, id)
	}
	if other, ok := v.ids[id]; ok {
		v.add("%s %q: id %s is also that of %s", kind, name, id, other)
	}
	v.ids[id] = kind + " " + strconv.Quote(name)
}

func (v *validator) privileges(kind, name string, held []mstrapi.PrivilegeID, known map[mstrapi.PrivilegeID]bool) {
	for _, p := range held {
		if !known[p] {
			v.add("%s %q: privilege %d is not in the catalogue", kind, name, p)
		}
	}
}

// cycles reports each group from which the way up leads back to itself.
func (v *validator) cycles(groups []Group, index map[mstrapi.ObjectID]int) {
	const (
		unseen = iota
		open
		done
	)
	state := make([]int, len(groups))
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		for _, parent := range groups[i].Groups {
			j, ok := index[parent]
			if !ok {
				continue
			}
			switch state[j] {
			case unseen:
				visit(j)
			case open:
				v.add("group %q contains itself through %q", groups[j].Name, groups[i].Name)
			}
		}
		state[i] = done
	}
	for i := range groups {
		if state[i] == unseen {
			visit(i)
		}
	}
}

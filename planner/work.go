package planner

import (
	"context"
	"fmt"
	"slices"

	"privsync/clean"
	"privsync/mstrapi"
	"privsync/policy"
)

// ManagerPrivilege is the catalogue name of the privilege that reading and
// changing the privileges of others needs.
const ManagerPrivilege = "Use User Manager"

// The catalogue names of what granting and revoking needs as well, by the vendor's
// text on that work. The first two are one privilege by the names of different
// versions.
const (
	createUsers     = "Create and edit users and groups"
	createUsersOld  = "Create and edit users"
	grantPrivileges = "Grant/Revoke privileges"
)

// WorkNeed is one thing that the session's user must be allowed, and the
// privileges of a catalogue that may be it; none: the catalogue does not tell.
type WorkNeed struct {
	For        string // work, edit users or grant
	Name       string // as the vendor or the policy calls it
	Candidates []mstrapi.Privilege
	Required   bool // nothing works without it
}

// WorkNeeds returns what the session's user needs on a server with the
// catalogue: what the policy names in named, otherwise what the vendor names.
func WorkNeeds(list []mstrapi.Privilege, named []policy.Ref) []WorkNeed {
	cat := newPrivilegeIndex(list, mstrapi.LevelAll)
	pick := func(ids []mstrapi.PrivilegeID) (out []mstrapi.Privilege) {
		for _, p := range list {
			if slices.Contains(ids, p.ID) {
				out = append(out, p)
			}
		}
		return out
	}
	var needs []WorkNeed
	for _, ref := range named {
		needs = append(needs, WorkNeed{"work", ref.String(), pick(cat.own(ref)), true})
	}
	if len(named) > 0 {
		return needs
	}
	create := append(cat.namedLike(createUsers), cat.namedLike(createUsersOld)...)
	return []WorkNeed{
		{"work", ManagerPrivilege, pick(cat.namedLike(ManagerPrivilege)), true},
		{"edit users", createUsers, pick(create), false},
		{"grant", grantPrivileges, pick(cat.namedLike(grantPrivileges)), false},
	}
}

// work is what is known about the privileges that the session's user works with.
// The zero value: nothing.
type work struct {
	privileges Set
	identified bool // otherwise the one that reading needs may be any
	untold     bool // the server does not tell whether the session has them
}

// sessionReader tells what the session's user may do.
type sessionReader interface {
	SessionPrivilege(ctx context.Context, id mstrapi.PrivilegeID) (mstrapi.SessionPrivilege, error)
}

// identifyWork finds out which privileges the session's user works with: those
// that the policy names, otherwise those that bear the known names. Of several
// candidates those count that the session holds. The error matches
// [ErrNotAllowed] if it holds none.
func identifyWork(ctx context.Context, r sessionReader, actor Actor, list []mstrapi.Privilege, named []policy.Ref) (work, error) {
	cat := newPrivilegeIndex(list, mstrapi.LevelAll)
	var w work
	var candidates []mstrapi.PrivilegeID
	for _, need := range WorkNeeds(list, named) {
		for _, p := range need.Candidates {
			if need.Required {
				candidates = append(candidates, p.ID)
			} else {
				w.privileges.Add(p.ID)
			}
		}
	}
	slices.Sort(candidates)
	candidates = slices.Compact(candidates)
	if len(candidates) == 0 {
		return w, nil
	}
	var refused error
	for _, id := range candidates {
		got, err := r.SessionPrivilege(ctx, id)
		switch {
		case err == nil && (got.UserLevelAllowed || cat.levels[id] == mstrapi.LevelProject && got.ProjectsAllowed > 0):
			w.identified = true
			w.privileges.Add(id)
		case err == nil:
		case mstrapi.IsForbidden(err):
			refused = err
		case mstrapi.IsRouteMissing(err) || mstrapi.IsNotFound(err):
			w.identified, w.untold = true, true
			w.privileges.Add(id)
		default:
			return work{}, fmt.Errorf("privilege %s of the session's user: %w", cat.label(id), err)
		}
	}
	if w.identified {
		return w, nil
	}
	text := fmt.Sprintf("user %s lacks the privilege %s, which reading and changing the privileges of others needs: grant it to that user or use another account",
		clean.Quote(actor.Name), cat.label(candidates[0]))
	if refused != nil {
		return work{}, fmt.Errorf("%w: %s (%w)", ErrNotAllowed, text, refused)
	}
	return work{}, fmt.Errorf("%w: %s", ErrNotAllowed, text)
}
